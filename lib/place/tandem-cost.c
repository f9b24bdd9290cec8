/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-cost.h"

/**
 * tandem_batch_shape_init:
 * @shape: (out caller-allocates): the shape
 * @n_sequences: sequences
 * @length: tokens of each
 *
 * Makes the shape of a micro-batch of sequences that are equally long.
 */
void
tandem_batch_shape_init (TandemBatchShape *shape, guint n_sequences, guint length)
{
  shape->n_sequences = n_sequences;
  shape->n_tokens = (guint64) n_sequences * length;
  shape->n_squares = shape->n_tokens * length;
}

/**
 * tandem_cost_evaluate:
 * @cost: what a part costs
 * @shape: a micro-batch
 *
 * Returns: how long the part takes for such a micro-batch, in seconds
 */
double
tandem_cost_evaluate (const TandemCost *cost, const TandemBatchShape *shape)
{
  return cost->fixed + cost->per_sequence * shape->n_sequences +
      cost->per_token * (double) shape->n_tokens + cost->per_square * (double) shape->n_squares;
}
