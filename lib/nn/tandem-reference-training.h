/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The operations of training, plain and slow, in double precision from end to end, so that
 * finite differences of the forward passes are good to nine digits. For tests. */
#pragma once

#include "nn/tandem-training.h"

G_BEGIN_DECLS

/* Philox 4x32-10. */
void tandem_reference_philox (const guint32 counter[4], const guint32 key[2], guint32 out[4]);

/* What dropout multiplies an element by: 0, or one over 1 - rate. dropout may be NULL. */
double tandem_reference_dropout (const TandemDropout *dropout, guint head, guint row,
                                 guint column);

double tandem_reference_nonlinearity (TandemNonlinearity f, double x);

double tandem_reference_nonlinearity_derivative (TandemNonlinearity f, double x);

/* Shapes as in tandem-training.h; gradients are set. */
void tandem_reference_linear_forward (const double *x, gsize n_rows, const double *weight,
                                      const double *bias, guint n_in, guint n_out, double *out);

void tandem_reference_linear_backward (const double *x, gsize n_rows, const double *weight,
                                       guint n_in, guint n_out, const double *d_y, double *d_x,
                                       double *d_weight, double *d_bias);

void tandem_reference_layer_norm_forward (const double *x, guint n_rows, guint width,
                                          const double *gamma, const double *beta, double eps,
                                          double *out);

void tandem_reference_layer_norm_backward (const double *x, guint n_rows, guint width,
                                           const double *gamma, double eps, const double *d_y,
                                           double *d_x, double *d_gamma, double *d_beta);

/* Of the first n_queries rows; query, key and value are contiguous. */
void tandem_reference_attention_forward (const double *query, const double *key,
                                         const double *value, guint n_queries, guint length,
                                         guint n_heads, guint head_size,
                                         const TandemDropout *dropout, double *out);

void tandem_reference_attention_backward (const double *query, const double *key,
                                          const double *value, guint n_queries, guint length,
                                          guint n_heads, guint head_size,
                                          const TandemDropout *dropout, const double *d_out,
                                          double *d_query, double *d_key, double *d_value);

void tandem_reference_adamw (const TandemAdamWStep *step, gsize n, const double *gradient,
                             double *m, double *v, double *weight);

G_END_DECLS
