/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory for weights, activations and tables. Not a part of the public API. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Memory that starts at a multiple of 64 bytes. Its contents are not defined; its
 * pages are given back to the system as soon as it is freed. Aborts when there is
 * none left, as g_malloc() does. */
gpointer tandem_memory_new (gsize n, gsize size);

/* The same, or NULL when there is none left. */
gpointer tandem_memory_try_new (gsize n, gsize size);

void tandem_memory_free (gpointer memory);

/* For g_autoptr(): memory that ends with its scope. */
typedef float TandemFloats;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemFloats, tandem_memory_free)

G_END_DECLS
