/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What all optimizers have in common. */

#include "evolve-search.h"

#include <glib/gstdio.h>
#include <string.h>

#define FOR_ALL(algorithm) \
  for (algorithm = tandem_optimizer_get_algorithms (); *algorithm != NULL; algorithm++)

static char *
make_path (void)
{
  g_autofree char *folder = g_dir_make_tmp ("tandem-evolve-XXXXXX", NULL);

  return g_build_filename (folder, "search.json", NULL);
}

static void
remove_path (char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);

  g_remove (path);
  g_rmdir (folder);
  g_free (path);
}

/* One worker, two, five and a hundred find the same. */
static void
test_workers (void)
{
  static const guint numbers[] = { 2, 5, 100 };
  const char *const *algorithm;
  guint i;

  FOR_ALL (algorithm) {
    g_autoptr (TandemSearchSpace) space = evolve_make_space (3);
    g_autoptr (TandemOptimizer) one = evolve_make (*algorithm, space, 7, 300);

    evolve_run (one, evolve_sphere, 1, G_MAXUINT);
    g_assert_cmpuint (tandem_optimizer_get_n_evaluations (one), ==, 300);
    g_assert_cmpuint (tandem_optimizer_get_stop_reason (one), ==, TANDEM_STOP_REASON_BUDGET);
    for (i = 0; i < G_N_ELEMENTS (numbers); i++) {
      g_autoptr (TandemOptimizer) several = evolve_make (*algorithm, space, 7, 300);

      evolve_run (several, evolve_sphere, numbers[i], G_MAXUINT);
      evolve_assert_same (one, several);
    }
  }
}

/* Another seed is another search. */
static void
test_seeds (void)
{
  const char *const *algorithm;

  FOR_ALL (algorithm) {
    g_autoptr (TandemSearchSpace) space = evolve_make_space (3);
    g_autoptr (TandemOptimizer) a = evolve_make (*algorithm, space, 1, 20);
    g_autoptr (TandemOptimizer) b = evolve_make (*algorithm, space, 2, 20);
    g_autoptr (TandemTrial) x = tandem_optimizer_ask (a), y = tandem_optimizer_ask (b);

    g_assert_cmpfloat (tandem_parameter_set_get_number (tandem_trial_get_parameters (x), 0), !=,
                       tandem_parameter_set_get_number (tandem_trial_get_parameters (y), 0));
    g_assert_cmpuint (tandem_trial_get_seed (x), !=, tandem_trial_get_seed (y));
    g_assert_cmpfloat (tandem_trial_get_fidelity (x), ==, 1.0);
  }
}

/* Saved after any number of answers, it goes on to the same. */
static void
test_resume (void)
{
  char *path = make_path ();
  const char *const *algorithm;
  guint n;

  FOR_ALL (algorithm) {
    g_autoptr (TandemSearchSpace) space = evolve_make_space (2);
    g_autoptr (TandemOptimizer) whole = evolve_make (*algorithm, space, 3, 90);

    g_object_set (whole, "population", 8, NULL);
    evolve_run (whole, evolve_sphere, 3, G_MAXUINT);
    for (n = 0; n < 90; n += n < 30 ? 1 : 7) {
      g_autoptr (TandemOptimizer) part = evolve_make (*algorithm, space, 3, 90), rest = NULL;
      g_autoptr (GError) error = NULL;
      guint64 budget;

      g_object_set (part, "population", 8, NULL);
      evolve_run (part, evolve_sphere, 3, n);
      g_assert_true (tandem_optimizer_save (part, path, &error));
      rest = tandem_optimizer_load (path, &error);
      g_assert_no_error (error);
      g_assert_true (G_OBJECT_TYPE (rest) == G_OBJECT_TYPE (part));
      g_object_get (rest, "budget", &budget, NULL);
      g_assert_cmpuint (budget, ==, 90);
      g_assert_cmpuint (tandem_optimizer_get_n_running (rest), ==, 0);
      evolve_run (rest, evolve_sphere, 5, G_MAXUINT);
      evolve_assert_same (whole, rest);
    }
  }
  remove_path (path);
}

static void
test_bad_states (void)
{
  char *path = make_path ();
  g_autoptr (TandemSearchSpace) space = evolve_make_space (2);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("pso", space, 3, 20);
  static const struct { const char *from, *to; } changes[] = {
    { "\"tandem-search\": 1", "\"tandem-search\": 2" },
    { "TandemParticleSwarm", "TandemOptimizer" },
    { "TandemParticleSwarm", "GObject" },
    { "TandemParticleSwarm", "TandemRandomSearch" },
    { "\"x1\"", "\"x0\"" },
    { "\"seed\": \"3\"", "\"seed\": \"4\"" },
    { "\"seed\": \"3\"", "\"seed\": \"-4\"" },
    { "\"seed\": \"3\"", "\"seed\": 3" },
    { "\"window\": \"8\"", "\"window\": \"0\"" },
    { "\"number\": 5", "\"number\": 4" },
    { "\"number\": 5", "\"number\": 500" },
    { "\"outcomes\": [", "\"outcomes\": 3, \"other\": [" },
    { "\"outcomes\": [", "\"outcomes\": [7, " },
    { "\"violation\": 0", "\"violation\": \"0\"" },
    { "\"candidates\"", "\"candidate\"" },
    { "\"seconds\"", "\"second\"" },
    { "]}\n", "" },
  };
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  guint i;

  evolve_run (optimizer, evolve_sphere, 1, G_MAXUINT);
  g_assert_true (tandem_optimizer_save (optimizer, path, NULL));
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  for (i = 0; i < G_N_ELEMENTS (changes); i++) {
    char *at = g_strrstr (text, changes[i].from);
    g_autoptr (GString) changed = g_string_new_len (text, at - text);

    g_assert_nonnull (at);
    g_string_append_printf (changed, "%s%s", changes[i].to, at + strlen (changes[i].from));
    g_assert_true (g_file_set_contents (path, changed->str, -1, NULL));
    g_assert_null (tandem_optimizer_load (path, &error));
    g_assert_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_STATE);
    g_assert_true (g_str_has_prefix (error->message, path));
    g_clear_error (&error);
  }
  g_remove (path);
  g_assert_null (tandem_optimizer_load (path, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  remove_path (path);
}

/* Nine candidates are all there are: each is evaluated once, and then it is over. */
static void
test_duplicates (void)
{
  const char *const *algorithm;

  FOR_ALL (algorithm) {
    g_autoptr (TandemSearchSpace) space =
      tandem_search_space_new_from_text ("a=integer(-1,1); b={x,y,z}", NULL);
    g_autoptr (TandemOptimizer) optimizer = evolve_make (*algorithm, space, 1, 0);
    g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    TandemTrial *trial;
    guint64 i;

    while ((trial = tandem_optimizer_ask (optimizer)) != NULL) {
      char *json = tandem_parameter_set_to_json (tandem_trial_get_parameters (trial));

      g_assert_true (g_hash_table_add (seen, json));
      evolve_tell (optimizer, trial, evolve_sphere);
      tandem_trial_unref (trial);
    }
    g_assert_cmpuint (tandem_optimizer_get_stop_reason (optimizer), ==,
                      TANDEM_STOP_REASON_EXHAUSTED);
    g_assert_true (tandem_optimizer_is_finished (optimizer));
    g_assert_cmpuint (tandem_optimizer_get_n_evaluations (optimizer), <=, 9);
    g_assert_cmpuint (tandem_optimizer_get_n_evaluations (optimizer), ==,
                      g_hash_table_size (seen));
    for (i = 0; i < tandem_optimizer_get_n_proposed (optimizer); i++) {
      TandemOutcome outcome;

      g_assert_true (tandem_optimizer_get_outcome (optimizer, i, &outcome, NULL));
      g_assert_false (outcome.failed);
    }
  }
}

/* A tenth of all fails; the search goes on and finds the same with any number of workers. */
static void
sphere_with_holes (TandemParameterSet *parameters, double fidelity, TandemOutcome *outcome)
{
  evolve_sphere (parameters, fidelity, outcome);
  if (fmod (fabs (outcome->values[0]) * 1e3, 10) < 1)
    outcome->values[0] = NAN;
}

static void
test_failures (void)
{
  const char *const *algorithm;

  FOR_ALL (algorithm) {
    g_autoptr (TandemSearchSpace) space = evolve_make_space (3);
    g_autoptr (TandemOptimizer) one = evolve_make (*algorithm, space, 5, 400);
    g_autoptr (TandemOptimizer) four = evolve_make (*algorithm, space, 5, 400);
    TandemOutcome outcome;
    const char *reason;
    guint64 n = 0, i;

    evolve_run (one, sphere_with_holes, 1, G_MAXUINT);
    evolve_run (four, sphere_with_holes, 4, G_MAXUINT);
    evolve_assert_same (one, four);
    for (i = 0; i < tandem_optimizer_get_n_proposed (one); i++) {
      g_assert_true (tandem_optimizer_get_outcome (one, i, &outcome, &reason));
      g_assert_true (outcome.failed == (reason != NULL));
      n += outcome.failed;
    }
    /* One that equals a failed one failed, too. */
    g_assert_cmpuint (tandem_optimizer_get_n_failures (one), <=, n);
    g_assert_cmpuint (tandem_optimizer_get_n_failures (one) +
                      tandem_optimizer_get_n_duplicates (one), >=, n);
    g_assert_cmpuint (n, >, 10);
    g_assert_true (tandem_optimizer_get_best (one, &i, &outcome));
    g_assert_false (outcome.failed);
    g_assert_cmpfloat (outcome.values[0], <, 20);
  }
}

/* All failed: there is no best one, and no algorithm stumbles. */
static void
test_all_fail (void)
{
  const char *const *algorithm;

  FOR_ALL (algorithm) {
    g_autoptr (TandemSearchSpace) space = evolve_make_space (3);
    g_autoptr (TandemOptimizer) optimizer = evolve_make (*algorithm, space, 5, 200);
    TandemTrial *trial;

    while ((trial = tandem_optimizer_ask (optimizer)) != NULL) {
      g_assert_true (tandem_optimizer_tell_failure (optimizer, trial, "no", NULL));
      tandem_trial_unref (trial);
    }
    g_assert_true (tandem_optimizer_is_finished (optimizer));
    g_assert_false (tandem_optimizer_get_best (optimizer, NULL, NULL));
    g_assert_cmpuint (tandem_optimizer_get_n_failures (optimizer), ==, 200);
  }
}

static void
test_told_twice (void)
{
  g_autoptr (TandemSearchSpace) space = evolve_make_space (1);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("random", space, 1, 10);
  g_autoptr (TandemTrial) trial = tandem_optimizer_ask (optimizer);
  g_autoptr (GError) error = NULL;
  TandemOutcome outcome = { .values = { 1 } };

  evolve_tell (optimizer, trial, evolve_sphere);
  g_assert_false (tandem_optimizer_tell (optimizer, trial, &outcome, &error));
  g_assert_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_TRIAL);
  g_clear_error (&error);
  g_assert_false (tandem_optimizer_tell_failure (optimizer, trial, "no", &error));
  g_assert_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_TRIAL);
  g_clear_error (&error);
  g_assert_null (tandem_optimizer_new ("hill", space, &error));
  g_assert_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_ALGORITHM);
}

/* It ends where it is good enough, and the best one is the same whoever came later. */
static void
test_target (void)
{
  g_autoptr (TandemSearchSpace) space = evolve_make_space (2);
  g_autoptr (TandemOptimizer) one = evolve_make ("pso", space, 1, 5000);
  g_autoptr (TandemOptimizer) six = evolve_make ("pso", space, 1, 5000);
  guint64 number, other;
  TandemOutcome outcome;

  g_object_set (one, "target", 0.5, NULL);
  g_object_set (six, "target", 0.5, NULL);
  evolve_run (one, evolve_sphere, 1, G_MAXUINT);
  evolve_run (six, evolve_sphere, 6, G_MAXUINT);
  g_assert_cmpuint (tandem_optimizer_get_stop_reason (one), ==, TANDEM_STOP_REASON_TARGET);
  g_assert_cmpuint (tandem_optimizer_get_n_evaluations (one), <, 5000);
  g_assert_true (tandem_optimizer_get_best (one, &number, &outcome));
  g_assert_true (tandem_optimizer_get_best (six, &other, NULL));
  g_assert_cmpuint (number, ==, other);
  g_assert_cmpuint (number + 1, ==, tandem_optimizer_get_n_proposed (one));
  g_assert_cmpfloat (outcome.values[0], <=, 0.5);
}

/* A search that is over goes on when it may. */
static void
test_more_budget (void)
{
  g_autoptr (TandemSearchSpace) space = evolve_make_space (2);
  g_autoptr (TandemOptimizer) parts = evolve_make ("ga", space, 1, 50);
  g_autoptr (TandemOptimizer) whole = evolve_make ("ga", space, 1, 200);

  evolve_run (parts, evolve_sphere, 2, G_MAXUINT);
  g_object_set (parts, "budget", (guint64) 200, NULL);
  evolve_run (parts, evolve_sphere, 2, G_MAXUINT);
  evolve_run (whole, evolve_sphere, 1, G_MAXUINT);
  evolve_assert_same (parts, whole);
}

/* Four workers always have something to do, but for the ends of generations. */
static void
test_busy (void)
{
  const char *const *algorithm;

  FOR_ALL (algorithm) {
    g_autoptr (TandemSearchSpace) space = evolve_make_space (3);
    g_autoptr (TandemOptimizer) optimizer = evolve_make (*algorithm, space, 5, 200);
    g_autoptr (GPtrArray) running =
      g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_trial_unref);
    TandemTrial *trial;

    if (g_str_equal (*algorithm, "ga") || g_str_equal (*algorithm, "pso-ga"))
      continue;
    g_test_message ("%s", *algorithm);
    while (tandem_optimizer_get_n_evaluations (optimizer) < 200) {
      while (running->len < 4 && (trial = tandem_optimizer_ask (optimizer)) != NULL)
        g_ptr_array_add (running, trial);
      if (tandem_optimizer_get_n_evaluations (optimizer) < 200)
        g_assert_cmpuint (running->len, ==, 4);
      evolve_tell (optimizer, g_ptr_array_index (running, 0), evolve_sphere);
      g_ptr_array_remove_index (running, 0);
    }
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/evolve/search/workers", test_workers);
  g_test_add_func ("/evolve/search/seeds", test_seeds);
  g_test_add_func ("/evolve/search/resume", test_resume);
  g_test_add_func ("/evolve/search/bad-states", test_bad_states);
  g_test_add_func ("/evolve/search/duplicates", test_duplicates);
  g_test_add_func ("/evolve/search/failures", test_failures);
  g_test_add_func ("/evolve/search/all-fail", test_all_fail);
  g_test_add_func ("/evolve/search/told-twice", test_told_twice);
  g_test_add_func ("/evolve/search/target", test_target);
  g_test_add_func ("/evolve/search/more-budget", test_more_budget);
  g_test_add_func ("/evolve/search/busy", test_busy);
  return g_test_run ();
}
