/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tables: ARFF when the first byte is an 'a', otherwise CSV. What gets through is all there, and an
 * error is a text that names a line. */

#include "tandem.h"

#include <glib/gstdio.h>
#include <math.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check (TandemDataTable *table)
{
  guint n_rows = tandem_data_table_get_n_rows (table);
  guint n_columns = tandem_data_table_get_n_columns (table), i, k;

  g_assert_cmpuint (n_rows, >=, 1);
  for (k = 0; k < n_columns; k++) {
    guint n = tandem_data_table_get_n_values (table, k);

    g_assert_cmpint (tandem_data_table_find_column (table, tandem_data_table_get_name (table, k)),
                     ==, (int) k);
    for (i = 0; i < n_rows; i++) {
      double number = tandem_data_table_get_number (table, i, k);

      g_assert_true (isnan (number) || (isfinite (number) &&
                                        (n == 0 || (number >= 0 && number < n))));
    }
    for (i = 0; i < n; i++)
      g_assert_true (g_utf8_validate (tandem_data_table_get_value_name (table, k, i), -1, NULL));
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *folder = NULL, *path = NULL;
  g_autoptr (TandemDataTable) table = NULL;
  g_autoptr (GError) error = NULL;

  if (size == 0)
    return 0;
  folder = g_dir_make_tmp ("tandem-fuzz-table-XXXXXX", NULL);
  path = g_build_filename (folder, data[0] == 'a' ? "x.arff" : "x.csv", NULL);
  g_assert_true (g_file_set_contents (path, (const char *) data + 1, size - 1, NULL));
  table = tandem_data_table_read (path, NULL, &error);
  if (table != NULL)
    check (table);
  else
    g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_unlink (path);
  g_rmdir (folder);
  return 0;
}
