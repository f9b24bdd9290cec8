/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Quantized tensors. A matrix NAME of a linear layer or of embeddings may be stored as int8 with a
 * scale for each row, which is an output of the layer or a word:
 *
 *   NAME         I8 [rows, columns]
 *   NAME.scale   F32 or F16 [rows]: finite and not negative
 *
 * Its elements are NAME[r, c] * NAME.scale[r]. "tandem.quantization" in the metadata of the file is
 * "weights=int8", or "weights=int8,activations=int8" when linear layers are to round the
 * rows that come in as well. Without that key I8 means nothing here: other programs have other
 * conventions. */

#include "config.h"

#include <math.h>

#include "tandem-model-private.h"
#include "tensor/tandem-memory.h"

static const char *const metadata[] = {
  [TANDEM_QUANTIZATION_NONE] = NULL,
  [TANDEM_QUANTIZATION_WEIGHTS] = "weights=int8",
  [TANDEM_QUANTIZATION_INT8] = "weights=int8,activations=int8",
};

/* NULL: no key. */
const char *
tandem_quantization_to_metadata (TandemQuantization quantization)
{
  return metadata[quantization];
}

/* Notes what the metadata of a file says, where it says something. Shards say the same. */
gboolean
tandem_model_read_quantization (TandemModel *self, TandemSafetensors *file, GError **error)
{
  const char *text = tandem_safetensors_get_metadata (file, TANDEM_QUANTIZATION_KEY);
  guint i;

  if (text == NULL)
    return TRUE;
  for (i = TANDEM_QUANTIZATION_WEIGHTS; i < G_N_ELEMENTS (metadata); i++) {
    if (!g_str_equal (text, metadata[i]))
      continue;
    if (self->quantization != TANDEM_QUANTIZATION_NONE && self->quantization != i) {
      g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                   "%s: one file is quantized as \"%s\", another as \"%s\"", self->display_path,
                   metadata[self->quantization], text);
      return FALSE;
    }
    self->quantization = i;
    return TRUE;
  }
  g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VERSION,
               "%s: its tensors are quantized as \"%.80s\", which this version does not know; "
               "update Tandem", self->display_path, text);
  return FALSE;
}

static gboolean
fail_scale (TandemModel *self, const TandemModelEntry *scale, GError **error, const char *what)
{
  g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR, "%s: tensor \"%s\" %s",
               self->display_path, scale->name, what);
  return FALSE;
}

static gboolean
check_scale (TandemModel *self, const TandemModelSpec *spec, const TandemModelEntry *scale,
             GError **error)
{
  g_autofree char *wanted = NULL;
  g_autoptr (TandemTensor) tensor = NULL;
  const char *dtype;
  const guint64 *shape;
  guint n_dims;
  guint64 i;

  tandem_safetensors_get_info (scale->file, scale->name, &dtype, &n_dims, &shape, NULL);
  if (!g_str_equal (dtype, "F32") && !g_str_equal (dtype, "F16"))
    return fail_scale (self, scale, error, "holds scales, which are F32 or F16");
  if (n_dims != 1 || shape[0] != spec->shape[0]) {
    wanted = g_strdup_printf ("holds scales, and needs the shape [%" G_GUINT64_FORMAT "], one for "
                              "each row", spec->shape[0]);
    return fail_scale (self, scale, error, wanted);
  }
  tensor = tandem_safetensors_get_tensor (scale->file, scale->name, error);
  if (tensor == NULL)
    return FALSE;
  for (i = 0; i < spec->shape[0]; i++) {
    float value;

    tandem_tensor_copy_f32 (tensor, i, 1, &value);
    if (!isfinite (value) || value < 0.0f) {
      wanted = g_strdup_printf ("has the scale %g for row %" G_GUINT64_FORMAT, value, i);
      return fail_scale (self, scale, error, wanted);
    }
  }
  return TRUE;
}

/* Checks all but the shape of a tensor that is stored as I8, and notes that the model is
 * quantized. */
gboolean
tandem_model_check_quantized (TandemModel *self, const TandemModelSpec *spec,
                              const TandemModelEntry *entry, GError **error)
{
  g_autofree char *scale_name = g_strconcat (spec->name, TANDEM_SCALE_SUFFIX, NULL);
  const TandemModelEntry *scale = g_hash_table_lookup (self->entries, scale_name);

  if (tandem_safetensors_get_metadata (entry->file, TANDEM_QUANTIZATION_KEY) == NULL) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: tensor \"%s\" is stored as I8, and the metadata has no \"%s\" that says how; "
                 "quantize the model with \"tandem quantize\"", self->display_path, entry->name,
                 TANDEM_QUANTIZATION_KEY);
    return FALSE;
  }
  if (!tandem_model_read_quantization (self, entry->file, error))
    return FALSE;
  if (spec->n_dims != 2) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: tensor \"%s\" is stored as I8; only matrices may be", self->display_path,
                 entry->name);
    return FALSE;
  }
  if (scale == NULL) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: tensor \"%s\" is stored as I8, and its scales \"%s%s\" are missing",
                 self->display_path, entry->name, entry->name, TANDEM_SCALE_SUFFIX);
    return FALSE;
  }
  return check_scale (self, spec, scale, error);
}

/**
 * tandem_model_get_quantization:
 * @self: a model
 *
 * Returns: how its weights are stored and what its linear layers are meant to compute with; a
 *   stage file says so of the whole model
 */
TandemQuantization
tandem_model_get_quantization (TandemModel *self)
{
  g_return_val_if_fail (TANDEM_IS_MODEL (self), TANDEM_QUANTIZATION_NONE);
  return self->quantization;
}

/* Returns the scales of the rows of the I8 tensor @name, for tandem_memory_free(). */
float *
tandem_model_load_scales (TandemModel *self, const char *name, GError **error)
{
  g_autofree char *scale_name = g_strconcat (name, TANDEM_SCALE_SUFFIX, NULL);
  g_autoptr (TandemTensor) scale = tandem_model_get_tensor (self, scale_name, error);
  float *out;

  if (scale == NULL)
    return NULL;
  out = tandem_memory_new (tandem_tensor_get_n_elements (scale), sizeof (float));
  tandem_tensor_copy_f32 (scale, 0, tandem_tensor_get_n_elements (scale), out);
  return out;
}

/* Copies a whole tensor as floats; what is quantized is multiplied by its scales. */
gboolean
tandem_model_copy_f32 (TandemModel *self, const char *name, float *out, GError **error)
{
  g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (self, name, error);
  g_autoptr (TandemFloats) scales = NULL;
  guint64 rows, columns, r, c;

  if (tensor == NULL)
    return FALSE;
  if (!tandem_tensor_copy_f32 (tensor, 0, tandem_tensor_get_n_elements (tensor), out)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: the tensor %s is of type %s; weights are F32, F16, BF16 or I8",
                 self->display_path, name,
                 tandem_dtype_to_string (tandem_tensor_get_dtype (tensor)));
    return FALSE;
  }
  if (tandem_tensor_get_dtype (tensor) == TANDEM_DTYPE_I8) {
    scales = tandem_model_load_scales (self, name, error);
    if (scales == NULL)
      return FALSE;
    rows = tandem_tensor_get_dim (tensor, 0);
    columns = tandem_tensor_get_dim (tensor, 1);
    for (r = 0; r < rows; r++)
      for (c = 0; c < columns; c++)
        out[r * columns + c] *= scales[r];
  }
  tandem_tensor_release_pages (tensor);
  return TRUE;
}
