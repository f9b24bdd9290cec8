/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `tandem node` as a process, and clients of it whose calls wait. */

#include "key-harness.h"

#include <gio/gio.h>
#include <gst/gst.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "../unit/tandem-test-model.h"

typedef struct
{
  char *folder;                 /* its cache */
  GSubprocess *process;
  GDataInputStream *log;
  guint port;
} NodeProcess;

/* Returns (transfer full) the next line of the log that tells of `event`; others are
 * passed over. */
static inline char *
node_wait_event (NodeProcess *node, const char *event)
{
  for (;;) {
    g_autoptr (GError) error = NULL;
    g_autofree char *line =
        g_data_input_stream_read_line_utf8 (node->log, NULL, NULL, &error);
    g_autoptr (JsonParser) parser = json_parser_new ();
    JsonObject *object;

    g_assert_no_error (error);
    if (line == NULL)
      g_error ("the node ended before it said \"%s\"", event);
    json_parser_load_from_data (parser, line, -1, &error);
    g_assert_no_error (error);
    object = json_node_get_object (json_parser_get_root (parser));
    if (!g_str_equal (json_object_get_string_member (object, "event"), event))
      continue;
    if (g_str_equal (event, "listening"))
      node->port = json_object_get_int_member (object, "port");
    return g_strdup (json_object_get_string_member (object, "message"));
  }
}

/* Starts a node with options that end with NULL, in front of which others may stand, as of
 * prlimit. */
static inline void
node_start_with (NodeProcess *node, const char *const *before, ...)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *message = NULL;
  const char *arg;
  va_list args;

  for (; before != NULL && *before != NULL; before++)
    g_ptr_array_add (argv, (char *) *before);
  g_ptr_array_add (argv, (char *) g_getenv ("TANDEM_TEST_TOOL"));
  g_ptr_array_add (argv, (char *) "node");
  g_ptr_array_add (argv, (char *) "--json");
  g_ptr_array_add (argv, (char *) "--port=0");
  g_ptr_array_add (argv, (char *) "--cache");
  if (node->folder == NULL)
    node->folder = tandem_test_make_folder ();
  g_ptr_array_add (argv, node->folder);
  va_start (args, before);
  do {
    arg = va_arg (args, const char *);
    g_ptr_array_add (argv, (char *) arg);
  } while (arg != NULL);
  va_end (args);
  node->process = g_subprocess_newv ((const char *const *) argv->pdata,
                                     G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
  g_assert_no_error (error);
  node->log = g_data_input_stream_new (g_subprocess_get_stdout_pipe (node->process));
  message = node_wait_event (node, "listening");
  g_assert_cmpuint (node->port, >, 0);
}

static inline void
node_kill (NodeProcess *node)
{
  g_subprocess_force_exit (node->process);
  g_subprocess_wait (node->process, NULL, NULL);
  g_clear_object (&node->log);
  g_clear_object (&node->process);
}

/* As a service is stopped; it has to end well. */
static inline void
node_stop (NodeProcess *node)
{
  g_autoptr (GError) error = NULL;

  g_subprocess_send_signal (node->process, SIGTERM);
  g_subprocess_wait (node->process, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (node->process));
  g_assert_cmpint (g_subprocess_get_exit_status (node->process), ==, 0);
  g_clear_object (&node->log);
  g_clear_object (&node->process);
  tandem_test_remove_folder (g_steal_pointer (&node->folder));
}

/* --- calls that wait --- */

static inline void
on_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static inline GAsyncResult *
wait_result (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return *result;
}

/* A test that waits too long is ended by its time limit. */
#define ITERATE_UNTIL(condition) \
  G_STMT_START { \
    while (!(condition)) \
      g_main_context_iteration (NULL, TRUE); \
  } G_STMT_END

/* With TANDEM_TEST_KEY in the environment nodes have a cluster key, "home"; else none. */
static inline char *
node_key_path (void)
{
  return g_getenv ("TANDEM_TEST_KEY") != NULL ? keys_make ("home", 3600) : NULL;
}

static inline TandemClusterKey *
node_load_key (void)
{
  g_autofree char *path = node_key_path ();
  g_autoptr (GError) error = NULL;
  TandemClusterKey *key = path != NULL ? tandem_cluster_key_load (path, &error) : NULL;

  g_assert_no_error (error);
  return key;
}

static inline void
node_start_keyed (NodeProcess *node)
{
  g_autofree char *path = node_key_path ();

  if (path != NULL)
    node_start_with (node, NULL, "--address=127.0.0.1", "--key", path, NULL);
  else
    node_start_with (node, NULL, NULL);
}

static inline TandemNodeClient *
client_try (guint port, TandemClusterKey *key, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  tandem_node_client_connect_async ("127.0.0.1", port, key, FALSE, NULL, on_result, &result);
  return tandem_node_client_connect_finish (wait_result (&result), error);
}

static inline TandemNodeClient *
client_new (NodeProcess *node)
{
  g_autoptr (GError) error = NULL;
  TandemNodeClient *client = client_try (node->port, NULL, &error);

  g_assert_no_error (error);
  return client;
}

static inline TandemNodeInfo *
client_describe (TandemNodeClient *client)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  TandemNodeInfo *info;

  tandem_node_client_describe_async (client, NULL, on_result, &result);
  info = tandem_node_client_describe_finish (client, wait_result (&result), &error);
  g_assert_no_error (error);
  return info;
}

static inline char *
client_put (TandemNodeClient *client, const char *path, GFileProgressCallback progress,
            gpointer data, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  tandem_node_client_put_async (client, path, NULL, progress, data, on_result, &result);
  return tandem_node_client_put_finish (client, wait_result (&result), error);
}

typedef struct
{
  guint stage;
  guint16 port;
  guint64 memory;
} TestStage;

static inline gboolean
client_build (TandemNodeClient *client, const char *digest, guint first, guint last,
              guint16 next_port, TestStage *stage, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  tandem_node_client_build_async (client, digest, first, last, TANDEM_PRECISION_F32, 1, NULL,
                                  TANDEM_WIRE_FORMAT_F32, NULL, next_port, NULL, on_result,
                                  &result);
  return tandem_node_client_build_finish (client, wait_result (&result), &stage->stage,
                                          &stage->port, &stage->memory, error);
}

static inline gboolean
client_stop (TandemNodeClient *client, guint stage, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  tandem_node_client_stop_async (client, stage, NULL, on_result, &result);
  return tandem_node_client_stop_finish (client, wait_result (&result), error);
}

/* --- models --- */

/* Cuts a stage from a model; returns the path of its file. */
static inline char *
cut_stage (const char *folder, const char *model_path, guint first, guint last)
{
  g_autofree char *name = g_strdup_printf ("stage-%u-%u.safetensors", first, last);
  char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemModel) model = tandem_model_open (model_path, NULL, &error);

  g_assert_no_error (error);
  tandem_model_write_stage (model, first, last, path, NULL, &error);
  g_assert_no_error (error);
  return path;
}

static inline char *
get_digest (const char *path)
{
  g_autofree char *text = NULL;
  gsize size;

  g_assert_true (g_file_get_contents (path, &text, &size, NULL));
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guchar *) text, size);
}
