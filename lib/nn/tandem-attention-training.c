/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Attention and its backward pass, a block of queries of one head at a time: a block's scores,
 * their weights and their gradient stay in the cache. With P the weights, M the mask of dropout,
 * O the output and s one over the square root of the size of a head:
 *   O = (M P) V;  dV = (M P)' dO;  dP = M (dO V');  dS = P (dP - rows' sums of P dP);
 *   dQ = s dS K;  dK = s dS' Q. */

#include "config.h"

#include "nn/tandem-training-private.h"

#include <math.h>

#define BLOCK_QUERIES 256

/* Blocks of scores in scratch: P, M P and the gradient. */
#define N_BLOCKS 3

static gsize
get_scores_stride (guint length)
{
  return ((gsize) length + TANDEM_SCORES_ALIGN - 1) / TANDEM_SCORES_ALIGN * TANDEM_SCORES_ALIGN;
}

gsize
tandem_attention_train_scratch (guint max_length, guint n_heads, guint head_size)
{
  return N_BLOCKS * MIN (max_length, BLOCK_QUERIES) * get_scores_stride (max_length);
}

gboolean
tandem_attention_train_forward (const float *query, const float *key, const float *value,
                                gsize stride, guint length, guint n_heads, guint head_size,
                                const TandemDropout *dropout, float *out, float *scratch,
                                GError **error)
{
  const TandemTrainingKernels *kernels = tandem_kernels_get ()->training;
  gsize scores_stride = get_scores_stride (length), out_stride = (gsize) n_heads * head_size;
  float scale = 1.0f / sqrtf ((float) head_size);
  TandemDropoutBits bits;
  guint head, row;

  for (head = 0; head < n_heads; head++) {
    gsize column = (gsize) head * head_size;

    for (row = 0; row < length; row += BLOCK_QUERIES) {
      guint n = MIN (length - row, BLOCK_QUERIES);

      if (!tandem_gemm (FALSE, TRUE, n, length, head_size, query + row * stride + column, stride,
                        key + column, stride, 0.0f, scratch, scores_stride, error))
        return FALSE;
      kernels->softmax (scratch, n, length, scores_stride, scale);
      if (tandem_dropout_get_bits (dropout, head, &bits))
        kernels->dropout (&bits, row, n, length, scores_stride, scratch, scratch);
      if (!tandem_gemm (FALSE, FALSE, n, head_size, length, scratch, scores_stride,
                        value + column, stride, 0.0f, out + row * out_stride + column, out_stride,
                        error))
        return FALSE;
    }
  }
  return TRUE;
}

gboolean
tandem_attention_train_backward (const float *query, const float *key, const float *value,
                                 gsize stride, guint length, guint n_heads, guint head_size,
                                 const TandemDropout *dropout, const float *d_out, float *d_query,
                                 float *d_key, float *d_value, float *scratch, GError **error)
{
  const TandemTrainingKernels *kernels = tandem_kernels_get ()->training;
  gsize scores_stride = get_scores_stride (length), out_stride = (gsize) n_heads * head_size;
  gsize block = MIN (length, BLOCK_QUERIES) * scores_stride;
  float scale = 1.0f / sqrtf ((float) head_size);
  float *weights = scratch, *gradient = scratch + block, *kept;
  TandemDropoutBits bits;
  guint head, row;

  for (head = 0; head < n_heads; head++) {
    gsize column = (gsize) head * head_size;

    for (row = 0; row < length; row += BLOCK_QUERIES) {
      guint n = MIN (length - row, BLOCK_QUERIES);
      gsize at = row * stride + column;
      const float *d_o = d_out + row * out_stride + column;
      float beta = row > 0 ? 1.0f : 0.0f;

      if (!tandem_gemm (FALSE, TRUE, n, length, head_size, query + at, stride, key + column,
                        stride, 0.0f, weights, scores_stride, error))
        return FALSE;
      kernels->softmax (weights, n, length, scores_stride, scale);
      kept = weights;
      if (tandem_dropout_get_bits (dropout, head, &bits)) {
        kept = scratch + 2 * block;
        kernels->dropout (&bits, row, n, length, scores_stride, weights, kept);
      }
      if (!tandem_gemm (FALSE, TRUE, n, length, head_size, d_o, out_stride, value + column,
                        stride, 0.0f, gradient, scores_stride, error) ||
          !tandem_gemm (TRUE, FALSE, length, head_size, n, kept, scores_stride, d_o, out_stride,
                        beta, d_value + column, stride, error))
        return FALSE;
      kernels->softmax_backward (weights, kept, gradient, n, length, scores_stride, scale);
      if (!tandem_gemm (FALSE, FALSE, n, head_size, length, gradient, scores_stride, key + column,
                        stride, 0.0f, d_query + at, stride, error) ||
          !tandem_gemm (TRUE, FALSE, length, head_size, n, gradient, scores_stride, query + at,
                        stride, beta, d_key + column, stride, error))
        return FALSE;
    }
  }
  return TRUE;
}

/* weights: of the first row's query; kept: the same after dropout, or weights itself. */
static float *
weigh_first_row (const float *query, const float *key, gsize kv_stride, guint length, guint head,
                 guint head_size, const TandemDropout *dropout, float *weights, float *spare)
{
  const TandemTrainingKernels *kernels = tandem_kernels_get ()->training;
  gsize scores_stride = get_scores_stride (length);
  TandemDropoutBits bits;

  kernels->dot_rows (query, key, kv_stride, length, head_size, weights);
  kernels->softmax (weights, 1, length, scores_stride, 1.0f / sqrtf ((float) head_size));
  if (!tandem_dropout_get_bits (dropout, head, &bits))
    return weights;
  kernels->dropout (&bits, 0, 1, length, scores_stride, weights, spare);
  return spare;
}

void
tandem_first_row_attention_train_forward (const float *query, const float *key,
                                          const float *value, gsize kv_stride, guint length,
                                          guint n_heads, guint head_size,
                                          const TandemDropout *dropout, float *out,
                                          float *scratch)
{
  const TandemTrainingKernels *kernels = tandem_kernels_get ()->training;
  guint head;

  for (head = 0; head < n_heads; head++) {
    gsize column = (gsize) head * head_size;
    const float *kept = weigh_first_row (query + column, key + column, kv_stride, length, head,
                                         head_size, dropout, scratch,
                                         scratch + get_scores_stride (length));

    kernels->sum_rows (kept, value + column, kv_stride, length, head_size, out + column);
  }
}

void
tandem_first_row_attention_train_backward (const float *query, const float *key,
                                           const float *value, gsize kv_stride, guint length,
                                           guint n_heads, guint head_size,
                                           const TandemDropout *dropout, const float *d_out,
                                           float *d_query, float *d_key, float *d_value,
                                           float *scratch)
{
  const TandemTrainingKernels *kernels = tandem_kernels_get ()->training;
  gsize scores_stride = get_scores_stride (length);
  float *weights = scratch, *gradient = scratch + scores_stride;
  guint head;

  for (head = 0; head < n_heads; head++) {
    gsize column = (gsize) head * head_size;
    const float *kept = weigh_first_row (query + column, key + column, kv_stride, length, head,
                                         head_size, dropout, weights,
                                         scratch + 2 * scores_stride);

    kernels->outer_rows (kept, d_out + column, length, head_size, d_value + column, kv_stride);
    kernels->dot_rows (d_out + column, value + column, kv_stride, length, head_size, gradient);
    kernels->softmax_backward (weights, kept, gradient, 1, length, scores_stride,
                               1.0f / sqrtf ((float) head_size));
    kernels->sum_rows (gradient, key + column, kv_stride, length, head_size, d_query + column);
    kernels->outer_rows (gradient, query + column, length, head_size, d_key + column, kv_stride);
  }
}
