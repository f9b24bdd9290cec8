/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-tensor.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tandem-half-private.h"
#include "tandem-safetensors-private.h"

struct _TandemTensor
{
  gatomicrefcount ref_count;
  TandemDtype dtype;
  guint n_dims;
  guint64 shape[TANDEM_TENSOR_MAX_DIMS];
  guint64 n_elements;
  gboolean is_mapped;           /* bytes are a part of a mapped file */
  GBytes *bytes;
};

G_DEFINE_BOXED_TYPE (TandemTensor, tandem_tensor, tandem_tensor_ref, tandem_tensor_unref)

static const struct
{
  const char *name;
  gsize size;
} dtypes[] = {
  [TANDEM_DTYPE_F32] = { "F32", 4 },   [TANDEM_DTYPE_F16] = { "F16", 2 },
  [TANDEM_DTYPE_BF16] = { "BF16", 2 }, [TANDEM_DTYPE_F64] = { "F64", 8 },
  [TANDEM_DTYPE_I8] = { "I8", 1 },     [TANDEM_DTYPE_U8] = { "U8", 1 },
  [TANDEM_DTYPE_I16] = { "I16", 2 },   [TANDEM_DTYPE_I32] = { "I32", 4 },
  [TANDEM_DTYPE_I64] = { "I64", 8 },   [TANDEM_DTYPE_BOOL] = { "BOOL", 1 },
};

/**
 * tandem_dtype_get_size:
 * @dtype: an element type
 *
 * Returns: the bytes of one element
 */
gsize
tandem_dtype_get_size (TandemDtype dtype)
{
  g_return_val_if_fail ((guint) dtype < G_N_ELEMENTS (dtypes), 0);
  return dtypes[dtype].size;
}

/**
 * tandem_dtype_to_string:
 * @dtype: an element type
 *
 * Returns: (transfer none): its name in safetensors files, as "F32"
 */
const char *
tandem_dtype_to_string (TandemDtype dtype)
{
  g_return_val_if_fail ((guint) dtype < G_N_ELEMENTS (dtypes), NULL);
  return dtypes[dtype].name;
}

/**
 * tandem_dtype_from_string:
 * @name: a name as safetensors files hold it
 * @dtype: (out): the element type of that name
 *
 * Returns: whether there is an element type of that name
 */
gboolean
tandem_dtype_from_string (const char *name, TandemDtype *dtype)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS (dtypes); i++) {
    if (g_strcmp0 (name, dtypes[i].name) == 0) {
      *dtype = i;
      return TRUE;
    }
  }
  return FALSE;
}

/**
 * tandem_tensor_new:
 * @dtype: the element type
 * @n_dims: how many dimensions; 0 makes a scalar
 * @shape: (array length=n_dims): the size of each dimension
 * @bytes: (transfer none): the elements, row-major and little-endian; their
 *   start need not be aligned
 * @error: return location for a #GIOErrorEnum
 *
 * Makes a tensor that shares @bytes. It is refused when the shape overflows,
 * has more than %TANDEM_TENSOR_MAX_DIMS dimensions, or needs another number of
 * bytes than @bytes holds.
 *
 * Returns: (transfer full): a new tensor, or %NULL with @error set
 */
TandemTensor *
tandem_tensor_new (TandemDtype dtype, guint n_dims, const guint64 *shape, GBytes *bytes,
                   GError **error)
{
  TandemTensor *tensor;
  guint64 n_elements = 1, size;
  guint i;

  g_return_val_if_fail ((guint) dtype < G_N_ELEMENTS (dtypes), NULL);

  if (n_dims > TANDEM_TENSOR_MAX_DIMS) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "a tensor of %u dimensions; at most %d are possible", n_dims,
                 TANDEM_TENSOR_MAX_DIMS);
    return NULL;
  }
  for (i = 0; i < n_dims; i++) {
    if (!g_uint64_checked_mul (&n_elements, n_elements, shape[i])) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "the shape of the tensor overflows");
      return NULL;
    }
  }
  if (!g_uint64_checked_mul (&size, n_elements, dtypes[dtype].size) ||
      size != g_bytes_get_size (bytes)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "the shape needs %" G_GUINT64_FORMAT " elements of %s, the data has %"
                 G_GSIZE_FORMAT " bytes", n_elements, dtypes[dtype].name,
                 g_bytes_get_size (bytes));
    return NULL;
  }

  tensor = g_new0 (TandemTensor, 1);
  g_atomic_ref_count_init (&tensor->ref_count);
  tensor->dtype = dtype;
  tensor->n_dims = n_dims;
  if (n_dims > 0)
    memcpy (tensor->shape, shape, n_dims * sizeof *shape);
  tensor->n_elements = n_elements;
  tensor->bytes = g_bytes_ref (bytes);
  return tensor;
}

/**
 * tandem_tensor_ref:
 * @tensor: a tensor
 *
 * Returns: (transfer full): @tensor, with one more reference
 */
TandemTensor *
tandem_tensor_ref (TandemTensor *tensor)
{
  g_atomic_ref_count_inc (&tensor->ref_count);
  return tensor;
}

/**
 * tandem_tensor_unref:
 * @tensor: (transfer full): a tensor
 *
 * Releases one reference.
 */
void
tandem_tensor_unref (TandemTensor *tensor)
{
  if (!g_atomic_ref_count_dec (&tensor->ref_count))
    return;
  g_bytes_unref (tensor->bytes);
  g_free (tensor);
}

/**
 * tandem_tensor_get_dtype:
 * @tensor: a tensor
 *
 * Returns: the type of its elements
 */
TandemDtype
tandem_tensor_get_dtype (const TandemTensor *tensor)
{
  return tensor->dtype;
}

/**
 * tandem_tensor_get_n_dims:
 * @tensor: a tensor
 *
 * Returns: how many dimensions it has
 */
guint
tandem_tensor_get_n_dims (const TandemTensor *tensor)
{
  return tensor->n_dims;
}

/**
 * tandem_tensor_get_dim:
 * @tensor: a tensor
 * @index: a dimension, less than tandem_tensor_get_n_dims()
 *
 * Returns: the size of that dimension
 */
guint64
tandem_tensor_get_dim (const TandemTensor *tensor, guint index)
{
  g_return_val_if_fail (index < tensor->n_dims, 0);
  return tensor->shape[index];
}

/**
 * tandem_tensor_get_n_elements:
 * @tensor: a tensor
 *
 * Returns: the product of its dimensions
 */
guint64
tandem_tensor_get_n_elements (const TandemTensor *tensor)
{
  return tensor->n_elements;
}

/**
 * tandem_tensor_get_data: (skip)
 * @tensor: a tensor
 * @size: (out) (optional): the bytes of all elements
 *
 * Returns: (transfer none): the first element; not necessarily aligned
 */
gconstpointer
tandem_tensor_get_data (const TandemTensor *tensor, gsize *size)
{
  return g_bytes_get_data (tensor->bytes, size);
}

/**
 * tandem_tensor_get_bytes:
 * @tensor: a tensor
 *
 * Returns: (transfer none): the memory of its elements
 */
GBytes *
tandem_tensor_get_bytes (const TandemTensor *tensor)
{
  return tensor->bytes;
}

/* Says that the bytes are a part of a read-only mapping of a file. */
void
tandem_tensor_mark_mapped (TandemTensor *tensor)
{
  tensor->is_mapped = TRUE;
}

/**
 * tandem_tensor_copy_f32: (skip)
 * @tensor: a tensor of a floating-point or 8-bit integer type
 * @first: the first element to copy, counted row-major
 * @count: how many
 * @out: (array length=count): room for them
 *
 * Converts elements to 32-bit floats; exact for every type but F64.
 *
 * Returns: whether the type can be converted and the elements exist
 */
gboolean
tandem_tensor_copy_f32 (const TandemTensor *tensor, guint64 first, guint64 count, float *out)
{
  const guint8 *data = g_bytes_get_data (tensor->bytes, NULL);
  guint64 i;

  if (first > tensor->n_elements || count > tensor->n_elements - first)
    return FALSE;
  if (count == 0)
    return TRUE;
  data += first * dtypes[tensor->dtype].size;

  switch (tensor->dtype) {
    case TANDEM_DTYPE_F32:
      memcpy (out, data, count * sizeof (float));
      return TRUE;
    case TANDEM_DTYPE_F16:
      for (i = 0; i < count; i++) {
        guint16 h;

        memcpy (&h, data + 2 * i, sizeof h);
        out[i] = tandem_f16_to_float (h);
      }
      return TRUE;
    case TANDEM_DTYPE_BF16:
      for (i = 0; i < count; i++) {
        guint16 h;

        memcpy (&h, data + 2 * i, sizeof h);
        out[i] = tandem_bf16_to_float (h);
      }
      return TRUE;
    case TANDEM_DTYPE_F64:
      for (i = 0; i < count; i++) {
        double d;

        memcpy (&d, data + 8 * i, sizeof d);
        out[i] = (float) d;
      }
      return TRUE;
    case TANDEM_DTYPE_I8:
      for (i = 0; i < count; i++)
        out[i] = (gint8) data[i];
      return TRUE;
    case TANDEM_DTYPE_U8:
      for (i = 0; i < count; i++)
        out[i] = data[i];
      return TRUE;
    case TANDEM_DTYPE_I16:
    case TANDEM_DTYPE_I32:
    case TANDEM_DTYPE_I64:
    case TANDEM_DTYPE_BOOL:
      break;
  }
  return FALSE;
}

/**
 * tandem_tensor_release_pages: (skip)
 * @tensor: a tensor whose elements were copied to another layout
 *
 * Tells the system that the pages of a mapped file that lie wholly inside the
 * tensor are not needed soon, so that they do not count as memory in use. They
 * are read again when touched. Tensors in memory of their own stay as they are.
 */
void
tandem_tensor_release_pages (const TandemTensor *tensor)
{
  gsize size;
  guintptr start = (guintptr) g_bytes_get_data (tensor->bytes, &size);
  guintptr page = (guintptr) sysconf (_SC_PAGESIZE);
  guintptr first = (start + page - 1) / page * page;
  guintptr end = (start + size) / page * page;

  if (tensor->is_mapped && end > first)
    madvise ((void *) first, end - first, MADV_DONTNEED);
}
