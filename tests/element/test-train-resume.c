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

/* As if a stage had been stopped before its last checkpoint. */
static void
set_back (const char *name, guint stage)
{
  g_autofree char *path = g_strdup_printf ("%s/%s-%u", train_work, name, stage);
  g_autofree char *previous = g_strconcat (path, "~", NULL);

  g_assert_cmpint (g_rename (previous, path), ==, 0);
}

#define APART "micro-batches=4 checkpoint-interval=4 learning-rate=1e-3 seed=5 total-steps=300"

/* Stages that were stopped between their checkpoints go on after the last that all have, whichever
 * of them it is that lacks the newest. */
static void
test_checkpoints_apart (void)
{
  static const struct
  {
    const char *layers;
    guint n_stages;
    const char *behind;
  } cases[] = {
    { "0-0 1-2", 2, "0" }, { "0-0 1-2", 2, "1" }, { "0-0 1-1 2-2", 3, "1" },
    { "0-0 1-1 2-2", 3, "2" }, { "0-0 1-1 2-2", 3, "02" },
  };
  guint i, j;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *whole = g_strdup_printf ("together%u", i);
    g_autofree char *parts = g_strdup_printf ("apart%u", i);
    g_auto (TrainRun) a = { NULL };
    g_auto (TrainRun) b = { NULL };
    g_auto (TrainRun) c = { NULL };

    train_stages (&a, whole, cases[i].layers, APART, 200);
    g_assert_cmpstr (a.error, ==, NULL);
    train_stages (&b, parts, cases[i].layers, APART, 128);
    g_assert_cmpstr (b.error, ==, NULL);
    for (j = 0; cases[i].behind[j] != '\0'; j++)
      set_back (parts, cases[i].behind[j] - '0');
    train_stages (&c, parts, cases[i].layers, APART " resume=true", 200);
    g_assert_cmpstr (c.error, ==, NULL);
    g_assert_cmpuint (c.n_steps, ==, a.n_steps - 12);
    g_assert_cmpuint (train_count_differences (whole, cases[i].n_stages, parts,
                                               cases[i].n_stages), ==, 0);
  }
}

/* The same when they are on two devices. */
static void
test_checkpoints_apart_over_tcp (void)
{
  guint behind;

  for (behind = 0; behind < 2; behind++) {
    g_autofree char *whole = g_strdup_printf ("near%u", behind);
    g_autofree char *parts = g_strdup_printf ("far%u", behind);
    g_autoptr (GstElement) server = NULL;
    g_auto (TrainRun) a = { NULL };
    g_auto (TrainRun) b = { NULL };
    g_auto (TrainRun) c = { NULL };
    guint port;

    train_stages (&a, whole, "0-0 1-2", APART, TRAIN_N_REVIEWS);
    g_assert_cmpstr (a.error, ==, NULL);
    train_stages (&b, parts, "0-0 1-2", APART, 128);
    g_assert_cmpstr (b.error, ==, NULL);
    set_back (parts, behind);
    server = train_start_server (parts, "layers=1-2 seed=5 resume=true", "sentimentloss", &port);
    train_over_tcp (&c, parts, APART " resume=true", port);
    g_assert_cmpstr (c.error, ==, NULL);
    train_end_server (server);
    g_assert_cmpuint (c.n_steps, ==, a.n_steps - 12);
    g_assert_cmpuint (train_count_differences (whole, 2, parts, 2), ==, 0);
  }
}

/* No step in common: the error says which each has, and no file is changed. */
static void
test_nothing_in_common (void)
{
  g_autofree char *first = train_in_work ("none-0"), *second = train_in_work ("none-1");
  g_autofree char *sentence =
      g_strdup_printf ("can go on after step 16 or 12, this one (%s) after step 8 or 4", second);
  char *before[2], *after[2];
  gsize sizes[4];
  g_auto (TrainRun) a = { NULL };
  g_auto (TrainRun) b = { NULL };
  g_auto (TrainRun) c = { NULL };
  g_autofree char *other = train_in_work ("fewer-1");
  g_autofree char *previous = g_strconcat (second, "~", NULL);
  g_autofree char *other_previous = g_strconcat (other, "~", NULL);
  guint i;

  train_stages (&a, "none", "0-0 1-2", APART, 128);
  g_assert_cmpstr (a.error, ==, NULL);
  train_stages (&b, "fewer", "0-0 1-2", APART, 64);
  g_assert_cmpstr (b.error, ==, NULL);
  g_assert_cmpint (g_rename (other, second), ==, 0);
  g_assert_cmpint (g_rename (other_previous, previous), ==, 0);
  g_assert_true (g_file_get_contents (first, &before[0], &sizes[0], NULL));
  g_assert_true (g_file_get_contents (second, &before[1], &sizes[1], NULL));
  train_stages (&c, "none", "0-0 1-2", APART " resume=true", 200);
  g_assert_nonnull (c.error);
  if (strstr (c.error, sentence) == NULL)
    g_error ("\"%s\" does not say \"%s\"", c.error, sentence);
  g_assert_true (g_file_get_contents (first, &after[0], &sizes[2], NULL));
  g_assert_true (g_file_get_contents (second, &after[1], &sizes[3], NULL));
  for (i = 0; i < 2; i++) {
    g_assert_cmpmem (before[i], sizes[i], after[i], sizes[2 + i]);
    g_free (before[i]);
    g_free (after[i]);
  }
}

/* A checkpoint that is cut off at any place is no model that cannot be used. */
static void
test_truncated (void)
{
  g_autofree char *path = train_in_work ("cut-0");
  g_autofree char *contents = NULL;
  const gsize sizes[] = { 0, 5, 100, 4000 };
  g_auto (TrainRun) whole = { NULL };
  guint i;
  gsize n;

  train_stages (&whole, "cut", "0-2", "micro-batches=4", 32);
  g_assert_cmpstr (whole.error, ==, NULL);
  g_assert_true (g_file_get_contents (path, &contents, &n, NULL));
  g_assert_cmpuint (n, >, sizes[3]);
  for (i = 0; i <= G_N_ELEMENTS (sizes); i++) {
    g_auto (TrainRun) run = { NULL };

    g_assert_true (g_file_set_contents (path, contents,
                                        i < G_N_ELEMENTS (sizes) ? sizes[i] : n - 1, NULL));
    train_stages (&run, "cut", "0-2", "micro-batches=4 resume=true", 64);
    g_assert_nonnull (run.error);
    g_assert_nonnull (strstr (run.error, "The checkpoint to resume cannot be used"));
    g_assert_nonnull (strstr (run.error, path));
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
  g_assert_nonnull (strstr (step.error, "can go on after step 4, this one"));
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
  g_test_add_func ("/train/checkpoints-apart", test_checkpoints_apart);
  g_test_add_func ("/train/checkpoints-apart-over-tcp", test_checkpoints_apart_over_tcp);
  g_test_add_func ("/train/nothing-in-common", test_nothing_in_common);
  g_test_add_func ("/train/truncated", test_truncated);
  g_test_add_func ("/train/wrong-checkpoint", test_wrong_checkpoint);
  result = g_test_run ();

  train_tear_down ();
  return result;
}
