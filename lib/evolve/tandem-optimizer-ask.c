/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Asking and telling: candidates are proposed, given out, and get their outcomes. */

#include "config.h"

#include <math.h>

#include "evolve/tandem-optimizer-private.h"
#include "base/tandem-random-private.h"

/* So many proposals in a row that are known already end a search. */
#define MAX_DUPLICATES 10000

/* Purposes of streams of random numbers. */
enum { PROPOSE, RECEIVE, EVALUATE, N_PURPOSES };

static void
start (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);
  TandemOptimizerClass *klass = TANDEM_OPTIMIZER_GET_CLASS (self);
  guint n = priv->space->parameters->len, i;

  priv->population = tandem_optimizer_get_population (self);
  priv->space->sealed = TRUE;
  g_array_set_size (priv->values, n);
  g_array_set_size (priv->other_values, n);
  for (i = 0; i < priv->n_rungs && priv->n_rungs > 1; i++)
    priv->sorted[i] = g_array_new (FALSE, FALSE, sizeof (TandemOutcome));
  priv->started_at = g_get_monotonic_time ();
  priv->started = TRUE;
  if (klass->start != NULL)
    klass->start (self);
}

static void
set_stream (TandemOptimizerPrivate *priv, guint64 number, guint purpose)
{
  priv->random_key = tandem_random_key (priv->seed, number * N_PURPOSES + purpose);
  priv->random_index = 0;
}

/* What scalarised comparison is relative to: those with the least of one value. */
static void
note_range (TandemOptimizerPrivate *priv, const TandemOutcome *outcome)
{
  guint m;

  if (outcome->failed || outcome->violation > 0)
    return;
  for (m = 0; m < priv->n_objectives; m++)
    if (!priv->has_least || outcome->values[m] < priv->least[m].values[m])
      priv->least[m] = *outcome;
  priv->has_least = TRUE;
}

/* By the coordinates of the cube instead of by values. */
static const double *
convert_gradient (TandemOptimizerPrivate *priv, const double *point, const double *gradient)
{
  double *values = (double *) (gpointer) priv->values->data;
  double *converted = (double *) (gpointer) priv->other_values->data;
  guint i;

  tandem_search_space_decode (priv->space, point, values);
  for (i = 0; i < priv->space->parameters->len; i++)
    converted[i] = isnan (values[i])
        ? 0.0 : gradient[i] * tandem_search_space_get_slope (priv->space, i, values[i]);
  return converted;
}

static void
receive (TandemOptimizer *self, guint64 required)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);
  TandemOptimizerClass *klass = TANDEM_OPTIMIZER_GET_CLASS (self);

  for (; priv->n_received < required; priv->n_received++) {
    const TandemRecord *record = tandem_optimizer_get_record (priv, priv->n_received);
    const double *point = tandem_optimizer_get_point (priv, priv->n_received);
    TandemOutcome outcome = tandem_optimizer_get_record (priv, record->original)->outcome;

    note_range (priv, &outcome);
    set_stream (priv, priv->n_received, RECEIVE);
    if (outcome.gradient != NULL)
      outcome.gradient = convert_gradient (priv, point, outcome.gradient);
    if (klass->receive != NULL)
      klass->receive (self, priv->n_received, point, &outcome);
  }
}

/* Returns whether it equals an earlier one, whose number is then in its record. */
static gboolean
find_original (TandemOptimizerPrivate *priv, guint64 number)
{
  double *values = (double *) (gpointer) priv->values->data;
  double *others = (double *) (gpointer) priv->other_values->data;
  guint64 hash, original;
  gpointer found;

  tandem_search_space_decode (priv->space, tandem_optimizer_get_point (priv, number), values);
  hash = tandem_search_space_hash (priv->space, values);
  found = g_hash_table_lookup (priv->known, &hash);
  if (found == NULL) {
    g_hash_table_insert (priv->known, g_memdup2 (&hash, sizeof hash),
                         GSIZE_TO_POINTER (number + 1));
    return FALSE;
  }
  original = GPOINTER_TO_SIZE (found) - 1;
  tandem_search_space_decode (priv->space, tandem_optimizer_get_point (priv, original), others);
  /* Two of one hash that differ cost no more than an evaluation. */
  if (!tandem_search_space_same (priv->space, values, others))
    return FALSE;
  tandem_optimizer_get_record (priv, number)->original = original;
  return TRUE;
}

/* Returns whether there is one to be evaluated; the others are settled. */
static gboolean
propose (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);
  guint64 number = priv->records->len;
  guint n = priv->space->parameters->len, i;
  TandemRecord *record;
  double *point;

  g_array_set_size (priv->records, number + 1);
  g_array_set_size (priv->points, (number + 1) * n);
  record = tandem_optimizer_get_record (priv, number);
  record->original = number;
  point = tandem_optimizer_get_point (priv, number);
  set_stream (priv, number, PROPOSE);
  TANDEM_OPTIMIZER_GET_CLASS (self)->propose (self, number, point);
  for (i = 0; i < n; i++)
    point[i] = point[i] > 0.0 ? MIN (point[i], 1.0) : 0.0;
  if (!find_original (priv, number)) {
    priv->n_duplicates_in_row = 0;
    return TRUE;
  }
  record->state = TANDEM_RECORD_FINAL;
  priv->n_duplicates++;
  if (++priv->n_duplicates_in_row >= MAX_DUPLICATES)
    priv->stop = TANDEM_STOP_REASON_EXHAUSTED;
  tandem_optimizer_settle (self);
  return FALSE;
}

static TandemTrial *
make_trial (TandemOptimizerPrivate *priv, guint64 number)
{
  TandemRecord *record = tandem_optimizer_get_record (priv, number);
  double fidelity = 1.0;
  guint i;

  for (i = record->outcome.rung + 1; i < priv->n_rungs; i++)
    fidelity /= priv->reduction;
  record->state = TANDEM_RECORD_RUNNING;
  priv->n_running++;
  return tandem_trial_new (
    tandem_parameter_set_new_from_point (priv->space, tandem_optimizer_get_point (priv, number)),
    number, record->outcome.rung, fidelity,
    tandem_random_bits (tandem_random_key (priv->seed, number * N_PURPOSES + EVALUATE), 0) >> 11);
}

void
tandem_optimizer_check_bounds (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);

  if (priv->stop == TANDEM_STOP_REASON_BUDGET || priv->stop == TANDEM_STOP_REASON_TIME)
    priv->stop = TANDEM_STOP_REASON_NONE;
  if (priv->stop != TANDEM_STOP_REASON_NONE)
    return;
  if (priv->budget > 0 && tandem_optimizer_get_n_evaluations (self) >= priv->budget)
    priv->stop = TANDEM_STOP_REASON_BUDGET;
  else if (priv->time_limit > 0 && tandem_optimizer_get_seconds (self) >= priv->time_limit)
    priv->stop = TANDEM_STOP_REASON_TIME;
}

/**
 * tandem_optimizer_ask:
 * @self: an optimizer
 *
 * Asks for a candidate to evaluate. tandem_optimizer_tell() or tandem_optimizer_tell_failure() is
 * to be called for each, in any order; more may be asked for before.
 *
 * Returns: (transfer full) (nullable): a trial, or %NULL when an outcome is to be told first, or
 *   when tandem_optimizer_is_finished()
 */
TandemTrial *
tandem_optimizer_ask (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), NULL);

  priv = tandem_optimizer_get_private (self);
  g_return_val_if_fail (priv->space != NULL && priv->space->parameters->len > 0, NULL);
  if (!priv->started)
    start (self);
  while (TRUE) {
    guint64 required;

    tandem_optimizer_check_bounds (self);
    /* Those that were found worth more work get it, though no new one begins. */
    if (priv->stop != TANDEM_STOP_REASON_TARGET && priv->stop != TANDEM_STOP_REASON_TIME &&
        !g_queue_is_empty (&priv->ready))
      return make_trial (priv, GPOINTER_TO_SIZE (g_queue_pop_head (&priv->ready)) - 1);
    if (priv->stop != TANDEM_STOP_REASON_NONE)
      return NULL;
    required = TANDEM_OPTIMIZER_GET_CLASS (self)->get_required (self, priv->records->len);
    if (tandem_optimizer_get_n_settled (priv) < required)
      return NULL;
    receive (self, required);
    if (propose (self))
      return make_trial (priv, priv->records->len - 1);
  }
}

static TandemRecord *
find_running (TandemOptimizer *self, TandemTrial *trial, GError **error)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);
  TandemRecord *record = NULL;

  if (trial->number < priv->records->len)
    record = tandem_optimizer_get_record (priv, trial->number);
  if (record == NULL || record->state != TANDEM_RECORD_RUNNING ||
      record->outcome.rung != trial->rung) {
    g_set_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_TRIAL,
                 "candidate %" G_GUINT64_FORMAT " at rung %u is not being evaluated",
                 trial->number, trial->rung);
    return NULL;
  }
  return record;
}

static gboolean
is_finite (const TandemOptimizerPrivate *priv, const TandemOutcome *outcome)
{
  guint i;

  for (i = 0; i < priv->n_objectives; i++)
    if (!isfinite (outcome->values[i]))
      return FALSE;
  for (i = 0; outcome->gradient != NULL && i < priv->space->parameters->len; i++)
    if (!isfinite (outcome->gradient[i]))
      return FALSE;
  return isfinite (outcome->violation);
}

/**
 * tandem_optimizer_tell:
 * @self: an optimizer
 * @trial: what it was asked for
 * @outcome: what the evaluation gave; a value that is not finite counts as failure
 * @error: return location for %TANDEM_EVOLVE_ERROR_TRIAL
 *
 * Tells what an evaluation gave.
 *
 * Returns: whether it was taken
 */
gboolean
tandem_optimizer_tell (TandemOptimizer *self, TandemTrial *trial, const TandemOutcome *outcome,
                       GError **error)
{
  TandemOptimizerPrivate *priv;
  TandemRecord *record;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), FALSE);
  g_return_val_if_fail (trial != NULL && outcome != NULL, FALSE);

  priv = tandem_optimizer_get_private (self);
  if (!is_finite (priv, outcome))
    return tandem_optimizer_tell_failure (self, trial, "a value is not finite", error);
  record = find_running (self, trial, error);
  if (record == NULL)
    return FALSE;
  g_free ((gpointer) record->outcome.gradient);
  record->outcome = *outcome;
  if (priv->n_objectives == 1)
    record->outcome.values[1] = 0.0;
  record->outcome.violation = MAX (outcome->violation, 0.0);
  record->outcome.gradient = g_memdup2 (outcome->gradient, outcome->gradient == NULL ? 0 :
                                        priv->space->parameters->len * sizeof (double));
  record->outcome.failed = FALSE;
  record->outcome.rung = trial->rung;
  record->state = TANDEM_RECORD_TOLD;
  priv->n_running--;
  tandem_optimizer_settle (self);
  return TRUE;
}

/**
 * tandem_optimizer_tell_failure:
 * @self: an optimizer
 * @trial: what it was asked for
 * @reason: why there is no outcome; it is kept for reports
 * @error: return location for %TANDEM_EVOLVE_ERROR_TRIAL
 *
 * Tells that an evaluation gave nothing. The candidate is spent, and the search goes on.
 *
 * Returns: whether it was taken
 */
gboolean
tandem_optimizer_tell_failure (TandemOptimizer *self, TandemTrial *trial, const char *reason,
                               GError **error)
{
  TandemOptimizerPrivate *priv;
  TandemRecord *record;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), FALSE);
  g_return_val_if_fail (trial != NULL && reason != NULL, FALSE);

  priv = tandem_optimizer_get_private (self);
  record = find_running (self, trial, error);
  if (record == NULL)
    return FALSE;
  record->outcome.failed = TRUE;
  record->reason = g_utf8_make_valid (reason, -1);
  record->state = TANDEM_RECORD_TOLD;
  priv->n_running--;
  priv->n_failures++;
  tandem_optimizer_settle (self);
  return TRUE;
}
