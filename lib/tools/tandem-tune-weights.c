/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Weights that are searched as a vector, as the report's genetic algorithm does. */

#include "config.h"

#include "tandem-tune-weights.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* Saving takes no more than one part in so many of the time, and is not done again before these
 * microseconds are over. */
#define SAVE_PARTS 20
#define SAVE_PAUSE (G_USEC_PER_SEC / 5)

typedef struct
{
  TuneObjective *objective;
  TandemClassifier *classifier;
  const guint *rows;            /* to learn from */
  guint n_rows;
  gsize n;                      /* weights */
  float *gradient;              /* [n] */
  double *gradient_out;         /* [n] */
  gboolean with_gradient;
  const char *state;            /* a file */
  gint64 saved_at, save_took;   /* microseconds */
} Weights;

static void
weights_clear (Weights *self)
{
  g_clear_object (&self->classifier);
  g_free (self->gradient);
  g_free (self->gradient_out);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Weights, weights_clear)

void
tune_weights_clear (TuneWeights *self)
{
  g_clear_object (&self->classifier);
}

static TandemSearchSpace *
make_space (gsize n, double bound, GError **error)
{
  g_autoptr (TandemSearchSpace) space = tandem_search_space_new ();
  gsize i;

  if (n > TANDEM_SEARCH_SPACE_MAX_PARAMETERS) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 _("the network has %u weights, and %d can be searched: give smaller layers, or "
                   "fewer words with --set"), (guint) n, TANDEM_SEARCH_SPACE_MAX_PARAMETERS);
    return NULL;
  }
  for (i = 0; i < n; i++) {
    g_autofree char *name = g_strdup_printf ("w%" G_GSIZE_FORMAT, i + 1);

    if (!tandem_search_space_add_number (space, name, TANDEM_PARAMETER_KIND_REAL, -bound, bound,
                                         error))
      return NULL;
  }
  return g_steal_pointer (&space);
}

static gboolean
prepare (Weights *self, guint64 seed, GCancellable *cancellable, GError **error)
{
  const TuneOptions *options = self->objective->options;
  g_autofree char *seed_text = g_strdup_printf ("%" G_GUINT64_FORMAT, seed);
  guint i;

  self->classifier = tandem_classifier_new (options->model, error);
  if (self->classifier == NULL ||
      !tandem_classifier_set_option (self->classifier, "seed", seed_text, error) ||
      !tandem_classifier_set_option (self->classifier, "loss",
                                     options->measures[0] == TANDEM_MEASURE_MSE_CROSS_ENTROPY
                                     ? "mse-cross-entropy" : "mse", error))
    return FALSE;
  for (i = 0; options->set != NULL && options->set[i] != NULL; i++) {
    char *value = strchr (options->set[i], '=');
    g_autofree char *name = g_strndup (options->set[i], value - options->set[i]);

    if (!tandem_classifier_set_option (self->classifier, name, value + 1, error))
      return FALSE;
  }
  if (!tandem_classifier_prepare (self->classifier, self->objective->data, self->rows,
                                  self->n_rows, cancellable, error))
    return FALSE;
  self->n = tandem_classifier_get_n_parameters (self->classifier);
  self->gradient = g_new (float, self->n);
  self->gradient_out = g_new (double, self->n);
  return TRUE;
}

static void
take (Weights *self, TandemParameterSet *candidate)
{
  float *weights = tandem_classifier_get_parameters (self->classifier);
  gsize i;

  for (i = 0; i < self->n; i++)
    weights[i] = (float) tandem_parameter_set_get_number (candidate, i);
}

static gboolean
evaluate (Weights *self, TandemParameterSet *candidate, TandemOutcome *outcome,
          GCancellable *cancellable, GError **error)
{
  TandemMeasures measures;
  gsize i;

  take (self, candidate);
  if (self->objective->options->measures[0] == TANDEM_MEASURE_ACCURACY) {
    if (!tandem_assessment_measure (self->classifier, self->objective->data, self->rows,
                                    self->n_rows, &measures, cancellable, error))
      return FALSE;
    outcome->values[0] = 1.0 - measures.values[TANDEM_MEASURE_ACCURACY];
    return TRUE;
  }
  if (!tandem_classifier_get_loss (self->classifier, self->objective->data, self->rows,
                                   self->n_rows, &outcome->values[0],
                                   self->with_gradient ? self->gradient : NULL, error))
    return FALSE;
  if (!self->with_gradient)
    return TRUE;
  for (i = 0; i < self->n; i++)
    self->gradient_out[i] = self->gradient[i];
  outcome->gradient = self->gradient_out;
  return TRUE;
}

/* Where there is a gradient, and an algorithm that uses it. */
static gboolean
wants_gradient (Weights *self, TandemOptimizer *optimizer)
{
  return self->objective->options->measures[0] != TANDEM_MEASURE_ACCURACY &&
      g_object_class_find_property (G_OBJECT_GET_CLASS (optimizer), "gradient") != NULL;
}

static TandemOptimizer *
make_optimizer (Weights *self, const char *algorithm, guint64 seed, GError **error)
{
  const TuneOptions *options = self->objective->options;
  g_autoptr (TandemSearchSpace) space = make_space (self->n, options->bound, error);
  TandemOptimizer *optimizer;

  optimizer = space != NULL ? tandem_optimizer_new (algorithm, space, error) : NULL;
  if (optimizer == NULL)
    return NULL;
  g_object_set (optimizer, "seed", seed, "budget", (guint64) options->evaluations, "population",
                (guint) options->population, "time-limit", options->time, NULL);
  if (options->target != NULL)
    g_object_set (optimizer, "target",
                  tandem_measure_to_cost (options->measures[0],
                                          g_ascii_strtod (options->target, NULL)), NULL);
  self->with_gradient = wants_gradient (self, optimizer);
  if (self->with_gradient)
    g_object_set (optimizer, "gradient", TRUE, NULL);
  return optimizer;
}

/* The search as it was saved, or a new one. */
static TandemOptimizer *
open_optimizer (Weights *self, const char *algorithm, guint64 seed, GError **error)
{
  g_autoptr (TandemOptimizer) optimizer = NULL;

  if (!self->objective->options->resume || !g_file_test (self->state, G_FILE_TEST_EXISTS))
    return make_optimizer (self, algorithm, seed, error);
  optimizer = tandem_optimizer_load (self->state, error);
  if (optimizer == NULL)
    return NULL;
  if (tandem_search_space_get_n_parameters (tandem_optimizer_get_space (optimizer)) != self->n) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("%s is a search for other weights: the data has changed"), self->state);
    return NULL;
  }
  self->with_gradient = wants_gradient (self, optimizer);
  return g_steal_pointer (&optimizer);
}

static gboolean
save (Weights *self, TandemOptimizer *optimizer, gboolean surely, GError **error)
{
  gint64 now = g_get_monotonic_time ();

  if (!surely && now - self->saved_at < MAX (SAVE_PARTS * self->save_took, SAVE_PAUSE))
    return TRUE;
  if (!tandem_optimizer_save (optimizer, self->state, error))
    return FALSE;
  self->saved_at = g_get_monotonic_time ();
  self->save_took = self->saved_at - now;
  return TRUE;
}

static gboolean
run (Weights *self, TandemOptimizer *optimizer, TuneWeightsFunc progress, gpointer user_data,
     GCancellable *cancellable, GError **error)
{
  TandemTrial *trial;
  guint64 number;
  TandemOutcome best = { { NAN } };

  while (!g_cancellable_is_cancelled (cancellable) &&
         (trial = tandem_optimizer_ask (optimizer)) != NULL) {
    g_autoptr (TandemTrial) owned = trial;
    g_autoptr (GError) local = NULL;
    TandemOutcome outcome = { { 0 } };
    gboolean ok;

    if (evaluate (self, tandem_trial_get_parameters (trial), &outcome, cancellable, &local))
      ok = tandem_optimizer_tell (optimizer, trial, &outcome, error);
    else if (g_error_matches (local, G_IO_ERROR, G_IO_ERROR_CANCELLED))
      break;
    else
      ok = tandem_optimizer_tell_failure (optimizer, trial, local->message, error);
    if (!ok || !save (self, optimizer, FALSE, error))
      return FALSE;
    tandem_optimizer_get_best (optimizer, &number, &best);
    if (progress != NULL && !progress (tandem_optimizer_get_n_evaluations (optimizer),
                                       best.values[0], user_data))
      break;
  }
  return save (self, optimizer, TRUE, error) &&
      !g_cancellable_set_error_if_cancelled (cancellable, error);
}

gboolean
tune_weights_search (TuneObjective *objective, const char *algorithm, guint64 seed,
                     const char *state, const guint *train, guint n_train, const guint *held_out,
                     guint n_held_out, TuneWeightsFunc progress, gpointer user_data,
                     TuneWeights *result, GCancellable *cancellable, GError **error)
{
  g_auto (Weights) self = { .objective = objective, .rows = train, .n_rows = n_train,
                            .state = state };
  g_autoptr (TandemOptimizer) optimizer = NULL;
  g_autoptr (TandemParameterSet) best = NULL;
  TandemOutcome outcome;
  guint64 number;

  *result = (TuneWeights) { 0 };
  if (!prepare (&self, seed, cancellable, error))
    return FALSE;
  optimizer = open_optimizer (&self, algorithm, seed, error);
  if (optimizer == NULL || !run (&self, optimizer, progress, user_data, cancellable, error))
    return FALSE;
  if (!tandem_optimizer_get_best (optimizer, &number, &outcome)) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                         _("no weights could be evaluated"));
    return FALSE;
  }
  best = tandem_optimizer_get_parameters (optimizer, number);
  take (&self, best);
  result->n_evaluations = tandem_optimizer_get_n_evaluations (optimizer);
  result->n_weights = self.n;
  result->value = outcome.values[0];
  result->seconds = tandem_optimizer_get_seconds (optimizer);
  if (!tandem_assessment_measure (self.classifier, objective->data, held_out, n_held_out,
                                  &result->held_out, NULL, error))
    return FALSE;
  result->classifier = g_steal_pointer (&self.classifier);
  return TRUE;
}
