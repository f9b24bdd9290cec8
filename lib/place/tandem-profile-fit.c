/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Least squares of relative errors, with no coefficient below 0 (Lawson and Hanson 1974). There are
 * four of them, so that every subset is tried in place of an active-set method. */

#include "config.h"

#include <math.h>
#include <string.h>

#include "place/tandem-profile-private.h"

#define N 4

/* What a sample below this is measured with is the clock, in seconds. */
#define LEAST_SECONDS 1e-7

/* Terms that a part has: a part that looks at one token at a time has no pairs. */
static const guint terms[TANDEM_PROFILE_N_PARTS] = {
  [TANDEM_PROFILE_TOKENIZE] = 0x7,
  [TANDEM_PROFILE_EMBEDDINGS] = 0x5,
  [TANDEM_PROFILE_LAYER] = 0xf,
  [TANDEM_PROFILE_LAST_LAYER] = 0xf,
};

static void
get_terms (const TandemBatchShape *shape, double x[N])
{
  x[0] = 1;
  x[1] = shape->n_sequences;
  x[2] = (double) shape->n_tokens;
  x[3] = (double) shape->n_squares;
}

/* Gauss's elimination with pivots; a: [n][n + 1], the right side behind. */
static gboolean
eliminate (double a[N][N + 1], guint n, double *solution)
{
  guint column, row, k;

  for (column = 0; column < n; column++) {
    guint pivot = column;

    for (row = column + 1; row < n; row++)
      if (fabs (a[row][column]) > fabs (a[pivot][column]))
        pivot = row;
    if (fabs (a[pivot][column]) < 1e-12)
      return FALSE;
    for (k = 0; k <= n && pivot != column; k++) {
      double other = a[column][k];

      a[column][k] = a[pivot][k];
      a[pivot][k] = other;
    }
    for (row = 0; row < n; row++) {
      double factor = a[row][column] / a[column][column];

      for (k = column; k <= n && row != column; k++)
        a[row][k] -= factor * a[column][k];
    }
  }
  for (row = 0; row < n; row++)
    solution[row] = a[row][n] / a[row][row];
  return TRUE;
}

typedef struct
{
  guint n;
  double (*x)[N];               /* divided by the time, so that the aim is 1 */
  double scale[N];              /* of the terms: the largest of each is 1 */
} Rows;

/* Returns the sum of the squares that remain, or infinity. */
static double
fit_subset (const Rows *rows, guint subset, double solution[N])
{
  double a[N][N + 1] = { { 0 } }, some[N] = { 0 }, sum = 0;
  guint index[N], n = 0, i, j, row;

  for (i = 0; i < N; i++)
    if (subset & 1u << i)
      index[n++] = i;
  for (row = 0; row < rows->n; row++) {
    for (i = 0; i < n; i++) {
      double left = rows->x[row][index[i]] * rows->scale[index[i]];

      for (j = 0; j < n; j++)
        a[i][j] += left * rows->x[row][index[j]] * rows->scale[index[j]];
      a[i][n] += left;
    }
  }
  if (!eliminate (a, n, some))
    return INFINITY;
  memset (solution, 0, N * sizeof *solution);
  for (i = 0; i < n; i++) {
    solution[index[i]] = some[i] * rows->scale[index[i]];
    if (!(some[i] >= 0))
      return INFINITY;
  }
  for (row = 0; row < rows->n; row++) {
    double error = -1;

    for (i = 0; i < N; i++)
      error += solution[i] * rows->x[row][i];
    sum += error * error;
  }
  return sum;
}

void
tandem_profile_fit (TandemProfile *self, TandemProfilePart part)
{
  g_autofree double (*x)[N] = g_malloc0_n (self->n_samples, sizeof *x);
  Rows rows = { 0, x, { 0 } };
  double least = INFINITY, best[N] = { 0 };
  guint subset, i, k;

  for (i = 0; i < self->n_samples; i++) {
    const TandemProfileSample *sample = &self->samples[i];
    double seconds = MAX (sample->seconds, LEAST_SECONDS);

    if (sample->part != part)
      continue;
    get_terms (&sample->shape, x[rows.n]);
    for (k = 0; k < N; k++) {
      x[rows.n][k] /= seconds;
      rows.scale[k] = MAX (rows.scale[k], x[rows.n][k]);
    }
    rows.n++;
  }
  for (k = 0; k < N; k++)
    rows.scale[k] = rows.scale[k] > 0 ? 1 / rows.scale[k] : 0;
  /* A term more has to gain something. */
  for (subset = 1; subset < 1u << N; subset++) {
    double solution[N], sum;

    if ((subset & ~terms[part]) || (guint) __builtin_popcount (subset) > rows.n)
      continue;
    sum = fit_subset (&rows, subset, solution);
    if (sum < least * (1 - 1e-9)) {
      least = sum;
      memcpy (best, solution, sizeof best);
    }
  }
  self->costs[part] = (TandemCost) { best[0], best[1], best[2], best[3] };
}
