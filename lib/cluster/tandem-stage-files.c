/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stage file lies in a folder of its model's fingerprint under the number of its layers, with a
 * note of its digest, size and time beside it, so that it is cut and read through once. What does
 * not agree with its note is cut again. */

#include "config.h"

#include "tandem-stage-files.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>

#define CHUNK (1024 * 1024)

static char *
get_stamp (const char *path, const char *digest)
{
  GStatBuf info;

  if (g_stat (path, &info) != 0)
    return NULL;
  return g_strdup_printf ("%s %" G_GINT64_FORMAT " %" G_GINT64_FORMAT ".%09ld\n", digest,
                          (gint64) info.st_size, (gint64) info.st_mtim.tv_sec,
                          (long) info.st_mtim.tv_nsec);
}

/* Returns (transfer full) (nullable) the digest, if the note is of the file as it is. */
static char *
read_note (const char *path, const char *note)
{
  g_autofree char *text = NULL, *digest = NULL, *stamp = NULL;
  gsize length;

  if (!g_file_get_contents (note, &text, &length, NULL) || length < 64)
    return NULL;
  digest = g_strndup (text, 64);
  stamp = get_stamp (path, digest);
  return g_strcmp0 (stamp, text) == 0 ? g_steal_pointer (&digest) : NULL;
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

/**
 * tandem_stage_files_get:
 * @model: a model that has the layers
 * @first: the first layer
 * @last: the last layer, inclusive
 * @path: (out) (transfer full): the stage file
 * @digest: (out) (transfer full): SHA-256 of its content, 64 hexadecimal digits
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #GError
 *
 * Cuts a stage file from @model, unless that was done before. Any thread may call it; several that
 * cut the same one write the same bytes.
 *
 * Returns: %FALSE on an error
 */
gboolean
tandem_stage_files_get (TandemModel *model, guint first, guint last, char **path, char **digest,
                        GCancellable *cancellable, GError **error)
{
  g_autofree char *folder = g_build_filename (g_get_user_cache_dir (), "tandem", "cut",
                                              tandem_model_get_fingerprint (model), NULL);
  g_autofree char *name = g_strdup_printf ("%u-%u.safetensors", first, last);
  g_autofree char *file = g_build_filename (folder, name, NULL);
  g_autofree char *note = g_strconcat (file, ".digest", NULL);
  g_autofree char *stamp = NULL;

  *path = *digest = NULL;
  if (g_mkdir_with_parents (folder, 0700) != 0) {
    int code = errno;

    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code),
                 _("the folder \"%s\" cannot be made: %s"), folder, g_strerror (code));
    return FALSE;
  }
  *digest = read_note (file, note);
  if (*digest == NULL) {
    if (!tandem_model_write_stage (model, first, last, file, cancellable, error) ||
        (*digest = compute_digest (file, cancellable, error)) == NULL)
      return FALSE;
    /* Without a note it is cut again the next time, and no more. */
    stamp = get_stamp (file, *digest);
    if (stamp != NULL)
      g_file_set_contents (note, stamp, -1, NULL);
  }
  *path = g_steal_pointer (&file);
  return TRUE;
}
