/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <math.h>
#include <string.h>

#include "tandem.h"

/* IEEE half and bfloat16 after their definition. */
static double
get_value (guint16 bits, guint exponent_bits)
{
  const guint fraction_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  double sign = bits & 0x8000 ? -1.0 : 1.0;
  int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
  double fraction = (bits & ((1 << fraction_bits) - 1)) / (double) (1 << fraction_bits);

  if (exponent == (1 << exponent_bits) - 1)
    return fraction > 0 ? (double) NAN : sign * (double) INFINITY;
  return exponent == 0 ? sign * ldexp (fraction, 1 - bias)
                       : sign * ldexp (1.0 + fraction, exponent - bias);
}

static guint16
encode_one (TandemRowFormat format, float x)
{
  guint16 half;

  tandem_rows_encode (format, &x, 1, 1, (guint8 *) &half);
  return half;
}

static float
decode_one (TandemRowFormat format, guint16 half)
{
  float x;

  tandem_rows_decode (format, (const guint8 *) &half, 1, 1, &x);
  return x;
}

static const struct
{
  TandemRowFormat format;
  guint exponent_bits;
  guint16 largest;
} halves[] = {
  { TANDEM_ROW_FORMAT_BF16LE, 8, 0x7f7f },
  { TANDEM_ROW_FORMAT_F16LE, 5, 0x7bff },
};

/* All 65,536 of them, and back. */
static void
test_decode (gconstpointer data)
{
  const guint which = GPOINTER_TO_UINT (data);
  guint bits;

  for (bits = 0; bits < 65536; bits++) {
    double expected = get_value (bits, halves[which].exponent_bits);
    float x = decode_one (halves[which].format, bits);

    if (isnan (expected)) {
      g_assert_true (isnan (x));
      g_assert_true (isnan (decode_one (halves[which].format,
                                        encode_one (halves[which].format, x))));
      continue;
    }
    g_assert_cmpfloat ((double) x, ==, expected);
    g_assert_cmpint (!signbit (x), ==, !signbit (expected));
    if (isfinite (x))
      g_assert_cmpuint (encode_one (halves[which].format, x), ==, bits);
  }
}

/* To the nearest, and to the even one of two. */
static void
test_round (gconstpointer data)
{
  const guint which = GPOINTER_TO_UINT (data);
  const TandemRowFormat format = halves[which].format;
  guint bits, i;

  for (bits = 0; bits < halves[which].largest; bits++) {
    double low = get_value (bits, halves[which].exponent_bits);
    double high = get_value (bits + 1, halves[which].exponent_bits);
    float middle = (low + high) / 2;
    guint16 even = bits & 1 ? bits + 1 : bits;

    if ((double) middle != (low + high) / 2)
      continue;
    g_assert_cmpuint (encode_one (format, middle), ==, even);
    g_assert_cmpuint (encode_one (format, -middle), ==, even | 0x8000);
    g_assert_cmpuint (encode_one (format, nextafterf (middle, 0)), ==, bits);
    g_assert_cmpuint (encode_one (format, nextafterf (middle, INFINITY)), ==, bits + 1);
  }
  for (i = 0; i < 1000; i++) {
    float x = g_test_rand_double_range (-10, 10);
    double error = fabs (decode_one (format, encode_one (format, x)) - (double) x);

    /* Half of the last bit: of a number as large as x, or of a subnormal one. */
    g_assert_cmpfloat (error, <=, MAX (fabs (x) * ldexp (1.0, (int) halves[which].exponent_bits - 16),
                                       ldexp (1.0, (int) halves[which].exponent_bits - 14 -
                                                   (1 << (halves[which].exponent_bits - 1)))));
  }
  g_assert_cmpuint (encode_one (TANDEM_ROW_FORMAT_F16LE, 1e30f), ==, 0x7bff);
  g_assert_cmpuint (encode_one (TANDEM_ROW_FORMAT_F16LE, -65520.0f), ==, 0xfbff);
}

static void
test_q8 (void)
{
  enum { ROWS = 7, WIDTH = 37 };
  const gsize row_size = WIDTH + sizeof (float);
  float rows[ROWS * WIDTH], again[ROWS * WIDTH];
  guint8 encoded[ROWS * (WIDTH + sizeof (float))];
  guint i, k;

  for (i = 0; i < ROWS * WIDTH; i++)
    rows[i] = g_test_rand_double_range (-1, 1) * pow (10, (double) (i / WIDTH) - 3);
  memset (rows + WIDTH, 0, WIDTH * sizeof *rows);
  rows[2 * WIDTH] = -5.0f;
  for (k = 1; k < WIDTH; k++)
    rows[2 * WIDTH + k] = k * (5.0f / 127);
  rows[3 * WIDTH + 4] = NAN;
  rows[4 * WIDTH + 4] = -INFINITY;
  for (k = 0; k < WIDTH; k++)
    rows[5 * WIDTH + k] = 1e-44f;
  tandem_rows_encode (TANDEM_ROW_FORMAT_Q8, rows, ROWS, WIDTH, encoded);
  tandem_rows_decode (TANDEM_ROW_FORMAT_Q8, encoded, ROWS, WIDTH, again);

  for (i = 0; i < ROWS; i++) {
    double largest = 0;

    for (k = 0; k < WIDTH; k++)
      largest = MAX (largest, fabs ((double) rows[i * WIDTH + k]));
    for (k = 0; k < WIDTH; k++) {
      float x = rows[i * WIDTH + k], y = again[i * WIDTH + k];

      if (i == 3 || i == 4)
        g_assert_true (isnan (y));
      else
        g_assert_cmpfloat (fabs ((double) x - (double) y), <=, largest / 254 * 1.0001 + 1e-44);
    }
  }
  /* The scale in front, and int8 behind it. */
  g_assert_cmpint ((gint8) encoded[2 * row_size + 4], ==, -127);
  for (k = 1; k < WIDTH; k++)
    g_assert_cmpint ((gint8) encoded[2 * row_size + 4 + k], ==, (int) k);
  for (k = 0; k < WIDTH; k++)
    g_assert_cmpfloat (again[WIDTH + k], ==, 0.0f);
}

static void
test_f32 (void)
{
  const float rows[] = { 1.5f, -0.0f, 3e38f, 1e-45f };
  float encoded[4], again[4];

  tandem_rows_encode (TANDEM_ROW_FORMAT_F32LE, rows, 2, 2, (guint8 *) encoded);
  tandem_rows_decode (TANDEM_ROW_FORMAT_F32LE, (const guint8 *) encoded, 2, 2, again);
  g_assert_cmpmem (again, sizeof again, rows, sizeof rows);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/rows/bf16/decode", GUINT_TO_POINTER (0), test_decode);
  g_test_add_data_func ("/rows/f16/decode", GUINT_TO_POINTER (1), test_decode);
  g_test_add_data_func ("/rows/bf16/round", GUINT_TO_POINTER (0), test_round);
  g_test_add_data_func ("/rows/f16/round", GUINT_TO_POINTER (1), test_round);
  g_test_add_func ("/rows/q8", test_q8);
  g_test_add_func ("/rows/f32", test_f32);
  return g_test_run ();
}
