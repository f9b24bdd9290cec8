/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <cairo.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "tandem-test-model.h"

/* Keeps the pictures in the folder that this names, to be looked at. */
#define KEEP "TANDEM_TEST_PICTURES"

typedef struct
{
  char *folder;
  char *path;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer name)
{
  const char *keep = g_getenv (KEEP);
  g_autofree char *file = g_strdup_printf ("%s.svg", (const char *) name);

  fixture->folder = tandem_test_make_folder ();
  fixture->path = g_build_filename (keep != NULL ? keep : fixture->folder, file, NULL);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_free (fixture->path);
  tandem_test_remove_folder (fixture->folder);
}

/* Returns the picture, which is well-formed. */
static char *
draw (Fixture *fixture, const TandemLearningCurve *curve)
{
  static const GMarkupParser parser = { 0 };
  g_autoptr (GMarkupParseContext) context = g_markup_parse_context_new (&parser, 0, NULL, NULL);
  g_autoptr (GError) error = NULL;
  char *text;

  tandem_learning_curve_write (curve, fixture->path, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (fixture->path, &text, NULL, NULL));
  g_markup_parse_context_parse (context, text, -1, &error);
  g_assert_no_error (error);
  g_assert_true (g_markup_parse_context_end_parse (context, NULL));
  g_assert_nonnull (strstr (text, "<svg"));
  /* Coordinates, never a number that is none. */
  g_assert_null (strstr (text, " nan"));
  g_assert_null (strstr (text, " inf"));
  g_assert_null (strstr (text, "-nan"));
  return text;
}

static void
fill (double *losses, gsize n, GRand *random)
{
  gsize i;

  for (i = 0; i < n; i++)
    losses[i] = 0.2 + 0.5 * exp (-4.0 * i / n) * g_rand_double_range (random, 0.6, 1.4) +
                g_rand_double_range (random, -0.06, 0.06);
}

static void
test_usual (Fixture *fixture, gconstpointer data)
{
  enum { STEPS = 2340, EVALUATIONS = 12 };
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  g_autofree double *losses = g_new (double, STEPS);
  guint64 at[EVALUATIONS];
  double evaluated[EVALUATIONS], accuracies[EVALUATIONS];
  TandemLearningCurve curve = { "TinyBERT on IMDB", STEPS, 0, losses, EVALUATIONS, at, evaluated,
                                accuracies };
  g_autofree char *text = NULL;
  guint i;

  fill (losses, STEPS, random);
  losses[7] = 40;
  losses[8] = NAN;
  for (i = 0; i < EVALUATIONS; i++) {
    at[i] = (i + 1) * STEPS / EVALUATIONS;
    evaluated[i] = 0.32 + 0.35 * exp (-0.5 * i) + (i > 7 ? 0.01 * (i - 7) : 0);
    accuracies[i] = 0.887 - 0.2 * exp (-0.55 * i) - (i > 8 ? 0.002 * (i - 8) : 0);
  }
  text = draw (fixture, &curve);
  /* Small enough to be sent around. */
  g_assert_cmpuint (strlen (text), <, 400000);
}

static void
test_many_steps (Fixture *fixture, gconstpointer data)
{
  enum { STEPS = 200000 };
  g_autoptr (GRand) random = g_rand_new_with_seed (2);
  g_autofree double *losses = g_new (double, STEPS);
  TandemLearningCurve curve = { "\xc3\x84\xe2\x80\xa6 <&>", STEPS, 1000, losses };
  g_autofree char *text = NULL;

  fill (losses, STEPS, random);
  text = draw (fixture, &curve);
  g_assert_cmpuint (strlen (text), <, 400000);
}

/* One point, equal ones, few ones, or evaluations alone. */
static void
test_few (Fixture *fixture, gconstpointer data)
{
  const double losses[] = { 0.5, 0.5, 0.5 }, accuracies[] = { 1.0 }, zeros[] = { 0, 0 };
  const guint64 at[] = { 1, 2 };
  TandemLearningCurve curve = { NULL, 1, 0, losses };
  guint i;

  for (i = 0; i < 3; i++) {
    g_autofree char *text = NULL;

    curve.n_steps = i + 1;
    text = draw (fixture, &curve);
  }
  curve = (TandemLearningCurve) { "a", 0, 0, NULL, 1, at, NULL, accuracies };
  g_free (draw (fixture, &curve));
  curve = (TandemLearningCurve) { "a", 2, 0, zeros, 2, at, zeros, zeros };
  g_free (draw (fixture, &curve));
}

static void
test_nothing (Fixture *fixture, gconstpointer data)
{
  const double losses[] = { NAN, INFINITY };
  TandemLearningCurve curve = { "a", 2, 0, losses };
  g_autofree char *missing = g_build_filename (fixture->folder, "none", "a.svg", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (tandem_learning_curve_write (&curve, fixture->path, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_false (g_file_test (fixture->path, G_FILE_TEST_EXISTS));
  g_clear_error (&error);

  curve.losses = (const double[]) { 1, 2 };
  g_assert_false (tandem_learning_curve_write (&curve, missing, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
#define ADD(name, f) g_test_add ("/train/curve/" name, Fixture, name, set_up, f, tear_down)
  ADD ("usual", test_usual);
  ADD ("many-steps", test_many_steps);
  ADD ("few", test_few);
  ADD ("nothing", test_nothing);
#undef ADD
  result = g_test_run ();
  /* The fonts that it keeps would count as leaks. */
  cairo_debug_reset_static_data ();
  return result;
}
