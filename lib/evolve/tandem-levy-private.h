/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lévy flights. Not a part of the public API. */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

/* A number of about a symmetric Lévy distribution of index 3/2, from two standard normal ones
 * (Mantegna 1994, equations 5 and 6). */
double tandem_levy_step (double u, double v);

/* x + scale L n (x - best) in each coordinate: L such a number, n a normal one (Yang and Deb
 * 2010; the best nest stays where it is). */
void tandem_levy_fly (TandemOptimizer *optimizer, double scale, const double *x,
                      const double *best, guint n, double *point);

/* x + r H (a - b) in each coordinate, r one number from 0 to 1 and H 1 with this probability,
 * else 0 (Yang and Deb 2010, equation 3), but 1 in one coordinate at the least: else it would be
 * x. */
void tandem_levy_abandon (TandemOptimizer *optimizer, double probability, const double *x,
                          const double *a, const double *b, guint n, double *point);

G_END_DECLS
