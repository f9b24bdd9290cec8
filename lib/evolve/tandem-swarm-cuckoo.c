/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemSwarmCuckoo:
 *
 * A hybrid of particle swarm and cuckoo search (Chen, Do and Hsieh 2015, Training artificial neural
 * networks by a hybrid PSO-CS algorithm): the swarm shares what it knows, the cuckoos leave local
 * optima. A generation has three parts, each of one candidate for each particle:
 *
 * 1. the particle moves as in [class@ParticleSwarm], with constriction and the von Neumann
 * topology;
 * 2. a cuckoo flies from the particle's best position by a Lévy flight (equation 1 of
 *    [class@Cuckoo]);
 * 3. a quarter of the coordinates of that position is abandoned (equation 3 of [class@Cuckoo]).
 *
 * What is better becomes the particle's best position, and where it goes on from. The paper's idea
 * is kept; the order and the constants of the parts are those of the two algorithms here.
 */

#include "config.h"

#include "evolve/tandem-swarm-cuckoo.h"

#include "evolve/tandem-levy-private.h"
#include "evolve/tandem-swarm-private.h"

#define N_PARTS 3
#define CONSTRICTION 0.72984378812835757
#define ACCELERATION (2.05 * CONSTRICTION)
#define VELOCITY_LIMIT 0.5
#define STEP 0.2
#define ABANDON 0.25

struct _TandemSwarmCuckoo
{
  TandemOptimizer parent;

  TandemSwarm swarm;
};

G_DEFINE_FINAL_TYPE (TandemSwarmCuckoo, tandem_swarm_cuckoo, TANDEM_TYPE_OPTIMIZER)

static void
tandem_swarm_cuckoo_start (TandemOptimizer *optimizer)
{
  tandem_swarm_init (&TANDEM_SWARM_CUCKOO (optimizer)->swarm, optimizer,
                     TANDEM_SWARM_TOPOLOGY_VON_NEUMANN);
}

/* 0: the first generation is placed. */
static guint
get_part (const TandemSwarm *swarm, guint64 number)
{
  return number < swarm->n ? 0 : (number / swarm->n - 1) % N_PARTS + 1;
}

static void
tandem_swarm_cuckoo_propose (TandemOptimizer *optimizer, guint64 number, double *point)
{
  static const TandemSwarmStep step = { CONSTRICTION, ACCELERATION, ACCELERATION, VELOCITY_LIMIT };
  TandemSwarm *swarm = &TANDEM_SWARM_CUCKOO (optimizer)->swarm;
  guint part = get_part (swarm, number), i = number % swarm->n;

  if (part == 2) {
    guint leader = tandem_swarm_find_leader (swarm, optimizer, i);

    tandem_levy_fly (optimizer, STEP, tandem_swarm_get_best (swarm, i),
                     tandem_swarm_get_best (swarm, leader), swarm->n_dimensions, point);
    return;
  }
  if (part == 3) {
    guint a = tandem_optimizer_draw_below (optimizer, swarm->n);
    guint b = tandem_optimizer_draw_below (optimizer, swarm->n);

    tandem_levy_abandon (optimizer, ABANDON, tandem_swarm_get_best (swarm, i),
                         tandem_swarm_get_best (swarm, a), tandem_swarm_get_best (swarm, b),
                         swarm->n_dimensions, point);
    return;
  }
  if (part == 0)
    tandem_swarm_place (swarm, optimizer, i);
  else
    tandem_swarm_move (swarm, optimizer, i, &step);
  tandem_swarm_get_position (swarm, i, point);
}

static void
tandem_swarm_cuckoo_receive (TandemOptimizer *optimizer, guint64 number, const double *point,
                             const TandemOutcome *outcome)
{
  TandemSwarm *swarm = &TANDEM_SWARM_CUCKOO (optimizer)->swarm;
  guint i = number % swarm->n;

  if (tandem_swarm_note (swarm, optimizer, i, point, outcome) && get_part (swarm, number) > 1)
    tandem_swarm_set_position (swarm, i, point);
}

static void
tandem_swarm_cuckoo_finalize (GObject *object)
{
  tandem_swarm_clear (&TANDEM_SWARM_CUCKOO (object)->swarm);
  G_OBJECT_CLASS (tandem_swarm_cuckoo_parent_class)->finalize (object);
}

static void
tandem_swarm_cuckoo_class_init (TandemSwarmCuckooClass *klass)
{
  TandemOptimizerClass *optimizer_class = TANDEM_OPTIMIZER_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = tandem_swarm_cuckoo_finalize;
  optimizer_class->start = tandem_swarm_cuckoo_start;
  optimizer_class->propose = tandem_swarm_cuckoo_propose;
  optimizer_class->receive = tandem_swarm_cuckoo_receive;
}

static void
tandem_swarm_cuckoo_init (TandemSwarmCuckoo *self)
{
}
