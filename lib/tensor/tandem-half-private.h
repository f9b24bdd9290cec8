/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Numbers of 16 bits: bfloat16 and IEEE half. Nothing here branches, so that compilers make vectors
 * of loops over it. */
#pragma once

#include <glib.h>
#include <string.h>

G_BEGIN_DECLS

#define TANDEM_FLOAT_INFINITE 0x7f800000u

/* The largest half, and the smallest that has its full precision. */
#define TANDEM_F16_LARGEST 65504.0f
#define TANDEM_F16_SMALLEST 0x1p-14f

static inline guint32
tandem_float_to_bits (float x)
{
  guint32 bits;

  memcpy (&bits, &x, sizeof bits);
  return bits;
}

static inline float
tandem_float_from_bits (guint32 bits)
{
  float x;

  memcpy (&x, &bits, sizeof x);
  return x;
}

/* To nearest, ties to even; what is not a number stays so. */
static inline guint16
tandem_bf16_from_float (float x)
{
  guint32 bits = tandem_float_to_bits (x);
  guint32 rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;

  return (bits & ~0x80000000u) > TANDEM_FLOAT_INFINITE ? bits >> 16 | 0x40 : rounded;
}

/* To nearest, ties to even. Numbers beyond the range become the largest one, 65,504: an
 * infinite activation would spoil the whole sequence. */
static inline guint16
tandem_f16_from_float (float x)
{
  guint32 bits = tandem_float_to_bits (x);
  guint32 sign = bits >> 16 & 0x8000;
  guint32 size = bits & ~0x80000000u;
  guint32 bounded = MIN (size, tandem_float_to_bits (TANDEM_F16_LARGEST));
  /* Below 2^-14 the last bit stands for 2^-24, as it does in a float from 0.5 to 1. */
  guint32 small = tandem_float_to_bits (tandem_float_from_bits (bounded) + 0.5f) -
                  tandem_float_to_bits (0.5f);
  /* Else 13 bits go and the exponent's bias changes from 127 to 15. */
  guint32 normal = (bounded + 0xfff + (bounded >> 13 & 1) - ((127 - 15) << 23)) >> 13;
  guint32 number = bounded < tandem_float_to_bits (TANDEM_F16_SMALLEST) ? small : normal;

  return sign | (size > TANDEM_FLOAT_INFINITE ? 0x7e00 : number);
}

static inline float
tandem_f16_to_float (guint16 half)
{
  guint32 size = (guint32) (half & 0x7fff) << 13;
  guint32 exponent = size & 0x0f800000;
  guint32 normal = size + ((127 - 15) << 23);
  guint32 special = size + ((255 - 31) << 23);
  guint32 small = tandem_float_to_bits (tandem_float_from_bits (size + (113 << 23)) -
                                        TANDEM_F16_SMALLEST);
  guint32 bits = exponent == 0x0f800000 ? special : exponent == 0 ? small : normal;

  return tandem_float_from_bits (bits | (guint32) (half & 0x8000) << 16);
}

static inline float
tandem_bf16_to_float (guint16 half)
{
  return tandem_float_from_bits ((guint32) half << 16);
}

G_END_DECLS
