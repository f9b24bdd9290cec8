/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Particles: where they are, where they were best, and who knows whom. Not a part of the
 * public API. */
#pragma once

#include "evolve/tandem-optimizer.h"
#include "evolve/tandem-particle-swarm.h"

G_BEGIN_DECLS

typedef struct
{
  guint n;                      /* particles */
  guint n_dimensions;
  guint n_neighbours;           /* of each, itself one of them */
  guint *neighbours;            /* [n, n_neighbours]; NULL: all know all */
  double *position;             /* [n, n_dimensions], in the unit cube */
  double *velocity;             /* the same */
  double *best_position;        /* the same */
  TandemOutcome *best;          /* [n] */
  gboolean *has_best;           /* [n] */
} TandemSwarm;

void tandem_swarm_init (TandemSwarm *self, TandemOptimizer *optimizer,
                        TandemSwarmTopology topology);
void tandem_swarm_clear (TandemSwarm *self);

/* Row i of a matrix. */
static inline double *
tandem_swarm_row (const TandemSwarm *self, double *matrix, guint i)
{
  return matrix + (gsize) i * self->n_dimensions;
}

/* Where particle i is. */
void tandem_swarm_get_position (const TandemSwarm *self, guint i, double *point);
void tandem_swarm_set_position (TandemSwarm *self, guint i, const double *point);

/* Where it was best, or where it is as long as it failed ever since. */
const double *tandem_swarm_get_best (const TandemSwarm *self, guint i);

/* Puts a particle anywhere in the cube, with a velocity that leads to another point of it. */
void tandem_swarm_place (TandemSwarm *self, TandemOptimizer *optimizer, guint i);

/* The neighbour with the best past, as particle i sees it; i itself when nobody has one. */
guint tandem_swarm_find_leader (TandemSwarm *self, TandemOptimizer *optimizer, guint i);

typedef struct
{
  double inertia;               /* of the velocity */
  double own;                   /* towards the particle's best position */
  double social;                /* towards that of its leader */
  double limit;                 /* of the velocity */
} TandemSwarmStep;

/* v = inertia v + own r1 (p - x) + social r2 (g - x), x = x + v, with new r1, r2 for each
 * coordinate. At a wall of the cube the particle stays there, and half of the velocity is
 * turned round. */
void tandem_swarm_move (TandemSwarm *self, TandemOptimizer *optimizer, guint i,
                        const TandemSwarmStep *step);

/* Takes the outcome of a point as that of particle i; returns whether it is its best. */
gboolean tandem_swarm_note (TandemSwarm *self, TandemOptimizer *optimizer, guint i,
                            const double *point, const TandemOutcome *outcome);

G_END_DECLS
