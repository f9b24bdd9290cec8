/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two objectives, constraints, and poor candidates that are stopped early. */

#include "evolve-search.h"

#include <glib/gstdio.h>
#include <string.h>

#define FOR_ALL(algorithm) \
  for (algorithm = tandem_optimizer_get_algorithms (); *algorithm != NULL; algorithm++)

/* Two numbers on a grid; near (0, 0) and near (9, 9) are the ends of the front. */
static void
two_ends (TandemParameterSet *set, double fidelity, TandemOutcome *outcome)
{
  double a = tandem_parameter_set_get_number (set, 0);
  double b = tandem_parameter_set_get_number (set, 1);

  outcome->values[0] = a * a + 2 * b * b + 0.1 * a;
  outcome->values[1] = 2 * (a - 9) * (a - 9) + (b - 9) * (b - 9) + 0.3 * b;
}

static void
get_grid (double *values)
{
  guint a, b;

  for (a = 0; a < 10; a++) {
    for (b = 0; b < 10; b++) {
      values[2 * (10 * a + b)] = a * a + 2.0 * b * b + 0.1 * a;
      values[2 * (10 * a + b) + 1] = 2 * (a - 9.0) * (a - 9.0) + (b - 9.0) * (b - 9.0) + 0.3 * b;
    }
  }
}

/* Of all 100 candidates, those that no other one beats. */
static guint
count_front (const double *values)
{
  guint n = 0, i, k;

  for (i = 0; i < 100; i++) {
    gboolean beaten = FALSE;

    for (k = 0; k < 100; k++)
      beaten |= values[2 * k] <= values[2 * i] && values[2 * k + 1] <= values[2 * i + 1] &&
          (values[2 * k] < values[2 * i] || values[2 * k + 1] < values[2 * i + 1]);
    n += !beaten;
  }
  return n;
}

/* When all candidates were evaluated the front is that of brute force. */
static void
test_front (void)
{
  g_autoptr (TandemSearchSpace) space =
    tandem_search_space_new_from_text ("a=integer(0,9); b=integer(0,9)", NULL);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("random", space, 1, 100);
  g_autofree guint64 *front = NULL;
  double values[200];
  gsize n, i, k;

  g_object_set (optimizer, "objectives", 2, NULL);
  evolve_run (optimizer, two_ends, 3, G_MAXUINT);
  g_assert_cmpuint (tandem_optimizer_get_n_evaluations (optimizer), ==, 100);
  get_grid (values);
  front = tandem_optimizer_get_front (optimizer, &n);
  g_assert_cmpuint (n, ==, count_front (values));
  for (i = 0; i < n; i++) {
    TandemOutcome outcome, before;

    g_assert_true (tandem_optimizer_get_outcome (optimizer, front[i], &outcome, NULL));
    for (k = 0; k < 100; k++)
      g_assert_false (values[2 * k] <= outcome.values[0] && values[2 * k + 1] < outcome.values[1]);
    if (i == 0)
      continue;
    tandem_optimizer_get_outcome (optimizer, front[i - 1], &before, NULL);
    g_assert_cmpfloat (before.values[0], <, outcome.values[0]);
    g_assert_cmpfloat (before.values[1], >, outcome.values[1]);
  }
}

/* ZDT1 (Zitzler, Deb and Thiele 2000) in 6 dimensions: the front is 1 - sqrt (x). */
static void
zdt1 (TandemParameterSet *set, double fidelity, TandemOutcome *outcome)
{
  double g = 1;
  guint i;

  for (i = 1; i < 6; i++)
    g += 9.0 / 5 * (tandem_parameter_set_get_number (set, i) + 5) / 15;
  outcome->values[0] = (tandem_parameter_set_get_number (set, 0) + 5) / 15;
  outcome->values[1] = g * (1 - sqrt (outcome->values[0] / g));
}

/* What part of the unit square, up to 1.1 on both sides, the front covers; the best is 0.87. */
static double
get_hypervolume (TandemOptimizer *optimizer)
{
  g_autofree guint64 *front = NULL;
  double last = 1.1, sum = 0;
  gsize n, i;

  front = tandem_optimizer_get_front (optimizer, &n);
  for (i = 0; i < n; i++) {
    TandemOutcome outcome;

    tandem_optimizer_get_outcome (optimizer, front[i], &outcome, NULL);
    if (outcome.values[1] >= last || outcome.values[0] > 1.1)
      continue;
    sum += (1.1 - outcome.values[0]) * (last - outcome.values[1]);
    last = outcome.values[1];
  }
  return sum;
}

static void
test_spread (void)
{
  const char *const *algorithm;
  double of_random = 0;

  FOR_ALL (algorithm) {
    g_autoptr (TandemSearchSpace) space = evolve_make_space (6);
    g_autoptr (TandemOptimizer) one = evolve_make (*algorithm, space, 1, 3000);
    g_autoptr (TandemOptimizer) five = evolve_make (*algorithm, space, 1, 3000);

    g_object_set (one, "objectives", 2, NULL);
    g_object_set (five, "objectives", 2, NULL);
    evolve_run (one, zdt1, 1, G_MAXUINT);
    evolve_run (five, zdt1, 5, G_MAXUINT);
    evolve_assert_same (one, five);
    g_test_message ("%s: %g", *algorithm, get_hypervolume (one));
    if (g_str_equal (*algorithm, "random"))
      of_random = get_hypervolume (one);
    else
      g_assert_cmpfloat (get_hypervolume (one), >, of_random + 0.1);
    if (g_str_equal (*algorithm, "ga"))
      g_assert_cmpfloat (get_hypervolume (one), >, 0.85);
  }
}

/* The best place is outside of what is allowed: the best allowed one is at the wall, where the sum
 * of both is 3. */
static void
constrained (TandemParameterSet *set, double fidelity, TandemOutcome *outcome)
{
  evolve_sphere (set, fidelity, outcome);
  outcome->violation =
    3 - tandem_parameter_set_get_number (set, 0) - tandem_parameter_set_get_number (set, 1);
}

static void
test_constraints (void)
{
  const char *const *algorithm;

  FOR_ALL (algorithm) {
    g_autoptr (TandemSearchSpace) space = evolve_make_space (2);
    g_autoptr (TandemOptimizer) optimizer = evolve_make (*algorithm, space, 2, 2000);
    TandemOutcome outcome;
    const double *history;
    gsize n;

    evolve_run (optimizer, constrained, 2, G_MAXUINT);
    g_assert_true (tandem_optimizer_get_best (optimizer, NULL, &outcome));
    g_test_message ("%s: %g", *algorithm, outcome.values[0]);
    g_assert_cmpfloat (outcome.violation, ==, 0);
    g_assert_cmpfloat (outcome.values[0], >=, 4.5);
    g_assert_cmpfloat (outcome.values[0], <, g_str_equal (*algorithm, "random") ? 6 : 4.8);
    history = tandem_optimizer_get_history (optimizer, &n);
    g_assert_cmpfloat (history[n - 1], ==, outcome.values[0]);
  }
}

/* Nothing is allowed: the best one is the one that violates least. */
static void
forbidden (TandemParameterSet *set, double fidelity, TandemOutcome *outcome)
{
  outcome->values[0] = -tandem_parameter_set_get_number (set, 0);
  outcome->violation = 6 + tandem_parameter_set_get_number (set, 0);
}

static void
test_infeasible (void)
{
  g_autoptr (TandemSearchSpace) space = evolve_make_space (1);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("pso", space, 2, 300);
  TandemOutcome outcome;
  const double *history;
  gsize n;

  evolve_run (optimizer, forbidden, 2, G_MAXUINT);
  g_assert_true (tandem_optimizer_get_best (optimizer, NULL, &outcome));
  g_assert_cmpfloat (outcome.violation, <, 1.01);
  history = tandem_optimizer_get_history (optimizer, &n);
  g_assert_true (isinf (history[n - 1]));
}

static double work;

/* With less work the value is blurred by what looks like chance. */
static void
blurred (TandemParameterSet *set, double fidelity, TandemOutcome *outcome)
{
  evolve_sphere (set, fidelity, outcome);
  outcome->values[0] += (1 - fidelity) * (1 + sin (1e3 * outcome->values[0]));
  work += fidelity;
}

/* Poor ones are stopped: much less work, the same candidates with any number of workers, and the
 * best one went all the way. */
static void
test_halving (void)
{
  const char *const *algorithm;

  FOR_ALL (algorithm) {
    g_autoptr (TandemSearchSpace) space = evolve_make_space (3);
    g_autoptr (TandemOptimizer) one = evolve_make (*algorithm, space, 4, 400);
    g_autoptr (TandemOptimizer) four = evolve_make (*algorithm, space, 4, 400);
    guint n_rungs[3] = { 0 };
    TandemOutcome outcome;
    guint64 i, best;

    g_object_set (one, "rungs", 3, "reduction", 4.0, NULL);
    g_object_set (four, "rungs", 3, "reduction", 4.0, NULL);
    work = 0;
    evolve_run (one, blurred, 1, G_MAXUINT);
    g_test_message ("%s: work of %g", *algorithm, work);
    /* One that gets better all the time has fewer poor ones. */
    g_assert_cmpfloat (work, <, g_str_equal (*algorithm, "random") ? 100 : 360);
    evolve_run (four, blurred, 4, G_MAXUINT);
    evolve_assert_same (one, four);
    for (i = 0; i < tandem_optimizer_get_n_proposed (one); i++) {
      TandemOutcome other;

      g_assert_true (tandem_optimizer_get_outcome (one, i, &outcome, NULL));
      g_assert_true (tandem_optimizer_get_outcome (four, i, &other, NULL));
      g_assert_cmpuint (outcome.rung, ==, other.rung);
      g_assert_cmpfloat (outcome.values[0], ==, other.values[0]);
      n_rungs[outcome.rung]++;
    }
    g_assert_cmpuint (n_rungs[0], >, 20);
    g_assert_cmpuint (n_rungs[2], >, 3);
    g_assert_true (tandem_optimizer_get_best (one, &best, &outcome));
    g_assert_cmpuint (outcome.rung, ==, 2);
  }
}

/* The rule of random search by hand: a candidate goes on when it is in the best part of those that
 * were there before, itself one of them. */
static void
test_halving_rule (void)
{
  g_autoptr (TandemSearchSpace) space = evolve_make_space (1);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("random", space, 4, 9);
  /* Of candidates 0 to 8, at their first rung. */
  static const double values[] = { 5, 6, 4, 3, 7, 2.5, 8, 9, 1 };
  static const gboolean goes_on[] = { TRUE, FALSE, TRUE, TRUE, FALSE, TRUE, FALSE, FALSE, TRUE };
  TandemOutcome outcome = { { 0 } };
  TandemTrial *trial;
  guint i;

  g_object_set (optimizer, "rungs", 2, "reduction", 3.0, NULL);
  while ((trial = tandem_optimizer_ask (optimizer)) != NULL) {
    i = tandem_trial_get_number (trial);
    g_assert_cmpfloat_with_epsilon (tandem_trial_get_fidelity (trial),
                                    tandem_trial_get_rung (trial) == 0 ? 1 / 3.0 : 1, 1e-15);
    outcome.values[0] = values[i];
    g_assert_true (tandem_optimizer_tell (optimizer, trial, &outcome, NULL));
    tandem_trial_unref (trial);
  }
  for (i = 0; i < 9; i++) {
    tandem_optimizer_get_outcome (optimizer, i, &outcome, NULL);
    g_assert_true ((outcome.rung == 1) == goes_on[i]);
  }
}

/* Saved at any rung, with two objectives, constraints and failures, it goes on to the same. */
static void
everything (TandemParameterSet *set, double fidelity, TandemOutcome *outcome)
{
  constrained (set, fidelity, outcome);
  outcome->values[0] += 1 - fidelity;
  outcome->values[1] = fabs (tandem_parameter_set_get_number (set, 1) - 3);
  if (fmod (fabs (outcome->values[0]) * 1e3, 10) < 1)
    outcome->values[1] = INFINITY;
}

static void
test_resume (void)
{
  g_autofree char *folder = g_dir_make_tmp ("tandem-evolve-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "search.json", NULL);
  const char *const *algorithm;
  guint n;

  FOR_ALL (algorithm) {
    g_autoptr (TandemSearchSpace) space = evolve_make_space (2);
    g_autoptr (TandemOptimizer) whole = evolve_make (*algorithm, space, 3, 60);

    g_object_set (whole, "population", 8, "rungs", 2, "objectives", 2, NULL);
    evolve_run (whole, everything, 3, G_MAXUINT);
    for (n = 1; n < 80; n += 6) {
      g_autoptr (TandemOptimizer) part = evolve_make (*algorithm, space, 3, 60), rest = NULL;
      g_autofree guint64 *left = NULL, *right = NULL;
      g_autoptr (GError) error = NULL;
      gsize n_left, n_right;

      g_object_set (part, "population", 8, "rungs", 2, "objectives", 2, NULL);
      evolve_run (part, everything, 3, n);
      g_assert_true (tandem_optimizer_save (part, path, NULL));
      rest = tandem_optimizer_load (path, &error);
      g_assert_no_error (error);
      evolve_run (rest, everything, 5, G_MAXUINT);
      evolve_assert_same (whole, rest);
      left = tandem_optimizer_get_front (whole, &n_left);
      right = tandem_optimizer_get_front (rest, &n_right);
      g_assert_cmpmem (left, n_left * sizeof *left, right, n_right * sizeof *right);
    }
  }
  g_remove (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/evolve/objectives/front", test_front);
  g_test_add_func ("/evolve/objectives/spread", test_spread);
  g_test_add_func ("/evolve/objectives/constraints", test_constraints);
  g_test_add_func ("/evolve/objectives/infeasible", test_infeasible);
  g_test_add_func ("/evolve/objectives/halving", test_halving);
  g_test_add_func ("/evolve/objectives/halving-rule", test_halving_rule);
  g_test_add_func ("/evolve/objectives/resume", test_resume);
  return g_test_run ();
}
