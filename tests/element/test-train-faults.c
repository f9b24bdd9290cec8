/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes wrong in pipelines that train, and what they say then. */

#include <string.h>

#include "train-harness.h"

static void
test_faults (void)
{
  static const struct
  {
    const char *line;           /* %1$s: train_model, %2$s: reviews */
    const char *sentence;
  } faults[] = {
    { "bertstage model=%1$s layers=0-0 trainable=true ! bertstage model=%1$s layers=1-2 ! "
      "sentimentloss", "trainable=true here, too" },
    { "bertstage model=%1$s layers=0-0 ! bertstage model=%1$s layers=1-2 trainable=true ! "
      "sentimentloss", "trainable=true there, too" },
    { "bertstage model=%1$s ! sentimentloss", "Nothing before the loss trains" },
    { "bertstage model=%1$s trainable=true threads=2 ! sentimentloss", "on one thread" },
    { "bertstage model=%1$s mask=/nowhere/at/all ! fakesink",
      "do not go together: mask is for training: set trainable=true" },
    { "bertstage model=%1$s hidden-teacher=%1$s ! fakesink",
      "do not go together: hidden-teacher is for training" },
    { "bertstage model=%1$s trainable=true learning-rate=10 weight-decay=10 max-norm=0 ! sentimentloss",
      "finite" },
    { "bertstage model=%1$s trainable=true checkpoint=/nowhere/at/all ! sentimentloss",
      "/nowhere/at/all" },
    { "bertstage model=%1$s trainable=true ! sentimentloss teacher=/nowhere/at/all",
      "/nowhere/at/all" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (faults); i++) {
    g_autofree char *rest = g_strdup_printf (faults[i].line, train_model, train_reviews);
    g_autofree char *line = g_strdup_printf ("reviewsrc location=%s ! tokenize model=%s ! " TRAIN_BATCH
                                             " ! %s", train_reviews, train_model, rest);
    g_auto (TrainRun) run = { NULL };

    train_launch (&run, line);
    g_assert_nonnull (run.error);
    if (strstr (run.error, faults[i].sentence) == NULL)
      g_error ("\"%s\" does not say \"%s\"", run.error, faults[i].sentence);
  }
}

/* Whatever finds out first that training diverged says in which step, counted over all runs. */
static void
test_diverges (void)
{
  static const struct
  {
    const char *layers;
    const char *options;
    guint n_before;             /* steps done before */
  } runs[] = {
    { "0-2", "schedule=gpipe", 0 },
    { "0-0 1-2", "schedule=1f1b-flush", 0 },
    { "0-2", "schedule=1f1b", 0 },
    { "0-2", "schedule=gpipe dropout=0", 4 },
    { "0-0 1-2", "schedule=1f1b-flush dropout=0", 4 },
    { "0-2", "schedule=1f1b dropout=0", 16 },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (runs); i++) {
    gboolean each = strstr (runs[i].options, "1f1b ") != NULL ||
        g_str_has_suffix (runs[i].options, "1f1b");
    g_autofree char *name = g_strdup_printf ("diverges%u", i);
    g_autofree char *sane = g_strdup_printf ("micro-batches=4 %s", runs[i].options);
    g_autofree char *wild = g_strconcat (
        sane, " resume=true learning-rate=10 weight-decay=10 max-norm=0", NULL);
    g_autofree char *expected = NULL, *first = NULL;
    g_auto (TrainRun) before = { NULL };
    g_auto (TrainRun) run = { NULL };

    if (runs[i].n_before > 0)
      train_stages (&before, name, runs[i].layers, sane, 32);
    g_assert_cmpstr (before.error, ==, NULL);
    g_assert_cmpuint (before.n_steps, ==, runs[i].n_before);
    train_stages (&run, name, runs[i].layers, wild, TRAIN_N_REVIEWS);
    g_assert_nonnull (run.error);
    g_assert_nonnull (strstr (run.error, "finite"));
    expected = g_strdup_printf ("step %u", runs[i].n_before + run.n_steps + 1);
    first = g_strdup_printf ("%s, micro-batch %u,", expected, run.n_steps * (each ? 1 : 4));
    if (strstr (run.error, expected) == NULL ||
        (strstr (run.error, "The loss") != NULL && strstr (run.error, first) == NULL))
      g_error ("\"%s\" does not say \"%s\"", run.error, first);
  }
}

/* Answers like a loss that agreed on a step that nobody offered. */
static GstPadProbeReturn
announce_wrongly (GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
  const TandemGradientInfo gradient = {
    .micro_batch = TANDEM_GRADIENT_ANNOUNCEMENT, .n_correct = -1, .step = 99
  };
  g_autoptr (GstBuffer) nothing = gst_buffer_new ();
  TandemTrainingInfo training;

  if (tandem_event_parse_training (GST_PAD_PROBE_INFO_EVENT (info), &training))
    gst_pad_send_event (pad, tandem_event_new_gradient (&gradient, nothing));
  return GST_PAD_PROBE_OK;
}

static void
test_step_that_nobody_has (void)
{
  g_autofree char *line =
      g_strdup_printf ("reviewsrc location=%s ! tokenize model=%s ! " TRAIN_BATCH
                       " ! bertstage name=stage model=%s trainable=true ! fakesink", train_reviews,
                       train_model, train_model);
  g_autoptr (GstElement) pipeline = gst_parse_launch (line, NULL);
  g_autoptr (GstElement) stage = gst_bin_get_by_name (GST_BIN (pipeline), "stage");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (stage, "src");
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GError) error = NULL;

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, announce_wrongly, NULL, NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, 60 * GST_SECOND, GST_MESSAGE_ERROR | GST_MESSAGE_EOS);
  g_assert_nonnull (message);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_ERROR);
  gst_message_parse_error (message, &error, NULL);
  g_assert_nonnull (strstr (error->message, "go on after step 99, which it does not have"));
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

static void
test_unlabelled (void)
{
  g_autofree char *text = train_in_work ("plain.txt");
  g_autofree char *line = NULL;
  g_auto (TrainRun) run = { NULL };

  g_assert_true (g_file_set_contents (text, "tok7 tok9\ntok8\n", -1, NULL));
  line = g_strdup_printf ("filesrc location=%s ! lineparse ! tokenize model=%s ! " TRAIN_BATCH
                          " ! bertstage model=%s trainable=true ! sentimentloss", text, train_model,
                          train_model);
  train_launch (&run, line);
  g_assert_nonnull (run.error);
  g_assert_nonnull (strstr (run.error, "Review 0 has no label"));
}

/* A stage that waits for what never comes is stopped at once. */
static void
test_stop_while_waiting (void)
{
  g_autofree char *line =
      g_strdup_printf ("reviewsrc location=%s ! tokenize model=%s ! " TRAIN_BATCH
                       " ! bertstage model=%s trainable=true ! fakesink", train_reviews, train_model, train_model);
  g_autoptr (GstElement) pipeline = gst_parse_launch (line, NULL);
  gint64 start;

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_usleep (200 * 1000);
  start = g_get_monotonic_time ();
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_assert_cmpint (g_get_monotonic_time () - start, <, 2 * G_TIME_SPAN_SECOND);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  train_set_up ();

  g_test_add_func ("/train/faults", test_faults);
  g_test_add_func ("/train/diverges", test_diverges);
  g_test_add_func ("/train/step-that-nobody-has", test_step_that_nobody_has);
  g_test_add_func ("/train/unlabelled", test_unlabelled);
  g_test_add_func ("/train/stop-while-waiting", test_stop_while_waiting);
  result = g_test_run ();

  train_tear_down ();
  return result;
}
