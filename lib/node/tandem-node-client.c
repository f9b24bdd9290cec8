/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-node-client-private.h"

#include <glib/gi18n-lib.h>

#include "net/tandem-candidate.h"
#include "net/tandem-host.h"

#define HANDSHAKE_TIMEOUT_MS 5000
#define CONNECT_TIMEOUT_MS 10000
/* Of a node that has not shown the key. */
#define MAX_HANDSHAKE_BYTES (64 * 1024)
#define PING_INTERVAL_MS 10000
#define SILENCE_US (30 * G_USEC_PER_SEC)

G_DEFINE_FINAL_TYPE (TandemNodeClient, tandem_node_client, G_TYPE_OBJECT)

static void
stop_source (GSource **source)
{
  if (*source != NULL)
    g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
pending_free (gpointer data)
{
  TandemNodePending *pending = data;

  stop_source (&pending->cancel_source);
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
  stop_source (&self->keepalive);
  stop_source (&self->connect_timeout);
  if (self->channel != NULL)
    tandem_control_channel_close (self->channel);
  g_clear_pointer (&self->channel, tandem_control_channel_unref);
  g_clear_pointer (&self->link, tandem_link_unref);
  if (self->sending != NULL)
    tandem_node_client_put_end (self, self->sending->id);
}

/* Everybody who waits learns that nothing comes any more. */
static void
end (TandemNodeClient *self, const GError *error)
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

    stop_source (&one->cancel_source);
    if (one->task != NULL)
      g_task_return_error (one->task, g_error_copy (error));
  }
}

static void
on_closed (TandemControlChannel *channel, const GError *error, gpointer data)
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
  end (self, why);
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
  end (self, error);
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
static void
ignore_answer (TandemNodePending *pending, const TandemPlaceObject *in)
{
}

void
tandem_node_client_cancel (TandemNodeClient *self, gint64 target)
{
  gint64 id;
  JsonBuilder *json = tandem_node_client_begin (self, "cancel", &id);

  json_builder_set_member_name (json, "target");
  json_builder_add_int_value (json, target);
  tandem_node_client_send (self, id, json, NULL, ignore_answer);
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

static void
on_message (TandemControlChannel *channel, JsonObject *object, gpointer data)
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

/* --- connecting --- */

static gboolean
on_keepalive (gpointer data)
{
  TandemNodeClient *self = data;
  g_autoptr (GError) error = NULL;
  gint64 id;

  if (g_get_monotonic_time () - tandem_control_channel_get_last_read (self->channel) <
      SILENCE_US) {
    JsonBuilder *json = tandem_node_client_begin (self, "ping", &id);

    tandem_node_client_send (self, id, json, NULL, ignore_answer);
    return G_SOURCE_CONTINUE;
  }
  error = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                       _("The node at %s port %u says nothing any more."), self->host, self->port);
  on_closed (self->channel, error, self);
  return G_SOURCE_REMOVE;
}

static void
on_first_pong (TandemNodePending *pending, const TandemPlaceObject *in)
{
  TandemNodeClient *self = pending->client;
  g_autoptr (GTask) task = g_steal_pointer (&self->connecting);

  stop_source (&self->connect_timeout);
  self->keepalive = g_timeout_source_new (PING_INTERVAL_MS);
  g_source_set_callback (self->keepalive, on_keepalive, self, NULL);
  g_source_attach (self->keepalive, self->context);
  g_task_return_pointer (task, g_object_ref (self), g_object_unref);
}

/* With TLS 1.3 our handshake is over before the node has looked at our key, and a node may be too
 * busy: only an answer tells. */
static void
on_ready (TandemControlChannel *channel, gpointer data)
{
  TandemNodeClient *self = data;
  gint64 id;
  JsonBuilder *json = tandem_node_client_begin (self, "ping", &id);

  tandem_node_client_send (self, id, json, NULL, on_first_pong);
}

static void
on_drained (TandemControlChannel *channel, gpointer data)
{
  tandem_node_client_put_drained (data);
  tandem_node_client_timing_drained (data);
}

/* Only what was asked for: a node that floods us is not worth the time. */
static void
on_data (TandemControlChannel *channel, GBytes *bytes, gpointer data)
{
  g_autoptr (TandemNodeClient) self = g_object_ref (data);
  gsize size = g_bytes_get_size (bytes);
  g_autoptr (GError) error = NULL;

  if (size <= self->data_left) {
    self->data_left -= size;
    tandem_node_client_timing_data (self, size);
    return;
  }
  error = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                       _("The node at %s port %u sends data that nobody asked for."), self->host,
                       self->port);
  on_closed (channel, error, self);
}

static void
begin (TandemNodeClient *self)
{
  static const TandemControlFuncs funcs = { on_ready, on_message, on_data, on_drained, on_closed };

  self->channel = tandem_control_channel_new (self->link, self->context, &funcs, self);
  tandem_control_channel_start (self->channel);
}

static void
on_handshake (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (TandemNodeClient) self = data;
  g_autoptr (TandemLink) link = self->link != NULL ? tandem_link_ref (self->link) : NULL;
  g_autoptr (GError) error = NULL;

  if (link == NULL)
    return;
  if (!tandem_link_handshake_finish (link, result, &error))
    end (self, error);
  else if (self->connecting != NULL)
    begin (self);
}

/* Beyond loopback there is a key, or somebody said that there is to be none. */
static TandemClusterKey *
choose_key (TandemNodeClient *self, GSocketConnection *connection, TandemClusterKey *key,
            gboolean insecure, GError **error)
{
  g_autoptr (GSocketAddress) remote = g_socket_connection_get_remote_address (connection, error);
  g_autoptr (GError) local = NULL;
  gboolean is_loopback;

  if (remote == NULL)
    return NULL;
  if (key != NULL)
    return tandem_cluster_key_check_validity (key, error) ? g_object_ref (key) : NULL;
  is_loopback = G_IS_INET_SOCKET_ADDRESS (remote) && g_inet_address_get_is_loopback (
      g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (remote)));
  if (is_loopback || insecure)
    return NULL;
  key = tandem_cluster_key_load_default (&local);
  if (key == NULL)
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_INSECURE,
                 _("Nothing would protect the connection to the node at %s. %s"), self->host,
                 local->message);
  return key;
}

typedef struct
{
  TandemNodeClient *client;
  TandemClusterKey *key;        /* (nullable) */
  gboolean insecure;
} Connecting;

static void
note_address (TandemNodeClient *self, GSocketConnection *connection)
{
  g_autoptr (GSocketAddress) remote = g_socket_connection_get_remote_address (connection, NULL);

  if (!G_IS_INET_SOCKET_ADDRESS (remote))
    return;
  self->address = tandem_host_from_address (remote);
  self->port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (remote));
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  const TandemFrameLimits limits = { .max_sequences = 1 };
  g_autofree Connecting *connecting = data;
  g_autoptr (TandemNodeClient) self = connecting->client;
  g_autoptr (TandemClusterKey) given = connecting->key;
  g_autoptr (TandemClusterKey) key = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocketConnection) connection =
      g_socket_client_connect_finish (G_SOCKET_CLIENT (source), result, &error);

  if (self->connecting == NULL)
    return;
  if (connection != NULL)
    note_address (self, connection);
  if (connection != NULL)
    key = choose_key (self, connection, given, connecting->insecure, &error);
  if (error == NULL)
    self->link = key != NULL ? tandem_link_new_tls (connection, key, FALSE, MAX_HANDSHAKE_BYTES,
                                                    &limits, &error)
                             : tandem_link_new (connection, &limits);
  if (error != NULL)
    end (self, error);
  else if (key != NULL)
    tandem_link_handshake_async (self->link, HANDSHAKE_TIMEOUT_MS * G_GINT64_CONSTANT (1000),
                                 on_handshake, g_object_ref (self));
  else
    begin (self);
}

static gboolean
on_connect_timeout (gpointer data)
{
  g_autoptr (TandemNodeClient) self = g_object_ref (data);
  g_autoptr (GError) error =
      g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                   _("The node at %s port %u does not answer."), self->host, self->port);

  if (self->link != NULL)
    tandem_link_shutdown (self->link);
  end (self, error);
  return G_SOURCE_REMOVE;
}

static void
connecting_cancelled (GCancellable *cancellable, gpointer data)
{
  g_source_set_ready_time (data, 0);
}

static void
connect_to (GSocketConnectable *to, const char *host, guint16 port, TandemClusterKey *key,
            gboolean insecure, GCancellable *cancellable, GAsyncReadyCallback callback,
            gpointer user_data)
{
  g_autoptr (TandemNodeClient) self
 = g_object_new (TANDEM_TYPE_NODE_CLIENT, NULL);
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  Connecting *connecting = g_new0 (Connecting, 1);

  self->host = g_strdup (host);
  self->port = port;
  self->connecting = g_task_new (NULL, cancellable, callback, user_data);
  /* The task keeps the client until it has ended. */
  g_task_set_task_data (self->connecting, g_object_ref (self), g_object_unref);
  self->connect_timeout = g_timeout_source_new (CONNECT_TIMEOUT_MS);
  g_source_set_callback (self->connect_timeout, on_connect_timeout, self, NULL);
  g_source_attach (self->connect_timeout, self->context);
  if (cancellable != NULL)
    g_cancellable_connect (cancellable, G_CALLBACK (connecting_cancelled),
                           g_source_ref (self->connect_timeout),
                           (GDestroyNotify) g_source_unref);
  connecting->client = g_object_ref (self);
  connecting->key = key != NULL ? g_object_ref (key) : NULL;
  connecting->insecure = insecure;
  g_socket_client_set_enable_proxy (client, FALSE);
  g_socket_client_connect_async (client, to, cancellable, on_connected, connecting);
}

/**
 * tandem_node_client_connect_async:
 * @host: a name or an address
 * @port: its TCP port, usually %TANDEM_NODE_DEFAULT_PORT
 * @key: (nullable): the cluster key; %NULL: on loopback none, beyond it that of
 *   tandem_cluster_key_load_default()
 * @insecure: whether to do without a key beyond loopback
 * @cancellable: (nullable): a cancellable
 * @callback: called when the node has answered, or after 10 seconds
 * @user_data: for @callback
 *
 * Connects to a node.
 */
void
tandem_node_client_connect_async (const char *host, guint16 port, TandemClusterKey *key,
                                  gboolean insecure, GCancellable *cancellable,
                                  GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GSocketConnectable) to = g_network_address_new (host, port);

  connect_to (to, host, port, key, insecure, cancellable, callback, user_data);
}

/**
 * tandem_node_client_connect_to_async:
 * @to: whom to connect to, perhaps at one of several addresses, as a #TandemCandidate
 * @key: (nullable): as of tandem_node_client_connect_async()
 * @insecure: whether to do without a key beyond loopback
 * @cancellable: (nullable): a cancellable
 * @callback: called when the node has answered, or after 10 seconds; it is to call
 *   tandem_node_client_connect_finish()
 * @user_data: for @callback
 *
 * Connects to a node at the first of its addresses that takes a connection.
 */
void
tandem_node_client_connect_to_async (GSocketConnectable *to, TandemClusterKey *key,
                                     gboolean insecure, GCancellable *cancellable,
                                     GAsyncReadyCallback callback, gpointer user_data)
{
  g_autofree char *host = NULL;
  guint16 port = 0;

  g_return_if_fail (G_IS_SOCKET_CONNECTABLE (to));

  if (TANDEM_IS_CANDIDATE (to)) {
    host = tandem_candidate_get_host (TANDEM_CANDIDATE (to));
    port = tandem_candidate_get_port (TANDEM_CANDIDATE (to));
  } else {
    host = g_socket_connectable_to_string (to);
  }
  connect_to (to, host, port, key, insecure, cancellable, callback, user_data);
}

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
/**
 * tandem_node_client_connect_finish:
 * @result: what the callback got
 * @error: return location for a #TandemNetError, %TANDEM_NODE_ERROR_BUSY or a #GIOErrorEnum
 *
 * Returns: (transfer full): a client whose node answers, or %NULL
 */
TandemNodeClient *
tandem_node_client_connect_finish (GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
