/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each algorithm against the equations of its paper, and on small functions. */

#include "evolve-search.h"

#include "train/tandem-train-random.h"

/* The stream that a candidate is proposed from. */
typedef struct
{
  guint64 key, index;
} Stream;

static Stream
open_stream (guint64 seed, guint64 number)
{
  return (Stream) { tandem_random_key (seed, number * 3), 0 };
}

static double
draw (Stream *stream)
{
  return tandem_random_uniform (stream->key, stream->index++);
}

/* The sphere of the decoded point, in the order of evolve_sphere(). */
static double
get_value (const double *point, guint n)
{
  double sum = 0;
  guint d;

  for (d = 0; d < n; d++)
    sum += pow (-5 + 15 * point[d], 2);
  return sum;
}

/* One particle after the other, a worker that answers at once, a ring. */
static void
test_swarm_equations (void)
{
  enum { N = 6, D = 3, STEPS = 120 };
  g_autoptr (TandemSearchSpace) space = evolve_make_space (D);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("pso", space, 11, STEPS);
  double x[N][D], v[N][D], p[N][D], best[N];
  guint64 k;

  g_object_set (optimizer, "population", N, "window", 1, NULL);
  for (k = 0; k < STEPS; k++) {
    g_autoptr (TandemTrial) trial = tandem_optimizer_ask (optimizer);
    Stream stream = open_stream (11, k);
    guint i = k % N, g = i, d;

    if (k >= N && best[(i + N - 1) % N] < best[g])
      g = (i + N - 1) % N;
    if (k >= N && best[(i + 1) % N] < best[g])
      g = (i + 1) % N;
    for (d = 0; d < D; d++) {
      double r1 = draw (&stream), r2 = draw (&stream);

      if (k < N) {
        x[i][d] = r1;
        v[i][d] = (r2 - r1) / 2;
      } else {
        v[i][d] = 0.72984378812835757 *
            (v[i][d] + 2.05 * r1 * (p[i][d] - x[i][d]) + 2.05 * r2 * (p[g][d] - x[i][d]));
        v[i][d] = CLAMP (v[i][d], -0.5, 0.5);
        x[i][d] += v[i][d];
        if (x[i][d] < 0 || x[i][d] > 1) {
          x[i][d] = CLAMP (x[i][d], 0, 1);
          v[i][d] /= -2;
        }
      }
      g_assert_cmpfloat_with_epsilon (
        tandem_parameter_set_get_number (tandem_trial_get_parameters (trial), d),
        -5 + 15 * x[i][d], 1e-9);
    }
    if (k < N || get_value (x[i], D) < best[i]) {
      best[i] = get_value (x[i], D);
      for (d = 0; d < D; d++)
        p[i][d] = x[i][d];
    }
    evolve_tell (optimizer, trial, evolve_sphere);
  }
}

/* Blend without mutation: each child lies around and between two of the parents. */
static void
test_blend (void)
{
  enum { N = 4, D = 2 };
  g_autoptr (TandemSearchSpace) space = evolve_make_space (D);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("ga", space, 3, 2 * N);
  double x[N][D];
  guint64 k;

  g_object_set (optimizer, "population", N, "crossover-rate", 1.0, "mutation-rate", 1e-300, NULL);
  for (k = 0; k < 2 * N; k++) {
    g_autoptr (TandemTrial) trial = tandem_optimizer_ask (optimizer);
    TandemParameterSet *set = tandem_trial_get_parameters (trial);
    gboolean found = k < N;
    guint a, b, d;

    for (d = 0; k < N && d < D; d++)
      x[k][d] = tandem_parameter_set_get_number (set, d);
    for (a = 0; a < N; a++) {
      for (b = 0; b < N; b++) {
        gboolean inside = TRUE;

        for (d = 0; d < D; d++) {
          double low = MIN (x[a][d], x[b][d]), high = MAX (x[a][d], x[b][d]);
          double value = tandem_parameter_set_get_number (set, d);

          inside &= value >= low - 0.5 * (high - low) - 1e-9 &&
              value <= high + 0.5 * (high - low) + 1e-9;
        }
        found |= inside;
      }
    }
    g_assert_true (found);
    evolve_tell (optimizer, trial, evolve_sphere);
  }
}

/* Uniform without mutation: each coordinate is one of the parents'. */
static void
test_uniform (void)
{
  enum { N = 6, D = 3 };
  g_autoptr (TandemSearchSpace) space = evolve_make_space (D);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("ga", space, 3, 3 * N);
  double x[N][D];
  guint64 k;

  g_object_set (optimizer, "population", N, "crossover", TANDEM_CROSSOVER_UNIFORM,
                "crossover-rate", 1.0, "mutation-rate", 1e-300, NULL);
  for (k = 0; k < 3 * N; k++) {
    g_autoptr (TandemTrial) trial = tandem_optimizer_ask (optimizer);
    guint a, d;

    if (trial == NULL)
      break;
    for (d = 0; d < D; d++) {
      double value = tandem_parameter_set_get_number (tandem_trial_get_parameters (trial), d);
      gboolean found = k < N;

      if (k < N)
        x[k][d] = value;
      for (a = 0; a < N; a++)
        found |= x[a][d] == value;
      g_assert_true (found);
    }
    evolve_tell (optimizer, trial, evolve_sphere);
  }
}

/* The best parent lives as long as no child is better. */
static void
test_elites (void)
{
  g_autoptr (TandemSearchSpace) space = evolve_make_space (4);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("ga", space, 3, 600);
  TandemOutcome outcome;

  g_object_set (optimizer, "population", 20, "elites", 1, NULL);
  evolve_run (optimizer, evolve_sphere, 1, G_MAXUINT);
  g_assert_true (tandem_optimizer_get_best (optimizer, NULL, &outcome));
  g_assert_cmpfloat (outcome.values[0], <, 5);
}

/* What 3,000 evaluations of a sphere in 5 dimensions are enough for; random search is at 5 or so. */
static void
test_convergence (void)
{
  const char *const *algorithm;

  for (algorithm = tandem_optimizer_get_algorithms (); *algorithm != NULL; algorithm++) {
    double limit = g_str_equal (*algorithm, "random") ? 30 : 0.1;
    guint64 seed;

    for (seed = 1; seed <= 5; seed++) {
      g_autoptr (TandemSearchSpace) space = evolve_make_space (5);
      g_autoptr (TandemOptimizer) optimizer = evolve_make (*algorithm, space, seed, 3000);
      TandemOutcome outcome;

      evolve_run (optimizer, evolve_sphere, 1, G_MAXUINT);
      g_assert_true (tandem_optimizer_get_best (optimizer, NULL, &outcome));
      g_test_message ("%s, seed %u: %g", *algorithm, (guint) seed, outcome.values[0]);
      g_assert_cmpfloat (outcome.values[0], <, limit);
    }
  }
}

/* Whole, categorical and conditional parameters: the best is kernel=b, n=7, c=-2. */
static void
mixed (TandemParameterSet *set, double fidelity, TandemOutcome *outcome)
{
  outcome->values[0] = fabs (tandem_parameter_set_get_number (set, 0) - 7);
  if (tandem_parameter_set_get_number (set, 1) != 1)
    outcome->values[0] += 10;
  else
    outcome->values[0] += fabs (tandem_parameter_set_get_number (set, 2) + 2);
}

static void
test_mixed (void)
{
  const char *const *algorithm;

  for (algorithm = tandem_optimizer_get_algorithms (); *algorithm != NULL; algorithm++) {
    g_autoptr (TandemSearchSpace) space = tandem_search_space_new_from_text (
      "n=integer(1,40); kernel={a,b,c}; c=real(-5,5) if kernel=b", NULL);
    g_autoptr (TandemOptimizer) optimizer = evolve_make (*algorithm, space, 2, 1500);
    TandemOutcome outcome;

    evolve_run (optimizer, mixed, 3, G_MAXUINT);
    g_assert_true (tandem_optimizer_get_best (optimizer, NULL, &outcome));
    g_test_message ("%s: %g", *algorithm, outcome.values[0]);
    g_assert_cmpfloat (outcome.values[0], <, 2);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/evolve/algorithms/swarm-equations", test_swarm_equations);
  g_test_add_func ("/evolve/algorithms/blend", test_blend);
  g_test_add_func ("/evolve/algorithms/uniform", test_uniform);
  g_test_add_func ("/evolve/algorithms/elites", test_elites);
  g_test_add_func ("/evolve/algorithms/convergence", test_convergence);
  g_test_add_func ("/evolve/algorithms/mixed", test_mixed);
  return g_test_run ();
}
