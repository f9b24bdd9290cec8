/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "evolve/tandem-swarm-private.h"

#include <math.h>
#include <string.h>

static void
set_ring (TandemSwarm *self)
{
  guint i;

  self->n_neighbours = 3;
  self->neighbours = g_new (guint, self->n * 3);
  for (i = 0; i < self->n; i++) {
    self->neighbours[3 * i] = i;
    self->neighbours[3 * i + 1] = (i + self->n - 1) % self->n;
    self->neighbours[3 * i + 2] = (i + 1) % self->n;
  }
}

/* A torus of the widest grid whose width is no more than its height; particles that are left over
 * count as a last row that is not full. */
static void
set_von_neumann (TandemSwarm *self)
{
  guint width = MAX (1, (guint) sqrt (self->n)), i;

  while (width > 2 && self->n % width != 0)
    width--;
  self->n_neighbours = 5;
  self->neighbours = g_new (guint, self->n * 5);
  for (i = 0; i < self->n; i++) {
    guint row = i - i % width, length = MIN (width, self->n - row);

    self->neighbours[5 * i] = i;
    self->neighbours[5 * i + 1] = row + (i - row + length - 1) % length;
    self->neighbours[5 * i + 2] = row + (i - row + 1) % length;
    self->neighbours[5 * i + 3] = (i + self->n - width % self->n) % self->n;
    self->neighbours[5 * i + 4] = (i + width) % self->n;
  }
}

void
tandem_swarm_init (TandemSwarm *self, TandemOptimizer *optimizer, TandemSwarmTopology topology)
{
  gsize size;

  self->n = tandem_optimizer_get_population (optimizer);
  self->n_dimensions =
    tandem_search_space_get_n_parameters (tandem_optimizer_get_space (optimizer));
  size = (gsize) self->n * self->n_dimensions;
  self->position = g_new0 (double, size);
  self->velocity = g_new0 (double, size);
  self->best_position = g_new0 (double, size);
  self->best = g_new0 (TandemOutcome, self->n);
  self->has_best = g_new0 (gboolean, self->n);
  if (topology == TANDEM_SWARM_TOPOLOGY_RING)
    set_ring (self);
  else if (topology == TANDEM_SWARM_TOPOLOGY_VON_NEUMANN)
    set_von_neumann (self);
  else
    self->n_neighbours = self->n;
}

void
tandem_swarm_clear (TandemSwarm *self)
{
  g_free (self->neighbours);
  g_free (self->position);
  g_free (self->velocity);
  g_free (self->best_position);
  g_free (self->best);
  g_free (self->has_best);
}

void
tandem_swarm_get_position (const TandemSwarm *self, guint i, double *point)
{
  memcpy (point, tandem_swarm_row (self, self->position, i), self->n_dimensions * sizeof *point);
}

void
tandem_swarm_set_position (TandemSwarm *self, guint i, const double *point)
{
  memcpy (tandem_swarm_row (self, self->position, i), point, self->n_dimensions * sizeof *point);
}

const double *
tandem_swarm_get_best (const TandemSwarm *self, guint i)
{
  return tandem_swarm_row (self, self->has_best[i] ? self->best_position : self->position, i);
}

void
tandem_swarm_place (TandemSwarm *self, TandemOptimizer *optimizer, guint i)
{
  double *x = tandem_swarm_row (self, self->position, i);
  double *v = tandem_swarm_row (self, self->velocity, i);
  guint d;

  for (d = 0; d < self->n_dimensions; d++) {
    x[d] = tandem_optimizer_draw (optimizer);
    v[d] = 0.5 * (tandem_optimizer_draw (optimizer) - x[d]);
  }
}

guint
tandem_swarm_find_leader (TandemSwarm *self, TandemOptimizer *optimizer, guint i)
{
  gboolean found = FALSE;
  guint leader = i, k;

  for (k = 0; k < self->n_neighbours; k++) {
    guint other = self->neighbours != NULL ? self->neighbours[i * self->n_neighbours + k] : k;

    if (!self->has_best[other])
      continue;
    if (found &&
        tandem_optimizer_compare (optimizer, i, &self->best[other], &self->best[leader]) >= 0)
      continue;
    leader = other;
    found = TRUE;
  }
  return leader;
}

void
tandem_swarm_move (TandemSwarm *self, TandemOptimizer *optimizer, guint i,
                   const TandemSwarmStep *step)
{
  guint leader = tandem_swarm_find_leader (self, optimizer, i), d;
  double *x = tandem_swarm_row (self, self->position, i);
  double *v = tandem_swarm_row (self, self->velocity, i);
  /* One that failed ever since is drawn by its leader alone. */
  const double *own = self->has_best[i] ? tandem_swarm_row (self, self->best_position, i) : x;
  const double *best =
    self->has_best[leader] ? tandem_swarm_row (self, self->best_position, leader) : x;

  for (d = 0; d < self->n_dimensions; d++) {
    double r1 = tandem_optimizer_draw (optimizer), r2 = tandem_optimizer_draw (optimizer);

    v[d] = step->inertia * v[d] + step->own * r1 * (own[d] - x[d]) +
        step->social * r2 * (best[d] - x[d]);
    v[d] = CLAMP (v[d], -step->limit, step->limit);
    x[d] += v[d];
    if (x[d] < 0.0 || x[d] > 1.0) {
      x[d] = CLAMP (x[d], 0.0, 1.0);
      v[d] *= -0.5;
    }
  }
}

gboolean
tandem_swarm_note (TandemSwarm *self, TandemOptimizer *optimizer, guint i, const double *point,
                   const TandemOutcome *outcome)
{
  if (outcome->failed ||
      (self->has_best[i] &&
       tandem_optimizer_compare (optimizer, i, outcome, &self->best[i]) >= 0))
    return FALSE;
  self->best[i] = *outcome;
  self->best[i].gradient = NULL;
  self->has_best[i] = TRUE;
  memcpy (tandem_swarm_row (self, self->best_position, i), point,
          self->n_dimensions * sizeof *point);
  return TRUE;
}
