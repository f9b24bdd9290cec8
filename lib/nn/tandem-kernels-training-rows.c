/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Training: operations on rows. Compiled once for each instruction set; TANDEM_ISA is its
 * name. */

#include "config.h"

#include "nn/tandem-kernels-training-isa.h"

#include <math.h>

#include "nn/tandem-philox.h"

static void
add_bias (const float *bias, gsize n_rows, guint width, float *x)
{
  gsize r;

  for (r = 0; r < n_rows; r++)
    KERNEL (add) (bias, width, x + r * width);
}

/* Four rows at a time, and yet one after the other: the sum does not show it. */
static void
add_columns (const float *x, gsize n_rows, guint width, float *sums)
{
  gsize r;
  guint i;

  for (r = 0; r + 4 <= n_rows; r += 4) {
    const float *row = x + r * width;

    for (i = 0; i + VL <= width; i += VL) {
      vf s = v_load (sums + i) + v_load (row + i);

      s += v_load (row + width + i);
      s += v_load (row + 2 * (gsize) width + i);
      s += v_load (row + 3 * (gsize) width + i);
      v_store (sums + i, s);
    }
    for (; i < width; i++)
      sums[i] = sums[i] + row[i] + row[width + i] + row[2 * (gsize) width + i] +
          row[3 * (gsize) width + i];
  }
  for (; r < n_rows; r++)
    KERNEL (add) (x + r * width, width, sums);
}

static void
layer_norm_forward (const float *x, guint n_rows, guint width, const float *gamma,
                    const float *beta, float eps, float *normalised, float *inverse, float *out)
{
  guint whole = width / VL * VL, rest = width - whole, r, i;

  for (r = 0; r < n_rows; r++) {
    vf sum = v_set1 (0.0f), squares = v_set1 (0.0f);
    float mean, variance = 0.0f, s;

    for (i = 0; i < whole; i += VL)
      sum += v_load (x + i);
    sum += v_load_n (x + i, rest);
    mean = v_sum (sum) / (float) width;

    for (i = 0; i < whole; i += VL) {
      vf d = v_load (x + i) - mean;

      squares = d * d + squares;
    }
    for (; i < width; i++)
      variance += (x[i] - mean) * (x[i] - mean);
    variance = (v_sum (squares) + variance) / (float) width;
    s = inverse[r] = 1.0f / sqrtf (variance + eps);

    for (i = 0; i < whole; i += VL) {
      vf n = (v_load (x + i) - mean) * s;

      v_store (normalised + i, n);
      v_store (out + i, n * v_load (gamma + i) + v_load (beta + i));
    }
    for (; i < width; i++) {
      normalised[i] = (x[i] - mean) * s;
      out[i] = normalised[i] * gamma[i] + beta[i];
    }
    x += width;
    normalised += width;
    out += width;
  }
}

/* With g = d_y gamma, d_x = (g - mean (g) - n mean (g n)) / standard deviation. */
static void
layer_norm_backward (const float *d_y, const float *normalised, const float *inverse, guint n_rows,
                     guint width, const float *gamma, float *d_x, float *d_gamma, float *d_beta)
{
  guint whole = width / VL * VL, rest = width - whole, r, i;

  for (r = 0; r < n_rows; r++) {
    vf sum = v_set1 (0.0f), products = v_set1 (0.0f), g, n, d;
    float mean, mean_product;

    for (i = 0; i < whole; i += VL) {
      d = v_load (d_y + i);
      n = v_load (normalised + i);
      g = d * v_load (gamma + i);
      sum += g;
      products = g * n + products;
      v_store (d_gamma + i, d * n + v_load (d_gamma + i));
      v_store (d_beta + i, d + v_load (d_beta + i));
    }
    if (rest > 0) {
      d = v_load_n (d_y + i, rest);
      n = v_load_n (normalised + i, rest);
      g = d * v_load_n (gamma + i, rest);
      sum += g;
      products = g * n + products;
      v_store_n (d_gamma + i, d * n + v_load_n (d_gamma + i, rest), rest);
      v_store_n (d_beta + i, d + v_load_n (d_beta + i, rest), rest);
    }
    mean = v_sum (sum) / (float) width;
    mean_product = v_sum (products) / (float) width;

    for (i = 0; i < whole; i += VL) {
      g = v_load (d_y + i) * v_load (gamma + i) - mean;
      v_store (d_x + i, (g - v_load (normalised + i) * mean_product) * inverse[r]);
    }
    for (; i < width; i++)
      d_x[i] = (d_y[i] * gamma[i] - mean - normalised[i] * mean_product) * inverse[r];
    d_y += width;
    normalised += width;
    d_x += width;
  }
}

static void
embed_forward (const gint32 *ids, guint n_rows, guint width, const float *words,
               const float *positions, const float *type, float *out)
{
  guint r, i;

  for (r = 0; r < n_rows; r++) {
    const float *word = words + (gsize) ids[r] * width;

    for (i = 0; i + VL <= width; i += VL)
      v_store (out + i, v_load (word + i) + v_load (positions + i) + v_load (type + i));
    for (; i < width; i++)
      out[i] = word[i] + positions[i] + type[i];
    positions += width;
    out += width;
  }
}

static void
embed_backward (const gint32 *ids, guint n_rows, guint width, const float *d_out, float *d_words,
                float *d_positions, float *d_type)
{
  guint r;

  for (r = 0; r < n_rows; r++)
    KERNEL (add) (d_out + (gsize) r * width, width, d_words + (gsize) ids[r] * width);
  KERNEL (add) (d_out, (gsize) n_rows * width, d_positions);
  add_columns (d_out, n_rows, width, d_type);
}

/* bits: VL numbers of 16 bits; n: how many floats of x there are. */
static inline void
drop (const TandemDropoutBits *dropout, vi bits, guint n, const float *x, float *out)
{
  vi kept = bits >= (gint32) dropout->threshold;

  if (n >= VL)
    v_store (out, (vf) ((vi) (v_load (x) * dropout->scale) & kept));
  else
    v_store_n (out, (vf) ((vi) (v_load_n (x, n) * dropout->scale) & kept), n);
}

static void
dropout (const TandemDropoutBits *bits, guint first_row, guint n_rows, guint width, gsize stride,
         const float *x, float *out)
{
  PhiloxKeys keys = philox_expand_key (bits->key);
  guint32 counter[4] = { 0, 0, bits->counter[2], bits->counter[3] };
  guint r, first, j, i;

  for (r = 0; r < n_rows; r++) {
    counter[1] = bits->counter[1] + first_row + r;
    for (first = 0; first < width; first += PHILOX_GROUP) {
      for (j = 0; j < VL * PHILOX_VECTORS && first + j < width; j += VL) {
        vi numbers[4];

        counter[0] = bits->counter[0] + first / 8 + j / 2;
        philox (&keys, counter, numbers);
        for (i = 0; i < 4; i++) {
          guint column = first + 16 * i + j;

          if (column < width)
            drop (bits, numbers[i], width - column, x + column, out + column);
        }
      }
    }
    x += stride;
    out += stride;
  }
}

static void
softmax (float *x, guint n_rows, guint length, gsize stride, float scale)
{
  guint whole = length / VL * VL, rest = length - whole, r, j;

  for (r = 0; r < n_rows; r++, x += stride) {
    vf max = v_set1 (-INFINITY), sum = v_set1 (0.0f), e;
    float top, inverse;

    for (j = 0; j < whole; j += VL)
      max = v_max (max, v_load (x + j));
    if (rest > 0)
      max = v_max (max, v_load_n_or (x + j, rest, -INFINITY));
    top = v_max_lane (max);

    for (j = 0; j < whole; j += VL) {
      e = v_exp ((v_load (x + j) - top) * scale);
      v_store (x + j, e);
      sum += e;
    }
    if (rest > 0) {
      /* What pads the row must not count. */
      e = v_keep_n (v_exp ((v_load_n_or (x + j, rest, top) - top) * scale), rest);
      v_store (x + j, e);
      sum += e;
    }
    inverse = 1.0f / v_sum (sum);
    for (j = 0; j < length; j += VL)
      v_store (x + j, v_load (x + j) * inverse);
  }
}

static void
softmax_backward (const float *p, const float *kept, float *d, guint n_rows, guint length,
                  gsize stride, float scale)
{
  guint whole = length / VL * VL, rest = length - whole, r, j;

  for (r = 0; r < n_rows; r++) {
    vf sum = v_set1 (0.0f);
    float s;

    for (j = 0; j < whole; j += VL)
      sum = v_load (kept + j) * v_load (d + j) + sum;
    sum = v_load_n (kept + j, rest) * v_load_n (d + j, rest) + sum;
    s = v_sum (sum);

    for (j = 0; j < whole; j += VL)
      v_store (d + j, (v_load (kept + j) * v_load (d + j) - v_load (p + j) * s) * scale);
    for (; j < length; j++)
      d[j] = (kept[j] * d[j] - p[j] * s) * scale;
    p += stride;
    kept += stride;
    d += stride;
  }
}

static void
dot_rows (const float *query, const float *rows, gsize stride, guint length, guint width,
          float *scores)
{
  guint j;

  for (j = 0; j < length; j++)
    scores[j] = row_dot (query, rows + j * stride, width);
}

static void
sum_rows (const float *weights, const float *rows, gsize stride, guint length, guint width,
          float *out)
{
  guint j;

  memset (out, 0, width * sizeof (float));
  for (j = 0; j < length; j++)
    row_add_scaled (out, rows + j * stride, weights[j], width);
}

static void
outer_rows (const float *weights, const float *x, guint length, guint width, float *rows,
            gsize stride)
{
  guint j, i;

  for (j = 0; j < length; j++) {
    float *row = rows + j * stride;

    for (i = 0; i + VL <= width; i += VL)
      v_store (row + i, v_load (x + i) * weights[j]);
    for (; i < width; i++)
      row[i] = x[i] * weights[j];
  }
}

const TandemTrainingKernels KERNEL (training_kernels) = {
  .add_bias = add_bias,
  .add_columns = add_columns,
  .layer_norm_forward = layer_norm_forward,
  .layer_norm_backward = layer_norm_backward,
  .embed_forward = embed_forward,
  .embed_backward = embed_backward,
  .nonlinearity_forward = { KERNEL (gelu_erf), KERNEL (gelu_tanh), KERNEL (relu), KERNEL (tanh) },
  .nonlinearity_backward = { KERNEL (gelu_erf_backward), KERNEL (gelu_tanh_backward),
    KERNEL (relu_backward), KERNEL (tanh_backward) },
  .dropout = dropout,
  .softmax = softmax,
  .softmax_backward = softmax_backward,
  .dot_rows = dot_rows,
  .sum_rows = sum_rows,
  .outer_rows = outer_rows,
  .add = KERNEL (add),
  .scale = KERNEL (scale),
  .add_squares = KERNEL (add_squares),
  .adamw = KERNEL (adamw),
};
