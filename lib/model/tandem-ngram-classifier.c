/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Classifiers over n-grams that are ready: scoring, and files.
 *
 * The file is a safetensors file. Metadata: tandem.ngrams "1", the version; tandem.order,
 * tandem.min-texts, tandem.weighting, tandem.loss, tandem.folds (k), tandem.cost. Tensors: hashes I64
 * [n], ascending as unsigned numbers; values F32 [k, n]; weights F32 [k, n]; bias F32 [k]; and with
 * several folds texts I64 [m], ascending as well, and folds U8 [m]. */

#include "config.h"

#include <math.h>
#include <string.h>

#include "model/tandem-ngram-classifier.h"
#include "tandem-enums.h"
#include "tensor/tandem-safetensors.h"

#define VERSION_KEY "tandem.ngrams"
#define VERSION "1"

struct _TandemNgramClassifier
{
  GObject parent;

  TandemNgramOptions options;
  guint n_features;
  guint64 *hashes;              /* ascending */
  /* of each fold's model, [n_folds][n_features]: what a text that has the n-gram gets for it,
   * before its features are scaled to length 1 */
  float *values;
  float *weights;
  float *biases;                /* [n_folds] */
  /* what was learned from, ascending; with one fold nothing */
  guint n_texts;
  guint64 *texts;
  guint8 *folds;                /* of the texts */
};

G_DEFINE_QUARK (tandem-ngram-error-quark, tandem_ngram_error)

G_DEFINE_FINAL_TYPE (TandemNgramClassifier, tandem_ngram_classifier, G_TYPE_OBJECT)

static void
tandem_ngram_classifier_finalize (GObject *object)
{
  TandemNgramClassifier *self = TANDEM_NGRAM_CLASSIFIER (object);

  g_free (self->hashes);
  g_free (self->values);
  g_free (self->weights);
  g_free (self->biases);
  g_free (self->texts);
  g_free (self->folds);
  G_OBJECT_CLASS (tandem_ngram_classifier_parent_class)->finalize (object);
}

static void
tandem_ngram_classifier_class_init (TandemNgramClassifierClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_ngram_classifier_finalize;
}

static void
tandem_ngram_classifier_init (TandemNgramClassifier *self)
{
}

static gboolean
is_ascending (const guint64 *numbers, guint n)
{
  guint i;

  for (i = 1; i < n; i++)
    if (numbers[i] <= numbers[i - 1])
      return FALSE;
  return TRUE;
}

static gboolean
is_finite (const float *numbers, gsize n)
{
  gsize i;

  for (i = 0; i < n; i++)
    if (!isfinite (numbers[i]))
      return FALSE;
  return TRUE;
}

/* What is wrong with it, or NULL. */
static const char *
find_fault (TandemNgramClassifier *self)
{
  const gsize n = (gsize) self->options.n_folds * self->n_features;
  guint i;

  if (self->options.order < 1 || self->options.order > TANDEM_NGRAM_MAX_ORDER)
    return "the length of its n-grams is out of range";
  if (self->options.n_folds < 1 || self->options.n_folds > TANDEM_NGRAM_MAX_FOLDS)
    return "the number of its folds is out of range";
  if (!is_ascending (self->hashes, self->n_features))
    return "its n-grams are not in order";
  if (!is_ascending (self->texts, self->n_texts))
    return "the texts that it learned from are not in order";
  for (i = 0; i < self->n_texts; i++)
    if (self->folds[i] >= self->options.n_folds)
      return "a text is in a fold that there is not";
  if (!is_finite (self->values, n) || !is_finite (self->weights, n) ||
      !is_finite (self->biases, self->options.n_folds))
    return "a weight is not a number";
  return NULL;
}

/**
 * tandem_ngram_classifier_new:
 * @options: how it was made
 * @n_features: how many n-grams it knows
 * @hashes: (array length=n_features): their hashes as tandem_ngram_hash_text() gives them,
 *   ascending
 * @values: what each counts before the features of a text are scaled to length 1, for each fold:
 *   [n_folds, n_features]
 * @weights: the weight of each, [n_folds, n_features]
 * @biases: what is added to every score, [n_folds]
 * @n_texts: how many texts it learned from; 0 with one fold
 * @texts: (array length=n_texts) (nullable): their numbers as tandem_ngram_identify_text() gives
 *   them, ascending
 * @folds: (array length=n_texts) (nullable): the fold of each text, whose model did not learn from it
 * @error: return location for %TANDEM_NGRAM_ERROR_DATA
 *
 * Makes a classifier of weights that were found; all arrays are copied.
 *
 * Returns: (transfer full): the classifier, or %NULL on error
 */
TandemNgramClassifier *
tandem_ngram_classifier_new (const TandemNgramOptions *options, guint n_features,
                             const guint64 *hashes, const float *values, const float *weights,
                             const float *biases, guint n_texts, const guint64 *texts,
                             const guint8 *folds, GError **error)
{
  g_autoptr (TandemNgramClassifier) self = g_object_new (TANDEM_TYPE_NGRAM_CLASSIFIER, NULL);
  const char *fault;
  gsize n;

  g_return_val_if_fail (options != NULL, NULL);
  g_return_val_if_fail (hashes != NULL && values != NULL && weights != NULL && biases != NULL,
                        NULL);

  n = (gsize) MIN (options->n_folds, TANDEM_NGRAM_MAX_FOLDS) * n_features;
  self->options = *options;
  self->n_features = n_features;
  self->hashes = g_memdup2 (hashes, n_features * sizeof *hashes);
  self->values = g_memdup2 (values, n * sizeof *values);
  self->weights = g_memdup2 (weights, n * sizeof *weights);
  self->biases = g_memdup2 (biases, MIN (options->n_folds, TANDEM_NGRAM_MAX_FOLDS) *
                            sizeof *biases);
  self->n_texts = n_texts;
  self->texts = g_memdup2 (texts, n_texts * sizeof *texts);
  self->folds = g_memdup2 (folds, n_texts);
  fault = find_fault (self);
  if (fault == NULL)
    return g_steal_pointer (&self);
  g_set_error_literal (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_DATA, fault);
  return NULL;
}

/**
 * tandem_ngram_classifier_get_options:
 * @self: a classifier
 *
 * Returns: (transfer none): how it was made
 */
const TandemNgramOptions *
tandem_ngram_classifier_get_options (TandemNgramClassifier *self)
{
  g_return_val_if_fail (TANDEM_IS_NGRAM_CLASSIFIER (self), NULL);
  return &self->options;
}

/**
 * tandem_ngram_classifier_get_n_features:
 * @self: a classifier
 *
 * Returns: how many n-grams it knows
 */
guint
tandem_ngram_classifier_get_n_features (TandemNgramClassifier *self)
{
  g_return_val_if_fail (TANDEM_IS_NGRAM_CLASSIFIER (self), 0);
  return self->n_features;
}

/* Where @number is; @n when it is nowhere. */
static guint
find (const guint64 *numbers, guint n, guint64 number)
{
  guint low = 0, high = n;

  while (low < high) {
    guint middle = low + (high - low) / 2;

    if (numbers[middle] < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low < n && numbers[low] == number ? low : n;
}

/* found: of guint, the features of a text */
static double
score_with (TandemNgramClassifier *self, guint fold, GArray *found)
{
  const float *values = self->values + (gsize) fold * self->n_features;
  const float *weights = self->weights + (gsize) fold * self->n_features;
  double sum = 0.0, squares = 0.0;
  guint i;

  for (i = 0; i < found->len; i++) {
    guint at = g_array_index (found, guint, i);

    sum += (double) weights[at] * values[at];
    squares += (double) values[at] * values[at];
  }
  return self->biases[fold] + (squares > 0.0 ? sum / sqrt (squares) : 0.0);
}

/**
 * tandem_ngram_classifier_score:
 * @self: a classifier
 * @text: UTF-8 text
 * @length: bytes of @text, or -1 when a zero byte ends it
 *
 * Judges a text. N-grams that it does not know count nothing. With several folds a text that it
 * learned from is judged by the model of its fold, which did not see it, and any other text by the
 * mean of all: so what it says of its own texts is as honest as of others, and fit to be learned
 * from.
 *
 * Returns: above 0 for class 1, below for class 0; with %TANDEM_NGRAM_LOGISTIC the logarithm of
 *   the odds of class 1
 */
double
tandem_ngram_classifier_score (TandemNgramClassifier *self, const char *text, gssize length)
{
  g_autoptr (GArray) hashes = NULL;
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (guint));
  double sum = 0.0;
  guint i, place;

  g_return_val_if_fail (TANDEM_IS_NGRAM_CLASSIFIER (self), 0.0);
  g_return_val_if_fail (text != NULL || length == 0, 0.0);

  hashes = tandem_ngram_hash_text (text, length, self->options.order);
  for (i = 0; i < hashes->len; i++) {
    guint at = find (self->hashes, self->n_features, g_array_index (hashes, guint64, i));

    if (at < self->n_features)
      g_array_append_val (found, at);
  }
  place = self->n_texts > 0 ? find (self->texts, self->n_texts,
                                    tandem_ngram_identify_text (text, length)) : 0;
  if (place < self->n_texts)
    return score_with (self, self->folds[place], found);
  for (i = 0; i < self->options.n_folds; i++)
    sum += score_with (self, i, found);
  return sum / self->options.n_folds;
}

/**
 * tandem_ngram_classifier_dup_fingerprint:
 * @self: a classifier
 *
 * Two classifiers with the same fingerprint give every text the same score.
 *
 * Returns: (transfer full): 64 hexadecimal digits
 */
char *
tandem_ngram_classifier_dup_fingerprint (TandemNgramClassifier *self)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *head = NULL;
  gsize n;

  g_return_val_if_fail (TANDEM_IS_NGRAM_CLASSIFIER (self), NULL);

  n = (gsize) self->options.n_folds * self->n_features;
  head = g_strdup_printf ("tandem-ngrams-1\n%u %u %u\n", self->options.order,
                          self->options.n_folds, self->n_features);
  g_checksum_update (checksum, (const guchar *) head, -1);
  g_checksum_update (checksum, (const guchar *) self->hashes, self->n_features * sizeof (guint64));
  g_checksum_update (checksum, (const guchar *) self->values, n * sizeof (float));
  g_checksum_update (checksum, (const guchar *) self->weights, n * sizeof (float));
  g_checksum_update (checksum, (const guchar *) self->biases,
                     self->options.n_folds * sizeof (float));
  g_checksum_update (checksum, (const guchar *) self->texts, self->n_texts * sizeof (guint64));
  g_checksum_update (checksum, self->folds, self->n_texts);
  return g_strdup (g_checksum_get_string (checksum));
}

static gboolean
add_tensor (GHashTable *tensors, const char *name, TandemDtype dtype, guint n_rows, guint n,
            gconstpointer data, gsize item, GError **error)
{
  const guint64 shape[] = { n_rows, n };
  const guint n_dims = n_rows > 0 ? 2 : 1;
  g_autoptr (GBytes) bytes = g_bytes_new (data, (gsize) MAX (n_rows, 1) * n * item);
  TandemTensor *tensor = tandem_tensor_new (dtype, n_dims, shape + 2 - n_dims, bytes, error);

  if (tensor != NULL)
    g_hash_table_insert (tensors, (gpointer) name, tensor);
  return tensor != NULL;
}

static const char *
get_nick (GType type, int value)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (type);

  return g_enum_get_value (klass, value)->value_nick;
}

/**
 * tandem_ngram_classifier_save:
 * @self: a classifier
 * @path: (type filename): the file to write; one that is there is replaced when the new one is
 *   complete
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #GIOErrorEnum
 *
 * Writes the classifier as a safetensors file.
 *
 * Returns: whether it was written
 */
gboolean
tandem_ngram_classifier_save (TandemNgramClassifier *self, const char *path,
                              GCancellable *cancellable, GError **error)
{
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                                          (GDestroyNotify) tandem_tensor_unref);
  g_autoptr (GHashTable) metadata = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  char cost[G_ASCII_DTOSTR_BUF_SIZE];

  g_return_val_if_fail (TANDEM_IS_NGRAM_CLASSIFIER (self), FALSE);
  g_return_val_if_fail (path != NULL, FALSE);

  g_hash_table_insert (metadata, (gpointer) VERSION_KEY, g_strdup (VERSION));
  g_hash_table_insert (metadata, (gpointer) "tandem.order",
                       g_strdup_printf ("%u", self->options.order));
  g_hash_table_insert (metadata, (gpointer) "tandem.min-texts",
                       g_strdup_printf ("%u", self->options.min_texts));
  g_hash_table_insert (metadata, (gpointer) "tandem.weighting",
                       g_strdup (get_nick (TANDEM_TYPE_NGRAM_WEIGHTING, self->options.weighting)));
  g_hash_table_insert (metadata, (gpointer) "tandem.loss",
                       g_strdup (get_nick (TANDEM_TYPE_NGRAM_LOSS, self->options.loss)));
  g_hash_table_insert (metadata, (gpointer) "tandem.cost",
                       g_strdup (g_ascii_dtostr (cost, sizeof cost, self->options.cost)));
  g_hash_table_insert (metadata, (gpointer) "tandem.folds",
                       g_strdup_printf ("%u", self->options.n_folds));
  return add_tensor (tensors, "hashes", TANDEM_DTYPE_I64, 0, self->n_features, self->hashes,
                     sizeof (guint64), error) &&
      add_tensor (tensors, "values", TANDEM_DTYPE_F32, self->options.n_folds, self->n_features,
                  self->values, sizeof (float), error) &&
      add_tensor (tensors, "weights", TANDEM_DTYPE_F32, self->options.n_folds, self->n_features,
                  self->weights, sizeof (float), error) &&
      add_tensor (tensors, "bias", TANDEM_DTYPE_F32, 0, self->options.n_folds, self->biases,
                  sizeof (float), error) &&
      (self->n_texts == 0 ||
       add_tensor (tensors, "texts", TANDEM_DTYPE_I64, 0, self->n_texts, self->texts,
                   sizeof (guint64), error)) &&
      (self->n_texts == 0 ||
       add_tensor (tensors, "folds", TANDEM_DTYPE_U8, 0, self->n_texts, self->folds, 1, error)) &&
      tandem_safetensors_write (path, metadata, tensors, cancellable, error);
}

static gboolean G_GNUC_PRINTF (3, 4)
fail (GError **error, const char *path, const char *format, ...)
{
  g_autofree char *display = g_filename_display_name (path);
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_FILE, "%s: %s", display, what);
  return FALSE;
}

/* A copy of the tensor's data, which has @n numbers, or as many as there are when @n is 0. */
static gpointer
read_tensor (TandemSafetensors *file, const char *path, const char *name, TandemDtype dtype,
             gsize item, guint64 n, gsize *n_read, GError **error)
{
  g_autoptr (TandemTensor) tensor = tandem_safetensors_get_tensor (file, name, error);
  gconstpointer data;
  gsize size;

  if (tensor == NULL)
    return NULL;
  data = g_bytes_get_data (tandem_tensor_get_bytes (tensor), &size);
  if (tandem_tensor_get_dtype (tensor) != dtype || size == 0 || size / item > G_MAXINT32 ||
      (n != 0 && size / item != n)) {
    fail (error, path, "the tensor \"%s\" is of another type or size", name);
    return NULL;
  }
  *n_read = size / item;
  return g_memdup2 (data, size);
}

static gboolean
read_number (TandemSafetensors *file, const char *path, const char *key, guint64 max,
             guint *value, GError **error)
{
  const char *text = tandem_safetensors_get_metadata (file, key);
  guint64 number;

  if (text == NULL || !g_ascii_string_to_unsigned (text, 10, 1, max, &number, NULL))
    return fail (error, path, "%s is \"%s\"", key, text != NULL ? text : "");
  *value = number;
  return TRUE;
}

static gboolean
read_nick (TandemSafetensors *file, const char *path, const char *key, GType type, int *value,
           GError **error)
{
  const char *text = tandem_safetensors_get_metadata (file, key);
  g_autoptr (GEnumClass) klass = g_type_class_ref (type);
  GEnumValue *known = text != NULL ? g_enum_get_value_by_nick (klass, text) : NULL;

  if (known == NULL)
    return fail (error, path, "%s is \"%s\"", key, text != NULL ? text : "");
  *value = known->value;
  return TRUE;
}

/**
 * tandem_ngram_classifier_load:
 * @path: (type filename): a file of tandem_ngram_classifier_save()
 * @error: return location for %TANDEM_NGRAM_ERROR_FILE, or what tandem_safetensors_open() gives
 *
 * Reads a classifier.
 *
 * Returns: (transfer full): the classifier, or %NULL on error
 */
TandemNgramClassifier *
tandem_ngram_classifier_load (const char *path, GError **error)
{
  g_autoptr (TandemNgramClassifier) self = g_object_new (TANDEM_TYPE_NGRAM_CLASSIFIER, NULL);
  g_autoptr (TandemSafetensors) file = NULL;
  const char *cost, *fault;
  int weighting = 0, loss = 0;
  gsize n;

  g_return_val_if_fail (path != NULL, NULL);

  file = tandem_safetensors_open (path, error);
  if (file == NULL)
    return NULL;
  if (g_strcmp0 (tandem_safetensors_get_metadata (file, VERSION_KEY), VERSION) != 0) {
    fail (error, path, "not an n-gram classifier of this version");
    return NULL;
  }
  if (!read_number (file, path, "tandem.order", TANDEM_NGRAM_MAX_ORDER, &self->options.order,
                    error) ||
      !read_number (file, path, "tandem.min-texts", G_MAXUINT, &self->options.min_texts, error) ||
      !read_number (file, path, "tandem.folds", TANDEM_NGRAM_MAX_FOLDS, &self->options.n_folds,
                    error) ||
      !read_nick (file, path, "tandem.weighting", TANDEM_TYPE_NGRAM_WEIGHTING, &weighting,
                  error) ||
      !read_nick (file, path, "tandem.loss", TANDEM_TYPE_NGRAM_LOSS, &loss, error))
    return NULL;
  self->options.weighting = weighting;
  self->options.loss = loss;
  cost = tandem_safetensors_get_metadata (file, "tandem.cost");
  self->options.cost = cost != NULL ? g_ascii_strtod (cost, NULL) : 0.0;
  self->hashes = read_tensor (file, path, "hashes", TANDEM_DTYPE_I64, sizeof (guint64), 0, &n,
                              error);
  if (self->hashes == NULL)
    return NULL;
  self->n_features = n;
  n *= self->options.n_folds;
  self->values = read_tensor (file, path, "values", TANDEM_DTYPE_F32, sizeof (float), n, &n,
                              error);
  if (self->values == NULL)
    return NULL;
  self->weights = read_tensor (file, path, "weights", TANDEM_DTYPE_F32, sizeof (float), n, &n,
                               error);
  if (self->weights == NULL)
    return NULL;
  self->biases = read_tensor (file, path, "bias", TANDEM_DTYPE_F32, sizeof (float),
                              self->options.n_folds, &n, error);
  if (self->biases == NULL)
    return NULL;
  if (self->options.n_folds > 1) {
    self->texts = read_tensor (file, path, "texts", TANDEM_DTYPE_I64, sizeof (guint64), 0, &n,
                               error);
    if (self->texts == NULL)
      return NULL;
    self->n_texts = n;
    self->folds = read_tensor (file, path, "folds", TANDEM_DTYPE_U8, 1, n, &n, error);
    if (self->folds == NULL)
      return NULL;
  }
  fault = find_fault (self);
  if (fault == NULL)
    return g_steal_pointer (&self);
  fail (error, path, "%s", fault);
  return NULL;
}
