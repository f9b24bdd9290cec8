/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-parameter-set.h"

G_BEGIN_DECLS

/**
 * TANDEM_OPTIMIZER_MAX_OBJECTIVES:
 *
 * The most objectives of a search.
 */
#define TANDEM_OPTIMIZER_MAX_OBJECTIVES 2

typedef struct _TandemOutcome TandemOutcome;

/**
 * TandemOutcome:
 * @values: what is to be made small, one value for each objective; finite
 * @violation: by how much constraints are violated, summed up; 0 or less when none is
 * @gradient: (nullable): of the first value, one number for each parameter, by the parameter's own
 *   unit; 0 for whole, categorical and missing ones. %NULL when there is none
 * @failed: whether there is no value; optimizers see it, who tells need not set it
 * @rung: how far the candidate came before it was stopped; optimizers see it, who tells need not
 *   set it
 *
 * What an evaluation gave.
 */
struct _TandemOutcome
{
  double values[TANDEM_OPTIMIZER_MAX_OBJECTIVES];
  double violation;
  const double *gradient;
  gboolean failed;
  guint rung;
};

/**
 * TandemTrial:
 *
 * A candidate that is to be evaluated, with how much of the work that is worth.
 */
typedef struct _TandemTrial TandemTrial;

#define TANDEM_TYPE_TRIAL (tandem_trial_get_type ())

TANDEM_API
GType tandem_trial_get_type (void);

TANDEM_API
TandemTrial *tandem_trial_ref (TandemTrial *self);

TANDEM_API
void tandem_trial_unref (TandemTrial *self);

TANDEM_API
TandemParameterSet *tandem_trial_get_parameters (TandemTrial *self);

TANDEM_API
guint64 tandem_trial_get_number (TandemTrial *self);

TANDEM_API
guint tandem_trial_get_rung (TandemTrial *self);

TANDEM_API
double tandem_trial_get_fidelity (TandemTrial *self);

TANDEM_API
guint64 tandem_trial_get_seed (TandemTrial *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemTrial, tandem_trial_unref)

G_END_DECLS
