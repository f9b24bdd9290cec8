/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rows whose width is no multiple of a vector, and sums over two rows. */
#pragma once

#include "nn/tandem-simd.h"

/* n < VL floats, then zeros. */
static inline vf
v_load_n (const float *p, guint n)
{
#if defined (__AVX512F__)
  return _mm512_maskz_loadu_ps ((1u << n) - 1, p);
#else
  float lanes[VL] = { 0 };

  memcpy (lanes, p, n * sizeof (float));
  return v_load (lanes);
#endif
}

/* n < VL floats, then fill. */
static inline vf
v_load_n_or (const float *p, guint n, float fill)
{
#if defined (__AVX512F__)
  return _mm512_mask_loadu_ps (v_set1 (fill), (1u << n) - 1, p);
#else
  float lanes[VL];

  v_store (lanes, v_set1 (fill));
  memcpy (lanes, p, n * sizeof (float));
  return v_load (lanes);
#endif
}

/* The first n < VL lanes, then zeros. */
static inline vf
v_keep_n (vf v, guint n)
{
#if defined (__AVX512F__)
  return _mm512_maskz_mov_ps ((1u << n) - 1, v);
#else
  float lanes[VL];

  v_store (lanes, v);
  return v_load_n (lanes, n);
#endif
}

static inline void
v_store_n (float *p, vf v, guint n)
{
#if defined (__AVX512F__)
  _mm512_mask_storeu_ps (p, (1u << n) - 1, v);
#else
  float lanes[VL];

  v_store (lanes, v);
  memcpy (p, lanes, n * sizeof (float));
#endif
}

static inline vf
v_sqrt (vf v)
{
#if defined (__AVX512F__)
  return _mm512_sqrt_ps (v);
#elif defined (__AVX2__)
  return _mm256_sqrt_ps (v);
#else
  guint i;

  for (i = 0; i < VL; i++)
    v[i] = __builtin_sqrtf (v[i]);
  return v;
#endif
}

static inline float
row_dot (const float *a, const float *b, guint n)
{
  vf s0 = v_set1 (0.0f), s1 = v_set1 (0.0f);
  float sum;
  guint i;

  for (i = 0; i + 2 * VL <= n; i += 2 * VL) {
    s0 = v_load (a + i) * v_load (b + i) + s0;
    s1 = v_load (a + i + VL) * v_load (b + i + VL) + s1;
  }
  sum = v_sum (s0 + s1);
  for (; i < n; i++)
    sum += a[i] * b[i];
  return sum;
}

/* y += s x */
static inline void
row_add_scaled (float *y, const float *x, float s, guint n)
{
  guint i;

  for (i = 0; i + VL <= n; i += VL)
    v_store (y + i, v_load (x + i) * s + v_load (y + i));
  for (; i < n; i++)
    y[i] += x[i] * s;
}
