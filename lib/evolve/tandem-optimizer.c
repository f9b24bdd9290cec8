/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemOptimizer:
 *
 * A search for the candidate of a [class@SearchSpace] whose value is least, by ask and tell: ask
 * for trials, evaluate them anywhere, in any order, and tell what came out.
 *
 * Every candidate has a number. The algorithm sees outcomes in the order of numbers, and before it
 * proposes a candidate exactly as many as a rule says that knows nothing but the number: in swarms
 * all but the last [property@Optimizer:window], in the genetic algorithm those of the generations
 * before. Hence the same seed gives the same candidates, and the same result, with any number of
 * workers, and up to `window` of them always have work. A candidate that equals an earlier one
 * gets its outcome and is not evaluated again. A candidate whose evaluation failed is worse than
 * all others.
 *
 * Feasible candidates are better than infeasible ones, and of two infeasible ones the one that
 * violates less (Deb 2000, An efficient constraint handling method for genetic algorithms). With
 * two objectives the ones that no other one beats in both are kept as a front.
 *
 * With several [property@Optimizer:rungs] poor candidates are stopped early: asynchronous
 * successive halving (Jamieson and Talwalkar 2016; Li et al. 2020) in its stopping form, decided in
 * the order of numbers. A candidate first gets a small part of the work and goes on when
 * it is in the best part, one of [property@Optimizer:reduction], of those that were there before.
 *
 * An optimizer belongs to one thread at a time.
 */

#include "config.h"

#include <math.h>

#include "evolve/tandem-optimizer-private.h"
#include "base/tandem-random-private.h"

#define DEFAULT_WINDOW 8
#define DEFAULT_REDUCTION 3.0

enum
{
  PROP_0,
  PROP_SPACE,
  PROP_SEED,
  PROP_POPULATION,
  PROP_BUDGET,
  PROP_TARGET,
  PROP_TIME_LIMIT,
  PROP_OBJECTIVES,
  PROP_WINDOW,
  PROP_RUNGS,
  PROP_REDUCTION,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (TandemOptimizer, tandem_optimizer, G_TYPE_OBJECT)

TandemOptimizerPrivate *
tandem_optimizer_get_private (TandemOptimizer *self)
{
  return tandem_optimizer_get_instance_private (self);
}

static void
record_clear (gpointer data)
{
  TandemRecord *record = data;

  g_free ((gpointer) record->outcome.gradient);
  g_free (record->reason);
  g_clear_pointer (&record->lower, g_array_unref);
}

static void
tandem_optimizer_finalize (GObject *object)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (TANDEM_OPTIMIZER (object));
  guint i;

  g_clear_object (&priv->space);
  g_array_unref (priv->records);
  g_array_unref (priv->points);
  g_array_unref (priv->values);
  g_array_unref (priv->other_values);
  g_hash_table_unref (priv->known);
  g_queue_clear (&priv->ready);
  for (i = 0; i < TANDEM_OPTIMIZER_MAX_RUNGS; i++)
    g_clear_pointer (&priv->sorted[i], g_array_unref);
  g_array_unref (priv->history);
  g_array_unref (priv->front);
  G_OBJECT_CLASS (tandem_optimizer_parent_class)->finalize (object);
}

static void
tandem_optimizer_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TandemOptimizer *self = TANDEM_OPTIMIZER (object);
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);

  switch (id) {
    case PROP_SPACE:
      g_value_set_object (value, priv->space);
      break;
    case PROP_SEED:
      g_value_set_uint64 (value, priv->seed);
      break;
    case PROP_POPULATION:
      g_value_set_uint (value, tandem_optimizer_get_population (self));
      break;
    case PROP_BUDGET:
      g_value_set_uint64 (value, priv->budget);
      break;
    case PROP_TARGET:
      g_value_set_double (value, priv->target);
      break;
    case PROP_TIME_LIMIT:
      g_value_set_double (value, priv->time_limit);
      break;
    case PROP_OBJECTIVES:
      g_value_set_uint (value, priv->n_objectives);
      break;
    case PROP_WINDOW:
      g_value_set_uint (value, priv->window);
      break;
    case PROP_RUNGS:
      g_value_set_uint (value, priv->n_rungs);
      break;
    case PROP_REDUCTION:
      g_value_set_double (value, priv->reduction);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
}

static void
tandem_optimizer_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (TANDEM_OPTIMIZER (object));

  /* Budget, target and time may change: a search that is over may go on. */
  if (priv->started && id != PROP_BUDGET && id != PROP_TARGET && id != PROP_TIME_LIMIT) {
    g_critical ("the property \"%s\" cannot change after the first candidate", pspec->name);
    return;
  }
  switch (id) {
    case PROP_SPACE:
      priv->space = g_value_dup_object (value);
      break;
    case PROP_SEED:
      priv->seed = g_value_get_uint64 (value);
      break;
    case PROP_POPULATION:
      priv->population = g_value_get_uint (value);
      break;
    case PROP_BUDGET:
      priv->budget = g_value_get_uint64 (value);
      break;
    case PROP_TARGET:
      priv->target = g_value_get_double (value);
      break;
    case PROP_TIME_LIMIT:
      priv->time_limit = g_value_get_double (value);
      break;
    case PROP_OBJECTIVES:
      priv->n_objectives = g_value_get_uint (value);
      break;
    case PROP_WINDOW:
      priv->window = g_value_get_uint (value);
      break;
    case PROP_RUNGS:
      priv->n_rungs = g_value_get_uint (value);
      break;
    case PROP_REDUCTION:
      priv->reduction = g_value_get_double (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
}

/* All but the last ones, as many as may be evaluated at once. */
static guint64
get_required (TandemOptimizer *self, guint64 number)
{
  guint window = tandem_optimizer_get_window (self);

  return number + 1 > window ? number + 1 - window : 0;
}

static void
tandem_optimizer_class_init (TandemOptimizerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;
  const GParamFlags construct = flags | G_PARAM_CONSTRUCT;

  object_class->finalize = tandem_optimizer_finalize;
  object_class->get_property = tandem_optimizer_get_property;
  object_class->set_property = tandem_optimizer_set_property;
  klass->population = 30;
  klass->get_required = get_required;

  /**
   * TandemOptimizer:space:
   *
   * What is searched.
   */
  props[PROP_SPACE] =
    g_param_spec_object ("space", "Space", "What is searched", TANDEM_TYPE_SEARCH_SPACE,
                         flags | G_PARAM_CONSTRUCT_ONLY);
  /**
   * TandemOptimizer:seed:
   *
   * What all random numbers come from.
   */
  props[PROP_SEED] =
    g_param_spec_uint64 ("seed", "Seed", "What all random numbers come from", 0, G_MAXUINT64, 1,
                         construct);
  /**
   * TandemOptimizer:population:
   *
   * How many candidates a generation or a swarm has; 0 is set to stand for the algorithm's default.
   */
  props[PROP_POPULATION] =
    g_param_spec_uint ("population", "Population",
                       "How many candidates a generation or a swarm has (0 = the algorithm's)", 0,
                       100000, 0, construct);
  /**
   * TandemOptimizer:budget:
   *
   * How many candidates are evaluated at most, duplicates not counted; 0: no bound. Algorithms that
   * change their ways with time take it for the end, and 1,000 when there is none; they are
   * the only ones that are different when it changes later.
   */
  props[PROP_BUDGET] =
    g_param_spec_uint64 ("budget", "Budget", "How many candidates are evaluated (0 = no bound)", 0,
                         G_MAXINT64, TANDEM_OPTIMIZER_USUAL_BUDGET, construct);
  /**
   * TandemOptimizer:target:
   *
   * The search ends with the first candidate, by number, that is feasible, whole (not stopped
   * early) and whose first value is this or less.
   */
  props[PROP_TARGET] =
    g_param_spec_double ("target", "Target", "The value that is good enough", -INFINITY, INFINITY,
                         -INFINITY, construct);
  /**
   * TandemOptimizer:time-limit:
   *
   * After so many seconds since the first was asked for no more candidates are proposed, those
   * of the runs before a resume counted; 0: no bound. A search that ends by it is not the
   * same with another number of workers.
   */
  props[PROP_TIME_LIMIT] =
    g_param_spec_double ("time-limit", "Time limit", "Seconds of search (0 = no bound)", 0, 1e9, 0,
                         construct);
  /**
   * TandemOptimizer:objectives:
   *
   * How many values an outcome has.
   */
  props[PROP_OBJECTIVES] =
    g_param_spec_uint ("objectives", "Objectives", "How many values an outcome has", 1,
                       TANDEM_OPTIMIZER_MAX_OBJECTIVES, 1, construct);
  /**
   * TandemOptimizer:window:
   *
   * How many candidates may be evaluated at once. More workers than that have nothing to do; a
   * candidate knows the outcomes of all but the last `window` before it, so that a larger one
   * makes a search slightly blinder. The population bounds it. The genetic algorithms work by
   * generations and do not use it.
   */
  props[PROP_WINDOW] =
    g_param_spec_uint ("window", "Window", "How many candidates may be evaluated at once", 1,
                       100000, DEFAULT_WINDOW, construct);
  /**
   * TandemOptimizer:rungs:
   *
   * Into how many steps of work an evaluation is divided; 1: none is stopped early. The first does
   * `reduction` to the power of `1 - rungs` of the work, each next one `reduction` times as much.
   */
  props[PROP_RUNGS] =
    g_param_spec_uint ("rungs", "Rungs", "Into how many steps of work an evaluation is divided", 1,
                       TANDEM_OPTIMIZER_MAX_RUNGS, 1, construct);
  /**
   * TandemOptimizer:reduction:
   *
   * One of so many candidates goes on at each rung.
   */
  props[PROP_REDUCTION] =
    g_param_spec_double ("reduction", "Reduction", "One of so many goes on at each rung", 1.5, 100,
                         DEFAULT_REDUCTION, construct);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
tandem_optimizer_init (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);

  priv->records = g_array_new (FALSE, TRUE, sizeof (TandemRecord));
  g_array_set_clear_func (priv->records, record_clear);
  priv->points = g_array_new (FALSE, FALSE, sizeof (double));
  priv->values = g_array_new (FALSE, FALSE, sizeof (double));
  priv->other_values = g_array_new (FALSE, FALSE, sizeof (double));
  priv->known = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  g_queue_init (&priv->ready);
  priv->history = g_array_new (FALSE, FALSE, sizeof (double));
  priv->front = g_array_new (FALSE, FALSE, sizeof (guint64));
  priv->best = -1;
}

/**
 * tandem_optimizer_get_seconds:
 * @self: an optimizer
 *
 * Returns: how long it is ago that it was first asked, in seconds; for a search that was loaded, as
 *   long as it took before and since it was loaded
 */
double
tandem_optimizer_get_seconds (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self), 0);

  priv = tandem_optimizer_get_private (self);
  if (!priv->started)
    return priv->seconds_before;
  return priv->seconds_before + 1e-6 * (g_get_monotonic_time () - priv->started_at);
}

/**
 * tandem_optimizer_draw:
 * @self: an optimizer
 *
 * For algorithms, while they propose or receive: the next random number. Each candidate has streams
 * of its own, which depend on the seed and its number.
 *
 * Returns: a number from 0 to below 1
 */
double
tandem_optimizer_draw (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);

  return tandem_random_uniform (priv->random_key, priv->random_index++);
}

/**
 * tandem_optimizer_draw_normal:
 * @self: an optimizer
 *
 * For algorithms, as tandem_optimizer_draw().
 *
 * Returns: a number of the standard normal distribution, with 24 bits
 */
double
tandem_optimizer_draw_normal (TandemOptimizer *self)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);
  float value;

  tandem_random_normal (tandem_random_bits (priv->random_key, priv->random_index++), 1.0, 1,
                        &value);
  return value;
}

/**
 * tandem_optimizer_draw_below:
 * @self: an optimizer
 * @n: above 0
 *
 * For algorithms, as tandem_optimizer_draw().
 *
 * Returns: a whole number from 0 to below @n
 */
guint
tandem_optimizer_draw_below (TandemOptimizer *self, guint n)
{
  guint number = (guint) (tandem_optimizer_draw (self) * n);

  return MIN (number, n - 1);
}
