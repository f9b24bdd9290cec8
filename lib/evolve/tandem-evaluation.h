/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

typedef struct _TandemEvaluation TandemEvaluation;

/**
 * TandemEvaluation:
 * @n_values: how many of @values there are
 * @values: what is to be made small, one for each objective
 * @violation: by how much constraints are violated, summed up; 0 or less when none is
 * @gradient: (nullable): as [struct@Outcome] has it; g_free() releases it
 * @metrics: (nullable): whatever else is to be known about the candidate, as the text of a JSON
 *   object; g_free() releases it
 *
 * What an objective says about a candidate.
 */
struct _TandemEvaluation
{
  guint n_values;
  double values[TANDEM_OPTIMIZER_MAX_OBJECTIVES];
  double violation;
  double *gradient;
  char *metrics;
};

TANDEM_API
TandemEvaluation *tandem_evaluation_new (guint n_values, const double *values);

TANDEM_API
void tandem_evaluation_free (TandemEvaluation *self);

TANDEM_API
char *tandem_trial_to_json (TandemTrial *trial);

TANDEM_API
TandemTrial *tandem_trial_new_from_json (TandemSearchSpace *space, const char *json,
                                         GError **error);

TANDEM_API
char *tandem_evaluation_to_json (const TandemEvaluation *self, TandemTrial *trial);

TANDEM_API
TandemEvaluation *tandem_evaluation_new_from_json (TandemTrial *trial, const char *json,
                                                   GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemEvaluation, tandem_evaluation_free)

G_END_DECLS
