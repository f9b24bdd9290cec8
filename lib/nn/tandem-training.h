/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Operations of training: forward passes that keep what the backward pass needs, and
 * backward passes. Matrices are row-major. A function whose comment says "adds" adds to
 * what is there; gradients of parameters are always added, in the order of rows, so that
 * micro-batches accumulate and the sum does not depend on where a model is split. */
#pragma once

#include <gio/gio.h>

#include "nn/tandem-kernels.h"

G_BEGIN_DECLS

/* C = op (A) op (B) + beta C, op being the transpose where it is asked for.
 * op (A): [m, k]; op (B): [k, n]; C: [m, n]; a stride is the distance of stored rows. Runs on
 * the thread that calls, which oneDNN is told to keep to (tandem_linear_use_one_thread()). */
gboolean tandem_gemm (gboolean transpose_a, gboolean transpose_b, gsize m, gsize n, gsize k,
                      const float *a, gsize a_stride, const float *b, gsize b_stride, float beta,
                      float *c, gsize c_stride, GError **error);

/* y = x W' + b. x: [n_rows, n_in]; weight: [n_out, n_in]; out: [n_rows, n_out]. bias, and
 * d_bias below, may be NULL: none. */
gboolean tandem_linear_train_forward (const float *x, gsize n_rows, const float *weight,
                                      const float *bias, guint n_in, guint n_out, float *out,
                                      GError **error);

/* Adds to d_weight and d_bias; d_x [n_rows, n_in] is set, or added to with add_to_x, or not
 * computed when NULL. d_y: [n_rows, n_out]. */
gboolean tandem_linear_train_backward (const float *x, gsize n_rows, const float *weight,
                                       guint n_in, guint n_out, const float *d_y, float *d_x,
                                       gboolean add_to_x, float *d_weight, float *d_bias,
                                       GError **error);

/* Which elements of one sequence are dropped (Srivastava et al. 2014). That depends on these
 * numbers, the row within the sequence and the column alone: bits of Philox 4x32-10 (Salmon
 * et al. 2011), counted, so that the backward pass drops the same ones and a step can be
 * repeated, wherever the model is split. What is kept is divided by 1 - rate. */
typedef struct
{
  guint64 seed;
  guint64 sequence;             /* the id of the sequence in the stream */
  guint32 site;                 /* which dropout of the model */
  float rate;                   /* 0 to below 1, rounded to a multiple of 1/65536; 0: nothing */
} TandemDropout;

/* In place, on rows first_row ... of the sequence; head tells matrices of one site apart. */
void tandem_dropout (const TandemDropout *dropout, guint head, guint first_row, guint n_rows,
                     guint width, float *x);

/* out = layer norm (x). Keeps in normalised [n_rows, width] what x is before gamma and beta,
 * and in inverse [n_rows] one over the standard deviation. out may be x. */
void tandem_layer_norm_train_forward (const float *x, guint n_rows, guint width,
                                      const float *gamma, const float *beta, float eps,
                                      float *normalised, float *inverse, float *out);

/* d_x may be d_y. Adds to d_gamma and d_beta. */
void tandem_layer_norm_train_backward (const float *d_y, const float *normalised,
                                       const float *inverse, guint n_rows, guint width,
                                       const float *gamma, float *d_x, float *d_gamma,
                                       float *d_beta);

typedef enum
{
  TANDEM_NONLINEARITY_GELU_ERF,
  TANDEM_NONLINEARITY_GELU_TANH,
  TANDEM_NONLINEARITY_RELU,
  TANDEM_NONLINEARITY_TANH,
} TandemNonlinearity;

/* out = f (x); out may be x. */
void tandem_nonlinearity_forward (TandemNonlinearity f, const float *x, gsize n, float *out);

/* d_x = d_y f'(x), x being what the forward pass got; d_x may be d_y. */
void tandem_nonlinearity_backward (TandemNonlinearity f, const float *x, const float *d_y, gsize n,
                                   float *d_x);

/* Attention of one sequence, as in tandem-kernels.h, with dropout of its weights (NULL: none).
 * scratch: floats, as many as tandem_attention_train_scratch() says. */
gboolean tandem_attention_train_forward (const float *query, const float *key, const float *value,
                                         gsize stride, guint length, guint n_heads,
                                         guint head_size, const TandemDropout *dropout, float *out,
                                         float *scratch, GError **error);

/* Sets d_query, d_key and d_value, whose rows are stride apart, too. The scores are computed
 * again. d_out: [length, n_heads * head_size]. */
gboolean tandem_attention_train_backward (const float *query, const float *key, const float *value,
                                          gsize stride, guint length, guint n_heads,
                                          guint head_size, const TandemDropout *dropout,
                                          const float *d_out, float *d_query, float *d_key,
                                          float *d_value, float *scratch, GError **error);

/* The same where only the first row of the sequence is a query: query, out, d_out, d_query:
 * [n_heads * head_size]; key and value as above, kv_stride floats from row to row. */
void tandem_first_row_attention_train_forward (const float *query, const float *key,
                                               const float *value, gsize kv_stride, guint length,
                                               guint n_heads, guint head_size,
                                               const TandemDropout *dropout, float *out,
                                               float *scratch);

/* Sets all three gradients. */
void tandem_first_row_attention_train_backward (const float *query, const float *key,
                                                const float *value, gsize kv_stride, guint length,
                                                guint n_heads, guint head_size,
                                                const TandemDropout *dropout, const float *d_out,
                                                float *d_query, float *d_key, float *d_value,
                                                float *scratch);

gsize tandem_attention_train_scratch (guint max_length, guint n_heads, guint head_size);

/* out[r, :] = words[ids[r], :] + positions[r, :] + type[:], r < n_rows: rows of one sequence
 * from its start. */
void tandem_embed_train_forward (const gint32 *ids, guint n_rows, guint width, const float *words,
                                 const float *positions, const float *type, float *out);

/* Adds row r of d_out to d_words[ids[r], :], to d_positions[r, :] and to d_type. */
void tandem_embed_train_backward (const gint32 *ids, guint n_rows, guint width, const float *d_out,
                                  float *d_words, float *d_positions, float *d_type);

/* y += x; y *= s. */
void tandem_add (const float *x, gsize n, float *y);
void tandem_scale (float s, gsize n, float *y);

/* The sum of squares, in double precision, added to sum. Its bits depend on the numbers and n
 * alone. */
double tandem_add_squares (const float *x, gsize n, double sum);

/* One step of AdamW (Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019,
 * algorithm 2) on n weights; gradients are multiplied by scale first.
 *   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   w -= rate decay w;  w -= rate (m / (1 - b1^t)) / (sqrt (v / (1 - b2^t)) + eps)
 * m and v below 1e-36 become 0. */
typedef struct
{
  float rate;
  float beta1;
  float beta2;
  float eps;
  float decay;                  /* 0 for biases and layer norms */
  float scale;
  guint64 t;                    /* from 1 */
} TandemAdamWStep;

void tandem_adamw (const TandemAdamWStep *step, gsize n, const float *gradient, float *m, float *v,
                   float *weight);

G_END_DECLS
