/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a connection to a node is made, and kept alive. */

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

static gboolean
on_keepalive (gpointer data)
{
  TandemNodeClient *self = data;
  g_autoptr (GError) error = NULL;
  gint64 id;

  if (g_get_monotonic_time () - tandem_control_channel_get_last_read (self->channel) <
      SILENCE_US) {
    JsonBuilder *json = tandem_node_client_begin (self, "ping", &id);

    tandem_node_client_send (self, id, json, NULL, tandem_node_client_ignore_answer);
    return G_SOURCE_CONTINUE;
  }
  error = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                       _("The node at %s port %u says nothing any more."), self->host, self->port);
  tandem_node_client_closed (self->channel, error, self);
  return G_SOURCE_REMOVE;
}

static void
on_first_pong (TandemNodePending *pending, const TandemPlaceObject *in)
{
  TandemNodeClient *self = pending->client;
  g_autoptr (GTask) task = g_steal_pointer (&self->connecting);

  g_source_destroy (self->connect_timeout);
  g_clear_pointer (&self->connect_timeout, g_source_unref);
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
  tandem_node_client_closed (channel, error, self);
}

static void
begin (TandemNodeClient *self)
{
  static const TandemControlFuncs funcs = { on_ready, tandem_node_client_message, on_data,
                                            on_drained, tandem_node_client_closed };

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
    tandem_node_client_end (self, error);
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
    tandem_node_client_end (self, error);
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
  tandem_node_client_end (self, error);
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
