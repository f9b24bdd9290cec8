/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-node-client-private.h"

#include <glib/gi18n-lib.h>

#include "base/tandem-source-private.h"
#include "net/tandem-host.h"

G_DEFINE_FINAL_TYPE (TandemNodeClient, tandem_node_client, G_TYPE_OBJECT)

static void
pending_free (gpointer data)
{
  TandemNodePending *pending = data;

  tandem_clear_source (&pending->cancel_source);
  g_clear_object (&pending->task);
  g_free (pending);
}

static void
tandem_node_client_dispose (GObject *object)
{
  tandem_node_client_close (TANDEM_NODE_CLIENT (object));
  G_OBJECT_CLASS (tandem_node_client_parent_class)->dispose (object);
}

static void
tandem_node_client_finalize (GObject *object)
{
  TandemNodeClient *self = TANDEM_NODE_CLIENT (object);

  g_hash_table_unref (self->pending);
  g_clear_error (&self->refusal);
  g_free (self->host);
  g_free (self->address);
  g_main_context_unref (self->context);
  G_OBJECT_CLASS (tandem_node_client_parent_class)->finalize (object);
}

static void
tandem_node_client_class_init (TandemNodeClientClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = tandem_node_client_dispose;
  object_class->finalize = tandem_node_client_finalize;
  tandem_node_client_install_signals (object_class);
}

static void
tandem_node_client_init (TandemNodeClient *self)
{
  self->context = g_main_context_ref_thread_default ();
  self->pending = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, pending_free);
}

/* --- the end --- */

static void
drop_connection (TandemNodeClient *self)
{
  tandem_clear_source (&self->keepalive);
  tandem_clear_source (&self->connect_timeout);
  if (self->channel != NULL)
    tandem_control_channel_close (self->channel);
  g_clear_pointer (&self->channel, tandem_control_channel_unref);
  g_clear_pointer (&self->link, tandem_link_unref);
  if (self->sending != NULL)
    tandem_node_client_put_end (self, self->sending->id);
}

/* Everybody who waits learns that nothing comes any more. */
void
tandem_node_client_end (TandemNodeClient *self, const GError *error)
{
  g_autoptr (GTask) connecting = g_steal_pointer (&self->connecting);
  g_autoptr (GHashTable) pending = self->pending;
  GHashTableIter iter;
  gpointer value;

  self->pending = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, pending_free);
  drop_connection (self);
  if (connecting != NULL)
    g_task_return_error (connecting, g_error_copy (error));
  g_hash_table_iter_init (&iter, pending);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    TandemNodePending *one = value;

    tandem_clear_source (&one->cancel_source);
    if (one->task != NULL)
      g_task_return_error (one->task, g_error_copy (error));
  }
}

void
tandem_node_client_closed (TandemControlChannel *channel, const GError *error, gpointer data)
{
  g_autoptr (TandemNodeClient) self = g_object_ref (data);
  g_autoptr (GError) why = g_steal_pointer (&self->refusal);
  gboolean was_connecting = self->connecting != NULL;

  if (why != NULL)
    g_prefix_error (&why, _("The node at %s port %u refused: "), self->host, self->port);
  else if (error != NULL)
    why = g_error_copy (error);
  else
    why = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
                       _("The node at %s port %u ended the connection."), self->host, self->port);
  tandem_node_client_end (self, why);
  if (!was_connecting)
    tandem_node_client_emit_closed (self, why);
}

/**
 * tandem_node_client_close:
 * @self: a client
 *
 * Ends the connection; requests that are not answered fail with %G_IO_ERROR_CLOSED. The stages that
 * were built over it stop.
 */
void
tandem_node_client_close (TandemNodeClient *self)
{
  g_autoptr (GError) error = NULL;

  g_return_if_fail (TANDEM_IS_NODE_CLIENT (self));

  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CLOSED, _("The connection was closed."));
  tandem_node_client_end (self, error);
}

/**
 * tandem_node_client_is_open:
 * @self: a client
 *
 * Returns: whether there is a connection
 */
gboolean
tandem_node_client_is_open (TandemNodeClient *self)
{
  g_return_val_if_fail (TANDEM_IS_NODE_CLIENT (self), FALSE);

  return self->channel != NULL;
}

/* --- requests --- */

static gboolean
on_cancelled (GCancellable *cancellable, gpointer data)
{
  TandemNodePending *pending = data;
  g_autoptr (GTask) task = g_steal_pointer (&pending->task);

  g_clear_pointer (&pending->cancel_source, g_source_unref);
  tandem_node_client_put_end (pending->client, pending->id);
  tandem_node_client_cancel (pending->client, pending->id);
  g_task_return_error_if_cancelled (task);
  return G_SOURCE_REMOVE;
}

JsonBuilder *
tandem_node_client_begin (TandemNodeClient *self, const char *request, gint64 *id)
{
  JsonBuilder *json = json_builder_new ();

  *id = self->next_id++;
  json_builder_begin_object (json);
  json_builder_set_member_name (json, "id");
  json_builder_add_int_value (json, *id);
  json_builder_set_member_name (json, "request");
  json_builder_add_string_value (json, request);
  return json;
}

void
tandem_node_client_send (TandemNodeClient *self, gint64 id, JsonBuilder *json, GTask *task,
                         void (*answer) (TandemNodePending *, const TandemPlaceObject *))
{
  g_autoptr (JsonBuilder) message = json;
  GCancellable *cancellable = task != NULL ? g_task_get_cancellable (task) : NULL;
  TandemNodePending *pending;

  json_builder_end_object (message);
  if (self->channel == NULL) {
    if (task != NULL)
      g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CLOSED, "%s",
                               _("The connection was closed."));
    tandem_node_client_put_end (self, id);
    g_clear_object (&task);
    return;
  }
  pending = g_new0 (TandemNodePending, 1);
  pending->client = self;
  pending->id = id;
  pending->task = task;
  pending->answer = answer;
  g_hash_table_insert (self->pending, &pending->id, pending);
  if (cancellable != NULL) {
    pending->cancel_source = g_cancellable_source_new (cancellable);
    g_source_set_callback (pending->cancel_source, G_SOURCE_FUNC (on_cancelled), pending, NULL);
    g_source_attach (pending->cancel_source, self->context);
  }
  tandem_control_channel_send (self->channel, message);
}

/* Nobody is interested in the answer to this. */
void
tandem_node_client_ignore_answer (TandemNodePending *pending, const TandemPlaceObject *in)
{
}

void
tandem_node_client_cancel (TandemNodeClient *self, gint64 target)
{
  gint64 id;
  JsonBuilder *json = tandem_node_client_begin (self, "cancel", &id);

  json_builder_set_member_name (json, "target");
  json_builder_add_int_value (json, target);
  tandem_node_client_send (self, id, json, NULL, tandem_node_client_ignore_answer);
}

static void
on_reply (TandemNodeClient *self, const TandemPlaceObject *in)
{
  TandemNodePending *pending;
  gpointer key, value;
  guint64 id;
  gint64 number;

  if (!tandem_place_get_whole (in, "reply", 0, TANDEM_CONTROL_MAX_NUMBER, &id))
    return;
  number = id;
  if (!g_hash_table_steal_extended (self->pending, &number, &key, &value))
    return;
  pending = value;
  tandem_node_client_put_end (self, number);
  if (!tandem_place_has (in, "error"))
    pending->answer (pending, in);
  else if (pending->task != NULL)
    g_task_return_error (pending->task, tandem_node_client_read_error (in));
  pending_free (pending);
}

void
tandem_node_client_message (TandemControlChannel *channel, JsonObject *object, gpointer data)
{
  g_autoptr (TandemNodeClient) self = g_object_ref (data);
  g_autoptr (GError) error = NULL;
  TandemPlaceObject in = { _("the node's message"), "", object, &error };
  const char *name;

  if (tandem_place_has (&in, "reply"))
    on_reply (self, &in);
  else if ((name = tandem_place_get_text (&in, "event")) != NULL)
    tandem_node_client_event (self, name, &in);
}

/* --- addresses --- */

/**
 * tandem_node_client_get_address:
 * @self: a client that was connected
 *
 * Returns: (nullable): the address of the node that the connection goes to, which other devices of
 *   the same network may use
 */
const char *
tandem_node_client_get_address (TandemNodeClient *self)
{
  g_return_val_if_fail (TANDEM_IS_NODE_CLIENT (self), NULL);

  return self->address;
}

/**
 * tandem_node_client_get_port:
 * @self: a client
 *
 * Returns: the TCP port of the node
 */
guint16
tandem_node_client_get_port (TandemNodeClient *self)
{
  g_return_val_if_fail (TANDEM_IS_NODE_CLIENT (self), 0);

  return self->port;
}

/**
 * tandem_node_client_dup_local_address:
 * @self: a client
 *
 * Returns: (transfer full) (nullable): the address of this device that the connection comes from,
 *   or %NULL when there is no connection
 */
char *
tandem_node_client_dup_local_address (TandemNodeClient *self)
{
  g_autoptr (GSocketAddress) local = NULL;

  g_return_val_if_fail (TANDEM_IS_NODE_CLIENT (self), NULL);

  if (self->link != NULL)
    local = g_socket_get_local_address (tandem_link_get_socket (self->link), NULL);
  return local != NULL ? tandem_host_from_address (local) : NULL;
}

/**
 * tandem_node_client_is_occupied:
 * @self: a client
 *
 * Returns: whether a file or data that is timed is on its way, so that other answers may take long
 */
gboolean
tandem_node_client_is_occupied (TandemNodeClient *self)
{
  g_return_val_if_fail (TANDEM_IS_NODE_CLIENT (self), FALSE);

  return self->sending != NULL || self->timing != NULL;
}
