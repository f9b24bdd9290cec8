/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Operations on rows and elements: the table for this processor does the work. */

#include "config.h"

#include "nn/tandem-training-private.h"

static const TandemTrainingKernels *
get_kernels (void)
{
  return tandem_kernels_get ()->training;
}

gboolean
tandem_dropout_get_bits (const TandemDropout *dropout, guint head, TandemDropoutBits *bits)
{
  if (dropout == NULL)
    return FALSE;
  bits->threshold = (guint32) (dropout->rate * 65536.0f + 0.5f);
  if (bits->threshold == 0)
    return FALSE;
  /* A rate that rounds to 1 would divide by 0. */
  bits->threshold = MIN (bits->threshold, 65535);
  bits->scale = 65536.0f / (float) (65536 - bits->threshold);
  bits->key[0] = (guint32) dropout->seed ^ (guint32) (dropout->sequence >> 32);
  bits->key[1] = (guint32) (dropout->seed >> 32);
  bits->counter[0] = head << 16;
  bits->counter[1] = 0;
  bits->counter[2] = dropout->site;
  bits->counter[3] = (guint32) dropout->sequence;
  return TRUE;
}

void
tandem_dropout (const TandemDropout *dropout, guint head, guint first_row, guint n_rows,
                guint width, float *x)
{
  TandemDropoutBits bits;

  if (tandem_dropout_get_bits (dropout, head, &bits))
    get_kernels ()->dropout (&bits, first_row, n_rows, width, width, x, x);
}

void
tandem_layer_norm_train_forward (const float *x, guint n_rows, guint width, const float *gamma,
                                 const float *beta, float eps, float *normalised, float *inverse,
                                 float *out)
{
  get_kernels ()->layer_norm_forward (x, n_rows, width, gamma, beta, eps, normalised, inverse,
                                      out);
}

void
tandem_layer_norm_train_backward (const float *d_y, const float *normalised, const float *inverse,
                                  guint n_rows, guint width, const float *gamma, float *d_x,
                                  float *d_gamma, float *d_beta)
{
  get_kernels ()->layer_norm_backward (d_y, normalised, inverse, n_rows, width, gamma, d_x,
                                       d_gamma, d_beta);
}

void
tandem_nonlinearity_forward (TandemNonlinearity f, const float *x, gsize n, float *out)
{
  get_kernels ()->nonlinearity_forward[f] (x, n, out);
}

void
tandem_nonlinearity_backward (TandemNonlinearity f, const float *x, const float *d_y, gsize n,
                              float *d_x)
{
  get_kernels ()->nonlinearity_backward[f] (x, d_y, n, d_x);
}

void
tandem_embed_train_forward (const gint32 *ids, guint n_rows, guint width, const float *words,
                            const float *positions, const float *type, float *out)
{
  get_kernels ()->embed_forward (ids, n_rows, width, words, positions, type, out);
}

void
tandem_embed_train_backward (const gint32 *ids, guint n_rows, guint width, const float *d_out,
                             float *d_words, float *d_positions, float *d_type)
{
  get_kernels ()->embed_backward (ids, n_rows, width, d_out, d_words, d_positions, d_type);
}

void
tandem_add (const float *x, gsize n, float *y)
{
  get_kernels ()->add (x, n, y);
}

void
tandem_scale (float s, gsize n, float *y)
{
  get_kernels ()->scale (s, n, y);
}

double
tandem_add_squares (const float *x, gsize n, double sum)
{
  return get_kernels ()->add_squares (x, n, sum);
}

void
tandem_adamw (const TandemAdamWStep *step, gsize n, const float *gradient, float *m, float *v,
              float *weight)
{
  get_kernels ()->adamw (step, n, gradient, m, v, weight);
}
