/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each algorithm against the equations of its paper, and on small functions. */

#include "evolve-search.h"

#include "base/tandem-random-private.h"

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

  g_object_set (optimizer, "population", N, "window", 1,
                "topology", TANDEM_SWARM_TOPOLOGY_RING, NULL);
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
        v[i][d] = CLAMP (v[i][d], -0.2, 0.2);
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

static double
draw_normal (Stream *stream)
{
  float value;

  tandem_random_normal (tandem_random_bits (stream->key, stream->index++), 1.0, 1, &value);
  return value;
}

static double
reflect (double x)
{
  while (x < 0 || x > 1)
    x = x < 0 ? -x : 2 - x;
  return x;
}

/* The equations of the bat algorithm, by the letter. */
static void
test_bat_equations (void)
{
  enum { N = 5, D = 3, STEPS = 200 };
  const double alpha = 0.9, gamma = 0.9, r0 = 0.2, walk = 0.05;
  g_autoptr (TandemSearchSpace) space = evolve_make_space (D);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("bat", space, 5, STEPS);
  double x[N][D], v[N][D] = { { 0 } }, f[N], loudness[N], r[N] = { 0 }, best[D], best_value = 1e9;
  guint n_walks = 0, n_stays = 0, n_asked = 0;
  g_autoptr (TandemTrial) trial = NULL;
  guint64 k;

  g_object_set (optimizer, "population", N, "window", 1, NULL);
  for (k = 0; k < STEPS; k++) {
    Stream stream = open_stream (5, k);
    Stream decisions = { tandem_random_key (5, k * 3 + 1), 0 };
    guint i = k % N, d, j;
    double point[D], mean = 0, value;
    gboolean asked;

    if (trial == NULL)
      trial = tandem_optimizer_ask (optimizer);
    /* The best bat may stay where it is: that is not evaluated again. */
    asked = trial != NULL && tandem_trial_get_number (trial) == k;
    if (k < N) {
      for (d = 0; d < D; d++) {
        point[d] = draw (&stream);
        draw (&stream);
      }
      loudness[i] = 1.9;
    } else {
      double frequency = draw (&stream);

      for (d = 0; d < D; d++) {
        v[i][d] = CLAMP (v[i][d] + (best[d] - x[i][d]) * frequency, -1, 1);
        point[d] = reflect (x[i][d] + v[i][d]);
      }
      if (draw (&stream) > r[i]) {
        for (j = 0; j < N; j++)
          mean += loudness[j] / N;
        for (d = 0; d < D; d++)
          point[d] = reflect (best[d] + walk * mean * (2 * draw (&stream) - 1));
        n_walks++;
      }
    }
    for (d = 0; d < D && asked; d++)
      g_assert_cmpfloat_with_epsilon (
        tandem_parameter_set_get_number (tandem_trial_get_parameters (trial), d),
        -5 + 15 * point[d], 1e-9);
    value = get_value (point, D);
    if (k < N || (draw (&decisions) < loudness[i] && value < f[i])) {
      for (d = 0; d < D; d++)
        x[i][d] = point[d];
      f[i] = value;
      if (k >= N) {
        loudness[i] *= alpha;
        r[i] = r0 * (1 - exp (-gamma * (double) (k / N)));
        n_stays++;
      }
    }
    if (value < best_value) {
      best_value = value;
      for (d = 0; d < D; d++)
        best[d] = point[d];
    }
    if (asked) {
      evolve_tell (optimizer, trial, evolve_sphere);
      g_clear_pointer (&trial, tandem_trial_unref);
      n_asked++;
    }
  }
  /* Both happened. */
  g_assert_cmpuint (n_walks, >, 20);
  g_assert_cmpuint (n_walks, <, STEPS - N);
  g_assert_cmpuint (n_stays, >, 5);
  g_assert_cmpuint (n_asked, >, STEPS - 50);
}

/* The equations of cuckoo search: flights, then abandoned parts. */
static void
test_cuckoo_equations (void)
{
  enum { N = 5, D = 3, STEPS = 150 };
  const double b = 1.5;
  const double deviation =
    pow (tgamma (1 + b) * sin (G_PI * b / 2) / (tgamma ((1 + b) / 2) * b * pow (2, (b - 1) / 2)),
         1 / b);
  g_autoptr (TandemSearchSpace) space = evolve_make_space (D);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("cuckoo", space, 9, STEPS);
  double x[N][D], f[N];
  g_autoptr (TandemTrial) trial = NULL;
  guint n_asked = 0;
  guint64 k;

  g_object_set (optimizer, "population", N, "window", 1, NULL);
  for (k = 0; k < STEPS; k++) {
    Stream stream = open_stream (9, k);
    guint i = k % N, best = 0, d, j;
    double point[D];
    gboolean asked;

    if (trial == NULL)
      trial = tandem_optimizer_ask (optimizer);
    /* The best cuckoo flies nowhere: that is not evaluated again. */
    asked = trial != NULL && tandem_trial_get_number (trial) == k;
    for (j = 1; j < N && k >= N; j++)
      best = f[j] < f[best] ? j : best;
    if (k < N) {
      for (d = 0; d < D; d++) {
        point[d] = draw (&stream);
        draw (&stream);
      }
    } else if (k / N % 2 == 1) {
      for (d = 0; d < D; d++) {
        double u = draw_normal (&stream), w = draw_normal (&stream), n = draw_normal (&stream);

        point[d] = reflect (x[i][d] + 0.2 * deviation * u / pow (fabs (w), 1 / b) * n *
                            (x[i][d] - x[best][d]));
      }
    } else {
      guint one = draw (&stream) * N, other = draw (&stream) * N;
      double r = draw (&stream);
      guint sure = draw (&stream) * D;

      for (d = 0; d < D; d++)
        point[d] = draw (&stream) < 0.15 || d == sure
            ? reflect (x[i][d] + r * (x[one][d] - x[other][d])) : x[i][d];
    }
    for (d = 0; d < D && asked; d++)
      g_assert_cmpfloat_with_epsilon (
        tandem_parameter_set_get_number (tandem_trial_get_parameters (trial), d),
        -5 + 15 * point[d], 1e-8);
    if (k < N || get_value (point, D) < f[i]) {
      f[i] = get_value (point, D);
      for (d = 0; d < D; d++)
        x[i][d] = point[d];
    }
    if (asked) {
      evolve_tell (optimizer, trial, evolve_sphere);
      g_clear_pointer (&trial, tandem_trial_unref);
      n_asked++;
    }
  }
  g_assert_cmpuint (n_asked, >, STEPS / 2);
}

/* The inertia weight is that of its equation: a particle that knows nothing but itself keeps only
 * that. */
static void
test_dynamic_inertia (void)
{
  enum { STEPS = 60 };
  g_autoptr (TandemSearchSpace) space = evolve_make_space (1);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("dwpso", space, 4, STEPS);
  double x = 0, v = 0, p = 0, best = INFINITY;
  guint64 k;

  g_object_set (optimizer, "population", 1, NULL);
  for (k = 0; k < STEPS; k++) {
    g_autoptr (TandemTrial) trial = tandem_optimizer_ask (optimizer);
    Stream stream = open_stream (4, k);

    /* At rest, or at a wall, it is where it was. */
    if (trial == NULL || tandem_trial_get_number (trial) != k)
      break;
    if (k == 0) {
      x = draw (&stream);
      v = (draw (&stream) - x) / 2;
    } else {
      double s = k / (double) STEPS, w = 0.9 - 0.5 * sqrt (s) + 0.4 * s * (draw (&stream) - 0.5);
      double r1 = draw (&stream), r2 = draw (&stream);

      v = CLAMP (w * v + 1.49618 * (r1 + r2) * (p - x), -0.5, 0.5);
      x += v;
      if (x < 0 || x > 1) {
        x = CLAMP (x, 0, 1);
        v /= -2;
      }
    }
    g_assert_cmpfloat_with_epsilon (
      tandem_parameter_set_get_number (tandem_trial_get_parameters (trial), 0), -5 + 15 * x, 1e-9);
    if (get_value (&x, 1) < best) {
      best = get_value (&x, 1);
      p = x;
    }
    evolve_tell (optimizer, trial, evolve_sphere);
  }
  g_assert_cmpuint (k, >, 10);
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

  g_object_set (optimizer, "population", N, "crossover", TANDEM_CROSSOVER_BLEND, "crossover-rate",
                1.0, "mutation-rate", 1e-300, NULL);
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

/* Gradients that the objective gives are used: on a slope of a million to one swarm moves alone
 * are lost. */
static void
valley (TandemParameterSet *set, double fidelity, TandemOutcome *outcome)
{
  static double gradient[8];
  guint i;

  outcome->values[0] = 0;
  for (i = 0; i < 8; i++) {
    double x = tandem_parameter_set_get_number (set, i);

    outcome->values[0] += x * x * pow (10, i % 4);
    gradient[i] = 2 * x * pow (10, i % 4);
  }
  outcome->gradient = gradient;
}

static void
test_gradient (void)
{
  g_autoptr (TandemSearchSpace) space = evolve_make_space (8);
  g_autoptr (TandemOptimizer) with = evolve_make ("pso-adam", space, 3, 2000);
  g_autoptr (TandemOptimizer) without = evolve_make ("pso-adam", space, 3, 2000);
  TandemOutcome outcome, other;

  g_object_set (with, "gradient", TRUE, "steps", 30, NULL);
  g_object_set (without, "steps", 30, NULL);
  evolve_run (with, valley, 2, G_MAXUINT);
  evolve_run (without, valley, 2, G_MAXUINT);
  g_assert_true (tandem_optimizer_get_best (with, NULL, &outcome));
  g_assert_true (tandem_optimizer_get_best (without, NULL, &other));
  g_test_message ("%g with, %g without", outcome.values[0], other.values[0]);
  g_assert_cmpfloat (outcome.values[0], <, 1);
  g_assert_cmpfloat (outcome.values[0], <, other.values[0]);
}

/* What 3,000 evaluations of a sphere in 5 dimensions are enough for; random search is at 5 or so.
 * */
static void
test_convergence (void)
{
  const char *const *algorithm;

  for (algorithm = tandem_optimizer_get_algorithms (); *algorithm != NULL; algorithm++) {
    double limit = g_str_equal (*algorithm, "random") ? 30 : 0.5;
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
  g_test_add_func ("/evolve/algorithms/bat-equations", test_bat_equations);
  g_test_add_func ("/evolve/algorithms/cuckoo-equations", test_cuckoo_equations);
  g_test_add_func ("/evolve/algorithms/dynamic-inertia", test_dynamic_inertia);
  g_test_add_func ("/evolve/algorithms/gradient", test_gradient);
  g_test_add_func ("/evolve/algorithms/blend", test_blend);
  g_test_add_func ("/evolve/algorithms/uniform", test_uniform);
  g_test_add_func ("/evolve/algorithms/elites", test_elites);
  g_test_add_func ("/evolve/algorithms/convergence", test_convergence);
  g_test_add_func ("/evolve/algorithms/mixed", test_mixed);
  return g_test_run ();
}
