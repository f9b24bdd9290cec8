/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Linear layers of int8 weights over rows that are rounded to int8 (dynamic quantization):
 *
 *   s_r = max |x[r, :]| / 127,  q[r, i] = round (x[r, i] / s_r)
 *   out[r, j] = (sum over i of q[r, i] w[j, i]) (s_r t_j) + b_j
 *
 * with t the scales of the weights. The sum is an exact 32-bit integer, and what is before and
 * after it is the same few float32 operations everywhere, none fused: all instruction sets
 * give the same bits, and a row depends on nothing but that row. A row that is not finite gives NaN. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* More inputs could overflow a sum: 65536 x 255 x 128 is 2^31. */
#define TANDEM_INT8_MAX_INPUTS 65535

/* One table for each instruction set. */
typedef struct
{
  const char *name;

  /* Weights [n_out, n_in] in the layout that multiply() reads. */
  gsize (*get_packed_size) (guint n_in, guint n_out);
  void (*pack) (const gint8 *weight, guint n_in, guint n_out, gpointer packed);

  /* The bytes of a rounded row; rows follow one another. */
  gsize (*get_row_size) (guint n_in);
  void (*round_rows) (const float *x, gsize n_rows, guint n_in, gpointer rounded, float *scales);

  /* row_scales: [n_rows]; scales and bias: [n_out]; out: [n_rows, n_out]. */
  void (*multiply) (gconstpointer rounded, const float *row_scales, gsize n_rows, guint n_in,
                    gconstpointer packed, const float *scales, const float *bias, guint n_out,
                    float *out);
} TandemInt8Kernels;

/* The table for this processor, as tandem_kernels_get() chooses, or NULL where float32 is as fast:
 * with AVX-512 that lacks VNNI, and on processors other than x86-64, for which there is none. */
const TandemInt8Kernels *tandem_int8_kernels_get (void);

/* A table by name (avx512vnni, avx2, generic), or NULL when this processor or build lacks it. The
 * generic one uses SSE2. */
const TandemInt8Kernels *tandem_int8_kernels_lookup (const char *name);

typedef struct _TandemInt8Linear TandemInt8Linear;

/* weight: [n_out, n_in], n_in at most TANDEM_INT8_MAX_INPUTS; scales and bias: [n_out]. All are
 * copied. */
TandemInt8Linear *tandem_int8_linear_new (const TandemInt8Kernels *kernels, const gint8 *weight,
                                          const float *scales, const float *bias, guint n_in,
                                          guint n_out);

void tandem_int8_linear_free (TandemInt8Linear *self);

/* Bytes that forward needs, whatever the number of rows; aligned to 64. */
gsize tandem_int8_linear_get_scratch (const TandemInt8Linear *self);

/* x: [n_rows, n_in]; out: [n_rows, n_out], not the memory of x. */
void tandem_int8_linear_forward (const TandemInt8Linear *self, const float *x, gsize n_rows,
                                 float *out, gpointer scratch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemInt8Linear, tandem_int8_linear_free)

G_END_DECLS
