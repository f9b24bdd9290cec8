/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <math.h>

static void
test_warmup (void)
{
  guint i;

  /* No step without learning; the last of warm-up has the whole rate. */
  for (i = 0; i < 10; i++)
    g_assert_cmpfloat_with_epsilon (tandem_schedule_get_rate (2e-3, 10, 0, FALSE, i),
                                    2e-4 * (i + 1), 1e-15);
  g_assert_cmpfloat (tandem_schedule_get_rate (2e-3, 10, 0, FALSE, 10), ==, 2e-3);
  g_assert_cmpfloat (tandem_schedule_get_rate (2e-3, 10, 0, TRUE, G_MAXUINT64), ==, 2e-3);
  g_assert_cmpfloat (tandem_schedule_get_rate (2e-3, 0, 0, FALSE, 0), ==, 2e-3);
}

static void
test_decay (void)
{
  double before = 2.0;
  guint i;

  g_assert_cmpfloat (tandem_schedule_get_rate (1.0, 4, 20, FALSE, 4), ==, 1.0);
  g_assert_cmpfloat (tandem_schedule_get_rate (1.0, 4, 20, FALSE, 12), ==, 0.5);
  g_assert_cmpfloat (tandem_schedule_get_rate (1.0, 4, 20, FALSE, 19), ==, 1.0 / 16.0);
  g_assert_cmpfloat (tandem_schedule_get_rate (1.0, 4, 20, TRUE, 4), ==, 1.0);
  g_assert_cmpfloat_with_epsilon (tandem_schedule_get_rate (1.0, 4, 20, TRUE, 12), 0.5, 1e-15);
  g_assert_cmpfloat_with_epsilon (tandem_schedule_get_rate (1.0, 4, 20, TRUE, 8),
                                  0.5 + G_SQRT2 / 4.0, 1e-15);
  for (i = 4; i < 20; i++) {
    double rate = tandem_schedule_get_rate (1.0, 4, 20, TRUE, i);

    g_assert_cmpfloat (rate, <, before);
    g_assert_cmpfloat (rate, >, 0.0);
    before = rate;
  }
  for (i = 20; i < 23; i++) {
    g_assert_cmpfloat (tandem_schedule_get_rate (1.0, 4, 20, FALSE, i), ==, 0.0);
    g_assert_cmpfloat (tandem_schedule_get_rate (1.0, 4, 20, TRUE, i), ==, 0.0);
  }
}

static void
test_warmup_longer_than_all (void)
{
  g_assert_cmpfloat (tandem_schedule_get_rate (1.0, 10, 5, FALSE, 4), ==, 0.5);
  g_assert_cmpfloat (tandem_schedule_get_rate (1.0, 10, 5, FALSE, 5), ==, 0.0);
  g_assert_cmpfloat (tandem_schedule_get_rate (1.0, 5, 5, TRUE, 4), ==, 1.0);
}

static void
test_clip (void)
{
  g_assert_cmpfloat (tandem_schedule_get_clip_scale (0.5, 1.0), ==, 1.0);
  g_assert_cmpfloat (tandem_schedule_get_clip_scale (0.0, 1.0), ==, 1.0);
  g_assert_cmpfloat (tandem_schedule_get_clip_scale (4.0, 1.0), ==, 1.0 / (4.0 + 1e-6));
  g_assert_cmpfloat (tandem_schedule_get_clip_scale (1e9, 0.0), ==, 1.0);
  g_assert_true (isnan (tandem_schedule_get_clip_scale (NAN, 1.0)));
}

static void
test_stopping (void)
{
  TandemEarlyStopping stop = { .higher_is_better = TRUE, .patience = 2 };

  g_assert_false (tandem_early_stopping_should_stop (&stop));
  g_assert_true (tandem_early_stopping_add (&stop, 0.5));
  g_assert_true (tandem_early_stopping_add (&stop, 0.6));
  g_assert_false (tandem_early_stopping_add (&stop, 0.6));
  g_assert_false (tandem_early_stopping_should_stop (&stop));
  g_assert_true (tandem_early_stopping_add (&stop, 0.7));
  g_assert_false (tandem_early_stopping_add (&stop, 0.69));
  g_assert_false (tandem_early_stopping_add (&stop, NAN));
  g_assert_true (tandem_early_stopping_should_stop (&stop));
  g_assert_cmpfloat (stop.best, ==, 0.7);
  g_assert_cmpuint (stop.best_index, ==, 3);
  g_assert_cmpuint (stop.n_values, ==, 6);
}

static void
test_stopping_losses (void)
{
  TandemEarlyStopping stop = { .min_delta = 0.1, .patience = 2 }, never = { 0 };
  guint i;

  /* NaN first, then a loss that is worse than the 0 of an unused state. */
  g_assert_false (tandem_early_stopping_add (&stop, NAN));
  g_assert_true (tandem_early_stopping_add (&stop, 3.0));
  g_assert_cmpuint (stop.best_index, ==, 1);
  g_assert_false (tandem_early_stopping_add (&stop, 2.95));
  g_assert_true (tandem_early_stopping_add (&stop, 2.5));
  g_assert_false (tandem_early_stopping_add (&stop, 2.5));
  g_assert_false (tandem_early_stopping_add (&stop, 4.0));
  g_assert_true (tandem_early_stopping_should_stop (&stop));

  for (i = 0; i < 100; i++)
    tandem_early_stopping_add (&never, i);
  g_assert_cmpuint (never.n_worse, ==, 99);
  g_assert_false (tandem_early_stopping_should_stop (&never));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/train/schedule/warmup", test_warmup);
  g_test_add_func ("/train/schedule/decay", test_decay);
  g_test_add_func ("/train/schedule/warmup-longer-than-all", test_warmup_longer_than_all);
  g_test_add_func ("/train/schedule/clip", test_clip);
  g_test_add_func ("/train/early-stopping/accuracy", test_stopping);
  g_test_add_func ("/train/early-stopping/loss", test_stopping_losses);
  return g_test_run ();
}
