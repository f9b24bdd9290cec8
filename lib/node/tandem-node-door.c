/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Connections before their first request, as the receiver of lib/net treats them before HELLO:
 * however many strangers come and whatever they send, there are few of them at a time, each with a
 * small decoder and perhaps a handshake, and for a limited time. */

#include "config.h"

#include "tandem-node-private.h"

#include <glib/gi18n-lib.h>

/* Until the key was shown. */
#define MAX_HANDSHAKE_BYTES (64 * 1024)
/* Strangers may come by the thousand; people read a line now and then. */
#define TELL_INTERVAL_US G_USEC_PER_SEC
/* A peer whose system does not take what we write for so long is gone. */
#define USER_TIMEOUT_MS 20000

static void
tell_stranger (TandemNode *self, const char *peer, const char *message)
{
  gint64 now = g_get_monotonic_time ();

  if (self->told != 0 && now - self->told < TELL_INTERVAL_US)
    return;
  self->told = now;
  tandem_node_tell (self, "stranger", peer, "%s", message);
}

/* --- showing the key --- */

static void
on_handshake (GObject *source, GAsyncResult *result, gpointer data)
{
  TandemNodeConnection *self = data;
  TandemNode *node = self->node;
  g_autoptr (GError) error = NULL;
  gboolean shaken = tandem_link_handshake_finish (self->link, result, &error);

  if (!self->gone && shaken) {
    tandem_node_connection_begin (self);
  } else if (!self->gone) {
    if (g_error_matches (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY))
      tell_stranger (node, tandem_link_get_peer (self->link), error->message);
    tandem_node_connection_leave (self, error->message);
  }
  tandem_node_connection_unref (self);
  tandem_node_check_stopped (node);
}

/* A peer without a key is told so in the language that it understands, in clear. */
static void
refuse_plain (TandemNodeConnection *self)
{
  g_autofree char *text = g_strdup_printf (
      _("The device at %s does not protect its connection; this node has a cluster key. Give both "
        "the key, or neither."), tandem_link_get_peer (self->link));

  tell_stranger (self->node, tandem_link_get_peer (self->link), text);
  tandem_link_leave_tls (self->link);
  tandem_node_connection_refuse (self, "insecure",
                                 _("this node takes only connections that its cluster key "
                                   "protects, and yours is not protected; give both the key, or "
                                   "neither"));
}

static gboolean
on_first_bytes (GSocket *socket, GIOCondition condition, gpointer data)
{
  TandemNodeConnection *self = data;

  switch (tandem_link_look (self->link)) {
    case TANDEM_FIRST_BYTES_MORE:
      return G_SOURCE_CONTINUE;
    case TANDEM_FIRST_BYTES_FRAME:
      refuse_plain (self);
      return G_SOURCE_REMOVE;
    case TANDEM_FIRST_BYTES_OTHER:
      tandem_node_connection_leave (self, "");
      return G_SOURCE_REMOVE;
    case TANDEM_FIRST_BYTES_TLS:
      break;
  }
  /* Only now it is worth a thread. */
  g_source_destroy (self->readable);
  g_clear_pointer (&self->readable, g_source_unref);
  self->stage = TANDEM_NODE_HANDSHAKE;
  tandem_handshakes_begin (self->node->handshakes, self->link, self->origin,
                           (gint64) self->node->handshake_timeout * 1000, on_handshake,
                           tandem_node_connection_ref (self));
  return G_SOURCE_REMOVE;
}

static gboolean
on_timeout (gpointer data)
{
  tandem_node_connection_leave (data, "");
  return G_SOURCE_REMOVE;
}

/* --- the crowd --- */

static gboolean
is_pending (const TandemNodeConnection *connection)
{
  return connection->stage != TANDEM_NODE_SERVED;
}

static guint
count_pending (TandemNode *self, const char *origin)
{
  guint i, n = 0;

  for (i = 0; i < self->connections->len; i++) {
    TandemNodeConnection *other = g_ptr_array_index (self->connections, i);

    n += is_pending (other) && (origin == NULL || g_str_equal (other->origin, origin));
  }
  return n;
}

/* Puts out one of too many: of whoever has most connections, the one that is least far, the oldest
 * of these. A neighbour that comes with one connection stays, whatever others do. */
static void
make_room (TandemNode *self)
{
  TandemNodeConnection *victim = NULL;
  guint i, most = 0;

  for (i = 0; i < self->connections->len; i++) {
    TandemNodeConnection *other = g_ptr_array_index (self->connections, i);
    guint n = is_pending (other) ? count_pending (self, other->origin) : 0;

    if (n > most || (n > 0 && n == most && other->stage < victim->stage)) {
      victim = other;
      most = n;
    }
  }
  tandem_node_connection_leave (victim, "");
}

/* A new connection. */
void
tandem_node_greet (TandemNode *self, GSocket *socket)
{
  const TandemFrameLimits limits = { .max_sequences = 1 };
  g_autoptr (GSocketConnection) stream = g_socket_connection_factory_create_connection (socket);
  g_autoptr (TandemLink) link = NULL;
  g_autoptr (GError) error = NULL;
  TandemNodeConnection *connection;

  if (self->key != NULL)
    link = tandem_link_new_tls (stream, self->key, TRUE, MAX_HANDSHAKE_BYTES, &limits, &error);
  else
    link = tandem_link_new (stream, &limits);
  if (link == NULL) {
    tell_stranger (self, NULL, error->message);
    return;
  }
  tandem_link_set_user_timeout (link, USER_TIMEOUT_MS);
  if (count_pending (self, NULL) >= self->max_pending)
    make_room (self);
  connection = g_new0 (TandemNodeConnection, 1);
  connection->ref_count = 1;
  connection->node = self;
  connection->link = g_steal_pointer (&link);
  connection->origin = tandem_net_describe_origin (socket);
  connection->cancellable = g_cancellable_new ();
  connection->requests = g_hash_table_new (g_int64_hash, g_int64_equal);
  connection->pipelines = g_ptr_array_new ();
  g_ptr_array_add (self->connections, connection);
  connection->timeout = g_timeout_source_new (self->handshake_timeout);
  g_source_set_callback (connection->timeout, on_timeout, connection, NULL);
  g_source_attach (connection->timeout, self->context);
  if (self->key == NULL) {
    tandem_node_connection_begin (connection);
    return;
  }
  connection->stage = TANDEM_NODE_LOOK;
  connection->readable =
      g_socket_create_source (tandem_link_get_socket (connection->link), G_IO_IN, NULL);
  g_source_set_callback (connection->readable, G_SOURCE_FUNC (on_first_bytes), connection, NULL);
  g_source_attach (connection->readable, self->context);
}
