/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Classifiers over n-grams that are ready: scoring, and files.
 *
 * The file is a safetensors file. Metadata: tandem.ngrams "1", the version; tandem.order,
 * tandem.min-texts, tandem.weighting, tandem.loss, tandem.cost. Tensors: hashes I64 [n],
 * ascending as unsigned numbers; values F32 [n]; weights F32 [n]; bias F32 [1]. */

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
  /* what a text that has the n-gram gets for it, before its features are scaled to length 1 */
  float *values;
  float *weights;
  float bias;
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

/* What is wrong with it, or NULL. */
static const char *
find_fault (TandemNgramClassifier *self)
{
  guint i;

  if (self->options.order < 1 || self->options.order > TANDEM_NGRAM_MAX_ORDER)
    return "the length of its n-grams is out of range";
  for (i = 0; i < self->n_features; i++) {
    if (i > 0 && self->hashes[i] <= self->hashes[i - 1])
      return "its n-grams are not in order";
    if (!isfinite (self->values[i]) || !isfinite (self->weights[i]))
      return "a weight is not a number";
  }
  return isfinite (self->bias) ? NULL : "the bias is not a number";
}

/**
 * tandem_ngram_classifier_new:
 * @options: how it was made
 * @n_features: how many n-grams it knows
 * @hashes: (array length=n_features): their hashes as tandem_ngram_hash_text() gives them,
 *   ascending
 * @values: (array length=n_features): what each counts before the features of a text are scaled to
 *   length 1
 * @weights: (array length=n_features): the weight of each
 * @bias: what is added to every score
 * @error: return location for %TANDEM_NGRAM_ERROR_DATA
 *
 * Makes a classifier of weights that were found; all arrays are copied.
 *
 * Returns: (transfer full): the classifier, or %NULL on error
 */
TandemNgramClassifier *
tandem_ngram_classifier_new (const TandemNgramOptions *options, guint n_features,
                             const guint64 *hashes, const float *values, const float *weights,
                             float bias, GError **error)
{
  g_autoptr (TandemNgramClassifier) self = g_object_new (TANDEM_TYPE_NGRAM_CLASSIFIER, NULL);
  const char *fault;

  g_return_val_if_fail (options != NULL, NULL);
  g_return_val_if_fail (hashes != NULL && values != NULL && weights != NULL, NULL);

  self->options = *options;
  self->n_features = n_features;
  self->hashes = g_memdup2 (hashes, n_features * sizeof *hashes);
  self->values = g_memdup2 (values, n_features * sizeof *values);
  self->weights = g_memdup2 (weights, n_features * sizeof *weights);
  self->bias = bias;
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

/* Where @hash is; n_features when it is nowhere. */
static guint
find (TandemNgramClassifier *self, guint64 hash)
{
  guint low = 0, high = self->n_features;

  while (low < high) {
    guint middle = low + (high - low) / 2;

    if (self->hashes[middle] < hash)
      low = middle + 1;
    else
      high = middle;
  }
  return low < self->n_features && self->hashes[low] == hash ? low : self->n_features;
}

/**
 * tandem_ngram_classifier_score:
 * @self: a classifier
 * @text: UTF-8 text
 * @length: bytes of @text, or -1 when a zero byte ends it
 *
 * Judges a text. N-grams that it does not know count nothing.
 *
 * Returns: above 0 for class 1, below for class 0; with %TANDEM_NGRAM_LOGISTIC the logarithm of
 *   the odds of class 1
 */
double
tandem_ngram_classifier_score (TandemNgramClassifier *self, const char *text, gssize length)
{
  g_autoptr (GArray) hashes = NULL;
  double sum = 0.0, squares = 0.0;
  guint i;

  g_return_val_if_fail (TANDEM_IS_NGRAM_CLASSIFIER (self), 0.0);
  g_return_val_if_fail (text != NULL || length == 0, 0.0);

  hashes = tandem_ngram_hash_text (text, length, self->options.order);
  for (i = 0; i < hashes->len; i++) {
    guint at = find (self, g_array_index (hashes, guint64, i));

    if (at < self->n_features) {
      sum += (double) self->weights[at] * self->values[at];
      squares += (double) self->values[at] * self->values[at];
    }
  }
  return self->bias + (squares > 0.0 ? sum / sqrt (squares) : 0.0);
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

  g_return_val_if_fail (TANDEM_IS_NGRAM_CLASSIFIER (self), NULL);

  head = g_strdup_printf ("tandem-ngrams-1\n%u\n", self->options.order);
  g_checksum_update (checksum, (const guchar *) head, -1);
  g_checksum_update (checksum, (const guchar *) self->hashes, self->n_features * sizeof (guint64));
  g_checksum_update (checksum, (const guchar *) self->values, self->n_features * sizeof (float));
  g_checksum_update (checksum, (const guchar *) self->weights, self->n_features * sizeof (float));
  g_checksum_update (checksum, (const guchar *) &self->bias, sizeof self->bias);
  return g_strdup (g_checksum_get_string (checksum));
}

static gboolean
add_tensor (GHashTable *tensors, const char *name, TandemDtype dtype, guint n, gconstpointer data,
            gsize item, GError **error)
{
  const guint64 shape[] = { n };
  g_autoptr (GBytes) bytes = g_bytes_new (data, n * item);
  TandemTensor *tensor = tandem_tensor_new (dtype, 1, shape, bytes, error);

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
  return add_tensor (tensors, "hashes", TANDEM_DTYPE_I64, self->n_features, self->hashes,
                     sizeof (guint64), error) &&
      add_tensor (tensors, "values", TANDEM_DTYPE_F32, self->n_features, self->values,
                  sizeof (float), error) &&
      add_tensor (tensors, "weights", TANDEM_DTYPE_F32, self->n_features, self->weights,
                  sizeof (float), error) &&
      add_tensor (tensors, "bias", TANDEM_DTYPE_F32, 1, &self->bias, sizeof (float), error) &&
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
  g_autofree float *bias = NULL;
  const char *cost, *fault;
  int weighting = 0, loss = 0;
  gsize n, n_bias;

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
  self->values = read_tensor (file, path, "values", TANDEM_DTYPE_F32, sizeof (float), n, &n,
                              error);
  if (self->values == NULL)
    return NULL;
  self->weights = read_tensor (file, path, "weights", TANDEM_DTYPE_F32, sizeof (float), n, &n,
                               error);
  if (self->weights == NULL)
    return NULL;
  bias = read_tensor (file, path, "bias", TANDEM_DTYPE_F32, sizeof (float), 1, &n_bias, error);
  if (bias == NULL)
    return NULL;
  self->bias = *bias;
  fault = find_fault (self);
  if (fault == NULL)
    return g_steal_pointer (&self);
  fail (error, path, "%s", fault);
  return NULL;
}
