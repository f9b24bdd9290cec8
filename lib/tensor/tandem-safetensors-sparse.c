/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sparse tensors in safetensors files. A matrix NAME of which many elements are zero is stored as
 * two tensors that every reader of safetensors finds:
 *
 *   NAME.mask     U8 [(elements + 7) / 8]: a bit for each element, row-major, the lowest first
 *   NAME.values   F32, F16, BF16 or I8 [set bits]: the elements whose bit is set
 *
 * and "tandem.sparse.NAME" in the metadata is "bitmask ROWS,COLUMNS", the shape of NAME. */

#include "config.h"

#include <string.h>

#include "tandem-safetensors-private.h"

#define BITMASK "bitmask "

/* Returns NAME where @name is a part of a sparse tensor, or NULL. */
char *
tandem_safetensors_get_sparse_base (TandemSafetensors *file, const char *name)
{
  static const char *const parts[] = { TANDEM_SPARSE_MASK, TANDEM_SPARSE_VALUES };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (parts); i++) {
    g_autofree char *base = NULL;
    g_autofree char *key = NULL;

    if (!g_str_has_suffix (name, parts[i]))
      continue;
    base = g_strndup (name, strlen (name) - strlen (parts[i]));
    key = g_strconcat (TANDEM_SPARSE_PREFIX, base, NULL);
    if (tandem_safetensors_get_metadata (file, key) != NULL)
      return g_steal_pointer (&base);
  }
  return NULL;
}

/* Reads "bitmask 30522,128". */
static gboolean
parse_shape (const char *text, guint *n_dims, guint64 *shape)
{
  g_auto (GStrv) dims = NULL;
  guint i;

  if (!g_str_has_prefix (text, BITMASK))
    return FALSE;
  dims = g_strsplit (text + strlen (BITMASK), ",", TANDEM_TENSOR_MAX_DIMS + 1);
  *n_dims = g_strv_length (dims);
  if (*n_dims == 0 || *n_dims > TANDEM_TENSOR_MAX_DIMS)
    return FALSE;
  for (i = 0; i < *n_dims; i++)
    if (!g_ascii_string_to_unsigned (dims[i], 10, 0, G_MAXINT64, &shape[i], NULL))
      return FALSE;
  return TRUE;
}

/**
 * tandem_safetensors_get_sparse_tensor:
 * @self: an open file
 * @name: the name of a tensor, without that of one of its parts
 * @error: return location for a #TandemSafetensorsError, or %G_IO_ERROR_NOT_FOUND when the file
 *   has no sparse tensor of that name
 *
 * Makes a tensor that shares the mapping. What the metadata says of it, the sizes of its parts, and
 * that there is a value for each bit of its mask are checked before anything is allocated for it.
 *
 * Returns: (transfer full): the tensor, or %NULL with @error set
 */
TandemSparseTensor *
tandem_safetensors_get_sparse_tensor (TandemSafetensors *self, const char *name, GError **error)
{
  g_autofree char *key = g_strconcat (TANDEM_SPARSE_PREFIX, name, NULL);
  g_autofree char *mask_name = g_strconcat (name, TANDEM_SPARSE_MASK, NULL);
  g_autofree char *values_name = g_strconcat (name, TANDEM_SPARSE_VALUES, NULL);
  const char *text = tandem_safetensors_get_metadata (self, key);
  g_autoptr (TandemTensor) mask = NULL;
  g_autoptr (TandemTensor) values = NULL;
  TandemSparseTensor *tensor;
  guint64 shape[TANDEM_TENSOR_MAX_DIMS];
  guint n_dims;

  if (text == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 "the metadata names no sparse tensor \"%s\"", name);
    return NULL;
  }
  if (!parse_shape (text, &n_dims, shape)) {
    g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TENSOR,
                 "the metadata says that tensor \"%s\" is stored as \"%s\", which this version "
                 "does not know; update Tandem", name, text);
    return NULL;
  }
  mask = tandem_safetensors_get_tensor (self, mask_name, error);
  values = mask != NULL ? tandem_safetensors_get_tensor (self, values_name, error) : NULL;
  if (values == NULL)
    return NULL;
  tensor = tandem_sparse_tensor_new (mask, values, n_dims, shape, error);
  if (tensor == NULL)
    g_prefix_error (error, "the sparse tensor \"%s\" is damaged: ", name);
  return tensor;
}

/**
 * tandem_sparse_tensor_store: (skip)
 * @self: a tensor
 * @name: what it is to be called in the file
 * @metadata: (element-type utf8 utf8): the metadata of the file, with keys and values that are freed
 * @tensors: (element-type utf8 TandemTensor): its tensors
 *
 * Adds the parts of a tensor, and what the metadata says of it, to what
 * tandem_safetensors_write() takes.
 */
void
tandem_sparse_tensor_store (const TandemSparseTensor *self, const char *name,
                            GHashTable *metadata, GHashTable *tensors)
{
  GString *text = g_string_new (BITMASK);
  guint i;

  for (i = 0; i < tandem_sparse_tensor_get_n_dims (self); i++)
    g_string_append_printf (text, "%s%" G_GUINT64_FORMAT, i > 0 ? "," : "",
                            tandem_sparse_tensor_get_dim (self, i));
  g_hash_table_insert (metadata, g_strconcat (TANDEM_SPARSE_PREFIX, name, NULL),
                       g_string_free (text, FALSE));
  g_hash_table_insert (tensors, g_strconcat (name, TANDEM_SPARSE_MASK, NULL),
                       tandem_tensor_ref (tandem_sparse_tensor_get_mask (self)));
  g_hash_table_insert (tensors, g_strconcat (name, TANDEM_SPARSE_VALUES, NULL),
                       tandem_tensor_ref (tandem_sparse_tensor_get_values (self)));
}
