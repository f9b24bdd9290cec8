/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Principal component analysis (Pearson 1901; Hotelling 1933) in double precision. The order of
 * all sums is written here, and there are no fused multiply-adds: every machine gives the same
 * bits. */

#include "config.h"

#include "tandem-train-components.h"

#include <math.h>
#include <string.h>

/* Sums that are kept side by side, so that they need not wait for each other. */
#define LANES 8

/* Rows that go into the covariance together. */
#define ROWS 4

/* One that converges needs about ten. */
#define MAX_SWEEPS 60

/* The cosine of two rows that count as orthogonal. */
#define TOLERANCE 1e-13

/* Rows that are this much shorter than the longest are noise. */
#define NEGLIGIBLE 1e-14

static double
dot (const double *a, const double *b, guint n)
{
  double lanes[LANES] = { 0 }, sum = 0.0;
  guint i, lane;

  for (i = 0; i + LANES <= n; i += LANES)
    for (lane = 0; lane < LANES; lane++)
      lanes[lane] += a[i + lane] * b[i + lane];
  for (; i < n; i++)
    sum += a[i] * b[i];
  for (lane = 0; lane < LANES; lane++)
    sum += lanes[lane];
  return sum;
}

/* Returns [width, width], up to a factor. */
static double *
make_covariance (const float *x, gsize n_rows, guint width)
{
  double *covariance = g_new0 (double, (gsize) width * width);
  g_autofree double *mean = g_new0 (double, width);
  g_autofree double *rows = g_new (double, (gsize) width * ROWS);
  gsize first, r;
  guint i, j;

  for (r = 0; r < n_rows; r++)
    for (i = 0; i < width; i++)
      mean[i] += x[r * width + i];
  for (i = 0; i < width; i++)
    mean[i] /= n_rows;

  for (first = 0; first < n_rows; first += ROWS) {
    gsize n = MIN (ROWS, n_rows - first);
    const double *a = rows, *b = a + width, *c = b + width, *d = c + width;

    for (r = 0; r < ROWS; r++)
      for (i = 0; i < width; i++)
        rows[r * width + i] = r < n ? x[(first + r) * width + i] - mean[i] : 0.0;
    for (i = 0; i < width; i++) {
      double *out = covariance + (gsize) i * width;

      for (j = i; j < width; j++)
        out[j] += (a[i] * a[j] + b[i] * b[j]) + (c[i] * c[j] + d[i] * d[j]);
    }
  }
  for (i = 0; i < width; i++)
    for (j = 0; j < i; j++)
      covariance[(gsize) i * width + j] = covariance[(gsize) j * width + i];
  return covariance;
}

/* Rotates rows p and q until they are orthogonal; squares: of their lengths.
 * Returns whether they were not. */
static gboolean
rotate (double *p, double *q, guint width, double *squares_p, double *squares_q, double least)
{
  double product, zeta, t, cosine, sine;
  guint i;

  if (*squares_p <= least || *squares_q <= least)
    return FALSE;
  product = dot (p, q, width);
  if (fabs (product) <= TOLERANCE * sqrt (*squares_p * *squares_q))
    return FALSE;
  zeta = (*squares_q - *squares_p) / (2.0 * product);
  t = (zeta < 0.0 ? -1.0 : 1.0) / (fabs (zeta) + sqrt (1.0 + zeta * zeta));
  cosine = 1.0 / sqrt (1.0 + t * t);
  sine = cosine * t;
  for (i = 0; i < width; i++) {
    double old = p[i];

    p[i] = cosine * old - sine * q[i];
    q[i] = sine * old + cosine * q[i];
  }
  *squares_p -= t * product;
  *squares_q += t * product;
  return TRUE;
}

/* One-sided Jacobi method (Hestenes 1958): rows of the symmetric matrix are rotated in pairs
 * until all are orthogonal. Then each is an eigenvector, as long as its eigenvalue. */
static void
orthogonalise (double *matrix, guint width, double *squares)
{
  guint sweep, p, q;
  gboolean rotated = TRUE;

  for (sweep = 0; rotated && sweep < MAX_SWEEPS; sweep++) {
    double longest = 0.0;

    rotated = FALSE;
    /* Afresh, since the updates in rotate() add up errors. */
    for (p = 0; p < width; p++) {
      squares[p] = dot (matrix + (gsize) p * width, matrix + (gsize) p * width, width);
      longest = MAX (longest, squares[p]);
    }
    for (p = 0; p < width; p++)
      for (q = p + 1; q < width; q++)
        rotated |= rotate (matrix + (gsize) p * width, matrix + (gsize) q * width, width,
                           &squares[p], &squares[q], longest * NEGLIGIBLE * NEGLIGIBLE);
  }
  for (p = 0; p < width; p++)
    squares[p] = dot (matrix + (gsize) p * width, matrix + (gsize) p * width, width);
}

/* Makes row orthogonal to the n before it and of length 1; returns whether enough was left. */
static gboolean
normalise (const double *components, guint n, guint width, double *row)
{
  double before = sqrt (dot (row, row, width)), length, largest = 0.0;
  guint k, i, pass;

  /* Twice is enough (Giraud et al. 2005). */
  for (pass = 0; pass < 2; pass++) {
    for (k = 0; k < n; k++) {
      const double *other = components + (gsize) k * width;
      double along = dot (row, other, width);

      for (i = 0; i < width; i++)
        row[i] -= along * other[i];
    }
  }
  length = sqrt (dot (row, row, width));
  if (!(length > 1e-6 * before))
    return FALSE;
  for (i = 0; i < width; i++)
    if (fabs (row[i]) > fabs (largest))
      largest = row[i];
  for (i = 0; i < width; i++)
    row[i] /= largest < 0.0 ? -length : length;
  return TRUE;
}

double *
tandem_components_new (const float *x, gsize n_rows, guint width, guint n_components)
{
  g_autofree double *matrix = make_covariance (x, n_rows, width);
  g_autofree double *squares = g_new (double, width);
  double *components = g_new0 (double, (gsize) n_components * width);
  guint n, i, axis = 0;

  orthogonalise (matrix, width, squares);
  for (n = 0; n < n_components; n++) {
    double *row = components + (gsize) n * width;
    guint longest = 0;

    for (i = 1; i < width; i++)
      if (squares[i] > squares[longest])
        longest = i;
    memcpy (row, matrix + (gsize) longest * width, width * sizeof *row);
    squares[longest] = -1.0;
    /* Where the rows of x do not vary in so many directions, any that are left will do. */
    while (!normalise (components, n, width, row)) {
      memset (row, 0, width * sizeof *row);
      row[axis++] = 1.0;
    }
  }
  return components;
}

void
tandem_components_project (const double *components, guint n_components, guint width,
                           const float *x, gsize n_rows, float *out)
{
  g_autofree double *row = g_new (double, width);
  gsize r;
  guint i;

  for (r = 0; r < n_rows; r++) {
    for (i = 0; i < width; i++)
      row[i] = x[r * width + i];
    for (i = 0; i < n_components; i++)
      out[r * n_components + i] = (float) dot (row, components + (gsize) i * width, width);
  }
}
