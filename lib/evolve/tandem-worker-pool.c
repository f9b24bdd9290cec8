/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemWorkerPool:
 *
 * Evaluates candidates in processes. Each one runs a command that reads requests from its standard
 * input, one JSON object a line, and answers each with one line on its standard output, as
 * docs/evolution.md has it; tandem_objective_serve() is such a command's work. What it writes to
 * its standard error goes where that of this process goes.
 *
 * A worker that ends, takes too long, or says what is no answer costs the candidate that it
 * evaluated, and is replaced when there is another one. Workers end with the pool, and on Linux
 * with the thread that evaluates. A pool belongs to that thread and its thread-default main
 * context.
 */

#include "config.h"

#include "evolve/tandem-worker-pool.h"

#include "evolve/tandem-worker-private.h"

struct _TandemWorkerPool
{
  GObject parent;

  char **command;
  guint n_workers;
  double time_limit;
  GPtrArray *workers;           /* TandemWorker */
  guint64 n_started;
};

static void evaluator_init (TandemEvaluatorInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TandemWorkerPool, tandem_worker_pool, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (TANDEM_TYPE_EVALUATOR, evaluator_init))

/* Returns one that has nothing to do; dead ones are forgotten on the way. */
static TandemWorker *
find_worker (TandemWorkerPool *self, GError **error)
{
  TandemWorker *worker;
  guint i;

  for (i = self->workers->len; i-- > 0;) {
    worker = g_ptr_array_index (self->workers, i);
    if (tandem_worker_is_busy (worker))
      continue;
    if (tandem_worker_is_alive (worker))
      return worker;
    if (tandem_worker_is_gone (worker))
      g_ptr_array_remove_index_fast (self->workers, i);
  }
  worker = tandem_worker_new ((const char *const *) self->command, error);
  if (worker == NULL)
    return NULL;
  self->n_started++;
  g_ptr_array_add (self->workers, worker);
  return worker;
}

static guint
tandem_worker_pool_get_n_workers (TandemEvaluator *evaluator)
{
  return TANDEM_WORKER_POOL (evaluator)->n_workers;
}

static void
tandem_worker_pool_evaluate_async (TandemEvaluator *evaluator, TandemTrial *trial,
                                   GCancellable *cancellable, GAsyncReadyCallback callback,
                                   gpointer data)
{
  TandemWorkerPool *self = TANDEM_WORKER_POOL (evaluator);
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, data);
  g_autoptr (GError) error = NULL;
  TandemWorker *worker;

  if (g_task_return_error_if_cancelled (task))
    return;
  worker = find_worker (self, &error);
  if (worker == NULL)
    g_task_return_error (task, g_steal_pointer (&error));
  else
    tandem_worker_ask (worker, trial, self->time_limit, g_steal_pointer (&task));
}

static TandemEvaluation *
tandem_worker_pool_evaluate_finish (TandemEvaluator *evaluator, GAsyncResult *result,
                                    GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
evaluator_init (TandemEvaluatorInterface *iface)
{
  iface->get_n_workers = tandem_worker_pool_get_n_workers;
  iface->evaluate_async = tandem_worker_pool_evaluate_async;
  iface->evaluate_finish = tandem_worker_pool_evaluate_finish;
}

static void
tandem_worker_pool_finalize (GObject *object)
{
  TandemWorkerPool *self = TANDEM_WORKER_POOL (object);

  g_ptr_array_unref (self->workers);
  g_strfreev (self->command);
  G_OBJECT_CLASS (tandem_worker_pool_parent_class)->finalize (object);
}

static void
tandem_worker_pool_class_init (TandemWorkerPoolClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_worker_pool_finalize;
}

static void
tandem_worker_pool_init (TandemWorkerPool *self)
{
  self->workers = g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_worker_free);
}

/**
 * tandem_worker_pool_new:
 * @command: (array zero-terminated=1): a program and its arguments
 * @n_workers: how many processes there are, 1 or more; each is started when it is first needed
 * @time_limit: after so many seconds an evaluation is given up; 0: never
 *
 * Returns: (transfer full): a pool
 */
TandemWorkerPool *
tandem_worker_pool_new (const char *const *command, guint n_workers, double time_limit)
{
  TandemWorkerPool *self;

  g_return_val_if_fail (command != NULL && command[0] != NULL && n_workers > 0, NULL);
  g_return_val_if_fail (time_limit >= 0, NULL);

  self = g_object_new (TANDEM_TYPE_WORKER_POOL, NULL);
  self->command = g_strdupv ((char **) command);
  self->n_workers = n_workers;
  self->time_limit = time_limit;
  return self;
}

/**
 * tandem_worker_pool_get_n_started:
 * @self: a pool
 *
 * Returns: how many processes were started so far, replaced ones too
 */
guint64
tandem_worker_pool_get_n_started (TandemWorkerPool *self)
{
  g_return_val_if_fail (TANDEM_IS_WORKER_POOL (self), 0);

  return self->n_started;
}
