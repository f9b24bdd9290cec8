/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* CSV, whose columns get their types from their values. */

#include "config.h"

#include <string.h>

#include "tandem-data-table-private.h"

typedef struct
{
  TandemDataTable *table;
  GPtrArray *cells;             /* char *, in the text; NULL: missing */
  GArray *lines;                /* guint64, of each row */
  guint n_columns;
} Csv;

static void
csv_clear (Csv *self)
{
  g_ptr_array_unref (self->cells);
  g_array_unref (self->lines);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Csv, csv_clear)

/* Takes a value from *at and unquotes it in place. */
static gboolean
take_value (char **at, char **value)
{
  char *p = *at, *out;
  gboolean quoted = *p == '"';

  *value = out = p;
  if (quoted) {
    p++;
    while (*p != '\0' && (*p != '"' || p[1] == '"')) {
      if (*p == '"')
        p++;
      *out++ = *p++;
    }
    if (*p != '"' || (p[1] != ',' && p[1] != '\0'))
      return FALSE;
    p++;
  } else {
    out = p += strcspn (p, ",");
  }
  *at = *p != '\0' ? p + 1 : NULL;
  *out = '\0';
  if (!quoted) {
    *value = g_strstrip (*value);
    if (**value == '\0' || g_str_equal (*value, "?"))
      *value = NULL;
  }
  return TRUE;
}

static gboolean
parse_row (Csv *self, guint64 line, char *p, GError **error)
{
  guint n = 0;
  char *value;

  while (p != NULL) {
    if (!take_value (&p, &value))
      return tandem_data_table_fail (self->table, line, error,
                                     "value %u has a quote that is neither doubled nor the last",
                                     n + 1);
    if (n++ >= TANDEM_DATA_TABLE_MAX_COLUMNS || self->cells->len >= TANDEM_DATA_TABLE_MAX_CELLS)
      return tandem_data_table_fail (self->table, line, error, "too many values");
    g_ptr_array_add (self->cells, value);
  }
  if (self->lines->len == 0)
    self->n_columns = n;
  g_array_append_val (self->lines, line);
  return n == self->n_columns ||
      tandem_data_table_fail (self->table, line, error, "%u values where %u are needed", n,
                              self->n_columns);
}

static const char *
get_cell (const Csv *self, guint row, guint column)
{
  return g_ptr_array_index (self->cells, (gsize) row * self->n_columns + column);
}

static gboolean
has_names (const Csv *self)
{
  double number;
  guint i;

  for (i = 0; i < self->n_columns; i++) {
    const char *text = get_cell (self, 0, i);

    if (text == NULL || tandem_data_table_parse_number (text, &number))
      return FALSE;
  }
  return TRUE;
}

/* Of "nan" and "1e999" among numbers the reader is told; it makes no names of the numbers. */
static gboolean
is_numeric (const Csv *self, guint first, guint column)
{
  guint i;

  for (i = first; i < self->lines->len; i++) {
    const char *text = get_cell (self, i, column);
    char *end = NULL;

    if (text == NULL)
      continue;
    g_ascii_strtod (text, &end);
    if (end == text || *end != '\0')
      return FALSE;
  }
  return TRUE;
}

static gboolean
add_column (const Csv *self, guint first, guint at, GError **error)
{
  g_autofree char *number = g_strdup_printf ("%u", at + 1);
  gboolean is_nominal = !is_numeric (self, first, at);
  TandemDataColumn *column =
      tandem_data_table_add_column (self->table, g_array_index (self->lines, guint64, 0),
                                    first > 0 ? get_cell (self, 0, at) : number, is_nominal,
                                    error);
  guint i;

  if (column == NULL)
    return FALSE;
  for (i = first; i < self->lines->len && is_nominal; i++) {
    const char *text = get_cell (self, i, at);

    if (text != NULL &&
        !tandem_data_table_add_value (self->table, g_array_index (self->lines, guint64, i), column,
                                      text, FALSE, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
tandem_data_table_parse_csv (TandemDataTable *self, char *text, GError **error)
{
  g_auto (Csv) csv = {
    .table = self, .cells = g_ptr_array_new (), .lines = g_array_new (FALSE, FALSE,
                                                                      sizeof (guint64))
  };
  guint64 line = 0;
  guint first, i, k;
  char *p;

  while ((p = tandem_data_table_next_line (&text)) != NULL) {
    line++;
    if (*p != '\0' && !parse_row (&csv, line, p, error))
      return FALSE;
  }
  first = csv.lines->len > 0 && has_names (&csv) ? 1 : 0;
  if (csv.lines->len <= first)
    return tandem_data_table_fail (self, MAX (line, 1), error, "the file has no rows");
  for (k = 0; k < csv.n_columns; k++)
    if (!add_column (&csv, first, k, error))
      return FALSE;
  for (i = first; i < csv.lines->len; i++)
    for (k = 0; k < csv.n_columns; k++)
      if (!tandem_data_table_add_cell (self, g_array_index (csv.lines, guint64, i), k,
                                       get_cell (&csv, i, k), error))
        return FALSE;
  return TRUE;
}
