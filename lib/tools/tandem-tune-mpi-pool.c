/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who is least busy gets a trial. Who gets it makes no difference to what comes out. */

#include "config.h"

#include "tandem-tune-mpi-pool.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/tandem-source-private.h"

struct _TuneMpiPool
{
  GObject parent;

  TuneMpi *mpi;
  TandemEvaluator *own;
  guint *n_busy;                /* [n_ranks] */
  guint *silence;               /* seconds [n_ranks] */
  GHashTable *running;          /* trial's number: Running, of other ranks */
  GSource *watch, *seconds;     /* NULL: nobody was asked yet */
};

/* A trial that another rank evaluates. */
typedef struct
{
  TuneMpiPool *pool;
  TandemTrial *trial;
  guint rank;
  GTask *task;
  GSource *cancelled;
} Running;

static void tune_mpi_pool_evaluator_init (TandemEvaluatorInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TuneMpiPool, tune_mpi_pool, G_TYPE_OBJECT,
  G_IMPLEMENT_INTERFACE (TANDEM_TYPE_EVALUATOR, tune_mpi_pool_evaluator_init))

static void
running_free (gpointer data)
{
  Running *self = data;

  tandem_clear_source (&self->cancelled);
  tandem_trial_unref (self->trial);
  g_clear_object (&self->task);
  g_free (self);
}

static void
tune_mpi_pool_finalize (GObject *object)
{
  TuneMpiPool *self = TUNE_MPI_POOL (object);

  tandem_clear_source (&self->watch);
  tandem_clear_source (&self->seconds);
  g_hash_table_unref (self->running);
  g_free (self->n_busy);
  g_free (self->silence);
  g_object_unref (self->own);
  G_OBJECT_CLASS (tune_mpi_pool_parent_class)->finalize (object);
}

static void
tune_mpi_pool_class_init (TuneMpiPoolClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tune_mpi_pool_finalize;
}

static void
tune_mpi_pool_init (TuneMpiPool *self)
{
  self->running = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, running_free);
}

static guint
tune_mpi_pool_get_n_workers (TandemEvaluator *evaluator)
{
  TuneMpiPool *self = TUNE_MPI_POOL (evaluator);

  return self->mpi->n_ranks * tandem_evaluator_get_n_workers (self->own);
}

static void
return_answer (GTask *task, TandemTrial *trial, const char *json)
{
  g_autoptr (GError) error = NULL;
  TandemEvaluation *evaluation = tandem_evaluation_new_from_json (trial, json, &error);

  if (evaluation != NULL)
    g_task_return_pointer (task, evaluation, (GDestroyNotify) tandem_evaluation_free);
  else
    g_task_return_new_error (task, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_WORKER, "%s",
                             error->message);
}

/* One that was cancelled is not known any more. */
static void
on_text (guint rank, guint kind, const char *text, gsize size, gpointer data)
{
  TuneMpiPool *self = data;
  guint64 number = 0;
  const char *rest = tune_mpi_split (text, &number);
  gpointer key = NULL, value = NULL;
  Running *running;

  if (rank == 0 || rank >= self->mpi->n_ranks)
    return;
  self->silence[rank] = 0;
  if (rest == NULL || self->n_busy[rank] == 0)
    return;
  self->n_busy[rank]--;
  if (!g_hash_table_steal_extended (self->running, &number, &key, &value))
    return;
  g_free (key);
  running = value;
  if (kind == TUNE_MPI_ANSWER)
    return_answer (running->task, running->trial, rest);
  else if (kind == TUNE_MPI_FAILURE)
    g_task_return_new_error (running->task, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_WORKER, "%s",
                             rest);
  else
    g_task_return_new_error (running->task, G_IO_ERROR, G_IO_ERROR_FAILED, _("rank %u on %s: %s"),
                             rank, self->mpi->hosts[rank], rest);
  running_free (running);
}

static void
lose (TuneMpiPool *self, guint rank)
{
  GHashTableIter iter;
  gpointer value;

  self->mpi->is_torn = TRUE;
  g_hash_table_iter_init (&iter, self->running);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    Running *running = value;

    if (running->rank != rank)
      continue;
    g_task_return_new_error (running->task, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                             _("rank %u on %s has not been heard of for %u seconds; --resume goes "
                               "on without it"), rank, self->mpi->hosts[rank],
                             self->silence[rank]);
    g_hash_table_iter_remove (&iter);
  }
}

/* Counted, so that a machine that sleeps finds nobody lost when it wakes. */
static gboolean
on_second (gpointer data)
{
  TuneMpiPool *self = data;
  guint rank;

  for (rank = 1; rank < self->mpi->n_ranks && !self->mpi->is_torn; rank++)
    if (self->n_busy[rank] > 0 && ++self->silence[rank] >= TUNE_MPI_SILENCE)
      lose (self, rank);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_cancelled (GCancellable *cancellable, gpointer data)
{
  Running *running = data;
  guint64 number = tandem_trial_get_number (running->trial);

  g_task_return_error_if_cancelled (running->task);
  g_hash_table_remove (running->pool->running, &number);
  return G_SOURCE_REMOVE;
}

static void
ask (TuneMpiPool *self, guint rank, TandemTrial *trial, GTask *task)
{
  g_autofree char *json = tandem_trial_to_json (trial);
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT " %s",
                                           tandem_trial_get_number (trial), json);
  GCancellable *cancellable = g_task_get_cancellable (task);
  Running *running = g_new0 (Running, 1);
  guint64 number = tandem_trial_get_number (trial);

  running->pool = self;
  running->rank = rank;
  running->trial = tandem_trial_ref (trial);
  running->task = g_object_ref (task);
  if (cancellable != NULL) {
    running->cancelled = g_cancellable_source_new (cancellable);
    g_source_set_callback (running->cancelled, G_SOURCE_FUNC (on_cancelled), running, NULL);
    g_source_attach (running->cancelled, g_main_context_get_thread_default ());
  }
  g_hash_table_insert (self->running, g_memdup2 (&number, sizeof number), running);
  if (self->watch == NULL) {
    self->watch = tune_mpi_watch (self->mpi->mpi, on_text, self);
    self->seconds = g_timeout_source_new_seconds (1);
    g_source_set_callback (self->seconds, on_second, self, NULL);
    g_source_attach (self->seconds, g_main_context_get_thread_default ());
  }
  self->mpi->mpi->send (rank, TUNE_MPI_REQUEST, text, strlen (text));
}

static void
on_evaluated (GObject *object, GAsyncResult *result, gpointer data)
{
  g_autoptr (GTask) task = data;
  TuneMpiPool *self = g_task_get_source_object (task);
  g_autoptr (GError) error = NULL;
  TandemEvaluation *evaluation = tandem_evaluator_evaluate_finish (self->own, result, &error);

  self->n_busy[0]--;
  if (evaluation != NULL)
    g_task_return_pointer (task, evaluation, (GDestroyNotify) tandem_evaluation_free);
  else
    g_task_return_error (task, g_steal_pointer (&error));
}

static void
tune_mpi_pool_evaluate_async (TandemEvaluator *evaluator, TandemTrial *trial,
                              GCancellable *cancellable, GAsyncReadyCallback callback,
                              gpointer data)
{
  TuneMpiPool *self = TUNE_MPI_POOL (evaluator);
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, data);
  guint rank = 0, i;

  if (g_task_return_error_if_cancelled (task))
    return;
  for (i = 1; i < self->mpi->n_ranks; i++)
    if (self->n_busy[i] < self->n_busy[rank])
      rank = i;
  self->n_busy[rank]++;
  if (rank > 0)
    ask (self, rank, trial, task);
  else
    tandem_evaluator_evaluate_async (self->own, trial, cancellable, on_evaluated,
                                     g_steal_pointer (&task));
}

static TandemEvaluation *
tune_mpi_pool_evaluate_finish (TandemEvaluator *evaluator, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
tune_mpi_pool_evaluator_init (TandemEvaluatorInterface *iface)
{
  iface->get_n_workers = tune_mpi_pool_get_n_workers;
  iface->evaluate_async = tune_mpi_pool_evaluate_async;
  iface->evaluate_finish = tune_mpi_pool_evaluate_finish;
}

TuneMpiPool *
tune_mpi_pool_new (TuneMpi *mpi, TandemEvaluator *own)
{
  TuneMpiPool *self = g_object_new (TUNE_TYPE_MPI_POOL, NULL);

  self->mpi = mpi;
  self->own = g_object_ref (own);
  self->n_busy = g_new0 (guint, mpi->n_ranks);
  self->silence = g_new0 (guint, mpi->n_ranks);
  return self;
}
