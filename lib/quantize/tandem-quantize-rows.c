/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Matrices as int8 with a scale for each row. */

#include "config.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "quantize/tandem-quantize.h"
#include "tensor/tandem-half-private.h"
#include "tensor/tandem-memory.h"

#define INT8_LARGEST 127

/* Returns what one step of int8 stands for in each row, or NULL when the matrix holds what is
 * not finite. */
static float *
find_scales (const float *values, guint64 rows, guint64 columns)
{
  g_autofree float *scales = g_new (float, rows);
  guint64 r, c;

  for (r = 0; r < rows; r++) {
    float largest = 0.0f;

    for (c = 0; c < columns; c++) {
      float size = fabsf (values[r * columns + c]);

      if (!isfinite (size))
        return NULL;
      largest = MAX (largest, size);
    }
    /* Below that, the steps themselves could not be told apart: such a row is zero. */
    scales[r] = largest / INT8_LARGEST < FLT_MIN ? 0.0f : largest / INT8_LARGEST;
  }
  return g_steal_pointer (&scales);
}

/* Whether half can say the scales about as precisely as they need to be. */
static gboolean
fit_half (const float *scales, guint64 n)
{
  guint64 i;

  for (i = 0; i < n; i++)
    if (scales[i] != 0.0f && (scales[i] < TANDEM_F16_SMALLEST || scales[i] > TANDEM_F16_LARGEST))
      return FALSE;
  return TRUE;
}

/* Elements are rounded in steps of the scale as it is stored. */
static TandemTensor *
store_scales (float *scales, guint64 n, gboolean half, GError **error)
{
  guint16 *halves;
  g_autoptr (GBytes) bytes = NULL;
  guint64 i;

  if (!half || !fit_half (scales, n)) {
    bytes = g_bytes_new (scales, n * sizeof *scales);
    return tandem_tensor_new (TANDEM_DTYPE_F32, 1, &n, bytes, error);
  }
  halves = g_new (guint16, n);
  bytes = g_bytes_new_take (halves, n * sizeof *halves);
  for (i = 0; i < n; i++) {
    halves[i] = tandem_f16_from_float (scales[i]);
    scales[i] = tandem_f16_to_float (halves[i]);
  }
  return tandem_tensor_new (TANDEM_DTYPE_F16, 1, &n, bytes, error);
}

/**
 * tandem_quantize_rows:
 * @tensor: a matrix [rows, columns] of type F32, F16, BF16 or F64
 * @half_scales: whether scales may be F16, where that can say them; for tables of many short rows
 * @scales: (out) (transfer full): where to store the tensor of scales, F32 or F16 [rows]
 * @error: return location for %TANDEM_MODEL_ERROR_TENSOR when @tensor is no such matrix or
 *   holds what is not finite
 *
 * Rounds each row to int8 in steps of its own: the largest absolute value of the row, divided
 * by 127 (symmetric quantization by channel: Jacob et al. 2018, section 2.1, with a zero point
 * of 0). The error of an element is half a step at most. Ties are rounded to even; -128 does not
 * occur.
 *
 * Returns: (transfer full): the I8 tensor of the shape of @tensor, or %NULL with @error set
 */
TandemTensor *
tandem_quantize_rows (const TandemTensor *tensor, gboolean half_scales, TandemTensor **scales,
                      GError **error)
{
  guint64 n = tandem_tensor_get_n_elements (tensor), shape[2], r, c;
  g_autoptr (TandemFloats) values = NULL;
  g_autofree float *steps = NULL;
  g_autoptr (TandemTensor) stored = NULL;
  g_autoptr (GBytes) bytes = NULL;
  TandemTensor *result;
  gint8 *numbers;

  g_return_val_if_fail (scales != NULL, NULL);

  *scales = NULL;
  values = tandem_memory_new (n, sizeof (float));
  if (tandem_tensor_get_n_dims (tensor) != 2 ||
      tandem_tensor_get_dtype (tensor) == TANDEM_DTYPE_I8 ||
      tandem_tensor_get_dtype (tensor) == TANDEM_DTYPE_U8 ||
      !tandem_tensor_copy_f32 (tensor, 0, n, values)) {
    g_set_error_literal (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                         "only a matrix of floats can be quantized");
    return NULL;
  }
  shape[0] = tandem_tensor_get_dim (tensor, 0);
  shape[1] = tandem_tensor_get_dim (tensor, 1);
  steps = find_scales (values, shape[0], shape[1]);
  if (steps == NULL) {
    g_set_error_literal (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                         "it holds numbers that are not finite");
    return NULL;
  }
  stored = store_scales (steps, shape[0], half_scales, error);
  if (stored == NULL)
    return NULL;
  numbers = g_new (gint8, n);
  bytes = g_bytes_new_take (numbers, n);
  for (r = 0; r < shape[0]; r++)
    for (c = 0; c < shape[1]; c++) {
      float step = steps[r], value = values[r * shape[1] + c];

      numbers[r * shape[1] + c] =
          step == 0.0f ? 0 : (gint8) CLAMP (rintf (value / step), -INT8_LARGEST, INT8_LARGEST);
    }
  result = tandem_tensor_new (TANDEM_DTYPE_I8, 2, shape, bytes, error);
  if (result != NULL)
    *scales = g_steal_pointer (&stored);
  return result;
}
