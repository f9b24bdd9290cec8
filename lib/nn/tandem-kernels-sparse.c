/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Products with sparse weights. Compiled once for each instruction set; TANDEM_ISA is its name.
 *
 * A tile of rows is turned, so that a vector holds one input of VL rows. A weight is then one
 * multiplication of such a vector, and nothing has to be gathered. */

#include "config.h"

#include "nn/tandem-kernels-isa.h"
#include "nn/tandem-simd-rows.h"
#include "nn/tandem-simd-transpose.h"
#include "nn/tandem-sparse.h"

#define VECTORS 4
#define TILE (VECTORS * VL)

/* As tests/benchmark/bench-sparse.c measures it, with a margin, it is the same for all: at 0.6 a
 * product is 1.05 to 1.5 times as fast as oneDNN's dense one, at 0.7 as fast, and as large. */
#define MOST_DENSE 0.6

/* x: [n_rows, n_in] to turned: [n_in, TILE]; rows that fill up the last vector are zeros. */
static void
turn_rows (const float *x, guint n_rows, guint n_in, float *turned)
{
  guint row, i, k;

  for (row = 0; row < n_rows; row += VL) {
    guint n = MIN (n_rows - row, VL);

    for (i = 0; i < n_in; i += VL) {
      guint columns = MIN (n_in - i, VL);
      const float *from = x + (gsize) row * n_in + i;
      vf square[VL];

      for (k = 0; k < n; k++)
        square[k] = columns == VL ? v_load (from + (gsize) k * n_in)
                                  : v_load_n (from + (gsize) k * n_in, columns);
      for (; k < VL; k++)
        square[k] = v_set1 (0.0f);
      v_transpose (square);
      for (k = 0; k < columns; k++)
        v_store (turned + (gsize) (i + k) * TILE + row, square[k]);
    }
  }
}

/* sums: [VL, TILE], of a block of outputs, to out: [n_rows, n_out], from its first output on. */
static void
turn_sums (const float *sums, guint n_rows, guint n_columns, guint n_out, float *out)
{
  guint row, k;

  for (row = 0; row < n_rows; row += VL) {
    guint n = MIN (n_rows - row, VL);
    vf square[VL];

#pragma GCC unroll 16
    for (k = 0; k < VL; k++)
      square[k] = v_load (sums + k * TILE + row);
    v_transpose (square);
    for (k = 0; k < n; k++) {
      float *to = out + (gsize) (row + k) * n_out;

      if (n_columns == VL)
        v_store (to, square[k]);
      else
        v_store_n (to, square[k], n_columns);
    }
  }
}

/* Groups whose sums are in registers together: chains enough to hide how long an addition takes. */
#define MAX_GROUPS MIN (VECTORS, VL / TANDEM_SPARSE_GROUP)

static inline __attribute__ ((always_inline)) void
add_step (const guint n_vectors, const TandemSparseStep *step, const float *turned,
          vf sums[TANDEM_SPARSE_GROUP][VECTORS])
{
  guint k, v;

#pragma GCC unroll 8
  for (k = 0; k < TANDEM_SPARSE_GROUP; k++) {
    const float *input = turned + (gsize) step->inputs[k] * TILE;
    vf weight = v_set1 (step->weights[k]);

#pragma GCC unroll 8
    for (v = 0; v < n_vectors; v++)
      sums[k][v] = v_load (input + v * VL) * weight + sums[k][v];
  }
}

/* The next n_groups groups of a block, of which the first one is the shortest. n_vectors and
 * n_groups are constants where this is inlined: the sums are in registers. Returns the steps behind them. */
static inline __attribute__ ((always_inline)) const TandemSparseStep *
add_groups (const guint n_vectors, const guint n_groups, const TandemSparseGroup *groups,
            const TandemSparseStep *steps, const float *turned, const float *bias, float *block)
{
  vf sums[MAX_GROUPS][TANDEM_SPARSE_GROUP][VECTORS];
  const TandemSparseStep *own[MAX_GROUPS];
  guint g, k, v, step;

#pragma GCC unroll 4
  for (g = 0; g < n_groups; g++) {
    own[g] = steps;
    steps += groups[g].n_steps;
#pragma GCC unroll 8
    for (k = 0; k < TANDEM_SPARSE_GROUP; k++) {
      guint output = groups[g].outputs[k];

#pragma GCC unroll 8
      for (v = 0; v < n_vectors; v++)
        sums[g][k][v] = bias != NULL ? v_set1 (bias[output])
                                     : v_load (block + output * TILE + v * VL);
    }
  }
  for (step = 0; step < groups[0].n_steps; step++)
#pragma GCC unroll 4
    for (g = 0; g < n_groups; g++)
      add_step (n_vectors, own[g] + step, turned, sums[g]);
#pragma GCC unroll 4
  for (g = 0; g < n_groups; g++) {
    for (step = groups[0].n_steps; g > 0 && step < groups[g].n_steps; step++)
      add_step (n_vectors, own[g] + step, turned, sums[g]);
#pragma GCC unroll 8
    for (k = 0; k < TANDEM_SPARSE_GROUP; k++)
#pragma GCC unroll 8
      for (v = 0; v < n_vectors; v++)
        v_store (block + groups[g].outputs[k] * TILE + v * VL, sums[g][k][v]);
  }
  return steps;
}

static inline __attribute__ ((always_inline)) void
multiply_tile (const guint n_vectors, const guint n_groups, const TandemSparseWeights *weights,
               guint n_rows, float *out, const float *turned, float *sums)
{
  const guint n_in = weights->n_in, n_out = weights->n_out;
  const TandemSparseGroup *groups = weights->groups;
  const TandemSparseStep *steps = weights->steps;
  guint in, j, k;

  for (in = 0; in < n_in; in += TANDEM_SPARSE_CHUNK) {
    gboolean last = in + TANDEM_SPARSE_CHUNK >= n_in;

    for (j = 0; j < n_out; j += VL) {
      const float *bias = in == 0 ? weights->bias + j : NULL;
      float *block = sums + (gsize) j * TILE;

      for (k = 0; k < VL; k += n_groups * TANDEM_SPARSE_GROUP, groups += n_groups)
        steps = add_groups (n_vectors, n_groups, groups, steps, turned, bias, block);
      if (last)
        turn_sums (block, n_rows, MIN (n_out - j, VL), n_out, out + j);
    }
  }
}

static void
multiply (const TandemSparseWeights *weights, const float *x, guint n_rows, float *out,
          float *scratch)
{
  float *turned = scratch, *sums = scratch + (gsize) weights->n_in * TILE;

  turn_rows (x, n_rows, weights->n_in, turned);
  if (n_rows > TILE / 2)
    multiply_tile (VECTORS, 1, weights, n_rows, out, turned, sums);
  else if (n_rows > VL)
    multiply_tile (VECTORS / 2, 2, weights, n_rows, out, turned, sums);
  else
    multiply_tile (1, MAX_GROUPS, weights, n_rows, out, turned, sums);
}

const TandemSparseKernels KERNEL (sparse_kernels) = {
  .name = KERNEL_STRING (TANDEM_ISA),
  .tile = TILE,
  .block = VL,
  .most_dense = MOST_DENSE,
  .multiply = multiply,
};
