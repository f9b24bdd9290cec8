/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-table.h"

#include "tandem-command.h"

struct _TandemTable
{
  guint n_columns;
  guint n_left;
  GPtrArray *cells;
};

TandemTable *
tandem_table_new (guint n_columns, guint n_left)
{
  TandemTable *table = g_new0 (TandemTable, 1);

  table->n_columns = n_columns;
  table->n_left = n_left;
  table->cells = g_ptr_array_new_with_free_func (g_free);
  return table;
}

void
tandem_table_free (TandemTable *table)
{
  g_ptr_array_unref (table->cells);
  g_free (table);
}

void
tandem_table_add (TandemTable *table, ...)
{
  va_list args;
  guint i;

  va_start (args, table);
  for (i = 0; i < table->n_columns; i++) {
    const char *text = va_arg (args, const char *);

    g_ptr_array_add (table->cells, tandem_command_printable (text != NULL ? text : ""));
  }
  va_end (args);
}

/* By what is seen: printf() counts bytes. */
static glong
get_width (const TandemTable *table, guint i)
{
  return g_utf8_strlen (g_ptr_array_index (table->cells, i), -1);
}

void
tandem_table_print (const TandemTable *table)
{
  g_autofree glong *widths = g_new0 (glong, table->n_columns);
  g_autoptr (GString) line = g_string_new (NULL);
  guint i;

  for (i = 0; i < table->cells->len; i++)
    widths[i % table->n_columns] = MAX (widths[i % table->n_columns], get_width (table, i));
  for (i = 0; i < table->cells->len; i++) {
    guint column = i % table->n_columns;
    const char *text = g_ptr_array_index (table->cells, i);
    int space = (int) (widths[column] - get_width (table, i));

    /* No space at the end of a line. */
    if (column < table->n_left)
      g_string_append_printf (line, "  %s%*s", text, space, "");
    else
      g_string_append_printf (line, "  %*s%s", space, "", text);
    if (column + 1 < table->n_columns)
      continue;
    g_print ("%s\n", g_strchomp (line->str));
    g_string_truncate (line, 0);
  }
}
