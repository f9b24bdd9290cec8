/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stages that run on nodes: the same bits as here, their end, and what nodes refuse. */

#include "net-harness.h"
#include "node-harness.h"

#define N_LAYERS 3
#define LENGTH 7

typedef struct
{
  char *folder;
  char *model_path;
  TandemModel *model;
  NodeProcess nodes[2];
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;

  spec.n_layers = N_LAYERS;
  fixture->folder = tandem_test_make_folder ();
  fixture->model_path = g_build_filename (fixture->folder, "model", NULL);
  tandem_test_model_write (&spec, fixture->model_path);
  fixture->model = tandem_model_open (fixture->model_path, NULL, NULL);
  g_assert_nonnull (fixture->model);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_object_unref (fixture->model);
  g_free (fixture->model_path);
  tandem_test_remove_folder (fixture->folder);
}

/* Sends the stage with these layers to a node; returns its digest. */
static char *
put_layers (Fixture *fixture, TandemNodeClient *client, guint first, guint last)
{
  g_autofree char *path = cut_stage (fixture->folder, fixture->model_path, first, last);
  g_autoptr (GError) error = NULL;
  char *digest = client_put (client, path, NULL, NULL, &error);

  g_assert_no_error (error);
  return digest;
}

static TestStage
build (TandemNodeClient *client, const char *digest, guint first, guint last, guint16 port)
{
  g_autoptr (GError) error = NULL;
  TestStage stage = { 0 };

  client_build (client, digest, first, last, port, &stage, &error);
  g_assert_no_error (error);
  return stage;
}

/* --- a stream of tokens --- */

static void
make_ids (guint number, gint32 *ids)
{
  guint i;

  for (i = 0; i < LENGTH; i++)
    ids[i] = 5 + (number * 31 + i * 17) % 90;
}

static GstBuffer *
make_tokens (guint number)
{
  const guint32 offsets[] = { 0, LENGTH };
  const guint64 id = number;
  const gint32 label = -1;
  gint32 *ids = g_new (gint32, LENGTH);
  GstBuffer *buffer;

  make_ids (number, ids);
  buffer = gst_buffer_new_wrapped (ids, LENGTH * sizeof *ids);
  tandem_buffer_add_batch_meta (buffer, 1, offsets, &id, &label);
  return buffer;
}

/* What the whole model gives here. */
static void
check_logits (Fixture *fixture, guint number, GstBuffer *buffer)
{
  const guint32 offsets[] = { 0, LENGTH };
  g_autoptr (TandemBertStage) stage =
      tandem_bert_stage_new (fixture->model, 0, N_LAYERS - 1, TANDEM_PRECISION_F32, 1,
                             TANDEM_BERT_STAGE_NONE, NULL);
  gint32 ids[LENGTH];
  float expected[2];

  make_ids (number, ids);
  g_assert_true (tandem_bert_stage_forward_tokens (stage, ids, 1, offsets, expected, NULL, NULL));
  g_assert_cmpuint (gst_buffer_get_size (buffer), ==, sizeof expected);
  g_assert_cmpint (gst_buffer_memcmp (buffer, 0, expected, sizeof expected), ==, 0);
}

static void
tokens_play (Fixture *fixture, Side *sink, guint port)
{
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (fixture->model, NULL);

  sink_make (sink, port);
  sink->harness = gst_harness_new_with_element (sink->element, "sink", NULL);
  gst_harness_set_src_caps (sink->harness,
      gst_caps_new_simple (TANDEM_CAPS_TOKENS, "vocab", G_TYPE_STRING,
                           tandem_tokenizer_get_fingerprint (tokenizer), NULL));
}

/* Runs `n` sequences from the first stage to the results, and the end of the stream. */
static void
run_tokens (Fixture *fixture, Side *src, guint port, guint n)
{
  GThread *thread;
  Side sink;
  guint i;

  tokens_play (fixture, &sink, port);
  for (i = 0; i < n; i++) {
    GstBuffer *buffer;

    g_assert_cmpint (gst_harness_push (sink.harness, make_tokens (i)), ==, GST_FLOW_OK);
    buffer = gst_harness_pull (src->harness);
    g_assert_nonnull (buffer);
    check_logits (fixture, i, buffer);
    consume (buffer);
  }
  thread = g_thread_new ("eos", push_eos, &sink);
  g_thread_join (thread);
  g_free (wait_message (&sink, GST_MESSAGE_EOS));
  side_clear (&sink);
}

typedef struct
{
  guint n_failed, n_finished, n_closed, n_reports;
  guint64 sequences, tokens;
  char *message;
} Heard;

static void
on_failed (TandemNodeClient *client, guint stage, const GError *error, gpointer data)
{
  Heard *heard = data;

  heard->n_failed++;
  g_free (heard->message);
  heard->message = g_strdup (error->message);
}

static void
on_finished (TandemNodeClient *client, guint stage, guint64 sequences, guint64 tokens,
             gpointer data)
{
  Heard *heard = data;

  heard->n_finished++;
  heard->sequences += sequences;
  heard->tokens += tokens;
}

static void
on_report (TandemNodeClient *client, guint stage, guint64 sequences, guint64 tokens,
           double sequence_rate, double token_rate, double busy, gpointer data)
{
  Heard *heard = data;

  g_assert_cmpfloat (sequence_rate, >=, 0);
  g_assert_cmpfloat (busy, >=, 0);
  heard->n_reports++;
}

static void
on_closed (TandemNodeClient *client, const GError *error, gpointer data)
{
  ((Heard *) data)->n_closed++;
}

static void
hear (TandemNodeClient *client, Heard *heard)
{
  g_signal_connect (client, "stage-failed", G_CALLBACK (on_failed), heard);
  g_signal_connect (client, "stage-finished", G_CALLBACK (on_finished), heard);
  g_signal_connect (client, "stage-report", G_CALLBACK (on_report), heard);
  g_signal_connect (client, "closed", G_CALLBACK (on_closed), heard);
}

/* --- tests --- */

static void
test_describe (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (TandemNodeInfo) info = NULL, copy = NULL;

  node_start_with (&fixture->nodes[0], NULL, "--name=attic", "--memory=64M", "--threads=3", NULL);
  client = client_new (&fixture->nodes[0]);
  info = client_describe (client);
  copy = tandem_node_info_copy (info);
  g_assert_cmpstr (copy->name, ==, "attic");
  g_assert_cmpstr (copy->library, ==, tandem_version ());
  g_assert_cmpuint (strlen (copy->device), ==, 32);
  g_assert_cmpuint (copy->n_threads, ==, 3);
  g_assert_cmpuint (copy->memory_limit, ==, 64 << 20);
  g_assert_cmpuint (copy->memory_total, >=, copy->memory_available);
  g_assert_cmpuint (copy->n_files + copy->n_pipelines, ==, 0);
  node_stop (&fixture->nodes[0]);
}

/* Two stages on one node or on two, one behind the other, and back. */
static void
test_chain (Fixture *fixture, gconstpointer data)
{
  guint n_nodes = GPOINTER_TO_UINT (data), i;
  TandemNodeClient *clients[2] = { NULL, NULL };
  g_autofree char *front = NULL, *back = NULL;
  TestStage first, last;
  Heard heard = { 0 };
  Side src;

  for (i = 0; i < n_nodes; i++) {
    node_start_with (&fixture->nodes[i], NULL, NULL);
    clients[i] = client_new (&fixture->nodes[i]);
    hear (clients[i], &heard);
  }
  front = put_layers (fixture, clients[0], 0, 1);
  back = put_layers (fixture, clients[n_nodes - 1], 2, 2);
  src_new (&src, FALSE);
  last = build (clients[n_nodes - 1], back, 2, 2, side_port (&src));
  first = build (clients[0], front, 0, 1, last.port);
  g_assert_cmpuint (first.memory, >, last.memory);
  run_tokens (fixture, &src, first.port, 20);
  ITERATE_UNTIL (heard.n_finished == 2);
  g_assert_cmpuint (heard.sequences, ==, 40);
  g_assert_cmpuint (heard.tokens, ==, 40 * LENGTH);
  g_assert_cmpuint (heard.n_failed, ==, 0);
  side_clear (&src);
  for (i = 0; i < n_nodes; i++) {
    g_clear_object (&clients[i]);
    node_stop (&fixture->nodes[i]);
  }
}

/* Activations come as the format has them. */
static void
test_format (Fixture *fixture, gconstpointer data)
{
  const guint32 offsets[] = { 0, LENGTH };
  guint width = tandem_model_get_config (fixture->model)->hidden_size;
  g_autofree float *rows = g_new (float, LENGTH * width);
  g_autofree guint8 *encoded = g_malloc (LENGTH * (width + 1) * sizeof (float));
  g_autoptr (TandemBertStage) here =
      tandem_bert_stage_new (fixture->model, 0, 0, TANDEM_PRECISION_F32, 1,
                             TANDEM_BERT_STAGE_NONE, NULL);
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *digest = NULL;
  gint32 ids[LENGTH];
  Side src, sink;
  GstBuffer *got;
  guint16 port = 0;

  node_start_with (&fixture->nodes[0], NULL, NULL);
  client = client_new (&fixture->nodes[0]);
  digest = put_layers (fixture, client, 0, 0);
  src_new (&src, FALSE);
  tandem_node_client_build_async (client, digest, 0, 0, TANDEM_PRECISION_F32, 1, NULL,
                                  TANDEM_WIRE_FORMAT_Q8, NULL, side_port (&src), NULL, on_result,
                                  &result);
  tandem_node_client_build_finish (client, wait_result (&result), NULL, &port, NULL, &error);
  g_assert_no_error (error);
  tokens_play (fixture, &sink, port);
  g_assert_cmpint (gst_harness_push (sink.harness, make_tokens (3)), ==, GST_FLOW_OK);
  got = gst_harness_pull (src.harness);
  make_ids (3, ids);
  g_assert_true (tandem_bert_stage_forward_tokens (here, ids, 1, offsets, rows, NULL, NULL));
  g_assert_cmpint (gst_buffer_memcmp (got, 0, rows, LENGTH * width * sizeof *rows), !=, 0);
  tandem_rows_encode (TANDEM_ROW_FORMAT_Q8, rows, LENGTH, width, encoded);
  tandem_rows_decode (TANDEM_ROW_FORMAT_Q8, encoded, LENGTH, width, rows);
  g_assert_cmpuint (gst_buffer_get_size (got), ==, LENGTH * width * sizeof *rows);
  g_assert_cmpint (gst_buffer_memcmp (got, 0, rows, LENGTH * width * sizeof *rows), ==, 0);
  consume (got);
  side_clear (&sink);
  side_clear (&src);
  g_clear_object (&client);
  node_stop (&fixture->nodes[0]);
}

/* A file with more layers than are asked for. */
static void
test_part_of_file (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autofree char *all = NULL;
  TestStage first, last, wrong;
  g_autoptr (GError) error = NULL;
  Side src;

  node_start_with (&fixture->nodes[0], NULL, NULL);
  client = client_new (&fixture->nodes[0]);
  all = put_layers (fixture, client, 0, 2);
  src_new (&src, FALSE);
  last = build (client, all, 1, 2, side_port (&src));
  first = build (client, all, 0, 0, last.port);
  run_tokens (fixture, &src, first.port, 3);
  side_clear (&src);
  g_assert_false (client_build (client, all, 1, 3, 9, &wrong, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_MODEL);
  g_assert_nonnull (strstr (error->message, "0-2"));
  g_clear_error (&error);
  all[0] = all[0] == '0' ? '1' : '0';
  g_assert_false (client_build (client, all, 0, 0, 9, &wrong, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_NOT_FOUND);
  node_stop (&fixture->nodes[0]);
}

static void
test_stop (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (TandemNodeInfo) running = NULL, stopped = NULL;
  g_autofree char *all = NULL;
  g_autoptr (GError) error = NULL;
  Heard heard = { 0 };
  TestStage stage;
  Side src;

  node_start_with (&fixture->nodes[0], NULL, NULL);
  client = client_new (&fixture->nodes[0]);
  hear (client, &heard);
  all = put_layers (fixture, client, 0, 2);
  src_new (&src, FALSE);
  stage = build (client, all, 0, 2, side_port (&src));
  running = client_describe (client);
  g_assert_cmpuint (running->n_pipelines, ==, 1);
  g_assert_cmpuint (running->memory_used, ==, stage.memory);
  ITERATE_UNTIL (heard.n_reports > 0);
  client_stop (client, stage.stage, &error);
  g_assert_no_error (error);
  stopped = client_describe (client);
  g_assert_cmpuint (stopped->n_pipelines, ==, 0);
  g_assert_cmpuint (stopped->memory_used, ==, 0);
  g_assert_false (client_stop (client, stage.stage, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_NOT_FOUND);
  side_clear (&src);
  node_stop (&fixture->nodes[0]);
}

/* The asking device dies: what ran for it goes, what runs for others stays. */
static void
test_client_dies (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemNodeClient) client = NULL, other = NULL;
  g_autoptr (TandemNodeInfo) info = NULL;
  g_autofree char *all = NULL, *message = NULL;
  TestStage kept;
  Side src, others[2];

  node_start_with (&fixture->nodes[0], NULL, NULL);
  client = client_new (&fixture->nodes[0]);
  other = client_new (&fixture->nodes[0]);
  all = put_layers (fixture, client, 0, 2);
  src_new (&src, FALSE);
  /* Nothing but the end of the connection can end these. */
  src_new (&others[0], FALSE);
  src_new (&others[1], FALSE);
  build (client, all, 0, 1, side_port (&others[0]));
  build (client, all, 2, 2, side_port (&others[1]));
  kept = build (other, all, 0, 2, side_port (&src));
  tandem_node_client_close (client);
  g_assert_false (tandem_node_client_is_open (client));
  message = node_wait_event (&fixture->nodes[0], "stopped");
  g_free (node_wait_event (&fixture->nodes[0], "stopped"));
  info = client_describe (other);
  g_assert_cmpuint (info->n_pipelines, ==, 1);
  g_assert_cmpuint (info->memory_used, ==, kept.memory);
  run_tokens (fixture, &src, kept.port, 3);
  side_clear (&src);
  side_clear (&others[0]);
  side_clear (&others[1]);
  node_stop (&fixture->nodes[0]);
}

/* Ids that the model does not have end that stage, and nothing else. */
static void
test_bad_batch (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autofree char *all = NULL;
  Heard heard = { 0 };
  TestStage stage;
  Side src, sink;
  GstBuffer *buffer;

  node_start_with (&fixture->nodes[0], NULL, NULL);
  client = client_new (&fixture->nodes[0]);
  hear (client, &heard);
  all = put_layers (fixture, client, 0, 2);
  src_new (&src, FALSE);
  stage = build (client, all, 0, 2, side_port (&src));
  tokens_play (fixture, &sink, stage.port);
  buffer = make_tokens (0);
  gst_buffer_memset (buffer, 0, 0x7f, 4);
  gst_harness_push (sink.harness, buffer);
  ITERATE_UNTIL (heard.n_failed > 0);
  assert_contains (heard.message, "cannot be run");
  g_clear_pointer (&heard.message, g_free);
  side_clear (&sink);
  side_clear (&src);

  src_new (&src, FALSE);
  stage = build (client, all, 0, 2, side_port (&src));
  run_tokens (fixture, &src, stage.port, 3);
  g_assert_cmpuint (heard.n_failed, ==, 1);
  side_clear (&src);
  node_stop (&fixture->nodes[0]);
}

static void
test_memory (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autofree char *all = NULL;
  g_autoptr (GError) error = NULL;
  TestStage stage;

  node_start_with (&fixture->nodes[0], NULL, "--memory=2K", NULL);
  client = client_new (&fixture->nodes[0]);
  all = put_layers (fixture, client, 0, 2);
  g_assert_false (client_build (client, all, 0, 2, 9, &stage, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_MEMORY);
  g_assert_nonnull (strstr (error->message, "layers 0-2"));
  g_assert_nonnull (strstr (error->message, "2.0"));
  node_stop (&fixture->nodes[0]);
}

static void
test_node_stops (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autofree char *all = NULL;
  g_autoptr (GError) error = NULL;
  Heard heard = { 0 };

  node_start_with (&fixture->nodes[0], NULL, NULL);
  client = client_new (&fixture->nodes[0]);
  hear (client, &heard);
  all = put_layers (fixture, client, 0, 2);
  build (client, all, 0, 2, 9);
  node_stop (&fixture->nodes[0]);
  ITERATE_UNTIL (heard.n_closed > 0);
  g_assert_false (client_stop (client, 1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  gst_init (NULL, NULL);
  tandem_init ();
#define ADD(name, data, function) \
  g_test_add ("/node/" name, Fixture, data, set_up, function, tear_down)
  ADD ("describe", NULL, test_describe);
  ADD ("chain/one", GUINT_TO_POINTER (1), test_chain);
  ADD ("chain/two", GUINT_TO_POINTER (2), test_chain);
  ADD ("format", NULL, test_format);
  ADD ("part-of-file", NULL, test_part_of_file);
  ADD ("stop", NULL, test_stop);
  ADD ("client-dies", NULL, test_client_dies);
  ADD ("bad-batch", NULL, test_bad_batch);
  ADD ("memory", NULL, test_memory);
  ADD ("node-stops", NULL, test_node_stops);
#undef ADD
  return g_test_run ();
}
