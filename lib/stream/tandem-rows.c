/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rows of activations in the formats that a link may use. The loops have no branches, so that
 * compilers make vectors of them. */

#include "config.h"

#include <math.h>
#include <string.h>

#include "stream/tandem-rows.h"
#include "tensor/tandem-half-private.h"

#define Q8_MAX 127

static inline guint16
load_half (const guint8 *p)
{
  guint16 half;

  memcpy (&half, p, sizeof half);
  return half;
}

static inline void
store_half (guint8 *p, guint16 half)
{
  memcpy (p, &half, sizeof half);
}

/* The scale, and then each number divided by it, from -127 to 127. A row that is not finite has a
 * scale that is not a number, and so all of it comes out. */
static void
encode_q8 (const float *row, guint width, guint8 *encoded)
{
  float largest = 0.0f, inverse, scale;
  guint32 bad = 0;
  guint i;

  for (i = 0; i < width; i++) {
    float size = fabsf (row[i]);

    bad |= tandem_float_to_bits (size) >= TANDEM_FLOAT_INFINITE;
    largest = size > largest ? size : largest;
  }
  scale = bad ? (float) NAN : largest / Q8_MAX;
  /* The inverse of a scale below 2^-126 may be infinite: such a row is all but zero. */
  inverse = scale >= 0x1p-126f ? 1.0f / scale : 0.0f;
  memcpy (encoded, &scale, sizeof scale);
  for (i = 0; i < width; i++) {
    /* Added to 1.5 * 2^23, a small number is rounded, and stands in the lowest bits. */
    float shifted = row[i] * inverse + 0x1.8p23f;

    encoded[sizeof scale + i] = tandem_float_to_bits (shifted);
  }
}

/**
 * tandem_rows_encode: (skip)
 * @format: how rows are to be stored
 * @rows: [n_rows, width] numbers
 * @n_rows: how many rows
 * @width: numbers of a row
 * @encoded: (out caller-allocates): n_rows times as many bytes as
 *   tandem_stream_info_get_row_size() says
 *
 * Stores rows of activations in another format. bfloat16 and half round to nearest, ties to
 * even; half also takes numbers beyond its range for the largest one that it has. Q8 stores a row
 * as a float32, its largest absolute value divided by 127, and as many times that each number is,
 * rounded, as an int8: the error is at most 1/254 of the row's largest number. Little-endian
 * machines only. Any thread may call this.
 */
void
tandem_rows_encode (TandemRowFormat format, const float *rows, gsize n_rows, guint width,
                    guint8 *encoded)
{
  const gsize n = n_rows * width;
  gsize i;

  switch (format) {
    case TANDEM_ROW_FORMAT_F32LE:
      memcpy (encoded, rows, n * sizeof (float));
      break;
    case TANDEM_ROW_FORMAT_BF16LE:
      for (i = 0; i < n; i++)
        store_half (encoded + 2 * i, tandem_bf16_from_float (rows[i]));
      break;
    case TANDEM_ROW_FORMAT_F16LE:
      for (i = 0; i < n; i++)
        store_half (encoded + 2 * i, tandem_f16_from_float (rows[i]));
      break;
    case TANDEM_ROW_FORMAT_Q8:
      for (i = 0; i < n_rows; i++)
        encode_q8 (rows + i * width, width, encoded + i * (width + sizeof (float)));
      break;
  }
}

/**
 * tandem_rows_decode: (skip)
 * @format: how rows are stored
 * @encoded: n_rows times as many bytes as tandem_stream_info_get_row_size() says; any
 *   bytes are a row
 * @n_rows: how many rows
 * @width: numbers of a row
 * @rows: (out caller-allocates): [n_rows, width] numbers
 *
 * Reads what tandem_rows_encode() stored. Any thread may call this.
 */
void
tandem_rows_decode (TandemRowFormat format, const guint8 *encoded, gsize n_rows, guint width,
                    float *rows)
{
  const gsize n = n_rows * width;
  gsize i, k;

  switch (format) {
    case TANDEM_ROW_FORMAT_F32LE:
      memcpy (rows, encoded, n * sizeof (float));
      break;
    case TANDEM_ROW_FORMAT_BF16LE:
      for (i = 0; i < n; i++)
        rows[i] = tandem_bf16_to_float (load_half (encoded + 2 * i));
      break;
    case TANDEM_ROW_FORMAT_F16LE:
      for (i = 0; i < n; i++)
        rows[i] = tandem_f16_to_float (load_half (encoded + 2 * i));
      break;
    case TANDEM_ROW_FORMAT_Q8:
      for (i = 0; i < n_rows; i++) {
        const guint8 *row = encoded + i * (width + sizeof (float));
        const gint8 *numbers = (const gint8 *) row + sizeof (float);
        float scale;

        memcpy (&scale, row, sizeof scale);
        for (k = 0; k < width; k++)
          rows[i * width + k] = numbers[k] * scale;
      }
      break;
  }
}
