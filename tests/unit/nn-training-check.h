/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Comparisons for the tests of training. */
#pragma once

#include <glib.h>
#include <math.h>
#include <string.h>

/* A reference's numbers that floats hold, so that both sides start from the same ones. */
static inline double *
random_doubles (GRand *rand, gsize n, double scale)
{
  double *x = g_new (double, MAX (n, 1));
  gsize i;

  for (i = 0; i < n; i++)
    x[i] = (float) (g_rand_double_range (rand, -1.0, 1.0) * scale);
  return x;
}

static inline float *
to_floats (const double *x, gsize n)
{
  float *out = g_new (float, MAX (n, 1));
  gsize i;

  for (i = 0; i < n; i++)
    out[i] = (float) x[i];
  return out;
}

/* For what must be set, and not added to or read. */
static inline float *
nan_floats (gsize n)
{
  float *out = g_new (float, MAX (n, 1));
  gsize i;

  for (i = 0; i < n; i++)
    out[i] = NAN;
  return out;
}

static inline float *
repeat_float (float value, gsize n)
{
  float *out = g_new (float, MAX (n, 1));
  gsize i;

  for (i = 0; i < n; i++)
    out[i] = value;
  return out;
}

static inline double
largest (const double *x, gsize n)
{
  double max = 0.0;
  gsize i;

  for (i = 0; i < n; i++)
    max = fmax (max, fabs (x[i]));
  return max;
}

/* Bounds the largest error by bound times the largest number. offset was there before what was
 * added. */
#define assert_close(x, reference, n, offset, bound)                                        \
  G_STMT_START {                                                                            \
    double allowed_ = (bound) * (largest (reference, n) + fabs (offset)) + 1e-30;           \
    gsize i_;                                                                               \
                                                                                            \
    for (i_ = 0; i_ < (n); i_++) {                                                          \
      double error_ = fabs ((double) (x)[i_] - (offset) - (reference)[i_]);                 \
                                                                                            \
      if (!(error_ <= allowed_))                                                            \
        g_error ("%s: %s[%" G_GSIZE_FORMAT "] of %" G_GSIZE_FORMAT " is %.9g, not %.9g",    \
                 G_STRLOC, #x, i_, (gsize) (n), (double) (x)[i_],                           \
                 (reference)[i_] + (double) (offset));                                      \
    }                                                                                       \
  } G_STMT_END

typedef double (*Loss) (gconstpointer data);

/* Central differences of loss by each of n parameters (a hundred at most) against gradient: the
 * error is bounded by 2e-5 of the largest derivative. */
static inline void
assert_gradient (const char *name, Loss loss, gconstpointer data, double *parameter, gsize n,
                 const float *gradient, double offset)
{
  const double h = 1e-5;
  gsize step = n / 100 + 1, count = 0, i;
  g_autofree double *differences = g_new (double, n / step + 1);
  double allowed;

  for (i = 0; i < n; i += step) {
    double value = parameter[i], up;

    parameter[i] = value + h;
    up = loss (data);
    parameter[i] = value - h;
    differences[count++] = (up - loss (data)) / (2.0 * h);
    parameter[i] = value;
  }
  allowed = 2e-5 * (largest (differences, count) + fabs (offset)) + 1e-9;
  for (i = 0; i < count; i++)
    if (!(fabs (gradient[i * step] - offset - differences[i]) <= allowed))
      g_error ("%s: derivative %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " is %.9g, by differences"
               " %.9g", name, i * step, n, gradient[i * step] - offset, differences[i]);
}

static inline double
weighted_sum (const double *x, const double *weights, gsize n)
{
  double sum = 0.0;
  gsize i;

  for (i = 0; i < n; i++)
    sum += x[i] * weights[i];
  return sum;
}
