/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whole models with fewer bits a weight. */

#include "config.h"

#include <math.h>

#include "model/tandem-model-private.h"
#include "quantize/tandem-quantize.h"
#include "tensor/tandem-half-private.h"
#include "tensor/tandem-memory.h"
#include "tensor/tandem-safetensors-private.h"
#include "train/tandem-model-export-private.h"

#define TOKEN_TYPES "embeddings.token_type_embeddings.weight"
#define CLASSIFIER "classifier.weight"

typedef struct
{
  TandemModel *model;
  TandemQuantizeFormat format;
  const char *const *kept;
  GHashTable *tensors;          /* by the names that the file shall have */
  GHashTable *metadata;         /* of the file */
} Maker;

static gboolean
is_int8 (TandemQuantizeFormat format)
{
  return format == TANDEM_QUANTIZE_INT8 || format == TANDEM_QUANTIZE_INT8_WEIGHTS;
}

/* A table of two rows and a classifier of a few are not worth their scales; of a pruned matrix less
 * may be left than int8 takes. */
static gboolean
is_quantizable (TandemModel *model, const char *name, const TandemTensor *tensor)
{
  g_autoptr (TandemSparseTensor) sparse = tandem_model_get_sparse_tensor (model, name);

  return tandem_tensor_get_n_dims (tensor) == 2 && !g_str_equal (name, TOKEN_TYPES) &&
         !g_str_equal (name, CLASSIFIER) &&
         (sparse == NULL || tandem_sparse_tensor_get_n_bytes (sparse) >
                                tandem_tensor_get_n_elements (tensor));
}

/**
 * tandem_quantize_list_tensors:
 * @model: a model
 *
 * Lists the tensors that int8 formats store as int8: the matrices of all linear layers but the
 * classifier, and word and position embeddings; but not those that were pruned so far that they
 * take fewer bytes without their zeros.
 *
 * Returns: (transfer full) (array zero-terminated=1): canonical names, from the embeddings up
 */
char **
tandem_quantize_list_tensors (TandemModel *model)
{
  g_autoptr (GStrvBuilder) list = g_strv_builder_new ();
  g_auto (GStrv) names = NULL;
  guint i;

  g_return_val_if_fail (TANDEM_IS_MODEL (model), NULL);

  names = tandem_model_list_tensors (model);
  for (i = 0; names[i] != NULL; i++) {
    g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (model, names[i], NULL);

    if (tensor != NULL && is_quantizable (model, names[i], tensor))
      g_strv_builder_add (list, names[i]);
  }
  return g_strv_builder_end (list);
}

/* Takes @tensor. */
static void
insert (Maker *maker, const char *name, TandemTensor *tensor)
{
  g_hash_table_insert (maker->tensors,
                       tandem_model_name_from_canonical (maker->model->config.type, name), tensor);
}

/* What was pruned keeps its mask, though a value of it may be rounded to zero. */
static gboolean
add_int8 (Maker *maker, const char *name, const TandemTensor *tensor,
          const TandemSparseTensor *sparse, GError **error)
{
  g_autofree char *scale_name = g_strconcat (name, TANDEM_SCALE_SUFFIX, NULL);
  gboolean table = g_str_has_prefix (name, "embeddings.") &&
                   g_str_has_suffix (name, "_embeddings.weight");
  TandemTensor *scales;
  TandemTensor *numbers = tandem_quantize_rows (tensor, table, &scales, error);

  if (numbers == NULL) {
    g_prefix_error (error, "%s: tensor \"%s\": ", maker->model->display_path, name);
    return FALSE;
  }
  insert (maker, scale_name, scales);
  if (sparse == NULL) {
    insert (maker, name, numbers);
  } else {
    g_autoptr (TandemTensor) all = numbers;
    g_autoptr (TandemSparseTensor) left = tandem_sparse_tensor_new_from_dense (
      numbers, tandem_tensor_get_data (tandem_sparse_tensor_get_mask (sparse), NULL));
    g_autofree char *file_name =
        tandem_model_name_from_canonical (maker->model->config.type, name);

    tandem_sparse_tensor_store (left, file_name, maker->metadata, maker->tensors);
  }
  return TRUE;
}

/* Returns the tensor in 16 bits an element. */
static TandemTensor *
to_half (Maker *maker, const char *name, const TandemTensor *tensor, GError **error)
{
  gboolean bf16 = maker->format == TANDEM_QUANTIZE_BF16;
  guint64 n = tandem_tensor_get_n_elements (tensor), shape[TANDEM_TENSOR_MAX_DIMS], i;
  g_autoptr (TandemFloats) values = tandem_memory_new (n, sizeof (float));
  guint16 *stored = g_new (guint16, n);
  g_autoptr (GBytes) bytes = g_bytes_new_take (stored, 2 * n);
  guint dim;

  tandem_tensor_copy_f32 (tensor, 0, n, values);
  for (i = 0; i < n; i++) {
    if (!isfinite (values[i]) || (!bf16 && fabsf (values[i]) > TANDEM_F16_LARGEST)) {
      g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                   "%s: element %" G_GUINT64_FORMAT " of tensor \"%s\" is %g, which %s cannot hold",
                   maker->model->display_path, i, name, values[i], bf16 ? "BF16" : "F16");
      return NULL;
    }
  }
  for (i = 0; i < n; i++)
    stored[i] = bf16 ? tandem_bf16_from_float (values[i]) : tandem_f16_from_float (values[i]);
  for (dim = 0; dim < tandem_tensor_get_n_dims (tensor); dim++)
    shape[dim] = tandem_tensor_get_dim (tensor, dim);
  return tandem_tensor_new (bf16 ? TANDEM_DTYPE_BF16 : TANDEM_DTYPE_F16, dim, shape, bytes, error);
}

static gboolean
add_half (Maker *maker, const char *name, const TandemTensor *tensor, GError **error)
{
  TandemTensor *halves = to_half (maker, name, tensor, error);

  if (halves == NULL)
    return FALSE;
  insert (maker, name, halves);
  return TRUE;
}

/* Whether a tensor is to stay as it is stored. */
static gboolean
stays (const Maker *maker, const char *name, const TandemTensor *tensor)
{
  return (maker->kept != NULL && g_strv_contains (maker->kept, name)) ||
         (is_int8 (maker->format) && !is_quantizable (maker->model, name, tensor));
}

/* What was pruned stays pruned, in the type that it had or in 16 bits a value. */
static gboolean
add_sparse (Maker *maker, const char *name, TandemSparseTensor *tensor, gboolean as_it_is,
            GError **error)
{
  g_autofree char *file_name =
      tandem_model_name_from_canonical (maker->model->config.type, name);
  g_autoptr (TandemTensor) values = NULL;
  g_autoptr (TandemSparseTensor) halves = NULL;
  guint64 shape[TANDEM_TENSOR_MAX_DIMS];
  guint dim;

  if (as_it_is) {
    tandem_sparse_tensor_store (tensor, file_name, maker->metadata, maker->tensors);
    return TRUE;
  }
  values = to_half (maker, name, tandem_sparse_tensor_get_values (tensor), error);
  if (values == NULL)
    return FALSE;
  for (dim = 0; dim < tandem_sparse_tensor_get_n_dims (tensor); dim++)
    shape[dim] = tandem_sparse_tensor_get_dim (tensor, dim);
  halves = tandem_sparse_tensor_new (tandem_sparse_tensor_get_mask (tensor), values, dim, shape,
                                     error);
  if (halves == NULL)
    return FALSE;
  tandem_sparse_tensor_store (halves, file_name, maker->metadata, maker->tensors);
  return TRUE;
}

static gboolean
add_tensor (Maker *maker, const char *name, GError **error)
{
  g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (maker->model, name, error);
  g_autoptr (TandemSparseTensor) sparse = tandem_model_get_sparse_tensor (maker->model, name);
  gboolean as_it_is, ok;

  if (tensor == NULL)
    return FALSE;
  as_it_is = stays (maker, name, tensor);
  if (sparse != NULL && (as_it_is || !is_int8 (maker->format)))
    return add_sparse (maker, name, sparse, as_it_is, error);
  if (as_it_is) {
    insert (maker, name, tandem_tensor_ref (tensor));
    return TRUE;
  }
  ok = is_int8 (maker->format) ? add_int8 (maker, name, tensor, sparse, error)
                               : add_half (maker, name, tensor, error);
  if (ok)
    tandem_tensor_release_pages (tensor);
  return ok;
}

static gboolean
check_kept (const Maker *maker, GError **error)
{
  g_auto (GStrv) names = tandem_model_list_tensors (maker->model);
  guint i;

  for (i = 0; maker->kept != NULL && maker->kept[i] != NULL; i++) {
    if (!g_strv_contains ((const char *const *) names, maker->kept[i])) {
      g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                   "%s: there is no tensor \"%s\" that could be kept as it is",
                   maker->model->display_path, maker->kept[i]);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
add_tensors (Maker *maker, GCancellable *cancellable, GError **error)
{
  g_auto (GStrv) names = tandem_model_list_tensors (maker->model);
  guint i;

  for (i = 0; names[i] != NULL; i++)
    if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
        !add_tensor (maker, names[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
check_model (TandemModel *model, GError **error)
{
  if (tandem_model_get_quantization (model) != TANDEM_QUANTIZATION_NONE) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: the model is quantized already; begin with the one that it was made of",
                 model->display_path);
    return FALSE;
  }
  if (model->is_stage) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                 "%s: is a stage file; quantize the whole model, and split what comes out",
                 model->display_path);
    return FALSE;
  }
  return TRUE;
}

/* The tokenizer's files, as they are. */
static gboolean
copy_files (TandemModel *model, TandemExportFolder *folder, GError **error)
{
  static const char *const names[] = {
    TANDEM_EXPORT_VOCABULARY_FILE, TANDEM_EXPORT_TOKENIZER_FILE,
    TANDEM_EXPORT_TOKENIZER_CONFIG_FILE
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (model->folder, names[i], NULL);
    g_autofree char *text = NULL;
    gsize length;

    if (!g_file_test (path, G_FILE_TEST_EXISTS))
      continue;
    text = tandem_model_read_text (path, &length, error);
    if (text == NULL || !tandem_export_folder_add (folder, names[i], text, length, error))
      return FALSE;
  }
  return TRUE;
}

/* int8 leaves the configuration as it is: no other program would read the weights anyway. */
static char *
make_config (Maker *maker, GError **error)
{
  g_autoptr (GHashTable) tensors = NULL;
  g_auto (GStrv) names = NULL;
  guint i;

  if (is_int8 (maker->format))
    return g_strdup (maker->model->config_text);
  tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                   (GDestroyNotify) tandem_tensor_unref);
  names = tandem_model_list_tensors (maker->model);
  for (i = 0; names[i] != NULL; i++)
    g_hash_table_insert (tensors, g_strdup (names[i]),
                         tandem_model_get_tensor (maker->model, names[i], NULL));
  return tandem_export_make_config (maker->model->config_text, tensors, NULL,
                                    maker->format == TANDEM_QUANTIZE_F16 ? TANDEM_DTYPE_F16
                                                                         : TANDEM_DTYPE_BF16,
                                    error);
}

static gboolean
write_folder (Maker *maker, TandemExportFolder *folder, GCancellable *cancellable, GError **error)
{
  g_autofree char *config = make_config (maker, error);
  g_autofree char *path = g_build_filename (folder->temporary, TANDEM_MODEL_WEIGHTS_FILE, NULL);
  GHashTable *metadata = maker->metadata;
  TandemQuantization quantization = maker->format == TANDEM_QUANTIZE_INT8
      ? TANDEM_QUANTIZATION_INT8 : TANDEM_QUANTIZATION_WEIGHTS;

  g_hash_table_insert (metadata, g_strdup ("format"), g_strdup ("pt"));
  g_hash_table_insert (metadata, g_strdup (TANDEM_EXPORT_KEY), g_strdup ("1"));
  if (is_int8 (maker->format))
    g_hash_table_insert (metadata, g_strdup (TANDEM_QUANTIZATION_KEY),
                         g_strdup (tandem_quantization_to_metadata (quantization)));
  return config != NULL &&
         tandem_export_folder_add (folder, TANDEM_MODEL_CONFIG_FILE, config, -1, error) &&
         copy_files (maker->model, folder, error) &&
         tandem_safetensors_write (path, metadata, maker->tensors, cancellable, error);
}

/**
 * tandem_quantize_model:
 * @model: a model folder, none that is quantized already
 * @format: what to make of its weights
 * @kept: (nullable) (array zero-terminated=1): canonical names of tensors that are to stay as they
 *   are stored, or %NULL for none
 * @folder: (type filename): where to write; folders above it are made
 * @flags: what may be replaced, as tandem_model_export() says
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #TandemModelError, a #TandemTrainError or a #GIOErrorEnum
 *
 * Writes a model folder with fewer bits a weight: config.json, model.safetensors and the files of
 * the tokenizer. Of the int8 formats, which tensors become int8 says
 * tandem_quantize_list_tensors(); others stay as they are stored. The 16-bit formats convert every
 * tensor, and what is stored sparse stays sparse. The model that is written has a fingerprint of
 * its own. It takes the place of @folder when it is complete.
 *
 * Returns: whether the folder was written
 */
gboolean
tandem_quantize_model (TandemModel *model, TandemQuantizeFormat format, const char *const *kept,
                       const char *folder, TandemModelExportFlags flags,
                       GCancellable *cancellable, GError **error)
{
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (
      g_str_hash, g_str_equal, g_free, (GDestroyNotify) tandem_tensor_unref);
  g_autoptr (GHashTable) metadata =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  Maker maker = { model, format, kept, tensors, metadata };
  g_autoptr (TandemExportFolder) writer = NULL;

  g_return_val_if_fail (TANDEM_IS_MODEL (model), FALSE);
  g_return_val_if_fail (folder != NULL, FALSE);

  if (!check_model (model, error) || !check_kept (&maker, error) ||
      !add_tensors (&maker, cancellable, error))
    return FALSE;
  writer = tandem_export_folder_new (folder, (flags & TANDEM_MODEL_EXPORT_REPLACE) != 0, error);
  return writer != NULL && write_folder (&maker, writer, cancellable, error) &&
         tandem_export_folder_commit (writer, error);
}
