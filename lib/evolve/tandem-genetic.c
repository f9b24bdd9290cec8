/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemGenetic:
 *
 * A genetic algorithm with real values. The parents of a child win tournaments of
 * [property@Genetic:tournament] (Goldberg and Deb 1991); with
 * [property@Genetic:crossover-rate] the child is crossed, in each coordinate
 *
 *     c = a + (u (1 + 2 alpha) - alpha) (b - a), u from 0 to 1
 *
 * (BLX-alpha, Eshelman and Schaffer 1993) or, with the same chance, takes each value from the one
 * or the other (uniform, Syswerda 1989); else it is the first parent. Then each coordinate changes
 * with [property@Genetic:mutation-rate] by
 *
 *     +- 0.5 2^(-20 u)
 *
 * of its range (the breeder genetic algorithm's mutation, Mühlenbein and Schlierkamp-Voosen 1993,
 * with its discrete sum as the continuous one), a category to any other one. What leaves the cube
 * is reflected into it. The best [property@Genetic:elites] parents and all children compete, and
 * the best of them, as many as the population, are the next parents.
 *
 * With two objectives it is NSGA-II (Deb, Pratap, Agarwal and Meyarivan 2002): tournaments by rank
 * and crowding distance, and all parents compete with the children.
 *
 * It works by generations: a generation begins when the one before is evaluated, so that a
 * population that is a multiple of the number of workers keeps them busiest.
 */

#include "config.h"

#include "evolve/tandem-genetic.h"

#include <string.h>

#include "evolve/tandem-nondominated-private.h"
#include "evolve/tandem-variation-private.h"
#include "tandem-enums.h"

enum
{
  PROP_0,
  PROP_TOURNAMENT,
  PROP_CROSSOVER,
  PROP_CROSSOVER_RATE,
  PROP_BLEND,
  PROP_MUTATION_RATE,
  PROP_ELITES,
  N_PROPS
};

struct _TandemGenetic
{
  TandemOptimizer parent;

  guint tournament, elites;
  TandemCrossover crossover;
  double crossover_rate, blend, mutation_rate;

  guint n, n_dimensions, n_objectives;
  /* Parents first, then children: [2 n]. */
  double *points;
  TandemOutcome *outcomes;
  TandemStanding *standings;
};

G_DEFINE_FINAL_TYPE (TandemGenetic, tandem_genetic, TANDEM_TYPE_OPTIMIZER)

static void
tandem_genetic_start (TandemOptimizer *optimizer)
{
  TandemGenetic *self = TANDEM_GENETIC (optimizer);

  self->n = tandem_optimizer_get_population (optimizer);
  self->n_objectives = tandem_optimizer_get_n_objectives (optimizer);
  self->n_dimensions =
    tandem_search_space_get_n_parameters (tandem_optimizer_get_space (optimizer));
  self->points = g_new0 (double, 2 * (gsize) self->n * self->n_dimensions);
  self->outcomes = g_new0 (TandemOutcome, 2 * self->n);
  self->standings = g_new0 (TandemStanding, 2 * self->n);
}

static guint64
tandem_genetic_get_required (TandemOptimizer *optimizer, guint64 number)
{
  return number - number % tandem_optimizer_get_population (optimizer);
}

static double *
get_row (TandemGenetic *self, guint i)
{
  return self->points + (gsize) i * self->n_dimensions;
}

static int
compare (TandemGenetic *self, guint a, guint b)
{
  if (self->n_objectives > 1)
    return tandem_standing_compare (&self->standings[a], &self->standings[b]);
  return tandem_optimizer_compare (TANDEM_OPTIMIZER (self), 0, &self->outcomes[a],
                                   &self->outcomes[b]);
}

static guint
select_parent (TandemGenetic *self)
{
  TandemOptimizer *optimizer = TANDEM_OPTIMIZER (self);
  guint winner = tandem_optimizer_draw_below (optimizer, self->n), i;

  for (i = 1; i < self->tournament; i++) {
    guint other = tandem_optimizer_draw_below (optimizer, self->n);

    if (compare (self, other, winner) < 0)
      winner = other;
  }
  return winner;
}

static void
tandem_genetic_propose (TandemOptimizer *optimizer, guint64 number, double *point)
{
  TandemGenetic *self = TANDEM_GENETIC (optimizer);
  double rate = self->mutation_rate > 0 ? self->mutation_rate : 1.0 / self->n_dimensions;
  gboolean is_crossed;
  guint first, second, d;

  if (number < self->n) {
    for (d = 0; d < self->n_dimensions; d++)
      point[d] = tandem_optimizer_draw (optimizer);
    return;
  }
  first = select_parent (self);
  second = select_parent (self);
  if (second == first)
    second = (first + 1) % self->n;
  is_crossed = tandem_optimizer_draw (optimizer) < self->crossover_rate;
  if (is_crossed)
    tandem_variation_cross (optimizer, self->crossover, self->blend, get_row (self, first),
                            get_row (self, second), point);
  else
    memcpy (point, get_row (self, first), self->n_dimensions * sizeof *point);
  /* Not the parent itself once more. */
  tandem_variation_mutate (optimizer, rate, !is_crossed, point);
}

static int
compare_indices (gconstpointer a, gconstpointer b, gpointer self)
{
  guint left = *(const guint *) a, right = *(const guint *) b;
  int result = compare (self, left, right);

  return result != 0 ? result : (left > right) - (left < right);
}

/* Sorts some of the parents and children and lets the best ones be the next parents. */
static void
survive (TandemGenetic *self, guint *indices, guint n)
{
  g_autofree double *points = g_new (double, (gsize) self->n * self->n_dimensions);
  g_autofree TandemOutcome *outcomes = g_new (TandemOutcome, self->n);
  guint i;

  g_qsort_with_data (indices, n, sizeof *indices, compare_indices, self);
  for (i = 0; i < self->n; i++) {
    memcpy (points + (gsize) i * self->n_dimensions, get_row (self, indices[i]),
            self->n_dimensions * sizeof *points);
    outcomes[i] = self->outcomes[indices[i]];
  }
  memcpy (self->points, points, (gsize) self->n * self->n_dimensions * sizeof *points);
  memcpy (self->outcomes, outcomes, self->n * sizeof *outcomes);
}

static void
tandem_genetic_receive (TandemOptimizer *optimizer, guint64 number, const double *point,
                        const TandemOutcome *outcome)
{
  TandemGenetic *self = TANDEM_GENETIC (optimizer);
  guint child = self->n + number % self->n, n_parents = number < self->n ? 0 : self->n, n = 0, i;
  g_autofree guint *indices = NULL;

  memcpy (get_row (self, child), point, self->n_dimensions * sizeof *point);
  self->outcomes[child] = *outcome;
  self->outcomes[child].gradient = NULL;
  if (child + 1 < 2 * self->n)
    return;
  /* Parents are sorted already when there is one objective. */
  if (self->n_objectives == 1)
    n_parents = MIN (n_parents, self->elites);
  indices = g_new (guint, 2 * self->n);
  for (i = 0; i < 2 * self->n; i++)
    if (i < n_parents || i >= self->n)
      indices[n++] = i;
  if (self->n_objectives > 1)
    tandem_nondominated_sort (self->outcomes + (self->n - n_parents), n, self->n_objectives,
                              self->standings + (self->n - n_parents));
  survive (self, indices, n);
  if (self->n_objectives > 1)
    tandem_nondominated_sort (self->outcomes, self->n, self->n_objectives, self->standings);
}

static void
tandem_genetic_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TandemGenetic *self = TANDEM_GENETIC (object);

  switch (id) {
    case PROP_TOURNAMENT:
      g_value_set_uint (value, self->tournament);
      break;
    case PROP_CROSSOVER:
      g_value_set_enum (value, self->crossover);
      break;
    case PROP_CROSSOVER_RATE:
      g_value_set_double (value, self->crossover_rate);
      break;
    case PROP_BLEND:
      g_value_set_double (value, self->blend);
      break;
    case PROP_MUTATION_RATE:
      g_value_set_double (value, self->mutation_rate);
      break;
    case PROP_ELITES:
      g_value_set_uint (value, self->elites);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
}

static void
tandem_genetic_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  TandemGenetic *self = TANDEM_GENETIC (object);

  switch (id) {
    case PROP_TOURNAMENT:
      self->tournament = g_value_get_uint (value);
      break;
    case PROP_CROSSOVER:
      self->crossover = g_value_get_enum (value);
      break;
    case PROP_CROSSOVER_RATE:
      self->crossover_rate = g_value_get_double (value);
      break;
    case PROP_BLEND:
      self->blend = g_value_get_double (value);
      break;
    case PROP_MUTATION_RATE:
      self->mutation_rate = g_value_get_double (value);
      break;
    case PROP_ELITES:
      self->elites = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
}

static void
tandem_genetic_finalize (GObject *object)
{
  TandemGenetic *self = TANDEM_GENETIC (object);

  g_free (self->points);
  g_free (self->outcomes);
  g_free (self->standings);
  G_OBJECT_CLASS (tandem_genetic_parent_class)->finalize (object);
}

static void
tandem_genetic_class_init (TandemGeneticClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  TandemOptimizerClass *optimizer_class = TANDEM_OPTIMIZER_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  object_class->finalize = tandem_genetic_finalize;
  object_class->get_property = tandem_genetic_get_property;
  object_class->set_property = tandem_genetic_set_property;
  optimizer_class->start = tandem_genetic_start;
  optimizer_class->get_required = tandem_genetic_get_required;
  optimizer_class->propose = tandem_genetic_propose;
  optimizer_class->receive = tandem_genetic_receive;

  /**
   * TandemGenetic:tournament:
   *
   * How many parents compete for a place; 1: none does, all have the same chance.
   */
  g_object_class_install_property (
    object_class, PROP_TOURNAMENT,
    g_param_spec_uint ("tournament", "Tournament", "How many compete to be a parent", 1, 1000, 2,
                       flags));
  /**
   * TandemGenetic:crossover:
   *
   * How a child comes from two parents.
   */
  g_object_class_install_property (
    object_class, PROP_CROSSOVER,
    g_param_spec_enum ("crossover", "Crossover", "How a child comes from two parents",
                       TANDEM_TYPE_CROSSOVER, TANDEM_CROSSOVER_MIXED, flags));
  /**
   * TandemGenetic:crossover-rate:
   *
   * Which part of the children have two parents.
   */
  g_object_class_install_property (
    object_class, PROP_CROSSOVER_RATE,
    g_param_spec_double ("crossover-rate", "Crossover rate",
                         "Which part of the children have two parents", 0, 1, 0.9, flags));
  /**
   * TandemGenetic:blend:
   *
   * alpha of the blend: how far beyond the parents a value may lie, as a part of their distance.
   */
  g_object_class_install_property (
    object_class, PROP_BLEND,
    g_param_spec_double ("blend", "Blend", "How far beyond its parents a child may lie", 0, 2, 0.5,
                         flags));
  /**
   * TandemGenetic:mutation-rate:
   *
   * Which part of the coordinates change; 0: one of them, on the average.
   */
  g_object_class_install_property (
    object_class, PROP_MUTATION_RATE,
    g_param_spec_double ("mutation-rate", "Mutation rate",
                         "Which part of the coordinates change (0 = one of them)", 0, 1, 0, flags));
  /**
   * TandemGenetic:elites:
   *
   * How many parents compete with the children. It does not count with two objectives.
   */
  g_object_class_install_property (
    object_class, PROP_ELITES,
    g_param_spec_uint ("elites", "Elites", "How many parents compete with the children", 0, 100000,
                       100000, flags));
}

static void
tandem_genetic_init (TandemGenetic *self)
{
}
