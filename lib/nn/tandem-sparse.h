/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Linear layers of which many weights are zero, over rows of floats:
 *
 *   out[r, j] = b_j + sum over i with w[j, i] != 0, ascending, of x[r, i] w[j, i]
 *
 * Each sum is one chain of operations in that order, whatever row it is of and however many rows
 * there are: a row's result depends on that row alone, to the bit. With AVX2 and AVX-512 each
 * operation is a fused multiply-add, and both give the same bits. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* More inputs could not be numbered in 16 bits. */
#define TANDEM_SPARSE_MAX_INPUTS 65535

/* Outputs whose weights follow one another, so that their sums are in registers together. */
#define TANDEM_SPARSE_GROUP 2

/* Inputs that are multiplied while they are in the first-level cache. */
#define TANDEM_SPARSE_CHUNK 128

/* The next weight of each output of a group, and the inputs that these are of. */
typedef struct
{
  guint16 inputs[TANDEM_SPARSE_GROUP];
  float weights[TANDEM_SPARSE_GROUP];
} TandemSparseStep;

/* What a group has of a chunk of inputs: steps as long as its longest output, of which others have
 * zeros at the end. */
typedef struct
{
  guint16 outputs[TANDEM_SPARSE_GROUP];         /* within their block */
  guint32 n_steps;
} TandemSparseGroup;

/* Weights [n_out, n_in] as the kernels read them. Outputs are in blocks, the last one filled up
 * with outputs without weights. Groups and steps are in the order of chunks, then blocks. */
typedef struct
{
  guint n_in;
  guint n_out;
  const TandemSparseGroup *groups;
  const TandemSparseStep *steps;
  const float *bias;            /* [whole blocks] */
} TandemSparseWeights;

/* One table for each instruction set. */
typedef struct
{
  const char *name;

  guint tile;                   /* rows that are multiplied together */
  guint block;                  /* outputs of a block */

  /* The largest share of weights that are not zero with which this is the way. */
  double most_dense;

  /* n_rows: at most tile; x: [n_rows, n_in]; out: [n_rows, n_out]; scratch: tile * (n_in + n_out
   * in whole blocks) floats, aligned to 64. */
  void (*multiply) (const TandemSparseWeights *weights, const float *x, guint n_rows, float *out,
                    float *scratch);
} TandemSparseKernels;

/* The table for this processor, as tandem_kernels_get() chooses. */
const TandemSparseKernels *tandem_sparse_kernels_get (void);

/* A table by name (avx512, avx2, generic), or NULL when this processor or build lacks it. */
const TandemSparseKernels *tandem_sparse_kernels_lookup (const char *name);

typedef struct _TandemSparseLinear TandemSparseLinear;

/* Whether this is the way to multiply by @n weights of which @n_kept are not zero: then it is
 * faster than a dense product and takes less memory. It depends on these numbers and the instruction set
 * alone, so that a model gives the same bits wherever it is split. */
gboolean tandem_sparse_gains (const TandemSparseKernels *kernels, guint64 n_kept, guint64 n);

/* weight: [n_out, n_in], n_in at most TANDEM_SPARSE_MAX_INPUTS; bias: [n_out]. Both are copied. */
TandemSparseLinear *tandem_sparse_linear_new (const TandemSparseKernels *kernels,
                                              const float *weight, const float *bias, guint n_in,
                                              guint n_out);

void tandem_sparse_linear_free (TandemSparseLinear *self);

/* What the weights take in memory. */
gsize tandem_sparse_linear_get_bytes (const TandemSparseLinear *self);

/* Bytes that forward needs, whatever the number of rows; aligned to 64. */
gsize tandem_sparse_linear_get_scratch (const TandemSparseLinear *self);

/* x: [n_rows, n_in]; out: [n_rows, n_out], not the memory of x. */
void tandem_sparse_linear_forward (const TandemSparseLinear *self, const float *x, gsize n_rows,
                                   float *out, gpointer scratch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemSparseLinear, tandem_sparse_linear_free)

G_END_DECLS
