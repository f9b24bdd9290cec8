/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-node-private.h"

#include <glib/gi18n-lib.h>

#include "net/tandem-listener.h"

#define DEFAULT_ADDRESS "127.0.0.1"
#define DEFAULT_REPORT_INTERVAL 1000
#define DEFAULT_HANDSHAKE_TIMEOUT 5000
#define DEFAULT_SILENCE_TIMEOUT 30000
#define DEFAULT_MAX_PENDING 16
#define DEFAULT_MAX_CONNECTIONS 32
/* As long as it fits a TXT record. */
#define MAX_NAME 63

enum
{
  PROP_0,
  PROP_NAME,
  PROP_ADDRESS,
  PROP_PORT,
  PROP_CURRENT_PORT,
  PROP_KEY,
  PROP_INSECURE,
  PROP_MEMORY_LIMIT,
  PROP_THREADS,
  PROP_CACHE_FOLDER,
  PROP_CACHE_LIMIT,
  PROP_REPORT_INTERVAL,
  PROP_HANDSHAKE_TIMEOUT,
  PROP_SILENCE_TIMEOUT,
  PROP_MAX_PENDING,
  PROP_MAX_CONNECTIONS,
  PROP_ADVERTISE,
  PROP_FACTS,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

enum
{
  SIGNAL_ACTIVITY,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (TandemNode, tandem_node, G_TYPE_OBJECT)

static void
tandem_node_finalize (GObject *object)
{
  TandemNode *self = TANDEM_NODE (object);

  g_free (self->name);
  g_free (self->address);
  g_clear_object (&self->key);
  g_free (self->cache_folder);
  g_ptr_array_unref (self->connections);
  tandem_handshakes_free (self->handshakes);
  g_main_context_unref (self->context);
  G_OBJECT_CLASS (tandem_node_parent_class)->finalize (object);
}

static void
set_name (TandemNode *self, const char *name)
{
  const char *chosen = name != NULL && *name != '\0' ? name : g_get_host_name ();
  g_autofree char *valid = g_utf8_make_valid (chosen, -1);
  g_autofree char *cut = g_strndup (valid, MAX_NAME);
  const char *end;

  /* Not in the middle of a character. */
  g_utf8_validate (cut, -1, &end);
  g_free (self->name);
  self->name = g_strndup (cut, end - cut);
}

static void
tandem_node_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  TandemNode *self = TANDEM_NODE (object);

  switch (id) {
    case PROP_NAME:
      set_name (self, g_value_get_string (value));
      break;
    case PROP_ADDRESS:
      g_free (self->address);
      self->address = g_value_dup_string (value);
      break;
    case PROP_PORT:
      self->port = g_value_get_uint (value);
      break;
    case PROP_KEY:
      g_set_object (&self->key, g_value_get_object (value));
      break;
    case PROP_INSECURE:
      self->insecure = g_value_get_boolean (value);
      break;
    case PROP_MEMORY_LIMIT:
      self->memory_limit = g_value_get_uint64 (value);
      break;
    case PROP_THREADS:
      self->n_threads = g_value_get_uint (value);
      break;
    case PROP_CACHE_FOLDER:
      g_free (self->cache_folder);
      self->cache_folder = g_value_dup_string (value);
      break;
    case PROP_CACHE_LIMIT:
      self->cache_limit = g_value_get_uint64 (value);
      break;
    case PROP_REPORT_INTERVAL:
      self->report_interval = g_value_get_uint (value);
      break;
    case PROP_HANDSHAKE_TIMEOUT:
      self->handshake_timeout = g_value_get_uint (value);
      break;
    case PROP_SILENCE_TIMEOUT:
      self->silence_timeout = g_value_get_uint (value);
      break;
    case PROP_MAX_PENDING:
      self->max_pending = g_value_get_uint (value);
      break;
    case PROP_MAX_CONNECTIONS:
      self->max_connections = g_value_get_uint (value);
      break;
    case PROP_ADVERTISE:
      self->advertise = g_value_get_boolean (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
}

static void
tandem_node_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TandemNode *self = TANDEM_NODE (object);

  switch (id) {
    case PROP_NAME:
      g_value_set_string (value, self->name);
      break;
    case PROP_ADDRESS:
      g_value_set_string (value, self->address);
      break;
    case PROP_PORT:
      g_value_set_uint (value, self->port);
      break;
    case PROP_CURRENT_PORT:
      g_value_set_uint (value, self->current_port);
      break;
    case PROP_KEY:
      g_value_set_object (value, self->key);
      break;
    case PROP_INSECURE:
      g_value_set_boolean (value, self->insecure);
      break;
    case PROP_MEMORY_LIMIT:
      g_value_set_uint64 (value, self->memory_limit);
      break;
    case PROP_THREADS:
      g_value_set_uint (value, self->n_threads);
      break;
    case PROP_CACHE_FOLDER:
      g_value_set_string (value, self->cache_folder);
      break;
    case PROP_CACHE_LIMIT:
      g_value_set_uint64 (value, self->cache_limit);
      break;
    case PROP_REPORT_INTERVAL:
      g_value_set_uint (value, self->report_interval);
      break;
    case PROP_HANDSHAKE_TIMEOUT:
      g_value_set_uint (value, self->handshake_timeout);
      break;
    case PROP_SILENCE_TIMEOUT:
      g_value_set_uint (value, self->silence_timeout);
      break;
    case PROP_MAX_PENDING:
      g_value_set_uint (value, self->max_pending);
      break;
    case PROP_MAX_CONNECTIONS:
      g_value_set_uint (value, self->max_connections);
      break;
    case PROP_ADVERTISE:
      g_value_set_boolean (value, self->advertise);
      break;
    case PROP_FACTS:
      g_value_take_boxed (value, tandem_node_make_facts (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
}

static void
install_properties (GObjectClass *klass)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;
  const GParamFlags state = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  /**
   * TandemNode:name:
   *
   * What people call the device, at most 63 bytes; unset: its host name.
   */
  props[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);
  /**
   * TandemNode:address:
   *
   * The address to listen on; those that others can reach need a cluster key. Stages listen on it,
   * too.
   */
  props[PROP_ADDRESS] = g_param_spec_string ("address", NULL, NULL, DEFAULT_ADDRESS, flags);
  /**
   * TandemNode:port:
   *
   * The TCP port to listen on; 0: any free one.
   */
  props[PROP_PORT] = g_param_spec_uint ("port", NULL, NULL, 0, G_MAXUINT16,
                                        TANDEM_NODE_DEFAULT_PORT, flags);
  /**
   * TandemNode:current-port:
   *
   * The TCP port on which it listens; 0: it does not.
   */
  props[PROP_CURRENT_PORT] = g_param_spec_uint ("current-port", NULL, NULL, 0, G_MAXUINT16, 0,
                                                state);
  /**
   * TandemNode:key:
   *
   * The cluster key that others need; %NULL: on loopback none, beyond it that of
   * tandem_cluster_key_load_default().
   */
  props[PROP_KEY] = g_param_spec_object ("key", NULL, NULL, TANDEM_TYPE_CLUSTER_KEY, flags);
  /**
   * TandemNode:insecure:
   *
   * Whether to listen beyond loopback without a key: whoever reaches the port may use the device.
   */
  props[PROP_INSECURE] = g_param_spec_boolean ("insecure", NULL, NULL, FALSE, flags);
  /**
   * TandemNode:memory-limit:
   *
   * How many bytes the stages of all pipelines may need; 0: what the system has available when a
   * pipeline is asked for.
   */
  props[PROP_MEMORY_LIMIT] = g_param_spec_uint64 ("memory-limit", NULL, NULL, 0, G_MAXUINT64, 0,
                                                  flags);
  /**
   * TandemNode:threads:
   *
   * The most threads that one stage, or a profile, may have.
   */
  props[PROP_THREADS] = g_param_spec_uint ("threads", NULL, NULL, 1,
                                           TANDEM_BERT_STAGE_MAX_THREADS, 1, flags);
  /**
   * TandemNode:cache-folder:
   *
   * Where stage files are kept; %NULL: `tandem/stages` in the user's cache folder. No two nodes can
   * share it.
   */
  props[PROP_CACHE_FOLDER] = g_param_spec_string ("cache-folder", NULL, NULL, NULL, flags);
  /**
   * TandemNode:cache-limit:
   *
   * How many bytes of stage files are kept at the most. What was not used for longest goes
   * first, never what runs.
   */
  props[PROP_CACHE_LIMIT] = g_param_spec_uint64 ("cache-limit", NULL, NULL, 0, G_MAXUINT64,
                                                 TANDEM_NODE_DEFAULT_CACHE_LIMIT, flags);
  /**
   * TandemNode:report-interval:
   *
   * Milliseconds between reports of running pipelines to whoever asked for them; 0: there are none.
   */
  props[PROP_REPORT_INTERVAL] = g_param_spec_uint ("report-interval", NULL, NULL, 0, G_MAXINT,
                                                   DEFAULT_REPORT_INTERVAL, flags);
  /**
   * TandemNode:handshake-timeout:
   *
   * Milliseconds that a connection has to show the key and to ask for something.
   */
  props[PROP_HANDSHAKE_TIMEOUT] = g_param_spec_uint ("handshake-timeout", NULL, NULL, 1, G_MAXINT,
                                                     DEFAULT_HANDSHAKE_TIMEOUT, flags);
  /**
   * TandemNode:silence-timeout:
   *
   * Milliseconds after which a connection that says nothing is taken for dead; 0: never.
   */
  props[PROP_SILENCE_TIMEOUT] = g_param_spec_uint ("silence-timeout", NULL, NULL, 0, G_MAXINT,
                                                   DEFAULT_SILENCE_TIMEOUT, flags);
  /**
   * TandemNode:max-pending:
   *
   * How many connections may be open that have asked for nothing; then one of the address that has
   * most is closed.
   */
  props[PROP_MAX_PENDING] = g_param_spec_uint ("max-pending", NULL, NULL, 1, 1024,
                                               DEFAULT_MAX_PENDING, flags);
  /**
   * TandemNode:max-connections:
   *
   * How many connections are served at once.
   */
  props[PROP_MAX_CONNECTIONS] = g_param_spec_uint ("max-connections", NULL, NULL, 1, 1024,
                                                   DEFAULT_MAX_CONNECTIONS, flags);
  /**
   * TandemNode:advertise:
   *
   * Whether the node is announced on the local network, as %TANDEM_NODE_SERVICE_TYPE by mDNS
   * through the system's Avahi daemon; never when it listens on loopback.
   */
  props[PROP_ADVERTISE] = g_param_spec_boolean ("advertise", NULL, NULL, FALSE, flags);
  /**
   * TandemNode:facts:
   *
   * What an announcement of the node says, as `key=value`: `node` (version of the protocol), `id`
   * and `inst` (of the device and of this process), `name`, `cores`, `memory` (bytes), `speed`
   * (floating-point operations a second of the last profile, 0: none), `stages` (cached files) and
   * `busy` (pipelines). It is notified when it changes.
   */
  props[PROP_FACTS] = g_param_spec_boxed ("facts", NULL, NULL, G_TYPE_STRV, state);
  g_object_class_install_properties (klass, N_PROPS, props);
}

static void
tandem_node_class_init (TandemNodeClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = tandem_node_finalize;
  object_class->set_property = tandem_node_set_property;
  object_class->get_property = tandem_node_get_property;
  install_properties (object_class);

  /**
   * TandemNode::activity:
   * @self: the node
   * @what: one of `announced`, `not-announced`, `connected`, `disconnected`, `stranger`,
   * `refused`, `stored`, `measured`,
   *   `built`, `finished`, `failed`, `stopped`
   * @peer: (nullable): address and port of who it is about
   * @text: what happened, for people
   *
   * Something happened that a log may hold. Strangers, who have not shown the key, are mentioned
   * once a second at the most.
   */
  signals[SIGNAL_ACTIVITY] =
      g_signal_new ("activity", TANDEM_TYPE_NODE, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                    G_TYPE_NONE, 3, G_TYPE_STRING, G_TYPE_STRING, G_TYPE_STRING);
}

static void
tandem_node_init (TandemNode *self)
{
  self->context = g_main_context_ref_thread_default ();
  self->handshakes = tandem_handshakes_new ();
  self->connections =
      g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_node_connection_unref);
  self->next_pipeline = 1;
}

/**
 * tandem_node_new:
 *
 * Makes a node that works in the thread-default context of this thread. What it is to be like is
 * set as properties before tandem_node_start().
 *
 * Returns: (transfer full): a node that does not listen yet
 */
TandemNode *
tandem_node_new (void)
{
  return g_object_new (TANDEM_TYPE_NODE, NULL);
}

/* --- what other parts use --- */

void
tandem_node_tell (TandemNode *self, const char *what, const char *peer, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_signal_emit (self, signals[SIGNAL_ACTIVITY], 0, what, peer, text);
}

void
tandem_node_run (TandemNode *self, GCancellable *cancellable, GTaskThreadFunc func,
                 GAsyncReadyCallback done, gpointer data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, done, data);

  /* What was done has to be undone: its result counts, whatever happened meanwhile. */
  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, data, NULL);
  self->n_tasks++;
  g_task_run_in_thread (task, func);
}

void
tandem_node_ran (TandemNode *self)
{
  self->n_tasks--;
  tandem_node_check_stopped (self);
}

void
tandem_node_changed (TandemNode *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_FACTS]);
  tandem_node_announce_again (self);
}

/* --- life --- */

static gboolean
on_connection (GSocket *listener, GIOCondition condition, gpointer data)
{
  g_autoptr (GSocket) socket = g_socket_accept (listener, NULL, NULL);

  if (socket != NULL)
    tandem_node_greet (data, socket);
  return G_SOURCE_CONTINUE;
}

static gboolean
open_cache (TandemNode *self, GError **error)
{
  g_autofree char *folder = g_strdup (self->cache_folder);

  if (folder == NULL)
    folder = g_build_filename (g_get_user_cache_dir (), "tandem", "stages", NULL);
  self->cache = tandem_stage_cache_open (folder, self->cache_limit, error);
  return self->cache != NULL;
}

/**
 * tandem_node_start:
 * @self: a node that does not listen
 * @error: return location for %TANDEM_NET_ERROR_INSECURE, %TANDEM_NET_ERROR_KEY when the cluster
 * key
 *   has expired, a #TandemNodeError of the cache folder, or an error of #GIOErrorEnum or
 *   #GResolverError
 *
 * Opens the cache and the port. A node that was started holds a reference to itself until
 * tandem_node_stop_async() has ended.
 *
 * Returns: whether it listens
 */
gboolean
tandem_node_start (TandemNode *self, GError **error)
{
  g_return_val_if_fail (TANDEM_IS_NODE (self), FALSE);
  g_return_val_if_fail (self->cache == NULL, FALSE);

  if (!open_cache (self, error))
    return FALSE;
  self->listener = tandem_listen (self->address, self->port, &self->key, self->insecure,
                                  &self->current_port, error);
  if (self->listener == NULL) {
    g_clear_pointer (&self->cache, tandem_stage_cache_free);
    return FALSE;
  }
  self->accept_source = g_socket_create_source (self->listener, G_IO_IN, NULL);
  g_source_set_callback (self->accept_source, G_SOURCE_FUNC (on_connection), self, NULL);
  g_source_attach (self->accept_source, self->context);
  g_object_ref (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_CURRENT_PORT]);
  tandem_node_changed (self);
  tandem_node_announce (self);
  return TRUE;
}

/* Everybody who could still call us is gone. */
void
tandem_node_check_stopped (TandemNode *self)
{
  g_autoptr (GTask) task = NULL;

  if (self->stopping == NULL || self->n_tasks > 0 || tandem_handshakes_get_n_running (self->handshakes) > 0 ||
      self->connections->len > 0)
    return;
  task = g_steal_pointer (&self->stopping);
  g_clear_pointer (&self->cache, tandem_stage_cache_free);
  g_task_return_boolean (task, TRUE);
  g_object_unref (self);
}

/**
 * tandem_node_stop_async:
 * @self: a node that listens
 * @callback: called when all has ended
 * @user_data: for @callback
 *
 * Closes the port and all connections, and stops all pipelines.
 */
void
tandem_node_stop_async (TandemNode *self, GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (TANDEM_IS_NODE (self));
  g_return_if_fail (self->cache != NULL && self->stopping == NULL);

  self->stopping = g_task_new (self, NULL, callback, user_data);
  tandem_node_announce_no_more (self);
  g_source_destroy (self->accept_source);
  g_clear_pointer (&self->accept_source, g_source_unref);
  g_clear_object (&self->listener);
  self->current_port = 0;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_CURRENT_PORT]);
  self->n_tasks++;
  while (self->connections->len > 0)
    tandem_node_connection_leave (g_ptr_array_index (self->connections, 0), _("the node stops"));
  tandem_node_ran (self);
}

/**
 * tandem_node_stop_finish:
 * @self: a node
 * @result: what the callback got
 * @error: return location
 *
 * Returns: %TRUE
 */
gboolean
tandem_node_stop_finish (TandemNode *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * tandem_node_get_port:
 * @self: a node
 *
 * Returns: the TCP port on which it listens, or 0 when it does not
 */
guint16
tandem_node_get_port (TandemNode *self)
{
  g_return_val_if_fail (TANDEM_IS_NODE (self), 0);

  return self->current_port;
}
