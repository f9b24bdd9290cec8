/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: stage files that were cut from models, kept in the user's cache folder. Exported for
 * the plugin and the tests only. */

#include <gio/gio.h>

#include "tandem-export.h"
#include "model/tandem-model.h"

G_BEGIN_DECLS

/* A file that stays where it is until it is given back. */
typedef struct
{
  char *path;
  char *digest;                 /* SHA-256 of its content, 64 hexadecimal digits */
  /*< private >*/
  int fd;                       /* holds it */
  guint64 limit;
} TandemStageFile;

TANDEM_API
TandemStageFile *tandem_stage_files_get (TandemModel *model, guint first, guint last,
                                         guint64 limit, GCancellable *cancellable,
                                         GError **error);

TANDEM_API
void tandem_stage_file_free (TandemStageFile *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemStageFile, tandem_stage_file_free)

G_END_DECLS
