/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: what programs can still take without swapping, in bytes, as far as the system knows. */

#include <glib.h>

G_BEGIN_DECLS

guint64 tandem_get_available_memory (void);

G_END_DECLS
