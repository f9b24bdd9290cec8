/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-cnn-classifier-private.h"

#include <math.h>
#include <stdlib.h>

#include "tandem-hash-index.h"

#define MAX_WORDS_OF_FILTER 16

/* Of the first embeddings. */
#define WORD_DEVIATION 0.1

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
tandem_cnn_classifier_finalize (GObject *object)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (object);

  tandem_cnn_classifier_free_rows (self);
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

  self->shape = (TandemCnnShape) {
    self->embedding_size, self->filters, n, { 0 }, 0, self->max_length
  };
  for (i = 0; i < n && n <= TANDEM_CNN_MAX_CONVOLUTIONS; i++) {
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
               self->widths != NULL ? self->widths : "", TANDEM_CNN_MAX_CONVOLUTIONS,
               MAX_WORDS_OF_FILTER);
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
  const TandemCnnShape *shape = &self->shape;
  const guint n_pooled = shape->n_convolutions * shape->n_filters;
  guint i;

  tandem_cnn_classifier_free_rows (self);
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

static double
tandem_cnn_classifier_get_cost (TandemNetwork *network, guint row)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (network);
  const TandemCnnShape *shape = &self->shape;
  double n, cost;
  guint i;

  tandem_cnn_classifier_collect_words (self, &row, 1, 0);
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
