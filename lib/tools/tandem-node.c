/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem node: the service of a device that runs stages for others. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <gst/gst.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem.h"

#define LOOPBACK "127.0.0.1"

typedef struct
{
  char *address, *key, *name, *memory, *cache, *cache_size;
  int port, n_threads;
  gboolean insecure, json, hidden;
} Options;

typedef struct
{
  TandemNode *node;
  GMainLoop *loop;
  gboolean json;
} Service;

static void
options_clear (Options *options)
{
  g_free (options->address);
  g_free (options->key);
  g_free (options->name);
  g_free (options->memory);
  g_free (options->cache);
  g_free (options->cache_size);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* --- log --- */

static void
print_json (const char *what, const char *peer, const char *text, guint port)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format_iso8601 (now);
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *line = NULL;

  json_builder_begin_object (json);
  json_builder_set_member_name (json, "time");
  json_builder_add_string_value (json, time);
  json_builder_set_member_name (json, "event");
  json_builder_add_string_value (json, what);
  if (peer != NULL) {
    json_builder_set_member_name (json, "peer");
    json_builder_add_string_value (json, peer);
  }
  if (port != 0) {
    json_builder_set_member_name (json, "port");
    json_builder_add_int_value (json, port);
  }
  json_builder_set_member_name (json, "message");
  json_builder_add_string_value (json, text);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  line = json_to_string (root, FALSE);
  g_print ("%s\n", line);
}

static void
print_line (Service *service, const char *what, const char *peer, const char *text, guint port)
{
  g_autofree char *printable = tandem_command_printable (text);

  if (service->json)
    print_json (what, peer, text, port);
  else if (peer != NULL)
    g_print ("%s: %s\n", peer, printable);
  else
    g_print ("%s\n", printable);
}

static void
on_activity (TandemNode *node, const char *what, const char *peer, const char *text,
             gpointer data)
{
  print_line (data, what, peer, text, 0);
}

/* --- options --- */

/* A key that is there and cannot be used is an error; that there is none is not. */
static gboolean
load_key (const Options *options, TandemClusterKey **key, GError **error)
{
  g_autofree char *path = g_strdup (options->key);

  *key = NULL;
  if (options->insecure)
    return TRUE;
  if (path == NULL) {
    path = tandem_cluster_key_get_default_path ();
    if (!g_file_test (path, G_FILE_TEST_EXISTS))
      return TRUE;
  }
  *key = tandem_cluster_key_load (path, error);
  return *key != NULL;
}

static const char *
choose_address (const Options *options, TandemClusterKey *key)
{
  g_autoptr (GSocket) socket = NULL;

  if (options->address != NULL)
    return options->address;
  if (key == NULL && !options->insecure)
    return LOOPBACK;
  socket = g_socket_new (G_SOCKET_FAMILY_IPV6, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL);
  return socket != NULL ? "::" : "0.0.0.0";
}

/* --- the service --- */

static char *
describe (TandemNode *node, TandemClusterKey *key, const char *address, gboolean insecure)
{
  guint port = tandem_node_get_port (node);

  if (key != NULL)
    return g_strdup_printf (_("Listening on %s port %u for devices with the cluster key \"%s\" "
                              "(%.16s)."), address, port, tandem_cluster_key_get_name (key),
                            tandem_cluster_key_get_fingerprint (key));
  if (insecure)
    return g_strdup_printf (_("Listening on %s port %u for ANYBODY who reaches it: nothing is "
                              "protected."), address, port);
  return g_strdup_printf (_("Listening on %s port %u, for programs of this device alone: there is "
                            "no cluster key. Make one with \"tandem key new\"."), address, port);
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer data)
{
  Service *service = data;

  g_main_loop_quit (service->loop);
}

static gboolean
on_signal (GCancellable *cancellable, gpointer data)
{
  Service *service = data;

  print_line (service, "stopping", NULL, _("Stopping."), 0);
  tandem_node_stop_async (service->node, on_stopped, service);
  return G_SOURCE_REMOVE;
}

static int
serve (TandemNode *node, const char *address, const Options *options, GCancellable *cancellable)
{
  Service service = { node, NULL, options->json };
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GSource) stop = g_cancellable_source_new (cancellable);
  g_autoptr (TandemClusterKey) key = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *sentence = NULL;

  service.loop = loop;
  g_signal_connect (node, "activity", G_CALLBACK (on_activity), &service);
  if (!tandem_node_start (node, &error))
    return tandem_command_failed (error);
  g_object_get (node, "key", &key, NULL);
  sentence = describe (node, key, address, options->insecure);
  print_line (&service, "listening", NULL, sentence, tandem_node_get_port (node));
  g_source_set_callback (stop, G_SOURCE_FUNC (on_signal), &service, NULL);
  g_source_attach (stop, NULL);
  g_main_loop_run (loop);
  g_signal_handlers_disconnect_by_data (node, &service);
  return TANDEM_EXIT_OK;
}

static int
check_options (const Options *options, guint64 *memory, guint64 *cache_size)
{
  if (options->port < 0 || options->port > G_MAXUINT16)
    return tandem_command_usage (_("--port is %d; it is to be from 0 to %d"), options->port,
                                 G_MAXUINT16);
  if (options->n_threads < 1 || options->n_threads > TANDEM_BERT_STAGE_MAX_THREADS)
    return tandem_command_usage (_("--threads is %d; it is to be from 1 to %d"),
                                 options->n_threads, TANDEM_BERT_STAGE_MAX_THREADS);
  if (options->memory != NULL && !tandem_command_parse_size (options->memory, memory))
    return tandem_command_usage (_("--memory is \"%s\"; it is to be a number of bytes, as 512M"),
                                 options->memory);
  if (options->cache_size != NULL && !tandem_command_parse_size (options->cache_size, cache_size))
    return tandem_command_usage (_("--cache-size is \"%s\"; it is to be a number of bytes, as 4G"),
                                 options->cache_size);
  if (options->key != NULL && options->insecure)
    return tandem_command_usage (_("--key and --insecure exclude each other"));
  return TANDEM_EXIT_OK;
}

static int
run (char **args)
{
  g_auto (Options) options = { .port = TANDEM_NODE_DEFAULT_PORT,
                               .n_threads = MIN ((int) g_get_num_processors (),
                                                 TANDEM_BERT_STAGE_MAX_THREADS) };
  const GOptionEntry entries[] = {
    { "port", 'p', G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.port,
      N_("TCP port to listen on (10301; 0: any free one)"), N_("PORT") },
    { "address", 'a', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.address,
      N_("Address to listen on (all with a cluster key, else loopback)"), N_("ADDRESS") },
    { "key", 'k', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.key,
      N_("Cluster key (TANDEM_KEY, or ~/.config/tandem/cluster.key)"), N_("FILE") },
    { "insecure", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.insecure,
      N_("Listen without a key: whoever reaches the port may use this device"), NULL },
    { "name", 'n', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.name,
      N_("What the device is called (its host name)"), N_("NAME") },
    { "memory", 'm', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.memory,
      N_("Memory that stages may take, as 512M (what is available)"), N_("SIZE") },
    { "threads", 't', G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.n_threads,
      N_("The most threads of a stage (all processors)"), N_("N") },
    { "cache", 'c', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.cache,
      N_("Folder for stage files (~/.cache/tandem/stages)"), N_("FOLDER") },
    { "cache-size", 's', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.cache_size,
      N_("How much of them is kept (4G)"), N_("SIZE") },
    { "hidden", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.hidden,
      N_("Do not announce the node on the local network"), NULL },
    { "json", 'j', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.json,
      N_("Print what happens as JSON, one object a line"), NULL },
    { NULL },
  };
  g_auto (GStrv) rest = g_strdupv (args);
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (TandemClusterKey) key = NULL;
  g_autoptr (TandemNode) node = NULL;
  g_autoptr (GError) error = NULL;
  guint64 memory = 0, cache_size = TANDEM_NODE_DEFAULT_CACHE_LIMIT;
  const char *address;
  int status;

  if (!tandem_command_parse (&tandem_command_node, NULL,
                             N_("Runs until it is interrupted. Other devices of the cluster ask it "
                                "what it can do, send it\nstage files and have it run layers."),
                             entries, &rest))
    return TANDEM_EXIT_USAGE;
  if (rest[1] != NULL)
    return tandem_command_usage (_("there is nothing to name here: \"%s\""), rest[1]);
  status = check_options (&options, &memory, &cache_size);
  if (status != TANDEM_EXIT_OK)
    return status;
  cancellable = tandem_command_catch_signals ();
  /* A limit on files that is reached is an error of the write, as a full disk is. */
  signal (SIGXFSZ, SIG_IGN);
  gst_init (NULL, NULL);
  tandem_init ();
  if (!load_key (&options, &key, &error))
    return tandem_command_failed (error);
  address = choose_address (&options, key);
  node = g_object_new (TANDEM_TYPE_NODE, "name", options.name, "address", address, "port",
                       options.port, "key", key, "insecure", options.insecure, "memory-limit",
                       memory, "threads", options.n_threads, "cache-folder", options.cache,
                       "cache-limit", cache_size, "advertise", !options.hidden, NULL);
  return serve (node, address, &options, cancellable);
}

const TandemCommand tandem_command_node = {
  .name = "node",
  .summary = N_("Run stages on this device for other devices"),
  .run = run,
};
