/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Philox 4x32-10 (Salmon, Moraes, Dror and Shaw 2011, section 3.3), VL / 2 counters at a time.
 *
 * A counter gives eight numbers of 16 bits. Eight counters, a group, serve 64 columns of a row,
 * and each column has its number whatever the width of the vectors: column c of a group takes
 * word 2 (c / 32) + c % 2 of counter (c % 16) / 2, of it the low half where c % 32 < 16. So the
 * words of neighbouring 64-bit lanes become the 32-bit lanes of one vector of columns. */
#pragma once

#include "nn/tandem-simd.h"

#define PHILOX_ROUNDS 10

/* Columns that eight counters serve, and vectors that hold eight counters. */
#define PHILOX_GROUP 64
#define PHILOX_VECTORS (16 / VL)

typedef guint64 vq __attribute__ ((vector_size (VL * 4)));

typedef struct
{
  vq words[PHILOX_ROUNDS][2];
  vq lanes;                     /* 0, 1, ... */
} PhiloxKeys;

/* The products of the low halves of the lanes. */
static inline vq
v_multiply_low (vq a, vq b)
{
#if defined (__AVX512F__)
  return (vq) _mm512_mul_epu32 ((__m512i) a, (__m512i) b);
#elif defined (__AVX2__)
  return (vq) _mm256_mul_epu32 ((__m256i) a, (__m256i) b);
#else
  return (a & 0xffffffff) * b;
#endif
}

static inline PhiloxKeys
philox_expand_key (const guint32 key[2])
{
  PhiloxKeys keys;
  guint32 k0 = key[0], k1 = key[1];
  guint i;

  for (i = 0; i < PHILOX_ROUNDS; i++) {
    keys.words[i][0] = k0 - (vq) { 0 };
    keys.words[i][1] = k1 - (vq) { 0 };
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  for (i = 0; i < VL / 2; i++)
    keys.lanes[i] = i;
  return keys;
}

/* Of counters whose first words are counter[0], counter[0] + 1, ...: numbers[i] are those of
 * columns 16 i to 16 i + VL - 1, counted from the first column of these counters. */
static inline void
philox (const PhiloxKeys *keys, const guint32 counter[4], vi numbers[4])
{
  const vq m0 = 0xd2511f53 - (vq) { 0 }, m1 = 0xcd9e8d57 - (vq) { 0 };
  /* The high halves of lanes hold what multiplications do not look at. */
  vq c0 = counter[0] + keys->lanes, c1 = counter[1] - (vq) { 0 };
  vq c2 = counter[2] - (vq) { 0 }, c3 = counter[3] - (vq) { 0 };
  guint i;

#pragma GCC unroll 10
  for (i = 0; i < PHILOX_ROUNDS; i++) {
    vq p0 = v_multiply_low (c0, m0), p1 = v_multiply_low (c2, m1);

    c0 = (p1 >> 32) ^ c1 ^ keys->words[i][0];
    c1 = p1;
    c2 = (p0 >> 32) ^ c3 ^ keys->words[i][1];
    c3 = p0;
  }

  c0 = (c0 & 0xffffffff) | (c1 << 32);
  c2 = (c2 & 0xffffffff) | (c3 << 32);
  numbers[0] = (vi) c0 & 0xffff;
  numbers[1] = (vi) c0 >> 16 & 0xffff;
  numbers[2] = (vi) c2 & 0xffff;
  numbers[3] = (vi) c2 >> 16 & 0xffff;
}
