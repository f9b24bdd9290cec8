/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemEvaluator:
 *
 * What carries out evaluations, several at once: processes on this machine
 * ([class@WorkerPool]) or threads of this one ([class@ThreadEvaluator]).
 */

#include "config.h"

#include "evolve/tandem-evaluator.h"

G_DEFINE_INTERFACE (TandemEvaluator, tandem_evaluator, G_TYPE_OBJECT)

static void
tandem_evaluator_default_init (TandemEvaluatorInterface *iface)
{
}

/**
 * tandem_evaluator_get_n_workers:
 * @self: an evaluator
 *
 * Returns: how many evaluations go on at once
 */
guint
tandem_evaluator_get_n_workers (TandemEvaluator *self)
{
  g_return_val_if_fail (TANDEM_IS_EVALUATOR (self), 0);

  return TANDEM_EVALUATOR_GET_IFACE (self)->get_n_workers (self);
}

/**
 * tandem_evaluator_evaluate_async:
 * @self: an evaluator
 * @trial: what is to be evaluated
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when it is done, from the thread-default main context
 * @data: for @callback
 *
 * Begins an evaluation. No more than tandem_evaluator_get_n_workers() may go on at once, all begun
 * from one thread.
 */
void
tandem_evaluator_evaluate_async (TandemEvaluator *self, TandemTrial *trial,
                                 GCancellable *cancellable, GAsyncReadyCallback callback,
                                 gpointer data)
{
  g_return_if_fail (TANDEM_IS_EVALUATOR (self) && trial != NULL);

  TANDEM_EVALUATOR_GET_IFACE (self)->evaluate_async (self, trial, cancellable, callback, data);
}

/**
 * tandem_evaluator_evaluate_finish: (skip)
 * @self: an evaluator
 * @result: what the callback got
 * @error: return location for %TANDEM_EVOLVE_ERROR_WORKER when this candidate cannot be evaluated,
 *   for another error when none can
 *
 * Says what an evaluation gave.
 *
 * Returns: (transfer full): the evaluation, or %NULL with @error set
 */
TandemEvaluation *
tandem_evaluator_evaluate_finish (TandemEvaluator *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (TANDEM_IS_EVALUATOR (self) && G_IS_ASYNC_RESULT (result), NULL);

  return TANDEM_EVALUATOR_GET_IFACE (self)->evaluate_finish (self, result, error);
}
