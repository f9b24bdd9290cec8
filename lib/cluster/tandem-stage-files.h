/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: stage files that were cut from models, kept in the user's cache folder. Exported for
 * the plugin and the tests only. */

#include <gio/gio.h>

#include "tandem-export.h"
#include "model/tandem-model.h"

G_BEGIN_DECLS

TANDEM_API
gboolean tandem_stage_files_get (TandemModel *model, guint first, guint last, char **path,
                                 char **digest, GCancellable *cancellable, GError **error);

G_END_DECLS
