/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stage file that comes in, piece by piece. What is there of it may be what an earlier process
 * left when it was killed: the digest of the whole tells. */

#include "config.h"

#include "tandem-stage-cache-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "model/tandem-model.h"

#define BUFFER_SIZE (256 * 1024)

TandemStageUpload *
tandem_stage_upload_new (const char *folder, const char *digest, guint64 size)
{
  TandemStageUpload *self = g_new0 (TandemStageUpload, 1);

  g_strlcpy (self->stage.digest, digest, sizeof self->stage.digest);
  self->stage.bytes = size;
  self->folder = g_strdup (folder);
  self->fd = -1;
  self->checksum = g_checksum_new (G_CHECKSUM_SHA256);
  return self;
}

void
tandem_stage_upload_free (TandemStageUpload *upload)
{
  if (upload->fd >= 0)
    close (upload->fd);
  g_checksum_free (upload->checksum);
  g_free (upload->folder);
  g_free (upload);
}

guint64
tandem_stage_upload_get_offset (TandemStageUpload *upload)
{
  return upload->offset;
}

guint64
tandem_stage_upload_get_size (TandemStageUpload *upload)
{
  return upload->stage.bytes;
}

static char *
get_part (TandemStageUpload *self)
{
  return tandem_stage_cache_make_path (self->folder, self->stage.digest, ".part");
}

/* Hashes what is there. */
static gboolean
read_part (TandemStageUpload *self, GCancellable *cancellable, const char *path, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (BUFFER_SIZE);
  gssize n;

  while ((n = read (self->fd, buffer, BUFFER_SIZE)) != 0) {
    if (g_cancellable_set_error_if_cancelled (cancellable, error))
      return FALSE;
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      tandem_stage_cache_set_error (error, errno, path);
      return FALSE;
    }
    g_checksum_update (self->checksum, buffer, n);
    self->offset += n;
  }
  return TRUE;
}

gboolean
tandem_stage_upload_open (TandemStageUpload *upload, GCancellable *cancellable, GError **error)
{
  g_autofree char *path = get_part (upload);
  struct stat st;

  upload->fd = g_open (path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (upload->fd < 0 || fstat (upload->fd, &st) != 0) {
    tandem_stage_cache_set_error (error, errno, path);
    return FALSE;
  }
  if (!S_ISREG (st.st_mode)) {
    g_set_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_FAILED, _("%s is not a file"), path);
    return FALSE;
  }
  /* Then it is not the beginning of this file. */
  if ((guint64) st.st_size > upload->stage.bytes && ftruncate (upload->fd, 0) != 0) {
    tandem_stage_cache_set_error (error, errno, path);
    return FALSE;
  }
  return read_part (upload, cancellable, path, error);
}

gboolean
tandem_stage_upload_write (TandemStageUpload *upload, GBytes *bytes, GError **error)
{
  g_autofree char *path = get_part (upload);
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  if (size > upload->stage.bytes - upload->offset) {
    g_set_error_literal (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_INVALID,
                         _("more data came than the file is long"));
    return FALSE;
  }
  while (size > 0) {
    gssize n = write (upload->fd, data, size);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      tandem_stage_cache_set_error (error, errno, path);
      return FALSE;
    }
    g_checksum_update (upload->checksum, data, n);
    upload->offset += n;
    data += n;
    size -= n;
  }
  return TRUE;
}

/* Whether the file is a stage file, and of what. */
static gboolean
look_inside (TandemStageUpload *self, const char *path, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (TandemModel) model = tandem_model_open (path, cancellable, &local);

  if (model == NULL && g_error_matches (local, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    g_propagate_error (error, g_steal_pointer (&local));
    return FALSE;
  }
  if (model == NULL || !tandem_model_is_stage (model)) {
    g_set_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_CORRUPT,
                 _("the file %.16s is not a stage file: %s"), self->stage.digest,
                 local != NULL ? local->message : path);
    return FALSE;
  }
  g_strlcpy (self->stage.model, tandem_model_get_fingerprint (model), sizeof self->stage.model);
  tandem_model_get_layers (model, &self->stage.first_layer, &self->stage.last_layer);
  self->stage.n_layers = tandem_model_get_config (model)->n_layers;
  return TRUE;
}

static gboolean
check (TandemStageUpload *self, const char *path, GCancellable *cancellable, GError **error)
{
  const char *digest = g_checksum_get_string (self->checksum);

  if (!g_str_equal (digest, self->stage.digest)) {
    g_set_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_CORRUPT,
                 _("the content of the file %.16s has another digest, %.16s: send it again"),
                 self->stage.digest, digest);
    return FALSE;
  }
  return look_inside (self, path, cancellable, error);
}

/* The note comes before the file that it is of: a file without one is not taken for whole. */
gboolean
tandem_stage_upload_finish (TandemStageUpload *upload, GCancellable *cancellable, GError **error)
{
  g_autofree char *path = get_part (upload);
  g_autofree char *whole =
      tandem_stage_cache_make_path (upload->folder, upload->stage.digest, ".safetensors");
  g_autoptr (GError) local = NULL;
  struct stat st;

  if (!check (upload, path, cancellable, &local)) {
    if (g_error_matches (local, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_CORRUPT)) {
      g_unlink (path);
      upload->offset = 0;
    }
    g_propagate_error (error, g_steal_pointer (&local));
    return FALSE;
  }
  if (fsync (upload->fd) != 0 || fstat (upload->fd, &st) != 0) {
    tandem_stage_cache_set_error (error, errno, path);
    return FALSE;
  }
  upload->stage.modified = tandem_stage_cache_get_modified (&st);
  if (!tandem_stage_note_write (upload->folder, &upload->stage, &local)) {
    gboolean full = g_error_matches (local, G_FILE_ERROR, G_FILE_ERROR_NOSPC);

    g_set_error_literal (error, TANDEM_NODE_ERROR,
                         full ? TANDEM_NODE_ERROR_NO_SPACE : TANDEM_NODE_ERROR_FAILED,
                         local->message);
    return FALSE;
  }
  if (g_rename (path, whole) != 0) {
    tandem_stage_cache_set_error (error, errno, whole);
    return FALSE;
  }
  upload->finished = TRUE;
  return TRUE;
}
