/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-placement.h"

G_DEFINE_BOXED_TYPE (TandemPlacement, tandem_placement, tandem_placement_copy,
                     tandem_placement_free)

G_DEFINE_BOXED_TYPE (TandemPlan, tandem_plan, tandem_plan_copy, tandem_plan_free)

/**
 * tandem_placement_copy:
 * @self: (nullable): a placement
 *
 * Returns: (transfer full) (nullable): a copy, %NULL of %NULL
 */
TandemPlacement *
tandem_placement_copy (const TandemPlacement *self)
{
  TandemPlacement *copy;

  if (self == NULL)
    return NULL;
  copy = g_memdup2 (self, sizeof *self);
  copy->stages = g_memdup2 (self->stages, self->n_stages * sizeof *self->stages);
  copy->hops = g_memdup2 (self->hops, self->n_hops * sizeof *self->hops);
  return copy;
}

/**
 * tandem_placement_free:
 * @self: (nullable): a placement
 *
 * Frees a placement.
 */
void
tandem_placement_free (TandemPlacement *self)
{
  if (self == NULL)
    return;
  g_free (self->stages);
  g_free (self->hops);
  g_free (self);
}

/**
 * tandem_plan_copy:
 * @self: a plan
 *
 * Returns: (transfer full): a copy
 */
TandemPlan *
tandem_plan_copy (const TandemPlan *self)
{
  TandemPlan *copy = g_memdup2 (self, sizeof *self);

  copy->best = tandem_placement_copy (self->best);
  copy->runner_up = tandem_placement_copy (self->runner_up);
  copy->single = tandem_placement_copy (self->single);
  return copy;
}

/**
 * tandem_plan_free:
 * @self: (nullable): a plan
 *
 * Frees a plan.
 */
void
tandem_plan_free (TandemPlan *self)
{
  if (self == NULL)
    return;
  tandem_placement_free (self->best);
  tandem_placement_free (self->runner_up);
  tandem_placement_free (self->single);
  g_free (self);
}
