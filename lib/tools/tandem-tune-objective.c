/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The data of a search, the usual spaces, and how a candidate does. */

#include "config.h"

#include "tandem-tune-objective.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "tandem-train-data.h"

#define CLASSES 2

/* What is usual for a model over reviews, and over a table. */
static const struct
{
  const char *model;
  const char *reviews;
  const char *table;
} spaces[] = {
  { "ann",
    "learning-rate=log(3e-4,1e-2); hidden-1=integer(8,128); dropout=real(0,0.7); "
    "input-dropout=real(0,0.6); epochs=integer(2,6); batch-size={16,32,64,128}; "
    "ngrams=integer(1,3); weighting={binary,tfidf,nb}; max-features={10000,30000,100000}",
    "learning-rate=log(1e-3,0.1); hidden-1=integer(2,64); dropout=real(0,0.5); "
    "input-dropout=real(0,0.3); weight-decay=log(1e-4,1); epochs=integer(20,200); "
    "batch-size={8,16,32}" },
  { "cnn",
    "learning-rate=log(5e-4,5e-3); filters=integer(16,128); embedding-size={32,64,100}; "
    "widths={3,2+3,3+4+5,2+3+4+5}; dropout=real(0.2,0.7); input-dropout=real(0,0.5); "
    "epochs=integer(2,5); batch-size={16,32,64}; max-length={200,400,600}",
    NULL },
  { "svm",
    "loss={logistic,squared-hinge}; cost=log(0.05,50); ngrams=integer(1,3); "
    "min-texts=integer(1,6); weighting={binary,tfidf,nb}",
    "kernel={linear,rbf,poly,sigmoid}; cost=log(0.01,1000); "
    "gamma=log(1e-4,10) if kernel=rbf|poly|sigmoid; degree=integer(2,4) if kernel=poly; "
    "coef0=real(0,2) if kernel=poly|sigmoid" },
  { "bert",
    "learning-rate=log(1e-5,1e-3); batch-size={8,16,32,64}; epochs=integer(1,3); "
    "dropout=real(0,0.3); warmup=real(0,0.3)",
    NULL },
};

static void tune_objective_interface_init (TandemObjectiveInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TuneObjective, tune_objective, G_TYPE_OBJECT,
  G_IMPLEMENT_INTERFACE (TANDEM_TYPE_OBJECTIVE, tune_objective_interface_init))

static void
tune_objective_finalize (GObject *object)
{
  TuneObjective *self = TUNE_OBJECTIVE (object);

  g_clear_pointer (&self->assessment, tandem_assessment_free);
  g_clear_object (&self->data);
  g_free (self->train);
  g_free (self->held_out);
  g_free (self->fingerprint);
  G_OBJECT_CLASS (tune_objective_parent_class)->finalize (object);
}

static void
tune_objective_class_init (TuneObjectiveClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tune_objective_finalize;
}

static void
tune_objective_init (TuneObjective *self)
{
}

/* Reviews to learn from, and behind them those that are held out. */
static gboolean
read_reviews (TuneObjective *self, GCancellable *cancellable, GError **error)
{
  const TuneOptions *options = self->options;
  TrainOptions train_options = {
    .data = options->data, .exclude = options->exclude, .holdout = options->holdout,
    .seed = tune_options_get_split_seed (options), .task = (char *) "classify"
  };
  g_autoptr (TrainData) data = train_data_read (&train_options, cancellable, error);
  g_autofree GBytes **texts = NULL;
  g_autofree gint32 *labels = NULL;
  guint n, i;

  if (data == NULL)
    return FALSE;
  self->n_train = data->train->len;
  self->n_held_out = data->held_out->len;
  self->n_excluded = data->n_excluded;
  self->fingerprint = g_strdup (data->fingerprint);
  n = self->n_train + self->n_held_out;
  texts = g_new (GBytes *, n);
  labels = g_new (gint32, n);
  self->train = g_new (guint, self->n_train);
  self->held_out = g_new (guint, self->n_held_out);
  for (i = 0; i < n; i++) {
    const TrainReview *review = i < self->n_train
      ? &g_array_index (data->train, TrainReview, i)
      : &g_array_index (data->held_out, TrainReview, i - self->n_train);

    texts[i] = review->text;
    labels[i] = review->label;
    if (i < self->n_train)
      self->train[i] = i;
    else
      self->held_out[i - self->n_train] = i;
  }
  self->data = tandem_dataset_new_texts (texts, labels, n, CLASSES, error);
  return self->data != NULL;
}

static gboolean
read_table (TuneObjective *self, GCancellable *cancellable, GError **error)
{
  const TuneOptions *options = self->options;
  g_autoptr (TandemDataTable) table = tandem_data_table_read (options->table, cancellable, error);
  g_autofree char *text = NULL;
  gsize size;
  guint i;

  if (table == NULL)
    return FALSE;
  self->data = tandem_dataset_new_table (table, options->class_column,
                                         (const char *const *) options->ignored, error);
  if (self->data == NULL) {
    g_prefix_error (error, "%s: ", options->table);
    return FALSE;
  }
  if (!g_file_get_contents (options->table, &text, &size, error))
    return FALSE;
  self->fingerprint = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *) text, size);
  self->n_train = tandem_dataset_get_n_rows (self->data);
  self->train = g_new (guint, self->n_train);
  for (i = 0; i < self->n_train; i++)
    self->train[i] = i;
  return TRUE;
}

/* --set=NAME=VALUE, which a classifier has to take. */
static gboolean
set_fixed (TuneObjective *self, GError **error)
{
  const TuneOptions *options = self->options;
  g_autoptr (TandemClassifier) classifier = tandem_classifier_new (options->model, error);
  g_autofree char *seed = g_strdup_printf ("%" G_GINT64_FORMAT, options->seed);
  guint i;

  if (classifier == NULL)
    return FALSE;
  for (i = 0; options->set != NULL && options->set[i] != NULL; i++) {
    char *value = strchr (options->set[i], '=');
    g_autofree char *name = g_strndup (options->set[i], value - options->set[i]);

    if (!tandem_classifier_set_option (classifier, name, value + 1, error))
      return FALSE;
    tandem_assessment_set (self->assessment, name, value + 1);
  }
  if (options->from != NULL)
    tandem_assessment_set (self->assessment, "model", options->from);
  if (g_object_class_find_property (G_OBJECT_GET_CLASS (classifier), "seed") != NULL)
    tandem_assessment_set (self->assessment, "seed", seed);
  return TRUE;
}

TuneObjective *
tune_objective_new (const TuneOptions *options, GCancellable *cancellable, GError **error)
{
  g_autoptr (TuneObjective) self = g_object_new (TUNE_TYPE_OBJECTIVE, NULL);
  guint i;

  self->options = options;
  if (options->table != NULL) {
    if (!read_table (self, cancellable, error))
      return NULL;
    self->assessment = tandem_assessment_new_folds (options->model, self->data, options->folds,
                                                    tune_options_get_split_seed (options));
  } else {
    if (!read_reviews (self, cancellable, error))
      return NULL;
    self->assessment = tandem_assessment_new (options->model, self->data, self->train,
                                              self->n_train, self->held_out, self->n_held_out);
  }
  for (i = 0; i < options->n_measures; i++)
    self->measures_time |= options->measures[i] == TANDEM_MEASURE_MILLISECONDS;
  tandem_assessment_set_measures_time (self->assessment, self->measures_time);
  return set_fixed (self, error) ? g_steal_pointer (&self) : NULL;
}

void
tune_objective_print_rows (TuneObjective *self)
{
  if (self->options->table == NULL)
    g_print (_("%u reviews to learn from, %u held out, %u left out\n"), self->n_train,
             self->n_held_out, self->n_excluded);
}

char *
tune_objective_make_fingerprint (TuneObjective *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemModel) model = NULL;

  if (self->options->from != NULL) {
    model = tandem_model_open (self->options->from, cancellable, error);
    if (model == NULL)
      return NULL;
  }
  return g_strdup_printf ("%s %u %u %s", self->fingerprint, self->n_train, self->n_held_out,
                          model != NULL ? tandem_model_get_fingerprint (model) : "-");
}

static const char *
get_usual_space (const TuneOptions *options)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS (spaces); i++)
    if (g_str_equal (spaces[i].model, options->model))
      return options->table != NULL ? spaces[i].table : spaces[i].reviews;
  return NULL;
}

TandemSearchSpace *
tune_objective_make_space (TuneObjective *self, GError **error)
{
  const TuneOptions *options = self->options;
  g_autoptr (TandemSearchSpace) space = NULL;
  guint i;

  if (options->space != NULL && g_file_test (options->space, G_FILE_TEST_EXISTS)) {
    space = tandem_search_space_new_from_file (options->space, error);
  } else if (options->space != NULL && strchr (options->space, '=') == NULL) {
    g_set_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE,
                 _("--space=%s: there is no such file, and as text it would be NAME=RANGE, as "
                   "cost=log(0.01,100)"), options->space);
  } else {
    space = tandem_search_space_new_from_text (options->space != NULL ? options->space
                                               : get_usual_space (options), error);
    g_prefix_error_literal (error, "--space, ");
  }
  if (space == NULL)
    return NULL;
  for (i = 0; options->select_columns && i < tandem_dataset_get_width (self->data); i++) {
    g_autofree char *name = g_strdup_printf ("column-%u", i + 1);

    if (!tandem_search_space_add_number (space, name, TANDEM_PARAMETER_KIND_INTEGER, 0, 1, error))
      return NULL;
  }
  return g_steal_pointer (&space);
}

/* Whether the model takes the ends of a parameter's range, or each of its categories. */
static gboolean
check_values (TandemClassifier *classifier, TandemSearchSpace *space, guint index, GError **error)
{
  const gboolean is_categorical =
      tandem_search_space_get_kind (space, index) == TANDEM_PARAMETER_KIND_CATEGORICAL;
  const guint64 n = is_categorical ? tandem_search_space_get_n_values (space, index) : 2;
  const guint n_parameters = tandem_search_space_get_n_parameters (space);
  g_autofree double *point = g_new (double, n_parameters);
  guint64 i;
  guint k;

  for (k = 0; k < n_parameters; k++)
    point[k] = 0.5;
  for (i = 0; i < n; i++) {
    g_autoptr (TandemParameterSet) candidate = NULL;
    char number[G_ASCII_DTOSTR_BUF_SIZE];

    point[index] = is_categorical ? (i + 0.5) / n : (double) i;
    candidate = tandem_parameter_set_new_from_point (space, point);
    if (!tandem_parameter_set_has (candidate, index))
      continue;
    if (!tandem_classifier_set_option (
          classifier, tandem_search_space_get_name (space, index),
          is_categorical ? tandem_parameter_set_get_text (candidate, index)
          : g_ascii_dtostr (number, sizeof number,
                            tandem_parameter_set_get_number (candidate, index)), error)) {
      g_prefix_error_literal (error, _("the space has values that are not taken: "));
      return FALSE;
    }
  }
  return TRUE;
}

/* "column-3" of a table that has as many. */
static gboolean
is_column (TuneObjective *self, const char *name)
{
  guint64 number;

  return self->options->table != NULL && g_str_has_prefix (name, "column-") &&
      g_ascii_string_to_unsigned (name + strlen ("column-"), 10, 1,
                                  tandem_dataset_get_width (self->data), &number, NULL);
}

gboolean
tune_objective_check_space (TuneObjective *self, TandemSearchSpace *space, GError **error)
{
  g_autoptr (TandemClassifier) classifier = tandem_classifier_new (self->options->model, error);
  guint i;

  for (i = 0; classifier != NULL && i < tandem_search_space_get_n_parameters (space); i++) {
    const char *name = tandem_search_space_get_name (space, i);

    if (is_column (self, name))
      continue;
    if (g_object_class_find_property (G_OBJECT_GET_CLASS (classifier), name) != NULL) {
      if (!check_values (classifier, space, i, error))
        return FALSE;
      continue;
    }
    g_set_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE,
                 _("the space has \"%s\", which is no option of %s"), name, self->options->model);
    return FALSE;
  }
  return classifier != NULL;
}

char **
tune_list_options (TandemParameterSet *candidate)
{
  TandemSearchSpace *space = tandem_parameter_set_get_space (candidate);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];
  guint i;

  for (i = 0; i < tandem_search_space_get_n_parameters (space); i++) {
    if (!tandem_parameter_set_has (candidate, i))
      continue;
    g_strv_builder_add (builder, tandem_search_space_get_name (space, i));
    if (tandem_search_space_get_kind (space, i) == TANDEM_PARAMETER_KIND_CATEGORICAL)
      g_strv_builder_add (builder, tandem_parameter_set_get_text (candidate, i));
    else
      g_strv_builder_add (builder, g_ascii_dtostr (buffer, sizeof buffer,
                                                   tandem_parameter_set_get_number (candidate, i)));
  }
  return g_strv_builder_end (builder);
}

/* The seed is that of all candidates: that one is better than another shall not be its luck. */
static TandemEvaluation *
tune_objective_evaluate (TandemObjective *objective, TandemParameterSet *candidate, guint64 seed,
                         double fidelity, GCancellable *cancellable, GError **error)
{
  TuneObjective *self = TUNE_OBJECTIVE (objective);
  g_auto (GStrv) options = tune_list_options (candidate);
  double values[G_N_ELEMENTS (self->options->measures)];
  TandemEvaluation *evaluation;
  TandemMeasures measures;
  guint i;

  if (!tandem_assessment_run (self->assessment, (const char *const *) options, fidelity, &measures,
                              NULL, cancellable, error))
    return NULL;
  for (i = 0; i < self->options->n_measures; i++)
    values[i] = tandem_measure_to_cost (self->options->measures[i],
                                        measures.values[self->options->measures[i]]);
  evaluation = tandem_evaluation_new (self->options->n_measures, values);
  evaluation->metrics = tune_measures_to_json (&measures, self->measures_time);
  return evaluation;
}

static void
tune_objective_interface_init (TandemObjectiveInterface *iface)
{
  iface->evaluate = tune_objective_evaluate;
}

char *
tune_measures_to_json (const TandemMeasures *measures, gboolean with_time)
{
  g_autoptr (GString) text = g_string_new ("{");
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];
  guint i;

  for (i = 0; i < TANDEM_N_MEASURES; i++) {
    if (i == TANDEM_MEASURE_MILLISECONDS && !with_time)
      continue;
    g_string_append_printf (text, "\"%s\": %s, ", tandem_measure_get_name (i),
                            g_ascii_formatd (buffer, sizeof buffer, "%.10g", measures->values[i]));
  }
  g_string_append_printf (text, "\"fit-seconds\": %s}",
                          g_ascii_formatd (buffer, sizeof buffer, "%.4g", measures->fit_seconds));
  return g_string_free (g_steal_pointer (&text), FALSE);
}
