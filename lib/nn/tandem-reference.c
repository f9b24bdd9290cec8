/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "nn/tandem-reference.h"

#include <math.h>

void
tandem_reference_linear (const float *x, gsize n_rows, guint n_in, guint n_out,
                         const float *weight, const float *bias, float *out)
{
  gsize r;
  guint o, i;

  for (r = 0; r < n_rows; r++) {
    for (o = 0; o < n_out; o++) {
      double sum = bias[o];

      for (i = 0; i < n_in; i++)
        sum += (double) x[r * n_in + i] * weight[(gsize) o * n_in + i];
      out[r * n_out + o] = (float) sum;
    }
  }
}

void
tandem_reference_add_layer_norm (const float *x, const float *residual, guint n_rows, guint width,
                                 const float *gamma, const float *beta, double eps, float *out)
{
  g_autofree double *row = g_new (double, width);
  guint r, i;

  for (r = 0; r < n_rows; r++) {
    double mean = 0.0, variance = 0.0;

    for (i = 0; i < width; i++) {
      row[i] = (double) x[(gsize) r * width + i] + residual[(gsize) r * width + i];
      mean += row[i] / width;
    }
    for (i = 0; i < width; i++)
      variance += (row[i] - mean) * (row[i] - mean) / width;
    for (i = 0; i < width; i++)
      out[(gsize) r * width + i] =
          (float) ((row[i] - mean) / sqrt (variance + eps) * gamma[i] + beta[i]);
  }
}

double
tandem_reference_gelu_erf (double x)
{
  return 0.5 * x * (1.0 + erf (x / sqrt (2.0)));
}

double
tandem_reference_gelu_tanh (double x)
{
  return 0.5 * x * (1.0 + tanh (sqrt (2.0 / G_PI) * (x + 0.044715 * x * x * x)));
}

void
tandem_reference_attention (const float *query, const float *key, const float *value,
                            gsize stride, guint length, guint n_heads, guint head_size,
                            float *out)
{
  g_autofree double *weights = g_new (double, length);
  guint h, i, j, d;

  for (h = 0; h < n_heads; h++) {
    gsize column = (gsize) h * head_size;

    for (i = 0; i < length; i++) {
      double max = -INFINITY, sum = 0.0;

      for (j = 0; j < length; j++) {
        weights[j] = 0.0;
        for (d = 0; d < head_size; d++)
          weights[j] +=
              (double) query[i * stride + column + d] * key[j * stride + column + d];
        weights[j] /= sqrt (head_size);
        max = fmax (max, weights[j]);
      }
      for (j = 0; j < length; j++) {
        weights[j] = exp (weights[j] - max);
        sum += weights[j];
      }
      for (d = 0; d < head_size; d++) {
        double mean = 0.0;

        for (j = 0; j < length; j++)
          mean += weights[j] / sum * value[j * stride + column + d];
        out[(gsize) i * n_heads * head_size + column + d] = (float) mean;
      }
    }
  }
}
