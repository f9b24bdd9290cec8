/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The same operations, plain and slow, in double precision: what tests compare
 * the fast paths with. Shapes and meanings as in tandem-kernels.h. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

void tandem_reference_linear (const float *x, gsize n_rows, guint n_in, guint n_out,
                              const float *weight, const float *bias, float *out);

void tandem_reference_add_layer_norm (const float *x, const float *residual, guint n_rows,
                                      guint width, const float *gamma, const float *beta,
                                      double eps, float *out);

double tandem_reference_gelu_erf (double x);

double tandem_reference_gelu_tanh (double x);

void tandem_reference_attention (const float *query, const float *key, const float *value,
                                 gsize stride, guint length, guint n_heads, guint head_size,
                                 float *out);

G_END_DECLS
