/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pipelines that train: schedules and splits, in one process and over TCP. */

#include <gst/check/gstharness.h>
#include <string.h>

#include "train-harness.h"

/* 50 steps and a shorter one, with dropout and clipping: the same bits however it is split, with
 * both schedules that update once a step. */
static void
test_schedules (void)
{
  static const char *const layers[] = { "0-2", "0-0 1-2", "0-1 2-2", "0-0 1-1 2-2" };
  static const guint n_stages[] = { 1, 2, 2, 3 };
  static const char *const schedules[] = { "gpipe", "1f1b-flush" };
  guint i, j;

  for (i = 0; i < G_N_ELEMENTS (schedules); i++) {
    for (j = 0; j < G_N_ELEMENTS (layers); j++) {
      g_autofree char *options =
          g_strdup_printf ("schedule=%s micro-batches=4 learning-rate=3e-3 max-norm=0.5 seed=3 "
                           "warmup-steps=5 total-steps=60", schedules[i]);
      const char *name = i + j == 0 ? "first" : "other";
      g_auto (TrainRun) run = { NULL };

      train_stages (&run, name, layers[j], options, TRAIN_N_REVIEWS);
      g_assert_cmpstr (run.error, ==, NULL);
      g_assert_cmpuint (run.n_steps, ==, 51);
      g_assert_cmpfloat (run.last_loss, <, run.first_loss);
      if (i + j > 0)
        g_assert_cmpuint (train_count_differences ("first", 1, "other", n_stages[j]), ==, 0);
      /* gpipe keeps a step's micro-batches, 1f1b one a stage. */
      if (i == 0)
        g_assert_cmpuint (run.in_flight, ==, 4);
      else
        g_assert_cmpuint (run.in_flight, <=, n_stages[j]);
    }
  }
}

/* Three stages of which the middle one is behind one connection and the last behind another:
 * the same bits as in one piece. */
static void
test_over_tcp (void)
{
  static const char *const schedules[] = { "gpipe", "1f1b-flush" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (schedules); i++) {
    g_autofree char *options =
        g_strdup_printf ("schedule=%s micro-batches=4 learning-rate=3e-3 max-norm=0.5 seed=3 "
                         "warmup-steps=5 total-steps=60", schedules[i]);
    g_autofree char *last =
        g_strdup_printf ("bertstage model=%s layers=2-2 trainable=true seed=3 "
                         "checkpoint=%s/far-2 ! sentimentloss", train_model, train_work);
    g_autofree char *listening = g_strdup_printf ("tcpactsrc name=in port=0 ! %s", last);
    g_autoptr (GstElement) third = gst_parse_launch (listening, NULL);
    g_autoptr (GstElement) in = gst_bin_get_by_name (GST_BIN (third), "in");
    g_autoptr (GstElement) second = NULL;
    g_autofree char *onwards = NULL;
    g_auto (TrainRun) near = { NULL };
    g_auto (TrainRun) far = { NULL };
    guint port;

    train_stages (&near, "near", "0-2", options, TRAIN_N_REVIEWS);
    g_assert_cmpstr (near.error, ==, NULL);

    gst_element_set_state (third, GST_STATE_PLAYING);
    g_object_get (in, "current-port", &port, NULL);
    onwards = g_strdup_printf ("tcpactsink host=127.0.0.1 port=%u", port);
    second = train_start_server ("far", "layers=1-1 seed=3", onwards, &port);
    train_over_tcp (&far, "far", options, port);
    g_assert_cmpstr (far.error, ==, NULL);
    train_end_server (second);
    train_end_server (third);
    g_assert_cmpuint (far.n_steps, ==, near.n_steps);
    g_assert_cmpuint (train_count_differences ("near", 1, "far", 3), ==, 0);
  }
}

/* Without an end of steps other weights come out, but each time the same. */
static void
test_without_flush (void)
{
  const char *options = "schedule=1f1b learning-rate=3e-3 warmup-steps=20";
  g_auto (TrainRun) one = { NULL };
  g_auto (TrainRun) three = { NULL };
  g_auto (TrainRun) again = { NULL };

  train_stages (&one, "one", "0-2", options, TRAIN_N_REVIEWS);
  g_assert_cmpstr (one.error, ==, NULL);
  g_assert_cmpuint (one.n_steps, ==, TRAIN_N_REVIEWS / 2);
  g_assert_cmpuint (one.in_flight, ==, 1);
  g_assert_cmpfloat (one.last_loss, <, one.first_loss);

  train_stages (&three, "three", "0-0 1-1 2-2", options, TRAIN_N_REVIEWS);
  g_assert_cmpstr (three.error, ==, NULL);
  g_assert_cmpuint (three.n_steps, ==, TRAIN_N_REVIEWS / 2);
  g_assert_cmpuint (three.in_flight, ==, 3);
  g_assert_cmpfloat (three.last_loss, <, three.first_loss);

  train_stages (&again, "again", "0-0 1-1 2-2", options, TRAIN_N_REVIEWS);
  g_assert_cmpstr (again.error, ==, NULL);
  g_assert_cmpuint (train_count_differences ("three", 3, "again", 3), ==, 0);
}

/* The checkpoints of two stages make the same train_model, byte for byte, as that of one. */
static void
test_merge (void)
{
  const char *tool = g_getenv ("TANDEM_TEST_TOOL");
  const char *options = "micro-batches=4 learning-rate=1e-3";
  g_auto (TrainRun) one = { NULL };
  g_auto (TrainRun) two = { NULL };
  char *contents[2] = { NULL };
  gsize sizes[2];
  guint i;

  g_assert_nonnull (tool);
  train_stages (&one, "m", "0-2", options, 32);
  g_assert_cmpstr (one.error, ==, NULL);
  train_stages (&two, "n", "0-0 1-2", options, 32);
  g_assert_cmpstr (two.error, ==, NULL);

  for (i = 0; i < 4; i++) {
    static const char *const arguments[] = { "%s/m-0", "%s/n-1 %s/n-0", "%s/n-0", "%s/n-0 %s/m-0" };
    g_autofree char *files = g_strdup_printf (arguments[i], train_work, train_work);
    g_autofree char *line = g_strdup_printf ("%s merge %s %s --output %s/merged%u", tool, train_model,
                                             files, train_work, i);
    g_autofree char *output = NULL;
    g_autofree char *folder = g_strdup_printf ("%s/merged%u", train_work, i);
    g_autofree char *weights = g_build_filename (folder, "model.safetensors", NULL);
    g_autoptr (GError) error = NULL;
    g_autoptr (TandemModel) merged = NULL;
    int status;

    g_spawn_command_line_sync (line, NULL, &output, &status, &error);
    g_assert_no_error (error);
    if (i >= 2) {
      g_assert_false (g_spawn_check_wait_status (status, NULL));
      g_assert_nonnull (strstr (output, i == 2 ? "encoder.layer.1" : "another checkpoint"));
      continue;
    }
    g_assert_cmpstr (output, ==, "");
    g_assert_true (g_spawn_check_wait_status (status, &error));
    merged = tandem_model_open (folder, NULL, &error);
    g_assert_no_error (error);
    g_assert_true (g_file_get_contents (weights, &contents[i], &sizes[i], NULL));
  }
  g_assert_cmpmem (contents[0], sizes[0], contents[1], sizes[1]);
  g_free (contents[0]);
  g_free (contents[1]);
}

/* Sentences of three words, each a micro-batch of two with labels. */
static void
push_micro_batch (GstHarness *harness, guint seed)
{
  const gint32 ids[6] = { 2, 5 + seed % 7, 3, 2, 6 + seed % 5, 3 };
  const guint32 offsets[3] = { 0, 3, 6 };
  const guint64 sequences[2] = { 2 * seed, 2 * seed + 1 };
  const gint32 labels[2] = { 0, 1 };
  GstBuffer *buffer = gst_buffer_new_memdup (ids, sizeof ids);

  tandem_buffer_add_batch_meta (buffer, 2, offsets, sequences, labels);
  g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_OK);
}

static void
flush (GstHarness *harness)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (harness, gst_event_new_flush_start ());
  gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE));
  gst_harness_push_event (harness, gst_event_new_segment (&segment));
}

/* Trains with two steps of two micro-batches, and perhaps one between them that is flushed. */
static void
train_flushed (const char *name, const char *layers, const char *schedule, gboolean flushed)
{
  g_autofree char *checkpoint = train_in_work (name);
  g_auto (GStrv) ranges = g_strsplit (layers, " ", -1);
  g_autoptr (GString) line = g_string_new (NULL);
  g_autoptr (TandemModel) model = tandem_model_open (train_model, NULL, NULL);
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, NULL);
  TandemStreamInfo info = { .kind = TANDEM_STREAM_TOKENS };
  g_autoptr (GError) error = NULL;
  GstElement *bin;
  GstHarness *harness;
  g_autoptr (GstBus) bus = gst_bus_new ();
  g_autoptr (GstMessage) message = NULL;
  guint i;

  for (i = 0; ranges[i] != NULL; i++)
    g_string_append_printf (line, "bertstage model=%s layers=%s trainable=true schedule=%s seed=3 "
                            "micro-batches=2 learning-rate=1e-2 checkpoint=%s-%u ! ", train_model,
                            ranges[i], schedule, checkpoint, i);
  g_string_append (line, "sentimentloss async=false");
  bin = gst_parse_bin_from_description (line->str, TRUE, &error);
  g_assert_no_error (error);
  gst_element_set_bus (bin, bus);
  harness = gst_harness_new_with_element (bin, "sink", NULL);
  g_strlcpy (info.fingerprint, tandem_tokenizer_get_fingerprint (tokenizer),
             sizeof info.fingerprint);
  gst_harness_set_src_caps (harness, tandem_stream_info_to_caps (&info));
  push_micro_batch (harness, 0);
  push_micro_batch (harness, 1);
  if (flushed) {
    /* The first step is done when its successor begins. */
    push_micro_batch (harness, 100);
    flush (harness);
  }
  push_micro_batch (harness, 2);
  push_micro_batch (harness, 3);
  g_assert_true (gst_harness_push_event (harness, gst_event_new_eos ()));
  message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
  g_assert_null (message);
  gst_harness_teardown (harness);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bin);
}

/* After a flush the training goes on as if what was flushed had not been. */
static void
test_flushed (void)
{
  static const char *const schedules[] = { "gpipe", "1f1b-flush" };
  static const char *const layers[] = { "0-2", "0-0 1-2" };
  guint i, k;

  for (i = 0; i < G_N_ELEMENTS (schedules); i++)
    for (k = 0; k < G_N_ELEMENTS (layers); k++) {
      train_flushed ("straight", layers[k], schedules[i], FALSE);
      train_flushed ("flushed", layers[k], schedules[i], TRUE);
      g_assert_cmpuint (train_count_differences ("straight", k + 1, "flushed", k + 1), ==, 0);
    }
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  train_set_up ();

  g_test_add_func ("/train/schedules", test_schedules);
  g_test_add_func ("/train/over-tcp", test_over_tcp);
  g_test_add_func ("/train/without-flush", test_without_flush);
  g_test_add_func ("/train/merge", test_merge);
  g_test_add_func ("/train/flushed", test_flushed);
  result = g_test_run ();

  train_tear_down ();
  return result;
}
