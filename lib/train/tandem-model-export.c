/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Models as Hugging Face folders, which transformers and tandem_model_open() read alike. */

#include "config.h"

#include "tandem-model-export.h"

#include <math.h>
#include <string.h>

#include "tandem-model-export-private.h"
#include "tandem-train-error.h"
#include "tensor/tandem-half-private.h"

/* The head that only pretraining uses, under the name that BERT has for it. */
#define PRETRAINING "cls."
#define MASKED_LM "cls.predictions."
#define TRANSFORM "transform."

/* From here on the nearest half is infinite. */
#define F16_INFINITE 65520.0f

typedef struct
{
  const char *folder;           /* for messages */
  TandemDtype dtype;
  gboolean keep_dtypes;         /* in place of dtype */
  TandemModelType type;
  TandemMasks *masks;           /* of tensors that are stored sparse, or NULL */
  GHashTable *tensors;          /* canonical name -> TandemTensor */
  GHashTable *files;            /* name in the file -> TandemTensor */
  GHashTable *metadata;         /* of the file */
} Writer;

static gboolean G_GNUC_PRINTF (4, 5)
fail (const Writer *writer, TandemTrainError code, GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TANDEM_TRAIN_ERROR, code, "%s: %s", writer->folder, what);
  return FALSE;
}

static TandemTensor *
convert (const Writer *writer, const char *name, TandemTensor *tensor, GError **error)
{
  guint64 n = tandem_tensor_get_n_elements (tensor), shape[TANDEM_TENSOR_MAX_DIMS], i;
  g_autofree float *values = g_new (float, n);
  guint16 *halves;
  g_autoptr (GBytes) bytes = NULL;
  guint dim;

  if (!tandem_tensor_copy_f32 (tensor, 0, n, values)) {
    fail (writer, TANDEM_TRAIN_ERROR_TENSOR, error, "tensor \"%s\" has the element type %s", name,
          tandem_dtype_to_string (tandem_tensor_get_dtype (tensor)));
    return NULL;
  }
  for (i = 0; i < n; i++) {
    if (!isfinite (values[i])) {
      fail (writer, TANDEM_TRAIN_ERROR_NOT_FINITE, error,
            "element %" G_GUINT64_FORMAT " of tensor \"%s\" is not finite: training diverged", i,
            name);
      return NULL;
    }
  }
  if (writer->keep_dtypes || writer->dtype == tandem_tensor_get_dtype (tensor))
    return tandem_tensor_ref (tensor);

  for (dim = 0; dim < tandem_tensor_get_n_dims (tensor); dim++)
    shape[dim] = tandem_tensor_get_dim (tensor, dim);
  if (writer->dtype == TANDEM_DTYPE_F32) {
    bytes = g_bytes_new_take (g_steal_pointer (&values), n * sizeof (float));
    return tandem_tensor_new (writer->dtype, dim, shape, bytes, error);
  }
  halves = g_new (guint16, n);
  bytes = g_bytes_new_take (halves, n * sizeof *halves);
  for (i = 0; i < n; i++) {
    halves[i] = tandem_f16_from_float (values[i]);
    if (fabsf (values[i]) >= F16_INFINITE) {
      fail (writer, TANDEM_TRAIN_ERROR_TENSOR, error,
            "element %" G_GUINT64_FORMAT " of tensor \"%s\" is %g, beyond the range of F16; write "
            "F32", i, name, values[i]);
      return NULL;
    }
  }
  return tandem_tensor_new (writer->dtype, dim, shape, bytes, error);
}

/* Returns the name that transformers has: ALBERT's head is BERT's, less a level or two. */
static char *
get_file_name (const Writer *writer, const char *name)
{
  if (!g_str_has_prefix (name, PRETRAINING))
    return tandem_model_name_from_canonical (writer->type, name);
  if (writer->type != TANDEM_MODEL_ALBERT || !g_str_has_prefix (name, MASKED_LM))
    return g_strdup (name);
  name += strlen (MASKED_LM);
  if (g_str_has_prefix (name, TRANSFORM))
    name += strlen (TRANSFORM);
  return g_strconcat ("predictions.", name, NULL);
}

/* What its mask does not keep must be zero: a file that is read again is the same model. */
static gboolean
add_sparse (Writer *writer, const char *name, const TandemTensor *tensor, const guint8 *mask,
            guint64 n, GError **error)
{
  g_autofree char *file_name = get_file_name (writer, name);
  gsize size = tandem_dtype_get_size (tandem_tensor_get_dtype (tensor));
  const guint8 *data = tandem_tensor_get_data (tensor, NULL);
  static const guint8 zeros[sizeof (double)];
  g_autoptr (TandemSparseTensor) sparse = NULL;
  guint64 i;

  if (n != tandem_tensor_get_n_elements (tensor))
    return fail (writer, TANDEM_TRAIN_ERROR_TENSOR, error,
                 "the mask of tensor \"%s\" is for %" G_GUINT64_FORMAT " elements, it has %"
                 G_GUINT64_FORMAT, name, n, tandem_tensor_get_n_elements (tensor));
  for (i = 0; i < n; i++)
    if ((mask[i >> 3] >> (i & 7) & 1) == 0 && memcmp (data + i * size, zeros, size) != 0)
      return fail (writer, TANDEM_TRAIN_ERROR_TENSOR, error,
                   "element %" G_GUINT64_FORMAT " of tensor \"%s\" is not zero, its mask says that "
                   "it was pruned", i, name);
  sparse = tandem_sparse_tensor_new_from_dense (tensor, mask);
  tandem_sparse_tensor_store (sparse, file_name, writer->metadata, writer->files);
  return TRUE;
}

static gboolean
add_tensor (Writer *writer, const char *name, GError **error)
{
  g_autoptr (TandemTensor) tensor =
      convert (writer, name, g_hash_table_lookup (writer->tensors, name), error);
  const guint8 *mask;
  guint64 n = 0;

  if (tensor == NULL)
    return FALSE;
  mask = writer->masks != NULL ? tandem_masks_get (writer->masks, name, &n) : NULL;
  if (mask != NULL)
    return add_sparse (writer, name, tensor, mask, n, error);
  g_hash_table_insert (writer->files, get_file_name (writer, name), g_steal_pointer (&tensor));
  return TRUE;
}

static char *
shape_to_string (guint n_dims, const guint64 *shape)
{
  return n_dims == 1 ? g_strdup_printf ("[%" G_GUINT64_FORMAT "]", shape[0])
                     : g_strdup_printf ("[%" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT "]", shape[0],
                                        shape[1]);
}

static gboolean
check_tensor (const Writer *writer, const TandemModelSpec *spec, GError **error)
{
  const TandemTensor *tensor = g_hash_table_lookup (writer->tensors, spec->name);
  g_autofree char *wanted = NULL;
  guint dim, n_dims;

  if (tensor == NULL)
    return fail (writer, TANDEM_TRAIN_ERROR_TENSOR, error, "tensor \"%s\" is missing", spec->name);
  n_dims = tandem_tensor_get_n_dims (tensor);
  for (dim = 0; n_dims == spec->n_dims && dim < n_dims; dim++)
    if (tandem_tensor_get_dim (tensor, dim) != spec->shape[dim])
      break;
  if (n_dims == spec->n_dims && dim == n_dims)
    return TRUE;
  wanted = shape_to_string (spec->n_dims, spec->shape);
  return fail (writer, TANDEM_TRAIN_ERROR_TENSOR, error,
               "tensor \"%s\" has %" G_GUINT64_FORMAT " elements in %u dimensions, its "
               "configuration says %s", spec->name, tandem_tensor_get_n_elements (tensor), n_dims,
               wanted);
}

/* Checks and converts all tensors. */
static gboolean
add_tensors (Writer *writer, const TandemModelConfig *config, GError **error)
{
  gboolean classifier = g_hash_table_contains (writer->tensors, "classifier.weight");
  gboolean pooler = classifier ||
                    g_hash_table_contains (writer->tensors, "pooler.dense.weight");
  g_autoptr (GPtrArray) specs =
      tandem_model_list_specs (config, 0, config->n_layers - 1, pooler, classifier);
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);
  GHashTableIter iter;
  gpointer name;
  guint i;

  for (i = 0; i < specs->len; i++) {
    const TandemModelSpec *spec = g_ptr_array_index (specs, i);

    g_hash_table_add (known, spec->name);
    if (!check_tensor (writer, spec, error) || !add_tensor (writer, spec->name, error))
      return FALSE;
  }
  g_hash_table_iter_init (&iter, writer->tensors);
  while (g_hash_table_iter_next (&iter, &name, NULL)) {
    if (g_hash_table_contains (known, name))
      continue;
    if (!g_str_has_prefix (name, PRETRAINING))
      return fail (writer, TANDEM_TRAIN_ERROR_TENSOR, error,
                   "tensor \"%s\" is none of a model with this configuration",
                   (const char *) name);
    if (!add_tensor (writer, name, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
write_weights (const Writer *writer, TandemExportFolder *folder, GCancellable *cancellable,
               GError **error)
{
  g_autofree char *path = g_build_filename (folder->temporary, TANDEM_MODEL_WEIGHTS_FILE, NULL);

  /* transformers asks for the format. */
  g_hash_table_insert (writer->metadata, g_strdup ("format"), g_strdup ("pt"));
  g_hash_table_insert (writer->metadata, g_strdup (TANDEM_EXPORT_KEY), g_strdup ("1"));
  return tandem_safetensors_write (path, writer->metadata, writer->files, cancellable, error);
}

/* Takes a file of the source's folder over, when it is there. */
static gboolean
copy_file (TandemExportFolder *folder, const char *source, const char *name, gboolean *copied,
           GError **error)
{
  g_autofree char *path = source != NULL ? g_build_filename (source, name, NULL) : NULL;
  g_autofree char *text = NULL;
  gsize length;

  *copied = FALSE;
  if (path == NULL || !g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  text = tandem_model_read_text (path, &length, error);
  *copied = text != NULL;
  return text != NULL && tandem_export_folder_add (folder, name, text, length, error);
}

static gboolean
write_tokenizer (TandemExportFolder *folder, TandemTokenizer *tokenizer, const char *source,
                 guint max_positions, GError **error)
{
  g_autoptr (GBytes) vocabulary = tandem_tokenizer_get_vocabulary (tokenizer);
  g_autofree char *settings = NULL;
  gboolean copied;
  gsize size;
  const char *text = g_bytes_get_data (vocabulary, &size);

  if (!tandem_export_folder_add (folder, TANDEM_EXPORT_VOCABULARY_FILE, text, size, error) ||
      !copy_file (folder, source, TANDEM_EXPORT_TOKENIZER_FILE, &copied, error) ||
      !copy_file (folder, source, TANDEM_EXPORT_TOKENIZER_CONFIG_FILE, &copied, error))
    return FALSE;
  if (copied)
    return TRUE;
  settings = tandem_export_make_tokenizer_config (tandem_tokenizer_get_flags (tokenizer),
                                                  max_positions);
  return tandem_export_folder_add (folder, TANDEM_EXPORT_TOKENIZER_CONFIG_FILE, settings, -1,
                                   error);
}

/* tokenizer_folder: where the tokenizer's files are, or NULL to write them. */
static gboolean
write_folder (const char *config_text, TandemTokenizer *tokenizer, const char *tokenizer_folder,
              GHashTable *tensors, TandemMasks *masks, const char *const *labels,
              TandemDtype dtype, const char *path, TandemModelExportFlags flags,
              GCancellable *cancellable, GError **error)
{
  g_autofree char *display = g_filename_display_name (path);
  g_autofree char *config_path = g_build_filename (display, TANDEM_MODEL_CONFIG_FILE, NULL);
  g_autofree char *text = tandem_export_make_config (config_text, tensors, labels, dtype, error);
  g_autoptr (GHashTable) files = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                                        (GDestroyNotify) tandem_tensor_unref);
  g_autoptr (GHashTable) metadata =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (TandemExportFolder) folder = NULL;
  Writer writer = {
    .folder = display, .dtype = dtype, .masks = masks, .tensors = tensors, .files = files,
    .keep_dtypes = (flags & TANDEM_MODEL_EXPORT_KEEP_DTYPES) != 0, .metadata = metadata
  };
  g_auto (TandemModelConfig) config = { 0 };

  if (text == NULL || !tandem_model_config_parse (&config, text, config_path, error))
    return FALSE;
  writer.type = config.type;
  if (!add_tensors (&writer, &config, error))
    return FALSE;
  if (tandem_tokenizer_get_size (tokenizer) > config.vocab_size) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VOCABULARY,
                 "%s: the vocabulary has %u entries, the word embeddings %u rows", display,
                 tandem_tokenizer_get_size (tokenizer), config.vocab_size);
    return FALSE;
  }
  folder = tandem_export_folder_new (path, (flags & TANDEM_MODEL_EXPORT_REPLACE) != 0, error);
  return folder != NULL &&
         tandem_export_folder_add (folder, TANDEM_MODEL_CONFIG_FILE, text, -1, error) &&
         write_tokenizer (folder, tokenizer, tokenizer_folder, config.max_positions, error) &&
         write_weights (&writer, folder, cancellable, error) &&
         tandem_export_folder_commit (folder, error);
}

/**
 * tandem_model_export_check:
 * @folder: (type filename): where a model is to be written later
 * @flags: what may be replaced
 * @error: return location for %TANDEM_TRAIN_ERROR_EXISTS or a #GIOErrorEnum
 *
 * Asks before training what tandem_model_export() would find after it: whether @folder can be
 * made or replaced. Nothing is left behind but the folders above it.
 *
 * Returns: whether a folder can be written there now
 */
gboolean
tandem_model_export_check (const char *folder, TandemModelExportFlags flags, GError **error)
{
  g_autoptr (TandemExportFolder) trial = NULL;

  g_return_val_if_fail (folder != NULL, FALSE);

  trial = tandem_export_folder_new (folder, (flags & TANDEM_MODEL_EXPORT_REPLACE) != 0, error);
  return trial != NULL;
}

/**
 * tandem_model_export:
 * @self: the model that was trained, or one with the same tokenizer: a folder, or a stage file
 *   with layer 0
 * @config_text: (nullable): the text of a config.json, or %NULL for that of @self
 * @tensors: (element-type utf8 TandemTensor): all tensors by canonical name, as
 *   tandem_model_list_tensors() has them, and those of a head for pretraining ("cls.…")
 * @labels: (nullable) (array zero-terminated=1): the names of the classes, or %NULL for those
 *   that the configuration has
 * @dtype: %TANDEM_DTYPE_F32, or %TANDEM_DTYPE_F16, rounded to nearest even
 * @folder: (type filename): where to write; folders above it are made
 * @flags: what may be replaced
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #TandemTrainError, a #TandemModelError or a #GIOErrorEnum
 *
 * Writes a Hugging Face folder, which transformers loads as it is: config.json,
 * model.safetensors, vocab.txt, tokenizer_config.json, and tokenizer.json when @self has one.
 * With a classifier it is a BertForSequenceClassification (or Albert…), with a head for masked
 * tokens a BertForMaskedLM, else a BertModel. tandem_model_write_stage() cuts stage files from it.
 *
 * Names and shapes of all tensors are checked, and that weights are finite. The folder is
 * written beside @folder and takes its place when it is complete and on the disk: a full disk
 * leaves what was there. An empty folder and an earlier export are replaced; any other needs
 * %TANDEM_MODEL_EXPORT_REPLACE, and is never replaced when there are folders in it
 * (%TANDEM_TRAIN_ERROR_EXISTS).
 *
 * Returns: whether the folder was written
 */
gboolean
tandem_model_export (TandemModel *self, const char *config_text, GHashTable *tensors,
                     const char *const *labels, TandemDtype dtype, const char *folder,
                     TandemModelExportFlags flags, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemTokenizer) tokenizer = NULL;

  g_return_val_if_fail (TANDEM_IS_MODEL (self), FALSE);
  g_return_val_if_fail (tensors != NULL && folder != NULL, FALSE);
  g_return_val_if_fail (dtype == TANDEM_DTYPE_F32 || dtype == TANDEM_DTYPE_F16, FALSE);

  tokenizer = tandem_model_get_tokenizer (self, error);
  return tokenizer != NULL &&
         write_folder (config_text != NULL ? config_text : self->config_text, tokenizer,
                       self->folder, tensors, NULL, labels, dtype, folder, flags, cancellable,
                       error);
}

/**
 * tandem_model_export_sparse:
 * @self: as for tandem_model_export()
 * @config_text: (nullable): as for tandem_model_export()
 * @tensors: (element-type utf8 TandemTensor): as for tandem_model_export()
 * @masks: the tensors of which are stored sparse; what they do not keep is zero in @tensors
 * @tokenizer: (nullable): whose vocabulary is to be written, or %NULL for that of @self, with its
 *   files
 * @labels: (nullable) (array zero-terminated=1): as for tandem_model_export()
 * @dtype: as for tandem_model_export()
 * @folder: (type filename): where to write
 * @flags: what may be replaced, and how tensors are written
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #TandemTrainError, a #TandemModelError or a #GIOErrorEnum
 *
 * Writes a folder as tandem_model_export() does, in which each tensor that has a mask is stored as
 * its bits and the values that are kept. tandem_model_open() reads it; so does any reader of
 * safetensors, but transformers does not find the tensors. The masks are kept in further training.
 *
 * Returns: whether the folder was written
 */
gboolean
tandem_model_export_sparse (TandemModel *self, const char *config_text, GHashTable *tensors,
                            TandemMasks *masks, TandemTokenizer *tokenizer,
                            const char *const *labels, TandemDtype dtype, const char *folder,
                            TandemModelExportFlags flags,
                            GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemTokenizer) own = NULL;

  g_return_val_if_fail (TANDEM_IS_MODEL (self), FALSE);
  g_return_val_if_fail (tensors != NULL && masks != NULL && folder != NULL, FALSE);
  g_return_val_if_fail (dtype == TANDEM_DTYPE_F32 || dtype == TANDEM_DTYPE_F16, FALSE);

  if (tokenizer == NULL) {
    own = tandem_model_get_tokenizer (self, error);
    if (own == NULL)
      return FALSE;
  }
  return write_folder (config_text != NULL ? config_text : self->config_text,
                       own != NULL ? own : tokenizer, own != NULL ? self->folder : NULL, tensors,
                       masks, labels, dtype, folder, flags, cancellable, error);
}

/**
 * tandem_model_create:
 * @config_text: the text of a config.json
 * @tokenizer: the tokenizer of the model
 * @tensors: (element-type utf8 TandemTensor): as for tandem_model_export(); those of a new model
 *   come from tandem_model_init_random()
 * @labels: (nullable) (array zero-terminated=1): as for tandem_model_export()
 * @dtype: as for tandem_model_export()
 * @folder: (type filename): where to write
 * @flags: what may be replaced
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #TandemTrainError, a #TandemModelError or a #GIOErrorEnum
 *
 * Writes the folder of a model that is made from nothing: as tandem_model_export(), with
 * vocab.txt and tokenizer_config.json from @tokenizer.
 *
 * Returns: whether the folder was written
 */
gboolean
tandem_model_create (const char *config_text, TandemTokenizer *tokenizer, GHashTable *tensors,
                     const char *const *labels, TandemDtype dtype, const char *folder,
                     TandemModelExportFlags flags, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (config_text != NULL, FALSE);
  g_return_val_if_fail (TANDEM_IS_TOKENIZER (tokenizer), FALSE);
  g_return_val_if_fail (tensors != NULL && folder != NULL, FALSE);
  g_return_val_if_fail (dtype == TANDEM_DTYPE_F32 || dtype == TANDEM_DTYPE_F16, FALSE);

  return write_folder (config_text, tokenizer, NULL, tensors, NULL, labels, dtype, folder, flags,
                       cancellable, error);
}
