/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is decided in the order of numbers: who goes on to the next rung, who is best. */

#include "config.h"

#include <math.h>

#include "evolve/tandem-optimizer-private.h"

/* Weights of scalarised comparison are never 0, so that both values count. */
#define LEAST_WEIGHT 1e-3
/* Of the sum, beside the maximum (augmented Chebyshev). */
#define SUM_WEIGHT 0.05

int
tandem_outcome_compare_status (const TandemOutcome *a, const TandemOutcome *b)
{
  if (a->failed != b->failed)
    return a->failed ? 1 : -1;
  if (a->failed)
    return 0;
  if (a->rung != b->rung)
    return a->rung > b->rung ? -1 : 1;
  if (a->violation != b->violation)
    return a->violation < b->violation ? -1 : 1;
  return a->violation > 0 ? 0 : 2;
}

gboolean
tandem_outcome_dominates (const TandemOutcome *a, const TandemOutcome *b, guint n_objectives)
{
  int status = tandem_outcome_compare_status (a, b);
  gboolean better = FALSE;
  guint m;

  if (status != 2)
    return status < 0;
  for (m = 0; m < n_objectives; m++) {
    if (a->values[m] > b->values[m])
      return FALSE;
    better |= a->values[m] < b->values[m];
  }
  return better;
}

static double
scalarise (const TandemOptimizerPrivate *priv, guint slot, const TandemOutcome *outcome)
{
  double weights[2], most = -INFINITY, sum = 0.0;
  guint m;

  weights[0] = priv->population > 1 ? slot % priv->population / (priv->population - 1.0) : 0.5;
  weights[0] = CLAMP (weights[0], LEAST_WEIGHT, 1.0 - LEAST_WEIGHT);
  weights[1] = 1.0 - weights[0];
  for (m = 0; m < 2; m++) {
    double low = priv->least[m].values[m], range = priv->least[1 - m].values[m] - low;
    double part = weights[m] * (outcome->values[m] - low) / (range > 0.0 ? range : 1.0);

    most = MAX (most, part);
    sum += part;
  }
  return most + SUM_WEIGHT * sum;
}

/**
 * tandem_optimizer_compare:
 * @self: an optimizer
 * @slot: whose view it is, from 0 to below the population; it matters with two objectives
 * @a: an outcome
 * @b: another one
 *
 * For algorithms: which outcome is better. A failed one is worst; of the others one that came to a
 * higher rung is better, then one that violates constraints less, then the one with the lesser
 * value. Two values are weighed as the slot has it: the swarm's slots have weights that are
 * evenly spread, so that it spreads along the front (decomposition by the Chebyshev distance, Zhang
 * and Li 2007, equation 3, with 0.05 of the sum beside it).
 *
 * Returns: below 0 when @a is better, above 0 when @b is, 0 when neither is
 */
int
tandem_optimizer_compare (TandemOptimizer *self, guint slot, const TandemOutcome *a,
                          const TandemOutcome *b)
{
  const TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);
  int status = tandem_outcome_compare_status (a, b);
  double left, right;

  if (status != 2)
    return status;
  if (priv->n_objectives == 1) {
    left = a->values[0];
    right = b->values[0];
  } else {
    left = scalarise (priv, slot, a);
    right = scalarise (priv, slot, b);
  }
  return (left > right) - (left < right);
}

/* By the first value alone. */
static int
compare_first (const TandemOutcome *a, const TandemOutcome *b)
{
  int status = tandem_outcome_compare_status (a, b);

  if (status != 2)
    return status;
  return (a->values[0] > b->values[0]) - (a->values[0] < b->values[0]);
}

/* The front is sorted by the first value, and so falls in the second. */
static void
add_to_front (TandemOptimizerPrivate *priv, guint64 number)
{
  const TandemOutcome *outcome = &tandem_optimizer_get_record (priv, number)->outcome;
  guint low = 0, high = priv->front->len, end;

#define OUTCOME(i) \
  (&tandem_optimizer_get_record (priv, g_array_index (priv->front, guint64, i))->outcome)
  while (low < high) {
    guint middle = (low + high) / 2;

    if (OUTCOME (middle)->values[0] <= outcome->values[0])
      low = middle + 1;
    else
      high = middle;
  }
  /* All before it have no more of the first value; the last of them has least of the second. */
  if (low > 0 && OUTCOME (low - 1)->values[1] <= outcome->values[1])
    return;
  for (end = low; end < priv->front->len && OUTCOME (end)->values[1] >= outcome->values[1]; end++)
    ;
  if (low > 0 && OUTCOME (low - 1)->values[0] == outcome->values[0])
    low--;
  if (end > low)
    g_array_remove_range (priv->front, low, end - low);
  g_array_insert_val (priv->front, low, number);
#undef OUTCOME
}

/* A candidate that nothing more will happen to, and that is not known from before. */
static void
note_final (TandemOptimizerPrivate *priv, guint64 number)
{
  TandemRecord *record = tandem_optimizer_get_record (priv, number);
  const TandemOutcome *outcome = &record->outcome, *best = NULL;
  double value = INFINITY;

  if (record->original != number || priv->stop == TANDEM_STOP_REASON_TARGET)
    return;
  if (priv->best >= 0)
    best = &tandem_optimizer_get_record (priv, priv->best)->outcome;
  if (!outcome->failed && (best == NULL || compare_first (outcome, best) < 0)) {
    priv->best = number;
    best = outcome;
  }
  if (best != NULL && best->violation <= 0 && best->rung + 1 == priv->n_rungs)
    value = best->values[0];
  g_array_append_val (priv->history, value);
  if (outcome->failed || outcome->violation > 0 || outcome->rung + 1 != priv->n_rungs)
    return;
  if (priv->n_objectives > 1)
    add_to_front (priv, number);
  if (outcome->values[0] <= priv->target)
    priv->stop = TANDEM_STOP_REASON_TARGET;
}

/* Returns whether the outcome is in the best part of those of its rung, itself one of them. */
static gboolean
is_worth_more (TandemOptimizerPrivate *priv, const TandemOutcome *outcome)
{
  GArray *sorted = priv->sorted[outcome->rung];
  guint low = 0, high = sorted->len;

  while (low < high) {
    guint middle = (low + high) / 2;

    if (compare_first (&g_array_index (sorted, TandemOutcome, middle), outcome) <= 0)
      low = middle + 1;
    else
      high = middle;
  }
  g_array_insert_val (sorted, low, *outcome);
  return low < MAX (1, (guint) (sorted->len / priv->reduction));
}

static void
go_on (TandemOptimizerPrivate *priv, guint64 number)
{
  TandemRecord *record = tandem_optimizer_get_record (priv, number);

  if (record->lower == NULL)
    record->lower = g_array_new (FALSE, FALSE, sizeof (TandemOutcome));
  g_free ((gpointer) record->outcome.gradient);
  record->outcome.gradient = NULL;
  g_array_append_val (record->lower, record->outcome);
  record->outcome.rung++;
  record->state = TANDEM_RECORD_READY;
  g_queue_push_tail (&priv->ready, GSIZE_TO_POINTER (number + 1));
}

void
tandem_optimizer_settle (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);
  guint last = priv->n_rungs - 1, rung;

  for (rung = 0; rung <= last; rung++) {
    guint64 end = rung == 0 ? priv->records->len : priv->decided[rung - 1];

    for (; priv->decided[rung] < end; priv->decided[rung]++) {
      guint64 number = priv->decided[rung];
      TandemRecord *record = tandem_optimizer_get_record (priv, number);

      if (record->state != TANDEM_RECORD_FINAL) {
        if (record->state != TANDEM_RECORD_TOLD)
          break;
        if (rung < last && !record->outcome.failed && is_worth_more (priv, &record->outcome)) {
          go_on (priv, number);
          continue;
        }
        record->state = TANDEM_RECORD_FINAL;
      }
      if (rung == last)
        note_final (priv, number);
    }
  }
}
