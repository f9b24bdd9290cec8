/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "nn/tandem-training.h"

#include <dnnl.h>
#include <dnnl_debug.h>
#include <string.h>

#include "nn/tandem-linear.h"

gboolean
tandem_gemm (gboolean transpose_a, gboolean transpose_b, gsize m, gsize n, gsize k,
             const float *a, gsize a_stride, const float *b, gsize b_stride, float beta, float *c,
             gsize c_stride, GError **error)
{
  dnnl_status_t status;
  gsize row;

  if (k == 0 && beta == 0.0f) {
    /* oneDNN leaves C as it is when there is nothing to add to it. */
    for (row = 0; row < m; row++)
      memset (c + row * c_stride, 0, n * sizeof (float));
    return TRUE;
  }
  if (m == 0 || n == 0)
    return TRUE;

  tandem_linear_use_one_thread ();
  status = dnnl_sgemm (transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', (dnnl_dim_t) m,
                       (dnnl_dim_t) n, (dnnl_dim_t) k, 1.0f, a, (dnnl_dim_t) a_stride, b,
                       (dnnl_dim_t) b_stride, beta, c, (dnnl_dim_t) c_stride);
  if (status == dnnl_success)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
               "oneDNN could not multiply [%" G_GSIZE_FORMAT ", %" G_GSIZE_FORMAT "] by [%"
               G_GSIZE_FORMAT ", %" G_GSIZE_FORMAT "]: %s", m, k, k, n,
               dnnl_status2str (status));
  return FALSE;
}
