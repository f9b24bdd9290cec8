/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Products of int8 matrices. Compiled once for each instruction set of x86-64; TANDEM_ISA is its
 * name. No multiplication may be fused with an addition here: all sets are to give the same bits. */

#include "config.h"

#include "nn/tandem-int8.h"
#include "nn/tandem-kernels-isa.h"

#include <float.h>
#include <immintrin.h>
#include <math.h>

/* Outputs lie in blocks of COLUMNS. A block of weights is [steps][COLUMNS][STEP]: STEP inputs of an
 * output are next to each other, as the instruction takes them. */
#if defined (__AVX512VNNI__)
/* vpdpbusd multiplies unsigned bytes by signed ones, and adds four products to an int32 without
 * saturation. So 128 is added to the rows, and 128 times the sum of an output's weights is what
 * its sums begin below. */
#define STEP 4
#define OFFSET 128
#define COLUMNS 16
#define BLOCK_N_ROWS 6
#define MAX_BLOCKS 4
typedef guint8 Rounded;
typedef gint8 Weight;
#elif defined (__AVX2__)
/* vpmaddubsw saturates; vpmaddwd adds two products of 16 bits to an int32 exactly. */
#define STEP 2
#define OFFSET 0
#define COLUMNS 8
#define BLOCK_N_ROWS 6
#define MAX_BLOCKS 2
typedef gint16 Rounded;
typedef gint16 Weight;
#else
/* The same in narrower registers, which every x86-64 has. */
#define STEP 2
#define OFFSET 0
#define COLUMNS 4
#define BLOCK_N_ROWS 4
#define MAX_BLOCKS 2
typedef gint16 Rounded;
typedef gint16 Weight;
#endif

#define LARGEST 127

static inline gsize
count_steps (guint n_in)
{
  return (n_in + STEP - 1) / STEP;
}

static inline gsize
count_blocks (guint n_out)
{
  return (n_out + COLUMNS - 1) / COLUMNS;
}

/* Where the sums of each output begin, and then the weights. */
static gsize
get_packed_size (guint n_in, guint n_out)
{
  return count_blocks (n_out) * COLUMNS *
         (sizeof (gint32) + count_steps (n_in) * STEP * sizeof (Weight));
}

static void
pack (const gint8 *weight, guint n_in, guint n_out, gpointer packed)
{
  gsize n_blocks = count_blocks (n_out), n_steps = count_steps (n_in), block, step;
  gint32 *starts = packed;
  Weight *to = (Weight *) (starts + n_blocks * COLUMNS);
  guint column, i;

  memset (starts, 0, n_blocks * COLUMNS * sizeof *starts);
  for (block = 0; block < n_blocks; block++)
    for (step = 0; step < n_steps; step++)
      for (column = 0; column < COLUMNS; column++)
        for (i = 0; i < STEP; i++) {
          gsize out = block * COLUMNS + column, in = step * STEP + i;

          *to = out < n_out && in < n_in ? weight[out * n_in + in] : 0;
          starts[out] -= OFFSET * *to++;
        }
}

static gsize
get_row_size (guint n_in)
{
  return count_steps (n_in) * STEP * sizeof (Rounded);
}

/* The bits of the largest absolute value: as integers, those of an infinity and of what is not a
 * number are larger than all others. */
static inline guint32
find_largest (const float *x, guint n)
{
  const vi sign = (vi) v_set1 (-0.0f);
  vi largest = (vi) v_set1 (0.0f);
  guint32 bits, found = 0;
  guint i;

  for (i = 0; i + VL <= n; i += VL) {
    vi size = (vi) v_load (x + i) & ~sign;

#if defined (__AVX512F__)
    largest = (vi) _mm512_max_epi32 ((__m512i) largest, (__m512i) size);
#elif defined (__AVX2__)
    largest = (vi) _mm256_max_epi32 ((__m256i) largest, (__m256i) size);
#else
    vi more = size > largest;

    largest = (size & more) | (largest & ~more);
#endif
  }
#if defined (__AVX512F__)
  found = _mm512_reduce_max_epi32 ((__m512i) largest);
#else
  for (guint lane = 0; lane < VL; lane++)
    found = MAX (found, (guint32) largest[lane]);
#endif
  for (; i < n; i++) {
    memcpy (&bits, x + i, sizeof bits);
    found = MAX (found, bits & 0x7fffffff);
  }
  return found;
}

/* Added to 1.5 * 2^23, a small number is rounded to nearest even and stands in the lowest bits. */
static inline gint32
round_one (float x, float inverse)
{
  const float shift = 0x1.8p23f;
  float shifted = x * inverse + shift;
  gint32 bits, zero;

  memcpy (&bits, &shifted, sizeof bits);
  memcpy (&zero, &shift, sizeof zero);
  return bits - zero;
}

static inline vi
round_vector (vf x, float inverse)
{
  const vf shift = v_set1 (0x1.8p23f);

  return (vi) (x * inverse + shift) - (vi) shift;
}

static inline void
store_rounded (Rounded *to, vi q)
{
#if defined (__AVX512VNNI__)
  _mm_storeu_si128 ((__m128i *) to,
                    _mm512_cvtepi32_epi8 (_mm512_add_epi32 ((__m512i) q,
                                                            _mm512_set1_epi32 (OFFSET))));
#elif defined (__AVX2__)
  _mm_storeu_si128 ((__m128i *) to,
                    _mm_packs_epi32 (_mm256_castsi256_si128 ((__m256i) q),
                                     _mm256_extracti128_si256 ((__m256i) q, 1)));
#else
  _mm_storel_epi64 ((__m128i *) to, _mm_packs_epi32 ((__m128i) q, (__m128i) q));
#endif
}

static float
round_row (const float *x, guint n_in, Rounded *rounded)
{
  guint32 largest_bits = find_largest (x, n_in);
  guint n = count_steps (n_in) * STEP, i = 0;
  float largest, scale, inverse;

  memcpy (&largest, &largest_bits, sizeof largest);
  scale = largest / LARGEST;
  /* The inverse of less may be infinite: such a row is all but zero. */
  inverse = scale >= FLT_MIN ? 1.0f / scale : 0.0f;
  if (largest_bits >= 0x7f800000) {
    scale = NAN;
  } else {
    for (; i + VL <= n_in; i += VL)
      store_rounded (rounded + i, round_vector (v_load (x + i), inverse));
    for (; i < n_in; i++)
      rounded[i] = round_one (x[i], inverse) + OFFSET;
  }
  for (; i < n; i++)
    rounded[i] = OFFSET;
  return scale;
}

static void
round_rows (const float *x, gsize n_rows, guint n_in, gpointer rounded, float *scales)
{
  gsize stride = count_steps (n_in) * STEP, r;

  for (r = 0; r < n_rows; r++)
    scales[r] = round_row (x + r * n_in, n_in, (Rounded *) rounded + r * stride);
}

/* The registers that sums are in, and what their intrinsics begin with. */
#if defined (__AVX512VNNI__)
typedef __m512i Sums;
#define REGISTERS(intrinsic) _mm512_##intrinsic
#elif defined (__AVX2__)
typedef __m256i Sums;
#define REGISTERS(intrinsic) _mm256_##intrinsic
#else
typedef __m128i Sums;
#define REGISTERS(intrinsic) _mm_##intrinsic
#endif

static inline Sums
add_products (Sums sums, Sums rows, Sums weights)
{
#if defined (__AVX512VNNI__)
  /* Written out, since compilers copy the sums to another register and back around the
   * intrinsic, at half the speed. */
  __asm__ ("vpdpbusd %2, %1, %0" : "+v" (sums) : "v" (rows), "v" (weights));
  return sums;
#else
  return REGISTERS (add_epi32) (sums, REGISTERS (madd_epi16) (rows, weights));
#endif
}

/* The STEP inputs of a row, for every output. */
static inline Sums
repeat (const Rounded *p)
{
  gint32 inputs;

  memcpy (&inputs, p, sizeof inputs);
  return REGISTERS (set1_epi32) (inputs);
}

static inline Sums
load_sums (gconstpointer p)
{
  Sums sums;

  memcpy (&sums, p, sizeof sums);
  return sums;
}

static inline vf
sums_to_floats (Sums sums)
{
  return REGISTERS (cvtepi32_ps) (sums);
}

/* Rows and blocks of outputs are constants where this is inlined: the sums are in registers. */
static inline __attribute__ ((always_inline)) void
multiply_block (const guint n_rows, const guint n_blocks, const Rounded *rounded,
                const float *row_scales, gsize n_steps, const gint32 *starts,
                const Weight *weights, const float *scales, const float *bias, guint n_out,
                guint n_left, float *out)
{
  Sums sums[BLOCK_N_ROWS][MAX_BLOCKS];
  const gsize block_size = n_steps * COLUMNS * STEP;
  gsize step;
  guint r, b;

#pragma GCC unroll 6
  for (r = 0; r < n_rows; r++)
#pragma GCC unroll 4
    for (b = 0; b < n_blocks; b++)
      sums[r][b] = load_sums (starts + b * COLUMNS);
  for (step = 0; step < n_steps; step++) {
    Sums w[MAX_BLOCKS];

#pragma GCC unroll 4
    for (b = 0; b < n_blocks; b++)
      w[b] = load_sums (weights + b * block_size + step * COLUMNS * STEP);
#pragma GCC unroll 6
    for (r = 0; r < n_rows; r++) {
      Sums inputs = repeat (rounded + (r * n_steps + step) * STEP);

#pragma GCC unroll 4
      for (b = 0; b < n_blocks; b++)
        sums[r][b] = add_products (sums[r][b], inputs, w[b]);
    }
  }
#pragma GCC unroll 4
  for (b = 0; b < n_blocks; b++) {
    guint n = MIN (n_left - b * COLUMNS, COLUMNS), j;

#pragma GCC unroll 6
    for (r = 0; r < n_rows; r++) {
      float *to = out + (gsize) r * n_out + b * COLUMNS;
      vf result = sums_to_floats (sums[r][b]);

      if (n == COLUMNS) {
        v_store (to, result * (v_load (scales + b * COLUMNS) * row_scales[r]) +
                     v_load (bias + b * COLUMNS));
        continue;
      }
      for (j = 0; j < n; j++)
        to[j] = result[j] * (scales[b * COLUMNS + j] * row_scales[r]) + bias[b * COLUMNS + j];
    }
  }
}

static inline __attribute__ ((always_inline)) void
multiply_columns (const guint n_blocks, const Rounded *rounded, const float *row_scales,
                  gsize n_rows, gsize n_steps, const gint32 *starts, const Weight *weights,
                  const float *scales, const float *bias, guint n_out, guint n_left, float *out)
{
  for (; n_rows >= BLOCK_N_ROWS; n_rows -= BLOCK_N_ROWS) {
    multiply_block (BLOCK_N_ROWS, n_blocks, rounded, row_scales, n_steps, starts, weights, scales,
                    bias, n_out, n_left, out);
    rounded += BLOCK_N_ROWS * n_steps * STEP;
    row_scales += BLOCK_N_ROWS;
    out += (gsize) BLOCK_N_ROWS * n_out;
  }
  for (; n_rows > 0; n_rows--) {
    multiply_block (1, n_blocks, rounded, row_scales, n_steps, starts, weights, scales, bias,
                    n_out, n_left, out);
    rounded += n_steps * STEP;
    row_scales++;
    out += n_out;
  }
}

static void
multiply (gconstpointer rounded, const float *row_scales, gsize n_rows, guint n_in,
          gconstpointer packed, const float *scales, const float *bias, guint n_out, float *out)
{
  gsize n_blocks = count_blocks (n_out), n_steps = count_steps (n_in), block, n;
  const gint32 *starts = packed;
  const Weight *weights = (const Weight *) (starts + n_blocks * COLUMNS);

  for (block = 0; block < n_blocks; block += n) {
    gsize first = block * COLUMNS;
    const Weight *own = weights + first * n_steps * STEP;

    n = n_blocks - block >= MAX_BLOCKS ? MAX_BLOCKS : 1;
    if (n == MAX_BLOCKS)
      multiply_columns (MAX_BLOCKS, rounded, row_scales, n_rows, n_steps, starts + first, own,
                        scales + first, bias + first, n_out, n_out - first, out + first);
    else
      multiply_columns (1, rounded, row_scales, n_rows, n_steps, starts + first, own,
                        scales + first, bias + first, n_out, n_out - first, out + first);
  }
}

const TandemInt8Kernels KERNEL (int8_kernels) = {
  .name = KERNEL_STRING (TANDEM_ISA),
  .get_packed_size = get_packed_size,
  .pack = pack,
  .get_row_size = get_row_size,
  .round_rows = round_rows,
  .multiply = multiply,
};
