/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Connections before their HELLO: they show that they have the cluster key, where there is one,
 * and say HELLO, for both of which they have a limited time and a limited number of bytes. However
 * many strangers come and whatever they send, each has one small decoder and perhaps a handshake,
 * and there are few of them. All of this happens in the service thread. */

#include "config.h"

#include "tandem-receiver-private.h"

#include <glib/gi18n-lib.h>

#include "base/tandem-source-private.h"

#define GST_CAT_DEFAULT tandem_net_debug

/* Strangers may come by the thousand; people read a line now and then. */
#define TELL_INTERVAL_US G_USEC_PER_SEC

/* How far a connection is. When there are too many, the first kind is put out first. */
typedef enum
{
  STAGE_REFUSED,                /* reads why */
  STAGE_LOOK,                   /* its first record comes, with TLS */
  STAGE_HANDSHAKE,              /* it runs, or waits until it may */
  STAGE_HELLO,                  /* has shown the key, or there is none */
} Stage;

struct _TandemReceiverClient
{
  guint ref_count;              /* of the list and of a handshake */
  TandemReceiver *receiver;
  TandemLink *link;
  char *origin;                 /* who shares an address, or an IPv6 network, shares this */
  GSource *readable, *timeout;  /* (nullable) */
  Stage stage;
  gboolean left;                /* of no use any more; a handshake has to end first */
};

typedef TandemReceiverClient Client;

static gboolean on_client_readable (GSocket *socket, GIOCondition condition, gpointer data);

/* --- coming and going --- */

/* The list lets go of it: a handshake that runs is ended. */
void
tandem_receiver_client_unref (TandemReceiverClient *client)
{
  tandem_clear_source (&client->readable);
  tandem_clear_source (&client->timeout);
  client->left = TRUE;
  if (client->stage == STAGE_HANDSHAKE &&
      tandem_handshakes_end (client->receiver->handshakes, client->link))
    client->ref_count--;
  if (--client->ref_count > 0)
    return;
  tandem_link_unref (client->link);
  g_free (client->origin);
  g_free (client);
}

static gboolean
client_leave (Client *client)
{
  g_ptr_array_remove (client->receiver->pending, client);
  return G_SOURCE_REMOVE;
}

static void
watch (Client *client)
{
  client->readable =
      g_socket_create_source (tandem_link_get_socket (client->link), G_IO_IN, NULL);
  g_source_set_callback (client->readable, G_SOURCE_FUNC (on_client_readable), client, NULL);
  g_source_attach (client->readable, client->receiver->context);
}

/* Says who was refused for the want of the key, but not of each in a crowd. */
static void
tell (TandemReceiver *self, const GError *reason)
{
  gint64 now = g_get_monotonic_time ();

  GST_WARNING ("%s", reason->message);
  if (self->refused == NULL || (self->told != 0 && now - self->told < TELL_INTERVAL_US))
    return;
  self->told = now;
  self->refused (self, reason, self->refused_data);
}

/* --- refusing --- */

/* The answer is small and the connection new: it fits into the socket's buffer or is not worth
 * waiting for. */
static void
write_error (Client *client, int code, const char *sentence)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  GOutputVector vector;
  gsize written;

  tandem_frame_append_error (bytes, code, sentence);
  vector.buffer = bytes->data;
  vector.size = bytes->len;
  tandem_link_write (client->link, &vector, 1, &written, NULL);
}

/* The client stays for a while to read what was said: a connection that is closed with unread
 * bytes is reset, and it would not. */
static gboolean
client_stay (Client *client)
{
  g_socket_shutdown (tandem_link_get_socket (client->link), FALSE, TRUE, NULL);
  client->stage = STAGE_REFUSED;
  return G_SOURCE_CONTINUE;
}

static gboolean
client_refuse (Client *client, const GError *reason)
{
  GST_WARNING ("refused %s: %s", tandem_link_get_peer (client->link), reason->message);
  if (reason->domain != TANDEM_NET_ERROR || reason->code == TANDEM_NET_ERROR_CLOSED ||
      reason->code == TANDEM_NET_ERROR_NOT_TANDEM)
    return client_leave (client);
  write_error (client, reason->code < 100 ? reason->code : TANDEM_NET_ERROR_PROTOCOL,
               reason->message);
  return client_stay (client);
}

/* One side has a key and the other has none: it is told with a frame in clear. */
static gboolean
client_refuse_unequal (Client *client)
{
  g_autoptr (GError) reason = NULL;

  if (tandem_link_is_protected (client->link)) {
    reason = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_INSECURE,
        _("The device at %s does not protect its connection; this device has the cluster key "
          "\"%s\" (%.16s). Give both the key, or neither."), tandem_link_get_peer (client->link),
        tandem_cluster_key_get_name (client->receiver->key),
        tandem_cluster_key_get_fingerprint (client->receiver->key));
    tandem_link_leave_tls (client->link);
    write_error (client, TANDEM_NET_ERROR_INSECURE,
                 _("this device takes only connections that its cluster key protects, and yours "
                   "is not protected; give both the key, or neither"));
  } else {
    reason = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_INSECURE,
        _("The device at %s protects its connection with a cluster key; this device has none. "
          "Give both the key, or neither."), tandem_link_get_peer (client->link));
    write_error (client, TANDEM_NET_ERROR_INSECURE,
                 _("this device has no cluster key; give both the key, or neither"));
  }
  tell (client->receiver, reason);
  return client_stay (client);
}

/* --- HELLO --- */

static gboolean
client_hello (Client *client, const TandemFrame *frame)
{
  TandemReceiver *self = client->receiver;
  g_autoptr (TandemReceiverStream) old = NULL;
  g_autoptr (TandemLink) superseded = NULL;
  g_autoptr (GError) error = NULL;
  TandemHello hello;
  gboolean mismatch = FALSE;

  if (!tandem_frame_parse_hello (frame, &hello, &error))
    return client_refuse (client, error);
  mismatch = !tandem_receiver_check_hello (self, &hello, &error);

  g_mutex_lock (&self->lock);
  if (error == NULL && tandem_receiver_choose_stream_locked (self, &hello, &old, &error)) {
    superseded = tandem_receiver_steal_link_locked (self);
    if (superseded != NULL)
      tandem_link_shutdown (superseded);
    tandem_receiver_adopt_locked (self, client->link, &hello);
    GST_INFO ("serving %s from micro-batch %" G_GUINT64_FORMAT,
              tandem_link_get_peer (client->link), self->stream->received + 1);
  } else if (mismatch && !hello.searching && self->refusal == NULL && self->stream == NULL &&
             !self->served) {
    self->refusal = g_error_new (TANDEM_NET_ERROR, error->code, _("Refused the client at %s: %s"),
                                 tandem_link_get_peer (client->link), error->message);
  }
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  return error != NULL ? client_refuse (client, error) : client_leave (client);
}

/* --- showing the key --- */

static void
on_handshake (GObject *source, GAsyncResult *result, gpointer data)
{
  Client *client = data;
  TandemReceiver *self = client->receiver;
  g_autoptr (GError) error = NULL;
  gboolean shaken = tandem_link_handshake_finish (client->link, result, &error);

  client->stage = STAGE_HELLO;
  if (client->left) {
    tandem_receiver_client_unref (client);
    return;
  }
  client->ref_count--;
  if (shaken) {
    watch (client);
    return;
  }
  if (error->code == TANDEM_NET_ERROR_KEY) {
    tell (self, error);
    /* TLS has said so with an alert. */
    watch (client);
    client_stay (client);
  } else {
    GST_WARNING ("%s", error->message);
    client_leave (client);
  }
}

static gboolean
client_look (Client *client)
{
  TandemReceiver *self = client->receiver;

  switch (tandem_link_look (client->link)) {
    case TANDEM_FIRST_BYTES_MORE:
      return G_SOURCE_CONTINUE;
    case TANDEM_FIRST_BYTES_FRAME:
      return client_refuse_unequal (client);
    case TANDEM_FIRST_BYTES_OTHER:
      GST_INFO ("%s left, or speaks neither TLS nor ours", tandem_link_get_peer (client->link));
      return client_leave (client);
    case TANDEM_FIRST_BYTES_TLS:
      break;
  }
  /* Only now it is worth a thread. */
  tandem_clear_source (&client->readable);
  client->stage = STAGE_HANDSHAKE;
  client->ref_count++;
  tandem_handshakes_begin (self->handshakes, client->link, client->origin,
                           (gint64) self->options.handshake_timeout * 1000, on_handshake, client);
  return G_SOURCE_REMOVE;
}

static gboolean
on_client_readable (GSocket *socket, GIOCondition condition, gpointer data)
{
  Client *client = data;
  g_autoptr (GError) error = NULL;
  const TandemFrame *frame;

  if (client->stage == STAGE_REFUSED)
    return tandem_link_drain (client->link) ? client_leave (client) : G_SOURCE_CONTINUE;
  if (client->stage == STAGE_LOOK)
    return client_look (client);
  switch (tandem_link_read (client->link, &frame, &error)) {
    case TANDEM_LINK_AGAIN:
      return G_SOURCE_CONTINUE;
    case TANDEM_LINK_CLOSED:
      GST_INFO ("%s left without a HELLO", tandem_link_get_peer (client->link));
      return client_leave (client);
    case TANDEM_LINK_BROKEN:
      if (g_error_matches (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_INSECURE))
        return client_refuse_unequal (client);
      return client_refuse (client, error);
    case TANDEM_LINK_FRAME:
      break;
  }
  if (frame->type == TANDEM_FRAME_HELLO)
    return client_hello (client, frame);
  error = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                       _("a connection begins with HELLO, not with a frame of type %u"),
                       frame->type);
  return client_refuse (client, error);
}

static gboolean
on_client_timeout (gpointer data)
{
  Client *client = data;

  if (client->stage != STAGE_REFUSED)
    GST_WARNING ("%s did not say HELLO within %u ms", tandem_link_get_peer (client->link),
                 client->receiver->options.handshake_timeout);
  return client_leave (client);
}

/* --- the crowd --- */

/* How many connections each origin has. */
static GHashTable *
count_origins (GPtrArray *pending)
{
  GHashTable *counts = g_hash_table_new (g_str_hash, g_str_equal);
  guint i;

  for (i = 0; i < pending->len; i++) {
    Client *client = g_ptr_array_index (pending, i);
    guint n = GPOINTER_TO_UINT (g_hash_table_lookup (counts, client->origin));

    g_hash_table_insert (counts, client->origin, GUINT_TO_POINTER (n + 1));
  }
  return counts;
}

/* Puts out one of too many: of whoever has most connections, the one that is least far, the
 * oldest of these. A neighbour that comes with one connection stays, whatever others do. */
static void
make_room (TandemReceiver *self)
{
  g_autoptr (GHashTable) counts = count_origins (self->pending);
  Client *victim = NULL;
  guint i, most = 0;

  for (i = 0; i < self->pending->len; i++) {
    Client *client = g_ptr_array_index (self->pending, i);
    guint n = GPOINTER_TO_UINT (g_hash_table_lookup (counts, client->origin));

    if (victim == NULL || n > most || (n == most && client->stage < victim->stage)) {
      victim = client;
      most = n;
    }
  }
  GST_WARNING ("closed the connection of %s: %u others have not said HELLO either",
               tandem_link_get_peer (victim->link), self->pending->len - 1);
  client_leave (victim);
}

/**
 * tandem_receiver_greet: (skip)
 * @self: a receiver; service thread
 * @socket: a new connection
 *
 * Waits, in the background, for the key and the HELLO of @socket.
 */
void
tandem_receiver_greet (TandemReceiver *self, GSocket *socket)
{
  const TandemFrameLimits limits = {
    .max_header = TANDEM_FRAME_MAX_CONTROL_HEADER, .max_payload = 0, .max_sequences = 1,
  };
  g_autoptr (GSocketConnection) connection =
      g_socket_connection_factory_create_connection (socket);
  g_autoptr (TandemLink) link = NULL;
  g_autoptr (GError) error = NULL;
  Client *client;

  if (self->key != NULL)
    link = tandem_link_new_tls (connection, self->key, TRUE, self->options.max_handshake_bytes,
                                &limits, &error);
  else
    link = tandem_link_new (connection, &limits);
  if (link == NULL) {
    tell (self, error);
    return;
  }
  if (self->pending->len >= self->options.max_pending)
    make_room (self);
  client = g_new0 (Client, 1);
  client->ref_count = 1;
  client->receiver = self;
  client->link = g_steal_pointer (&link);
  client->origin = tandem_net_describe_origin (socket);
  client->stage = self->key != NULL ? STAGE_LOOK : STAGE_HELLO;
  client->timeout = g_timeout_source_new (self->options.handshake_timeout);
  g_source_set_callback (client->timeout, on_client_timeout, client, NULL);
  g_source_attach (client->timeout, self->context);
  g_ptr_array_add (self->pending, client);
  watch (client);
}

/* At the end of the service thread: closes what is open, and waits for the handshakes. */
void
tandem_receiver_forget_clients (TandemReceiver *self)
{
  g_ptr_array_set_size (self->pending, 0);
  while (tandem_handshakes_get_n_running (self->handshakes) > 0)
    g_main_context_iteration (self->context, TRUE);
}
