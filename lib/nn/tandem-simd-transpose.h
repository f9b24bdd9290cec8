/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Squares of VL vectors, for instruction sets whose transposition attention does not need. */
#pragma once

#include "nn/tandem-simd.h"

#ifndef V_HAVE_TRANSPOSE
#if defined (__AVX2__)
static inline void
v_transpose (vf rows[VL])
{
  __m256 pairs[VL], quads[VL];
  guint i;

#pragma GCC unroll 4
  for (i = 0; i < VL; i += 2) {
    pairs[i] = _mm256_unpacklo_ps (rows[i], rows[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps (rows[i], rows[i + 1]);
  }
#pragma GCC unroll 2
  for (i = 0; i < VL; i += 4) {
    quads[i] = _mm256_shuffle_ps (pairs[i], pairs[i + 2], _MM_SHUFFLE (1, 0, 1, 0));
    quads[i + 1] = _mm256_shuffle_ps (pairs[i], pairs[i + 2], _MM_SHUFFLE (3, 2, 3, 2));
    quads[i + 2] = _mm256_shuffle_ps (pairs[i + 1], pairs[i + 3], _MM_SHUFFLE (1, 0, 1, 0));
    quads[i + 3] = _mm256_shuffle_ps (pairs[i + 1], pairs[i + 3], _MM_SHUFFLE (3, 2, 3, 2));
  }
#pragma GCC unroll 4
  for (i = 0; i < VL / 2; i++) {
    rows[i] = _mm256_permute2f128_ps (quads[i], quads[i + 4], 0x20);
    rows[i + 4] = _mm256_permute2f128_ps (quads[i], quads[i + 4], 0x31);
  }
}
#else
static inline void
v_transpose (vf rows[VL])
{
  guint i, k;

  for (i = 0; i < VL; i++)
    for (k = i + 1; k < VL; k++) {
      float swapped = rows[i][k];

      rows[i][k] = rows[k][i];
      rows[k][i] = swapped;
    }
}
#endif
#endif
