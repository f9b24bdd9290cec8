/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When a better placement is moved to, with numbers that were made up. */

#include "config.h"

#include <math.h>

#include "cluster/tandem-mover.h"

#define S G_USEC_PER_SEC

/* Asks once a second from second `from` on; returns in which it says yes first, or 0. */
static guint
ask (TandemMover *mover, double current, double candidate, double cost, guint from, guint to)
{
  guint second;

  for (second = from; second <= to; second++)
    if (tandem_mover_decide (mover, current, candidate, cost, (gint64) second * S))
      return second;
  return 0;
}

static void
test_gain (void)
{
  TandemMover mover = { 0 };

  g_assert_cmpuint (ask (&mover, 100, 109.9, 0, 1, 100), ==, 0);
  g_assert_cmpuint (ask (&mover, 100, 90, 0, 101, 200), ==, 0);
  g_assert_cmpuint (ask (&mover, 0, 0, 0, 201, 300), ==, 0);
  g_assert_cmpuint (ask (&mover, 100, 111, 0, 301, 400), ==, 303);
  mover = (TandemMover) { 0 };
  g_assert_cmpuint (ask (&mover, 0, 1, 0, 1, 100), ==, 3);
}

static void
test_patience (void)
{
  TandemMover mover = { 0 };
  guint second;

  /* Better each other second: never for long enough. */
  for (second = 1; second < 100; second++)
    g_assert_false (tandem_mover_decide (&mover, 100, second % 2 == 0 ? 200 : 100, 0,
                                         (gint64) second * S));
}

static void
test_cost (void)
{
  TandemMover mover = { 0 };

  /* 20 % more for a minute are 12 seconds of work, of the new placement 10. */
  g_assert_cmpuint (ask (&mover, 100, 120, 11, 1, 100), ==, 0);
  g_assert_cmpuint (ask (&mover, 100, 120, 9, 101, 200), ==, 103);
}

static void
test_pause (void)
{
  TandemMover mover = { 0 };
  guint moves = 0, second;

  /* Two placements, each of which looks better from the other. */
  for (second = 1; second <= 600; second++)
    if (tandem_mover_decide (&mover, 100, 200, 0, (gint64) second * S)) {
      tandem_mover_moved (&mover, (gint64) second * S);
      moves++;
    }
  g_assert_cmpuint (moves, >=, 5);
  g_assert_cmpuint (moves, <=, 10);
  /* Long after that it is as at first. */
  second += 1000;
  g_assert_cmpuint (ask (&mover, 100, 100, 0, second - 1, second - 1), ==, 0);
  g_assert_cmpuint (ask (&mover, 100, 200, 0, second, second + 100), ==, second + 2);
  tandem_mover_moved (&mover, (gint64) (second + 2) * S);
  g_assert_cmpuint (ask (&mover, 100, 200, 0, second + 3, second + 100), ==, second + 7);
}

static void
test_slowness (void)
{
  TandemSlowness slow = { 0 }, other = { 0 };
  const TandemSlowness *all[] = { &slow, &other };
  guint i;

  g_assert_cmpfloat (tandem_slowness_get (&slow, 1, S), ==, 1);
  g_assert_cmpfloat (tandem_slowness_get_common (all, 2, S), ==, 1);
  tandem_slowness_measure (&slow, 0, 1, S);
  tandem_slowness_measure (&slow, 1, 0, S);
  tandem_slowness_measure (&slow, NAN, 1, S);
  g_assert_cmpfloat (slow.factor, ==, 0);
  for (i = 1; i <= 10; i++)
    tandem_slowness_measure (&slow, 4, 1, i * S);
  g_assert_cmpfloat (tandem_slowness_get (&slow, 1, 10 * S), ==, 4);
  g_assert_cmpfloat_with_epsilon (tandem_slowness_get (&slow, 1, 70 * S), 2, 1e-9);
  g_assert_cmpfloat (tandem_slowness_get (&slow, 1, 1000 * S), <, 1.01);
  /* All are twice as slow as their profiles. */
  tandem_slowness_measure (&other, 2, 1, 10 * S);
  g_assert_cmpfloat (tandem_slowness_get_common (all, 2, 10 * S), ==, 2);
  g_assert_cmpfloat (tandem_slowness_get_common (all, 2, 200 * S), ==, 1);
  tandem_slowness_measure (&slow, 1e9, 1, 11 * S);
  g_assert_cmpfloat (slow.factor, <=, 100);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cluster/mover/gain", test_gain);
  g_test_add_func ("/cluster/mover/patience", test_patience);
  g_test_add_func ("/cluster/mover/cost", test_cost);
  g_test_add_func ("/cluster/mover/pause", test_pause);
  g_test_add_func ("/cluster/mover/slowness", test_slowness);
  return g_test_run ();
}
