/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemSwarmGenetic:
 *
 * A hybrid of particle swarm and genetic algorithm (Juang 2004, A hybrid of genetic algorithm and
 * particle swarm optimization for recurrent network design). A generation has two parts:
 *
 * 1. the better half of the population, the elites, move as particles of one swarm
 *    ([class@ParticleSwarm] with constriction, all know all);
 * 2. the other half is replaced by children of the elites: parents win tournaments of two, and
 * children are
 *    crossed and mutated as in [class@Genetic].
 *
 * An individual counts by the best position that it had, which is also what a child comes from.
 * Each half begins when the one before is evaluated. The first generation is drawn evenly.
 */

#include "config.h"

#include "evolve/tandem-swarm-genetic.h"

#include <string.h>

#include "evolve/tandem-swarm-private.h"
#include "evolve/tandem-variation-private.h"

#define CONSTRICTION 0.72984378812835757
#define ACCELERATION (2.05 * CONSTRICTION)
#define VELOCITY_LIMIT 0.5
#define BLEND 0.5

struct _TandemSwarmGenetic
{
  TandemOptimizer parent;

  TandemSwarm swarm;
  guint *order;                 /* individuals, best first, as this generation began */
};

G_DEFINE_FINAL_TYPE (TandemSwarmGenetic, tandem_swarm_genetic, TANDEM_TYPE_OPTIMIZER)

static void
tandem_swarm_genetic_start (TandemOptimizer *optimizer)
{
  TandemSwarmGenetic *self = TANDEM_SWARM_GENETIC (optimizer);
  guint i;

  tandem_swarm_init (&self->swarm, optimizer, TANDEM_SWARM_TOPOLOGY_GLOBAL);
  self->order = g_new (guint, self->swarm.n);
  for (i = 0; i < self->swarm.n; i++)
    self->order[i] = i;
}

static guint
get_n_elites (guint population)
{
  return (population + 1) / 2;
}

static guint64
tandem_swarm_genetic_get_required (TandemOptimizer *optimizer, guint64 number)
{
  guint n = tandem_optimizer_get_population (optimizer), at = number % n;

  if (number < n)
    return 0;
  return number - at + (at < get_n_elites (n) ? 0 : get_n_elites (n));
}

static int
compare (gconstpointer a, gconstpointer b, gpointer data)
{
  TandemSwarm *swarm = &TANDEM_SWARM_GENETIC (data)->swarm;
  guint left = *(const guint *) a, right = *(const guint *) b;
  int result;

  if (swarm->has_best[left] != swarm->has_best[right])
    return swarm->has_best[left] ? -1 : 1;
  /* With two objectives, as the middle of the front sees it. */
  result = swarm->has_best[left]
      ? tandem_optimizer_compare (data, swarm->n / 2, &swarm->best[left], &swarm->best[right]) : 0;
  return result != 0 ? result : (left > right) - (left < right);
}

static const double *
select_parent (TandemSwarmGenetic *self)
{
  TandemSwarm *swarm = &self->swarm;
  guint n = get_n_elites (swarm->n);
  guint a = self->order[tandem_optimizer_draw_below (TANDEM_OPTIMIZER (self), n)];
  guint b = self->order[tandem_optimizer_draw_below (TANDEM_OPTIMIZER (self), n)];
  guint winner = compare (&a, &b, self) < 0 ? a : b;

  return tandem_swarm_get_best (swarm, winner);
}

static void
make_child (TandemSwarmGenetic *self, guint i, double *point)
{
  TandemOptimizer *optimizer = TANDEM_OPTIMIZER (self);
  TandemSwarm *swarm = &self->swarm;
  const double *first = select_parent (self), *second = select_parent (self);

  tandem_variation_cross (optimizer, TANDEM_CROSSOVER_BLEND, BLEND, first, second, point);
  tandem_variation_mutate (optimizer, 1.0 / swarm->n_dimensions, first == second, point);
  tandem_swarm_set_position (swarm, i, point);
  memset (tandem_swarm_row (swarm, swarm->velocity, i), 0, swarm->n_dimensions * sizeof *point);
  swarm->has_best[i] = FALSE;
}

static void
tandem_swarm_genetic_propose (TandemOptimizer *optimizer, guint64 number, double *point)
{
  static const TandemSwarmStep step = { CONSTRICTION, ACCELERATION, ACCELERATION, VELOCITY_LIMIT };
  TandemSwarmGenetic *self = TANDEM_SWARM_GENETIC (optimizer);
  TandemSwarm *swarm = &self->swarm;
  guint at = number % swarm->n, i;

  if (at == 0 && number > 0)
    g_qsort_with_data (self->order, swarm->n, sizeof *self->order, compare, self);
  i = self->order[at];
  if (number >= swarm->n && at >= get_n_elites (swarm->n)) {
    make_child (self, i, point);
    return;
  }
  if (number < swarm->n)
    tandem_swarm_place (swarm, optimizer, i);
  else
    tandem_swarm_move (swarm, optimizer, i, &step);
  tandem_swarm_get_position (swarm, i, point);
}

static void
tandem_swarm_genetic_receive (TandemOptimizer *optimizer, guint64 number, const double *point,
                              const TandemOutcome *outcome)
{
  TandemSwarmGenetic *self = TANDEM_SWARM_GENETIC (optimizer);

  tandem_swarm_note (&self->swarm, optimizer, self->order[number % self->swarm.n], point, outcome);
}

static void
tandem_swarm_genetic_finalize (GObject *object)
{
  TandemSwarmGenetic *self = TANDEM_SWARM_GENETIC (object);

  tandem_swarm_clear (&self->swarm);
  g_free (self->order);
  G_OBJECT_CLASS (tandem_swarm_genetic_parent_class)->finalize (object);
}

static void
tandem_swarm_genetic_class_init (TandemSwarmGeneticClass *klass)
{
  TandemOptimizerClass *optimizer_class = TANDEM_OPTIMIZER_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = tandem_swarm_genetic_finalize;
  optimizer_class->start = tandem_swarm_genetic_start;
  optimizer_class->get_required = tandem_swarm_genetic_get_required;
  optimizer_class->propose = tandem_swarm_genetic_propose;
  optimizer_class->receive = tandem_swarm_genetic_receive;
}

static void
tandem_swarm_genetic_init (TandemSwarmGenetic *self)
{
}
