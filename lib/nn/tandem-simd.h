/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The few vector operations that the kernels need, for the instruction set
 * that the including file is compiled for. Arithmetic is written with the
 * compiler's own vector operators, and `a * b + c` becomes a fused
 * multiply-add where there is one. */
#pragma once

#include <glib.h>
#include <string.h>

#if defined (__AVX512F__)
#include <immintrin.h>
#define VL 16
/* Rows of the register block of attention: 12 x 2 accumulators of 32 registers. */
#define BLOCK_ROWS 12
#define BLOCK_ROWS_SMALL 4
#elif defined (__AVX2__)
#include <immintrin.h>
#define VL 8
#define BLOCK_ROWS 6
#define BLOCK_ROWS_SMALL 2
#else
#define VL 4
#define BLOCK_ROWS 4
#define BLOCK_ROWS_SMALL 2
#endif

#define BLOCK_COLUMNS (2 * VL)

typedef float vf __attribute__ ((vector_size (VL * 4)));
typedef gint32 vi __attribute__ ((vector_size (VL * 4)));
/* The same vectors where memory need not be aligned. */
typedef float vf_unaligned __attribute__ ((vector_size (VL * 4), aligned (4), may_alias));

static inline vf
v_load (const float *p)
{
  return *(const vf_unaligned *) p;
}

static inline void
v_store (float *p, vf v)
{
  *(vf_unaligned *) p = v;
}

static inline vf
v_set1 (float s)
{
  return s - (vf) { 0 };
}

#if defined (__AVX512F__)
static inline vf
v_max (vf a, vf b)
{
  return _mm512_max_ps (a, b);
}

static inline vf
v_min (vf a, vf b)
{
  return _mm512_min_ps (a, b);
}

static inline float
v_sum (vf v)
{
  return _mm512_reduce_add_ps (v);
}

static inline vf
v_load_f16 (const guint16 *p)
{
  return _mm512_cvtph_ps (_mm256_loadu_si256 ((const __m256i *) p));
}

static inline vf
v_load_int8 (const gint8 *p)
{
  return _mm512_cvtepi32_ps (_mm512_cvtepi8_epi32 (_mm_loadu_si128 ((const __m128i *) p)));
}

#define V_HAVE_TRANSPOSE 1

/* Swaps rows and columns of a square of VL vectors, block by block: first the
 * quarters, then the quarters of the quarters. */
static inline void
v_transpose (vf rows[VL])
{
  const __m512i lane =
      _mm512_set_epi32 (15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  guint half, i;

#pragma GCC unroll 4
  for (half = VL / 2; half > 0; half /= 2) {
    /* Lanes of the second operand count from VL. */
    const __mmask16 high = _mm512_test_epi32_mask (lane, _mm512_set1_epi32 (half));
    const __m512i first =
        _mm512_mask_add_epi32 (lane, high, lane, _mm512_set1_epi32 (VL - half));
    const __m512i second =
        _mm512_mask_add_epi32 (_mm512_add_epi32 (lane, _mm512_set1_epi32 (half)), high, lane,
                               _mm512_set1_epi32 (VL));

#pragma GCC unroll 16
    for (i = 0; i < VL; i++) {
      if ((i & half) == 0) {
        vf a = rows[i], b = rows[i + half];

        rows[i] = _mm512_permutex2var_ps (a, first, b);
        rows[i + half] = _mm512_permutex2var_ps (a, second, b);
      }
    }
  }
}

/* An estimate of 1/x to 14 bits and one Newton step: 1 ulp or so, at a
 * quarter of the cost of a division. */
static inline vf
v_reciprocal (vf x)
{
  vf r = _mm512_rcp14_ps (x);

  return r + r * (1.0f - x * r);
}
#elif defined (__AVX2__)
static inline vf
v_max (vf a, vf b)
{
  return _mm256_max_ps (a, b);
}

static inline vf
v_min (vf a, vf b)
{
  return _mm256_min_ps (a, b);
}

static inline float
v_sum (vf v)
{
  __m128 s = _mm_add_ps (_mm256_castps256_ps128 (v), _mm256_extractf128_ps (v, 1));

  s = _mm_add_ps (s, _mm_movehl_ps (s, s));
  return _mm_cvtss_f32 (_mm_add_ss (s, _mm_movehdup_ps (s)));
}

static inline vf
v_load_f16 (const guint16 *p)
{
  return _mm256_cvtph_ps (_mm_loadu_si128 ((const __m128i *) p));
}

static inline vf
v_load_int8 (const gint8 *p)
{
  return _mm256_cvtepi32_ps (_mm256_cvtepi8_epi32 (_mm_loadl_epi64 ((const __m128i *) p)));
}

static inline vf
v_reciprocal (vf x)
{
  return 1.0f / x;
}
#else
static inline float
v_sum (vf v)
{
  float lanes[VL];
  guint half, i;

  v_store (lanes, v);
  for (half = VL / 2; half > 0; half /= 2)
    for (i = 0; i < half; i++)
      lanes[i] += lanes[i + half];
  return lanes[0];
}

static inline vf
v_select (vi mask, vf a, vf b)
{
  return (vf) ((mask & (vi) a) | (~mask & (vi) b));
}

static inline vf
v_max (vf a, vf b)
{
  return v_select (a > b, a, b);
}

static inline vf
v_min (vf a, vf b)
{
  return v_select (a < b, a, b);
}

static inline vf
v_load_f16 (const guint16 *p)
{
  vf out;
  guint i;

  /* Moving the bits to a float's place leaves the exponent 112 too low; the
   * multiplication mends it and makes subnormals right at the same time. */
  for (i = 0; i < VL; i++) {
    guint32 bits = (guint32) (p[i] & 0x7fff) << 13;
    float f;

    memcpy (&f, &bits, sizeof f);
    f *= 0x1p112f;
    if ((p[i] & 0x7c00) == 0x7c00) {
      bits |= 0x7f800000;
      memcpy (&f, &bits, sizeof f);
    }
    out[i] = (p[i] & 0x8000) ? -f : f;
  }
  return out;
}

static inline vf
v_load_int8 (const gint8 *p)
{
  vf out;
  guint i;

  for (i = 0; i < VL; i++)
    out[i] = p[i];
  return out;
}

static inline vf
v_reciprocal (vf x)
{
  return 1.0f / x;
}
#endif

static inline vf
v_load_bf16 (const guint16 *p)
{
  vi bits;
  guint i;

  for (i = 0; i < VL; i++)
    bits[i] = (gint32) ((guint32) p[i] << 16);
  return (vf) bits;
}

static inline float
v_max_lane (vf v)
{
#if defined (__AVX512F__)
  return _mm512_reduce_max_ps (v);
#else
  float lanes[VL], max;
  guint i;

  v_store (lanes, v);
  max = lanes[0];
  for (i = 1; i < VL; i++)
    max = MAX (max, lanes[i]);
  return max;
#endif
}

/* exp(x) for x <= 88, relative error below 2e-7; below -87 it is 0 or nearly. Of a number and a
 * NaN, the minimum and the maximum are the second operand: here a NaN stays one. */
static inline vf
v_exp (vf x)
{
  const float round = 12582912.0f;      /* 1.5 * 2^23: adding it rounds to an integer */
  vf t, n, r, p;

  x = v_max (v_set1 (-87.0f), x);
  t = x * 1.44269504088896341f + round;
  n = t - round;
  r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  /* exp (r) = 1 + r + r^2 p (r), a minimax fit on |r| <= ln 2 / 2, error 3e-9. */
  p = r * 1.3814467238262296e-3f + 8.3687808364624630e-3f;
  p = r * p + 4.1668392717838287e-2f;
  p = r * p + 1.6666519641876220e-1f;
  p = r * p + 4.9999994039535522e-1f;
  p = r * r * p + r + 1.0f;
  /* The low bits of t hold n: shifted, they add n to the exponent. */
  return (vf) ((vi) p + ((vi) t << 23));
}
