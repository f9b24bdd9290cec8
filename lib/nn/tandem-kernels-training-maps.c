/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Training: operations on each element by itself, and sums over all. Compiled once for each
 * instruction set; TANDEM_ISA is its name. */

#include "config.h"

#include "nn/tandem-kernels-training-isa.h"

#include <math.h>

#include "nn/tandem-simd-nonlinear.h"

#define DEFINE_NONLINEARITY(name)                                                       \
  void KERNEL (name) (const float *x, gsize n, float *out)                              \
  {                                                                                     \
    gsize i;                                                                            \
                                                                                        \
    for (i = 0; i + VL <= n; i += VL)                                                   \
      v_store (out + i, name##_vector (v_load (x + i)));                                \
    if (i < n)                                                                          \
      v_store_n (out + i, name##_vector (v_load_n (x + i, n - i)), n - i);              \
  }                                                                                     \
                                                                                        \
  void KERNEL (name##_backward) (const float *x, const float *d_y, gsize n, float *d_x) \
  {                                                                                     \
    gsize i;                                                                            \
                                                                                        \
    for (i = 0; i + VL <= n; i += VL)                                                   \
      v_store (d_x + i, v_load (d_y + i) * name##_derivative_vector (v_load (x + i)));  \
    if (i < n)                                                                          \
      v_store_n (d_x + i, v_load_n (d_y + i, n - i) *                                   \
                 name##_derivative_vector (v_load_n (x + i, n - i)), n - i);            \
  }

DEFINE_NONLINEARITY (gelu_erf)
DEFINE_NONLINEARITY (gelu_tanh)
DEFINE_NONLINEARITY (relu)
DEFINE_NONLINEARITY (tanh)

void
KERNEL (add) (const float *x, gsize n, float *y)
{
  gsize i;

  for (i = 0; i + VL <= n; i += VL)
    v_store (y + i, v_load (y + i) + v_load (x + i));
  for (; i < n; i++)
    y[i] += x[i];
}

void
KERNEL (scale) (float s, gsize n, float *y)
{
  gsize i;

  for (i = 0; i + VL <= n; i += VL)
    v_store (y + i, v_load (y + i) * s);
  for (; i < n; i++)
    y[i] *= s;
}

/* Sixteen sums side by side on every instruction set, so that all give the same bits. */
#define SUMS 16

double
KERNEL (add_squares) (const float *x, gsize n, double sum)
{
  typedef double vd __attribute__ ((vector_size (VL * 4)));
  typedef float vh __attribute__ ((vector_size (VL * 2), aligned (4), may_alias));
  vd parts[2 * SUMS / VL] = { 0 };
  double sums[SUMS];
  gsize i;
  guint j, half;

  for (i = 0; i + SUMS <= n; i += SUMS) {
#pragma GCC unroll 8
    for (j = 0; j < 2 * SUMS / VL; j++) {
      vd d = __builtin_convertvector (*(const vh *) (x + i + j * VL / 2), vd);

      parts[j] += d * d;
    }
  }
  memcpy (sums, parts, sizeof sums);
  for (j = 0; i < n; i++, j++)
    sums[j] += (double) x[i] * x[i];
  for (half = SUMS / 2; half > 0; half /= 2)
    for (j = 0; j < half; j++)
      sums[j] += sums[j + half];
  return sum + sums[0];
}

typedef struct
{
  float beta1;
  float beta2;
  float keep;                   /* 1 - rate decay */
  float rate;                   /* corrected for the bias of m */
  float correction;             /* of the bias of v */
  float eps;
  float scale;
} AdamW;

/* What decays would end as numbers below the least normal one, for good, and processors take a
 * hundred cycles for each of those. */
static inline vf
flush (vf x)
{
  return (vf) ((vi) x & ~((x < 1e-36f) & (x > -1e-36f)));
}

static inline vf
adamw_vector (const AdamW *a, vf gradient, vf *m, vf *v, vf weight)
{
  vf g = gradient * a->scale;

  *m = flush (a->beta1 * *m + (1.0f - a->beta1) * g);
  *v = flush (a->beta2 * *v + (1.0f - a->beta2) * g * g);
  return weight * a->keep - a->rate * *m / (v_sqrt (*v * a->correction) + a->eps);
}

void
KERNEL (adamw) (const TandemAdamWStep *step, gsize n, const float *gradient, float *m, float *v,
                float *weight)
{
  AdamW a = {
    .beta1 = step->beta1,
    .beta2 = step->beta2,
    .keep = (float) (1.0 - (double) step->rate * step->decay),
    .rate = (float) (step->rate / (1.0 - pow (step->beta1, (double) step->t))),
    .correction = (float) (1.0 / (1.0 - pow (step->beta2, (double) step->t))),
    .eps = step->eps,
    .scale = step->scale,
  };
  gsize i;
  vf m1, v1;

  for (i = 0; i + VL <= n; i += VL) {
    m1 = v_load (m + i);
    v1 = v_load (v + i);
    v_store (weight + i,
             adamw_vector (&a, v_load (gradient + i), &m1, &v1, v_load (weight + i)));
    v_store (m + i, m1);
    v_store (v + i, v1);
  }
  if (i < n) {
    guint rest = n - i;

    m1 = v_load_n (m + i, rest);
    v1 = v_load_n (v + i, rest);
    v_store_n (weight + i, adamw_vector (&a, v_load_n (gradient + i, rest), &m1, &v1,
                                         v_load_n (weight + i, rest)), rest);
    v_store_n (m + i, m1, rest);
    v_store_n (v + i, v1, rest);
  }
}
