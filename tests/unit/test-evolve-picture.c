/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "evolve-search.h"

#include <cairo.h>
#include <glib/gstdio.h>
#include <string.h>

/* Keeps the pictures in the folder that this names, to be looked at. */
#define KEEP "TANDEM_TEST_PICTURES"

typedef struct
{
  char *folder, *path;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer name)
{
  const char *keep = g_getenv (KEEP);
  g_autofree char *file = g_strdup_printf ("%s.svg", (const char *) name);

  fixture->folder = g_dir_make_tmp ("tandem-picture-XXXXXX", NULL);
  fixture->path = g_build_filename (keep != NULL ? keep : fixture->folder, file, NULL);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  if (g_str_has_prefix (fixture->path, fixture->folder))
    g_remove (fixture->path);
  g_rmdir (fixture->folder);
  g_free (fixture->folder);
  g_free (fixture->path);
}

/* Returns the picture without its spaces, which is well-formed. */
static char *
read_picture (Fixture *fixture)
{
  static const GMarkupParser parser = { 0 };
  g_autoptr (GMarkupParseContext) context = g_markup_parse_context_new (&parser, 0, NULL, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_auto (GStrv) words = NULL;

  g_assert_true (g_file_get_contents (fixture->path, &text, NULL, NULL));
  g_markup_parse_context_parse (context, text, -1, &error);
  g_assert_no_error (error);
  g_assert_true (g_markup_parse_context_end_parse (context, NULL));
  g_assert_nonnull (strstr (text, "<svg"));
  g_assert_null (strstr (text, " nan"));
  g_assert_null (strstr (text, " inf"));
  g_assert_null (strstr (text, "-nan"));
  g_assert_cmpuint (strlen (text), <, 400000);
  words = g_strsplit (text, " ", -1);
  return g_strjoinv ("", words);
}

static guint
count (const char *text, const char *mark)
{
  guint n = 0;

  for (text = strstr (text, mark); text != NULL; text = strstr (text + 1, mark))
    n++;
  return n;
}

/* The colours of series, as cairo writes them. */
#define FIRST "rgb(11%,37%,66%)"
#define SECOND "rgb(84%,37%,5%)"
#define THIRD "rgb(11%,50%,31%)"

static void
test_convergence (Fixture *fixture, gconstpointer data)
{
  enum { RUNS = 7 };
  static const char *const names[] = { "pso", "random" };
  g_autoptr (TandemSearchSpace) space = evolve_make_space (4);
  g_autoptr (GPtrArray) kept = g_ptr_array_new_with_free_func (g_object_unref);
  TandemConvergenceSeries series[2];
  const double *runs[2][RUNS];
  gsize lengths[2][RUNS];
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  guint i, k;

  for (i = 0; i < 2; i++) {
    for (k = 0; k < RUNS; k++) {
      TandemOptimizer *optimizer = evolve_make (names[i], space, k, k == 3 ? 500 : 2000);

      evolve_run (optimizer, evolve_sphere, 1, G_MAXUINT);
      g_ptr_array_add (kept, optimizer);
      runs[i][k] = tandem_optimizer_get_history (optimizer, &lengths[i][k]);
    }
    series[i] = (TandemConvergenceSeries) { names[i], RUNS, runs[i], lengths[i] };
  }
  g_assert_true (tandem_convergence_write ("A sphere & <more>", series, 2, fixture->path, &error));
  g_assert_no_error (error);
  text = read_picture (fixture);
  /* A band, a line and an entry for each series, and nothing of a third one. */
  g_assert_cmpuint (count (text, FIRST), >=, 3);
  g_assert_cmpuint (count (text, SECOND), >=, 3);
  g_assert_cmpuint (count (text, THIRD), ==, 0);
}

static void
test_convergence_few (Fixture *fixture, gconstpointer data)
{
  const double one[] = { 3 }, none[] = { INFINITY, INFINITY }, late[] = { INFINITY, 2, -1 };
  const double *first[] = { one }, *second[] = { none }, *third[] = { late, none };
  gsize lengths[] = { 1, 2 };
  TandemConvergenceSeries series = { "a", 1, first, lengths };
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  g_assert_true (tandem_convergence_write (NULL, &series, 1, fixture->path, &error));
  g_assert_no_error (error);
  text = read_picture (fixture);
  g_remove (fixture->path);
  lengths[0] = 2;
  series.runs = second;
  g_assert_false (tandem_convergence_write (NULL, &series, 1, fixture->path, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_false (g_file_test (fixture->path, G_FILE_TEST_EXISTS));
  g_clear_error (&error);
  lengths[0] = 3;
  series.runs = third;
  g_assert_true (tandem_convergence_write (NULL, &series, 1, fixture->path, &error));
  g_assert_no_error (error);
}

static void
two_sizes (TandemParameterSet *set, double fidelity, TandemOutcome *outcome)
{
  evolve_sphere (set, fidelity, outcome);
  outcome->values[1] = pow (tandem_parameter_set_get_number (set, 0) - 4, 2);
}

static void
test_front (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemSearchSpace) space = evolve_make_space (2);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("ga", space, 1, 200);
  g_autofree guint64 *front = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  gsize n;

  g_object_set (optimizer, "objectives", 2, NULL);
  g_assert_false (tandem_front_write (optimizer, NULL, "a", "b", fixture->path, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);
  evolve_run (optimizer, two_sizes, 1, G_MAXUINT);
  g_assert_true (tandem_front_write (optimizer, "Accuracy and size", "error", "size",
                                     fixture->path, &error));
  g_assert_no_error (error);
  text = read_picture (fixture);
  front = tandem_optimizer_get_front (optimizer, &n);
  g_assert_cmpuint (n, >, 10);
  g_assert_cmpuint (n, <, 90);
  /* Its line, its dots, and its entry. */
  g_assert_cmpuint (count (text, FIRST), >=, n + 2);
  /* Every candidate. */
  g_assert_cmpuint (count (text, "rgb(70%,73%,77%)"), >=, 200);
}

static void
first_matters (TandemParameterSet *set, double fidelity, TandemOutcome *outcome)
{
  outcome->values[0] = 10 * pow (tandem_parameter_set_get_number (set, 0), 2) +
      2 * pow (tandem_parameter_set_get_number (set, 1), 2);
}

/* The shares of a sum of squares are known: those of ranks are near. */
static void
test_importance (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemSearchSpace) space = evolve_make_space (4);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("random", space, 1, 3000);
  g_autofree double *importance = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  gsize n;

  g_assert_false (tandem_importance_write (optimizer, NULL, fixture->path, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);
  evolve_run (optimizer, first_matters, 1, G_MAXUINT);
  importance = tandem_optimizer_get_importance (optimizer, &n);
  g_assert_cmpuint (n, ==, 4);
  g_assert_cmpfloat (importance[0], >, 0.7);
  g_assert_cmpfloat (importance[1], >, 0.02);
  g_assert_cmpfloat (importance[1], <, 0.2);
  g_assert_cmpfloat (importance[2], <, 0.01);
  g_assert_cmpfloat (importance[3], <, 0.01);
  g_assert_true (tandem_importance_write (optimizer, "What matters", fixture->path, &error));
  g_assert_no_error (error);
  text = read_picture (fixture);
  g_assert_cmpuint (count (text, FIRST), ==, 4);
}

static void
fail_some (TandemParameterSet *set, double fidelity, TandemOutcome *outcome)
{
  double rate = tandem_parameter_set_get_number (set, 0);
  double gamma = tandem_parameter_set_get_number (set, 3);

  outcome->values[0] = log10 (rate) + tandem_parameter_set_get_number (set, 1) * 0.1 +
      (tandem_parameter_set_has (set, 3) ? fabs (log10 (gamma)) : 2) - fidelity;
  /* Some fail. */
  if (outcome->values[0] < -4.6)
    outcome->values[0] = NAN;
}

static char *
draw_parallel (Fixture *fixture, guint64 budget, guint n_rungs, guint *n_lines)
{
  g_autoptr (TandemSearchSpace) space = tandem_search_space_new_from_text (
    "rate = log(1e-5, 0.1); layers = integer(1, 4); kernel = {linear, rbf, poly};"
    "gamma = log(1e-4, 10) if kernel=rbf|poly; dropout = real(0, 0.6); units = integer(8, 512)",
    NULL);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("random", space, 1, budget);
  g_autoptr (GError) error = NULL;
  guint64 number;

  g_object_set (optimizer, "rungs", n_rungs, NULL);
  evolve_run (optimizer, fail_some, 1, G_MAXUINT);
  g_assert_true (tandem_parallel_write (optimizer, "A search", "error", fixture->path, &error));
  g_assert_no_error (error);
  *n_lines = 0;
  for (number = 0; number < tandem_optimizer_get_n_proposed (optimizer); number++) {
    TandemOutcome outcome;

    *n_lines += tandem_optimizer_get_outcome (optimizer, number, &outcome, NULL) &&
        !outcome.failed;
  }
  return read_picture (fixture);
}

static void
test_parallel (Fixture *fixture, gconstpointer data)
{
  guint n_few, n_many, n_stopped, n_all;
  g_autofree char *few = draw_parallel (fixture, 20, 1, &n_few);
  g_autofree char *many = draw_parallel (fixture, 220, 1, &n_many);
  g_autofree char *stopped = NULL, *all = NULL;
  const char *bottom = "482L";

  /* One line for each candidate that did not fail; the best one's colour is its own. */
  g_assert_cmpuint (n_many, >, n_few);
  g_assert_cmpuint (n_many, <, 220);
  g_assert_cmpuint (count (many, "stroke:rgb") - count (few, "stroke:rgb"), ==, n_many - n_few);
  g_assert_cmpuint (count (few, "stroke:" SECOND), ==, 2);
  /* A third of the candidates has no gamma. */
  g_assert_cmpuint (count (many, bottom), >, n_many / 4);
  g_assert_cmpuint (count (many, bottom), <, n_many / 2);
  g_assert_cmpuint (count (many, "rgb(90%,90%,90%)"), ==, 0);

  stopped = draw_parallel (fixture, 220, 3, &n_stopped);
  g_assert_cmpuint (count (stopped, "rgb(90%,90%,90%)"), >, n_stopped / 4);
  /* No more than a thousand. */
  all = draw_parallel (fixture, 3000, 1, &n_all);
  g_assert_cmpuint (n_all, >, 2000);
  g_assert_cmpuint (count (all, "stroke:rgb") - count (few, "stroke:rgb"), ==, 1000 - n_few);
  g_assert_cmpuint (count (all, "stroke:" SECOND), ==, 2);
}

/* One parameter, one candidate; none; and as many parameters as there are weights. */
static void
test_parallel_few (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemSearchSpace) one = evolve_make_space (1), wide = evolve_make_space (50);
  g_autoptr (TandemOptimizer) optimizer = evolve_make ("random", one, 1, 1);
  g_autoptr (TandemOptimizer) wider = evolve_make ("pso", wide, 1, 100);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL, *many = NULL;

  g_assert_false (tandem_parallel_write (optimizer, NULL, "f", fixture->path, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);
  evolve_run (optimizer, evolve_sphere, 1, G_MAXUINT);
  g_assert_true (tandem_parallel_write (optimizer, NULL, "f", fixture->path, &error));
  g_assert_no_error (error);
  text = read_picture (fixture);
  g_assert_cmpuint (count (text, "stroke:" SECOND), ==, 2);
  evolve_run (wider, evolve_sphere, 1, G_MAXUINT);
  g_assert_true (tandem_parallel_write (wider, NULL, "f", fixture->path, &error));
  g_assert_no_error (error);
  many = read_picture (fixture);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
#define ADD(name, f) g_test_add ("/evolve/picture/" name, Fixture, name, set_up, f, tear_down)
  ADD ("convergence", test_convergence);
  ADD ("convergence-few", test_convergence_few);
  ADD ("front", test_front);
  ADD ("importance", test_importance);
  ADD ("parallel", test_parallel);
  ADD ("parallel-few", test_parallel_few);
#undef ADD
  result = g_test_run ();
  /* The fonts that it keeps would count as leaks. */
  cairo_debug_reset_static_data ();
  return result;
}
