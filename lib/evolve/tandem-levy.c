/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "evolve/tandem-levy-private.h"

#include <math.h>

#include "evolve/tandem-evolve-math-private.h"
#include "evolve/tandem-variation-private.h"

#define INDEX 1.5
/* (Gamma (1 + b) sin (pi b / 2) / (Gamma ((1 + b) / 2) b 2^((b - 1) / 2)))^(1 / b), b = 3/2. */
#define DEVIATION 0.69657450255769682
/* What a number of 24 bits may be, so that the quotient is finite. */
#define LEAST 1e-9

double
tandem_levy_step (double u, double v)
{
  return DEVIATION * u / tandem_evolve_power (MAX (fabs (v), LEAST), 1.0 / INDEX);
}

void
tandem_levy_fly (TandemOptimizer *optimizer, double scale, const double *x, const double *best,
                 guint n, double *point)
{
  guint d;

  for (d = 0; d < n; d++) {
    double u = tandem_optimizer_draw_normal (optimizer);
    double v = tandem_optimizer_draw_normal (optimizer);

    point[d] = tandem_variation_reflect (x[d] + scale * tandem_levy_step (u, v) *
                                         tandem_optimizer_draw_normal (optimizer) *
                                         (x[d] - best[d]));
  }
}

void
tandem_levy_abandon (TandemOptimizer *optimizer, double probability, const double *x,
                     const double *a, const double *b, guint n, double *point)
{
  double r = tandem_optimizer_draw (optimizer);
  guint one = tandem_optimizer_draw_below (optimizer, n), d;

  for (d = 0; d < n; d++)
    point[d] = tandem_optimizer_draw (optimizer) < probability || d == one
        ? tandem_variation_reflect (x[d] + r * (a[d] - b[d])) : x[d];
}
