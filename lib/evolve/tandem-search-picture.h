/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

/**
 * TANDEM_CONVERGENCE_MAX_SERIES:
 *
 * The most series of a picture.
 */
#define TANDEM_CONVERGENCE_MAX_SERIES 6

typedef struct _TandemConvergenceSeries TandemConvergenceSeries;

/**
 * TandemConvergenceSeries:
 * @name: what is beside its line
 * @n_runs: how many runs there are, of seeds of their own
 * @runs: (array length=n_runs): of each run the least value after each evaluation, as
 *   tandem_optimizer_get_history() has it
 * @lengths: (array length=n_runs): how many evaluations each run had
 *
 * The runs of an algorithm.
 */
struct _TandemConvergenceSeries
{
  const char *name;
  guint n_runs;
  const double *const *runs;
  const gsize *lengths;
};

TANDEM_API
gboolean tandem_convergence_write (const char *title, const TandemConvergenceSeries *series,
                                   guint n_series, const char *path, GError **error);

TANDEM_API
gboolean tandem_front_write (TandemOptimizer *optimizer, const char *title, const char *first,
                             const char *second, const char *path, GError **error);

TANDEM_API
gboolean tandem_importance_write (TandemOptimizer *optimizer, const char *title, const char *path,
                                  GError **error);

TANDEM_API
gboolean tandem_parallel_write (TandemOptimizer *optimizer, const char *title, const char *value,
                                const char *path, GError **error);

G_END_DECLS
