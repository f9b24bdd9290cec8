/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-features.h"

#include <math.h>
#include <stdlib.h>

#include "tandem-hash-index.h"

/* How often each n-gram is counted before the first text has it. */
#define SMOOTHING 1.0

/* Of a standard deviation below it nothing is to be learned. */
#define SMALLEST_DEVIATION 1e-12

void
tandem_features_free (TandemFeatures *self)
{
  g_free (self->hashes);
  g_free (self->scales);
  g_free (self->means);
  g_free (self);
}

typedef struct
{
  guint64 hash;
  guint32 counts[2];            /* texts of class 0 and of the others that have it */
} Term;

static int
compare_frequency (const void *a, const void *b)
{
  const Term *x = a, *y = b;
  guint64 n_x = (guint64) x->counts[0] + x->counts[1], n_y = (guint64) y->counts[0] + y->counts[1];

  return n_x != n_y ? (n_x < n_y) - (n_x > n_y) : (x->hash > y->hash) - (x->hash < y->hash);
}

static int
compare_hash (const void *a, const void *b)
{
  const Term *x = a, *y = b;

  return (x->hash > y->hash) - (x->hash < y->hash);
}

/* The terms that count, by their hashes. */
static GArray *
choose_terms (const TandemFeatureOptions *options, TandemDataset *data, const TandemTerms *terms,
              const guint *rows, guint n_rows)
{
  const gint32 *labels = tandem_dataset_get_labels (data);
  g_autofree guint32 *counts = g_new0 (guint32, 2 * (gsize) terms->n_terms);
  GArray *chosen = g_array_new (FALSE, FALSE, sizeof (Term));
  guint i;
  gsize k;

  for (i = 0; i < n_rows; i++)
    for (k = terms->offsets[rows[i]]; k < terms->offsets[rows[i] + 1]; k++)
      counts[2 * (gsize) terms->terms[k] + (labels[rows[i]] > 0)]++;
  for (i = 0; i < terms->n_terms; i++) {
    Term term = { terms->hashes[i], { counts[2 * (gsize) i], counts[2 * (gsize) i + 1] } };

    if ((guint64) term.counts[0] + term.counts[1] >= MAX (options->min_texts, 1))
      g_array_append_val (chosen, term);
  }
  if (options->max_features > 0 && chosen->len > options->max_features) {
    g_array_sort (chosen, compare_frequency);
    g_array_set_size (chosen, options->max_features);
  }
  if (chosen->len > 0)
    qsort (chosen->data, chosen->len, sizeof (Term), compare_hash);
  return chosen;
}

/* What n-grams count, as TandemNgramWeighting has it. */
static void
set_scales (TandemFeatures *self, GArray *chosen, TandemNgramWeighting weighting, guint n_rows)
{
  double sums[2] = { SMOOTHING * self->n, SMOOTHING * self->n };
  guint i;

  for (i = 0; i < self->n; i++) {
    const Term *term = &g_array_index (chosen, Term, i);

    self->hashes[i] = term->hash;
    sums[0] += term->counts[0];
    sums[1] += term->counts[1];
  }
  for (i = 0; i < self->n; i++) {
    const Term *term = &g_array_index (chosen, Term, i);
    double zeros = term->counts[0], ones = term->counts[1];

    if (weighting == TANDEM_NGRAM_NB)
      self->scales[i] = log ((ones + SMOOTHING) / sums[1] / ((zeros + SMOOTHING) / sums[0]));
    else if (weighting == TANDEM_NGRAM_TFIDF)
      self->scales[i] = log (n_rows / MAX (zeros + ones, 1.0)) + 1.0;
    else
      self->scales[i] = 1.0f;
  }
}

static gboolean
choose_ngrams (TandemFeatures *self, const TandemFeatureOptions *options, TandemDataset *data,
               const guint *rows, guint n_rows, GCancellable *cancellable, GError **error)
{
  const TandemTerms *terms = tandem_dataset_get_ngrams (data, options->order, cancellable, error);
  g_autoptr (GArray) chosen = NULL;

  if (terms == NULL)
    return FALSE;
  if (options->weighting == TANDEM_NGRAM_NB && tandem_dataset_get_n_classes (data) != 2) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "%u classes have no naive Bayes ratio; two have",
                 tandem_dataset_get_n_classes (data));
    return FALSE;
  }
  chosen = choose_terms (options, data, terms, rows, n_rows);
  if (chosen->len == 0) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "no n-gram stands in %u texts; give more texts or a smaller number",
                 MAX (options->min_texts, 1));
    return FALSE;
  }
  self->n = chosen->len;
  self->order = options->order;
  self->hashes = g_new (guint64, self->n);
  self->scales = g_new (float, self->n);
  set_scales (self, chosen, options->weighting, n_rows);
  return TRUE;
}

static void
standardise (TandemFeatures *self, TandemDataset *data, const guint *rows, guint n_rows)
{
  guint k, i;

  self->n = tandem_dataset_get_width (data);
  self->means = g_new (float, self->n);
  self->scales = g_new (float, self->n);
  for (k = 0; k < self->n; k++) {
    double sum = 0.0, squares = 0.0, mean, deviation;
    guint n = 0;

    for (i = 0; i < n_rows; i++) {
      float x = tandem_dataset_get_row (data, rows[i])[k];

      if (isnan (x))
        continue;
      sum += x;
      n++;
    }
    mean = n > 0 ? sum / n : 0.0;
    for (i = 0; i < n_rows; i++) {
      float x = tandem_dataset_get_row (data, rows[i])[k];

      if (!isnan (x))
        squares += (x - mean) * (x - mean);
    }
    deviation = n > 0 ? sqrt (squares / n) : 0.0;
    self->means[k] = (float) mean;
    self->scales[k] = deviation > SMALLEST_DEVIATION * MAX (fabs (mean), 1.0)
      ? (float) (1.0 / deviation) : 0.0f;
  }
}

TandemFeatures *
tandem_features_new (const TandemFeatureOptions *options, TandemDataset *data, const guint *rows,
                     guint n_rows, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemFeatures) self = g_new0 (TandemFeatures, 1);

  self->is_text = tandem_dataset_is_text (data);
  if (!self->is_text)
    standardise (self, data, rows, n_rows);
  else if (!choose_ngrams (self, options, data, rows, n_rows, cancellable, error))
    return NULL;
  return g_steal_pointer (&self);
}

guint64
tandem_features_get_size (const TandemFeatures *self)
{
  return (guint64) self->n * (self->is_text ? sizeof (guint64) + sizeof (float)
                                            : 2 * sizeof (float));
}

gboolean
tandem_features_write (const TandemFeatures *self, GHashTable *tensors, GHashTable *metadata,
                       GError **error)
{
  g_hash_table_insert (metadata, g_strdup ("tandem.ngrams.order"),
                       g_strdup_printf ("%u", self->order));
  return tandem_classifier_put_tensor (tensors, "features.scales", TANDEM_DTYPE_F32, 0, self->n,
                                       self->scales, error) &&
      (self->is_text
       ? tandem_classifier_put_tensor (tensors, "features.hashes", TANDEM_DTYPE_I64, 0, self->n,
                                       self->hashes, error)
       : tandem_classifier_put_tensor (tensors, "features.means", TANDEM_DTYPE_F32, 0, self->n,
                                       self->means, error));
}

TandemFeatures *
tandem_features_read (TandemSafetensors *file, GError **error)
{
  g_autoptr (TandemFeatures) self = g_new0 (TandemFeatures, 1);
  guint64 order;
  gsize n;
  guint i;

  if (!tandem_classifier_take_number (file, "tandem.ngrams.order", 0, TANDEM_NGRAM_MAX_ORDER,
                                      &order, error))
    return NULL;
  self->order = order;
  self->is_text = order > 0;
  self->scales = tandem_classifier_take_tensor (file, "features.scales", TANDEM_DTYPE_F32, 0, &n,
                                                error);
  if (self->scales == NULL)
    return NULL;
  self->n = n;
  if (!self->is_text) {
    self->means = tandem_classifier_take_tensor (file, "features.means", TANDEM_DTYPE_F32, n, NULL,
                                                 error);
    return self->means != NULL ? g_steal_pointer (&self) : NULL;
  }
  self->hashes = tandem_classifier_take_tensor (file, "features.hashes", TANDEM_DTYPE_I64, n, NULL,
                                                error);
  if (self->hashes == NULL)
    return NULL;
  for (i = 1; i < self->n; i++) {
    if (self->hashes[i] > self->hashes[i - 1])
      continue;
    tandem_classifier_fail_file (error, "its n-grams are not in order");
    return NULL;
  }
  return g_steal_pointer (&self);
}

static void
map_terms (TandemFeatureRows *self)
{
  g_autoptr (TandemHashIndex) index = tandem_hash_index_new ();
  guint i;

  for (i = 0; i < self->features->n; i++)
    tandem_hash_index_add (index, self->features->hashes[i]);
  self->map = g_new (guint32, MAX (self->terms->n_terms, 1));
  for (i = 0; i < self->terms->n_terms; i++)
    self->map[i] = tandem_hash_index_find (index, self->terms->hashes[i]);
  for (i = 0; i < tandem_dataset_get_n_rows (self->data); i++)
    self->max_row = MAX (self->max_row, self->terms->offsets[i + 1] - self->terms->offsets[i]);
}

TandemFeatureRows *
tandem_feature_rows_new (const TandemFeatures *features, TandemDataset *data,
                         GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemFeatureRows) self = NULL;
  gboolean is_text = tandem_dataset_is_text (data);

  if (features->is_text != is_text ||
      (!is_text && tandem_dataset_get_width (data) != features->n)) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "the classifier learned from %s, and there are %s; %u and %u numbers in a row",
                 features->is_text ? "texts" : "numbers", is_text ? "texts" : "numbers",
                 features->n, tandem_dataset_get_width (data));
    return NULL;
  }
  self = g_new0 (TandemFeatureRows, 1);
  self->features = features;
  self->data = g_object_ref (data);
  self->max_row = features->n;
  if (is_text) {
    self->max_row = 0;
    self->terms = tandem_dataset_get_ngrams (data, features->order, cancellable, error);
    if (self->terms == NULL)
      return NULL;
    map_terms (self);
  }
  return g_steal_pointer (&self);
}

void
tandem_feature_rows_free (TandemFeatureRows *self)
{
  g_clear_object (&self->data);
  g_free (self->map);
  g_free (self);
}

guint
tandem_feature_rows_get (const TandemFeatureRows *self, guint row, guint32 *columns, float *values)
{
  const TandemFeatures *features = self->features;
  double squares = 0.0;
  float inverse;
  guint n = 0, i;
  gsize k;

  if (self->terms == NULL) {
    const float *numbers = tandem_dataset_get_row (self->data, row);

    for (i = 0; i < features->n; i++) {
      float x = (numbers[i] - features->means[i]) * features->scales[i];

      if (isnan (numbers[i]) || x == 0.0f)
        continue;
      columns[n] = i;
      values[n++] = x;
    }
    return n;
  }
  for (k = self->terms->offsets[row]; k < self->terms->offsets[row + 1]; k++) {
    guint32 feature = self->map[self->terms->terms[k]];

    if (feature == TANDEM_HASH_INDEX_NONE || features->scales[feature] == 0.0f)
      continue;
    columns[n] = feature;
    values[n++] = features->scales[feature];
    squares += (double) features->scales[feature] * features->scales[feature];
  }
  inverse = squares > 0.0 ? (float) (1.0 / sqrt (squares)) : 0.0f;
  for (i = 0; i < n; i++)
    values[i] *= inverse;
  return n;
}
