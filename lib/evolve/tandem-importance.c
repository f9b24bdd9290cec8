/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "evolve/tandem-importance.h"

#include <math.h>
#include <stdlib.h>

#include "evolve/tandem-optimizer-private.h"

/* Into how many parts a range is divided. */
#define N_BINS 8

typedef struct
{
  guint64 number;
  double value;
  double rank;                  /* ties have their mean */
} Sample;

static int
compare (const void *a, const void *b)
{
  const Sample *left = a, *right = b;

  if (left->value != right->value)
    return left->value < right->value ? -1 : 1;
  return (left->number > right->number) - (left->number < right->number);
}

/* Feasible candidates that went all the way, with their ranks. */
static GArray *
collect (TandemOptimizerPrivate *priv)
{
  GArray *samples = g_array_new (FALSE, FALSE, sizeof (Sample));
  guint64 number;
  guint i, k, m;

  for (number = 0; number < priv->records->len; number++) {
    const TandemRecord *record = tandem_optimizer_get_record (priv, number);
    Sample sample = { number, record->outcome.values[0], 0 };

    if (record->original == number && record->state == TANDEM_RECORD_FINAL &&
        !record->outcome.failed && record->outcome.violation <= 0 &&
        record->outcome.rung + 1 == priv->n_rungs)
      g_array_append_val (samples, sample);
  }
  qsort (samples->data, samples->len, sizeof (Sample), compare);
  for (i = 0; i < samples->len; i = k) {
    double value = g_array_index (samples, Sample, i).value;

    for (k = i; k < samples->len && g_array_index (samples, Sample, k).value == value; k++)
      ;
    for (m = i; m < k; m++)
      g_array_index (samples, Sample, m).rank = (i + k - 1) / 2.0;
  }
  return samples;
}

/* The part of a parameter's range that a candidate is in; the last one is for none. */
static guint
get_bin (TandemOptimizerPrivate *priv, guint parameter, guint64 number)
{
  double *values = (double *) (gpointer) priv->values->data;

  tandem_search_space_decode (priv->space, tandem_optimizer_get_point (priv, number), values);
  if (isnan (values[parameter]))
    return N_BINS;
  return MIN ((guint) (tandem_optimizer_get_point (priv, number)[parameter] * N_BINS), N_BINS - 1);
}

static double
get_importance (TandemOptimizerPrivate *priv, guint parameter, const GArray *samples)
{
  double sums[N_BINS + 1] = { 0 }, squares = 0, between = 0, within;
  double mean = (samples->len - 1) / 2.0;
  guint counts[N_BINS + 1] = { 0 }, n_groups = 0, i;

  for (i = 0; i < samples->len; i++) {
    const Sample *sample = &g_array_index (samples, Sample, i);
    guint bin = get_bin (priv, parameter, sample->number);

    sums[bin] += sample->rank - mean;
    counts[bin]++;
    squares += (sample->rank - mean) * (sample->rank - mean);
  }
  for (i = 0; i <= N_BINS; i++) {
    if (counts[i] == 0)
      continue;
    between += sums[i] * sums[i] / counts[i];
    n_groups++;
  }
  if (samples->len <= n_groups || !(squares > 0))
    return 0;
  within = (squares - between) / (samples->len - n_groups);
  return MAX (0, (between - (n_groups - 1) * within) / squares);
}

/**
 * tandem_optimizer_get_importance:
 * @self: an optimizer
 * @n: (out): how many there are: one for each parameter
 *
 * How much each parameter by itself explains of the first value: the candidates are ranked, and
 * the share of the ranks' variance that lies between eight equal parts of the parameter's range is
 * taken, less what chance alone would give (epsilon squared, Kelley 1935, An unbiased correlation
 * ratio measure). Where the parameter is not there counts as a part of its own. What parameters do
 * only together does not show, and a search that has settled says less than random search does.
 *
 * Returns: (transfer full) (array length=n): a number from 0 to 1 for each parameter
 */
double *
tandem_optimizer_get_importance (TandemOptimizer *self, gsize *n)
{
  g_autoptr (GArray) samples = NULL;
  TandemOptimizerPrivate *priv;
  double *importance;
  guint i;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self) && n != NULL, NULL);

  priv = tandem_optimizer_get_private (self);
  samples = collect (priv);
  *n = priv->space->parameters->len;
  importance = g_new0 (double, *n);
  for (i = 0; i < *n && samples->len > 1; i++)
    importance[i] = get_importance (priv, i, samples);
  return importance;
}
