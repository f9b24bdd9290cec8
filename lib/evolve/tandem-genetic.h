/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

/**
 * TandemCrossover:
 * @TANDEM_CROSSOVER_UNIFORM: each value is that of one parent or of the other (Syswerda 1989)
 * @TANDEM_CROSSOVER_BLEND: each value is drawn from around and between the parents' (BLX-alpha,
 *   Eshelman and Schaffer 1993); categorical ones as with the other
 * @TANDEM_CROSSOVER_MIXED: each child is one or the other, with the same chance
 *
 * How a child comes from two parents.
 */
typedef enum
{
  TANDEM_CROSSOVER_UNIFORM,
  TANDEM_CROSSOVER_BLEND,
  TANDEM_CROSSOVER_MIXED,
} TandemCrossover;

#define TANDEM_TYPE_GENETIC (tandem_genetic_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemGenetic, tandem_genetic, TANDEM, GENETIC, TandemOptimizer)

G_END_DECLS
