/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <string.h>

#include "model/tandem-bert-weights.h"
#include "model/tandem-model-private.h"

float *
tandem_bert_load (TandemModel *model, const char *name, GError **error)
{
  g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (model, name, error);
  g_autoptr (TandemFloats) out = NULL;

  if (tensor == NULL)
    return NULL;
  out = tandem_memory_new (tandem_tensor_get_n_elements (tensor), sizeof (float));
  if (!tandem_model_copy_f32 (model, name, out, error))
    return NULL;
  return g_steal_pointer (&out);
}

/* Whether all of these weights are int8 and are to be multiplied as such. */
static gboolean
is_int8 (TandemModel *model, const char *const *names, guint n_names, guint n_in,
         TandemLinearPrecision precision)
{
  guint i;

  if (precision != TANDEM_LINEAR_F32 || !tandem_linear_gains_by_int8 (n_in) ||
      tandem_model_get_quantization (model) != TANDEM_QUANTIZATION_INT8)
    return FALSE;
  for (i = 0; i < n_names; i++) {
    g_autofree char *name = g_strconcat (names[i], ".weight", NULL);
    g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (model, name, NULL);

    if (tensor == NULL || tandem_tensor_get_dtype (tensor) != TANDEM_DTYPE_I8)
      return FALSE;
  }
  return TRUE;
}

static TandemLinear *
load_int8 (TandemModel *model, const char *const *names, guint n_names, guint n_in,
           guint n_out_each, GError **error)
{
  gsize size = (gsize) n_in * n_out_each;
  g_autofree gint8 *weight = g_malloc (n_names * size);
  g_autofree float *scales = g_new (float, (gsize) n_names * n_out_each);
  g_autofree float *bias = g_new (float, (gsize) n_names * n_out_each);
  guint i;

  for (i = 0; i < n_names; i++) {
    g_autofree char *weight_name = g_strconcat (names[i], ".weight", NULL);
    g_autofree char *scale_name = g_strconcat (weight_name, TANDEM_SCALE_SUFFIX, NULL);
    g_autofree char *bias_name = g_strconcat (names[i], ".bias", NULL);
    g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (model, weight_name, error);

    if (tensor == NULL ||
        !tandem_model_copy_f32 (model, scale_name, scales + (gsize) i * n_out_each, error) ||
        !tandem_model_copy_f32 (model, bias_name, bias + (gsize) i * n_out_each, error))
      return NULL;
    memcpy (weight + i * size, tandem_tensor_get_data (tensor, NULL), size);
    tandem_tensor_release_pages (tensor);
  }
  return tandem_linear_new_int8 (weight, scales, bias, n_in, n_names * n_out_each);
}

TandemLinear *
tandem_bert_load_linear (TandemModel *model, const char *const *names, guint n_names, guint n_in,
                         guint n_out_each, TandemLinearPrecision precision, GError **error)
{
  gsize size = (gsize) n_in * n_out_each;
  g_autoptr (TandemFloats) weight = NULL;
  g_autofree float *bias = NULL;
  guint i;

  if (is_int8 (model, names, n_names, n_in, precision))
    return load_int8 (model, names, n_names, n_in, n_out_each, error);
  weight = tandem_memory_new (n_names * size, sizeof (float));
  bias = g_new (float, (gsize) n_names * n_out_each);
  for (i = 0; i < n_names; i++) {
    g_autofree char *weight_name = g_strconcat (names[i], ".weight", NULL);
    g_autofree char *bias_name = g_strconcat (names[i], ".bias", NULL);

    if (!tandem_model_copy_f32 (model, weight_name, weight + i * size, error) ||
        !tandem_model_copy_f32 (model, bias_name, bias + (gsize) i * n_out_each, error))
      return NULL;
  }
  return tandem_linear_new (weight, bias, n_in, n_names * n_out_each, precision, error);
}

gboolean
tandem_bert_load_norm (TandemModel *model, const char *name, TandemNorm *norm, GError **error)
{
  g_autofree char *gamma = g_strconcat (name, ".weight", NULL);
  g_autofree char *beta = g_strconcat (name, ".bias", NULL);

  norm->gamma = tandem_bert_load (model, gamma, error);
  if (norm->gamma == NULL)
    return FALSE;
  norm->beta = tandem_bert_load (model, beta, error);
  return norm->beta != NULL;
}

void
tandem_bert_norm_clear (TandemNorm *norm)
{
  g_clear_pointer (&norm->gamma, tandem_memory_free);
  g_clear_pointer (&norm->beta, tandem_memory_free);
}
