/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemDynamicSwarm:
 *
 * Particle swarm optimization with a dynamic inertia weight, after Wang, Wang, Li and Yi (2023), A
 * hybrid particle swarm optimization algorithm with dynamic adjustment of inertia weight based on a
 * new feature selection method to optimize SVM parameters (DWPSO-SVM): the weight falls
 * non-linearly, and a random term keeps it diverse in the later part of the search. With s the part
 * of the budget that is over and r drawn from 0 to 1 for each move,
 *
 *     w = 0.9 - 0.5 s^(1/2) + 0.4 s (r - 1/2)
 *     v = w v + c1 r1 (p - x) + c2 r2 (g - x),  x = x + v,  c1 = c2 = 1.49618
 *
 * The curve and its constants are ours: the paper's idea, not its formula. All else is as in
 * [class@ParticleSwarm], with the von Neumann topology.
 */

#include "config.h"

#include "evolve/tandem-dynamic-swarm.h"

#include <math.h>

#include "evolve/tandem-swarm-private.h"

#define FIRST_INERTIA 0.9
#define INERTIA_RANGE 0.5
#define RANDOM_RANGE 0.4
#define ACCELERATION 1.49618
#define VELOCITY_LIMIT 0.5

struct _TandemDynamicSwarm
{
  TandemOptimizer parent;

  TandemSwarm swarm;
};

G_DEFINE_FINAL_TYPE (TandemDynamicSwarm, tandem_dynamic_swarm, TANDEM_TYPE_OPTIMIZER)

static void
tandem_dynamic_swarm_start (TandemOptimizer *optimizer)
{
  tandem_swarm_init (&TANDEM_DYNAMIC_SWARM (optimizer)->swarm, optimizer,
                     TANDEM_SWARM_TOPOLOGY_VON_NEUMANN);
}

static void
tandem_dynamic_swarm_propose (TandemOptimizer *optimizer, guint64 number, double *point)
{
  TandemSwarm *swarm = &TANDEM_DYNAMIC_SWARM (optimizer)->swarm;
  guint i = number % swarm->n;

  if (number < swarm->n) {
    tandem_swarm_place (swarm, optimizer, i);
  } else {
    double s = tandem_optimizer_get_progress (optimizer, number);
    TandemSwarmStep step = {
      .inertia = FIRST_INERTIA - INERTIA_RANGE * sqrt (s) +
                 RANDOM_RANGE * s * (tandem_optimizer_draw (optimizer) - 0.5),
      .own = ACCELERATION,
      .social = ACCELERATION,
      .limit = VELOCITY_LIMIT,
    };

    tandem_swarm_move (swarm, optimizer, i, &step);
  }
  tandem_swarm_get_position (swarm, i, point);
}

static void
tandem_dynamic_swarm_receive (TandemOptimizer *optimizer, guint64 number, const double *point,
                              const TandemOutcome *outcome)
{
  TandemSwarm *swarm = &TANDEM_DYNAMIC_SWARM (optimizer)->swarm;

  tandem_swarm_note (swarm, optimizer, number % swarm->n, point, outcome);
}

static void
tandem_dynamic_swarm_finalize (GObject *object)
{
  tandem_swarm_clear (&TANDEM_DYNAMIC_SWARM (object)->swarm);
  G_OBJECT_CLASS (tandem_dynamic_swarm_parent_class)->finalize (object);
}

static void
tandem_dynamic_swarm_class_init (TandemDynamicSwarmClass *klass)
{
  TandemOptimizerClass *optimizer_class = TANDEM_OPTIMIZER_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = tandem_dynamic_swarm_finalize;
  optimizer_class->start = tandem_dynamic_swarm_start;
  optimizer_class->propose = tandem_dynamic_swarm_propose;
  optimizer_class->receive = tandem_dynamic_swarm_receive;
}

static void
tandem_dynamic_swarm_init (TandemDynamicSwarm *self)
{
}
