/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to tandem-stage-*.c. */

#include <sys/stat.h>

#include "node/tandem-stage-cache.h"

G_BEGIN_DECLS

struct _TandemStageUpload
{
  TandemCachedStage stage;      /* what it will be */
  char *folder;
  int fd;                       /* -1: not open */
  GChecksum *checksum;          /* of what is there */
  guint64 offset;               /* bytes that are there */
  gboolean finished;
};

TandemStageUpload *tandem_stage_upload_new (const char *folder, const char *digest, guint64 size);
void tandem_stage_upload_free (TandemStageUpload *upload);

char *tandem_stage_cache_make_path (const char *folder, const char *digest, const char *suffix);

/* When a file was changed last, in nanoseconds. */
gint64 tandem_stage_cache_get_modified (const struct stat *st);

/* tandem-stage-note.c: DIGEST.json */
gboolean tandem_stage_note_write (const char *folder, const TandemCachedStage *stage,
                                  GError **error);
gboolean tandem_stage_note_read (const char *folder, TandemCachedStage *stage, GError **error);

/* A GError for errno, %TANDEM_NODE_ERROR_NO_SPACE where that is what it means. */
void tandem_stage_cache_set_error (GError **error, int number, const char *path);

G_END_DECLS
