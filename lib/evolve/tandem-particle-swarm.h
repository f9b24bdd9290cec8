/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

/**
 * TandemSwarmTopology:
 * @TANDEM_SWARM_TOPOLOGY_GLOBAL: every particle knows every other one
 * @TANDEM_SWARM_TOPOLOGY_RING: a particle knows the one before and the one after it
 * @TANDEM_SWARM_TOPOLOGY_VON_NEUMANN: particles lie on a torus, and one knows its four neighbours
 *
 * Whose best positions a particle knows beside its own (Kennedy and Mendes 2002).
 */
typedef enum
{
  TANDEM_SWARM_TOPOLOGY_GLOBAL,
  TANDEM_SWARM_TOPOLOGY_RING,
  TANDEM_SWARM_TOPOLOGY_VON_NEUMANN,
} TandemSwarmTopology;

/**
 * TandemSwarmVelocity:
 * @TANDEM_SWARM_VELOCITY_CONSTRICTION: the constriction coefficient (Clerc and Kennedy 2002)
 * @TANDEM_SWARM_VELOCITY_INERTIA: an inertia weight that falls evenly (Shi and Eberhart 1998)
 *
 * What keeps a swarm from flying apart.
 */
typedef enum
{
  TANDEM_SWARM_VELOCITY_CONSTRICTION,
  TANDEM_SWARM_VELOCITY_INERTIA,
} TandemSwarmVelocity;

#define TANDEM_TYPE_PARTICLE_SWARM (tandem_particle_swarm_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemParticleSwarm, tandem_particle_swarm, TANDEM, PARTICLE_SWARM,
                      TandemOptimizer)

G_END_DECLS
