/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Crossover and mutation of points of the unit cube. Not a part of the public API. */
#pragma once

#include "evolve/tandem-genetic.h"

G_BEGIN_DECLS

/* Makes a child of two parents, which may be the same. alpha: of the blend. */
void tandem_variation_cross (TandemOptimizer *optimizer, TandemCrossover crossover, double alpha,
                             const double *a, const double *b, double *child);

/* Changes each coordinate with this probability: categories are drawn anew, others move by
 * up to half of the range, the less the oftener. surely: one of them does in any case. */
void tandem_variation_mutate (TandemOptimizer *optimizer, double probability, gboolean surely,
                              double *child);

/* Back into 0 to 1, as from mirrors. */
double tandem_variation_reflect (double x);

G_END_DECLS
