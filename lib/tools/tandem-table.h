/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Rows of text in columns as wide as they need to be: the first @n_left of them begin at the left,
 * the others end at the right. */
typedef struct _TandemTable TandemTable;

TandemTable *tandem_table_new (guint n_columns, guint n_left);
void tandem_table_free (TandemTable *table);

/* Takes as many strings as there are columns; NULL is an empty cell. What a terminal would obey
 * is replaced. */
void tandem_table_add (TandemTable *table, ...);
void tandem_table_print (const TandemTable *table);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemTable, tandem_table_free)

G_END_DECLS
