/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#define TEXT "rate=log(1e-5,0.1); units=integer(8,512)\n" \
             "# which one\n" \
             "kernel={linear,rbf,poly}; gamma = log(1e-4, 10) if kernel=rbf|poly\n" \
             "degree=integer(2,5) if kernel=poly; bias=real(-1,1) if degree=3|4\n"

static TandemSearchSpace *
make (void)
{
  g_autoptr (GError) error = NULL;
  TandemSearchSpace *space = tandem_search_space_new_from_text (TEXT, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (tandem_search_space_get_n_parameters (space), ==, 6);
  return space;
}

static void
test_text (void)
{
  g_autoptr (TandemSearchSpace) space = make ();

  g_assert_cmpint (tandem_search_space_find (space, "kernel"), ==, 2);
  g_assert_cmpint (tandem_search_space_find (space, "none"), ==, -1);
  g_assert_cmpstr (tandem_search_space_get_name (space, 3), ==, "gamma");
  g_assert_cmpuint (tandem_search_space_get_kind (space, 0), ==, TANDEM_PARAMETER_KIND_LOG);
  g_assert_cmpuint (tandem_search_space_get_n_values (space, 0), ==, 0);
  g_assert_cmpuint (tandem_search_space_get_n_values (space, 1), ==, 505);
  g_assert_cmpuint (tandem_search_space_get_n_values (space, 2), ==, 3);
}

/* What is written is read as the same. */
static void
test_json (void)
{
  g_autoptr (TandemSearchSpace) space = make (), again = NULL;
  g_autofree char *json = tandem_search_space_to_json (space), *twice = NULL;
  g_autoptr (GError) error = NULL;

  again = tandem_search_space_new_from_json (json, &error);
  g_assert_no_error (error);
  twice = tandem_search_space_to_json (again);
  g_assert_cmpstr (json, ==, twice);
  g_assert_nonnull (strstr (json, "\"when\": {\"kernel\": [\"rbf\", \"poly\"]}"));
  g_assert_nonnull (strstr (json, "\"low\": 1e-05"));
}

static void
test_decode (void)
{
  g_autoptr (TandemSearchSpace) space = make ();
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  double corner[] = { 0, 0, 0, 0, 0, 0 }, other[] = { 1, 1, 1, 1, 0.4, 0.5 };
  g_autoptr (TandemParameterSet) low = tandem_parameter_set_new_from_point (space, corner);
  g_autoptr (TandemParameterSet) high = tandem_parameter_set_new_from_point (space, other);
  guint counts[3] = { 0 }, i, k;

  g_assert_cmpfloat (tandem_parameter_set_get_number (low, 0), ==, 1e-5);
  g_assert_cmpfloat (tandem_parameter_set_get_number (low, 1), ==, 8);
  g_assert_cmpstr (tandem_parameter_set_get_text (low, 2), ==, "linear");
  for (i = 3; i < 6; i++)
    g_assert_false (tandem_parameter_set_has (low, i));
  g_assert_true (isnan (tandem_parameter_set_get_number (low, 3)));
  g_assert_cmpfloat (tandem_parameter_set_get_number (high, 0), ==, 0.1);
  g_assert_cmpfloat (tandem_parameter_set_get_number (high, 1), ==, 512);
  g_assert_cmpstr (tandem_parameter_set_get_text (high, 2), ==, "poly");
  g_assert_cmpfloat (tandem_parameter_set_get_number (high, 4), ==, 3);
  g_assert_cmpfloat (tandem_parameter_set_get_number (high, 5), ==, 0);

  for (i = 0; i < 3000; i++) {
    g_autoptr (TandemParameterSet) set = NULL, back = NULL, parsed = NULL;
    g_autofree char *json = NULL;
    double point[6], there[6];

    for (k = 0; k < 6; k++)
      point[k] = g_rand_double (random);
    set = tandem_parameter_set_new_from_point (space, point);
    counts[(guint) tandem_parameter_set_get_number (set, 2)]++;
    /* The logarithm is even. */
    g_assert_cmpfloat_with_epsilon (log (tandem_parameter_set_get_number (set, 0)),
                                    log (1e-5) + point[0] * log (1e4), 1e-12);
    tandem_parameter_set_to_point (set, there);
    g_assert_cmpfloat_with_epsilon (there[0], point[0], 1e-12);
    back = tandem_parameter_set_new_from_point (space, there);
    for (k = 1; k < 5; k++)
      if (k != 3 && tandem_parameter_set_has (set, k))
        g_assert_cmpfloat (tandem_parameter_set_get_number (set, k), ==,
                           tandem_parameter_set_get_number (back, k));
    json = tandem_parameter_set_to_json (set);
    parsed = tandem_parameter_set_new_from_json (space, json, NULL);
    g_assert_true (tandem_parameter_set_equal (set, parsed));
  }
  for (k = 0; k < 3; k++) {
    g_assert_cmpuint (counts[k], >, 900);
    g_assert_cmpuint (counts[k], <, 1100);
  }
}

static void
test_bad_text (void)
{
  static const struct { const char *text, *error; } cases[] = {
    { "", "there is no parameter" },
    { "\n\n a", "line 3: \"a\" is not NAME=RANGE" },
    { "a=real(0,1)\nb=real(1,0)", "line 2: b: from 1 to 0 is no range" },
    { "a=real(0)", "line 1: a: \"0\" are not two numbers" },
    { "a=real(0,x)", "line 1: a: \"0,x\" are not two numbers" },
    { "a=real(nan,1)", "line 1: a: from nan to 1 is no range" },
    { "a=real(0,inf)", "line 1: a: from 0 to inf is no range" },
    { "a=log(0,1)", "line 1: a: a logarithmic range begins above 0, not at 0" },
    { "a=integer(0.5,2)", "line 1: a: 0.5 and 2 are to be whole numbers up to 2^53" },
    { "a=integer(0,1e300)", "line 1: a: 0 and 1e+300 are to be whole numbers up to 2^53" },
    { "a=even(0,1)", "line 1: a: \"even(0,1)\" is not real(LOW,HIGH), log(LOW,HIGH), "
                     "integer(LOW,HIGH) or {A,B,...}" },
    { "a={x,x}", "line 1: a: has \"x\" twice" },
    { "a={x,}", "line 1: a: a value is to be 1 to 255 bytes of UTF-8" },
    { "1a={x}", "line 1: \"1a\" is no name; one begins with a letter and has 1 to 64 bytes" },
    { "a b={x}", "line 1: \"a b\" is no name; letters, digits, '-', '_' and '.' make one" },
    { "a={x};a={y}", "line 1: there are two parameters called \"a\"" },
    { "a={x}\nb=real(0,1) if a=z", "line 2: b: \"a\" is never \"z\"" },
    { "b=real(0,1) if a=z", "line 1: b: no parameter is called \"a\"" },
    { "b=real(0,1) if b=z", "line 1: b: depends on \"b\", which is to come before it" },
    { "a=real(0,1);b=real(0,1) if a=1", "line 1: b: depends on \"a\", which is neither whole nor "
                                        "categorical" },
    { "a={x};b=real(0,1) if a", "line 1: b: \"a\" is not PARAMETER=VALUE|VALUE..." },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (tandem_search_space_new_from_text (cases[i].text, &error));
    g_assert_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE);
    g_assert_cmpstr (error->message, ==, cases[i].error);
  }
}

static void
test_bad_json (void)
{
  static const struct { const char *text, *error; } cases[] = {
    { "{\n\"parameters\": [\n,]}", ":3:" },
    { "{}", "a search space has one member, the array \"parameters\"" },
    { "{\"parameters\": []}", "parameters: there is none" },
    { "{\"parameters\": [3]}", "parameters[0]: is no object" },
    { "{\"parameters\": [{\"type\": \"real\"}]}", "parameters[0].name: is missing" },
    { "{\"parameters\": [{\"name\": \"a\", \"type\": 3}]}", "parameters[0].type: is no text" },
    { "{\"parameters\": [{\"name\": \"a\", \"type\": \"b\"}]}",
      "parameters[0].type: \"b\" is not real, log, integer or categorical" },
    { "{\"parameters\": [{\"name\": \"a\", \"type\": \"real\", \"low\": 0, \"high\": \"1\"}]}",
      "parameters[0].high: is no number" },
    { "{\"parameters\": [{\"name\": \"a\", \"type\": \"real\", \"low\": 0, \"high\": 0}]}",
      "parameters[0]: a: from 0 to 0 is no range" },
    { "{\"parameters\": [{\"name\": \"a\", \"type\": \"real\", \"lower\": 0}]}",
      "parameters[0].lower: there is no such member" },
    { "{\"parameters\": [{\"name\": \"a\", \"type\": \"categorical\", \"values\": [true]}]}",
      "parameters[0].values: element 0 is neither text nor a whole number" },
    { "{\"parameters\": [{\"name\": \"a\", \"type\": \"categorical\", \"values\": [\"x\"]},"
      "{\"name\": \"b\", \"type\": \"real\", \"low\": 0, \"high\": 1, "
      "\"when\": {\"a\": [\"y\"]}}]}",
      "parameters[1].when: b: \"a\" is never \"y\"" },
    { "{\"parameters\": [{\"name\": \"b\", \"type\": \"real\", \"low\": 0, \"high\": 1, "
      "\"when\": []}]}",
      "parameters[0].when: is no object of one member" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (tandem_search_space_new_from_json (cases[i].text, &error));
    g_assert_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE);
    if (strstr (error->message, cases[i].error) == NULL)
      g_error ("\"%s\" has no \"%s\"", error->message, cases[i].error);
  }
}

static void
test_bad_values (void)
{
  g_autoptr (TandemSearchSpace) space = make ();
  static const char *const cases[] = {
    "", "[]", "{}",
    "{\"rate\": 1, \"units\": 8, \"kernel\": \"linear\"}",
    "{\"rate\": 0.1, \"units\": 8.5, \"kernel\": \"linear\"}",
    "{\"rate\": 0.1, \"units\": 8, \"kernel\": \"sigmoid\"}",
    "{\"rate\": 0.1, \"units\": 8, \"kernel\": \"rbf\"}",
    "{\"rate\": 0.1, \"units\": 8, \"kernel\": \"linear\", \"gamma\": 1}",
    "{\"rate\": 0.1, \"units\": 8, \"kernel\": \"linear\", \"other\": 1}",
    "{\"rate\": \"0.1\", \"units\": 8, \"kernel\": \"linear\"}",
  };
  g_autoptr (TandemParameterSet) good = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (tandem_parameter_set_new_from_json (space, cases[i], &error));
    g_assert_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_CANDIDATE);
  }
  good = tandem_parameter_set_new_from_json (
    space, "{\"rate\": 0.1, \"units\": 8, \"kernel\": \"rbf\", \"gamma\": 1}", NULL);
  g_assert_nonnull (good);
}

static void
test_file (void)
{
  g_autofree char *folder = g_dir_make_tmp ("tandem-space-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "a.space", NULL);
  g_autoptr (TandemSearchSpace) space = make (), from_json = NULL, from_text = NULL;
  g_autofree char *json = tandem_search_space_to_json (space);
  g_autoptr (GError) error = NULL;

  g_assert_null (tandem_search_space_new_from_file (path, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (path, TEXT, -1, NULL));
  from_text = tandem_search_space_new_from_file (path, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_set_contents (path, json, -1, NULL));
  from_json = tandem_search_space_new_from_file (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tandem_search_space_get_n_parameters (from_json), ==, 6);
  g_assert_true (g_file_set_contents (path, "a=real(0,1)\nb=", -1, NULL));
  g_assert_null (tandem_search_space_new_from_file (path, &error));
  g_assert_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE);
  g_assert_true (g_str_has_prefix (error->message, path));
  g_assert_nonnull (strstr (error->message, ": line 2: b: "));
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (path, "a\0b", 3, NULL));
  g_assert_null (tandem_search_space_new_from_file (path, &error));
  g_assert_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE);
  g_remove (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/evolve/space/text", test_text);
  g_test_add_func ("/evolve/space/json", test_json);
  g_test_add_func ("/evolve/space/decode", test_decode);
  g_test_add_func ("/evolve/space/bad-text", test_bad_text);
  g_test_add_func ("/evolve/space/bad-json", test_bad_json);
  g_test_add_func ("/evolve/space/bad-values", test_bad_values);
  g_test_add_func ("/evolve/space/file", test_file);
  return g_test_run ();
}
