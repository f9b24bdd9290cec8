/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-stage-cache-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <utime.h>

/* A file that is not whole, and that nobody sends at the moment. */
typedef struct
{
  guint64 bytes;
  gint64 used;
} Part;

struct _TandemStageCache
{
  char *folder;
  guint64 limit;                /* bytes */
  int lock;
  GHashTable *stages;           /* digest -> TandemCachedStage */
  GHashTable *parts;            /* digest -> Part */
  GHashTable *uploads;          /* digest -> TandemStageUpload, borrowed: all of it counts */
};

void
tandem_stage_cache_set_error (GError **error, int number, const char *path)
{
  gboolean full = number == ENOSPC || number == EDQUOT || number == EFBIG;

  g_set_error (error, TANDEM_NODE_ERROR,
               full ? TANDEM_NODE_ERROR_NO_SPACE : TANDEM_NODE_ERROR_FAILED, "%s: %s", path,
               g_strerror (number));
}

/* Names of files are made of digests that were checked, and of nothing else that anybody sent. */
gboolean
tandem_stage_cache_is_digest (const char *text)
{
  return strlen (text) == TANDEM_STAGE_CACHE_DIGITS &&
      strspn (text, "0123456789abcdef") == TANDEM_STAGE_CACHE_DIGITS;
}

char *
tandem_stage_cache_make_path (const char *folder, const char *digest, const char *suffix)
{
  g_autofree char *name = g_strconcat (digest, suffix, NULL);

  return g_build_filename (folder, name, NULL);
}

char *
tandem_stage_cache_get_path (TandemStageCache *self, const char *digest)
{
  return tandem_stage_cache_make_path (self->folder, digest, ".safetensors");
}

static void
remove_file (TandemStageCache *self, const char *digest, const char *suffix)
{
  g_autofree char *path = tandem_stage_cache_make_path (self->folder, digest, suffix);

  g_unlink (path);
}

gint64
tandem_stage_cache_get_modified (const struct stat *st)
{
  return st->st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000) + st->st_mtim.tv_nsec;
}

static gint64
get_time (const struct stat *st)
{
  return st->st_mtim.tv_sec * G_USEC_PER_SEC + st->st_mtim.tv_nsec / 1000;
}

/* --- what is there --- */

/* A file that is not what its note says was not written by us, or not to the end. */
static void
add_stage (TandemStageCache *self, const char *digest)
{
  g_autofree char *path = tandem_stage_cache_get_path (self, digest);
  g_autofree char *note = tandem_stage_cache_make_path (self->folder, digest, ".json");
  g_autofree TandemCachedStage *stage = g_new0 (TandemCachedStage, 1);
  struct stat file, about;

  g_strlcpy (stage->digest, digest, sizeof stage->digest);
  if (!tandem_stage_note_read (self->folder, stage, NULL) || g_lstat (path, &file) != 0 ||
      !S_ISREG (file.st_mode) || (guint64) file.st_size != stage->bytes ||
      tandem_stage_cache_get_modified (&file) != stage->modified || g_stat (note, &about) != 0) {
    remove_file (self, digest, ".safetensors");
    remove_file (self, digest, ".json");
    return;
  }
  stage->used = get_time (&about);
  g_hash_table_insert (self->stages, g_strdup (digest), g_steal_pointer (&stage));
}

static void
add_part (TandemStageCache *self, const char *digest)
{
  g_autofree char *path = tandem_stage_cache_make_path (self->folder, digest, ".part");
  struct stat st;
  Part *part;

  if (g_lstat (path, &st) != 0 || !S_ISREG (st.st_mode) || st.st_size == 0) {
    g_unlink (path);
    return;
  }
  part = g_new (Part, 1);
  part->bytes = st.st_size;
  part->used = get_time (&st);
  g_hash_table_insert (self->parts, g_strdup (digest), part);
}

static gboolean
scan (TandemStageCache *self, GError **error)
{
  g_autoptr (GDir) dir = g_dir_open (self->folder, 0, error);
  const char *name;

  if (dir == NULL)
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *digest = g_strndup (name, TANDEM_STAGE_CACHE_DIGITS);
    const char *suffix = name + strlen (digest);

    if (!tandem_stage_cache_is_digest (digest))
      continue;
    if (g_str_equal (suffix, ".part"))
      add_part (self, digest);
    else if ((g_str_equal (suffix, ".safetensors") || g_str_equal (suffix, ".json")) &&
             !g_hash_table_contains (self->stages, digest))
      add_stage (self, digest);
  }
  return TRUE;
}

/* --- room --- */

guint64
tandem_stage_cache_get_limit (TandemStageCache *self)
{
  return self->limit;
}

guint64
tandem_stage_cache_get_used (TandemStageCache *self)
{
  GHashTableIter iter;
  gpointer value;
  guint64 sum = 0;

  g_hash_table_iter_init (&iter, self->stages);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    sum += ((TandemCachedStage *) value)->bytes;
  g_hash_table_iter_init (&iter, self->parts);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    sum += ((Part *) value)->bytes;
  g_hash_table_iter_init (&iter, self->uploads);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    sum += ((TandemStageUpload *) value)->stage.bytes;
  return sum;
}

/* Opens a file as flock() wants it, and does that; -1: errno says why not. */
static int
open_locked (const char *path, int operation)
{
  int fd = g_open (path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0), number;

  if (fd < 0 || flock (fd, operation) == 0)
    return fd;
  number = errno;
  close (fd);
  errno = number;
  return -1;
}

/* Whether somebody holds it, in whatever process. */
static gboolean
is_held (TandemStageCache *self, const char *digest)
{
  g_autofree char *path = tandem_stage_cache_get_path (self, digest);
  int fd = open_locked (path, LOCK_EX | LOCK_NB);

  if (fd < 0)
    return errno == EWOULDBLOCK;
  close (fd);
  return FALSE;
}

/* Removes what was not used for longest, and nothing that runs or is held. FALSE: there is
 * nothing. */
static gboolean
remove_oldest (TandemStageCache *self, gboolean whole_only)
{
  const char *oldest = NULL;
  gboolean is_part = FALSE;
  gint64 time = G_MAXINT64;
  gpointer key, value;
  GHashTableIter iter;

  g_hash_table_iter_init (&iter, self->stages);
  while (g_hash_table_iter_next (&iter, &key, &value)) {
    TandemCachedStage *stage = value;

    if (stage->n_pins == 0 && stage->used < time && !is_held (self, key)) {
      oldest = key;
      time = stage->used;
    }
  }
  g_hash_table_iter_init (&iter, self->parts);
  while (!whole_only && g_hash_table_iter_next (&iter, &key, &value)) {
    if (((Part *) value)->used < time) {
      oldest = key;
      time = ((Part *) value)->used;
      is_part = TRUE;
    }
  }
  if (oldest == NULL)
    return FALSE;
  if (is_part) {
    remove_file (self, oldest, ".part");
    g_hash_table_remove (self->parts, oldest);
  } else {
    tandem_stage_cache_remove (self, oldest);
  }
  return TRUE;
}

/* How much room there is without removing what runs or comes in. */
static guint64
get_fixed (TandemStageCache *self)
{
  GHashTableIter iter;
  gpointer value;
  guint64 sum = 0;

  g_hash_table_iter_init (&iter, self->stages);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (((TandemCachedStage *) value)->n_pins > 0)
      sum += ((TandemCachedStage *) value)->bytes;
  g_hash_table_iter_init (&iter, self->uploads);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    sum += ((TandemStageUpload *) value)->stage.bytes;
  return sum;
}

static void
trim (TandemStageCache *self, guint64 most_bytes, guint most_files)
{
  while (tandem_stage_cache_get_used (self) > most_bytes && remove_oldest (self, FALSE));
  while (g_hash_table_size (self->stages) > most_files && remove_oldest (self, TRUE));
}

/* What is in use stays, whatever the bound. */
void
tandem_stage_cache_trim (TandemStageCache *self)
{
  trim (self, self->limit, TANDEM_STAGE_CACHE_MAX_FILES);
}

/* Nothing goes for a file that would not fit all the same. */
static gboolean
make_room (TandemStageCache *self, guint64 size, GError **error)
{
  guint64 fixed = get_fixed (self);

  if (size > self->limit || fixed > self->limit - size) {
    g_autofree char *wanted = g_format_size (size);
    g_autofree char *limit = g_format_size (self->limit);
    g_autofree char *running = g_format_size (fixed);

    g_set_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_NO_SPACE,
                 _("a stage file of %s does not fit: the cache may hold %s, of which %s are in "
                   "use"),
                 wanted, limit, running);
    return FALSE;
  }
  trim (self, self->limit - size, TANDEM_STAGE_CACHE_MAX_FILES - 1);
  return TRUE;
}

/* --- the cache --- */

static gboolean
lock (TandemStageCache *self, gboolean wait, GError **error)
{
  g_autofree char *path = g_build_filename (self->folder, "lock", NULL);

  self->lock = g_open (path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (self->lock < 0) {
    tandem_stage_cache_set_error (error, errno, path);
    return FALSE;
  }
  if (flock (self->lock, wait ? LOCK_EX : LOCK_EX | LOCK_NB) == 0)
    return TRUE;
  if (errno != EWOULDBLOCK) {
    tandem_stage_cache_set_error (error, errno, path);
    return FALSE;
  }
  g_set_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY,
               _("Another node uses the cache folder %s; give each a folder of its own."),
               self->folder);
  return FALSE;
}

static TandemStageCache *
open_folder (const char *folder, guint64 limit, gboolean wait, GError **error)
{
  g_autoptr (TandemStageCache) self = g_new0 (TandemStageCache, 1);

  self->folder = g_strdup (folder);
  self->limit = limit;
  self->lock = -1;
  self->stages = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->parts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->uploads = g_hash_table_new (g_str_hash, g_str_equal);
  if (g_mkdir_with_parents (folder, 0700) != 0) {
    tandem_stage_cache_set_error (error, errno, folder);
    return NULL;
  }
  if (!lock (self, wait, error) || !scan (self, error))
    return NULL;
  /* The limit may be another one than it was. */
  tandem_stage_cache_trim (self);
  return g_steal_pointer (&self);
}

TandemStageCache *
tandem_stage_cache_open (const char *folder, guint64 limit, GError **error)
{
  return open_folder (folder, limit, FALSE, error);
}

TandemStageCache *
tandem_stage_cache_open_shared (const char *folder, guint64 limit, GError **error)
{
  return open_folder (folder, limit, TRUE, error);
}

/* There are no uploads any more. */
void
tandem_stage_cache_free (TandemStageCache *self)
{
  g_assert (self->uploads == NULL || g_hash_table_size (self->uploads) == 0);
  if (self->lock >= 0)
    close (self->lock);
  g_hash_table_unref (self->stages);
  g_hash_table_unref (self->parts);
  g_hash_table_unref (self->uploads);
  g_free (self->folder);
  g_free (self);
}

static int
compare_used (gconstpointer a, gconstpointer b)
{
  const TandemCachedStage *left = *(const TandemCachedStage *const *) a;
  const TandemCachedStage *right = *(const TandemCachedStage *const *) b;

  return left->used != right->used ? (left->used < right->used ? 1 : -1)
                                   : strcmp (left->digest, right->digest);
}

GPtrArray *
tandem_stage_cache_list (TandemStageCache *self)
{
  GPtrArray *list = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->stages);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    g_ptr_array_add (list, value);
  g_ptr_array_sort (list, compare_used);
  return list;
}

const TandemCachedStage *
tandem_stage_cache_lookup (TandemStageCache *self, const char *digest)
{
  return g_hash_table_lookup (self->stages, digest);
}

const TandemCachedStage *
tandem_stage_cache_find (TandemStageCache *self, const char *model, guint first_layer,
                         guint last_layer)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->stages);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const TandemCachedStage *stage = value;

    if (stage->first_layer == first_layer && stage->last_layer == last_layer &&
        g_str_equal (stage->model, model))
      return stage;
  }
  return NULL;
}

/* Of a file that comes in just now another thread knows the offset: the file system is asked. */
guint64
tandem_stage_cache_get_partial (TandemStageCache *self, const char *digest)
{
  g_autofree char *path = tandem_stage_cache_make_path (self->folder, digest, ".part");
  struct stat st;

  return g_lstat (path, &st) == 0 && S_ISREG (st.st_mode) ? (guint64) st.st_size : 0;
}

static void
touch (TandemStageCache *self, TandemCachedStage *stage)
{
  g_autofree char *note = tandem_stage_cache_make_path (self->folder, stage->digest, ".json");

  stage->used = g_get_real_time ();
  g_utime (note, NULL);
}

void
tandem_stage_cache_pin (TandemStageCache *self, const char *digest)
{
  TandemCachedStage *stage = g_hash_table_lookup (self->stages, digest);

  stage->n_pins++;
  touch (self, stage);
}

void
tandem_stage_cache_unpin (TandemStageCache *self, const char *digest)
{
  TandemCachedStage *stage = g_hash_table_lookup (self->stages, digest);

  stage->n_pins--;
  touch (self, stage);
}

int
tandem_stage_cache_hold (TandemStageCache *self, const char *digest, GError **error)
{
  g_autofree char *path = tandem_stage_cache_get_path (self, digest);
  int fd = open_locked (path, LOCK_SH);

  if (fd < 0)
    tandem_stage_cache_set_error (error, errno, path);
  else
    touch (self, g_hash_table_lookup (self->stages, digest));
  return fd;
}

/* The note comes first: a file without one is not taken for whole. */
gboolean
tandem_stage_cache_adopt (TandemStageCache *self, const TandemCachedStage *stage,
                          const char *path, GError **error)
{
  g_autofree char *whole = tandem_stage_cache_get_path (self, stage->digest);
  g_autofree TandemCachedStage *copy = g_memdup2 (stage, sizeof *stage);
  struct stat st;

  if (g_stat (path, &st) != 0) {
    tandem_stage_cache_set_error (error, errno, path);
    return FALSE;
  }
  copy->bytes = st.st_size;
  copy->modified = tandem_stage_cache_get_modified (&st);
  copy->used = g_get_real_time ();
  copy->n_pins = 0;
  if (!tandem_stage_note_write (self->folder, copy, error))
    return FALSE;
  if (g_rename (path, whole) != 0) {
    tandem_stage_cache_set_error (error, errno, whole);
    remove_file (self, stage->digest, ".json");
    return FALSE;
  }
  g_hash_table_insert (self->stages, g_strdup (stage->digest), g_steal_pointer (&copy));
  return TRUE;
}

/* A file that is not pinned. */
void
tandem_stage_cache_remove (TandemStageCache *self, const char *digest)
{
  remove_file (self, digest, ".safetensors");
  remove_file (self, digest, ".json");
  g_hash_table_remove (self->stages, digest);
}

/* --- uploads --- */

TandemStageUpload *
tandem_stage_cache_begin (TandemStageCache *self, const char *digest, guint64 size, GError **error)
{
  TandemStageUpload *upload;
  g_autofree Part *part = NULL;
  g_autofree char *key = NULL;

  g_return_val_if_fail (!g_hash_table_contains (self->stages, digest), NULL);

  if (g_hash_table_contains (self->uploads, digest)) {
    g_set_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY,
                 _("somebody else sends the file %.16s already"), digest);
    return NULL;
  }
  /* From now on its part counts as whole, and is not to go for itself. */
  g_hash_table_steal_extended (self->parts, digest, (gpointer *) &key, (gpointer *) &part);
  if (!make_room (self, size, error)) {
    if (part != NULL)
      g_hash_table_insert (self->parts, g_steal_pointer (&key), g_steal_pointer (&part));
    return NULL;
  }
  upload = tandem_stage_upload_new (self->folder, digest, size);
  g_hash_table_insert (self->uploads, upload->stage.digest, upload);
  return upload;
}

void
tandem_stage_cache_end (TandemStageCache *self, TandemStageUpload *upload)
{
  const char *digest = upload->stage.digest;

  g_hash_table_remove (self->uploads, digest);
  if (upload->finished) {
    TandemCachedStage *stage = g_memdup2 (&upload->stage, sizeof upload->stage);

    stage->used = g_get_real_time ();
    g_hash_table_insert (self->stages, g_strdup (digest), stage);
  } else {
    add_part (self, digest);
  }
  tandem_stage_upload_free (upload);
}
