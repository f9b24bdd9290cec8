/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "nn/tandem-kernels-training.h"

/* Rows of one product: what it writes is still in the cache when the bias is added, and the
 * sums over rows stay short. */
#define FORWARD_ROWS 1024
#define BACKWARD_ROWS 1024

gboolean
tandem_linear_train_forward (const float *x, gsize n_rows, const float *weight, const float *bias,
                             guint n_in, guint n_out, float *out, GError **error)
{
  const TandemTrainingKernels *kernels = tandem_kernels_get ()->training;
  gsize row;

  for (row = 0; row < n_rows; row += FORWARD_ROWS) {
    gsize n = MIN (n_rows - row, FORWARD_ROWS);

    if (!tandem_gemm (FALSE, TRUE, n, n_out, n_in, x + row * n_in, n_in, weight, n_in, 0.0f,
                      out + row * n_out, n_out, error))
      return FALSE;
    if (bias != NULL)
      kernels->add_bias (bias, n, n_out, out + row * n_out);
  }
  return TRUE;
}

gboolean
tandem_linear_train_backward (const float *x, gsize n_rows, const float *weight, guint n_in,
                              guint n_out, const float *d_y, float *d_x, gboolean add_to_x,
                              float *d_weight, float *d_bias, GError **error)
{
  const TandemTrainingKernels *kernels = tandem_kernels_get ()->training;
  gsize row;

  for (row = 0; row < n_rows; row += BACKWARD_ROWS) {
    gsize n = MIN (n_rows - row, BACKWARD_ROWS);

    if (d_bias != NULL)
      kernels->add_columns (d_y, n, n_out, d_bias);
    if (!tandem_gemm (TRUE, FALSE, n_out, n_in, n, d_y, n_out, x, n_in, 1.0f, d_weight, n_in,
                      error))
      return FALSE;
    if (d_x != NULL) {
      if (!tandem_gemm (FALSE, FALSE, n, n_in, n_out, d_y, n_out, weight, n_in,
                        add_to_x ? 1.0f : 0.0f, d_x, n_in, error))
        return FALSE;
      d_x += n * n_in;
    }
    x += n * n_in;
    d_y += n * n_out;
  }
  return TRUE;
}
