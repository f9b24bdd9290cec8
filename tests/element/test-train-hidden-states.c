/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bertstage hidden-teacher=: learning, splits, checkpoints, and what is refused. */

#include <string.h>

#include "train-harness.h"
#include "../unit/tandem-test-model.h"

#define PLAIN "micro-batches=4 learning-rate=3e-3 max-norm=0.5 seed=3 warmup-steps=5"
#define OPTIONS "trainable=true " PLAIN

static char *teacher;           /* wider than the model, and deeper */

/* Stages of the given layers, of which the first has the teacher. */
static void
train (TrainRun *run, const char *name, const char *layers, const char *hidden,
       const char *options, guint limit)
{
  g_auto (GStrv) ranges = g_strsplit (layers, " ", -1);
  g_autoptr (GString) line = g_string_new (NULL);
  guint i;

  g_string_append_printf (line, "reviewsrc location=%s limit=%u ! tokenize model=%s ! " TRAIN_BATCH,
                          train_reviews, limit, train_model);
  for (i = 0; ranges[i] != NULL; i++)
    g_string_append_printf (line, " ! queue ! bertstage model=%s layers=%s %s %s "
                            "checkpoint=%s/%s-%u", train_model, ranges[i], options,
                            i == 0 ? hidden : "", train_work, name, i);
  g_string_append (line, " ! sentimentloss");
  train_launch (run, line->str);
}

/* The loss of hidden states falls, and whether the stages are one, two or three changes no bit. */
static void
test_splits (void)
{
  static const char *const layers[] = { "0-2", "0-1 2-2", "0-0 1-1 2-2" };
  static const char *const schedules[] = { "gpipe", "1f1b-flush" };
  g_autofree char *hidden =
      g_strdup_printf ("hidden-teacher=%s hidden-layers=0:1 hidden-weight=0.5", teacher);
  guint i, j;

  for (i = 0; i < G_N_ELEMENTS (schedules); i++) {
    for (j = 0; j < G_N_ELEMENTS (layers); j++) {
      g_autofree char *options = g_strdup_printf (OPTIONS " schedule=%s", schedules[i]);
      const char *name = i + j == 0 ? "first" : "other";
      g_auto (TrainRun) run = { NULL };

      train (&run, name, layers[j], hidden, options, TRAIN_N_REVIEWS);
      g_assert_cmpstr (run.error, ==, NULL);
      g_assert_cmpuint (run.n_steps, ==, 51);
      g_assert_cmpfloat (run.last_hidden_loss, >, 0.0);
      g_assert_cmpfloat (run.last_hidden_loss, <, 0.8 * run.first_hidden_loss);
      if (i + j > 0)
        g_assert_cmpuint (train_count_differences ("first", 1, "other", j + 1), ==, 0);
    }
  }
}

/* The projection and its moments are in the checkpoint: stopped and begun again, the same weights,
 * with 1f1b too. */
static void
test_resume (void)
{
  static const char *const schedules[] = { "1f1b-flush", "1f1b" };
  g_autofree char *hidden = g_strdup_printf ("hidden-teacher=%s", teacher);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (schedules); i++) {
    g_autofree char *options =
        g_strdup_printf (OPTIONS " checkpoint-interval=8 resume=true schedule=%s", schedules[i]);
    g_autofree char *whole = g_strdup_printf ("whole%u", i);
    g_autofree char *parts = g_strdup_printf ("parts%u", i);
    g_auto (TrainRun) a = { NULL };
    g_auto (TrainRun) b = { NULL };
    g_auto (TrainRun) c = { NULL };

    train (&a, whole, "0-2", hidden, options, TRAIN_N_REVIEWS);
    g_assert_cmpstr (a.error, ==, NULL);
    train (&b, parts, "0-2", hidden, options, 128);
    g_assert_cmpstr (b.error, ==, NULL);
    train (&c, parts, "0-2", hidden, options, TRAIN_N_REVIEWS);
    g_assert_cmpstr (c.error, ==, NULL);
    g_assert_cmpuint (b.n_steps + c.n_steps, ==, a.n_steps);
    g_assert_cmpuint (train_count_differences (whole, 1, parts, 1), ==, 0);
  }
}

/* A model is made of the checkpoint, without what only distillation needs. */
static void
test_merge (void)
{
  const char *tool = g_getenv ("TANDEM_TEST_TOOL");
  g_autofree char *hidden = g_strdup_printf ("hidden-teacher=%s", teacher);
  g_autofree char *folder = train_in_work ("merged");
  g_autofree char *line = g_strdup_printf ("%s merge %s %s/merging-0 --output %s", tool,
                                           train_model, train_work, folder);
  g_auto (TrainRun) run = { NULL };
  g_autoptr (TandemModel) merged = NULL;
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = NULL, expected = NULL;
  int status;

  train (&run, "merging", "0-2", hidden, OPTIONS, 32);
  g_assert_cmpstr (run.error, ==, NULL);
  g_spawn_command_line_sync (line, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  g_assert_true (g_spawn_check_wait_status (status, &error));
  merged = tandem_model_open (folder, NULL, &error);
  g_assert_no_error (error);
  model = tandem_model_open (train_model, NULL, &error);
  names = tandem_model_list_tensors (merged);
  expected = tandem_model_list_tensors (model);
  g_assert_cmpuint (g_strv_length (names), ==, g_strv_length (expected));
}

static void
test_refusals (void)
{
  static const struct
  {
    const char *layers, *hidden;        /* %s: the teacher */
    const char *sentence;
  } refusals[] = {
    { "0-2", "hidden-teacher=/nowhere/at/all", "the teacher: " },
    { "0-2", "hidden-teacher=%s hidden-layers=0:9", "one of 0 to 5" },
    { "0-0 1-2", "hidden-teacher=%s", "takes tokens and has all of these layers" },
    { "0-0 1-2", "hidden-teacher=%s hidden-layers=1:2", "by a stage of layers 0-0" },
    { "0-2", "hidden-teacher=%s", "set trainable=true" },
    { "0-2", "hidden-teacher=%s task=masked-lm", "learns no hidden states" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (refusals); i++) {
    g_auto (GStrv) around = g_strsplit (refusals[i].hidden, "%s", 2);
    g_autofree char *hidden = g_strjoinv (teacher, around);
    g_auto (TrainRun) run = { NULL };

    train (&run, "refused", refusals[i].layers, hidden,
           strstr (refusals[i].sentence, "trainable") != NULL ? PLAIN : OPTIONS, 32);
    g_assert_nonnull (run.error);
    if (strstr (run.error, refusals[i].sentence) == NULL)
      g_error ("\"%s\" does not say \"%s\"", run.error, refusals[i].sentence);
  }
}

int
main (int argc, char **argv)
{
  TandemTestModel shape = TANDEM_TEST_MODEL_INIT;
  int result;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  train_set_up ();
  teacher = train_in_work ("teacher");
  shape.n_layers = 6;
  shape.hidden_size = 24;
  shape.seed = 2;
  tandem_test_model_write (&shape, teacher);

  g_test_add_func ("/train-hidden/splits", test_splits);
  g_test_add_func ("/train-hidden/resume", test_resume);
  g_test_add_func ("/train-hidden/merge", test_merge);
  g_test_add_func ("/train-hidden/refusals", test_refusals);
  result = g_test_run ();

  train_tear_down ();
  g_free (teacher);
  return result;
}
