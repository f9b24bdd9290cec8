/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "nn/tandem-reference-training.h"

#include <math.h>
#include <string.h>

#include "nn/tandem-reference.h"

void
tandem_reference_philox (const guint32 counter[4], const guint32 key[2], guint32 out[4])
{
  guint32 c[4] = { counter[0], counter[1], counter[2], counter[3] };
  guint32 k[2] = { key[0], key[1] };
  guint i;

  for (i = 0; i < 10; i++) {
    guint64 p0 = (guint64) 0xd2511f53 * c[0], p1 = (guint64) 0xcd9e8d57 * c[2];

    c[0] = (guint32) (p1 >> 32) ^ c[1] ^ k[0];
    c[1] = (guint32) p1;
    c[2] = (guint32) (p0 >> 32) ^ c[3] ^ k[1];
    c[3] = (guint32) p0;
    k[0] += 0x9e3779b9;
    k[1] += 0xbb67ae85;
  }
  memcpy (out, c, sizeof c);
}

double
tandem_reference_dropout (const TandemDropout *dropout, guint head, guint row, guint column)
{
  guint32 key[2], counter[4], words[4], number, threshold;

  if (dropout == NULL)
    return 1.0;
  key[0] = (guint32) dropout->seed ^ (guint32) (dropout->sequence >> 32);
  key[1] = (guint32) (dropout->seed >> 32);
  counter[0] = (head << 16) | (column / 64 * 8 + column % 16 / 2);
  counter[1] = row;
  counter[2] = dropout->site;
  counter[3] = (guint32) dropout->sequence;
  tandem_reference_philox (counter, key, words);
  number = words[column % 64 / 32 * 2 + column % 2];
  number = column % 32 < 16 ? number & 0xffff : number >> 16;
  threshold = (guint32) lround (dropout->rate * 65536.0);
  return number >= threshold ? 65536.0 / (65536 - threshold) : 0.0;
}

double
tandem_reference_nonlinearity (TandemNonlinearity f, double x)
{
  switch (f) {
    case TANDEM_NONLINEARITY_GELU_ERF:
      return tandem_reference_gelu_erf (x);
    case TANDEM_NONLINEARITY_GELU_TANH:
      return tandem_reference_gelu_tanh (x);
    case TANDEM_NONLINEARITY_RELU:
      return fmax (x, 0.0);
    case TANDEM_NONLINEARITY_TANH:
      break;
  }
  return tanh (x);
}

double
tandem_reference_nonlinearity_derivative (TandemNonlinearity f, double x)
{
  double t;

  switch (f) {
    case TANDEM_NONLINEARITY_GELU_ERF:
      return 0.5 * (1.0 + erf (x / sqrt (2.0))) + x * exp (-0.5 * x * x) / sqrt (2.0 * G_PI);
    case TANDEM_NONLINEARITY_GELU_TANH:
      t = tanh (sqrt (2.0 / G_PI) * (x + 0.044715 * x * x * x));
      return 0.5 * (1.0 + t) +
          0.5 * x * (1.0 - t * t) * sqrt (2.0 / G_PI) * (1.0 + 3.0 * 0.044715 * x * x);
    case TANDEM_NONLINEARITY_RELU:
      return x > 0.0 ? 1.0 : 0.0;
    case TANDEM_NONLINEARITY_TANH:
      break;
  }
  t = tanh (x);
  return 1.0 - t * t;
}

void
tandem_reference_linear_forward (const double *x, gsize n_rows, const double *weight,
                                 const double *bias, guint n_in, guint n_out, double *out)
{
  gsize r;
  guint o, i;

  for (r = 0; r < n_rows; r++) {
    for (o = 0; o < n_out; o++) {
      out[r * n_out + o] = bias[o];
      for (i = 0; i < n_in; i++)
        out[r * n_out + o] += x[r * n_in + i] * weight[(gsize) o * n_in + i];
    }
  }
}

void
tandem_reference_linear_backward (const double *x, gsize n_rows, const double *weight, guint n_in,
                                  guint n_out, const double *d_y, double *d_x, double *d_weight,
                                  double *d_bias)
{
  gsize r;
  guint o, i;

  memset (d_x, 0, n_rows * n_in * sizeof (double));
  memset (d_weight, 0, (gsize) n_out * n_in * sizeof (double));
  memset (d_bias, 0, n_out * sizeof (double));
  for (r = 0; r < n_rows; r++) {
    for (o = 0; o < n_out; o++) {
      double d = d_y[r * n_out + o];

      d_bias[o] += d;
      for (i = 0; i < n_in; i++) {
        d_x[r * n_in + i] += d * weight[(gsize) o * n_in + i];
        d_weight[(gsize) o * n_in + i] += d * x[r * n_in + i];
      }
    }
  }
}

/* Returns one over the standard deviation of a row and its mean. */
static double
measure_row (const double *row, guint width, double eps, double *mean)
{
  double variance = 0.0;
  guint i;

  *mean = 0.0;
  for (i = 0; i < width; i++)
    *mean += row[i] / width;
  for (i = 0; i < width; i++)
    variance += (row[i] - *mean) * (row[i] - *mean) / width;
  return 1.0 / sqrt (variance + eps);
}

void
tandem_reference_layer_norm_forward (const double *x, guint n_rows, guint width,
                                     const double *gamma, const double *beta, double eps,
                                     double *out)
{
  guint r, i;

  for (r = 0; r < n_rows; r++) {
    const double *row = x + (gsize) r * width;
    double mean, inverse = measure_row (row, width, eps, &mean);

    for (i = 0; i < width; i++)
      out[(gsize) r * width + i] = (row[i] - mean) * inverse * gamma[i] + beta[i];
  }
}

void
tandem_reference_layer_norm_backward (const double *x, guint n_rows, guint width,
                                      const double *gamma, double eps, const double *d_y,
                                      double *d_x, double *d_gamma, double *d_beta)
{
  guint r, i;

  memset (d_gamma, 0, width * sizeof (double));
  memset (d_beta, 0, width * sizeof (double));
  for (r = 0; r < n_rows; r++) {
    const double *row = x + (gsize) r * width, *d = d_y + (gsize) r * width;
    double mean, inverse = measure_row (row, width, eps, &mean), sum = 0.0, products = 0.0;

    for (i = 0; i < width; i++) {
      double n = (row[i] - mean) * inverse;

      d_gamma[i] += d[i] * n;
      d_beta[i] += d[i];
      sum += d[i] * gamma[i] / width;
      products += d[i] * gamma[i] * n / width;
    }
    for (i = 0; i < width; i++)
      d_x[(gsize) r * width + i] =
          (d[i] * gamma[i] - sum - (row[i] - mean) * inverse * products) * inverse;
  }
}

/* The weights of one query, without dropout. */
static void
weigh (const double *query, const double *key, guint length, guint width, guint head_size,
       double *weights)
{
  double max = -INFINITY, sum = 0.0;
  guint j, d;

  for (j = 0; j < length; j++) {
    weights[j] = 0.0;
    for (d = 0; d < head_size; d++)
      weights[j] += query[d] * key[(gsize) j * width + d] / sqrt (head_size);
    max = fmax (max, weights[j]);
  }
  for (j = 0; j < length; j++) {
    weights[j] = exp (weights[j] - max);
    sum += weights[j];
  }
  for (j = 0; j < length; j++)
    weights[j] /= sum;
}

void
tandem_reference_attention_forward (const double *query, const double *key, const double *value,
                                    guint n_queries, guint length, guint n_heads, guint head_size,
                                    const TandemDropout *dropout, double *out)
{
  g_autofree double *weights = g_new (double, length);
  guint width = n_heads * head_size, head, i, j, d;

  memset (out, 0, (gsize) n_queries * width * sizeof (double));
  for (head = 0; head < n_heads; head++) {
    gsize column = (gsize) head * head_size;

    for (i = 0; i < n_queries; i++) {
      weigh (query + (gsize) i * width + column, key + column, length, width, head_size, weights);
      for (j = 0; j < length; j++) {
        double weight = weights[j] * tandem_reference_dropout (dropout, head, i, j);

        for (d = 0; d < head_size; d++)
          out[(gsize) i * width + column + d] += weight * value[(gsize) j * width + column + d];
      }
    }
  }
}

void
tandem_reference_attention_backward (const double *query, const double *key, const double *value,
                                     guint n_queries, guint length, guint n_heads,
                                     guint head_size, const TandemDropout *dropout,
                                     const double *d_out, double *d_query, double *d_key,
                                     double *d_value)
{
  g_autofree double *p = g_new (double, length);
  g_autofree double *d_p = g_new (double, length);
  guint width = n_heads * head_size, head, i, j, d;

  memset (d_query, 0, (gsize) n_queries * width * sizeof (double));
  memset (d_key, 0, (gsize) length * width * sizeof (double));
  memset (d_value, 0, (gsize) length * width * sizeof (double));
  for (head = 0; head < n_heads; head++) {
    gsize column = (gsize) head * head_size;

    for (i = 0; i < n_queries; i++) {
      gsize at = (gsize) i * width + column;
      double sum = 0.0;

      weigh (query + at, key + column, length, width, head_size, p);
      for (j = 0; j < length; j++) {
        double mask = tandem_reference_dropout (dropout, head, i, j);
        gsize to = (gsize) j * width + column;

        d_p[j] = 0.0;
        for (d = 0; d < head_size; d++) {
          d_p[j] += mask * d_out[at + d] * value[to + d];
          d_value[to + d] += mask * p[j] * d_out[at + d];
        }
        sum += p[j] * d_p[j];
      }
      for (j = 0; j < length; j++) {
        double d_score = p[j] * (d_p[j] - sum) / sqrt (head_size);
        gsize to = (gsize) j * width + column;

        for (d = 0; d < head_size; d++) {
          d_query[at + d] += d_score * key[to + d];
          d_key[to + d] += d_score * query[at + d];
        }
      }
    }
  }
}

void
tandem_reference_adamw (const TandemAdamWStep *step, gsize n, const double *gradient, double *m,
                        double *v, double *weight)
{
  double correct_m = 1.0 - pow (step->beta1, (double) step->t);
  double correct_v = 1.0 - pow (step->beta2, (double) step->t);
  gsize i;

  for (i = 0; i < n; i++) {
    double g = gradient[i] * step->scale;

    m[i] = step->beta1 * m[i] + (1.0 - step->beta1) * g;
    v[i] = step->beta2 * v[i] + (1.0 - step->beta2) * g * g;
    weight[i] -= (double) step->rate * step->decay * weight[i];
    weight[i] -= step->rate * (m[i] / correct_m) / (sqrt (v[i] / correct_v) + step->eps);
  }
}
