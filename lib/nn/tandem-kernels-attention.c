/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Compiled once for each instruction set; TANDEM_ISA is its name. */

#include "config.h"

#include "nn/tandem-kernels-isa.h"
#include "nn/tandem-simd-rows.h"

#include <math.h>

/* C[rows, BLOCK_COLUMNS] = A[rows, depth] B[depth, BLOCK_COLUMNS], with all of
 * C in registers. rows is a constant wherever this is inlined. When scale is
 * given, row i of C is multiplied by scale[i]. */
static inline __attribute__ ((always_inline)) void
multiply_block (const int rows, const float *a, gsize a_stride, const float *b, guint depth,
                const float *scale, float *c, gsize c_stride)
{
  vf acc[BLOCK_ROWS][2];
  guint k;
  int i;

#pragma GCC unroll 12
  for (i = 0; i < rows; i++)
    acc[i][0] = acc[i][1] = v_set1 (0.0f);

  for (k = 0; k < depth; k++) {
    vf b0 = v_load (b + (gsize) k * BLOCK_COLUMNS);
    vf b1 = v_load (b + (gsize) k * BLOCK_COLUMNS + VL);

#pragma GCC unroll 12
    for (i = 0; i < rows; i++) {
      vf s = v_set1 (a[i * a_stride + k]);

      acc[i][0] = s * b0 + acc[i][0];
      acc[i][1] = s * b1 + acc[i][1];
    }
  }

#pragma GCC unroll 12
  for (i = 0; i < rows; i++) {
    if (scale != NULL) {
      acc[i][0] *= scale[i];
      acc[i][1] *= scale[i];
    }
    v_store (c + i * c_stride, acc[i][0]);
    v_store (c + i * c_stride + VL, acc[i][1]);
  }
}

#ifdef V_HAVE_TRANSPOSE
/* VL keys of VL elements into VL columns of a panel. */
static inline void
transpose_block (const float *key, gsize stride, float *panel)
{
  vf rows[VL];
  guint i;

#pragma GCC unroll 16
  for (i = 0; i < VL; i++)
    rows[i] = v_load (key + i * stride);
  v_transpose (rows);
#pragma GCC unroll 16
  for (i = 0; i < VL; i++)
    v_store (panel + (gsize) i * BLOCK_COLUMNS, rows[i]);
}
#endif

/* Keys of one head as panels [columns of keys / BLOCK_COLUMNS][head_size][BLOCK_COLUMNS];
 * the keys that fill the last panel are zeros. */
static void
pack_keys (const float *key, gsize stride, guint length, guint head_size, float *packed)
{
  guint first, j, d;

  for (first = 0; first < length; first += BLOCK_COLUMNS) {
    float *panel = packed + (gsize) first * head_size;
    guint n = MIN (length - first, BLOCK_COLUMNS);

    j = 0;
#ifdef V_HAVE_TRANSPOSE
    for (; j + VL <= n && head_size % VL == 0; j += VL)
      for (d = 0; d < head_size; d += VL)
        transpose_block (key + (gsize) (first + j) * stride + d, stride,
                         panel + (gsize) d * BLOCK_COLUMNS + j);
#endif
    for (; j < n; j++) {
      const float *row = key + (gsize) (first + j) * stride;

      for (d = 0; d < head_size; d++)
        panel[(gsize) d * BLOCK_COLUMNS + j] = row[d];
    }
    for (; j < BLOCK_COLUMNS; j++)
      for (d = 0; d < head_size; d++)
        panel[(gsize) d * BLOCK_COLUMNS + j] = 0.0f;
  }
}

/* Values of one head as panels [head_size / BLOCK_COLUMNS][length][BLOCK_COLUMNS]. */
static void
pack_values (const float *value, gsize stride, guint length, guint head_size, float *packed)
{
  guint first, j, d;

  for (first = 0; first < head_size; first += BLOCK_COLUMNS) {
    float *panel = packed + (gsize) first * length;
    guint n = MIN (head_size - first, BLOCK_COLUMNS);

    for (j = 0; j < length; j++) {
      float *out = panel + (gsize) j * BLOCK_COLUMNS;

      memcpy (out, value + (gsize) j * stride + first, n * sizeof (float));
      for (d = n; d < BLOCK_COLUMNS; d++)
        out[d] = 0.0f;
    }
  }
}

/* Turns a row of scores into weights that still lack the division by their sum,
 * and returns one over that sum. The row is padded to whole vectors. */
static inline float
exponentiate_row (float *scores, guint length, float scale)
{
  guint padded = (length + VL - 1) / VL * VL;
  vf max, sum = v_set1 (0.0f);
  float top;
  guint j;

  for (j = length; j < padded; j++)
    scores[j] = -INFINITY;
  max = v_load (scores);
  for (j = VL; j < padded; j += VL)
    max = v_max (max, v_load (scores + j));
  top = v_max_lane (max);

  for (j = 0; j < padded; j += VL) {
    vf e = v_exp ((v_load (scores + j) - top) * scale);

    v_store (scores + j, e);
    if (j + VL > length) {
      /* What pads the row must not count. */
      guint lane;

      for (lane = length - j; lane < VL; lane++)
        e[lane] = 0.0f;
    }
    sum += e;
  }
  return 1.0f / v_sum (sum);
}

typedef struct
{
  guint length;
  guint head_size;
  const float *keys;
  const float *values;
  float *scores;
  gsize scores_stride;
  float *block;                 /* [rows, BLOCK_COLUMNS] of outputs */
} Head;

/* rows queries at query; only the first valid of them are real. */
static inline __attribute__ ((always_inline)) void
attend_rows (const int rows, const Head *head, const float *query, gsize query_stride, guint valid,
             float *out, gsize out_stride)
{
  float scale = 1.0f / sqrtf ((float) head->head_size);
  float inverse[BLOCK_ROWS];
  guint j, i;

  for (j = 0; j < head->length; j += BLOCK_COLUMNS)
    multiply_block (rows, query, query_stride, head->keys + (gsize) j * head->head_size,
                    head->head_size, NULL, head->scores + j, head->scores_stride);
  for (i = 0; i < (guint) rows; i++)
    inverse[i] = exponentiate_row (head->scores + i * head->scores_stride, head->length, scale);

  for (j = 0; j < head->head_size; j += BLOCK_COLUMNS) {
    guint columns = MIN (head->head_size - j, BLOCK_COLUMNS);
    const float *panel = head->values + (gsize) j * head->length;

    if (valid == (guint) rows && columns == BLOCK_COLUMNS) {
      multiply_block (rows, head->scores, head->scores_stride, panel, head->length, inverse,
                      out + j, out_stride);
      continue;
    }
    multiply_block (rows, head->scores, head->scores_stride, panel, head->length, inverse,
                    head->block, BLOCK_COLUMNS);
    for (i = 0; i < valid; i++)
      memcpy (out + i * out_stride + j, head->block + i * BLOCK_COLUMNS,
              columns * sizeof (float));
  }
}

static void
attend_full (const Head *head, const float *query, gsize query_stride, float *out,
             gsize out_stride)
{
  attend_rows (BLOCK_ROWS, head, query, query_stride, BLOCK_ROWS, out, out_stride);
}

static void
attend_small (const Head *head, const float *query, gsize query_stride, guint valid, float *out,
              gsize out_stride)
{
  attend_rows (BLOCK_ROWS_SMALL, head, query, query_stride, valid, out, out_stride);
}

void
KERNEL (attention) (const float *query, const float *key, const float *value, gsize stride,
                    guint length, guint n_heads, guint head_size, float *out, float *scratch)
{
  gsize keys = (gsize) (length + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS * BLOCK_COLUMNS;
  gsize columns = (gsize) (head_size + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS * BLOCK_COLUMNS;
  gsize out_stride = (gsize) n_heads * head_size;
  float *packed_keys = scratch;
  float *packed_values = packed_keys + keys * head_size;
  float *scores = packed_values + columns * length;
  float *padded_query = scores + BLOCK_ROWS * keys;
  float *block = padded_query + (gsize) BLOCK_ROWS * head_size;
  guint h;

  for (h = 0; h < n_heads; h++) {
    const float *q = query + (gsize) h * head_size;
    float *o = out + (gsize) h * head_size;
    Head head = { length, head_size, packed_keys, packed_values, scores, keys, block };
    guint row = 0;

    pack_keys (key + (gsize) h * head_size, stride, length, head_size, packed_keys);
    pack_values (value + (gsize) h * head_size, stride, length, head_size, packed_values);

    for (; length - row >= BLOCK_ROWS; row += BLOCK_ROWS)
      attend_full (&head, q + row * stride, stride, o + row * out_stride, out_stride);
    for (; row < length; row += BLOCK_ROWS_SMALL) {
      guint valid = MIN (length - row, BLOCK_ROWS_SMALL), i;

      if (valid == BLOCK_ROWS_SMALL) {
        attend_small (&head, q + row * stride, stride, valid, o + row * out_stride, out_stride);
        continue;
      }
      memset (padded_query, 0, sizeof (float) * BLOCK_ROWS_SMALL * head_size);
      for (i = 0; i < valid; i++)
        memcpy (padded_query + (gsize) i * head_size, q + (row + i) * stride,
                head_size * sizeof (float));
      attend_small (&head, padded_query, head_size, valid, o + row * out_stride, out_stride);
    }
  }
}

void
KERNEL (first_row_attention) (const float *x, guint length, guint width, guint n_heads,
                              guint head_size, const float *query, const float *key,
                              const float *value, const float *value_bias, float *out,
                              float *scratch)
{
  gsize padded = (gsize) (length + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS * BLOCK_COLUMNS;
  float scale = 1.0f / sqrtf ((float) head_size);
  float *folded = scratch;              /* the query seen through the key projection */
  float *mean = folded + width;         /* of the rows, weighted */
  float *scores = mean + width;
  guint h, i, j;

  for (h = 0; h < n_heads; h++) {
    float *s = scores + h * padded;
    float inverse;

    memset (folded, 0, width * sizeof (float));
    for (i = h * head_size; i < (h + 1) * head_size; i++)
      row_add_scaled (folded, key + (gsize) i * width, query[i], width);
    for (j = 0; j < length; j++)
      s[j] = row_dot (x + (gsize) j * width, folded, width);
    inverse = exponentiate_row (s, length, scale);

    memset (mean, 0, width * sizeof (float));
    for (j = 0; j < length; j++)
      row_add_scaled (mean, x + (gsize) j * width, s[j] * inverse, width);
    for (i = h * head_size; i < (h + 1) * head_size; i++)
      out[i] = row_dot (value + (gsize) i * width, mean, width) + value_bias[i];
  }
}
