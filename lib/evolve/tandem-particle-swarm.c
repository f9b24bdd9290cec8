/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemParticleSwarm:
 *
 * Particle swarm optimization (Kennedy and Eberhart 1995). With x the position of a particle, p its
 * best one so far and g the best one of its neighbours, r1 and r2 drawn anew for each coordinate, a
 * step is
 *
 *     v = chi (v + phi1 r1 (p - x) + phi2 r2 (g - x)),  x = x + v
 *     chi = 2 / |2 - phi - sqrt (phi^2 - 4 phi)|, phi = phi1 + phi2 = 4.1
 *
 * (Clerc and Kennedy 2002, type 1'', with kappa = 1: chi = 0.7298), or with an inertia weight
 *
 *     v = w v + c1 r1 (p - x) + c2 r2 (g - x),  w from 0.9 to 0.4 over the budget
 *
 * (Shi and Eberhart 1998), c1 = c2 = 1.49618 both times. Positions begin anywhere in the unit cube,
 * velocities at half of the way to another point of it; a velocity is at most
 * [property@ParticleSwarm:velocity-limit] in each coordinate. A particle that would leave the cube
 * stays at its wall, and half of its velocity is turned round. Particles move one by one, and see
 * what came out for all but the last [property@Optimizer:window] of them.
 */

#include "config.h"

#include "evolve/tandem-particle-swarm.h"

#include <math.h>

#include "evolve/tandem-swarm-private.h"
#include "tandem-enums.h"

#define PHI 4.1
#define FIRST_INERTIA 0.9
#define LAST_INERTIA 0.4
#define ACCELERATION 1.49618

enum { PROP_0, PROP_TOPOLOGY, PROP_VELOCITY, PROP_VELOCITY_LIMIT, N_PROPS };

struct _TandemParticleSwarm
{
  TandemOptimizer parent;

  TandemSwarmTopology topology;
  TandemSwarmVelocity velocity;
  double velocity_limit;
  TandemSwarm swarm;
};

G_DEFINE_FINAL_TYPE (TandemParticleSwarm, tandem_particle_swarm, TANDEM_TYPE_OPTIMIZER)

static void
tandem_particle_swarm_start (TandemOptimizer *optimizer)
{
  TandemParticleSwarm *self = TANDEM_PARTICLE_SWARM (optimizer);

  tandem_swarm_init (&self->swarm, optimizer, self->topology);
}

static void
tandem_particle_swarm_propose (TandemOptimizer *optimizer, guint64 number, double *point)
{
  TandemParticleSwarm *self = TANDEM_PARTICLE_SWARM (optimizer);
  guint i = number % self->swarm.n;
  TandemSwarmStep step = { .limit = self->velocity_limit };

  if (number < self->swarm.n) {
    tandem_swarm_place (&self->swarm, optimizer, i);
  } else {
    if (self->velocity == TANDEM_SWARM_VELOCITY_CONSTRICTION) {
      step.inertia = 2.0 / fabs (2.0 - PHI - sqrt (PHI * PHI - 4.0 * PHI));
      step.own = step.social = step.inertia * PHI / 2.0;
    } else {
      step.inertia = FIRST_INERTIA - (FIRST_INERTIA - LAST_INERTIA) *
          tandem_optimizer_get_progress (optimizer, number);
      step.own = step.social = ACCELERATION;
    }
    tandem_swarm_move (&self->swarm, optimizer, i, &step);
  }
  tandem_swarm_get_position (&self->swarm, i, point);
}

static void
tandem_particle_swarm_receive (TandemOptimizer *optimizer, guint64 number, const double *point,
                               const TandemOutcome *outcome)
{
  TandemParticleSwarm *self = TANDEM_PARTICLE_SWARM (optimizer);

  tandem_swarm_note (&self->swarm, optimizer, number % self->swarm.n, point, outcome);
}

static void
tandem_particle_swarm_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TandemParticleSwarm *self = TANDEM_PARTICLE_SWARM (object);

  switch (id) {
    case PROP_TOPOLOGY:
      g_value_set_enum (value, self->topology);
      break;
    case PROP_VELOCITY:
      g_value_set_enum (value, self->velocity);
      break;
    case PROP_VELOCITY_LIMIT:
      g_value_set_double (value, self->velocity_limit);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
}

static void
tandem_particle_swarm_set_property (GObject *object, guint id, const GValue *value,
                                    GParamSpec *pspec)
{
  TandemParticleSwarm *self = TANDEM_PARTICLE_SWARM (object);

  switch (id) {
    case PROP_TOPOLOGY:
      self->topology = g_value_get_enum (value);
      break;
    case PROP_VELOCITY:
      self->velocity = g_value_get_enum (value);
      break;
    case PROP_VELOCITY_LIMIT:
      self->velocity_limit = g_value_get_double (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
}

static void
tandem_particle_swarm_finalize (GObject *object)
{
  tandem_swarm_clear (&TANDEM_PARTICLE_SWARM (object)->swarm);
  G_OBJECT_CLASS (tandem_particle_swarm_parent_class)->finalize (object);
}

static void
tandem_particle_swarm_class_init (TandemParticleSwarmClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  TandemOptimizerClass *optimizer_class = TANDEM_OPTIMIZER_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  object_class->finalize = tandem_particle_swarm_finalize;
  object_class->get_property = tandem_particle_swarm_get_property;
  object_class->set_property = tandem_particle_swarm_set_property;
  optimizer_class->start = tandem_particle_swarm_start;
  optimizer_class->propose = tandem_particle_swarm_propose;
  optimizer_class->receive = tandem_particle_swarm_receive;

  /**
   * TandemParticleSwarm:topology:
   *
   * Whom a particle knows.
   */
  g_object_class_install_property (
    object_class, PROP_TOPOLOGY,
    g_param_spec_enum ("topology", "Topology", "Whom a particle knows", TANDEM_TYPE_SWARM_TOPOLOGY,
                       TANDEM_SWARM_TOPOLOGY_VON_NEUMANN, flags));
  /**
   * TandemParticleSwarm:velocity:
   *
   * What keeps the swarm from flying apart.
   */
  g_object_class_install_property (
    object_class, PROP_VELOCITY,
    g_param_spec_enum ("velocity", "Velocity", "What keeps the swarm from flying apart",
                       TANDEM_TYPE_SWARM_VELOCITY, TANDEM_SWARM_VELOCITY_CONSTRICTION, flags));
  /**
   * TandemParticleSwarm:velocity-limit:
   *
   * The highest velocity in a coordinate, as a part of its range.
   */
  g_object_class_install_property (
    object_class, PROP_VELOCITY_LIMIT,
    g_param_spec_double ("velocity-limit", "Velocity limit",
                         "The highest velocity in a coordinate, as a part of its range", 0.001, 1.0,
                         0.2, flags));
}

static void
tandem_particle_swarm_init (TandemParticleSwarm *self)
{
}
