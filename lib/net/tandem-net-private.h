/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to lib/net. */

#include <glib.h>

G_BEGIN_DECLS

/* For translated sentences, which xgettext ends where the macro of a format stands. */
static inline char *
tandem_net_number_to_string (guint64 number)
{
  return g_strdup_printf ("%" G_GUINT64_FORMAT, number);
}

G_END_DECLS
