/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fallocate() */
#define _GNU_SOURCE

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tandem-safetensors-header.h"
#include "tandem-safetensors-private.h"

/* Between two looks at the cancellable. */
#define CHUNK (1 << 20)

/* The reference implementation's order: element types from the widest to the
 * narrowest keep every tensor aligned, since the header's size is a multiple of 8. */
static const guint8 rank[] = {
  [TANDEM_DTYPE_I64] = 0, [TANDEM_DTYPE_F64] = 1, [TANDEM_DTYPE_F32] = 2, [TANDEM_DTYPE_I32] = 3,
  [TANDEM_DTYPE_BF16] = 4, [TANDEM_DTYPE_F16] = 5, [TANDEM_DTYPE_I16] = 6, [TANDEM_DTYPE_I8] = 7,
  [TANDEM_DTYPE_U8] = 8, [TANDEM_DTYPE_BOOL] = 9,
};

static int
compare_tensors (gconstpointer a, gconstpointer b, gpointer tensors)
{
  const char *left = *(const char *const *) a, *right = *(const char *const *) b;
  const TandemTensor *left_tensor = g_hash_table_lookup (tensors, left);
  const TandemTensor *right_tensor = g_hash_table_lookup (tensors, right);
  guint left_rank = rank[tandem_tensor_get_dtype (left_tensor)];
  guint right_rank = rank[tandem_tensor_get_dtype (right_tensor)];

  return left_rank != right_rank ? (int) left_rank - (int) right_rank : strcmp (left, right);
}

static void
append_string (GString *json, const char *text)
{
  static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";

  g_string_append_c (json, '"');
  for (; *text != '\0'; text++) {
    const char *known = strchr (from, *text);

    if (known != NULL) {
      g_string_append_c (json, '\\');
      g_string_append_c (json, to[known - from]);
    } else if ((guchar) *text < 0x20) {
      g_string_append_printf (json, "\\u%04x", *text);
    } else {
      g_string_append_c (json, *text);
    }
  }
  g_string_append_c (json, '"');
}

static gboolean
append_metadata (GString *json, GHashTable *metadata, GError **error)
{
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (metadata), (GCompareFunc) strcmp);
  GList *l;

  g_string_append (json, "\"__metadata__\":{");
  for (l = keys; l != NULL; l = l->next) {
    const char *value = g_hash_table_lookup (metadata, l->data);

    if (!g_utf8_validate (l->data, -1, NULL) || !g_utf8_validate (value, -1, NULL)) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "metadata that is not UTF-8 cannot be written");
      return FALSE;
    }
    if (l != keys)
      g_string_append_c (json, ',');
    append_string (json, l->data);
    g_string_append_c (json, ':');
    append_string (json, value);
  }
  g_string_append_c (json, '}');
  return TRUE;
}

/* Returns the length, the header, and spaces up to a multiple of 8 bytes. */
static GString *
make_header (GHashTable *metadata, GHashTable *tensors, GPtrArray *names, guint64 *total,
             GError **error)
{
  g_autoptr (GString) json = g_string_new ("12345678{");
  guint64 offset = 0, length;
  guint i, dim;

  if (metadata != NULL && g_hash_table_size (metadata) > 0 &&
      !append_metadata (json, metadata, error))
    return NULL;
  for (i = 0; i < names->len; i++) {
    const char *name = g_ptr_array_index (names, i);
    const TandemTensor *tensor = g_hash_table_lookup (tensors, name);
    gsize size;

    if (!g_utf8_validate (name, -1, NULL) || g_str_equal (name, "__metadata__")) {
      g_autofree char *quoted = g_strescape (name, NULL);

      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "\"%s\" is not possible as the name of a tensor", quoted);
      return NULL;
    }
    if (json->len > 9)
      g_string_append_c (json, ',');
    append_string (json, name);
    g_string_append_printf (json, ":{\"dtype\":\"%s\",\"shape\":[",
                            tandem_dtype_to_string (tandem_tensor_get_dtype (tensor)));
    for (dim = 0; dim < tandem_tensor_get_n_dims (tensor); dim++)
      g_string_append_printf (json, "%s%" G_GUINT64_FORMAT, dim > 0 ? "," : "",
                              tandem_tensor_get_dim (tensor, dim));
    tandem_tensor_get_data (tensor, &size);
    g_string_append_printf (json, "],\"data_offsets\":[%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT
                            "]}", offset, offset + size);
    offset += size;
  }
  g_string_append_c (json, '}');
  while (json->len % 8 != 0)
    g_string_append_c (json, ' ');
  if (json->len - 8 > TANDEM_SAFETENSORS_MAX_HEADER) {
    g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_LIMIT,
                 "a header of %" G_GSIZE_FORMAT " bytes, at most %d are possible", json->len - 8,
                 TANDEM_SAFETENSORS_MAX_HEADER);
    return NULL;
  }
  length = GUINT64_TO_LE ((guint64) json->len - 8);
  memcpy (json->str, &length, sizeof length);
  *total = json->len + offset;
  return g_steal_pointer (&json);
}

static gboolean
write_all (int fd, const guint8 *data, gsize size, GCancellable *cancellable, GError **error)
{
  gsize done = 0;

  while (done < size) {
    gssize n;

    if (g_cancellable_set_error_if_cancelled (cancellable, error))
      return FALSE;
    n = write (fd, data + done, MIN (size - done, CHUNK));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      int saved = errno;

      g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (saved), g_strerror (saved));
      return FALSE;
    }
    done += n;
  }
  return TRUE;
}

static gboolean
write_contents (int fd, const GString *header, guint64 total, GHashTable *tensors,
                GPtrArray *names, TandemSafetensorsWrittenFunc written, GCancellable *cancellable,
                GError **error)
{
  guint i;

  /* Says that the disk is full before anything is written. File systems that
   * cannot reserve space fail with other errors, which mean nothing here. */
  if (fallocate (fd, 0, 0, total) != 0 &&
      (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
    int saved = errno;

    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (saved), g_strerror (saved));
    return FALSE;
  }
  if (!write_all (fd, (const guint8 *) header->str, header->len, cancellable, error))
    return FALSE;
  for (i = 0; i < names->len; i++) {
    const char *name = g_ptr_array_index (names, i);
    const TandemTensor *tensor = g_hash_table_lookup (tensors, name);
    gsize size;
    const guint8 *data = tandem_tensor_get_data (tensor, &size);

    if (!write_all (fd, data, size, cancellable, error))
      return FALSE;
    if (written != NULL)
      written (name, tensor);
  }
  if (fsync (fd) != 0) {
    int saved = errno;

    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (saved), g_strerror (saved));
    return FALSE;
  }
  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}

/* The rename itself is on the disk only when its folder is. */
static void
sync_folder (const char *folder)
{
  int fd = g_open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

  if (fd < 0)
    return;
  fsync (fd);
  close (fd);
}

gboolean
tandem_safetensors_write_full (const char *path, GHashTable *metadata, GHashTable *tensors,
                               TandemSafetensorsWrittenFunc written, GCancellable *cancellable,
                               GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *base = g_path_get_basename (path);
  g_autofree char *temporary = g_strdup_printf ("%s/.%s.XXXXXX", folder, base);
  g_autofree char *display = g_filename_display_name (path);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (GString) header = NULL;
  GHashTableIter iter;
  gpointer name;
  guint64 total;
  gboolean ok;
  int fd;

  g_hash_table_iter_init (&iter, tensors);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    g_ptr_array_add (names, name);
  g_ptr_array_sort_with_data (names, compare_tensors, tensors);
  header = make_header (metadata, tensors, names, &total, error);
  if (header == NULL) {
    g_prefix_error (error, "%s: ", display);
    return FALSE;
  }

  fd = g_mkstemp_full (temporary, O_WRONLY | O_CLOEXEC, 0666);
  if (fd < 0) {
    int saved = errno;

    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved), "%s: %s", display,
                 g_strerror (saved));
    return FALSE;
  }
  ok = write_contents (fd, header, total, tensors, names, written, cancellable, error);
  /* Some network file systems report a full disk only here. */
  if (close (fd) != 0 && ok) {
    int saved = errno;

    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (saved), g_strerror (saved));
    ok = FALSE;
  }
  if (ok && g_rename (temporary, path) != 0) {
    int saved = errno;

    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (saved), g_strerror (saved));
    ok = FALSE;
  }
  if (!ok) {
    g_unlink (temporary);
    g_prefix_error (error, "%s: ", display);
    return FALSE;
  }
  sync_folder (folder);
  return TRUE;
}

/**
 * tandem_safetensors_write:
 * @path: (type filename): where to write
 * @metadata: (nullable) (element-type utf8 utf8): what `__metadata__` shall
 *   hold, or %NULL for none
 * @tensors: (element-type utf8 TandemTensor): the tensors by name
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #GIOErrorEnum or a #TandemSafetensorsError
 *
 * Writes a file as the reference implementation lays it out: tensors sorted
 * from the widest element type to the narrowest, then by name; the header
 * padded with spaces so that the data starts at a multiple of 8 bytes. The same
 * contents always give the same bytes.
 *
 * The file appears at @path whole or not at all: it is written beside it under
 * a temporary name, synced and renamed. A full disk, an error or @cancellable
 * leave what was at @path before.
 *
 * Returns: whether the file was written
 */
gboolean
tandem_safetensors_write (const char *path, GHashTable *metadata, GHashTable *tensors,
                          GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (path != NULL, FALSE);
  g_return_val_if_fail (tensors != NULL, FALSE);

  return tandem_safetensors_write_full (path, metadata, tensors, NULL, cancellable, error);
}
