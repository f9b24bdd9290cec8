/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stage files on their way to a node: whole, resumed, onto a full disk, by two at once. */

#include "node-harness.h"

typedef struct
{
  char *folder;
  char *path;                   /* of a stage file of some megabytes */
  char *small;
  NodeProcess node;
} Fixture;

static char *
make_stage (const char *folder, const char *name, guint vocab_size, guint first)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *model = g_build_filename (folder, name, NULL);

  spec.hidden_size = 128;
  spec.vocab_size = vocab_size;
  tandem_test_model_write (&spec, model);
  return cut_stage (model, model, first, first);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->folder = tandem_test_make_folder ();
  fixture->path = make_stage (fixture->folder, "large", 32000, 0);
  fixture->small = make_stage (fixture->folder, "small", 100, 1);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_free (fixture->path);
  g_free (fixture->small);
  tandem_test_remove_folder (fixture->folder);
}

static void
ask_have (TandemNodeClient *client, const char *digest, gboolean *complete, guint64 *bytes)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  tandem_node_client_have_async (client, digest, NULL, on_result, &result);
  tandem_node_client_have_finish (client, wait_result (&result), complete, bytes, &error);
  g_assert_no_error (error);
}

typedef struct
{
  NodeProcess *node;            /* to be killed, NULL: nobody */
  TandemNodeClient *client;     /* to be closed, NULL: nobody */
  gint64 first, last, total;
} Progress;

static void
on_progress (goffset current, goffset total, gpointer data)
{
  Progress *progress = data;

  if (progress->first < 0)
    progress->first = current;
  g_assert_cmpint (current, >=, progress->last);
  progress->last = current;
  progress->total = total;
  if (current < total / 4 * 3)
    return;
  if (progress->node != NULL)
    node_kill (g_steal_pointer (&progress->node));
  if (progress->client != NULL)
    tandem_node_client_close (g_steal_pointer (&progress->client));
}

static void
test_whole (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (TandemNodeInfo) info = NULL;
  g_autofree char *expected = get_digest (fixture->path);
  g_autofree char *digest = NULL, *again = NULL;
  g_autoptr (GError) error = NULL;
  Progress progress = { .first = -1 };
  gboolean complete;
  guint64 bytes;

  node_start_with (&fixture->node, NULL, NULL);
  client = client_new (&fixture->node);
  ask_have (client, expected, &complete, &bytes);
  g_assert_false (complete);
  g_assert_cmpuint (bytes, ==, 0);
  digest = client_put (client, fixture->path, on_progress, &progress, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (digest, ==, expected);
  g_assert_cmpint (progress.first, ==, 0);
  g_assert_cmpint (progress.last, ==, progress.total);
  ask_have (client, expected, &complete, &bytes);
  g_assert_true (complete);
  g_assert_cmpuint (bytes, ==, progress.total);

  /* What is there does not go again. */
  progress = (Progress) { .first = -1 };
  again = client_put (client, fixture->path, on_progress, &progress, &error);
  g_assert_no_error (error);
  g_assert_cmpint (progress.first, ==, -1);
  info = client_describe (client);
  g_assert_cmpuint (info->n_files, ==, 1);
  g_assert_cmpstr (info->files[0].digest, ==, expected);
  g_assert_cmpuint (info->files[0].last_layer, ==, 0);
  g_assert_cmpuint (info->files[0].n_layers, ==, 2);
  g_assert_cmpuint (info->cache_used, ==, info->files[0].bytes);
  node_stop (&fixture->node);
}

/* The connection, or the node itself, goes in the middle; what was there counts. */
static void
test_resume (Fixture *fixture, gconstpointer data)
{
  gboolean kill = GPOINTER_TO_INT (data);
  g_autoptr (TandemNodeClient) client = NULL, other = NULL;
  g_autofree char *digest = get_digest (fixture->path);
  g_autofree char *sent = NULL;
  g_autoptr (GError) error = NULL;
  Progress progress = { .first = -1 };
  gboolean complete;
  guint64 bytes;

  node_start_with (&fixture->node, NULL, NULL);
  client = client_new (&fixture->node);
  progress.node = kill ? &fixture->node : NULL;
  progress.client = kill ? NULL : client;
  g_assert_null (client_put (client, fixture->path, on_progress, &progress, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  if (kill)
    node_start_with (&fixture->node, NULL, NULL);
  other = client_new (&fixture->node);
  /* A node that lives may still write what came before the end. */
  do {
    ask_have (other, digest, &complete, &bytes);
    progress = (Progress) { .first = -1 };
    g_clear_error (&error);
    sent = client_put (other, fixture->path, on_progress, &progress, &error);
  } while (g_error_matches (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY));
  g_assert_no_error (error);
  g_assert_cmpstr (sent, ==, digest);
  g_assert_cmpuint (bytes, >, 0);
  g_assert_cmpint (progress.first, >=, (gint64) bytes);
  g_assert_cmpint (progress.first, <, progress.total);
  ask_have (other, digest, &complete, &bytes);
  g_assert_true (complete);
  node_stop (&fixture->node);
}

static void
test_cancel (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autofree char *digest = NULL;
  g_autoptr (GError) error = NULL;

  node_start_with (&fixture->node, NULL, NULL);
  client = client_new (&fixture->node);
  tandem_node_client_put_async (client, fixture->path, cancellable, NULL, NULL, on_result,
                                &result);
  g_main_context_iteration (NULL, TRUE);
  g_cancellable_cancel (cancellable);
  g_assert_null (tandem_node_client_put_finish (client, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  /* The connection is of use all the same. */
  do {
    g_clear_error (&error);
    digest = client_put (client, fixture->path, NULL, NULL, &error);
  } while (g_error_matches (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY));
  g_assert_no_error (error);
  node_stop (&fixture->node);
}

/* A disk that is full, here a limit on the size of files, is an answer. */
static void
test_full_disk (Fixture *fixture, gconstpointer data)
{
  static const char *const limited[] = { "prlimit", "--fsize=4000000", NULL };
  g_autoptr (TandemNodeClient) client = NULL;
  g_autofree char *digest = NULL;
  g_autoptr (GError) error = NULL;

  node_start_with (&fixture->node, limited, NULL);
  client = client_new (&fixture->node);
  g_assert_null (client_put (client, fixture->path, NULL, NULL, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_NO_SPACE);
  g_clear_error (&error);
  digest = client_put (client, fixture->small, NULL, NULL, &error);
  g_assert_no_error (error);
  node_stop (&fixture->node);
}

static void
test_cache_size (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (TandemNodeInfo) info = NULL;
  g_autofree char *digest = NULL;
  g_autoptr (GError) error = NULL;

  node_start_with (&fixture->node, NULL, "--cache-size=2M", NULL);
  client = client_new (&fixture->node);
  g_assert_null (client_put (client, fixture->path, NULL, NULL, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, "2.1"));
  g_clear_error (&error);
  digest = client_put (client, fixture->small, NULL, NULL, &error);
  g_assert_no_error (error);
  info = client_describe (client);
  g_assert_cmpuint (info->cache_limit, ==, 2 << 20);
  g_assert_cmpuint (info->n_files, ==, 1);
  node_stop (&fixture->node);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  gst_init (NULL, NULL);
  tandem_init ();
#define ADD(name, data, function) \
  g_test_add ("/node/put/" name, Fixture, data, set_up, function, tear_down)
  ADD ("whole", NULL, test_whole);
  ADD ("resume/connection", GINT_TO_POINTER (FALSE), test_resume);
  ADD ("resume/kill", GINT_TO_POINTER (TRUE), test_resume);
  ADD ("cancel", NULL, test_cancel);
  ADD ("full-disk", NULL, test_full_disk);
  ADD ("cache-size", NULL, test_cache_size);
#undef ADD
  return g_test_run ();
}
