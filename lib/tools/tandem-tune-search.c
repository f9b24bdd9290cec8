/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem tune: a search for options, whose candidates are evaluated by processes. */

#include "config.h"

#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <signal.h>
#include <unistd.h>

#include "tandem-tune-command.h"
#include "tandem-tune-mpi-pool.h"
#include "tandem-tune-progress.h"
#include "tandem-tune-result.h"

/* The search itself, and the one at random beside it: state and evaluations. */
static const char *const names[] = { "search", "baseline" };

static TandemOptimizer *
make_optimizer (const TuneOptions *options, const char *algorithm, TandemSearchSpace *space,
                GError **error)
{
  TandemOptimizer *optimizer = tandem_optimizer_new (algorithm, space, error);

  if (optimizer == NULL)
    return NULL;
  g_object_set (optimizer, "seed", (guint64) options->seed, "budget",
                (guint64) options->evaluations, "population", (guint) options->population,
                "time-limit", options->time, "objectives", options->n_measures, "rungs",
                (guint) options->rungs, "window", (guint) options->window, NULL);
  if (options->target != NULL)
    g_object_set (optimizer, "target",
                  tandem_measure_to_cost (options->measures[0],
                                          g_ascii_strtod (options->target, NULL)), NULL);
  return optimizer;
}

static void
on_evaluated (TandemTuning *tuning, guint64 number, const char *metrics, const char *failure,
              gpointer user_data)
{
  tune_progress_add (user_data, number, failure);
}

TandemWorkerPool *
tune_make_pool (const TuneOptions *options)
{
  g_auto (GStrv) args = tune_options_list_for_worker (options);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) command = NULL;

  /* This program, wherever it is and whatever it was called. */
  g_strv_builder_add (builder, "/proc/self/exe");
  g_strv_builder_addv (builder, (const char **) args);
  command = g_strv_builder_end (builder);
  return tandem_worker_pool_new ((const char *const *) command, options->workers,
                                 options->timeout);
}

static TandemEvaluator *
make_evaluator (const TuneOptions *options, TuneMpi *mpi)
{
  g_autoptr (TandemWorkerPool) pool = tune_make_pool (options);

  return mpi != NULL ? TANDEM_EVALUATOR (tune_mpi_pool_new (mpi, TANDEM_EVALUATOR (pool)))
                     : TANDEM_EVALUATOR (g_steal_pointer (&pool));
}

/* Runs a search to its end, or goes on with it. Returns who searched. */
static TandemOptimizer *
search (const TuneOptions *options, TuneMpi *mpi, const char *algorithm, const char *name,
        TandemSearchSpace *space, GCancellable *cancellable, GError **error)
{
  g_autofree char *state_name = g_strconcat (name, ".json", NULL);
  g_autofree char *log_name = g_strconcat (name, ".jsonl", NULL);
  g_autofree char *state = g_build_filename (options->output, state_name, NULL);
  g_autofree char *log = g_build_filename (options->output, log_name, NULL);
  g_autoptr (TandemOptimizer) optimizer = NULL;
  g_autoptr (TandemTuning) tuning = NULL;
  g_autoptr (TandemEvaluator) evaluator = NULL;
  g_autoptr (TuneProgress) progress = NULL;

  optimizer = options->resume && g_file_test (state, G_FILE_TEST_EXISTS)
    ? tandem_optimizer_load (state, error) : make_optimizer (options, algorithm, space, error);
  if (optimizer == NULL)
    return NULL;
  tuning = tandem_tuning_new (optimizer);
  g_object_set (tuning, "state", state, "log", log, NULL);
  progress = tune_progress_new (options, optimizer);
  g_signal_connect (tuning, "evaluated", G_CALLBACK (on_evaluated), progress);
  evaluator = make_evaluator (options, mpi);
  return tandem_tuning_run (tuning, evaluator, cancellable, error)
    ? g_steal_pointer (&optimizer) : NULL;
}

static void
add_candidate (JsonBuilder *builder, TandemOptimizer *optimizer, guint64 number,
               const TandemOutcome *outcome)
{
  g_autoptr (TandemParameterSet) candidate = tandem_optimizer_get_parameters (optimizer, number);
  g_auto (GStrv) list = tune_list_options (candidate);
  guint i;

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "number");
  json_builder_add_int_value (builder, (gint64) number);
  json_builder_set_member_name (builder, "parameters");
  json_builder_begin_object (builder);
  for (i = 0; list[i] != NULL; i += 2) {
    json_builder_set_member_name (builder, list[i]);
    json_builder_add_string_value (builder, list[i + 1]);
  }
  json_builder_end_object (builder);
  json_builder_set_member_name (builder, "values");
  json_builder_begin_array (builder);
  for (i = 0; i < tandem_optimizer_get_n_objectives (optimizer); i++)
    json_builder_add_double_value (builder, outcome->values[i]);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
}

/* The best candidate of a search, and of two measures all that no other one beats. */
static gboolean
add_search (JsonBuilder *builder, const char *name, TandemOptimizer *optimizer, guint64 *best,
            GError **error)
{
  g_autofree guint64 *front = NULL;
  TandemOutcome outcome;
  gsize n, i;

  if (!tandem_optimizer_get_best (optimizer, best, &outcome)) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, _("all candidates failed"));
    return FALSE;
  }
  json_builder_set_member_name (builder, name);
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "evaluations");
  json_builder_add_int_value (builder, (gint64) tandem_optimizer_get_n_evaluations (optimizer));
  json_builder_set_member_name (builder, "failures");
  json_builder_add_int_value (builder, (gint64) tandem_optimizer_get_n_failures (optimizer));
  json_builder_set_member_name (builder, "seconds");
  json_builder_add_double_value (builder, tandem_optimizer_get_seconds (optimizer));
  json_builder_set_member_name (builder, "best");
  add_candidate (builder, optimizer, *best, &outcome);
  if (tandem_optimizer_get_n_objectives (optimizer) > 1) {
    front = tandem_optimizer_get_front (optimizer, &n);
    json_builder_set_member_name (builder, "front");
    json_builder_begin_array (builder);
    for (i = 0; i < n; i++)
      if (tandem_optimizer_get_outcome (optimizer, front[i], &outcome, NULL))
        add_candidate (builder, optimizer, front[i], &outcome);
    json_builder_end_array (builder);
  }
  json_builder_end_object (builder);
  return TRUE;
}

static void
print_best (const TuneOptions *options, TandemOptimizer *optimizer, guint64 number)
{
  g_autoptr (TandemParameterSet) candidate = tandem_optimizer_get_parameters (optimizer, number);
  g_auto (GStrv) list = tune_list_options (candidate);
  g_autofree char *value = NULL;
  TandemOutcome outcome;
  guint i;

  tandem_optimizer_get_best (optimizer, NULL, &outcome);
  value = tune_describe_value (options->measures[0], outcome.values[0]);
  g_print (_("best of %u evaluations: %s, with\n"),
           (guint) tandem_optimizer_get_n_evaluations (optimizer), value);
  for (i = 0; list[i] != NULL; i += 2)
    g_print ("  %s=%s\n", list[i], list[i + 1]);
}

/* What is made small, for people. */
static const char *
name_cost (TandemMeasure measure)
{
  return measure == TANDEM_MEASURE_ACCURACY ? _("share told wrong")
                                            : tandem_measure_get_name (measure);
}

/* convergence.svg, importance.svg, parallel.svg, and of two measures front.svg; baseline: or
 * NULL. */
static gboolean
draw (const TuneOptions *options, TandemOptimizer *optimizer, TandemOptimizer *baseline,
      GError **error)
{
  g_autofree char *convergence = g_build_filename (options->output, "convergence.svg", NULL);
  g_autofree char *importance = g_build_filename (options->output, "importance.svg", NULL);
  g_autofree char *parallel = g_build_filename (options->output, "parallel.svg", NULL);
  g_autofree char *front = g_build_filename (options->output, "front.svg", NULL);
  g_autofree char *title = g_strdup_printf ("%s: %s", options->model,
                                            name_cost (options->measures[0]));
  gsize lengths[2] = { 0, 0 };
  const double *histories[2] = { tandem_optimizer_get_history (optimizer, &lengths[0]), NULL };
  const TandemConvergenceSeries series[] = {
    { options->algorithm, 1, &histories[0], &lengths[0] },
    /* The algorithm may be random search itself. */
    { _("random search"), 1, &histories[1], &lengths[1] },
  };

  if (baseline != NULL)
    histories[1] = tandem_optimizer_get_history (baseline, &lengths[1]);
  return tandem_convergence_write (title, series, baseline != NULL ? 2 : 1, convergence, error) &&
      tandem_importance_write (optimizer, title, importance, error) &&
      tandem_parallel_write (optimizer, title, name_cost (options->measures[0]), parallel,
                             error) &&
      (options->n_measures < 2 ||
       tandem_front_write (optimizer, title, name_cost (options->measures[0]),
                           name_cost (options->measures[1]), front, error));
}

/* The model of the best candidate, from all that may be learned from, and what it does. */
static gboolean
publish (TuneObjective *objective, TandemOptimizer *optimizer, guint64 best, JsonBuilder *builder,
         GCancellable *cancellable, GError **error)
{
  const TuneOptions *options = objective->options;
  g_autoptr (TandemParameterSet) candidate = tandem_optimizer_get_parameters (optimizer, best);
  g_auto (GStrv) list = tune_list_options (candidate);
  g_autoptr (TandemClassifier) classifier = NULL;

  print_best (options, optimizer, best);
  g_print (_("learning from all %u rows\n"), objective->n_train + objective->n_held_out);
  classifier = tandem_assessment_fit_all (objective->assessment, (const char *const *) list,
                                          cancellable, error);
  return classifier != NULL &&
      tune_result_save_model (options, classifier, cancellable, error) &&
      tune_result_test (builder, options, classifier, cancellable, error) &&
      tune_result_write (builder, options, error);
}

gboolean
tune_run_search (const TuneOptions *options, TuneMpi *mpi, GCancellable *cancellable,
                 GError **error)
{
  g_autoptr (TuneObjective) objective = NULL;
  g_autoptr (TandemSearchSpace) space = NULL;
  g_autoptr (TandemOptimizer) optimizer = NULL, baseline = NULL;
  g_autoptr (JsonBuilder) builder = NULL;
  guint64 best, best_at_random;

  /* All ranks read at the same time. */
  if (mpi != NULL)
    tune_mpi_send_options (mpi, options);
  objective = tune_objective_new (options, cancellable, error);
  space = objective != NULL ? tune_objective_make_space (objective, error) : NULL;
  if (space == NULL || !tune_objective_check_space (objective, space, error) ||
      (mpi != NULL && !tune_mpi_wait_until_ready (mpi, objective, cancellable, error)))
    return FALSE;
  tune_objective_print_rows (objective);
  optimizer = search (options, mpi, options->algorithm, names[0], space, cancellable, error);
  if (optimizer == NULL)
    return FALSE;
  builder = tune_result_begin (options);
  if (!add_search (builder, names[0], optimizer, &best, error))
    return FALSE;
  if (options->baseline) {
    /* A space belongs to one search. */
    g_autoptr (TandemSearchSpace) again = tune_objective_make_space (objective, error);

    g_print (_("the same at random\n"));
    baseline = again != NULL
      ? search (options, mpi, "random", names[1], again, cancellable, error) : NULL;
    if (baseline == NULL || !add_search (builder, names[1], baseline, &best_at_random, error))
      return FALSE;
  }
  return draw (options, optimizer, baseline, error) &&
      publish (objective, optimizer, best, builder, cancellable, error);
}

gboolean
tune_run_worker (const TuneOptions *options, GCancellable *cancellable, GError **error)
{
  g_autoptr (GInputStream) requests = g_unix_input_stream_new (STDIN_FILENO, FALSE);
  /* Whatever a library prints is no answer. */
  int answers_fd = dup (STDOUT_FILENO);
  g_autoptr (GOutputStream) answers = g_unix_output_stream_new (answers_fd, TRUE);
  g_autoptr (TuneObjective) objective = NULL;
  g_autoptr (TandemSearchSpace) space = NULL;

  dup2 (STDERR_FILENO, STDOUT_FILENO);
  /* Ctrl-C is for who asks: a candidate that is being evaluated has not failed. */
  signal (SIGINT, SIG_IGN);
  signal (SIGHUP, SIG_IGN);
  objective = tune_objective_new (options, cancellable, error);
  space = objective != NULL ? tune_objective_make_space (objective, error) : NULL;
  return space != NULL &&
      tandem_objective_serve (TANDEM_OBJECTIVE (objective), space, requests, answers, cancellable,
                              error);
}
