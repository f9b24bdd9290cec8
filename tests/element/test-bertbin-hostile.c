/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A node that has the key, so to speak, and answers what nobody asked: bertbin takes what is right,
 * leaves it for what is wrong, and gives each result once. */

#include "config.h"

#include "bin-harness.h"
#include "fake-node.h"

typedef enum
{
  MODE_TWICE,
  MODE_UNASKED,
  MODE_LATER,
  MODE_SHORT,
  MODE_MERGED,
  MODE_CLASSES,
  MODE_SILENT,
  MODE_GARBAGE,
  N_MODES
} Mode;

typedef struct
{
  FakeNode node;
  Mode mode;
  TandemModel *model;
  TandemBertStage *stage;
  GstElement *pipeline;
  TandemSender *sender;
  guint n_taken;
} Liar;

static void
on_sender_failed (TandemSender *sender, const GError *error, gpointer data)
{
}

static void
answer (Liar *self, const float *logits, guint n, guint n_classes, const guint64 *ids)
{
  GstBuffer *buffer = gst_buffer_new_memdup (logits, sizeof (float) * n * n_classes);

  tandem_buffer_add_batch_meta (buffer, n, NULL, ids, NULL);
  tandem_sender_send (self->sender, buffer, NULL, NULL);
  gst_buffer_unref (buffer);
}

/* In the streaming thread of what pretends to be a stage. */
static void
on_tokens (GstElement *sink, GstBuffer *buffer, GstPad *pad, gpointer data)
{
  Liar *self = data;
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);
  float logits[64] = { 0 };
  guint64 ids[16];
  GstMapInfo map;
  guint i;

  gst_buffer_map (buffer, &map, GST_MAP_READ);
  tandem_bert_stage_forward_tokens (self->stage, (const gint32 *) map.data, meta->n_sequences,
                                    meta->offsets, logits, NULL, NULL);
  gst_buffer_unmap (buffer, &map);
  tandem_batch_meta_complete (meta);
  for (i = 0; i < meta->n_sequences; i++)
    ids[i] = meta->ids[i];
  /* The first ones are right, so that it is trusted. */
  if (self->n_taken++ < 3) {
    answer (self, logits, meta->n_sequences, 2, ids);
    return;
  }
  switch (self->mode) {
    case MODE_TWICE:
      answer (self, logits, meta->n_sequences, 2, ids);
      break;
    case MODE_UNASKED:
      ids[0] = G_MAXUINT64 - 100;
      break;
    case MODE_LATER:
      for (i = 0; i < meta->n_sequences; i++)
        ids[i] += 1000;
      break;
    case MODE_MERGED:
      ids[meta->n_sequences] = ids[meta->n_sequences - 1] + 1;
      answer (self, logits, meta->n_sequences + 1, 2, ids);
      return;
    case MODE_SHORT:
      if (meta->n_sequences > 1)
        answer (self, logits, meta->n_sequences - 1, 2, ids);
      return;
    case MODE_CLASSES:
      answer (self, logits, meta->n_sequences, 3, ids);
      return;
    case MODE_SILENT:
    case MODE_GARBAGE:
      return;
    default:
      g_assert_not_reached ();
  }
  answer (self, logits, meta->n_sequences, 2, ids);
}

/* Bytes that are no frames, to where answers are awaited. */
static void
send_garbage (guint16 port)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection =
      g_socket_client_connect_to_host (client, "127.0.0.1", port, NULL, NULL);
  guint32 noise[256];
  guint i;

  for (i = 0; i < G_N_ELEMENTS (noise); i++)
    noise[i] = g_random_int ();
  if (connection != NULL)
    g_output_stream_write_all (g_io_stream_get_output_stream (G_IO_STREAM (connection)), noise,
                               sizeof noise, NULL, NULL, NULL);
}

static char *
on_build (FakeNode *node, JsonObject *request)
{
  Liar *self = (Liar *) node;
  JsonObject *next = json_object_get_object_member (request, "next");
  g_auto (TandemStreamInfo) info = { .kind = TANDEM_STREAM_LOGITS, .classes = 2 };
  static const char *labels[] = { "negative", "positive", NULL };
  g_autoptr (GstElement) sink = NULL, source = NULL;
  GstSegment segment;
  guint16 port = json_object_get_int_member (next, "port");
  guint own = 0;

  if (self->mode == MODE_GARBAGE)
    send_garbage (port);
  if (self->pipeline != NULL)   /* once is enough */
    return g_strdup (",\"error\":{\"code\":\"busy\",\"message\":\"again?\"}");
  info.labels = g_strdupv ((char **) labels);
  g_strlcpy (info.fingerprint, tandem_model_get_fingerprint (self->model),
             sizeof info.fingerprint);
  self->sender = tandem_sender_new ("127.0.0.1", port, 8, 1 << 20, 1000, 1 << 20);
  tandem_sender_start (self->sender, on_sender_failed, NULL);
  tandem_sender_set_stream (self->sender, &info);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  tandem_sender_set_segment (self->sender, &segment);
  self->pipeline = gst_parse_launch ("tcpactsrc name=in port=0 ! fakesink name=out async=false "
                                     "sync=false signal-handoffs=true", NULL);
  sink = gst_bin_get_by_name (GST_BIN (self->pipeline), "out");
  source = gst_bin_get_by_name (GST_BIN (self->pipeline), "in");
  g_signal_connect (sink, "handoff", G_CALLBACK (on_tokens), self);
  gst_element_set_state (self->pipeline, GST_STATE_PLAYING);
  g_object_get (source, "current-port", &own, NULL);
  return g_strdup_printf (",\"stage\":1,\"port\":%u,\"memory\":1,\"first_layer\":0,"
                          "\"last_layer\":3", own);
}

static void
test_liar (BinTest *test, gconstpointer data)
{
  static const FakeAnswer answers[] = {
    { "ping", "" },
    { "describe", FAKE_NODE_INFO ("00112233445566778899aabbccddeeff", "0011223344556677") },
    { "have", ",\"complete\":true,\"bytes\":1" },
    { "stop", "" },
    { NULL, NULL }
  };
  Liar liar = { .mode = GPOINTER_TO_UINT (data), .model = test->model };
  g_autofree char *path = g_build_filename (test->folder, "placement.json", NULL);
  g_autofree char *line = NULL, *placement = NULL;

  liar.stage = tandem_bert_stage_new (test->model, 0, BIN_LAYERS - 1, TANDEM_PRECISION_F32, 1,
                                      TANDEM_BERT_STAGE_NONE, NULL);
  liar.node.build = on_build;
  fake_start (&liar.node, answers);
  g_assert_true (g_file_set_contents (path, "{\"stages\":[{\"device\":\"fake\",\"layers\":"
                                      "\"0-3\"}]}", -1, NULL));
  line = g_strdup_printf ("placement=%s nodes=127.0.0.1:%u", path, liar.node.port);
  bin_start (test, line);
  do {
    g_free (placement);
    placement = bin_wait_message (test, "tandem-plan", "placement");
  } while (strstr (placement, "fake") == NULL);
  bin_push (test, 40);
  bin_finish (test);
  bin_stop (test);
  gst_element_set_state (liar.pipeline, GST_STATE_NULL);
  gst_object_unref (liar.pipeline);
  tandem_sender_stop (liar.sender);
  g_object_unref (liar.sender);
  g_object_unref (liar.stage);
  fake_stop (&liar.node);
}

/* The liar accepts connections while the test waits. */
static gpointer
iterate (gpointer data)
{
  g_main_loop_run (data);
  return NULL;
}

int
main (int argc, char **argv)
{
  static const char *const names[] = {
    "twice", "unasked", "later", "short", "merged", "classes", "silent", "garbage"
  };
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  GThread *thread;
  guint i;
  int result;

  gst_init (&argc, &argv);
  tandem_init ();
  g_test_init (&argc, &argv, NULL);
  thread = g_thread_new ("listen", iterate, loop);
  for (i = 0; i < N_MODES; i++) {
    g_autofree char *path = g_strdup_printf ("/bertbin/hostile/%s", names[i]);

    g_test_add (path, BinTest, GUINT_TO_POINTER (i), bin_set_up, test_liar, bin_tear_down);
  }
  result = g_test_run ();
  g_main_loop_quit (loop);
  g_thread_join (thread);
  return result;
}
