/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Checkpoints: safetensors files with named tensors and numbers written as text.
 *
 * Metadata beside what callers give (all values are strings):
 *   tandem.checkpoint  "1", the version of the format */

#include "config.h"

#include "tandem-checkpoint.h"

#include <errno.h>
#include <string.h>

#include "tandem-train-error.h"
#include "tensor/tandem-safetensors.h"

#define VERSION_KEY "tandem.checkpoint"
#define VERSION "1"

struct _TandemCheckpoint
{
  GObject parent;

  TandemSafetensors *file;
  char *display_path;           /* UTF-8, for messages */
};

G_DEFINE_FINAL_TYPE (TandemCheckpoint, tandem_checkpoint, G_TYPE_OBJECT)

static void
tandem_checkpoint_finalize (GObject *object)
{
  TandemCheckpoint *self = TANDEM_CHECKPOINT (object);

  g_clear_object (&self->file);
  g_free (self->display_path);
  G_OBJECT_CLASS (tandem_checkpoint_parent_class)->finalize (object);
}

static void
tandem_checkpoint_class_init (TandemCheckpointClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_checkpoint_finalize;
}

static void
tandem_checkpoint_init (TandemCheckpoint *self)
{
}

static gboolean G_GNUC_PRINTF (3, 4)
fail (TandemCheckpoint *self, GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_CHECKPOINT, "%s: %s",
               self->display_path, what);
  return FALSE;
}

/**
 * tandem_checkpoint_set_uint64:
 * @metadata: (element-type utf8 utf8): metadata for tandem_checkpoint_write(); it owns its keys
 *   and values, which g_free() releases
 * @key: a key
 * @value: any number
 *
 * Notes a number, which tandem_checkpoint_get_uint64() gives back exactly.
 */
void
tandem_checkpoint_set_uint64 (GHashTable *metadata, const char *key, guint64 value)
{
  g_hash_table_replace (metadata, g_strdup (key), g_strdup_printf ("%" G_GUINT64_FORMAT, value));
}

/**
 * tandem_checkpoint_set_double:
 * @metadata: (element-type utf8 utf8): metadata for tandem_checkpoint_write(); it owns its keys
 *   and values, which g_free() releases
 * @key: a key
 * @value: any number, infinite and NaN too
 *
 * Notes a number, which tandem_checkpoint_get_double() gives back exactly: as decimal digits
 * of which there are enough, whatever the locale.
 */
void
tandem_checkpoint_set_double (GHashTable *metadata, const char *key, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  g_hash_table_replace (metadata, g_strdup (key),
                        g_strdup (g_ascii_dtostr (text, sizeof text, value)));
}

/**
 * tandem_checkpoint_write:
 * @path: (type filename): where to write; an earlier checkpoint there is replaced
 * @metadata: (nullable) (element-type utf8 utf8): text by key
 * @tensors: (element-type utf8 TandemTensor): tensors by name
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #GIOErrorEnum or a #TandemSafetensorsError
 *
 * Writes a checkpoint. It appears at @path whole or not at all, as
 * tandem_safetensors_write() has it: a full disk, a lost process or power loss leave the
 * earlier one. A process that is killed may leave a file beside it whose name begins with a
 * dot; that one is never read.
 *
 * Returns: whether the checkpoint is on the disk
 */
gboolean
tandem_checkpoint_write (const char *path, GHashTable *metadata, GHashTable *tensors,
                         GCancellable *cancellable, GError **error)
{
  g_autoptr (GHashTable) all = g_hash_table_new (g_str_hash, g_str_equal);
  gpointer key, value;
  GHashTableIter iter;

  g_return_val_if_fail (path != NULL, FALSE);
  g_return_val_if_fail (tensors != NULL, FALSE);

  if (metadata != NULL) {
    g_hash_table_iter_init (&iter, metadata);
    while (g_hash_table_iter_next (&iter, &key, &value))
      g_hash_table_insert (all, key, value);
  }
  g_hash_table_insert (all, (gpointer) VERSION_KEY, (gpointer) VERSION);
  return tandem_safetensors_write (path, all, tensors, cancellable, error);
}

/**
 * tandem_checkpoint_open:
 * @path: (type filename): a file that tandem_checkpoint_write() wrote
 * @error: return location for %TANDEM_TRAIN_ERROR_CHECKPOINT, a #TandemSafetensorsError or a
 *   #GIOErrorEnum
 *
 * Opens a checkpoint. The file is mapped; that it is replaced later changes nothing here.
 *
 * Returns: (transfer full): the checkpoint, or %NULL with @error set
 */
TandemCheckpoint *
tandem_checkpoint_open (const char *path, GError **error)
{
  g_autoptr (TandemCheckpoint) self = NULL;
  const char *version;

  g_return_val_if_fail (path != NULL, NULL);

  self = g_object_new (TANDEM_TYPE_CHECKPOINT, NULL);
  self->display_path = g_filename_display_name (path);
  self->file = tandem_safetensors_open (path, error);
  if (self->file == NULL)
    return NULL;
  version = tandem_safetensors_get_metadata (self->file, VERSION_KEY);
  if (version == NULL) {
    fail (self, error, "a safetensors file, but not a checkpoint");
    return NULL;
  }
  if (!g_str_equal (version, VERSION)) {
    fail (self, error, "a checkpoint of version %s; this version reads version " VERSION
          ", update Tandem", version);
    return NULL;
  }
  return g_steal_pointer (&self);
}

/**
 * tandem_checkpoint_check_names:
 * @self: a checkpoint
 * @names: (array zero-terminated=1): the tensors that it is to hold
 * @error: return location for %TANDEM_TRAIN_ERROR_CHECKPOINT, which names the first tensor that
 *   is missing or one too many
 *
 * Returns: whether it holds these tensors and no others
 */
gboolean
tandem_checkpoint_check_names (TandemCheckpoint *self, const char *const *names, GError **error)
{
  g_auto (GStrv) found = NULL;
  g_autoptr (GHashTable) expected = g_hash_table_new (g_str_hash, g_str_equal);
  guint i;

  g_return_val_if_fail (TANDEM_IS_CHECKPOINT (self), FALSE);

  for (i = 0; names[i] != NULL; i++) {
    g_hash_table_add (expected, (gpointer) names[i]);
    if (!tandem_safetensors_get_info (self->file, names[i], NULL, NULL, NULL, NULL))
      return fail (self, error, "tensor \"%s\" is missing; is this the checkpoint of another "
                   "model?", names[i]);
  }
  found = tandem_safetensors_list_tensors (self->file);
  for (i = 0; found[i] != NULL; i++)
    if (!g_hash_table_contains (expected, found[i]))
      return fail (self, error, "tensor \"%s\" is none of this model; is this the checkpoint of "
                   "another one?", found[i]);
  return TRUE;
}

/**
 * tandem_checkpoint_get_tensors:
 * @self: a checkpoint
 * @error: return location for a #TandemSafetensorsError
 *
 * Returns: (transfer full) (element-type utf8 TandemTensor): all tensors by name, in the memory
 *   of the file, or %NULL with @error set
 */
GHashTable *
tandem_checkpoint_get_tensors (TandemCheckpoint *self, GError **error)
{
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (
      g_str_hash, g_str_equal, g_free, (GDestroyNotify) tandem_tensor_unref);
  g_auto (GStrv) names = NULL;
  guint i;

  g_return_val_if_fail (TANDEM_IS_CHECKPOINT (self), NULL);

  names = tandem_safetensors_list_tensors (self->file);
  for (i = 0; names[i] != NULL; i++) {
    TandemTensor *tensor = tandem_safetensors_get_tensor (self->file, names[i], error);

    if (tensor == NULL)
      return NULL;
    g_hash_table_insert (tensors, g_strdup (names[i]), tensor);
  }
  return g_steal_pointer (&tensors);
}

/**
 * tandem_checkpoint_get_string:
 * @self: a checkpoint
 * @key: a key of its metadata
 * @error: return location for %TANDEM_TRAIN_ERROR_CHECKPOINT
 *
 * Returns: (transfer none): the text, or %NULL with @error set when there is none
 */
const char *
tandem_checkpoint_get_string (TandemCheckpoint *self, const char *key, GError **error)
{
  const char *text;

  g_return_val_if_fail (TANDEM_IS_CHECKPOINT (self), NULL);

  text = tandem_safetensors_get_metadata (self->file, key);
  if (text == NULL)
    fail (self, error, "\"%s\" is missing", key);
  return text;
}

/**
 * tandem_checkpoint_get_uint64:
 * @self: a checkpoint
 * @key: a key that tandem_checkpoint_set_uint64() set
 * @value: (out): the number
 * @error: return location for %TANDEM_TRAIN_ERROR_CHECKPOINT
 *
 * Returns: whether there is such a number
 */
gboolean
tandem_checkpoint_get_uint64 (TandemCheckpoint *self, const char *key, guint64 *value,
                              GError **error)
{
  const char *text = tandem_checkpoint_get_string (self, key, error);

  if (text == NULL)
    return FALSE;
  if (!g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, value, NULL))
    return fail (self, error, "\"%s\" is \"%s\", which is not a whole number", key, text);
  return TRUE;
}

/**
 * tandem_checkpoint_get_double:
 * @self: a checkpoint
 * @key: a key that tandem_checkpoint_set_double() set
 * @value: (out): the number
 * @error: return location for %TANDEM_TRAIN_ERROR_CHECKPOINT
 *
 * Returns: whether there is such a number
 */
gboolean
tandem_checkpoint_get_double (TandemCheckpoint *self, const char *key, double *value,
                              GError **error)
{
  const char *text = tandem_checkpoint_get_string (self, key, error);
  char *end;

  if (text == NULL)
    return FALSE;
  *value = g_ascii_strtod (text, &end);
  if (end == text || *end != '\0')
    return fail (self, error, "\"%s\" is \"%s\", which is not a number", key, text);
  return TRUE;
}

static char *
shape_to_string (guint n_dims, const guint64 *shape)
{
  GString *text = g_string_new ("[");
  guint i;

  for (i = 0; i < n_dims; i++)
    g_string_append_printf (text, "%s%" G_GUINT64_FORMAT, i > 0 ? ", " : "", shape[i]);
  g_string_append_c (text, ']');
  return g_string_free (text, FALSE);
}

/**
 * tandem_checkpoint_get_tensor:
 * @self: a checkpoint
 * @name: the name of a tensor
 * @dtype: the type that its elements are to have
 * @n_dims: how many dimensions it is to have
 * @shape: (array length=n_dims): the shape that it is to have
 * @error: return location for %TANDEM_TRAIN_ERROR_CHECKPOINT, which says what there is instead,
 *   or a #GIOErrorEnum
 *
 * Gives a tensor whose memory is the mapping of the file. It may outlive @self.
 *
 * Returns: (transfer full): the tensor, or %NULL with @error set
 */
TandemTensor *
tandem_checkpoint_get_tensor (TandemCheckpoint *self, const char *name, TandemDtype dtype,
                              guint n_dims, const guint64 *shape, GError **error)
{
  const guint64 *found;
  const char *found_dtype;
  guint n_found;

  g_return_val_if_fail (TANDEM_IS_CHECKPOINT (self), NULL);

  if (!tandem_safetensors_get_info (self->file, name, &found_dtype, &n_found, &found, NULL)) {
    fail (self, error, "tensor \"%s\" is missing; is this the checkpoint of another model?",
          name);
    return NULL;
  }
  if (!g_str_equal (found_dtype, tandem_dtype_to_string (dtype)) || n_found != n_dims ||
      memcmp (found, shape, n_dims * sizeof *shape) != 0) {
    g_autofree char *there = shape_to_string (n_found, found);
    g_autofree char *wanted = shape_to_string (n_dims, shape);

    fail (self, error, "tensor \"%s\" is %s %s, this model needs %s %s", name, found_dtype, there,
          tandem_dtype_to_string (dtype), wanted);
    return NULL;
  }
  return tandem_safetensors_get_tensor (self->file, name, error);
}
