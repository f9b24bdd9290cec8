/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What oneDNN has no primitive for at these shapes: attention over packed
 * sequences, and operations on rows. One table for each instruction set. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How a table of embeddings is stored. */
typedef enum
{
  TANDEM_ROWS_F32,
  TANDEM_ROWS_F16,
  TANDEM_ROWS_BF16,
} TandemRowsDtype;

/* In tandem-kernels-training.h. */
typedef struct _TandemTrainingKernels TandemTrainingKernels;

typedef struct
{
  const char *name;

  /* out[r, :] = layer norm (words[ids[r], :] + positions[r, :]), r < n_rows.
   * words: [vocabulary, width] of dtype; positions: [n_rows, width]. The ids
   * were checked by the caller. */
  void (*embed) (const gint32 *ids, guint n_rows, guint width, gconstpointer words,
                 TandemRowsDtype dtype, const float *positions, const float *gamma,
                 const float *beta, float eps, float *out);

  /* The same of quantized words: word w is words[w, :] * scales[w]. */
  void (*embed_int8) (const gint32 *ids, guint n_rows, guint width, const gint8 *words,
                      const float *scales, const float *positions, const float *gamma,
                      const float *beta, float eps, float *out);

  /* Writes n elements of @size bytes, 2 or 4: the next value where the bit of the element is set, the
   * lowest bit of the first byte first, and else zero. Reads no value behind the last one. */
  void (*expand) (const guint8 *mask, guint n, gconstpointer values, guint size, gpointer out);

  /* out[r, :] = layer norm (x[r, :] + residual[r, :]); out may be x.
   * (Ba, Kiros and Hinton 2016, equation 4, over each row.) */
  void (*add_layer_norm) (const float *x, const float *residual, guint n_rows, guint width,
                          const float *gamma, const float *beta, float eps, float *out);

  /* In place on n floats. */
  void (*gelu_erf) (float *x, gsize n);
  void (*gelu_tanh) (float *x, gsize n);
  void (*relu) (float *x, gsize n);
  void (*tanh) (float *x, gsize n);

  /* Rounds to nearest even. */
  void (*to_bf16) (const float *x, gsize n, guint16 *out);

  /* Scaled dot-product attention (Vaswani et al. 2017, equation 1) of one
   * sequence. Row r of query, key and value is at r * stride; head h is the
   * columns from h * head_size. out: [length, n_heads * head_size].
   * scratch: as many floats as tandem_attention_scratch() says. */
  void (*attention) (const float *query, const float *key, const float *value, gsize stride,
                     guint length, guint n_heads, guint head_size, float *out, float *scratch);

  /* The same for the first row as the only query, with the key and value
   * projections moved to the other side of the sums:
   *   q_h . (K_h x_j) = (K_h' q_h) . x_j   and   sum_j p_j V_h x_j = V_h sum_j p_j x_j,
   * so that neither is computed for any row but that one. The bias of the key
   * adds the same to every score and leaves the softmax as it is.
   * x: [length, width], the input of the layer; query and out: [n_heads * head_size];
   * key, value: [n_heads * head_size, width] as stored, one row an output.
   * scratch: n_heads * (length + width) floats and two rows. */
  void (*first_row_attention) (const float *x, guint length, guint width, guint n_heads,
                               guint head_size, const float *query, const float *key,
                               const float *value, const float *value_bias, float *out,
                               float *scratch);

  const TandemTrainingKernels *training;
} TandemKernels;

/* The best table for this processor. The environment variable TANDEM_ISA
 * (avx512, avx2, generic) chooses a lesser one, for tests. */
const TandemKernels *tandem_kernels_get (void);

/* A table by name, or NULL when this processor or build lacks it. */
const TandemKernels *tandem_kernels_lookup (const char *name);

/* Floats of scratch that attention needs for sequences up to max_length. */
gsize tandem_attention_scratch (guint max_length, guint head_size);

gsize tandem_first_row_attention_scratch (guint max_length, guint width, guint n_heads);

G_END_DECLS
