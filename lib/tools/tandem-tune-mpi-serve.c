/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A rank that evaluates. It has processes for that, so that a candidate that crashes or hangs costs
 * nothing but itself; MPI would end all ranks with one. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <signal.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem-tune-command.h"
#include "tandem-tune-mpi.h"

typedef struct
{
  TuneMpi *mpi;
  GCancellable *cancellable;
  TuneOptions options;
  TandemSearchSpace *space;
  TandemWorkerPool *pool;       /* NULL: there is nothing to evaluate with */
  guint n_running;
  gboolean has_ended;
} Rank;

typedef struct
{
  Rank *rank;
  TandemTrial *trial;
} Running;

static void
rank_clear (Rank *self)
{
  g_clear_object (&self->pool);
  g_clear_object (&self->space);
  g_clear_object (&self->cancellable);
  tune_options_clear (&self->options);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rank, rank_clear)

static void
tell (Rank *self, guint kind, const char *text)
{
  self->mpi->mpi->send (0, kind, text, strlen (text));
}

static void
tell_about (Rank *self, guint kind, guint64 number, const char *text)
{
  g_autofree char *all = g_strdup_printf ("%" G_GUINT64_FORMAT " %s", number, text);

  tell (self, kind, all);
}

static char **
split_arguments (const char *text, gsize size)
{
  g_autoptr (GStrvBuilder) args = g_strv_builder_new ();
  const char *arg;

  for (arg = text; arg < text + size; arg += strlen (arg) + 1)
    g_strv_builder_add (args, arg);
  return g_strv_builder_end (args);
}

/* Reads the data, as each process will, to say what is wrong once and for this rank; returns what
 * it is known by. */
static char *
prepare (Rank *self, const char *text, gsize size, GError **error)
{
  g_auto (GStrv) args = split_arguments (text, size);
  g_autoptr (TuneObjective) objective = NULL;
  int status;

  if (!tune_options_parse (&self->options, args, &status)) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                         _("it does not know the options of rank 0"));
    return NULL;
  }
  objective = tune_objective_new (&self->options, self->cancellable, error);
  self->space = objective != NULL ? tune_objective_make_space (objective, error) : NULL;
  return self->space != NULL
    ? tune_objective_make_fingerprint (objective, self->cancellable, error) : NULL;
}

static void
begin (Rank *self, const char *text, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *fingerprint = prepare (self, text, size, &error);
  g_autofree char *report = g_strdup_printf ("%s\n%s", fingerprint != NULL ? fingerprint
                                                                           : error->message,
                                             g_get_host_name ());

  if (fingerprint != NULL)
    self->pool = tune_make_pool (&self->options);
  tell (self, fingerprint != NULL ? TUNE_MPI_READY : TUNE_MPI_UNABLE, report);
}

static void
on_evaluated (GObject *object, GAsyncResult *result, gpointer data)
{
  g_autofree Running *running = data;
  g_autoptr (TandemTrial) trial = running->trial;
  Rank *self = running->rank;
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemEvaluation) evaluation =
      tandem_evaluator_evaluate_finish (TANDEM_EVALUATOR (self->pool), result, &error);
  guint64 number = tandem_trial_get_number (trial);

  self->n_running--;
  if (evaluation != NULL) {
    g_autofree char *json = tandem_evaluation_to_json (evaluation, trial);

    tell_about (self, TUNE_MPI_ANSWER, number, json);
  } else if (g_error_matches (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_WORKER)) {
    tell_about (self, TUNE_MPI_FAILURE, number, error->message);
  } else if (!self->has_ended) {
    tell_about (self, TUNE_MPI_BROKEN, number, error->message);
  }
}

static void
evaluate (Rank *self, const char *text)
{
  guint64 number = 0;
  const char *json = tune_mpi_split (text, &number);
  g_autoptr (GError) error = NULL;
  Running *running;
  TandemTrial *trial;

  g_return_if_fail (json != NULL && self->pool != NULL);

  trial = tandem_trial_new_from_json (self->space, json, &error);
  if (trial == NULL) {
    tell_about (self, TUNE_MPI_BROKEN, number, error->message);
    return;
  }
  running = g_new (Running, 1);
  running->rank = self;
  running->trial = trial;
  self->n_running++;
  tandem_evaluator_evaluate_async (TANDEM_EVALUATOR (self->pool), trial, self->cancellable,
                                   on_evaluated, running);
}

static void
on_text (guint rank, guint kind, const char *text, gsize size, gpointer data)
{
  Rank *self = data;

  if (kind == TUNE_MPI_OPTIONS) {
    begin (self, text, size);
  } else if (kind == TUNE_MPI_REQUEST) {
    evaluate (self, text);
  } else if (kind == TUNE_MPI_END) {
    self->has_ended = TRUE;
    g_cancellable_cancel (self->cancellable);
  }
}

static gboolean
on_second (gpointer data)
{
  Rank *self = data;

  if (self->pool != NULL)
    tell (self, TUNE_MPI_ALIVE, "");
  return G_SOURCE_CONTINUE;
}

int
tune_mpi_serve (TuneMpi *mpi)
{
  g_auto (Rank) self = { .mpi = mpi, .cancellable = g_cancellable_new () };
  g_autoptr (GSource) watch = NULL, seconds = g_timeout_source_new_seconds (1);

  /* Ctrl-C is for rank 0, which saves and then says that there is no more to do. */
  signal (SIGINT, SIG_IGN);
  watch = tune_mpi_watch (mpi->mpi, on_text, &self);
  g_source_set_callback (seconds, on_second, &self, NULL);
  g_source_attach (seconds, NULL);
  while (!self.has_ended || self.n_running > 0)
    g_main_context_iteration (NULL, TRUE);
  g_source_destroy (seconds);
  g_source_destroy (watch);
  return TANDEM_EXIT_OK;
}
