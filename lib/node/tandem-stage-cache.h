/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: the folder in which a node keeps stage files, or devices that ask the ones that they cut
 * (lib/cluster/tandem-stage-files.c), each under the SHA-256 of its content.
 *
 *   DIGEST.safetensors  a whole file, whose content was checked; whoever has a lock on it holds it
 *   DIGEST.json         what is in it; its time is when the file was last used
 *   DIGEST.part         the beginning of a file that is not whole yet
 *   lock                held by the process that uses the folder
 *
 * The cache belongs to one thread; an upload may be given to another one for each of its steps.
 * Exported for the tests only. */

#include <gio/gio.h>

#include "tandem-export.h"
#include "node/tandem-node-error.h"

G_BEGIN_DECLS

#define TANDEM_STAGE_CACHE_DIGITS 64
/* Files beyond this number go, too, so that a list of them stays a message. */
#define TANDEM_STAGE_CACHE_MAX_FILES 128

typedef struct _TandemStageCache TandemStageCache;
typedef struct _TandemStageUpload TandemStageUpload;

typedef struct
{
  char digest[TANDEM_STAGE_CACHE_DIGITS + 1];
  guint64 bytes;
  gint64 modified;              /* Unix time in nanoseconds: what was changed later is not it */
  char model[TANDEM_STAGE_CACHE_DIGITS + 1];    /* fingerprint of the whole model */
  guint first_layer, last_layer, n_layers;      /* n_layers: of the whole model */
  gint64 used;                  /* Unix time in microseconds */
  guint n_pins;                 /* how many pipelines run it */
} TandemCachedStage;

TANDEM_API
gboolean tandem_stage_cache_is_digest (const char *text);

TANDEM_API
TandemStageCache *tandem_stage_cache_open (const char *folder, guint64 limit, GError **error);

/* Waits until nobody else has the folder open, which is not to be for longer than it takes to look
 * through it: for folders that several processes use. */
TANDEM_API
TandemStageCache *tandem_stage_cache_open_shared (const char *folder, guint64 limit,
                                                  GError **error);

TANDEM_API
void tandem_stage_cache_free (TandemStageCache *self);

TANDEM_API
guint64 tandem_stage_cache_get_limit (TandemStageCache *self);

TANDEM_API
guint64 tandem_stage_cache_get_used (TandemStageCache *self);

/* Returns (transfer container) the entries, the most recently used first. */
TANDEM_API
GPtrArray *tandem_stage_cache_list (TandemStageCache *self);

/* Returns (nullable) (transfer none). */
TANDEM_API
const TandemCachedStage *tandem_stage_cache_lookup (TandemStageCache *self, const char *digest);

/* Returns (nullable) (transfer none): any file with these layers of this model. */
TANDEM_API
const TandemCachedStage *tandem_stage_cache_find (TandemStageCache *self, const char *model,
                                                  guint first_layer, guint last_layer);

TANDEM_API
char *tandem_stage_cache_get_path (TandemStageCache *self, const char *digest);

/* How many bytes of a file that is not whole are there. */
TANDEM_API
guint64 tandem_stage_cache_get_partial (TandemStageCache *self, const char *digest);

/* A file that is used stays, and counts as used now. */
TANDEM_API
void tandem_stage_cache_pin (TandemStageCache *self, const char *digest);

TANDEM_API
void tandem_stage_cache_unpin (TandemStageCache *self, const char *digest);

/* A descriptor: until it is closed, no cache removes the file, of whatever process it is. */
TANDEM_API
int tandem_stage_cache_hold (TandemStageCache *self, const char *digest, GError **error);

/* Takes a file over that is on the same file system, and whole. The bound is kept at the next
 * tandem_stage_cache_trim(), or when the folder is opened. */
TANDEM_API
gboolean tandem_stage_cache_adopt (TandemStageCache *self, const TandemCachedStage *stage,
                                   const char *path, GError **error);

TANDEM_API
void tandem_stage_cache_trim (TandemStageCache *self);

TANDEM_API
void tandem_stage_cache_remove (TandemStageCache *self, const char *digest);

/* Makes room for a file and begins, or goes on, to write it. */
TANDEM_API
TandemStageUpload *tandem_stage_cache_begin (TandemStageCache *self, const char *digest,
                                             guint64 size, GError **error);

/* The steps, in any thread, one after the other: opens the file; takes bytes; checks. */
TANDEM_API
gboolean tandem_stage_upload_open (TandemStageUpload *upload, GCancellable *cancellable,
                                   GError **error);

TANDEM_API
gboolean tandem_stage_upload_write (TandemStageUpload *upload, GBytes *bytes, GError **error);

TANDEM_API
gboolean tandem_stage_upload_finish (TandemStageUpload *upload, GCancellable *cancellable,
                                     GError **error);

TANDEM_API
guint64 tandem_stage_upload_get_offset (TandemStageUpload *upload);

TANDEM_API
guint64 tandem_stage_upload_get_size (TandemStageUpload *upload);

/* In the thread of the cache: the file is there, if it was finished, or its part stays. */
TANDEM_API
void tandem_stage_cache_end (TandemStageCache *self, TandemStageUpload *upload);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemStageCache, tandem_stage_cache_free)

G_END_DECLS
