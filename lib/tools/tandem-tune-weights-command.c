/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem tune --weights: a search for weights, or with a table one for each fold. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <math.h>

#include "tandem-tune-command.h"
#include "tandem-tune-result.h"

/* Microseconds between two lines about how it goes. */
#define SAY_EVERY (10 * G_USEC_PER_SEC)

typedef struct
{
  gint64 said;                  /* when, in microseconds */
  guint64 budget;
} Progress;

static gboolean
say (guint64 n, double value, gpointer user_data)
{
  Progress *progress = user_data;
  gint64 now = g_get_monotonic_time ();

  if (now - progress->said >= SAY_EVERY) {
    progress->said = now;
    g_print (_("%u of %u evaluations, least %.6g\n"), (guint) n, (guint) progress->budget, value);
  }
  return TRUE;
}

static void
add_search (JsonBuilder *builder, const TuneWeights *search)
{
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "weights");
  json_builder_add_int_value (builder, (gint64) search->n_weights);
  json_builder_set_member_name (builder, "evaluations");
  json_builder_add_int_value (builder, (gint64) search->n_evaluations);
  json_builder_set_member_name (builder, "seconds");
  json_builder_add_double_value (builder, search->seconds);
  json_builder_set_member_name (builder, "least");
  json_builder_add_double_value (builder, search->value);
  tune_result_add_measures (builder, "held-out", &search->held_out);
  json_builder_end_object (builder);
}

/* Where a search is saved; fold: -1 where there are none. */
static char *
get_state_path (const TuneOptions *options, const char *name, int fold)
{
  g_autofree char *file = fold < 0 ? g_strdup_printf ("%s.json", name)
                                   : g_strdup_printf ("%s-%d.json", name, fold);

  return g_build_filename (options->output, file, NULL);
}

/* What was found is in the result: tens of megabytes need not stay. */
static void
remove_states (const TuneOptions *options)
{
  static const char *const names[] = { "search", "baseline" };
  guint i;
  int fold;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    for (fold = -1; fold < options->folds; fold++) {
      g_autofree char *path = get_state_path (options, names[i], fold);

      g_unlink (path);
    }
  }
}

/* One search for each fold; *mean: over all rows, of what was not learned from. */
static gboolean
search_folds (TuneObjective *objective, const char *algorithm, const char *name, Progress *progress,
              JsonBuilder *builder, TandemMeasures *mean, GCancellable *cancellable,
              GError **error)
{
  const TuneOptions *options = objective->options;
  g_autofree guint8 *folds = tandem_dataset_make_folds (objective->data, options->folds,
                                                        tune_options_get_split_seed (options));
  const guint n_rows = tandem_dataset_get_n_rows (objective->data);
  guint i, k;

  *mean = (TandemMeasures) { { 0 } };
  for (i = 0; i < (guint) options->folds; i++) {
    g_auto (TuneWeights) search = { 0 };
    g_autofree char *state = get_state_path (options, name, (int) i);
    guint n_train, n_held_out;
    g_autofree guint *train = tandem_dataset_list_fold (objective->data, folds, i, TRUE, &n_train);
    g_autofree guint *held_out = tandem_dataset_list_fold (objective->data, folds, i, FALSE,
                                                           &n_held_out);

    if (n_held_out == 0)
      continue;
    if (!tune_weights_search (objective, algorithm, options->seed * 1000 + i, state, train,
                              n_train, held_out, n_held_out, say, progress, &search, cancellable,
                              error))
      return FALSE;
    add_search (builder, &search);
    for (k = 0; k < TANDEM_N_MEASURES; k++)
      mean->values[k] += search.held_out.values[k] * n_held_out / n_rows;
  }
  return TRUE;
}

/* A search of reviews: its network is kept. */
static gboolean
search_reviews (TuneObjective *objective, const char *algorithm, const char *name,
                Progress *progress, JsonBuilder *builder, TandemMeasures *held_out,
                TandemClassifier **classifier, GCancellable *cancellable, GError **error)
{
  g_auto (TuneWeights) search = { 0 };
  g_autofree char *state = get_state_path (objective->options, name, -1);

  if (!tune_weights_search (objective, algorithm, objective->options->seed, state,
                            objective->train, objective->n_train, objective->held_out,
                            objective->n_held_out, say, progress, &search, cancellable, error))
    return FALSE;
  add_search (builder, &search);
  *held_out = search.held_out;
  *classifier = g_steal_pointer (&search.classifier);
  return TRUE;
}

/* Adds a member that has the searches, and one that has their mean. state: what the names of files
 * begin with. */
static gboolean
search_all (TuneObjective *objective, const char *algorithm, const char *name,
            const char *state, JsonBuilder *builder, TandemClassifier **classifier,
            GCancellable *cancellable, GError **error)
{
  const TuneOptions *options = objective->options;
  g_autofree char *list = g_strconcat (name, "-searches", NULL);
  Progress progress = { g_get_monotonic_time (), options->evaluations };
  TandemMeasures mean;
  gboolean ok;

  json_builder_set_member_name (builder, list);
  json_builder_begin_array (builder);
  if (options->table != NULL)
    ok = search_folds (objective, algorithm, state, &progress, builder, &mean, cancellable, error);
  else
    ok = search_reviews (objective, algorithm, state, &progress, builder, &mean, classifier,
                         cancellable, error);
  json_builder_end_array (builder);
  if (!ok)
    return FALSE;
  tune_result_add_measures (builder, name, &mean);
  g_print (_("%s: %.2f %% of what was not learned from is told right\n"), algorithm,
           100.0 * mean.values[TANDEM_MEASURE_ACCURACY]);
  return TRUE;
}

gboolean
tune_run_weights (const TuneOptions *options, GCancellable *cancellable, GError **error)
{
  g_autofree char *result = g_build_filename (options->output, TUNE_RESULT_FILE, NULL);
  g_autoptr (TuneObjective) objective = NULL;
  g_autoptr (JsonBuilder) builder = NULL;
  g_autoptr (TandemClassifier) classifier = NULL, unused = NULL;

  if (options->resume && g_file_test (result, G_FILE_TEST_EXISTS)) {
    g_print (_("the search is finished; %s has what it found\n"), result);
    return TRUE;
  }
  objective = tune_objective_new (options, cancellable, error);
  if (objective == NULL)
    return FALSE;
  tune_objective_print_rows (objective);
  builder = tune_result_begin (options);
  if (!search_all (objective, options->algorithm, "held-out", "search", builder, &classifier,
                   cancellable, error) ||
      (options->baseline && !search_all (objective, "random", "baseline", "baseline", builder,
                                         &unused, cancellable, error)))
    return FALSE;
  if (classifier != NULL &&
      (!tune_result_save_model (options, classifier, cancellable, error) ||
       !tune_result_test (builder, options, classifier, cancellable, error)))
    return FALSE;
  if (!tune_result_write (builder, options, error))
    return FALSE;
  remove_states (options);
  return TRUE;
}
