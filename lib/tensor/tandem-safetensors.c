/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tandem-safetensors-header.h"
#include "tandem-safetensors-private.h"

/**
 * TandemSafetensors:
 *
 * An open safetensors file: a header that names tensors, and their data, mapped
 * and not read. Immutable once opened; any thread may read it.
 *
 * The size of the file is checked when it is opened. As with every mapping, a
 * file that somebody shortens afterwards ends the process with SIGBUS when a
 * missing page is touched: replace model files by renaming a new one over them,
 * as tandem_safetensors_write() does, and never rewrite them in place.
 */
struct _TandemSafetensors
{
  GObject parent;

  char *name;
  int fd;                       /* -1 for memory */
  struct stat stat;
  GBytes *bytes;                /* the whole file */
  gsize data_start;
  TandemSafetensorsHeader *header;
};

G_DEFINE_FINAL_TYPE (TandemSafetensors, tandem_safetensors, G_TYPE_OBJECT)

G_DEFINE_QUARK (tandem-safetensors-error-quark, tandem_safetensors_error)

static void
tandem_safetensors_finalize (GObject *object)
{
  TandemSafetensors *self = TANDEM_SAFETENSORS (object);

  if (self->fd >= 0)
    close (self->fd);
  g_clear_pointer (&self->header, tandem_safetensors_header_free);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_free (self->name);
  G_OBJECT_CLASS (tandem_safetensors_parent_class)->finalize (object);
}

static void
tandem_safetensors_class_init (TandemSafetensorsClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_safetensors_finalize;
}

static void
tandem_safetensors_init (TandemSafetensors *self)
{
  self->fd = -1;
}

static gboolean
tandem_safetensors_load (TandemSafetensors *self, GError **error)
{
  gsize size;
  const char *data = g_bytes_get_data (self->bytes, &size);
  guint64 length;

  if (size < 8) {
    g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TRUNCATED,
                 "%s: %" G_GSIZE_FORMAT " bytes are no safetensors file; it begins with 8 bytes "
                 "that say how long its header is", self->name, size);
    return FALSE;
  }
  memcpy (&length, data, sizeof length);
  length = GUINT64_FROM_LE (length);
  if (length > TANDEM_SAFETENSORS_MAX_HEADER) {
    g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_LIMIT,
                 "%s: a header of %" G_GUINT64_FORMAT " bytes, at most %d are possible; is this a "
                 "safetensors file?", self->name, length, TANDEM_SAFETENSORS_MAX_HEADER);
    return FALSE;
  }
  if (length > size - 8) {
    g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TRUNCATED,
                 "%s: a header of %" G_GUINT64_FORMAT " bytes, the file has %" G_GSIZE_FORMAT
                 " after its first 8; copy the file again", self->name, length, size - 8);
    return FALSE;
  }
  self->data_start = 8 + length;
  self->header = tandem_safetensors_header_parse (data + 8, length, size - self->data_start,
                                                  self->name, error);
  return self->header != NULL;
}

static gboolean
tandem_safetensors_map (TandemSafetensors *self, const char *path, GError **error)
{
  GMappedFile *map;
  g_autoptr (GError) inner = NULL;

  /* A named pipe must not block the open; it is refused below. */
  self->fd = g_open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (self->fd < 0 || fstat (self->fd, &self->stat) != 0) {
    int saved = errno;

    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved), "%s: %s", self->name,
                 g_strerror (saved));
    return FALSE;
  }
  if (!S_ISREG (self->stat.st_mode)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE,
                 "%s: not a regular file, and only those can be mapped", self->name);
    return FALSE;
  }
  map = g_mapped_file_new_from_fd (self->fd, FALSE, &inner);
  if (map == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", self->name, inner->message);
    return FALSE;
  }
  self->bytes = g_mapped_file_get_bytes (map);
  g_mapped_file_unref (map);
  return TRUE;
}

/**
 * tandem_safetensors_open:
 * @path: (type filename): a safetensors file
 * @error: return location for a #TandemSafetensorsError or a #GIOErrorEnum
 *
 * Maps a file and checks its header as strictly as the reference
 * implementation: the data of the tensors covers the file without overlap or
 * hole, each as large as shape and type say, no key stands there twice. The
 * data itself is not touched.
 *
 * Returns: (transfer full): the open file, or %NULL with @error set
 */
TandemSafetensors *
tandem_safetensors_open (const char *path, GError **error)
{
  g_autoptr (TandemSafetensors) self = NULL;

  g_return_val_if_fail (path != NULL, NULL);

  self = g_object_new (TANDEM_TYPE_SAFETENSORS, NULL);
  self->name = g_filename_display_name (path);
  if (!tandem_safetensors_map (self, path, error) || !tandem_safetensors_load (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

/**
 * tandem_safetensors_new_from_bytes:
 * @bytes: (transfer none): what a safetensors file holds
 * @name: what messages call it
 * @error: return location for a #TandemSafetensorsError
 *
 * Reads a file that lies in memory, as tandem_safetensors_open() does. Its
 * tensors share @bytes.
 *
 * Returns: (transfer full): the open file, or %NULL with @error set
 */
TandemSafetensors *
tandem_safetensors_new_from_bytes (GBytes *bytes, const char *name, GError **error)
{
  g_autoptr (TandemSafetensors) self = NULL;

  g_return_val_if_fail (bytes != NULL, NULL);
  g_return_val_if_fail (name != NULL, NULL);

  self = g_object_new (TANDEM_TYPE_SAFETENSORS, NULL);
  self->name = g_strdup (name);
  self->bytes = g_bytes_ref (bytes);
  if (!tandem_safetensors_load (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

/**
 * tandem_safetensors_list_tensors:
 * @self: an open file
 *
 * Returns: (transfer full) (array zero-terminated=1): the names of all tensors,
 *   in the order of their data
 */
char **
tandem_safetensors_list_tensors (TandemSafetensors *self)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();
  guint i;

  g_return_val_if_fail (TANDEM_IS_SAFETENSORS (self), NULL);

  for (i = 0; i < self->header->entries->len; i++) {
    const TandemSafetensorsEntry *entry = g_ptr_array_index (self->header->entries, i);

    g_strv_builder_add (names, entry->name);
  }
  return g_strv_builder_end (names);
}

/**
 * tandem_safetensors_get_info: (skip)
 * @self: an open file
 * @name: a tensor
 * @dtype: (out) (optional): the element type, as the file spells it; it may be
 *   one that #TandemDtype lacks
 * @n_dims: (out) (optional): how many dimensions
 * @shape: (out) (optional) (array length=n_dims): the size of each
 * @size: (out) (optional): the bytes of its data
 *
 * Tells what the header says of a tensor, also of one that
 * tandem_safetensors_get_tensor() refuses. What it points to belongs to @self.
 *
 * Returns: whether the file has a tensor of that name
 */
gboolean
tandem_safetensors_get_info (TandemSafetensors *self, const char *name, const char **dtype,
                             guint *n_dims, const guint64 **shape, guint64 *size)
{
  const TandemSafetensorsEntry *entry;

  g_return_val_if_fail (TANDEM_IS_SAFETENSORS (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);

  entry = tandem_safetensors_header_find (self->header, name);
  if (entry == NULL)
    return FALSE;
  if (dtype != NULL)
    *dtype = entry->dtype_name;
  if (n_dims != NULL)
    *n_dims = entry->n_dims;
  if (shape != NULL)
    *shape = entry->shape;
  if (size != NULL)
    *size = entry->end - entry->begin;
  return TRUE;
}

static const TandemSafetensorsEntry *
find_entry (TandemSafetensors *self, const char *name, GError **error)
{
  const TandemSafetensorsEntry *entry = tandem_safetensors_header_find (self->header, name);

  if (entry == NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "%s: there is no tensor \"%s\"",
                 self->name, name);
  return entry;
}

/**
 * tandem_safetensors_get_tensor:
 * @self: an open file
 * @name: a tensor
 * @error: return location for a #TandemSafetensorsError, or
 *   %G_IO_ERROR_NOT_FOUND when the file has no tensor of that name
 *
 * Makes a tensor that shares the mapping and keeps it alive; nothing is copied.
 * An element type that #TandemDtype lacks is refused here with
 * %TANDEM_SAFETENSORS_ERROR_TENSOR, so that a file with one such tensor serves
 * for its others.
 *
 * Returns: (transfer full): the tensor, or %NULL with @error set
 */
TandemTensor *
tandem_safetensors_get_tensor (TandemSafetensors *self, const char *name, GError **error)
{
  const TandemSafetensorsEntry *entry;
  g_autoptr (GBytes) slice = NULL;
  TandemTensor *tensor;

  g_return_val_if_fail (TANDEM_IS_SAFETENSORS (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  entry = find_entry (self, name, error);
  if (entry == NULL)
    return NULL;
  if (!entry->supported) {
    g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TENSOR,
                 "%s: tensor \"%s\" is stored as %s, which cannot be loaded; convert it to F32",
                 self->name, name, entry->dtype_name);
    return NULL;
  }
  slice = g_bytes_new_from_bytes (self->bytes, self->data_start + entry->begin,
                                  entry->end - entry->begin);
  tensor = tandem_tensor_new (entry->dtype, entry->n_dims, entry->shape, slice, error);
  if (tensor != NULL && self->fd >= 0)
    tandem_tensor_mark_mapped (tensor);
  return tensor;
}

/**
 * tandem_safetensors_list_metadata:
 * @self: an open file
 *
 * Returns: (transfer full) (array zero-terminated=1): the keys of the metadata,
 *   sorted
 */
char **
tandem_safetensors_list_metadata (TandemSafetensors *self)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();
  g_autoptr (GList) keys = NULL;
  GList *l;

  g_return_val_if_fail (TANDEM_IS_SAFETENSORS (self), NULL);

  keys = g_list_sort (g_hash_table_get_keys (self->header->metadata), (GCompareFunc) strcmp);
  for (l = keys; l != NULL; l = l->next)
    g_strv_builder_add (names, l->data);
  return g_strv_builder_end (names);
}

/**
 * tandem_safetensors_get_metadata:
 * @self: an open file
 * @key: a key
 *
 * Returns: (transfer none) (nullable): its value in the metadata, or %NULL when
 *   the file has none
 */
const char *
tandem_safetensors_get_metadata (TandemSafetensors *self, const char *key)
{
  g_return_val_if_fail (TANDEM_IS_SAFETENSORS (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);

  return g_hash_table_lookup (self->header->metadata, key);
}

gboolean
tandem_safetensors_read (TandemSafetensors *self, const char *name, guint64 offset,
                         gpointer buffer, gsize length, GError **error)
{
  const TandemSafetensorsEntry *entry = find_entry (self, name, error);
  guint64 position;
  gsize done = 0;

  if (entry == NULL)
    return FALSE;
  g_return_val_if_fail (offset <= entry->end - entry->begin, FALSE);
  g_return_val_if_fail (length <= entry->end - entry->begin - offset, FALSE);

  position = self->data_start + entry->begin + offset;
  if (self->fd < 0) {
    const guint8 *data = g_bytes_get_data (self->bytes, NULL);

    memcpy (buffer, data + position, length);
    return TRUE;
  }
  while (done < length) {
    gssize n = pread (self->fd, (guint8 *) buffer + done, length - done, position + done);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      int saved = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved),
                   "%s: reading tensor \"%s\": %s", self->name, name, g_strerror (saved));
      return FALSE;
    }
    if (n == 0) {
      g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TRUNCATED,
                   "%s: the file was shortened while it was read", self->name);
      return FALSE;
    }
    done += n;
  }
  return TRUE;
}

const struct stat *
tandem_safetensors_get_stat (TandemSafetensors *self)
{
  return self->fd >= 0 ? &self->stat : NULL;
}

gboolean
tandem_safetensors_is_unchanged (TandemSafetensors *self)
{
  struct stat now;

  return self->fd >= 0 && fstat (self->fd, &now) == 0 && now.st_size == self->stat.st_size &&
         now.st_mtim.tv_sec == self->stat.st_mtim.tv_sec &&
         now.st_mtim.tv_nsec == self->stat.st_mtim.tv_nsec &&
         now.st_ctim.tv_sec == self->stat.st_ctim.tv_sec &&
         now.st_ctim.tv_nsec == self->stat.st_ctim.tv_nsec;
}
