/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "evolve/tandem-variation-private.h"

#include <math.h>

#include "evolve/tandem-evolve-math-private.h"

/* Of mutation: the longest way, and how many times it may be halved. */
#define MUTATION_RANGE 0.5
#define MUTATION_PRECISION 20.0

double
tandem_variation_reflect (double x)
{
  x = fabs (x);
  x -= 2.0 * floor (x / 2.0);
  return x > 1.0 ? 2.0 - x : x;
}

static gboolean
is_category (TandemOptimizer *optimizer, guint d)
{
  return tandem_search_space_get_kind (tandem_optimizer_get_space (optimizer), d) ==
      TANDEM_PARAMETER_KIND_CATEGORICAL;
}

static guint
get_n (TandemOptimizer *optimizer)
{
  return tandem_search_space_get_n_parameters (tandem_optimizer_get_space (optimizer));
}

void
tandem_variation_cross (TandemOptimizer *optimizer, TandemCrossover crossover, double alpha,
                        const double *a, const double *b, double *child)
{
  guint n = get_n (optimizer), d;

  if (crossover == TANDEM_CROSSOVER_MIXED)
    crossover = tandem_optimizer_draw (optimizer) < 0.5 ? TANDEM_CROSSOVER_UNIFORM
                                                        : TANDEM_CROSSOVER_BLEND;
  for (d = 0; d < n; d++) {
    double u = tandem_optimizer_draw (optimizer);

    if (crossover == TANDEM_CROSSOVER_UNIFORM || is_category (optimizer, d))
      child[d] = u < 0.5 ? a[d] : b[d];
    else
      child[d] = tandem_variation_reflect (
        a[d] + (u * (1.0 + 2.0 * alpha) - alpha) * (b[d] - a[d]));
  }
}

void
tandem_variation_mutate (TandemOptimizer *optimizer, double probability, gboolean surely,
                         double *child)
{
  guint n = get_n (optimizer), one = surely ? tandem_optimizer_draw_below (optimizer, n) : n, d;

  for (d = 0; d < n; d++) {
    double u, way;

    if (tandem_optimizer_draw (optimizer) >= probability && d != one)
      continue;
    u = tandem_optimizer_draw (optimizer);
    if (is_category (optimizer, d)) {
      child[d] = u;
      continue;
    }
    way = MUTATION_RANGE * tandem_evolve_exp (-G_LN2 * MUTATION_PRECISION * u);
    if (tandem_search_space_get_n_values (tandem_optimizer_get_space (optimizer), d) > 0)
      /* One value at the least: less would change nothing. */
      way = MAX (way, 1.0 / tandem_search_space_get_n_values (
        tandem_optimizer_get_space (optimizer), d));
    child[d] = tandem_variation_reflect (
      child[d] + (tandem_optimizer_draw (optimizer) < 0.5 ? -way : way));
  }
}
