/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "evolve/tandem-optimizer-private.h"

G_DEFINE_BOXED_TYPE (TandemTrial, tandem_trial, tandem_trial_ref, tandem_trial_unref)

TandemTrial *
tandem_trial_new (TandemParameterSet *candidate, guint64 number, guint rung, double fidelity,
                  guint64 seed)
{
  TandemTrial *self = g_new (TandemTrial, 1);

  g_ref_count_init (&self->n_refs);
  self->candidate = candidate;
  self->number = number;
  self->rung = rung;
  self->fidelity = fidelity;
  self->seed = seed;
  return self;
}

/**
 * tandem_trial_ref:
 * @self: a trial
 *
 * Returns: (transfer full): the same, with one more reference
 */
TandemTrial *
tandem_trial_ref (TandemTrial *self)
{
  g_ref_count_inc (&self->n_refs);
  return self;
}

/**
 * tandem_trial_unref:
 * @self: (transfer full): a trial
 *
 * Gives back a reference.
 */
void
tandem_trial_unref (TandemTrial *self)
{
  if (!g_ref_count_dec (&self->n_refs))
    return;
  tandem_parameter_set_unref (self->candidate);
  g_free (self);
}

/**
 * tandem_trial_get_parameters:
 * @self: a trial
 *
 * Returns: (transfer none): what is to be evaluated
 */
TandemParameterSet *
tandem_trial_get_parameters (TandemTrial *self)
{
  return self->candidate;
}

/**
 * tandem_trial_get_number:
 * @self: a trial
 *
 * Returns: the number of the candidate among all that were proposed, from 0
 */
guint64
tandem_trial_get_number (TandemTrial *self)
{
  return self->number;
}

/**
 * tandem_trial_get_rung:
 * @self: a trial
 *
 * Returns: how often the candidate was found worth more work, from 0; see
 *   [property@Optimizer:rungs]
 */
guint
tandem_trial_get_rung (TandemTrial *self)
{
  return self->rung;
}

/**
 * tandem_trial_get_fidelity:
 * @self: a trial
 *
 * Returns: which part of the whole work is to be done, above 0 to 1: of epochs, for example
 */
double
tandem_trial_get_fidelity (TandemTrial *self)
{
  return self->fidelity;
}

/**
 * tandem_trial_get_seed:
 * @self: a trial
 *
 * Returns: a seed for what is random in the evaluation: the same for the same candidate number of
 *   the same search, whatever the number of workers; below 2^53
 */
guint64
tandem_trial_get_seed (TandemTrial *self)
{
  return self->seed;
}
