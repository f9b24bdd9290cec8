/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemThreadEvaluator:
 *
 * Evaluates an objective in threads of this process. A crash ends all, and nothing ends an
 * evaluation that hangs; [class@WorkerPool] is safer.
 */

#include "config.h"

#include "evolve/tandem-thread-evaluator.h"

struct _TandemThreadEvaluator
{
  GObject parent;

  TandemObjective *objective;
  guint n_threads;
};

static void evaluator_init (TandemEvaluatorInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TandemThreadEvaluator, tandem_thread_evaluator, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (TANDEM_TYPE_EVALUATOR, evaluator_init))

/* In a thread of GIO's. */
static void
evaluate (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  TandemThreadEvaluator *self = source;
  TandemTrial *trial = data;
  TandemEvaluation *evaluation;
  g_autoptr (GError) error = NULL;

  evaluation = tandem_objective_evaluate (self->objective, tandem_trial_get_parameters (trial),
                                          tandem_trial_get_seed (trial),
                                          tandem_trial_get_fidelity (trial), cancellable, &error);
  if (evaluation != NULL)
    g_task_return_pointer (task, evaluation, (GDestroyNotify) tandem_evaluation_free);
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_task_return_error (task, g_steal_pointer (&error));
  else
    g_task_return_new_error (task, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_WORKER, "%s",
                             error->message);
}

static guint
tandem_thread_evaluator_get_n_workers (TandemEvaluator *evaluator)
{
  return TANDEM_THREAD_EVALUATOR (evaluator)->n_threads;
}

static void
tandem_thread_evaluator_evaluate_async (TandemEvaluator *evaluator, TandemTrial *trial,
                                        GCancellable *cancellable, GAsyncReadyCallback callback,
                                        gpointer data)
{
  g_autoptr (GTask) task = g_task_new (evaluator, cancellable, callback, data);

  g_task_set_task_data (task, tandem_trial_ref (trial), (GDestroyNotify) tandem_trial_unref);
  g_task_run_in_thread (task, evaluate);
}

static TandemEvaluation *
tandem_thread_evaluator_evaluate_finish (TandemEvaluator *evaluator, GAsyncResult *result,
                                         GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
evaluator_init (TandemEvaluatorInterface *iface)
{
  iface->get_n_workers = tandem_thread_evaluator_get_n_workers;
  iface->evaluate_async = tandem_thread_evaluator_evaluate_async;
  iface->evaluate_finish = tandem_thread_evaluator_evaluate_finish;
}

static void
tandem_thread_evaluator_finalize (GObject *object)
{
  g_clear_object (&TANDEM_THREAD_EVALUATOR (object)->objective);
  G_OBJECT_CLASS (tandem_thread_evaluator_parent_class)->finalize (object);
}

static void
tandem_thread_evaluator_class_init (TandemThreadEvaluatorClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_thread_evaluator_finalize;
}

static void
tandem_thread_evaluator_init (TandemThreadEvaluator *self)
{
}

/**
 * tandem_thread_evaluator_new:
 * @objective: what to evaluate
 * @n_threads: how many evaluations go on at once, 1 or more; the objective is evaluated in so
 *   many threads
 *
 * Returns: (transfer full): an evaluator
 */
TandemThreadEvaluator *
tandem_thread_evaluator_new (TandemObjective *objective, guint n_threads)
{
  TandemThreadEvaluator *self;

  g_return_val_if_fail (TANDEM_IS_OBJECTIVE (objective) && n_threads > 0, NULL);

  self = g_object_new (TANDEM_TYPE_THREAD_EVALUATOR, NULL);
  self->objective = g_object_ref (objective);
  self->n_threads = n_threads;
  return self;
}
