/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tandem-training.h is made of beside matrix products. One table for each instruction
 * set, in TandemKernels. */
#pragma once

#include "nn/tandem-training.h"

G_BEGIN_DECLS

/* Rows of scores are so many floats apart that they begin at whole vectors. */
#define TANDEM_SCORES_ALIGN 16

/* A TandemDropout and head as Philox takes them. */
typedef struct
{
  guint32 key[2];
  guint32 counter[4];           /* the first column of row 0 */
  guint32 threshold;            /* 16 bits below it: dropped */
  float scale;                  /* of what is kept */
} TandemDropoutBits;

struct _TandemTrainingKernels
{
  /* x[r, :] += bias */
  void (*add_bias) (const float *bias, gsize n_rows, guint width, float *x);

  /* sums += x[r, :] for each row in turn */
  void (*add_columns) (const float *x, gsize n_rows, guint width, float *sums);

  void (*layer_norm_forward) (const float *x, guint n_rows, guint width, const float *gamma,
                              const float *beta, float eps, float *normalised, float *inverse,
                              float *out);
  void (*layer_norm_backward) (const float *d_y, const float *normalised, const float *inverse,
                               guint n_rows, guint width, const float *gamma, float *d_x,
                               float *d_gamma, float *d_beta);

  void (*embed_forward) (const gint32 *ids, guint n_rows, guint width, const float *words,
                         const float *positions, const float *type, float *out);
  void (*embed_backward) (const gint32 *ids, guint n_rows, guint width, const float *d_out,
                          float *d_words, float *d_positions, float *d_type);

  /* By TandemNonlinearity. */
  void (*nonlinearity_forward[4]) (const float *x, gsize n, float *out);
  void (*nonlinearity_backward[4]) (const float *x, const float *d_y, gsize n, float *d_x);

  /* Rows of x and out are stride apart; out may be x. */
  void (*dropout) (const TandemDropoutBits *bits, guint first_row, guint n_rows, guint width,
                   gsize stride, const float *x, float *out);

  /* In place: softmax (scale x) of each row. stride: a multiple of TANDEM_SCORES_ALIGN; what
   * lies between the rows is overwritten. */
  void (*softmax) (float *x, guint n_rows, guint length, gsize stride, float scale);

  /* From weights p, kept the weights after dropout (p itself where there is none) and d the
   * gradient of kept, the gradient of the scores before their scale, in place of d:
   * dropout multiplies p and its gradient by the same mask, so that
   * p (mask d - sum (p mask d)) = kept d - p sum (kept d). */
  void (*softmax_backward) (const float *p, const float *kept, float *d, guint n_rows,
                            guint length, gsize stride, float scale);

  /* One head of one query: scores[j] = query . rows[j, :]. */
  void (*dot_rows) (const float *query, const float *rows, gsize stride, guint length, guint width,
                    float *scores);

  /* out = sum_j weights[j] rows[j, :] */
  void (*sum_rows) (const float *weights, const float *rows, gsize stride, guint length,
                    guint width, float *out);

  /* rows[j, :] = weights[j] x */
  void (*outer_rows) (const float *weights, const float *x, guint length, guint width, float *rows,
                      gsize stride);

  void (*add) (const float *x, gsize n, float *y);
  void (*scale) (float s, gsize n, float *y);
  double (*add_squares) (const float *x, gsize n, double sum);
  void (*adamw) (const TandemAdamWStep *step, gsize n, const float *gradient, float *m, float *v,
                 float *weight);
};

G_END_DECLS
