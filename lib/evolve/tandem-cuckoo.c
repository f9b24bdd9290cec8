/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemCuckoo:
 *
 * Cuckoo search via Lévy flights (Yang and Deb 2009; the steps as in Yang and Deb 2010, Engineering
 * optimisation by cuckoo search). A generation has two parts. First each cuckoo flies from its nest
 * x,
 *
 *     x' = x + step L n (x - x*)                       (equation 1)
 *
 * x* the best nest, n normal, L a Lévy flight of index 3/2 by Mantegna's algorithm,
 *
 *     L = u / |v|^(1/b), u normal with the deviation
 *     (Gamma (1 + b) sin (pi b / 2) / (Gamma ((1 + b) / 2) b 2^((b - 1) / 2)))^(1/b), v normal
 *
 * and takes the nest it finds when that is better. Then a part of each nest is abandoned,
 *
 *     x' = x + r H (x_j - x_k)                         (equation 3)
 *
 * r from 0 to 1, H for each coordinate 1 with the probability [property@Cuckoo:abandon] and else 0,
 * but 1 in one of them at the least, x_j and x_k nests of two others; again the better one is kept.
 * What leaves the cube is reflected into it.
 */

#include "config.h"

#include "evolve/tandem-cuckoo.h"

#include "evolve/tandem-levy-private.h"
#include "evolve/tandem-swarm-private.h"

enum { PROP_0, PROP_ABANDON, PROP_STEP, N_PROPS };

struct _TandemCuckoo
{
  TandemOptimizer parent;

  double settings[N_PROPS];     /* by property */
  TandemSwarm nests;            /* its best ones are the nests */
};

G_DEFINE_FINAL_TYPE (TandemCuckoo, tandem_cuckoo, TANDEM_TYPE_OPTIMIZER)

static void
tandem_cuckoo_start (TandemOptimizer *optimizer)
{
  tandem_swarm_init (&TANDEM_CUCKOO (optimizer)->nests, optimizer, TANDEM_SWARM_TOPOLOGY_GLOBAL);
}

static void
tandem_cuckoo_propose (TandemOptimizer *optimizer, guint64 number, double *point)
{
  TandemCuckoo *self = TANDEM_CUCKOO (optimizer);
  TandemSwarm *nests = &self->nests;
  guint i = number % nests->n;

  if (number < nests->n) {
    tandem_swarm_place (nests, optimizer, i);
    tandem_swarm_get_position (nests, i, point);
  } else if (number / nests->n % 2 == 1) {
    guint best = tandem_swarm_find_leader (nests, optimizer, i);

    tandem_levy_fly (optimizer, self->settings[PROP_STEP], tandem_swarm_get_best (nests, i),
                     tandem_swarm_get_best (nests, best), nests->n_dimensions, point);
  } else {
    guint a = tandem_optimizer_draw_below (optimizer, nests->n);
    guint b = tandem_optimizer_draw_below (optimizer, nests->n);

    tandem_levy_abandon (optimizer, self->settings[PROP_ABANDON], tandem_swarm_get_best (nests, i),
                         tandem_swarm_get_best (nests, a), tandem_swarm_get_best (nests, b),
                         nests->n_dimensions, point);
  }
}

static void
tandem_cuckoo_receive (TandemOptimizer *optimizer, guint64 number, const double *point,
                       const TandemOutcome *outcome)
{
  TandemSwarm *nests = &TANDEM_CUCKOO (optimizer)->nests;

  tandem_swarm_note (nests, optimizer, number % nests->n, point, outcome);
}

static void
tandem_cuckoo_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  g_value_set_double (value, TANDEM_CUCKOO (object)->settings[id]);
}

static void
tandem_cuckoo_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  TANDEM_CUCKOO (object)->settings[id] = g_value_get_double (value);
}

static void
tandem_cuckoo_finalize (GObject *object)
{
  tandem_swarm_clear (&TANDEM_CUCKOO (object)->nests);
  G_OBJECT_CLASS (tandem_cuckoo_parent_class)->finalize (object);
}

static void
tandem_cuckoo_class_init (TandemCuckooClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  TandemOptimizerClass *optimizer_class = TANDEM_OPTIMIZER_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  object_class->finalize = tandem_cuckoo_finalize;
  object_class->get_property = tandem_cuckoo_get_property;
  object_class->set_property = tandem_cuckoo_set_property;
  optimizer_class->start = tandem_cuckoo_start;
  optimizer_class->propose = tandem_cuckoo_propose;
  optimizer_class->receive = tandem_cuckoo_receive;

  /**
   * TandemCuckoo:abandon:
   *
   * Which part of its coordinates a nest loses.
   */
  g_object_class_install_property (
    object_class, PROP_ABANDON,
    g_param_spec_double ("abandon", "Abandon", "Which part of its coordinates a nest loses", 0, 1,
                         0.15, flags));
  /**
   * TandemCuckoo:step:
   *
   * The scale of the flights; the papers' is 0.01, with which few of them lead anywhere.
   */
  g_object_class_install_property (
    object_class, PROP_STEP,
    g_param_spec_double ("step", "Step", "The scale of the flights", 0, 1, 0.2, flags));
}

static void
tandem_cuckoo_init (TandemCuckoo *self)
{
}
