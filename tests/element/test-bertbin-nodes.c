/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bertbin over nodes: the same bits as one stage, whatever is split and whoever dies. */

#include "config.h"

#include <glib/gstdio.h>
#include <signal.h>

#include "bin-harness.h"

static char *
node_name (BinTest *test, guint node)
{
  return g_strdup_printf ("node%u", node);
}

static void
start_nodes (BinTest *test, guint n)
{
  guint i;

  for (i = 0; i < n; i++) {
    g_autofree char *name = node_name (test, i);

    node_start_with (&test->nodes[i], NULL, "--name", name, NULL);
  }
}

/* stages: "here 0-1, 0 2, 1 3": a device and its layers; n is how many nodes there are */
static void
start_placed (BinTest *test, guint n, const char *stages, const char *properties)
{
  g_autoptr (GString) json = g_string_new ("{ \"stages\": [");
  g_autofree char *path = g_build_filename (test->folder, "placement.json", NULL);
  g_autoptr (GString) line = g_string_new (NULL);
  g_auto (GStrv) list = g_strsplit (stages, ", ", -1);
  guint i;

  for (i = 0; list[i] != NULL; i++) {
    g_auto (GStrv) words = g_strsplit (list[i], " ", 2);
    g_autofree char *name = g_ascii_isdigit (*words[0]) ? node_name (test, atoi (words[0]))
                                                        : g_strdup (g_get_host_name ());

    g_string_append_printf (json, "%s{ \"device\": \"%s\", \"layers\": \"%s\" }",
                            i > 0 ? ", " : "", name, words[1]);
  }
  g_string_append (json, "] }");
  g_assert_true (g_file_set_contents (path, json->str, -1, NULL));
  g_string_append_printf (line, "placement=%s %s nodes=", path, properties);
  for (i = 0; i < n; i++)
    g_string_append_printf (line, "%s127.0.0.1:%u", i > 0 ? "," : "", test->nodes[i].port);
  bin_start (test, line->str);
}

typedef struct
{
  guint n_nodes;
  const char *stages;
} Placed;

static void
test_same (BinTest *test, gconstpointer data)
{
  const Placed *placed = data;

  start_nodes (test, placed->n_nodes);
  start_placed (test, placed->n_nodes, placed->stages, "local=false");
  bin_push (test, 60);
  bin_finish (test);
}

/* A micro-batch that is larger than any before: stages are built anew. */
static void
test_larger (BinTest *test, gconstpointer data)
{
  enum { N = 40, LENGTH = 20 };
  gint32 ids[N * LENGTH] = { 0 };
  guint32 offsets[N + 1];
  GstBuffer *buffer;
  g_autoptr (GstBuffer) answer = NULL;
  g_autofree float *logits = g_new (float, 2 * N);
  guint i;

  start_nodes (test, 2);
  start_placed (test, 2, "0 0-1, 1 2-3", "local=false");
  bin_push (test, 5);
  bin_pull (test, 5);
  for (i = 0; i < N * LENGTH; i++)
    ids[i] = i % 100;
  for (i = 0; i <= N; i++)
    offsets[i] = LENGTH * i;
  tandem_bert_stage_forward_tokens (test->stage, ids, N, offsets, logits, NULL, NULL);
  buffer = gst_buffer_new_memdup (ids, sizeof ids);
  tandem_buffer_add_batch_meta (buffer, N, offsets, NULL, NULL);
  gst_harness_push (test->harness, buffer);
  bin_push (test, 5);
  while (answer == NULL)
    answer = gst_harness_pull (test->harness);
  g_assert_cmpint (gst_buffer_memcmp (answer, 0, logits, 8 * N), ==, 0);
  bin_finish (test);
}

/* A node dies: this device goes on, and when the node is back it is used again. */
static void
test_killed (BinTest *test, gconstpointer data)
{
  guint victim = GPOINTER_TO_UINT (data), round;

  start_nodes (test, 3);
  start_placed (test, 3, "0 0, 1 1-2, 2 3", "");
  for (round = 0; round < 2; round++) {
    guint port = test->nodes[victim].port;
    g_autofree char *number = g_strdup_printf ("--port=%u", port);
    g_autofree char *name = node_name (test, victim);
    g_autofree char *placement = NULL;
    guint batches = g_rand_int_range (test->rand, 5, 30);

    do {
      g_free (placement);
      placement = bin_wait_message (test, "tandem-plan", "placement");
    } while (strstr (placement, "node") == NULL);
    bin_push (test, batches);
    bin_pull (test, g_rand_int_range (test->rand, 0, batches));
    node_kill (&test->nodes[victim]);
    bin_push (test, 10);
    bin_pull (test, test->n_pushed - test->n_pulled);
    node_start_with (&test->nodes[victim], NULL, number, "--name", name, NULL);
  }
  bin_finish (test);
}

/* A paused node is left; when it goes on, what it has to say is for nobody. */
static void
test_paused (BinTest *test, gconstpointer data)
{
  g_autofree char *placement = NULL;
  guint victim = GPOINTER_TO_UINT (data);

  start_nodes (test, 2);
  start_placed (test, 2, "0 0-1, 1 2-3", "");
  do {
    g_free (placement);
    placement = bin_wait_message (test, "tandem-plan", "placement");
  } while (strstr (placement, "node") == NULL);
  bin_push (test, 10);
  g_subprocess_send_signal (test->nodes[victim].process, SIGSTOP);
  bin_push (test, 20);
  bin_pull (test, 30);
  g_subprocess_send_signal (test->nodes[victim].process, SIGCONT);
  bin_push (test, 20);
  bin_finish (test);
}

/* Nobody but the nodes can run it, and one of them is away for a while. */
static void
test_awaited (BinTest *test, gconstpointer data)
{
  g_autofree char *number = NULL, *placement = NULL;

  start_nodes (test, 2);
  number = g_strdup_printf ("--port=%u", test->nodes[1].port);
  start_placed (test, 2, "0 0-1, 1 2-3", "local=false");
  bin_push (test, 10);
  bin_pull (test, 5);
  node_kill (&test->nodes[1]);
  bin_push (test, 10);
  do {
    g_free (placement);
    placement = bin_wait_message (test, "tandem-moved", "placement");
  } while (placement != NULL);
  node_start_with (&test->nodes[1], NULL, number, "--name", "node1", NULL);
  bin_push (test, 10);
  bin_finish (test);
}

/* At any moment of being built, fed and drained. */
static void
test_stop (BinTest *test, gconstpointer data)
{
  guint round;

  start_nodes (test, 2);
  for (round = 0; round < 12; round++) {
    start_placed (test, 2, "0 0-1, 1 2-3", round % 2 == 0 ? "" : "local=false");
    bin_push (test, round);
    if (round > 6)
      bin_pull (test, round / 2);
    else
      g_usleep (g_rand_int_range (test->rand, 0, 100000));
    bin_stop (test);
    g_queue_clear_full (&test->expected, (GDestroyNotify) gst_buffer_unref);
    test->n_pushed = test->n_pulled = 0;
  }
  /* Nothing is left on the nodes. */
  for (round = 0; round < 2; round++) {
    g_autoptr (TandemNodeClient) client = client_new (&test->nodes[round]);
    g_autoptr (TandemNodeInfo) info = NULL;

    do {
      g_clear_pointer (&info, tandem_node_info_free);
      info = client_describe (client);
    } while (info->n_pipelines > 0);
    g_assert_cmpuint (info->memory_used, ==, 0);
  }
}

/* A stage file cannot be cut: this device runs the model. */
static void
test_no_cache (BinTest *test, gconstpointer data)
{
  g_autofree char *blocked = g_build_filename (g_get_user_cache_dir (), "tandem", "cut", NULL);
  g_autofree char *parent = g_path_get_dirname (blocked);

  start_nodes (test, 1);
  tandem_test_remove_folder (g_strdup (blocked));
  g_mkdir_with_parents (parent, 0700);
  g_assert_true (g_file_set_contents (blocked, "", 0, NULL));
  start_placed (test, 1, "0 0-3", "");
  bin_push (test, 20);
  bin_finish (test);
  g_assert_cmpint (g_unlink (blocked), ==, 0);
}

#define ADD(path, data, func) \
  g_test_add ("/bertbin/nodes/" path, BinTest, data, bin_set_up, func, bin_tear_down)

int
main (int argc, char **argv)
{
  static const Placed one = { 1, "0 0-3" }, two = { 2, "1 0-1, 0 2-3" },
      three = { 3, "0 0, 1 1-2, 2 3" }, first = { 2, "here 0, 1 1-2, 0 3" },
      middle = { 2, "0 0, here 1-2, 1 3" }, last = { 2, "1 0, 0 1-2, here 3" };
  char *cache;
  int status;

  /* One of them blocks the cache, which other programs have, too. */
  cache = tandem_test_make_folder ();
  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_init (&argc, &argv, NULL);
  ADD ("same/one", &one, test_same);
  ADD ("same/two", &two, test_same);
  ADD ("same/three", &three, test_same);
  ADD ("same/first-here", &first, test_same);
  ADD ("same/middle-here", &middle, test_same);
  ADD ("same/last-here", &last, test_same);
  ADD ("larger", NULL, test_larger);
  ADD ("killed/first", GUINT_TO_POINTER (0), test_killed);
  ADD ("killed/middle", GUINT_TO_POINTER (1), test_killed);
  ADD ("killed/last", GUINT_TO_POINTER (2), test_killed);
  ADD ("paused/first", GUINT_TO_POINTER (0), test_paused);
  ADD ("paused/last", GUINT_TO_POINTER (1), test_paused);
  ADD ("awaited", NULL, test_awaited);
  ADD ("stop", NULL, test_stop);
  ADD ("no-cache", NULL, test_no_cache);
  status = g_test_run ();
  tandem_test_remove_folder (cache);
  return status;
}
