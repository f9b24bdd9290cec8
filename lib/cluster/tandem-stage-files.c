/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stage files that were cut are kept in a folder like that of a node, which all processes of the
 * user share: what was not used for longest goes first, and never what one of them holds. A file is
 * cut in a folder of its own within it, without holding up the others; what a process left there
 * when it was killed the next one removes. */

#include "config.h"

#include "tandem-stage-files.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "node/tandem-stage-cache.h"

#define CHUNK (1024 * 1024)
#define WORK "work-"

static char *
get_folder (void)
{
  return g_build_filename (g_get_user_cache_dir (), "tandem", "cut", NULL);
}

static gboolean
fail (GError **error, int number, const char *path)
{
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (number), "%s: %s", path,
               g_strerror (number));
  return FALSE;
}

static char *
compute_digest (const char *path, GCancellable *cancellable, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInputStream) stream = g_file_read (file, cancellable, error);
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guint8 *chunk = g_malloc (CHUNK);
  gssize n;

  if (stream == NULL)
    return NULL;
  while ((n = g_input_stream_read (G_INPUT_STREAM (stream), chunk, CHUNK, cancellable, error)) > 0)
    g_checksum_update (checksum, chunk, n);
  return n == 0 ? g_strdup (g_checksum_get_string (checksum)) : NULL;
}

/* --- where a file is cut --- */

typedef struct
{
  char *path;                   /* of the folder */
  int lock;                     /* as long as somebody has it, the folder is in use */
} Work;

static int
lock_work (const char *path, int flags)
{
  g_autofree char *name = g_build_filename (path, "lock", NULL);
  int fd = g_open (name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);

  if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) != 0) {
    close (fd);
    errno = EWOULDBLOCK;
    return -1;
  }
  return fd;
}

static void
remove_work (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *file = g_build_filename (path, name, NULL);

    g_unlink (file);
  }
  g_rmdir (path);
}

static void
work_clear (Work *self)
{
  if (self->path != NULL)
    remove_work (self->path);
  if (self->lock >= 0)
    close (self->lock);
  g_clear_pointer (&self->path, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Work, work_clear)

/* With the cache open, so that nobody takes it for one that was left. */
static gboolean
work_init (Work *self, const char *folder, GError **error)
{
  self->path = g_build_filename (folder, WORK "XXXXXX", NULL);
  if (g_mkdtemp (self->path) == NULL) {
    fail (error, errno, self->path);
    g_clear_pointer (&self->path, g_free);
    return FALSE;
  }
  self->lock = lock_work (self->path, O_CREAT);
  return self->lock >= 0 || fail (error, errno, self->path);
}

/* With the cache open. */
static void
remove_leftovers (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    int lock;

    if (!g_str_has_prefix (name, WORK))
      continue;
    lock = lock_work (path, 0);
    if (lock < 0 && errno == EWOULDBLOCK)
      continue;
    remove_work (path);
    if (lock >= 0)
      close (lock);
  }
}

/* --- files --- */

static TandemStageFile *
hold (TandemStageCache *cache, const char *digest, GError **error)
{
  int fd = tandem_stage_cache_hold (cache, digest, error);
  TandemStageFile *self;

  if (fd < 0)
    return NULL;
  self = g_new0 (TandemStageFile, 1);
  self->path = tandem_stage_cache_get_path (cache, digest);
  self->digest = g_strdup (digest);
  self->fd = fd;
  self->limit = tandem_stage_cache_get_limit (cache);
  tandem_stage_cache_trim (cache);
  return self;
}

/* Returns the file, if it is there; else, without an error, a place to cut it. */
static TandemStageFile *
look_up (TandemModel *model, guint first, guint last, guint64 limit, Work *work, GError **error)
{
  g_autofree char *folder = get_folder ();
  g_autoptr (TandemStageCache) cache = tandem_stage_cache_open_shared (folder, limit, error);
  const TandemCachedStage *stage;

  if (cache == NULL)
    return NULL;
  remove_leftovers (folder);
  stage = tandem_stage_cache_find (cache, tandem_model_get_fingerprint (model), first, last);
  if (stage != NULL)
    return hold (cache, stage->digest, error);
  work_init (work, folder, error);
  return NULL;
}

/* Somebody else may have been faster: then it is his. */
static TandemStageFile *
publish (const TandemCachedStage *stage, const char *path, guint64 limit, GError **error)
{
  g_autofree char *folder = get_folder ();
  g_autoptr (TandemStageCache) cache = tandem_stage_cache_open_shared (folder, limit, error);

  if (cache == NULL || (tandem_stage_cache_lookup (cache, stage->digest) == NULL &&
                        !tandem_stage_cache_adopt (cache, stage, path, error)))
    return NULL;
  return hold (cache, stage->digest, error);
}

/**
 * tandem_stage_files_get:
 * @model: a model that has the layers
 * @first: the first layer
 * @last: the last layer, inclusive
 * @limit: how many bytes of files are kept at the most, beside those that are in use
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #GError
 *
 * Cuts a stage file from @model, unless that was done before. Any thread may call it, of any process:
 * several that cut the same one at a time get the same file.
 *
 * Returns: (transfer full): the file, which stays until tandem_stage_file_free() at the least; %NULL
 *   with @error set
 */
TandemStageFile *
tandem_stage_files_get (TandemModel *model, guint first, guint last, guint64 limit,
                        GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) inner = NULL;
  g_auto (Work) work = { NULL, -1 };
  TandemStageFile *self = look_up (model, first, last, limit, &work, &inner);
  g_autofree char *path = NULL, *digest = NULL;
  TandemCachedStage stage = { .first_layer = first, .last_layer = last };

  if (self != NULL)
    return self;
  if (inner != NULL) {
    g_propagate_error (error, g_steal_pointer (&inner));
    return NULL;
  }
  path = g_build_filename (work.path, "stage", NULL);
  if (!tandem_model_write_stage (model, first, last, path, cancellable, error) ||
      (digest = compute_digest (path, cancellable, error)) == NULL)
    return NULL;
  g_strlcpy (stage.digest, digest, sizeof stage.digest);
  g_strlcpy (stage.model, tandem_model_get_fingerprint (model), sizeof stage.model);
  stage.n_layers = tandem_model_get_config (model)->n_layers;
  return publish (&stage, path, limit, error);
}

/**
 * tandem_stage_file_free:
 * @self: (transfer full): a file
 *
 * Gives a file back. It may go now, and does where there are too many bytes.
 */
void
tandem_stage_file_free (TandemStageFile *self)
{
  g_autofree char *folder = get_folder ();
  TandemStageCache *cache;

  close (self->fd);
  /* That keeps the bound. Where somebody else has it open, the next one to open it does. */
  cache = tandem_stage_cache_open (folder, self->limit, NULL);
  g_clear_pointer (&cache, tandem_stage_cache_free);
  g_free (self->path);
  g_free (self->digest);
  g_free (self);
}
