/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Compiled once for each instruction set; TANDEM_ISA is its name. */

#include "config.h"

#include <math.h>

#include "nn/tandem-kernels-isa.h"
#include "train/tandem-loss-private.h"

/* Columns whose sum is kept in single precision before it goes to the double one. */
#define PART 1024

static float
max_row (const float *x, gsize n, gsize *highest)
{
  vf maximum = v_set1 (-INFINITY), zero = v_set1 (0.0f);
  float max = -INFINITY, rest = 0.0f;
  gsize i;
  guint lane;

  /* 0 times anything that is not finite is NaN. */
  for (i = 0; i + VL <= n; i += VL) {
    vf v = v_load (x + i);

    maximum = v_max (maximum, v);
    zero += v * 0.0f;
  }
  for (; i < n; i++) {
    max = MAX (max, x[i]);
    rest += x[i] * 0.0f;
  }
  for (lane = 0; lane < VL; lane++) {
    max = MAX (max, maximum[lane]);
    rest += zero[lane];
  }
  if (isnan (rest))
    return NAN;
  for (i = 0; x[i] < max; i++)
    continue;
  *highest = i;
  return max;
}

static double
exp_row (float *x, gsize n, float max)
{
  double total = 0.0;
  gsize i = 0;

  while (i < n) {
    gsize end = MIN (n, i + PART);
    vf sum = v_set1 (0.0f);

    for (; i + VL <= end; i += VL) {
      vf e = v_exp (v_load (x + i) - max);

      v_store (x + i, e);
      sum += e;
    }
    total += v_sum (sum);
    for (; i < end; i++) {
      x[i] = expf (x[i] - max);
      total += x[i];
    }
  }
  return total;
}

extern const TandemLossRows KERNEL (loss_rows);
const TandemLossRows KERNEL (loss_rows) = { max_row, exp_row };
