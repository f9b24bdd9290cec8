/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-data-table.h"

#include <math.h>
#include <string.h>

#include "tandem-data-table-private.h"

/**
 * TandemDataTable:
 *
 * A table of numbers and names, as collections of data for machine learning have them: an ARFF
 * file (Witten and Frank 2005, section 2.4; attributes that are numeric or nominal), or CSV (RFC
 * 4180, values separated by commas, each row on one line). The first row of CSV is taken for the
 * names of the columns when none of its values is a number; a column of CSV whose values are all
 * numbers is numeric, any other is nominal, with its values in the order in which they come.
 * A value that is `?`, or in CSV empty, is missing.
 *
 * Tables do not change: any thread may use one.
 */

G_DEFINE_FINAL_TYPE (TandemDataTable, tandem_data_table, G_TYPE_OBJECT)

static void
column_free (gpointer data)
{
  TandemDataColumn *column = data;

  g_free (column->name);
  g_clear_pointer (&column->values, g_ptr_array_unref);
  g_clear_pointer (&column->indices, g_hash_table_unref);
  g_free (column);
}

static void
tandem_data_table_finalize (GObject *object)
{
  TandemDataTable *self = TANDEM_DATA_TABLE (object);

  g_free (self->path);
  g_hash_table_unref (self->names);
  g_ptr_array_unref (self->columns);
  g_array_unref (self->numbers);
  G_OBJECT_CLASS (tandem_data_table_parent_class)->finalize (object);
}

static void
tandem_data_table_class_init (TandemDataTableClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_data_table_finalize;
}

static void
tandem_data_table_init (TandemDataTable *self)
{
  self->columns = g_ptr_array_new_with_free_func (column_free);
  self->names = g_hash_table_new (g_str_hash, g_str_equal);
  self->numbers = g_array_new (FALSE, FALSE, sizeof (double));
}

gboolean
tandem_data_table_fail (TandemDataTable *self, guint64 line, GError **error, const char *format,
                        ...)
{
  g_autofree char *display = g_filename_display_name (self->path);
  g_autofree char *text = NULL, *what = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  /* A name that is shortened may end within a character. */
  what = g_utf8_make_valid (text, -1);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s, line %" G_GUINT64_FORMAT ": %s",
               display, line, what);
  return FALSE;
}

TandemDataColumn *
tandem_data_table_add_column (TandemDataTable *self, guint64 line, const char *name,
                              gboolean is_nominal, GError **error)
{
  TandemDataColumn *column;

  if (self->columns->len >= TANDEM_DATA_TABLE_MAX_COLUMNS) {
    tandem_data_table_fail (self, line, error, "more than %d columns",
                            TANDEM_DATA_TABLE_MAX_COLUMNS);
    return NULL;
  }
  if (*name == '\0' || g_hash_table_contains (self->names, name)) {
    tandem_data_table_fail (self, line, error, *name == '\0' ? "column %u has no name%.0s"
                            : "column %u has the name \"%.80s\", as another one",
                            self->columns->len + 1, name);
    return NULL;
  }
  column = g_new0 (TandemDataColumn, 1);
  column->name = g_strdup (name);
  if (is_nominal) {
    column->values = g_ptr_array_new_with_free_func (g_free);
    column->indices = g_hash_table_new (g_str_hash, g_str_equal);
  }
  g_hash_table_insert (self->names, column->name, GUINT_TO_POINTER (self->columns->len));
  g_ptr_array_add (self->columns, column);
  return column;
}

gboolean
tandem_data_table_add_value (TandemDataTable *self, guint64 line, TandemDataColumn *column,
                             const char *name, gboolean fail_if_known, GError **error)
{
  char *copy;

  if (g_hash_table_contains (column->indices, name))
    return !fail_if_known ||
        tandem_data_table_fail (self, line, error, "\"%.80s\" has the value \"%.80s\" twice",
                                column->name, name);
  if (column->values->len >= TANDEM_DATA_TABLE_MAX_VALUES)
    return tandem_data_table_fail (self, line, error, "\"%.80s\" has more than %d different values",
                                   column->name, TANDEM_DATA_TABLE_MAX_VALUES);
  copy = g_strdup (name);
  g_hash_table_insert (column->indices, copy, GUINT_TO_POINTER (column->values->len));
  g_ptr_array_add (column->values, copy);
  return TRUE;
}

gboolean
tandem_data_table_parse_number (const char *text, double *number)
{
  char *end;

  *number = g_ascii_strtod (text, &end);
  return end != text && *end == '\0' && isfinite (*number);
}

gboolean
tandem_data_table_add_cell (TandemDataTable *self, guint64 line, guint column, const char *text,
                            GError **error)
{
  TandemDataColumn *facts = g_ptr_array_index (self->columns, column);
  double number = NAN;
  gpointer index;

  if (text != NULL && facts->values == NULL) {
    if (!tandem_data_table_parse_number (text, &number))
      return tandem_data_table_fail (self, line, error, "\"%.80s\" is \"%.80s\", which is no "
                                     "finite number", facts->name, text);
  } else if (text != NULL) {
    if (!g_hash_table_lookup_extended (facts->indices, text, NULL, &index))
      return tandem_data_table_fail (self, line, error,
                                     "\"%.80s\" is \"%.80s\", which is none of its values",
                                     facts->name, text);
    number = GPOINTER_TO_UINT (index);
  }
  if (self->numbers->len >= TANDEM_DATA_TABLE_MAX_CELLS)
    return tandem_data_table_fail (self, line, error, "more than %d values",
                                   TANDEM_DATA_TABLE_MAX_CELLS);
  g_array_append_val (self->numbers, number);
  return TRUE;
}

char *
tandem_data_table_next_line (char **text)
{
  char *line = *text, *end;

  if (line == NULL || *line == '\0')
    return NULL;
  end = line + strcspn (line, "\n");
  *text = *end != '\0' ? end + 1 : NULL;
  *end = '\0';
  if (end > line && end[-1] == '\r')
    end[-1] = '\0';
  return line;
}

/* All of a file, and a zero byte. */
static char *
read_file (TandemDataTable *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (self->path);
  g_autoptr (GFileInputStream) stream = g_file_read (file, cancellable, error);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  guint8 buffer[65536];
  gssize n;

  if (stream == NULL)
    return NULL;
  while ((n = g_input_stream_read (G_INPUT_STREAM (stream), buffer, sizeof buffer, cancellable,
                                   error)) > 0) {
    if (bytes->len + n > TANDEM_DATA_TABLE_MAX_BYTES) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s is larger than %d bytes",
                   self->path, TANDEM_DATA_TABLE_MAX_BYTES);
      return NULL;
    }
    g_byte_array_append (bytes, buffer, n);
  }
  if (n < 0)
    return NULL;
  if (memchr (bytes->data != NULL ? bytes->data : buffer, '\0', bytes->len) != NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s holds a zero byte: it is no text",
                 self->path);
    return NULL;
  }
  return g_utf8_make_valid (bytes->len > 0 ? (const char *) bytes->data : "", bytes->len);
}

/**
 * tandem_data_table_read:
 * @path: (type filename): a file whose name ends in .arff, or CSV
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #GIOErrorEnum; %G_IO_ERROR_INVALID_DATA with the line, counted
 *   from 1, where the file is malformed
 *
 * Reads a table into memory: 8 bytes a value, up to 256 MiB of text, 2^26 values, 16384 columns and
 * 1000 values of a nominal column.
 *
 * Returns: (transfer full): the table, which has a row at the least, or %NULL on error
 */
TandemDataTable *
tandem_data_table_read (const char *path, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemDataTable) self = g_object_new (TANDEM_TYPE_DATA_TABLE, NULL);
  g_autofree char *lower = NULL, *text = NULL;
  char *start;

  g_return_val_if_fail (path != NULL, NULL);

  self->path = g_strdup (path);
  lower = g_ascii_strdown (path, -1);
  text = read_file (self, cancellable, error);
  if (text == NULL)
    return NULL;
  start = g_str_has_prefix (text, "\xef\xbb\xbf") ? text + 3 : text;
  if (!(g_str_has_suffix (lower, ".arff") ? tandem_data_table_parse_arff
                                          : tandem_data_table_parse_csv) (self, start, error))
    return NULL;
  return g_steal_pointer (&self);
}

/**
 * tandem_data_table_get_n_rows:
 * @self: a table
 *
 * Returns: how many rows it has
 */
guint
tandem_data_table_get_n_rows (TandemDataTable *self)
{
  g_return_val_if_fail (TANDEM_IS_DATA_TABLE (self), 0);
  return self->numbers->len / self->columns->len;
}

/**
 * tandem_data_table_get_n_columns:
 * @self: a table
 *
 * Returns: how many columns it has
 */
guint
tandem_data_table_get_n_columns (TandemDataTable *self)
{
  g_return_val_if_fail (TANDEM_IS_DATA_TABLE (self), 0);
  return self->columns->len;
}

static TandemDataColumn *
get_column (TandemDataTable *self, guint column)
{
  return g_ptr_array_index (self->columns, column);
}

/**
 * tandem_data_table_get_name:
 * @self: a table
 * @column: a column, from 0
 *
 * Returns: (transfer none): its name; in CSV without names its number, from 1
 */
const char *
tandem_data_table_get_name (TandemDataTable *self, guint column)
{
  g_return_val_if_fail (TANDEM_IS_DATA_TABLE (self), NULL);
  g_return_val_if_fail (column < self->columns->len, NULL);
  return get_column (self, column)->name;
}

/**
 * tandem_data_table_find_column:
 * @self: a table
 * @name: a name
 *
 * Returns: the column of this name, or -1 when there is none
 */
int
tandem_data_table_find_column (TandemDataTable *self, const char *name)
{
  gpointer index;

  g_return_val_if_fail (TANDEM_IS_DATA_TABLE (self), -1);
  g_return_val_if_fail (name != NULL, -1);
  return g_hash_table_lookup_extended (self->names, name, NULL, &index) ? GPOINTER_TO_INT (index)
                                                                        : -1;
}

/**
 * tandem_data_table_get_n_values:
 * @self: a table
 * @column: a column, from 0
 *
 * Returns: how many values a nominal column can have; 0: it is numeric
 */
guint
tandem_data_table_get_n_values (TandemDataTable *self, guint column)
{
  g_return_val_if_fail (TANDEM_IS_DATA_TABLE (self), 0);
  g_return_val_if_fail (column < self->columns->len, 0);
  return get_column (self, column)->values != NULL ? get_column (self, column)->values->len : 0;
}

/**
 * tandem_data_table_get_value_name:
 * @self: a table
 * @column: a nominal column, from 0
 * @value: one of its values, from 0
 *
 * Returns: (transfer none): the name of the value
 */
const char *
tandem_data_table_get_value_name (TandemDataTable *self, guint column, guint value)
{
  g_return_val_if_fail (TANDEM_IS_DATA_TABLE (self), NULL);
  g_return_val_if_fail (column < self->columns->len, NULL);
  g_return_val_if_fail (value < tandem_data_table_get_n_values (self, column), NULL);
  return g_ptr_array_index (get_column (self, column)->values, value);
}

/**
 * tandem_data_table_get_number:
 * @self: a table
 * @row: a row, from 0
 * @column: a column, from 0
 *
 * Returns: the number there; in a nominal column which of its values, from 0; NaN where it is
 *   missing
 */
double
tandem_data_table_get_number (TandemDataTable *self, guint row, guint column)
{
  g_return_val_if_fail (TANDEM_IS_DATA_TABLE (self), NAN);
  g_return_val_if_fail (column < self->columns->len, NAN);
  g_return_val_if_fail (row < tandem_data_table_get_n_rows (self), NAN);
  return g_array_index (self->numbers, double, (gsize) row * self->columns->len + column);
}
