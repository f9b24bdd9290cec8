/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemTuning:
 *
 * A search that is carried out: it asks an optimizer, has an evaluator evaluate, tells what came
 * out, writes a line of JSON for each evaluation, and saves the state so often that little is lost
 * when the process is killed. With [property@Tuning:state] set, a search goes on by
 * tandem_optimizer_load() of that file.
 *
 * The log gets its line before the state has the evaluation; lines that a state does not know are
 * removed when a search goes on, so that each evaluation has one line in the end.
 */

#include "config.h"

#include "evolve/tandem-tuning.h"

#include <string.h>

#include "evolve/tandem-evaluation-private.h"
#include "evolve/tandem-tuning-log-private.h"

/* Saving takes no more than one part in so many of the time. */
#define SAVE_PARTS 20

enum { PROP_0, PROP_STATE, PROP_LOG, PROP_FAILURE_LIMIT, N_PROPS };

static GParamSpec *props[N_PROPS];
static guint evaluated_signal;

struct _TandemTuning
{
  GObject parent;

  TandemOptimizer *optimizer;
  char *state, *log;
  guint failure_limit;

  /* Of a run. */
  TandemEvaluator *evaluator;
  GCancellable *cancellable;    /* of evaluations */
  GOutputStream *stream;
  guint n_running, n_failures_in_row;
  gint64 saved_at, save_took;   /* microseconds */
  gboolean is_saved;
  GError *error;                /* why it ends early */
};

G_DEFINE_FINAL_TYPE (TandemTuning, tandem_tuning, G_TYPE_OBJECT)

/* An evaluation that goes on. */
typedef struct
{
  TandemTuning *tuning;
  TandemTrial *trial;
  gint64 started_at;
} Running;

static void
tandem_tuning_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TandemTuning *self = TANDEM_TUNING (object);

  switch (id) {
    case PROP_STATE:
      g_value_set_string (value, self->state);
      break;
    case PROP_LOG:
      g_value_set_string (value, self->log);
      break;
    case PROP_FAILURE_LIMIT:
      g_value_set_uint (value, self->failure_limit);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
}

static void
tandem_tuning_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  TandemTuning *self = TANDEM_TUNING (object);

  switch (id) {
    case PROP_STATE:
      g_free (self->state);
      self->state = g_value_dup_string (value);
      break;
    case PROP_LOG:
      g_free (self->log);
      self->log = g_value_dup_string (value);
      break;
    case PROP_FAILURE_LIMIT:
      self->failure_limit = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
}

static void
tandem_tuning_finalize (GObject *object)
{
  TandemTuning *self = TANDEM_TUNING (object);

  g_clear_object (&self->optimizer);
  g_free (self->state);
  g_free (self->log);
  G_OBJECT_CLASS (tandem_tuning_parent_class)->finalize (object);
}

static void
tandem_tuning_class_init (TandemTuningClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  object_class->finalize = tandem_tuning_finalize;
  object_class->get_property = tandem_tuning_get_property;
  object_class->set_property = tandem_tuning_set_property;

  /**
   * TandemTuning:state:
   *
   * The file that the state is saved to; %NULL: it is not saved.
   */
  props[PROP_STATE] =
    g_param_spec_string ("state", "State", "The file that the state is saved to", NULL, flags);
  /**
   * TandemTuning:log:
   *
   * The file that gets a line of JSON for each evaluation; %NULL: none does.
   */
  props[PROP_LOG] =
    g_param_spec_string ("log", "Log", "The file that gets a line for each evaluation", NULL,
                         flags);
  /**
   * TandemTuning:failure-limit:
   *
   * After so many failures in a row it ends with an error: something is wrong that is not the
   * candidates'. 0: never.
   */
  props[PROP_FAILURE_LIMIT] =
    g_param_spec_uint ("failure-limit", "Failure limit", "So many failures in a row end it", 0,
                       G_MAXUINT, 50, flags | G_PARAM_CONSTRUCT);
  g_object_class_install_properties (object_class, N_PROPS, props);

  /**
   * TandemTuning::evaluated:
   * @self: a tuning
   * @number: the number of the candidate, whose outcome the optimizer knows already
   * @metrics: (nullable): what else the objective said about it, as JSON
   * @failure: (nullable): why there is no outcome
   *
   * Emitted after each evaluation, in the thread that runs the search.
   */
  evaluated_signal =
    g_signal_new ("evaluated", TANDEM_TYPE_TUNING, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 3, G_TYPE_UINT64, G_TYPE_STRING, G_TYPE_STRING);
}

static void
tandem_tuning_init (TandemTuning *self)
{
}

/**
 * tandem_tuning_new:
 * @optimizer: who searches; a new one, or one that was loaded
 *
 * Returns: (transfer full): a tuning
 */
TandemTuning *
tandem_tuning_new (TandemOptimizer *optimizer)
{
  TandemTuning *self;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (optimizer), NULL);

  self = g_object_new (TANDEM_TYPE_TUNING, NULL);
  self->optimizer = g_object_ref (optimizer);
  return self;
}

/**
 * tandem_tuning_get_optimizer:
 * @self: a tuning
 *
 * Returns: (transfer none): who searches
 */
TandemOptimizer *
tandem_tuning_get_optimizer (TandemTuning *self)
{
  g_return_val_if_fail (TANDEM_IS_TUNING (self), NULL);

  return self->optimizer;
}

/* No more evaluations are begun, and those that go on are given up. Takes the error. */
static void
stop (TandemTuning *self, GError *error)
{
  if (self->error == NULL)
    self->error = error;
  else
    g_error_free (error);
  g_cancellable_cancel (self->cancellable);
}

static void
save (TandemTuning *self, gboolean surely)
{
  gint64 now = g_get_monotonic_time ();
  GError *error = NULL;

  self->is_saved = FALSE;
  if (self->state == NULL ||
      (!surely && now - self->saved_at < SAVE_PARTS * self->save_took))
    return;
  if (!tandem_optimizer_save (self->optimizer, self->state, &error)) {
    stop (self, error);
    return;
  }
  self->saved_at = g_get_monotonic_time ();
  self->save_took = self->saved_at - now;
  self->is_saved = TRUE;
}

static void
write_line (TandemTuning *self, const TandemEvaluation *evaluation, const Running *running,
            const char *failure)
{
  g_autofree char *line = NULL;
  GError *error = NULL;

  if (self->stream == NULL)
    return;
  line = tandem_evaluation_log_line (evaluation, running->trial, failure,
                                     1e-6 * (g_get_monotonic_time () - running->started_at));
  if (!g_output_stream_write_all (self->stream, line, strlen (line), NULL, NULL, &error))
    stop (self, error);
}

static void
tell (TandemTuning *self, const TandemEvaluation *evaluation, const Running *running,
      const char *failure)
{
  TandemOutcome outcome = { { 0 } };
  g_autoptr (GError) error = NULL;
  gboolean told;

  if (evaluation != NULL) {
    memcpy (outcome.values, evaluation->values, sizeof outcome.values);
    outcome.violation = evaluation->violation;
    outcome.gradient = evaluation->gradient;
    told = tandem_optimizer_tell (self->optimizer, running->trial, &outcome, &error);
  } else {
    told = tandem_optimizer_tell_failure (self->optimizer, running->trial, failure, &error);
  }
  if (!told) {
    stop (self, g_steal_pointer (&error));
    return;
  }
  self->n_failures_in_row = failure != NULL ? self->n_failures_in_row + 1 : 0;
  if (self->failure_limit > 0 && self->n_failures_in_row >= self->failure_limit)
    stop (self, g_error_new (TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_WORKER,
                             "the last %u evaluations failed, the last one because %s",
                             self->n_failures_in_row, failure));
}

static void
on_evaluated (GObject *object, GAsyncResult *result, gpointer data)
{
  Running *running = data;
  TandemTuning *self = running->tuning;
  g_autoptr (TandemEvaluation) evaluation = NULL;
  g_autofree char *failure = NULL;
  GError *error = NULL;

  evaluation = tandem_evaluator_evaluate_finish (self->evaluator, result, &error);
  self->n_running--;
  if (evaluation == NULL && !g_error_matches (error, TANDEM_EVOLVE_ERROR,
                                              TANDEM_EVOLVE_ERROR_WORKER)) {
    stop (self, g_steal_pointer (&error));
  } else if (!g_cancellable_is_cancelled (self->cancellable)) {
    if (evaluation == NULL)
      failure = g_strdup (error->message);
    else if (evaluation->n_values != tandem_optimizer_get_n_objectives (self->optimizer))
      failure = g_strdup_printf ("the answer has %u values, not %u", evaluation->n_values,
                                 tandem_optimizer_get_n_objectives (self->optimizer));
    if (failure != NULL)
      g_clear_pointer (&evaluation, tandem_evaluation_free);
    g_clear_error (&error);
    write_line (self, evaluation, running, failure);
    tell (self, evaluation, running, failure);
    save (self, FALSE);
    g_signal_emit (self, evaluated_signal, 0, tandem_trial_get_number (running->trial),
                   evaluation != NULL ? evaluation->metrics : NULL, failure);
  }
  g_clear_error (&error);
  tandem_trial_unref (running->trial);
  g_free (running);
}

static void
begin (TandemTuning *self, TandemTrial *trial)
{
  Running *running = g_new (Running, 1);

  running->tuning = self;
  running->trial = trial;
  running->started_at = g_get_monotonic_time ();
  self->n_running++;
  tandem_evaluator_evaluate_async (self->evaluator, trial, self->cancellable, on_evaluated,
                                   running);
}

static void
loop (TandemTuning *self, GMainContext *context)
{
  guint n_workers = tandem_evaluator_get_n_workers (self->evaluator);

  while (TRUE) {
    TandemTrial *trial;

    while (self->error == NULL && !g_cancellable_is_cancelled (self->cancellable) &&
           self->n_running < n_workers &&
           (trial = tandem_optimizer_ask (self->optimizer)) != NULL)
      begin (self, trial);
    if (self->n_running == 0)
      break;
    g_main_context_iteration (context, TRUE);
  }
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  g_cancellable_cancel (data);
}

/**
 * tandem_tuning_run:
 * @self: a tuning
 * @evaluator: who evaluates; one that no other search uses
 * @cancellable: (nullable): a cancellable; what was evaluated is saved when it is cancelled
 * @error: return location for %TANDEM_EVOLVE_ERROR_WORKER when too many evaluations failed, for
 *   %G_IO_ERROR_CANCELLED, and for errors of files and of starting workers
 *
 * Searches until the optimizer is finished. It blocks, and has a main context of its own meanwhile.
 * A cancelled search, or one that failed, may be run again: with a new evaluator, and after
 * tandem_optimizer_load(), since candidates that were given up are asked for again only then.
 *
 * Returns: whether the search is finished
 */
gboolean
tandem_tuning_run (TandemTuning *self, TandemEvaluator *evaluator, GCancellable *cancellable,
                   GError **error)
{
  g_autoptr (GMainContext) context = NULL;
  gulong handler = 0;
  gboolean cancelled;

  g_return_val_if_fail (TANDEM_IS_TUNING (self) && TANDEM_IS_EVALUATOR (evaluator), FALSE);
  g_return_val_if_fail (self->evaluator == NULL, FALSE);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (self->log != NULL) {
    self->stream = tandem_tuning_log_open (self->log, self->optimizer, cancellable, error);
    if (self->stream == NULL)
      return FALSE;
  }
  context = g_main_context_new ();
  self->evaluator = g_object_ref (evaluator);
  self->cancellable = g_cancellable_new ();
  self->n_failures_in_row = 0;
  self->saved_at = self->save_took = 0;
  g_main_context_push_thread_default (context);
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled),
                                     g_object_ref (self->cancellable), g_object_unref);
  loop (self, context);
  g_cancellable_disconnect (cancellable, handler);
  if (!self->is_saved)
    save (self, TRUE);
  cancelled = self->error == NULL && g_cancellable_is_cancelled (self->cancellable);
  g_clear_object (&self->evaluator);
  g_main_context_pop_thread_default (context);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->stream);
  if (cancelled)
    g_set_error_literal (&self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "the search was stopped");
  if (self->error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}
