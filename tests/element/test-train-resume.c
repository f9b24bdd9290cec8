/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Training that goes on from checkpoints. */

#include <glib/gstdio.h>
#include <string.h>

#include "train-harness.h"

/* Stopped after a checkpoint and begun again: the same weights as in one go. */
static void
test_resume (void)
{
  static const char *const schedules[] = { "1f1b-flush", "gpipe", "1f1b" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (schedules); i++) {
    g_autofree char *options =
        g_strdup_printf ("schedule=%s micro-batches=4 checkpoint-interval=8 learning-rate=1e-3 "
                         "seed=5 total-steps=300", schedules[i]);
    g_autofree char *resuming = g_strconcat (options, " resume=true", NULL);
    g_autofree char *whole = g_strdup_printf ("whole%u", i);
    g_autofree char *parts = g_strdup_printf ("parts%u", i);
    g_auto (TrainRun) a = { NULL };
    g_auto (TrainRun) b = { NULL };
    g_auto (TrainRun) c = { NULL };

    train_stages (&a, whole, "0-0 1-2", options, TRAIN_N_REVIEWS);
    g_assert_cmpstr (a.error, ==, NULL);
    /* As if killed right behind a checkpoint: after 16 steps of 4 micro-batches of 2 train_reviews; with
     * 1f1b two stages finish what is in flight after each 9 micro-batches. */
    train_stages (&b, parts, "0-0 1-2", resuming, i < 2 ? 128 : 126);
    g_assert_cmpstr (b.error, ==, NULL);
    train_stages (&c, parts, "0-0 1-2", resuming, TRAIN_N_REVIEWS);
    g_assert_cmpstr (c.error, ==, NULL);
    g_assert_cmpuint (b.n_steps + c.n_steps, ==, a.n_steps);
    g_assert_cmpuint (train_count_differences (whole, 2, parts, 2), ==, 0);
  }
}

/* A checkpoint of other layers, and none where there should be one. */
static void
test_wrong_checkpoint (void)
{
  g_auto (TrainRun) first = { NULL };
  g_auto (TrainRun) layers = { NULL };
  g_auto (TrainRun) step = { NULL };
  g_autofree char *from = train_in_work ("wrong-1");

  train_stages (&first, "wrong", "0-0 1-2", "micro-batches=4", 32);
  g_assert_cmpstr (first.error, ==, NULL);
  train_stages (&layers, "wrong", "0-1 2-2", "micro-batches=4 resume=true", 32);
  g_assert_nonnull (strstr (layers.error, "the checkpoint is of layers"));
  g_assert_cmpint (g_unlink (from), ==, 0);
  train_stages (&step, "wrong", "0-0 1-2", "micro-batches=4 resume=true", 64);
  g_assert_nonnull (strstr (step.error, "goes on after step 4"));
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  train_set_up ();

  g_test_add_func ("/train/resume", test_resume);
  g_test_add_func ("/train/wrong-checkpoint", test_wrong_checkpoint);
  result = g_test_run ();

  train_tear_down ();
  return result;
}
