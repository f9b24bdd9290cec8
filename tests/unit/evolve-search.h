/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Searches for tests: functions, and workers that answer in an order of their own. */
#pragma once

#include "tandem.h"

#include <math.h>

G_BEGIN_DECLS

typedef void (*EvolveFunction) (TandemParameterSet *parameters, double fidelity,
                                TandemOutcome *outcome);

/* Reals called x0, x1, ... from -5 to 10: 0 is not in the middle. */
static inline TandemSearchSpace *
evolve_make_space (guint n)
{
  TandemSearchSpace *space = tandem_search_space_new ();
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; i < n; i++) {
    g_autofree char *name = g_strdup_printf ("x%u", i);

    tandem_search_space_add_number (space, name, TANDEM_PARAMETER_KIND_REAL, -5, 10, &error);
    g_assert_no_error (error);
  }
  return space;
}

static inline TandemOptimizer *
evolve_make (const char *algorithm, TandemSearchSpace *space, guint64 seed, guint64 budget)
{
  g_autoptr (GError) error = NULL;
  TandemOptimizer *optimizer = tandem_optimizer_new (algorithm, space, &error);

  g_assert_no_error (error);
  g_object_set (optimizer, "seed", seed, "budget", budget, NULL);
  return optimizer;
}

static inline void
evolve_sphere (TandemParameterSet *parameters, double fidelity, TandemOutcome *outcome)
{
  guint n = tandem_search_space_get_n_parameters (tandem_parameter_set_get_space (parameters)), i;

  outcome->values[0] = 0;
  for (i = 0; i < n; i++)
    outcome->values[0] += pow (tandem_parameter_set_get_number (parameters, i), 2);
}

static inline void
evolve_tell (TandemOptimizer *optimizer, TandemTrial *trial, EvolveFunction function)
{
  g_autoptr (GError) error = NULL;
  TandemOutcome outcome = { 0 };

  function (tandem_trial_get_parameters (trial), tandem_trial_get_fidelity (trial), &outcome);
  g_assert_true (tandem_optimizer_tell (optimizer, trial, &outcome, &error));
  g_assert_no_error (error);
}

/* So many workers take trials, and one of them, chosen at random, answers first. Ends early after
 * so many answers. */
static inline void
evolve_run (TandemOptimizer *optimizer, EvolveFunction function, guint n_workers, guint n_answers)
{
  g_autoptr (GPtrArray) running =
    g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_trial_unref);
  g_autoptr (GRand) random = g_rand_new_with_seed (n_workers);

  while (n_answers > 0) {
    TandemTrial *trial = NULL;
    guint which;

    while (running->len < n_workers && (trial = tandem_optimizer_ask (optimizer)) != NULL)
      g_ptr_array_add (running, trial);
    if (running->len == 0)
      break;
    g_assert_cmpuint (tandem_optimizer_get_n_running (optimizer), ==, running->len);
    which = g_rand_int_range (random, 0, running->len);
    evolve_tell (optimizer, g_ptr_array_index (running, which), function);
    g_ptr_array_remove_index_fast (running, which);
    n_answers--;
  }
  if (n_answers > 0)
    g_assert_true (tandem_optimizer_is_finished (optimizer));
}

/* All that two searches proposed and found is the same, to the bit. */
static inline void
evolve_assert_same (TandemOptimizer *a, TandemOptimizer *b)
{
  const double *left, *right;
  gsize n_left, n_right;
  guint64 i;

  g_assert_cmpuint (tandem_optimizer_get_n_proposed (a), ==, tandem_optimizer_get_n_proposed (b));
  for (i = 0; i < tandem_optimizer_get_n_proposed (a); i++) {
    g_autoptr (TandemParameterSet) x = tandem_optimizer_get_parameters (a, i);
    g_autoptr (TandemParameterSet) y = tandem_optimizer_get_parameters (b, i);
    g_autofree char *x_text = tandem_parameter_set_to_json (x);
    g_autofree char *y_text = tandem_parameter_set_to_json (y);

    g_assert_cmpstr (x_text, ==, y_text);
  }
  left = tandem_optimizer_get_history (a, &n_left);
  right = tandem_optimizer_get_history (b, &n_right);
  g_assert_cmpmem (left, n_left * sizeof *left, right, n_right * sizeof *right);
}

G_END_DECLS
