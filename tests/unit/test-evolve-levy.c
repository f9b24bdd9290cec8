/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lévy flights against what is known of their distribution. */

#include "evolve/tandem-levy-private.h"

#include <math.h>
#include <stdlib.h>

#define N 400000

static int
compare (const void *a, const void *b)
{
  double left = *(const double *) a, right = *(const double *) b;

  return (left > right) - (left < right);
}

static double
draw_normal (GRand *random)
{
  return sqrt (-2 * log (1 - g_rand_double (random))) * cos (2 * G_PI * g_rand_double (random));
}

/* P (|L| > t) of Mantegna's quotient: the integral over v of P (|u| > t |v|^(2/3)). */
static double
get_tail (double t)
{
  const double b = 1.5;
  double sigma = pow (tgamma (1 + b) * sin (G_PI * b / 2) /
                      (tgamma ((1 + b) / 2) * b * pow (2, (b - 1) / 2)), 1 / b);
  /* Nothing is left beyond. */
  double end = MIN (9, pow (9 * sigma / t, b)), step = end / 1e5, sum = 0, v;

  for (v = step / 2; v < end; v += step)
    sum += step * 2 * exp (-v * v / 2) / sqrt (2 * G_PI) *
        erfc (t * pow (v, 1 / b) / (sigma * G_SQRT2));
  return sum;
}

static void
test_quantiles (void)
{
  static const double tails[] = { 0.75, 0.5, 0.25, 0.1, 0.03, 0.01, 0.003 };
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  g_autofree double *steps = g_new (double, N);
  guint n_positive = 0, i;

  for (i = 0; i < N; i++) {
    double u = draw_normal (random), v = draw_normal (random), step = tandem_levy_step (u, v);

    n_positive += step > 0;
    steps[i] = fabs (step);
  }
  qsort (steps, N, sizeof *steps, compare);
  /* Five standard deviations. */
  g_assert_cmpfloat (fabs (n_positive - N / 2.0), <, 5 * sqrt (N) * 0.95);
  for (i = 0; i < G_N_ELEMENTS (tails); i++) {
    double quantile = steps[(gsize) (N * (1 - tails[i]))];

    g_assert_cmpfloat_with_epsilon (get_tail (quantile), tails[i],
                                    5 * sqrt (tails[i] * (1 - tails[i]) / N) + 1e-4);
  }
}

/* Its tail falls as that of the stable distribution: P (|L| > t) t^1.5 goes to
 * 2 Gamma (1.5) sin (3 pi / 4) / pi. */
static void
test_tail (void)
{
  double known = 2 * tgamma (1.5) * sin (0.75 * G_PI) / G_PI, t;

  for (t = 30; t < 3000; t *= 3) {
    g_assert_cmpfloat (get_tail (t) * pow (t, 1.5), >, known * 0.95);
    g_assert_cmpfloat (get_tail (t) * pow (t, 1.5), <, known * 1.05);
  }
}

/* No step is infinite. */
static void
test_extremes (void)
{
  g_assert_true (isfinite (tandem_levy_step (5, 0)));
  g_assert_cmpfloat (tandem_levy_step (0, 0), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/evolve/levy/quantiles", test_quantiles);
  g_test_add_func ("/evolve/levy/tail", test_tail);
  g_test_add_func ("/evolve/levy/extremes", test_extremes);
  return g_test_run ();
}
