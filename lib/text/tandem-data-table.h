/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_DATA_TABLE (tandem_data_table_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemDataTable, tandem_data_table, TANDEM, DATA_TABLE, GObject)

TANDEM_API
TandemDataTable *tandem_data_table_read (const char *path, GCancellable *cancellable,
                                         GError **error);

TANDEM_API
guint tandem_data_table_get_n_rows (TandemDataTable *self);

TANDEM_API
guint tandem_data_table_get_n_columns (TandemDataTable *self);

TANDEM_API
const char *tandem_data_table_get_name (TandemDataTable *self, guint column);

TANDEM_API
int tandem_data_table_find_column (TandemDataTable *self, const char *name);

TANDEM_API
guint tandem_data_table_get_n_values (TandemDataTable *self, guint column);

TANDEM_API
const char *tandem_data_table_get_value_name (TandemDataTable *self, guint column, guint value);

TANDEM_API
double tandem_data_table_get_number (TandemDataTable *self, guint row, guint column);

G_END_DECLS
