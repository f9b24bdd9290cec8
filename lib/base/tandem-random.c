/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Compiled without contraction to fused multiply-adds: sums, products, quotients and roots
 * are all that is used, and IEEE 754 says what these are to the last bit. */

#include "config.h"

#include "base/tandem-random-private.h"

#include <math.h>

static guint64
mix (guint64 z)
{
  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

guint64
tandem_random_key (guint64 seed, guint64 purpose)
{
  return mix (mix (seed + TANDEM_RANDOM_STEP) ^ (purpose + TANDEM_RANDOM_STEP));
}

guint64
tandem_random_hash (const char *name)
{
  guint64 hash = 0;

  for (; *name != '\0'; name++)
    hash = mix (hash + TANDEM_RANDOM_STEP + (guchar) *name);
  return hash;
}

guint64
tandem_random_bits (guint64 key, guint64 index)
{
  return mix (key + (index + 1) * TANDEM_RANDOM_STEP);
}

double
tandem_random_uniform (guint64 key, guint64 index)
{
  return (double) (tandem_random_bits (key, index) >> 11) * 0x1p-53;
}

/* The natural logarithm of 0 < x <= 1, relative error about 1e-15: x = m 2^e with
 * 1/sqrt 2 <= m < sqrt 2, and log m = 2 artanh ((m - 1) / (m + 1)) as its series. */
static double
get_log (double x)
{
  int exponent, i;
  double m = frexp (x, &exponent), s, square, sum = 0.0;

  if (m < 0.70710678118654752) {
    m *= 2.0;
    exponent--;
  }
  s = (m - 1.0) / (m + 1.0);
  square = s * s;
  for (i = 21; i >= 1; i -= 2)
    sum = sum * square + 1.0 / i;
  return exponent * 0.69314718055994531 + 2.0 * s * sum;
}

/* Sine and cosine of x, |x| <= pi / 4, by their series. */
static void
get_sine_and_cosine (double x, double *sine, double *cosine)
{
  double square = x * x, s = 1.0, c = 1.0;
  int i;

  for (i = 18; i >= 2; i -= 2) {
    c = 1.0 - c * square / (i * (i - 1));
    s = 1.0 - s * square / (i * (i + 1));
  }
  *sine = s * x;
  *cosine = c;
}

/* A point of the unit circle, the angle counted in turns from 0 to below 1. */
static void
get_point (double turns, double *x, double *y)
{
  int quarter = (int) (turns * 4.0 + 0.5);
  double sine, cosine;

  get_sine_and_cosine ((turns - quarter * 0.25) * (2.0 * G_PI), &sine, &cosine);
  switch (quarter % 4) {
    case 0:
      *x = cosine;
      *y = sine;
      break;
    case 1:
      *x = -sine;
      *y = cosine;
      break;
    case 2:
      *x = -cosine;
      *y = -sine;
      break;
    default:
      *x = sine;
      *y = -cosine;
      break;
  }
}

void
tandem_random_normal (guint64 key, double deviation, gsize n, float *out)
{
  gsize i;

  for (i = 0; i < n; i += 2) {
    /* Above 0, so that there is a logarithm. */
    double u = 1.0 - tandem_random_uniform (key, i);
    double radius = deviation * sqrt (-2.0 * get_log (u)), x, y;

    get_point (tandem_random_uniform (key, i + 1), &x, &y);
    out[i] = (float) (radius * x);
    if (i + 1 < n)
      out[i + 1] = (float) (radius * y);
  }
}

void
tandem_random_shuffle (guint64 key, guint *items, guint n)
{
  guint i;

  for (i = n; i > 1; i--) {
    guint k = (guint) (tandem_random_uniform (key, i) * i), last = items[i - 1];

    items[i - 1] = items[k];
    items[k] = last;
  }
}
