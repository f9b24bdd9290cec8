/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-cnn-classifier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tandem-hash-index.h"

#define MAX_CONVOLUTIONS 8
#define MAX_WORDS_OF_FILTER 16

/* Of the first embeddings. */
#define WORD_DEVIATION 0.1

/* Behind the end of a text that is shorter than the longest filter. */
#define NO_WORD G_MAXUINT32

/* What it was made with, whatever the properties say now. */
typedef struct
{
  guint width;                  /* of embeddings */
  guint n_filters;              /* of each convolution */
  guint n_convolutions;
  guint n_words[MAX_CONVOLUTIONS];      /* that a filter of each sees */
  guint longest;                /* of these */
  guint max_length;
} Shape;

struct _TandemCnnClassifier
{
  TandemNetwork parent;

  guint embedding_size;
  guint filters;
  char *widths;                 /* "3,4,5" */
  guint max_words;
  guint min_count;
  guint max_length;

  Shape shape;
  guint64 *hashes;              /* [n_words], ascending */
  guint n_words;

  const TandemTerms *terms;     /* of the data that is open, which outlives it */
  guint32 *map;                 /* which word a term is */

  /* the forward pass: words of all texts and where those of each begin; of each text the highest
   * values of all filters and where they are: [n_rows, n_convolutions, n_filters] */
  GArray *words;                /* guint32 */
  GArray *offsets;              /* guint */
  guint n_rows;
  guint64 step;
  float *highest;
  float *pooled;                /* after units and dropout */
  guint *places;
  gsize capacity;               /* rows that these have room for */
  GArray *windows;              /* float: what the longest filter sees at each place */
  GArray *values;               /* float: what filters of one convolution give there */
};

enum
{
  PROP_EMBEDDING_SIZE = 1,
  PROP_FILTERS,
  PROP_WIDTHS,
  PROP_MAX_WORDS,
  PROP_MIN_COUNT,
  PROP_MAX_LENGTH,
};

G_DEFINE_FINAL_TYPE (TandemCnnClassifier, tandem_cnn_classifier, TANDEM_TYPE_NETWORK)

static void
free_rows (TandemCnnClassifier *self)
{
  g_clear_pointer (&self->highest, g_free);
  g_clear_pointer (&self->pooled, g_free);
  g_clear_pointer (&self->places, g_free);
  self->capacity = 0;
}

static void
tandem_cnn_classifier_finalize (GObject *object)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (object);

  free_rows (self);
  g_free (self->widths);
  g_free (self->hashes);
  g_free (self->map);
  g_array_unref (self->words);
  g_array_unref (self->offsets);
  g_array_unref (self->windows);
  g_array_unref (self->values);
  G_OBJECT_CLASS (tandem_cnn_classifier_parent_class)->finalize (object);
}

static void
tandem_cnn_classifier_set_property (GObject *object, guint id, const GValue *value,
                                    GParamSpec *spec)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (object);

  switch (id) {
    case PROP_EMBEDDING_SIZE:
      self->embedding_size = g_value_get_uint (value);
      break;
    case PROP_FILTERS:
      self->filters = g_value_get_uint (value);
      break;
    case PROP_WIDTHS:
      g_free (self->widths);
      self->widths = g_value_dup_string (value);
      break;
    case PROP_MAX_WORDS:
      self->max_words = g_value_get_uint (value);
      break;
    case PROP_MIN_COUNT:
      self->min_count = g_value_get_uint (value);
      break;
    case PROP_MAX_LENGTH:
      self->max_length = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
      break;
  }
}

static void
tandem_cnn_classifier_get_property (GObject *object, guint id, GValue *value, GParamSpec *spec)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (object);

  switch (id) {
    case PROP_EMBEDDING_SIZE:
      g_value_set_uint (value, self->embedding_size);
      break;
    case PROP_FILTERS:
      g_value_set_uint (value, self->filters);
      break;
    case PROP_WIDTHS:
      g_value_set_string (value, self->widths);
      break;
    case PROP_MAX_WORDS:
      g_value_set_uint (value, self->max_words);
      break;
    case PROP_MIN_COUNT:
      g_value_set_uint (value, self->min_count);
      break;
    case PROP_MAX_LENGTH:
      g_value_set_uint (value, self->max_length);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
      break;
  }
}

static gboolean
set_shape (TandemCnnClassifier *self, GError **error)
{
  g_auto (GStrv) parts = g_strsplit_set (self->widths != NULL ? self->widths : "", ",+", -1);
  guint n = g_strv_length (parts), i, k;
  guint64 number = 0;

  self->shape = (Shape) { self->embedding_size, self->filters, n, { 0 }, 0, self->max_length };
  for (i = 0; i < n && n <= MAX_CONVOLUTIONS; i++) {
    if (!g_ascii_string_to_unsigned (parts[i], 10, 1, MAX_WORDS_OF_FILTER, &number, NULL))
      break;
    for (k = 0; k < i && self->shape.n_words[k] != number; k++)
      ;
    if (k < i)
      break;
    self->shape.n_words[i] = (guint) number;
    self->shape.longest = MAX (self->shape.longest, (guint) number);
  }
  if (i == n && n > 0)
    return TRUE;
  g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION,
               "widths is \"%s\"; it takes up to %d different numbers from 1 to %d, as 3+4+5",
               self->widths != NULL ? self->widths : "", MAX_CONVOLUTIONS, MAX_WORDS_OF_FILTER);
  return FALSE;
}

typedef struct
{
  guint64 hash;
  guint count;
} Word;

static int
compare_count (const void *a, const void *b)
{
  const Word *x = a, *y = b;

  return x->count != y->count ? (x->count < y->count) - (x->count > y->count)
                              : (x->hash > y->hash) - (x->hash < y->hash);
}

static int
compare_hash (const void *a, const void *b)
{
  const Word *x = a, *y = b;

  return (x->hash > y->hash) - (x->hash < y->hash);
}

/* The most frequent words of some rows. */
static gboolean
choose_words (TandemCnnClassifier *self, const TandemTerms *terms, const guint *rows,
              guint n_rows, GError **error)
{
  g_autofree guint *counts = g_new0 (guint, MAX (terms->n_terms, 1));
  g_autoptr (GArray) chosen = g_array_new (FALSE, FALSE, sizeof (Word));
  guint i;
  gsize k;

  for (i = 0; i < n_rows; i++)
    for (k = terms->offsets[rows[i]]; k < terms->offsets[rows[i] + 1]; k++)
      counts[terms->terms[k]]++;
  for (i = 0; i < terms->n_terms; i++) {
    Word word = { terms->hashes[i], counts[i] };

    if (counts[i] >= MAX (self->min_count, 1))
      g_array_append_val (chosen, word);
  }
  if (chosen->len == 0) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "no word occurs %u times; give more texts or a smaller number", self->min_count);
    return FALSE;
  }
  g_array_sort (chosen, compare_count);
  g_array_set_size (chosen, MIN (chosen->len, self->max_words));
  g_array_sort (chosen, compare_hash);
  self->n_words = chosen->len;
  self->hashes = g_new (guint64, chosen->len);
  for (i = 0; i < chosen->len; i++)
    self->hashes[i] = g_array_index (chosen, Word, i).hash;
  return TRUE;
}

static const TandemTerms *
get_terms (TandemDataset *data, GCancellable *cancellable, GError **error)
{
  if (tandem_dataset_is_text (data))
    return tandem_dataset_get_words (data, cancellable, error);
  g_set_error_literal (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                       "a convolutional network reads texts, and there are numbers");
  return NULL;
}

static gboolean
tandem_cnn_classifier_choose (TandemNetwork *network, TandemDataset *data, const guint *rows,
                              guint n_rows, GCancellable *cancellable, GError **error)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (network);
  const TandemTerms *terms = get_terms (data, cancellable, error);

  g_clear_pointer (&self->hashes, g_free);
  return terms != NULL && set_shape (self, error) &&
      choose_words (self, terms, rows, n_rows, error);
}

static void
tandem_cnn_classifier_add_blocks (TandemNetwork *network, guint n_classes)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (network);
  const Shape *shape = &self->shape;
  const guint n_pooled = shape->n_convolutions * shape->n_filters;
  guint i;

  free_rows (self);
  tandem_network_add_block (network, "embeddings", (gsize) self->n_words + 1, shape->width,
                            WORD_DEVIATION);
  for (i = 0; i < shape->n_convolutions; i++) {
    g_autofree char *weight = g_strdup_printf ("convolution-%u.weight", shape->n_words[i]);
    g_autofree char *bias = g_strdup_printf ("convolution-%u.bias", shape->n_words[i]);
    guint n_in = shape->n_words[i] * shape->width;

    tandem_network_add_block (network, g_intern_string (weight), shape->n_filters, n_in,
                              sqrt (2.0 / n_in));
    tandem_network_add_block (network, g_intern_string (bias), 0, shape->n_filters, 0.0);
  }
  tandem_network_add_block (network, "output.weight", n_classes, n_pooled, sqrt (2.0 / n_pooled));
  tandem_network_add_block (network, "output.bias", 0, n_classes, 0.0);
}

static gboolean
tandem_cnn_classifier_open (TandemNetwork *network, TandemDataset *data, GCancellable *cancellable,
                            GError **error)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (network);
  g_autoptr (TandemHashIndex) index = tandem_hash_index_new ();
  guint i;

  self->terms = get_terms (data, cancellable, error);
  if (self->terms == NULL)
    return FALSE;
  for (i = 0; i < self->n_words; i++)
    tandem_hash_index_add (index, self->hashes[i]);
  g_free (self->map);
  self->map = g_new (guint32, MAX (self->terms->n_terms, 1));
  for (i = 0; i < self->terms->n_terms; i++) {
    self->map[i] = tandem_hash_index_find (index, self->terms->hashes[i]);
    if (self->map[i] == TANDEM_HASH_INDEX_NONE)
      self->map[i] = self->n_words;
  }
  return TRUE;
}

static void
need_room (TandemCnnClassifier *self, guint n_rows)
{
  gsize n = (gsize) n_rows * self->shape.n_convolutions * self->shape.n_filters;

  if (n_rows <= self->capacity)
    return;
  free_rows (self);
  self->highest = g_new (float, n);
  self->pooled = g_new (float, n);
  self->places = g_new (guint, n);
  self->capacity = n_rows;
}

/* Words that are dropped become unknown ones. */
static void
collect_words (TandemCnnClassifier *self, const guint *rows, guint n_rows, guint64 step)
{
  guint i, n;
  gsize k;

  g_array_set_size (self->words, 0);
  g_array_set_size (self->offsets, n_rows + 1);
  g_array_index (self->offsets, guint, 0) = 0;
  for (i = 0; i < n_rows; i++) {
    gsize first = self->terms->offsets[rows[i]], end = self->terms->offsets[rows[i] + 1];

    if (end - first > self->shape.max_length)
      first = end - self->shape.max_length;
    for (k = first; k < end; k++) {
      guint32 word = self->map[self->terms->terms[k]];

      if (tandem_network_drops_input (TANDEM_NETWORK (self), step, i, (guint) (k - first)))
        word = self->n_words;
      g_array_append_val (self->words, word);
    }
    for (n = (guint) (end - first); n < self->shape.longest; n++)
      g_array_append_vals (self->words, (guint32[]) { NO_WORD }, 1);
    g_array_index (self->offsets, guint, i + 1) = self->words->len;
  }
}

/* windows[t, :] = the embeddings of words t, t + 1, ...; zeros behind the end. */
static void
fill_windows (TandemCnnClassifier *self, const guint32 *words, guint n)
{
  const float *table = tandem_network_get_weights (TANDEM_NETWORK (self), 0);
  const guint width = self->shape.width, longest = self->shape.longest;
  float *window;
  guint t, j;

  g_array_set_size (self->windows, n * longest * width);
  window = (float *) (gpointer) self->windows->data;
  for (t = 0; t < n; t++) {
    for (j = 0; j < longest; j++, window += width) {
      if (t + j < n && words[t + j] != NO_WORD)
        memcpy (window, table + (gsize) words[t + j] * width, width * sizeof (float));
      else
        memset (window, 0, width * sizeof (float));
    }
  }
}

/* values: [n, n_filters]; of each filter the highest one and the first place that has it. */
static void
find_highest (const float *values, guint n, guint n_filters, const float *bias, float *highest,
              guint *places)
{
  guint t, f;

  memcpy (highest, values, n_filters * sizeof (float));
  memset (places, 0, n_filters * sizeof *places);
  for (t = 1, values += n_filters; t < n; t++, values += n_filters) {
    for (f = 0; f < n_filters; f++) {
      places[f] = values[f] > highest[f] ? t : places[f];
      highest[f] = MAX (values[f], highest[f]);
    }
  }
  for (f = 0; f < n_filters; f++)
    highest[f] += bias[f];
}

static gboolean
convolve (TandemCnnClassifier *self, guint row, GError **error)
{
  TandemNetwork *network = TANDEM_NETWORK (self);
  const Shape *shape = &self->shape;
  const guint first = g_array_index (self->offsets, guint, row);
  const guint n = g_array_index (self->offsets, guint, row + 1) - first;
  gsize at = (gsize) row * shape->n_convolutions * shape->n_filters;
  guint i;

  fill_windows (self, &g_array_index (self->words, guint32, first), n);
  g_array_set_size (self->values, n * shape->n_filters);
  for (i = 0; i < shape->n_convolutions; i++, at += shape->n_filters) {
    const guint n_in = shape->n_words[i] * shape->width, n_places = n - shape->n_words[i] + 1;
    float *values = (float *) (gpointer) self->values->data;

    if (!tandem_gemm (FALSE, TRUE, n_places, shape->n_filters, n_in,
                      (const float *) (gconstpointer) self->windows->data,
                      (gsize) shape->longest * shape->width,
                      tandem_network_get_weights (network, 1 + 2 * i), n_in, 0.0f, values,
                      shape->n_filters, error))
      return FALSE;
    find_highest (values, n_places, shape->n_filters,
                  tandem_network_get_weights (network, 2 + 2 * i), self->highest + at,
                  self->places + at);
  }
  return TRUE;
}

static gboolean
tandem_cnn_classifier_forward (TandemNetwork *network, const guint *rows, guint n_rows,
                               guint64 step, float *scores, GError **error)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (network);
  const guint n_pooled = self->shape.n_convolutions * self->shape.n_filters;
  const guint output = 1 + 2 * self->shape.n_convolutions;
  TandemDropout dropout = tandem_network_get_dropout (network, 0, step);
  guint i;

  need_room (self, n_rows);
  self->n_rows = n_rows;
  self->step = step;
  collect_words (self, rows, n_rows, step);
  for (i = 0; i < n_rows; i++)
    if (!convolve (self, i, error))
      return FALSE;
  tandem_nonlinearity_forward (TANDEM_NONLINEARITY_RELU, self->highest, (gsize) n_rows * n_pooled,
                               self->pooled);
  tandem_dropout (&dropout, 0, 0, n_rows, n_pooled, self->pooled);
  return tandem_linear_train_forward (self->pooled, n_rows,
                                      tandem_network_get_weights (network, output),
                                      tandem_network_get_weights (network, output + 1), n_pooled,
                                      tandem_network_get_n_classes (network), scores, error);
}

/* A filter learns from the one place where it was highest. */
static void
learn_filter (TandemCnnClassifier *self, guint convolution, guint filter, const guint32 *words,
              float d)
{
  TandemNetwork *network = TANDEM_NETWORK (self);
  const guint width = self->shape.width, n = self->shape.n_words[convolution];
  const gsize at = (gsize) filter * n * width;
  const float *table = tandem_network_get_weights (network, 0);
  const float *weight = tandem_network_get_weights (network, 1 + 2 * convolution) + at;
  float *d_table = tandem_network_get_gradient (network, 0);
  float *d_weight = tandem_network_get_gradient (network, 1 + 2 * convolution) + at;
  guint j, k;

  tandem_network_get_gradient (network, 2 + 2 * convolution)[filter] += d;
  for (j = 0; j < n; j++, weight += width, d_weight += width) {
    const float *row = table + (gsize) words[j] * width;
    float *d_row = d_table + (gsize) words[j] * width;

    if (words[j] == NO_WORD)
      continue;
    tandem_network_touch (network, words[j]);
    for (k = 0; k < width; k++) {
      d_weight[k] += d * row[k];
      d_row[k] += d * weight[k];
    }
  }
}

static gboolean
tandem_cnn_classifier_backward (TandemNetwork *network, const float *d_scores, GError **error)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (network);
  const Shape *shape = &self->shape;
  const guint n_pooled = shape->n_convolutions * shape->n_filters;
  const guint output = 1 + 2 * shape->n_convolutions;
  TandemDropout dropout = tandem_network_get_dropout (network, 0, self->step);
  g_autofree float *d_pooled = g_new (float, (gsize) self->n_rows * n_pooled);
  guint row, k;

  if (!tandem_linear_train_backward (self->pooled, self->n_rows,
                                     tandem_network_get_weights (network, output), n_pooled,
                                     tandem_network_get_n_classes (network), d_scores, d_pooled,
                                     FALSE, tandem_network_get_gradient (network, output),
                                     tandem_network_get_gradient (network, output + 1), error))
    return FALSE;
  tandem_dropout (&dropout, 0, 0, self->n_rows, n_pooled, d_pooled);
  tandem_nonlinearity_backward (TANDEM_NONLINEARITY_RELU, self->highest, d_pooled,
                                (gsize) self->n_rows * n_pooled, d_pooled);
  for (row = 0; row < self->n_rows; row++) {
    const guint first = g_array_index (self->offsets, guint, row);
    const gsize at = (gsize) row * n_pooled;

    for (k = 0; k < n_pooled; k++)
      if (d_pooled[at + k] != 0.0f)
        learn_filter (self, k / shape->n_filters, k % shape->n_filters,
                      &g_array_index (self->words, guint32, first + self->places[at + k]),
                      d_pooled[at + k]);
  }
  return TRUE;
}

static double
tandem_cnn_classifier_get_cost (TandemNetwork *network, guint row)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (network);
  const Shape *shape = &self->shape;
  double n, cost;
  guint i;

  collect_words (self, &row, 1, 0);
  n = g_array_index (self->offsets, guint, 1);
  cost = (double) shape->n_convolutions * shape->n_filters * tandem_network_get_n_classes (network);
  for (i = 0; i < shape->n_convolutions; i++)
    cost += (n - shape->n_words[i] + 1) * shape->n_words[i] * shape->width * shape->n_filters;
  return cost;
}

static guint64
tandem_cnn_classifier_get_chosen_size (TandemNetwork *network)
{
  return (guint64) TANDEM_CNN_CLASSIFIER (network)->n_words * sizeof (guint64);
}

static gboolean
tandem_cnn_classifier_write_chosen (TandemNetwork *network, GHashTable *tensors,
                                    GHashTable *metadata, GError **error)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (network);

  return tandem_classifier_put_tensor (tensors, "words", TANDEM_DTYPE_I64, 0, self->n_words,
                                       self->hashes, error);
}

static gboolean
tandem_cnn_classifier_read_chosen (TandemNetwork *network, TandemSafetensors *file, GError **error)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (network);
  g_autoptr (GError) local = NULL;
  gsize n;
  guint i;

  if (!set_shape (self, &local))
    return tandem_classifier_fail_file (error, "%s", local->message);
  self->hashes = tandem_classifier_take_tensor (file, "words", TANDEM_DTYPE_I64, 0, &n, error);
  if (self->hashes == NULL)
    return FALSE;
  self->n_words = n;
  for (i = 1; i < self->n_words; i++)
    if (self->hashes[i] <= self->hashes[i - 1])
      return tandem_classifier_fail_file (error, "its words are not in order");
  return TRUE;
}

static void
tandem_cnn_classifier_class_init (TandemCnnClassifierClass *klass)
{
  GObjectClass *object = G_OBJECT_CLASS (klass);
  TandemNetworkClass *network = TANDEM_NETWORK_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  object->finalize = tandem_cnn_classifier_finalize;
  object->set_property = tandem_cnn_classifier_set_property;
  object->get_property = tandem_cnn_classifier_get_property;
  network->choose = tandem_cnn_classifier_choose;
  network->add_blocks = tandem_cnn_classifier_add_blocks;
  network->open = tandem_cnn_classifier_open;
  network->forward = tandem_cnn_classifier_forward;
  network->backward = tandem_cnn_classifier_backward;
  network->get_cost = tandem_cnn_classifier_get_cost;
  network->get_chosen_size = tandem_cnn_classifier_get_chosen_size;
  network->write_chosen = tandem_cnn_classifier_write_chosen;
  network->read_chosen = tandem_cnn_classifier_read_chosen;
  g_object_class_install_property (object, PROP_EMBEDDING_SIZE, g_param_spec_uint (
    "embedding-size", NULL, "Numbers that a word has", 1, 1024, 64, flags));
  g_object_class_install_property (object, PROP_FILTERS, g_param_spec_uint (
    "filters", NULL, "Filters of each width", 1, 1024, 64, flags));
  g_object_class_install_property (object, PROP_WIDTHS, g_param_spec_string (
    "widths", NULL, "Words that filters see: up to 8 different numbers from 1 to 16, as 3+4+5",
    "3,4,5", flags));
  g_object_class_install_property (object, PROP_MAX_WORDS, g_param_spec_uint (
    "max-words", NULL, "The most frequent words, so many, are known", 1, G_MAXINT32, 30000, flags));
  g_object_class_install_property (object, PROP_MIN_COUNT, g_param_spec_uint (
    "min-count", NULL, "Words that occur less often are not known", 1, G_MAXUINT, 2, flags));
  g_object_class_install_property (object, PROP_MAX_LENGTH, g_param_spec_uint (
    "max-length", NULL, "Of a longer text the last words, so many, are read", 1, 4096, 400, flags));
}

static void
tandem_cnn_classifier_init (TandemCnnClassifier *self)
{
  self->words = g_array_new (FALSE, FALSE, sizeof (guint32));
  self->offsets = g_array_new (FALSE, FALSE, sizeof (guint));
  self->windows = g_array_new (FALSE, FALSE, sizeof (float));
  self->values = g_array_new (FALSE, FALSE, sizeof (float));
}
