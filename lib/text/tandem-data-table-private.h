/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the readers of tables share. Not a part of the public API. */
#pragma once

#include "text/tandem-data-table.h"

G_BEGIN_DECLS

/* What a file may hold, so that none exhausts memory. */
#define TANDEM_DATA_TABLE_MAX_BYTES (256 * 1024 * 1024)
#define TANDEM_DATA_TABLE_MAX_CELLS (64 * 1024 * 1024)
#define TANDEM_DATA_TABLE_MAX_COLUMNS 16384
#define TANDEM_DATA_TABLE_MAX_VALUES 1000

typedef struct
{
  char *name;
  GPtrArray *values;            /* char *, of a nominal column; NULL: numeric */
  GHashTable *indices;          /* of these: name to index */
} TandemDataColumn;

struct _TandemDataTable
{
  GObject parent;

  char *path;
  GPtrArray *columns;           /* TandemDataColumn */
  GHashTable *names;            /* of these: name to index */
  GArray *numbers;              /* double [n_rows, n_columns]; NaN: missing */
};

/* Sets an error that names the file and the line, counted from 1. Returns FALSE. */
gboolean tandem_data_table_fail (TandemDataTable *self, guint64 line, GError **error,
                                 const char *format, ...) G_GNUC_PRINTF (4, 5);

TandemDataColumn *tandem_data_table_add_column (TandemDataTable *self, guint64 line,
                                                const char *name, gboolean is_nominal,
                                                GError **error);

/* Returns FALSE with an error when there are too many, or with fail_if_known when it is there. */
gboolean tandem_data_table_add_value (TandemDataTable *self, guint64 line,
                                      TandemDataColumn *column, const char *name,
                                      gboolean fail_if_known, GError **error);

/* A number, and nothing else in the text. */
gboolean tandem_data_table_parse_number (const char *text, double *number);

/* Puts one more number into the table; name is NULL where it is missing. */
gboolean tandem_data_table_add_cell (TandemDataTable *self, guint64 line, guint column,
                                     const char *text, GError **error);

/* Both change the text, which a zero byte ends. */
gboolean tandem_data_table_parse_arff (TandemDataTable *self, char *text, GError **error);
gboolean tandem_data_table_parse_csv (TandemDataTable *self, char *text, GError **error);

/* Takes the next line, without its end, from *text; NULL behind the last one. */
char *tandem_data_table_next_line (char **text);

G_END_DECLS
