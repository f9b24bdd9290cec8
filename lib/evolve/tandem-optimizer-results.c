/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What an optimizer knows, for those who ask it; and which optimizers there are. */

#include "config.h"

#include "evolve/tandem-bat.h"
#include "evolve/tandem-cuckoo.h"
#include "evolve/tandem-dynamic-swarm.h"
#include "evolve/tandem-genetic.h"
#include "evolve/tandem-optimizer-private.h"
#include "evolve/tandem-particle-swarm.h"
#include "evolve/tandem-random-search.h"
#include "evolve/tandem-swarm-adam.h"
#include "evolve/tandem-swarm-cuckoo.h"
#include "evolve/tandem-swarm-genetic.h"

static const char *const algorithms[] = {
  "random", "ga", "pso", "dwpso", "bat", "cuckoo", "pso-cs", "pso-ga", "pso-adam", NULL
};

GType
tandem_optimizer_find_type (const char *algorithm)
{
  GType (*const types[]) (void) = {
    tandem_random_search_get_type, tandem_genetic_get_type, tandem_particle_swarm_get_type,
    tandem_dynamic_swarm_get_type, tandem_bat_get_type, tandem_cuckoo_get_type,
    tandem_swarm_cuckoo_get_type, tandem_swarm_genetic_get_type, tandem_swarm_adam_get_type,
  };
  guint i;

  for (i = 0; algorithms[i] != NULL; i++)
    if (g_str_equal (algorithms[i], algorithm))
      return types[i] ();
  return G_TYPE_INVALID;
}

GType
tandem_optimizer_find_type_by_name (const char *name)
{
  guint i;

  /* A type is only known by its name when it was made. */
  for (i = 0; algorithms[i] != NULL; i++)
    tandem_optimizer_find_type (algorithms[i]);
  return g_type_from_name (name);
}

/**
 * tandem_optimizer_get_algorithms:
 *
 * Returns: (transfer none) (array zero-terminated=1): the names that tandem_optimizer_new() knows
 */
const char *const *
tandem_optimizer_get_algorithms (void)
{
  return algorithms;
}

/**
 * tandem_optimizer_new:
 * @algorithm: one of tandem_optimizer_get_algorithms()
 * @space: what to search, with one parameter at the least; it does not change any more
 * @error: return location for %TANDEM_EVOLVE_ERROR_ALGORITHM
 *
 * Makes an optimizer. Its properties are to be set before it is first asked.
 *
 * Returns: (transfer full): the optimizer, or %NULL with @error set
 */
TandemOptimizer *
tandem_optimizer_new (const char *algorithm, TandemSearchSpace *space, GError **error)
{
  g_autofree char *all = NULL;
  GType type;

  g_return_val_if_fail (algorithm != NULL && TANDEM_IS_SEARCH_SPACE (space), NULL);

  type = tandem_optimizer_find_type (algorithm);
  if (type != G_TYPE_INVALID)
    return g_object_new (type, "space", space, NULL);
  all = g_strjoinv (", ", (char **) algorithms);
  g_set_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_ALGORITHM,
               "no algorithm is called \"%s\"; there are %s", algorithm, all);
  return NULL;
}

/**
 * tandem_optimizer_is_finished:
 * @self: an optimizer
 *
 * Returns: whether it proposes no more candidates and all outcomes are told
 */
gboolean
tandem_optimizer_is_finished (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), TRUE);

  priv = tandem_optimizer_get_private (self);
  if (priv->n_running > 0 || tandem_optimizer_get_stop_reason (self) == TANDEM_STOP_REASON_NONE)
    return FALSE;
  return g_queue_is_empty (&priv->ready) || priv->stop == TANDEM_STOP_REASON_TARGET ||
      priv->stop == TANDEM_STOP_REASON_TIME;
}

/**
 * tandem_optimizer_get_stop_reason:
 * @self: an optimizer
 *
 * Returns: why no new candidate is proposed; candidates may still be evaluated
 */
TandemStopReason
tandem_optimizer_get_stop_reason (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), TANDEM_STOP_REASON_NONE);

  priv = tandem_optimizer_get_private (self);
  tandem_optimizer_check_bounds (self);
  return priv->stop;
}

/**
 * tandem_optimizer_get_n_proposed:
 * @self: an optimizer
 *
 * Returns: how many candidates there are, duplicates too; their numbers are below it
 */
guint64
tandem_optimizer_get_n_proposed (TandemOptimizer *self)
{
  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), 0);

  return tandem_optimizer_get_private (self)->records->len;
}

/**
 * tandem_optimizer_get_n_evaluations:
 * @self: an optimizer
 *
 * Returns: how many candidates were given out to be evaluated: all but duplicates
 */
guint64
tandem_optimizer_get_n_evaluations (TandemOptimizer *self)
{
  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), 0);

  return tandem_optimizer_get_n_proposed (self) - tandem_optimizer_get_n_duplicates (self);
}

/**
 * tandem_optimizer_get_n_failures:
 * @self: an optimizer
 *
 * Returns: how many evaluations failed
 */
guint64
tandem_optimizer_get_n_failures (TandemOptimizer *self)
{
  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), 0);

  return tandem_optimizer_get_private (self)->n_failures;
}

/**
 * tandem_optimizer_get_n_duplicates:
 * @self: an optimizer
 *
 * Returns: how many proposed candidates were known already
 */
guint64
tandem_optimizer_get_n_duplicates (TandemOptimizer *self)
{
  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), 0);

  return tandem_optimizer_get_private (self)->n_duplicates;
}

/**
 * tandem_optimizer_get_n_running:
 * @self: an optimizer
 *
 * Returns: for how many trials nothing was told yet
 */
guint
tandem_optimizer_get_n_running (TandemOptimizer *self)
{
  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), 0);

  return tandem_optimizer_get_private (self)->n_running;
}

/**
 * tandem_optimizer_get_parameters:
 * @self: an optimizer
 * @number: below tandem_optimizer_get_n_proposed()
 *
 * Returns: (transfer full): the candidate of this number
 */
TandemParameterSet *
tandem_optimizer_get_parameters (TandemOptimizer *self, guint64 number)
{
  TandemOptimizerPrivate *priv;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), NULL);

  priv = tandem_optimizer_get_private (self);
  g_return_val_if_fail (number < priv->records->len, NULL);
  return tandem_parameter_set_new_from_point (priv->space,
                                              tandem_optimizer_get_point (priv, number));
}

/**
 * tandem_optimizer_get_outcome:
 * @self: an optimizer
 * @number: below tandem_optimizer_get_n_proposed()
 * @outcome: (out): what its last evaluation gave, or its original's when it is a duplicate; the
 *   gradient belongs to @self
 * @reason: (out) (optional) (nullable) (transfer none): why it failed
 *
 * Returns: whether nothing more will happen to this candidate
 */
gboolean
tandem_optimizer_get_outcome (TandemOptimizer *self, guint64 number, TandemOutcome *outcome,
                              const char **reason)
{
  TandemOptimizerPrivate *priv;
  const TandemRecord *record;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self) && outcome != NULL, FALSE);

  priv = tandem_optimizer_get_private (self);
  g_return_val_if_fail (number < priv->records->len, FALSE);
  record = tandem_optimizer_get_record (priv, number);
  record = tandem_optimizer_get_record (priv, record->original);
  *outcome = record->outcome;
  if (reason != NULL)
    *reason = record->reason;
  return record->state == TANDEM_RECORD_FINAL;
}

/**
 * tandem_optimizer_get_best:
 * @self: an optimizer
 * @number: (out) (optional): which candidate it is
 * @outcome: (out) (optional): its outcome
 *
 * The best candidate so far, with two objectives by the first one alone. It may be infeasible or
 * stopped early when no other one is there.
 *
 * Returns: whether there is one: not all failed
 */
gboolean
tandem_optimizer_get_best (TandemOptimizer *self, guint64 *number, TandemOutcome *outcome)
{
  TandemOptimizerPrivate *priv;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), FALSE);

  priv = tandem_optimizer_get_private (self);
  if (priv->best < 0)
    return FALSE;
  if (number != NULL)
    *number = priv->best;
  if (outcome != NULL)
    *outcome = tandem_optimizer_get_record (priv, priv->best)->outcome;
  return TRUE;
}

/**
 * tandem_optimizer_get_history:
 * @self: an optimizer
 * @n: (out): how many evaluations there were
 *
 * How the search went: after each evaluation, in the order of numbers, the least first value so far
 * of a feasible candidate that was not stopped early; infinite before there is one.
 *
 * Returns: (transfer none) (array length=n): the values; they belong to @self, and to the next
 *   call that tells it something
 */
const double *
tandem_optimizer_get_history (TandemOptimizer *self, gsize *n)
{
  TandemOptimizerPrivate *priv;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self) && n != NULL, NULL);

  priv = tandem_optimizer_get_private (self);
  *n = priv->history->len;
  return (const double *) (gpointer) priv->history->data;
}

/**
 * tandem_optimizer_get_front:
 * @self: an optimizer
 * @n: (out): how many there are
 *
 * The Pareto front: feasible candidates, not stopped early, that no other one beats in one
 * objective without being worse in the other; of equal ones the first. With one objective there
 * is none.
 *
 * Returns: (transfer full) (array length=n): their numbers, the least first value first
 */
guint64 *
tandem_optimizer_get_front (TandemOptimizer *self, gsize *n)
{
  TandemOptimizerPrivate *priv;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self) && n != NULL, NULL);

  priv = tandem_optimizer_get_private (self);
  *n = priv->front->len;
  return g_memdup2 (priv->front->data, priv->front->len * sizeof (guint64));
}

/**
 * tandem_optimizer_get_space:
 * @self: an optimizer
 *
 * Returns: (transfer none): what it searches
 */
TandemSearchSpace *
tandem_optimizer_get_space (TandemOptimizer *self)
{
  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), NULL);

  return tandem_optimizer_get_private (self)->space;
}

/**
 * tandem_optimizer_get_n_objectives:
 * @self: an optimizer
 *
 * Returns: how many values an outcome has
 */
guint
tandem_optimizer_get_n_objectives (TandemOptimizer *self)
{
  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), 1);

  return tandem_optimizer_get_private (self)->n_objectives;
}

/**
 * tandem_optimizer_get_population:
 * @self: an optimizer
 *
 * Returns: how many candidates its generations or swarm have, never 0
 */
guint
tandem_optimizer_get_population (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), 1);

  priv = tandem_optimizer_get_private (self);
  return priv->population > 0 ? priv->population
                              : TANDEM_OPTIMIZER_GET_CLASS (self)->population;
}

/**
 * tandem_optimizer_get_window:
 * @self: an optimizer
 *
 * Returns: how many candidates it lets be evaluated at once: [property@Optimizer:window], but no
 *   more than the population
 */
guint
tandem_optimizer_get_window (TandemOptimizer *self)
{
  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), 1);

  return MIN (tandem_optimizer_get_private (self)->window, tandem_optimizer_get_population (self));
}

/**
 * tandem_optimizer_get_progress:
 * @self: an optimizer
 * @number: a candidate
 *
 * For algorithms that change their ways with time.
 *
 * Returns: which part of the budget is over with this candidate, 0 to 1
 */
double
tandem_optimizer_get_progress (TandemOptimizer *self, guint64 number)
{
  guint64 budget;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), 0);

  budget = tandem_optimizer_get_private (self)->budget;
  return MIN (1.0, number / (double) (budget > 0 ? budget : TANDEM_OPTIMIZER_USUAL_BUDGET));
}
