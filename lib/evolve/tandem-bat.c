/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemBat:
 *
 * The bat algorithm (Yang 2010, A new metaheuristic bat-inspired algorithm). In its generation t a
 * bat at x flies
 *
 *     f = f_min + (f_max - f_min) u                    (equation 2)
 *     v = v + (x* - x) f,  x' = x + v                  (equations 3 and 4)
 *
 * x* the best place so far and u from 0 to 1, or, when a number from 0 to 1 is above its pulse rate
 * r, walks around the best place instead,
 *
 *     x' = x* + walk e A,  e from -1 to 1 in each coordinate    (equation 5)
 *
 * A the mean loudness of all bats. When x' is better than where the bat is and a number from 0 to 1
 * is below its loudness a, it stays there and
 *
 *     a = alpha a,  r = r_0 (1 - exp (-gamma t))       (equation 6)
 *
 * The best place is the best one found, whether its bat stayed there or not. The sign in equation 3
 * is the one with which bats fly towards the best place; the paper's has them fly away from it.
 * What leaves the cube is reflected into it. The unit of the walk is the cube's, which the paper
 * does not say.
 */

#include "config.h"

#include "evolve/tandem-bat.h"

#include <string.h>

#include "evolve/tandem-evolve-math-private.h"
#include "evolve/tandem-swarm-private.h"
#include "evolve/tandem-variation-private.h"

enum
{
  PROP_0,
  PROP_LEAST_FREQUENCY,
  PROP_MOST_FREQUENCY,
  PROP_LOUDNESS,
  PROP_PULSE_RATE,
  PROP_ALPHA,
  PROP_GAMMA,
  PROP_WALK,
  N_PROPS
};

struct _TandemBat
{
  TandemOptimizer parent;

  double settings[N_PROPS];     /* by property */

  TandemSwarm swarm;            /* its best ones are where the bats are */
  double *loudness, *pulse_rate;
  double *best_position;        /* the best place, whoever found it */
  TandemOutcome best_outcome;
  gboolean has_best;
};

G_DEFINE_FINAL_TYPE (TandemBat, tandem_bat, TANDEM_TYPE_OPTIMIZER)

static void
tandem_bat_start (TandemOptimizer *optimizer)
{
  TandemBat *self = TANDEM_BAT (optimizer);
  guint i;

  tandem_swarm_init (&self->swarm, optimizer, TANDEM_SWARM_TOPOLOGY_GLOBAL);
  self->loudness = g_new (double, self->swarm.n);
  self->pulse_rate = g_new0 (double, self->swarm.n);
  self->best_position = g_new0 (double, self->swarm.n_dimensions);
  for (i = 0; i < self->swarm.n; i++)
    self->loudness[i] = self->settings[PROP_LOUDNESS];
}

/* With two objectives each bat has its own view of what is best. */
static const double *
find_best (TandemBat *self, guint i)
{
  TandemSwarm *swarm = &self->swarm;

  if (tandem_optimizer_get_n_objectives (TANDEM_OPTIMIZER (self)) > 1) {
    guint leader = tandem_swarm_find_leader (swarm, TANDEM_OPTIMIZER (self), i);

    return tandem_swarm_get_best (swarm, leader);
  }
  return self->has_best ? self->best_position : tandem_swarm_row (swarm, swarm->position, i);
}

static void
fly (TandemBat *self, guint i, double *point)
{
  TandemOptimizer *optimizer = TANDEM_OPTIMIZER (self);
  double f = self->settings[PROP_LEAST_FREQUENCY] + tandem_optimizer_draw (optimizer) *
      (self->settings[PROP_MOST_FREQUENCY] - self->settings[PROP_LEAST_FREQUENCY]);
  const double *x = tandem_swarm_row (&self->swarm, self->swarm.position, i);
  double *v = tandem_swarm_row (&self->swarm, self->swarm.velocity, i);
  const double *best = find_best (self, i);
  guint d;

  for (d = 0; d < self->swarm.n_dimensions; d++) {
    v[d] += (best[d] - x[d]) * f;
    v[d] = CLAMP (v[d], -1.0, 1.0);
    point[d] = tandem_variation_reflect (x[d] + v[d]);
  }
}

static void
walk (TandemBat *self, guint i, double *point)
{
  const double *best = find_best (self, i);
  double mean = 0.0;
  guint d, k;

  for (k = 0; k < self->swarm.n; k++)
    mean += self->loudness[k] / self->swarm.n;
  for (d = 0; d < self->swarm.n_dimensions; d++)
    point[d] = tandem_variation_reflect (
      best[d] + self->settings[PROP_WALK] * mean *
      (2.0 * tandem_optimizer_draw (TANDEM_OPTIMIZER (self)) - 1.0));
}

static void
tandem_bat_propose (TandemOptimizer *optimizer, guint64 number, double *point)
{
  TandemBat *self = TANDEM_BAT (optimizer);
  guint i = number % self->swarm.n;

  if (number < self->swarm.n) {
    tandem_swarm_place (&self->swarm, optimizer, i);
    memset (tandem_swarm_row (&self->swarm, self->swarm.velocity, i), 0,
            self->swarm.n_dimensions * sizeof *point);
    tandem_swarm_get_position (&self->swarm, i, point);
    return;
  }
  fly (self, i, point);
  if (tandem_optimizer_draw (optimizer) > self->pulse_rate[i])
    walk (self, i, point);
}

static void
tandem_bat_receive (TandemOptimizer *optimizer, guint64 number, const double *point,
                    const TandemOutcome *outcome)
{
  TandemBat *self = TANDEM_BAT (optimizer);
  guint i = number % self->swarm.n;
  guint64 generation = number / self->swarm.n;

  if (!outcome->failed &&
      (!self->has_best ||
       tandem_optimizer_compare (optimizer, i, outcome, &self->best_outcome) < 0)) {
    memcpy (self->best_position, point, self->swarm.n_dimensions * sizeof *point);
    self->best_outcome = *outcome;
    self->best_outcome.gradient = NULL;
    self->has_best = TRUE;
  }
  if (generation > 0 && tandem_optimizer_draw (optimizer) >= self->loudness[i])
    return;
  if (!tandem_swarm_note (&self->swarm, optimizer, i, point, outcome) || generation == 0)
    return;
  tandem_swarm_set_position (&self->swarm, i, point);
  self->loudness[i] *= self->settings[PROP_ALPHA];
  self->pulse_rate[i] = self->settings[PROP_PULSE_RATE] *
      (1.0 - tandem_evolve_exp (-MIN (self->settings[PROP_GAMMA] * generation, 700.0)));
}

static void
tandem_bat_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  g_value_set_double (value, TANDEM_BAT (object)->settings[id]);
}

static void
tandem_bat_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  TANDEM_BAT (object)->settings[id] = g_value_get_double (value);
}

static void
tandem_bat_finalize (GObject *object)
{
  TandemBat *self = TANDEM_BAT (object);

  tandem_swarm_clear (&self->swarm);
  g_free (self->loudness);
  g_free (self->pulse_rate);
  g_free (self->best_position);
  G_OBJECT_CLASS (tandem_bat_parent_class)->finalize (object);
}

static void
tandem_bat_class_init (TandemBatClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  TandemOptimizerClass *optimizer_class = TANDEM_OPTIMIZER_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  object_class->finalize = tandem_bat_finalize;
  object_class->get_property = tandem_bat_get_property;
  object_class->set_property = tandem_bat_set_property;
  optimizer_class->start = tandem_bat_start;
  optimizer_class->propose = tandem_bat_propose;
  optimizer_class->receive = tandem_bat_receive;

  /**
   * TandemBat:least-frequency:
   *
   * f_min.
   */
  g_object_class_install_property (
    object_class, PROP_LEAST_FREQUENCY,
    g_param_spec_double ("least-frequency", "Least frequency", "f_min", 0, 10, 0, flags));
  /**
   * TandemBat:most-frequency:
   *
   * f_max.
   */
  g_object_class_install_property (
    object_class, PROP_MOST_FREQUENCY,
    g_param_spec_double ("most-frequency", "Most frequency", "f_max", 0, 10, 1, flags));
  /**
   * TandemBat:loudness:
   *
   * The loudness that bats begin with.
   */
  g_object_class_install_property (
    object_class, PROP_LOUDNESS,
    g_param_spec_double ("loudness", "Loudness", "The loudness that bats begin with", 0, 10, 1.9,
                         flags));
  /**
   * TandemBat:pulse-rate:
   *
   * r_0, what the pulse rate rises to.
   */
  g_object_class_install_property (
    object_class, PROP_PULSE_RATE,
    g_param_spec_double ("pulse-rate", "Pulse rate", "What the pulse rate rises to", 0, 1, 0.2,
                         flags));
  /**
   * TandemBat:alpha:
   *
   * By what the loudness falls when a bat stays at a better place.
   */
  g_object_class_install_property (
    object_class, PROP_ALPHA,
    g_param_spec_double ("alpha", "Alpha", "By what the loudness falls", 0, 1, 0.9, flags));
  /**
   * TandemBat:gamma:
   *
   * How fast the pulse rate rises.
   */
  g_object_class_install_property (
    object_class, PROP_GAMMA,
    g_param_spec_double ("gamma", "Gamma", "How fast the pulse rate rises", 0, 100, 0.9, flags));
  /**
   * TandemBat:walk:
   *
   * How far a walk around the best place leads at a loudness of 1, as a part of each range.
   */
  g_object_class_install_property (
    object_class, PROP_WALK,
    g_param_spec_double ("walk", "Walk", "How far a walk leads at a loudness of 1", 0, 1, 0.05,
                         flags));
}

static void
tandem_bat_init (TandemBat *self)
{
}
