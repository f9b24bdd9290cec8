/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The nonlinearities and their derivatives. Where a range is cut, a NaN stays one (see
 * v_exp), so that a model that diverged is not taken for one that works. */
#pragma once

#include "nn/tandem-simd.h"

static inline vf
v_clamp (vf x, float limit)
{
  return v_max (v_set1 (-limit), v_min (v_set1 (limit), x));
}

/* erf(x / sqrt (2)): with z = x / sqrt (2), z P(z^2) / Q(z^2) on |z| <= 3.9, a minimax fit of
 * degrees 6 and 4; the absolute error of 0.5 x erf is below 4e-8 before rounding. */
static inline vf
erf_vector (vf x)
{
  vf z = v_clamp (x * 0.70710678118654752f, 3.9f);
  vf u = z * z;
  vf p, q;

  p = u * 2.0118900323495836e-08f + -1.996927949221572e-06f;
  p = u * p + 1.4747299428563565e-04f;
  p = u * p + 3.8961805403232574e-03f;
  p = u * p + 5.1148567348718640e-02f;
  p = u * p + 2.0422242581844330e-01f;
  p = u * p + 1.1283787488937378f;
  q = u * 1.0065808892250060e-03f + 1.4730281196534634e-02f;
  q = u * q + 1.1678449064493180e-01f;
  q = u * q + 5.1431643962860110e-01f;
  q = u * q + 1.0f;
  return z * p * v_reciprocal (q);
}

/* x Phi(x) */
static inline vf
gelu_erf_vector (vf x)
{
  return x * 0.5f * (erf_vector (x) + 1.0f);
}

/* Phi(x) + x phi(x). Beyond 13 the second term is 0 in float. */
static inline vf
gelu_erf_derivative_vector (vf x)
{
  vf c = v_clamp (x, 13.0f);

  return 0.5f * (erf_vector (x) + 1.0f) + c * 0.39894228040143268f * v_exp (c * c * -0.5f);
}

/* 1 - tanh(x) = 2 / (exp(2x) + 1), which is next to nothing long before the exponential
 * overflows. */
static inline vf
tanh_rest_vector (vf x)
{
  return 2.0f / (v_exp (v_clamp (x, 40.0f) * 2.0f) + 1.0f);
}

static inline vf
tanh_vector (vf x)
{
  return 1.0f - tanh_rest_vector (x);
}

static inline vf
v_abs (vf x)
{
  return (vf) ((vi) x & G_MAXINT32);
}

/* With r = 1 - tanh(|x|), which is exact where tanh is not, r (2 - r). */
static inline vf
tanh_derivative_vector (vf x)
{
  vf rest = tanh_rest_vector (v_abs (x));

  return rest * (2.0f - rest);
}

/* The approximation 0.5 x (1 + tanh (sqrt (2 / pi) (x + 0.044715 x^3)))
 * (Hendrycks and Gimpel 2016, section 2). */
static inline vf
gelu_tanh_vector (vf x)
{
  vf inner = (x * x * x * 0.044715f + x) * 0.79788456080286536f;

  return x * 0.5f * (tanh_vector (inner) + 1.0f);
}

/* Beyond 10 it is 0 or 1 in float. */
static inline vf
gelu_tanh_derivative_vector (vf x)
{
  vf c = v_clamp (x, 10.0f);
  vf square = c * c;
  vf inner = (c * square * 0.044715f + c) * 0.79788456080286536f;
  vf slope = (square * 0.134145f + 1.0f) * 0.79788456080286536f;

  return 0.5f * (tanh_vector (inner) + 1.0f + c * slope * tanh_derivative_vector (inner));
}

static inline vf
relu_vector (vf x)
{
  return v_max (v_set1 (0.0f), x);
}

static inline vf
relu_derivative_vector (vf x)
{
  return (vf) ((vi) v_set1 (1.0f) & (x > 0.0f));
}
