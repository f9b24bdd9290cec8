/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemRandomSearch:
 *
 * Points of the cube, each one drawn evenly and without regard to any other (Bergstra and Bengio
 * 2012, Random search for hyper-parameter optimization): what every other algorithm is to be
 * compared with. It waits for no outcome, so that any number of workers is busy.
 */

#include "config.h"

#include "evolve/tandem-random-search.h"

struct _TandemRandomSearch
{
  TandemOptimizer parent;
};

G_DEFINE_FINAL_TYPE (TandemRandomSearch, tandem_random_search, TANDEM_TYPE_OPTIMIZER)

static guint64
tandem_random_search_get_required (TandemOptimizer *optimizer, guint64 number)
{
  return 0;
}

static void
tandem_random_search_propose (TandemOptimizer *optimizer, guint64 number, double *point)
{
  guint n = tandem_search_space_get_n_parameters (tandem_optimizer_get_space (optimizer)), i;

  for (i = 0; i < n; i++)
    point[i] = tandem_optimizer_draw (optimizer);
}

static void
tandem_random_search_class_init (TandemRandomSearchClass *klass)
{
  TandemOptimizerClass *optimizer_class = TANDEM_OPTIMIZER_CLASS (klass);

  optimizer_class->get_required = tandem_random_search_get_required;
  optimizer_class->propose = tandem_random_search_propose;
}

static void
tandem_random_search_init (TandemRandomSearch *self)
{
}
