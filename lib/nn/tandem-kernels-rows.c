/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Compiled once for each instruction set; TANDEM_ISA is its name. */

#include "config.h"

#include "nn/tandem-kernels-isa.h"
#include "nn/tandem-simd-nonlinear.h"

#include <math.h>

/* Layer norm of one row that is already in out. */
static inline void
normalise_row (float *out, guint width, const float *gamma, const float *beta, float eps)
{
  vf sum = v_set1 (0.0f), squares = v_set1 (0.0f);
  float total = 0.0f, mean, variance = 0.0f, inverse;
  guint i, whole = width / VL * VL;

  for (i = 0; i < whole; i += VL)
    sum += v_load (out + i);
  for (; i < width; i++)
    total += out[i];
  mean = (v_sum (sum) + total) / (float) width;

  for (i = 0; i < whole; i += VL) {
    vf d = v_load (out + i) - mean;

    squares = d * d + squares;
  }
  for (; i < width; i++)
    variance += (out[i] - mean) * (out[i] - mean);
  variance = (v_sum (squares) + variance) / (float) width;
  inverse = 1.0f / sqrtf (variance + eps);

  for (i = 0; i < whole; i += VL) {
    vf n = (v_load (out + i) - mean) * inverse;

    v_store (out + i, n * v_load (gamma + i) + v_load (beta + i));
  }
  for (; i < width; i++)
    out[i] = (out[i] - mean) * inverse * gamma[i] + beta[i];
}

static void
add_layer_norm (const float *x, const float *residual, guint n_rows, guint width,
                const float *gamma, const float *beta, float eps, float *out)
{
  guint r, i;

  for (r = 0; r < n_rows; r++) {
    for (i = 0; i + VL <= width; i += VL)
      v_store (out + i, v_load (x + i) + v_load (residual + i));
    for (; i < width; i++)
      out[i] = x[i] + residual[i];
    normalise_row (out, width, gamma, beta, eps);
    x += width;
    residual += width;
    out += width;
  }
}

/* What follows the sum in a row of embeddings: the last elements, fewer than a vector, of which
 * @words are the word's. */
static inline void
add_tail (vf words, const float *positions, guint n, float *out)
{
  guint i;

  for (i = 0; i < n; i++)
    out[i] = words[i] + positions[i];
}

static inline vf
load_row (gconstpointer row, TandemRowsDtype dtype, guint i)
{
  switch (dtype) {
    case TANDEM_ROWS_F16:
      return v_load_f16 ((const guint16 *) row + i);
    case TANDEM_ROWS_BF16:
      return v_load_bf16 ((const guint16 *) row + i);
    case TANDEM_ROWS_F32:
      break;
  }
  return v_load ((const float *) row + i);
}

static void
embed (const gint32 *ids, guint n_rows, guint width, gconstpointer words, TandemRowsDtype dtype,
       const float *positions, const float *gamma, const float *beta, float eps, float *out)
{
  gsize size = dtype == TANDEM_ROWS_F32 ? 4 : 2;
  guint r, i;

  for (r = 0; r < n_rows; r++) {
    const guint8 *row = (const guint8 *) words + (gsize) ids[r] * width * size;

    for (i = 0; i + VL <= width; i += VL)
      v_store (out + i, load_row (row, dtype, i) + v_load (positions + i));
    if (i < width) {
      guint8 tail[VL * 4] = { 0 };

      memcpy (tail, row + i * size, (width - i) * size);
      add_tail (load_row (tail, dtype, 0), positions + i, width - i, out + i);
    }
    normalise_row (out, width, gamma, beta, eps);
    positions += width;
    out += width;
  }
}

static void
embed_int8 (const gint32 *ids, guint n_rows, guint width, const gint8 *words, const float *scales,
            const float *positions, const float *gamma, const float *beta, float eps, float *out)
{
  guint r, i;

  for (r = 0; r < n_rows; r++) {
    const gint8 *row = words + (gsize) ids[r] * width;
    float scale = scales[ids[r]];

    for (i = 0; i + VL <= width; i += VL)
      v_store (out + i, v_load_int8 (row + i) * scale + v_load (positions + i));
    if (i < width) {
      gint8 tail[VL] = { 0 };

      memcpy (tail, row + i, width - i);
      add_tail (v_load_int8 (tail) * scale, positions + i, width - i, out + i);
    }
    normalise_row (out, width, gamma, beta, eps);
    positions += width;
    out += width;
  }
}

#ifdef __AVX512BW__
/* 16 elements at once; a load of values is masked, so that none behind the last is touched. */
static void
expand (const guint8 *mask, guint n, gconstpointer values, guint size, gpointer out)
{
  const guint16 *halves = values;
  const float *floats = values;
  guint i;

  for (i = 0; i < n; i += 16) {
    guint count = MIN (n - i, 16), n_values;
    __mmask16 bits = mask[i / 8] | (count > 8 ? mask[i / 8 + 1] << 8 : 0), present;

    bits &= (1u << count) - 1;
    n_values = __builtin_popcount (bits);
    present = (1u << n_values) - 1;
    if (size == 4) {
      _mm512_mask_storeu_ps ((float *) out + i, (1u << count) - 1,
                             _mm512_maskz_expand_ps (bits, _mm512_maskz_loadu_ps (present, floats)));
      floats += n_values;
    } else {
      __m512i wide = _mm512_cvtepu16_epi32 (_mm256_maskz_loadu_epi16 (present, halves));

      _mm256_mask_storeu_epi16 ((guint16 *) out + i, (1u << count) - 1,
                                _mm512_cvtepi32_epi16 (_mm512_maskz_expand_epi32 (bits, wide)));
      halves += n_values;
    }
  }
}
#else
static void
expand (const guint8 *mask, guint n, gconstpointer values, guint size, gpointer out)
{
  const guint8 *value = values;
  guint8 *to = out;
  guint i;

  memset (out, 0, (gsize) n * size);
  for (i = 0; i < n; i += 8, to += 8 * size) {
    guint bits = mask[i / 8] & (n - i < 8 ? (1u << (n - i)) - 1 : 0xff);

    /* A size that the compiler knows makes each copy one instruction. */
    for (; bits != 0; bits &= bits - 1, value += size) {
      if (size == 4)
        memcpy (to + 4 * __builtin_ctz (bits), value, 4);
      else
        memcpy (to + 2 * __builtin_ctz (bits), value, 2);
    }
  }
}
#endif

#define DEFINE_MAP(name)                                          \
  static void name (float *x, gsize n)                            \
  {                                                               \
    gsize i;                                                      \
                                                                  \
    for (i = 0; i + VL <= n; i += VL)                             \
      v_store (x + i, name##_vector (v_load (x + i)));            \
    if (i < n) {                                                  \
      float tail[VL] = { 0 };                                     \
                                                                  \
      memcpy (tail, x + i, (n - i) * sizeof (float));             \
      v_store (tail, name##_vector (v_load (tail)));              \
      memcpy (x + i, tail, (n - i) * sizeof (float));             \
    }                                                             \
  }

DEFINE_MAP (gelu_erf)
DEFINE_MAP (gelu_tanh)
DEFINE_MAP (relu)

#define tanh_map_vector tanh_vector
DEFINE_MAP (tanh_map)

static void
to_bf16 (const float *x, gsize n, guint16 *out)
{
  gsize i;

  for (i = 0; i < n; i++) {
    guint32 bits;

    memcpy (&bits, x + i, sizeof bits);
    /* Half of the last place kept, less one when that place is even. */
    out[i] = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  }
}

const TandemKernels KERNEL (kernels) = {
  .name = KERNEL_STRING (TANDEM_ISA),
  .embed = embed,
  .embed_int8 = embed_int8,
  .expand = expand,
  .add_layer_norm = add_layer_norm,
  .gelu_erf = gelu_erf,
  .gelu_tanh = gelu_tanh,
  .relu = relu,
  .tanh = tanh_map,
  .to_bf16 = to_bf16,
  .attention = KERNEL (attention),
  .first_row_attention = KERNEL (first_row_attention),
  .training = &KERNEL (training_kernels),
};
