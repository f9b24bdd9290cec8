/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem.h"

G_BEGIN_DECLS

/* Returns the profile that was kept, or else, and with again, measures one and keeps it. */
TandemProfile *tandem_command_get_profile (TandemModel *model, TandemPrecision precision,
                                           guint n_threads, double seconds, gboolean again,
                                           GCancellable *cancellable, GError **error);

/* name: NULL means f32. */
gboolean tandem_command_parse_precision (const char *name, TandemPrecision *precision);

G_END_DECLS
