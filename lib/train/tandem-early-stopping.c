/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-early-stopping.h"

#include <math.h>

/**
 * tandem_early_stopping_add:
 * @self: the state
 * @value: what an evaluation on data kept aside gave; NaN is never the best
 *
 * Notes an evaluation (Prechelt 1998, criterion UP with a strip of one evaluation, but
 * against the best one rather than the one before).
 *
 * Returns: whether it is the best so far: the weights are to be kept
 */
gboolean
tandem_early_stopping_add (TandemEarlyStopping *self, double value)
{
  double gain = self->higher_is_better ? value - self->best : self->best - value;
  gboolean is_first = self->n_values == self->n_worse;
  guint64 index = self->n_values++;

  /* As long as all values were NaN each counts as worse, and there is no best one. */
  if (isnan (value) || (!is_first && !(gain > self->min_delta))) {
    self->n_worse++;
    return FALSE;
  }
  self->best = value;
  self->best_index = index;
  self->n_worse = 0;
  return TRUE;
}

/**
 * tandem_early_stopping_should_stop:
 * @self: the state
 *
 * Returns: whether there were as many evaluations in a row without a better one as its
 *   patience allows
 */
gboolean
tandem_early_stopping_should_stop (const TandemEarlyStopping *self)
{
  return self->patience > 0 && self->n_worse >= self->patience;
}
