/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "tandem.h"

static TandemDataTable *
read_text (const char *name, const char *text, gssize length, GError **error)
{
  g_autofree char *folder = g_dir_make_tmp ("tandem-table-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  TandemDataTable *table;

  g_assert_true (g_file_set_contents (path, text, length, NULL));
  table = tandem_data_table_read (path, NULL, error);
  g_unlink (path);
  g_rmdir (folder);
  return table;
}

static void
test_arff (void)
{
  static const char text[] =
      "% a remark\n"
      "@RELATION 'some data'\r\n"
      "\n"
      "@attribute width real\n"
      "@Attribute 'the height' INTEGER % in cm\n"
      "@attribute\tkind {a, 'b c', \"it's\", '?', d\\x}\n"
      "@attribute 'last one'{no,yes}\n"
      "@DATA\n"
      "1.5, -2e3 , a, no\n"
      "% in between\n"
      "?,?,?,yes\r\n"
      "+0.25,7,'b c',yes\n"
      "1,2,\"it\\'s\",no\n"
      "1,2,'?','no'";
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemDataTable) table = read_text ("x.ARFF", text, -1, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (tandem_data_table_get_n_rows (table), ==, 5);
  g_assert_cmpuint (tandem_data_table_get_n_columns (table), ==, 4);
  g_assert_cmpstr (tandem_data_table_get_name (table, 1), ==, "the height");
  g_assert_cmpint (tandem_data_table_find_column (table, "last one"), ==, 3);
  g_assert_cmpint (tandem_data_table_find_column (table, "Width"), ==, -1);
  g_assert_cmpuint (tandem_data_table_get_n_values (table, 0), ==, 0);
  g_assert_cmpuint (tandem_data_table_get_n_values (table, 2), ==, 5);
  g_assert_cmpstr (tandem_data_table_get_value_name (table, 2, 1), ==, "b c");
  g_assert_cmpfloat (tandem_data_table_get_number (table, 0, 0), ==, 1.5);
  g_assert_cmpfloat (tandem_data_table_get_number (table, 0, 1), ==, -2000.0);
  g_assert_true (isnan (tandem_data_table_get_number (table, 1, 0)));
  g_assert_true (isnan (tandem_data_table_get_number (table, 1, 2)));
  g_assert_cmpfloat (tandem_data_table_get_number (table, 1, 3), ==, 1.0);
  g_assert_cmpfloat (tandem_data_table_get_number (table, 2, 2), ==, 1.0);
  g_assert_cmpfloat (tandem_data_table_get_number (table, 3, 2), ==, 2.0);
  /* In quotes it is a value like others. */
  g_assert_cmpfloat (tandem_data_table_get_number (table, 4, 2), ==, 3.0);
}

static void
test_csv (void)
{
  static const char text[] =
      "\xef\xbb\xbfsize,\"colour, or so\",class\r\n"
      "1,red,\"a \"\"b\"\"\"\n"
      "\n"
      " 2.5 ,,c\n"
      "?,\"blue\",c\n";
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemDataTable) table = read_text ("x.csv", text, -1, &error);
  g_autoptr (TandemDataTable) bare = NULL, names = NULL;

  g_assert_no_error (error);
  g_assert_cmpuint (tandem_data_table_get_n_rows (table), ==, 3);
  g_assert_cmpstr (tandem_data_table_get_name (table, 1), ==, "colour, or so");
  g_assert_cmpuint (tandem_data_table_get_n_values (table, 0), ==, 0);
  g_assert_cmpuint (tandem_data_table_get_n_values (table, 1), ==, 2);
  g_assert_cmpstr (tandem_data_table_get_value_name (table, 2, 0), ==, "a \"b\"");
  g_assert_cmpfloat (tandem_data_table_get_number (table, 1, 0), ==, 2.5);
  g_assert_true (isnan (tandem_data_table_get_number (table, 1, 1)));
  g_assert_true (isnan (tandem_data_table_get_number (table, 2, 0)));

  bare = read_text ("iris.data", "5.1,3.5,Iris-setosa\n4.9,3.0,Iris-virginica\n", -1, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tandem_data_table_get_n_rows (bare), ==, 2);
  g_assert_cmpstr (tandem_data_table_get_name (bare, 2), ==, "3");
  g_assert_cmpfloat (tandem_data_table_get_number (bare, 1, 2), ==, 1.0);

  /* A name may look like a number that is none. */
  names = read_text ("x.csv", "who\nNan\nTom\n", -1, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tandem_data_table_get_n_values (names, 0), ==, 2);
}

#define HEAD "@attribute x real\n@attribute y {a,b}\n@data\n"

static const struct
{
  const char *name;
  const char *text;
  const char *where;
} bad[] = {
  { "x.arff", "", "line 1" },
  { "x.arff", "@attribute x real\n", "line 1" },
  { "x.arff", "@data\n1\n", "line 1" },
  { "x.arff", HEAD, "line 3" },
  { "x.arff", "@attribute x real\nsurprise\n", "line 2" },
  { "x.arff", "@attribute x date\n@data\n", "line 1" },
  { "x.arff", "@attribute x string\n@data\n", "line 1" },
  { "x.arff", "@attribute 'x real\n", "line 1" },
  { "x.arff", "\n\n@attribute x {a,b\n", "line 3" },
  { "x.arff", "@attribute x {a,,b}\n", "line 1" },
  { "x.arff", "@attribute x {}\n", "line 1" },
  { "x.arff", "@attribute x {a,a}\n", "line 1" },
  { "x.arff", "@attribute x {a} more\n", "line 1" },
  { "x.arff", "@attribute x real\n@attribute x real\n", "line 2" },
  { "x.arff", "@attribute '' real\n", "line 1" },
  { "x.arff", HEAD "1\n", "line 4" },
  { "x.arff", HEAD "1,a\n1,a,2\n", "line 5" },
  { "x.arff", HEAD "one,a\n", "line 4" },
  { "x.arff", HEAD "1,c\n", "line 4" },
  { "x.arff", HEAD "inf,a\n", "line 4" },
  { "x.arff", HEAD "nan,a\n", "line 4" },
  { "x.arff", HEAD "1e999,a\n", "line 4" },
  { "x.arff", HEAD "1,'a\n", "line 4" },
  { "x.arff", HEAD "1,'a' b\n", "line 4" },
  { "x.arff", HEAD "{0 1}\n", "line 4" },
  { "x.arff", HEAD ",a\n", "line 4" },
  { "x.csv", "", "line 1" },
  { "x.csv", "a,b\n", "line 1" },
  { "x.csv", "a,b\n1,2\n1\n", "line 3" },
  { "x.csv", "a,b\n1,2,3\n", "line 2" },
  { "x.csv", "a,a\n1,2\n", "line 1" },
  { "x.csv", "a,b\n1,2\n\n1,nan\n", "line 4" },
  { "x.csv", "a,b\n1e999,2\n1,2\n", "line 2" },
  { "x.csv", "1,2\n-inf,2\n", "line 2" },
  { "x.csv", "1,2\n1,\"2\n", "line 2" },
  { "x.csv", "1,2\n1,\"2\"3\n", "line 2" },
};

static void
test_bad (void)
{
  g_autoptr (GString) many = g_string_new ("x,y\n");
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_assert_null (read_text (bad[i].name, bad[i].text, -1, &error));
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    if (strstr (error->message, bad[i].where) == NULL)
      g_error ("%s of \"%s\": \"%s\"", bad[i].where, bad[i].text, error->message);
    g_clear_error (&error);
  }
  /* No text, and more names than a column has. */
  g_assert_null (read_text ("x.csv", "1,2\n\0,1\n", 8, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);
  for (i = 0; i < 1001; i++)
    g_string_append_printf (many, "1,v%u\n", i);
  g_assert_null (read_text ("x.csv", many->str, -1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_nonnull (strstr (error->message, "line 1002"));
}

static void
test_absent (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_assert_null (tandem_data_table_read ("/nowhere/x.arff", NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_cancellable_cancel (cancellable);
  g_assert_null (tandem_data_table_read ("/nowhere/x.arff", cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/table/arff", test_arff);
  g_test_add_func ("/table/csv", test_csv);
  g_test_add_func ("/table/bad", test_bad);
  g_test_add_func ("/table/absent", test_absent);
  return g_test_run ();
}
