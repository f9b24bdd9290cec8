/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-assessment.h"

#include <stdlib.h>
#include <string.h>

#include "base/tandem-random-private.h"

/* Rows whose time is taken, and how often. */
#define TIMED_ROWS 64
#define TIMES 5

#define COLUMN_PREFIX "column-"

typedef struct
{
  guint *train;
  guint n_train;
  guint *held_out;
  guint n_held_out;
} Part;

struct _TandemAssessment
{
  char *kind;
  TandemDataset *data;
  Part *parts;                  /* one, or as many as there are folds */
  guint n_parts;
  GPtrArray *fixed;             /* char *: name, value, ... */
  gboolean measures_time;
};

static const char *const names[] = { "accuracy", "mse", "mse-cross-entropy", "bytes",
                                     "multiply-adds", "milliseconds" };

const char *
tandem_measure_get_name (TandemMeasure measure)
{
  return names[measure];
}

gboolean
tandem_measure_parse (const char *name, TandemMeasure *measure, GError **error)
{
  g_autofree char *all = NULL;
  guint i;

  for (i = 0; i < TANDEM_N_MEASURES; i++) {
    if (g_str_equal (names[i], name)) {
      *measure = i;
      return TRUE;
    }
  }
  all = g_strjoin (", ", names[0], names[1], names[2], names[3], names[4], names[5], NULL);
  g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION,
               "\"%s\" is not measured; %s are", name, all);
  return FALSE;
}

double
tandem_measure_to_cost (TandemMeasure measure, double value)
{
  return measure == TANDEM_MEASURE_ACCURACY ? 1.0 - value : value;
}

static TandemAssessment *
make (const char *kind, TandemDataset *data, guint n_parts)
{
  TandemAssessment *self = g_new0 (TandemAssessment, 1);

  self->kind = g_strdup (kind);
  self->data = g_object_ref (data);
  self->n_parts = n_parts;
  self->parts = g_new0 (Part, n_parts);
  self->fixed = g_ptr_array_new_with_free_func (g_free);
  return self;
}

TandemAssessment *
tandem_assessment_new (const char *kind, TandemDataset *data, const guint *train, guint n_train,
                       const guint *held_out, guint n_held_out)
{
  TandemAssessment *self = make (kind, data, 1);

  self->parts[0] = (Part) { g_memdup2 (train, n_train * sizeof *train), n_train,
                            g_memdup2 (held_out, n_held_out * sizeof *held_out), n_held_out };
  return self;
}

TandemAssessment *
tandem_assessment_new_folds (const char *kind, TandemDataset *data, guint n_folds, guint64 seed)
{
  TandemAssessment *self = make (kind, data, n_folds);
  g_autofree guint8 *folds = tandem_dataset_make_folds (data, n_folds, seed);
  guint i;

  for (i = 0; i < n_folds; i++) {
    Part *part = &self->parts[i];

    part->train = tandem_dataset_list_fold (data, folds, i, TRUE, &part->n_train);
    part->held_out = tandem_dataset_list_fold (data, folds, i, FALSE, &part->n_held_out);
  }
  return self;
}

void
tandem_assessment_free (TandemAssessment *self)
{
  guint i;

  for (i = 0; i < self->n_parts; i++) {
    g_free (self->parts[i].train);
    g_free (self->parts[i].held_out);
  }
  g_free (self->parts);
  g_free (self->kind);
  g_object_unref (self->data);
  g_ptr_array_unref (self->fixed);
  g_free (self);
}

void
tandem_assessment_set (TandemAssessment *self, const char *name, const char *value)
{
  g_ptr_array_add (self->fixed, g_strdup (name));
  g_ptr_array_add (self->fixed, g_strdup (value));
}

void
tandem_assessment_set_measures_time (TandemAssessment *self, gboolean measures)
{
  self->measures_time = measures;
}

static gboolean
is_column (const char *name)
{
  return g_str_has_prefix (name, COLUMN_PREFIX);
}

/* The data without columns that the options leave out: the data itself, or a copy. */
static TandemDataset *
select_columns (TandemAssessment *self, const char *const *options, GError **error)
{
  const guint width = tandem_dataset_get_width (self->data);
  const guint n_rows = tandem_dataset_get_n_rows (self->data);
  g_autofree guint8 *is_left_out = g_malloc0 (MAX (width, 1));
  g_autofree float *values = NULL;
  guint n_left_out = 0, i, k;
  gsize at = 0;
  guint64 column;

  for (; *options != NULL; options += 2) {
    if (!is_column (options[0]))
      continue;
    if (!g_ascii_string_to_unsigned (options[0] + strlen (COLUMN_PREFIX), 10, 1, MAX (width, 1),
                                     &column, NULL) || width == 0) {
      g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION,
                   "\"%s\" is none of %u columns", options[0], width);
      return NULL;
    }
    if (g_ascii_strtod (options[1], NULL) < 0.5 && !is_left_out[column - 1]++)
      n_left_out++;
  }
  if (n_left_out == 0)
    return g_object_ref (self->data);
  if (n_left_out == width) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "all of %u columns are left out", width);
    return NULL;
  }
  values = g_new (float, (gsize) n_rows * (width - n_left_out));
  for (i = 0; i < n_rows; i++)
    for (k = 0; k < width; k++)
      if (!is_left_out[k])
        values[at++] = tandem_dataset_get_row (self->data, i)[k];
  return tandem_dataset_new_rows (values, n_rows, width - n_left_out,
                                  tandem_dataset_get_labels (self->data),
                                  tandem_dataset_get_n_classes (self->data), error);
}

static gboolean
set_options (TandemClassifier *classifier, const char *const *options, GError **error)
{
  for (; *options != NULL; options += 2)
    if (!is_column (options[0]) &&
        !tandem_classifier_set_option (classifier, options[0], options[1], error))
      return FALSE;
  return TRUE;
}

static TandemClassifier *
make_classifier (TandemAssessment *self, const char *const *options, GError **error)
{
  g_autoptr (TandemClassifier) classifier = tandem_classifier_new (self->kind, error);
  guint i;

  if (classifier == NULL)
    return NULL;
  for (i = 0; i < self->fixed->len; i += 2)
    if (!tandem_classifier_set_option (classifier, g_ptr_array_index (self->fixed, i),
                                       g_ptr_array_index (self->fixed, i + 1), error))
      return NULL;
  return set_options (classifier, options, error) ? g_steal_pointer (&classifier) : NULL;
}

static gboolean
is_right (const float *scores, guint n_classes, gint32 label)
{
  guint best = 0, i;

  for (i = 1; i < n_classes; i++)
    if (scores[i] > scores[best])
      best = i;
  return best == (guint) label;
}

gboolean
tandem_assessment_measure (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                           guint n_rows, TandemMeasures *measures, GCancellable *cancellable,
                           GError **error)
{
  const guint n_classes = tandem_classifier_get_n_classes (classifier);
  g_autofree float *scores = g_new (float, (gsize) n_rows * n_classes);
  const gint32 *labels = tandem_dataset_get_labels (data);
  guint i;

  *measures = (TandemMeasures) { { 0 } };
  if (!tandem_classifier_predict (classifier, data, rows, n_rows, scores, cancellable, error))
    return FALSE;
  for (i = 0; i < n_rows; i++) {
    const float *row = scores + (gsize) i * n_classes;
    const gint32 label = labels[rows[i]];

    if (label < 0 || label >= (gint32) n_classes) {
      g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                   "row %u has no label that the classifier knows", rows[i]);
      return FALSE;
    }
    measures->values[TANDEM_MEASURE_ACCURACY] += (double) is_right (row, n_classes, label) / n_rows;
    measures->values[TANDEM_MEASURE_MSE] +=
        tandem_classifier_loss_of_row (TANDEM_CLASSIFIER_MSE, row, n_classes, label, n_rows, NULL);
    measures->values[TANDEM_MEASURE_MSE_CROSS_ENTROPY] +=
        tandem_classifier_loss_of_row (TANDEM_CLASSIFIER_MSE_CROSS_ENTROPY, row, n_classes, label,
                                       n_rows, NULL);
  }
  return TRUE;
}

/* A new data set of some rows, of which nothing is computed yet. */
static TandemDataset *
copy_rows (TandemDataset *data, const guint *rows, guint n, GError **error)
{
  const guint width = tandem_dataset_get_width (data);
  const guint n_classes = tandem_dataset_get_n_classes (data);
  g_autofree gint32 *labels = g_new (gint32, n);
  g_autofree GBytes **texts = NULL;
  g_autofree float *values = NULL;
  guint i;

  for (i = 0; i < n; i++)
    labels[i] = tandem_dataset_get_labels (data)[rows[i]];
  if (tandem_dataset_is_text (data)) {
    texts = g_new (GBytes *, n);
    for (i = 0; i < n; i++)
      texts[i] = tandem_dataset_get_text (data, rows[i]);
    return tandem_dataset_new_texts (texts, labels, n, n_classes, error);
  }
  values = g_new (float, (gsize) n * width);
  for (i = 0; i < n; i++)
    memcpy (values + (gsize) i * width, tandem_dataset_get_row (data, rows[i]),
            width * sizeof (float));
  return tandem_dataset_new_rows (values, n, width, labels, n_classes, error);
}

static int
compare (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

static gboolean
measure_time (TandemClassifier *classifier, TandemDataset *data, const guint *rows, guint n_rows,
              double *milliseconds, GCancellable *cancellable, GError **error)
{
  const guint n = MIN (n_rows, TIMED_ROWS);
  g_autofree float *scores = g_new (float, n * tandem_classifier_get_n_classes (classifier));
  guint all[TIMED_ROWS], i;
  double times[TIMES];

  for (i = 0; i < n; i++)
    all[i] = i;
  for (i = 0; i < TIMES; i++) {
    g_autoptr (TandemDataset) fresh = copy_rows (data, rows, n, error);
    gint64 start = g_get_monotonic_time ();

    if (fresh == NULL ||
        !tandem_classifier_predict (classifier, fresh, all, n, scores, cancellable, error))
      return FALSE;
    times[i] = (double) (g_get_monotonic_time () - start) / 1e3 / n;
  }
  qsort (times, TIMES, sizeof *times, compare);
  *milliseconds = times[TIMES / 2];
  return TRUE;
}

/* The rows to learn from: a share of them, the same for all candidates, and in their order. */
static guint *
choose_rows (const Part *part, double fidelity, guint *n_rows)
{
  guint *rows = g_new (guint, part->n_train), i, n = 0;
  guint64 key = tandem_random_key (0, tandem_random_hash ("fidelity"));

  for (i = 0; i < part->n_train; i++)
    if (fidelity >= 1.0 || tandem_random_uniform (key, part->train[i]) < fidelity)
      rows[n++] = part->train[i];
  *n_rows = n;
  return rows;
}

static gboolean
run_part (TandemAssessment *self, const Part *part, TandemClassifier *classifier,
          TandemDataset *data, double fidelity, TandemMeasures *measures,
          GCancellable *cancellable, GError **error)
{
  guint n_rows;
  g_autofree guint *rows = choose_rows (part, fidelity, &n_rows);
  gint64 start = g_get_monotonic_time ();
  double *values = measures->values, seconds;

  if (n_rows == 0 || part->n_held_out == 0) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "%u rows to learn from and %u to measure with; both are needed", n_rows,
                 part->n_held_out);
    return FALSE;
  }
  if (!tandem_classifier_fit (classifier, data, rows, n_rows, cancellable, error))
    return FALSE;
  seconds = (double) (g_get_monotonic_time () - start) / 1e6;
  if (!tandem_assessment_measure (classifier, data, part->held_out, part->n_held_out, measures,
                                  cancellable, error))
    return FALSE;
  measures->fit_seconds = seconds;
  values[TANDEM_MEASURE_BYTES] = (double) tandem_classifier_get_size (classifier);
  return tandem_classifier_get_cost (classifier, data, part->held_out,
                                     MIN (part->n_held_out, TIMED_ROWS),
                                     &values[TANDEM_MEASURE_MULTIPLY_ADDS], error) &&
      (!self->measures_time ||
       measure_time (classifier, data, part->held_out, part->n_held_out,
                     &values[TANDEM_MEASURE_MILLISECONDS], cancellable, error));
}

gboolean
tandem_assessment_run (TandemAssessment *self, const char *const *options, double fidelity,
                       TandemMeasures *measures, TandemClassifier **classifier,
                       GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemClassifier) own = make_classifier (self, options, error);
  g_autoptr (TandemDataset) data = own != NULL ? select_columns (self, options, error) : NULL;
  guint n_held_out = 0, i, k;

  *measures = (TandemMeasures) { { 0 } };
  if (data == NULL)
    return FALSE;
  for (i = 0; i < self->n_parts; i++)
    n_held_out += self->parts[i].n_held_out;
  for (i = 0; i < self->n_parts; i++) {
    const Part *part = &self->parts[i];
    TandemMeasures here;

    if (!run_part (self, part, own, data, fidelity, &here, cancellable, error))
      return FALSE;
    for (k = 0; k < TANDEM_N_MEASURES; k++)
      measures->values[k] += here.values[k] * (k < TANDEM_MEASURE_BYTES
                                               ? (double) part->n_held_out / n_held_out
                                               : 1.0 / self->n_parts);
    measures->fit_seconds += here.fit_seconds;
  }
  if (classifier != NULL)
    *classifier = g_steal_pointer (&own);
  return TRUE;
}

TandemClassifier *
tandem_assessment_fit_all (TandemAssessment *self, const char *const *options,
                           GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemClassifier) classifier = make_classifier (self, options, error);
  g_autoptr (TandemDataset) data = NULL;
  const Part *part = &self->parts[0];
  g_autofree guint *rows = g_new (guint, part->n_train + part->n_held_out);

  data = classifier != NULL ? select_columns (self, options, error) : NULL;
  if (data == NULL)
    return NULL;
  memcpy (rows, part->train, part->n_train * sizeof *rows);
  memcpy (rows + part->n_train, part->held_out, part->n_held_out * sizeof *rows);
  return tandem_classifier_fit (classifier, data, rows, part->n_train + part->n_held_out,
                                cancellable, error) ? g_steal_pointer (&classifier) : NULL;
}
