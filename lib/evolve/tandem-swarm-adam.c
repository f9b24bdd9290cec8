/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemSwarmAdam:
 *
 * A particle swarm ([class@ParticleSwarm] with constriction and the von Neumann topology) whose
 * best particles are refined by gradient steps: after every [property@SwarmAdam:period]
 * generations, four of them take [property@SwarmAdam:steps] steps of Adam (Kingma and Ba 2015,
 * algorithm 1) from their best positions,
 *
 *     m = 0.9 m + 0.1 g,  s = 0.999 s + 0.001 g^2
 *     x = x - eta (m / (1 - 0.9^t)) / (sqrt (s / (1 - 0.999^t)) + 1e-12)
 *
 * in the unit cube, eta the mean speed of the particle, so that it becomes less as the swarm comes
 * to rest. With [property@SwarmAdam:gradient] the objective gives the gradient g with each value.
 * Without, it is estimated from two evaluations (simultaneous perturbation, Spall 1992, equation
 * 2.2),
 *
 *     g_d = (f (x + c D) - f (x - c D)) / (2 c D_d)
 *
 * D_d 1 or -1 with the same chance, c half of eta. These evaluations count as all others do, and
 * each point that they visit may become the particle's best one. A step whose evaluations fail is
 * left out. With two objectives the gradient is that of the first.
 */

#include "config.h"

#include "evolve/tandem-swarm-adam.h"

#include <math.h>
#include <string.h>

#include "evolve/tandem-swarm-private.h"

#define CONSTRICTION 0.72984378812835757
#define ACCELERATION (2.05 * CONSTRICTION)
#define VELOCITY_LIMIT 0.5
#define N_CHAINS 4
#define BETA1 0.9
#define BETA2 0.999
#define EPSILON 1e-12
#define LEAST_RATE 1e-9

enum { PROP_0, PROP_PERIOD, PROP_STEPS, PROP_GRADIENT, N_PROPS };

/* A particle that is refined. */
typedef struct
{
  guint particle;
  double rate;
  double power1, power2;        /* of the betas */
  double *x, *m, *s;
  gint8 *direction;
  TandemOutcome forward;        /* at x + c D */
} Chain;

struct _TandemSwarmAdam
{
  TandemOptimizer parent;

  guint period, n_steps;
  gboolean gradient;

  TandemSwarm swarm;
  guint n_chains;
  Chain chains[N_CHAINS];
};

G_DEFINE_FINAL_TYPE (TandemSwarmAdam, tandem_swarm_adam, TANDEM_TYPE_OPTIMIZER)

/* Where a candidate is in the cycle: so many generations, then steps that each evaluate
 * width points of each chain, then the last point of each. */
typedef struct
{
  gboolean refines;
  guint step, chain, which;
  gboolean is_last;             /* the point behind the last step */
} Place;

static Place
find_place (TandemSwarmAdam *self, guint64 number)
{
  guint n = tandem_optimizer_get_population (TANDEM_OPTIMIZER (self)), chains = MIN (N_CHAINS, n);
  guint64 moves = (guint64) n * self->period, width = self->gradient ? 1 : 2;
  guint64 block = chains * width, at = number % (moves + block * self->n_steps + chains);
  Place place = { .refines = at >= moves };

  if (!place.refines)
    return place;
  at -= moves;
  place.step = MIN (at / block, self->n_steps);
  at -= place.step * block;
  place.is_last = place.step == self->n_steps;
  place.chain = at / (place.is_last ? 1 : width);
  place.which = place.is_last ? 0 : at % width;
  return place;
}

static guint64
tandem_swarm_adam_get_required (TandemOptimizer *optimizer, guint64 number)
{
  TandemSwarmAdam *self = TANDEM_SWARM_ADAM (optimizer);
  guint chains = MIN (N_CHAINS, tandem_optimizer_get_population (optimizer));
  guint64 width = self->gradient ? 1 : 2, block = chains * width;
  Place place = find_place (self, number);
  guint64 required =
    TANDEM_OPTIMIZER_CLASS (tandem_swarm_adam_parent_class)->get_required (optimizer, number);

  if (!place.refines || place.step == 0)
    return required;
  /* All points of this chain's step before. */
  if (place.is_last)
    return MAX (required, number - place.chain - block + (place.chain + 1) * width);
  return MAX (required, number - place.which - block + width);
}

static void
tandem_swarm_adam_start (TandemOptimizer *optimizer)
{
  TandemSwarmAdam *self = TANDEM_SWARM_ADAM (optimizer);
  guint i;

  tandem_swarm_init (&self->swarm, optimizer, TANDEM_SWARM_TOPOLOGY_VON_NEUMANN);
  self->n_chains = MIN (N_CHAINS, self->swarm.n);
  for (i = 0; i < self->n_chains; i++) {
    self->chains[i].x = g_new0 (double, self->swarm.n_dimensions);
    self->chains[i].m = g_new0 (double, self->swarm.n_dimensions);
    self->chains[i].s = g_new0 (double, self->swarm.n_dimensions);
    self->chains[i].direction = g_new0 (gint8, self->swarm.n_dimensions);
  }
}

/* The particle with the best past of those that no chain before this one has. */
static guint
choose_particle (TandemSwarmAdam *self, guint n_taken)
{
  TandemSwarm *swarm = &self->swarm;
  guint best = G_MAXUINT, i, k;

  for (i = 0; i < swarm->n; i++) {
    for (k = 0; k < n_taken && self->chains[k].particle != i; k++)
      ;
    if (k < n_taken)
      continue;
    if (best == G_MAXUINT || (swarm->has_best[i] && !swarm->has_best[best]) ||
        (swarm->has_best[i] && swarm->has_best[best] &&
         tandem_optimizer_compare (TANDEM_OPTIMIZER (self), i, &swarm->best[i],
                                   &swarm->best[best]) < 0))
      best = i;
  }
  return best;
}

static void
begin_chain (TandemSwarmAdam *self, guint index)
{
  TandemSwarm *swarm = &self->swarm;
  Chain *chain = &self->chains[index];
  gsize size = swarm->n_dimensions * sizeof (double);
  const double *v;
  guint d;

  chain->particle = choose_particle (self, index);
  v = tandem_swarm_row (swarm, swarm->velocity, chain->particle);
  chain->rate = 0.0;
  for (d = 0; d < swarm->n_dimensions; d++)
    chain->rate += fabs (v[d]) / swarm->n_dimensions;
  chain->rate = MAX (chain->rate, LEAST_RATE);
  chain->power1 = chain->power2 = 1.0;
  memcpy (chain->x, tandem_swarm_get_best (swarm, chain->particle), size);
  memset (chain->m, 0, size);
  memset (chain->s, 0, size);
}

static void
take_step (TandemSwarmAdam *self, Chain *chain, const double *gradient)
{
  guint d;

  chain->power1 *= BETA1;
  chain->power2 *= BETA2;
  for (d = 0; d < self->swarm.n_dimensions; d++) {
    chain->m[d] = BETA1 * chain->m[d] + (1.0 - BETA1) * gradient[d];
    chain->s[d] = BETA2 * chain->s[d] + (1.0 - BETA2) * gradient[d] * gradient[d];
    chain->x[d] -= chain->rate * (chain->m[d] / (1.0 - chain->power1)) /
        (sqrt (chain->s[d] / (1.0 - chain->power2)) + EPSILON);
    chain->x[d] = CLAMP (chain->x[d], 0.0, 1.0);
  }
}

static guint
get_particle (TandemSwarmAdam *self, guint64 number)
{
  guint64 chains = self->n_chains, width = self->gradient ? 1 : 2;
  guint64 moves = (guint64) self->swarm.n * self->period;

  return number % (moves + chains * width * self->n_steps + chains) % self->swarm.n;
}

static void
tandem_swarm_adam_propose (TandemOptimizer *optimizer, guint64 number, double *point)
{
  static const TandemSwarmStep step = { CONSTRICTION, ACCELERATION, ACCELERATION, VELOCITY_LIMIT };
  TandemSwarmAdam *self = TANDEM_SWARM_ADAM (optimizer);
  TandemSwarm *swarm = &self->swarm;
  Place place = find_place (self, number);
  guint d;

  if (place.refines) {
    Chain *chain = &self->chains[place.chain];

    if (place.step == 0 && place.which == 0)
      begin_chain (self, place.chain);
    for (d = 0; d < swarm->n_dimensions; d++) {
      if (!place.is_last && !self->gradient && place.which == 0)
        chain->direction[d] = tandem_optimizer_draw (optimizer) < 0.5 ? -1 : 1;
      point[d] = chain->x[d];
      if (!place.is_last && !self->gradient)
        point[d] += (place.which == 0 ? 0.5 : -0.5) * chain->rate * chain->direction[d];
    }
    return;
  }
  if (number < swarm->n)
    tandem_swarm_place (swarm, optimizer, number % swarm->n);
  else
    tandem_swarm_move (swarm, optimizer, get_particle (self, number), &step);
  tandem_swarm_get_position (swarm, get_particle (self, number), point);
}

/* From the values at x + c D and x - c D, c half of the rate. */
static void
estimate_gradient (TandemSwarmAdam *self, const Chain *chain, double backward, double *gradient)
{
  double slope = (chain->forward.values[0] - backward) / chain->rate;
  guint d;

  for (d = 0; d < self->swarm.n_dimensions; d++)
    gradient[d] = slope / chain->direction[d];
}

static void
tandem_swarm_adam_receive (TandemOptimizer *optimizer, guint64 number, const double *point,
                           const TandemOutcome *outcome)
{
  TandemSwarmAdam *self = TANDEM_SWARM_ADAM (optimizer);
  TandemSwarm *swarm = &self->swarm;
  Place place = find_place (self, number);
  g_autofree double *estimate = NULL;
  Chain *chain = &self->chains[place.chain];

  if (!place.refines) {
    tandem_swarm_note (swarm, optimizer, get_particle (self, number), point, outcome);
    return;
  }
  if (tandem_swarm_note (swarm, optimizer, chain->particle, point, outcome))
    tandem_swarm_set_position (swarm, chain->particle, point);
  if (place.is_last)
    return;
  if (self->gradient) {
    if (outcome->gradient != NULL)
      take_step (self, chain, outcome->gradient);
  } else if (place.which == 0) {
    chain->forward = *outcome;
  } else if (!outcome->failed && !chain->forward.failed) {
    estimate = g_new (double, swarm->n_dimensions);
    estimate_gradient (self, chain, outcome->values[0], estimate);
    take_step (self, chain, estimate);
  }
}

static void
tandem_swarm_adam_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TandemSwarmAdam *self = TANDEM_SWARM_ADAM (object);

  switch (id) {
    case PROP_PERIOD:
      g_value_set_uint (value, self->period);
      break;
    case PROP_STEPS:
      g_value_set_uint (value, self->n_steps);
      break;
    case PROP_GRADIENT:
      g_value_set_boolean (value, self->gradient);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
}

static void
tandem_swarm_adam_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  TandemSwarmAdam *self = TANDEM_SWARM_ADAM (object);

  switch (id) {
    case PROP_PERIOD:
      self->period = g_value_get_uint (value);
      break;
    case PROP_STEPS:
      self->n_steps = g_value_get_uint (value);
      break;
    case PROP_GRADIENT:
      self->gradient = g_value_get_boolean (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
}

static void
tandem_swarm_adam_finalize (GObject *object)
{
  TandemSwarmAdam *self = TANDEM_SWARM_ADAM (object);
  guint i;

  tandem_swarm_clear (&self->swarm);
  for (i = 0; i < self->n_chains; i++) {
    g_free (self->chains[i].x);
    g_free (self->chains[i].m);
    g_free (self->chains[i].s);
    g_free (self->chains[i].direction);
  }
  G_OBJECT_CLASS (tandem_swarm_adam_parent_class)->finalize (object);
}

static void
tandem_swarm_adam_class_init (TandemSwarmAdamClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  TandemOptimizerClass *optimizer_class = TANDEM_OPTIMIZER_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  object_class->finalize = tandem_swarm_adam_finalize;
  object_class->get_property = tandem_swarm_adam_get_property;
  object_class->set_property = tandem_swarm_adam_set_property;
  optimizer_class->start = tandem_swarm_adam_start;
  optimizer_class->get_required = tandem_swarm_adam_get_required;
  optimizer_class->propose = tandem_swarm_adam_propose;
  optimizer_class->receive = tandem_swarm_adam_receive;

  /**
   * TandemSwarmAdam:period:
   *
   * After how many generations the best particles are refined.
   */
  g_object_class_install_property (
    object_class, PROP_PERIOD,
    g_param_spec_uint ("period", "Period", "Generations between refinements", 1, 1000, 5, flags));
  /**
   * TandemSwarmAdam:steps:
   *
   * How many steps a refinement has.
   */
  g_object_class_install_property (
    object_class, PROP_STEPS,
    g_param_spec_uint ("steps", "Steps", "Steps of a refinement", 1, 1000, 5, flags));
  /**
   * TandemSwarmAdam:gradient:
   *
   * Whether outcomes have gradients; otherwise they are estimated.
   */
  g_object_class_install_property (
    object_class, PROP_GRADIENT,
    g_param_spec_boolean ("gradient", "Gradient", "Whether outcomes have gradients", FALSE, flags));
}

static void
tandem_swarm_adam_init (TandemSwarmAdam *self)
{
}
