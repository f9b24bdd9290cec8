/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-sparse-tensor.h"

#include <string.h>

#include "tandem-memory.h"
#include "tandem-safetensors.h"

/* Elements between two entries of the index, which is a quarter of the mask. Rows of nearly all
 * embeddings begin with a block, so that nothing has to be counted to find their values. */
#define BLOCK 128

struct _TandemSparseTensor
{
  gatomicrefcount ref_count;
  guint n_dims;
  guint64 shape[TANDEM_TENSOR_MAX_DIMS];
  guint64 n_elements;
  TandemTensor *mask;
  TandemTensor *values;
  guint32 *before;              /* set bits before each block */
};

G_DEFINE_BOXED_TYPE (TandemSparseTensor, tandem_sparse_tensor, tandem_sparse_tensor_ref,
                     tandem_sparse_tensor_unref)

static gboolean
is_possible (TandemDtype dtype)
{
  return dtype == TANDEM_DTYPE_F32 || dtype == TANDEM_DTYPE_F16 || dtype == TANDEM_DTYPE_BF16 ||
      dtype == TANDEM_DTYPE_I8;
}

/* Up to 64 bits of the mask from that of element @first on; those beyond @count are 0. */
static inline guint64
load_bits (const guint8 *mask, gsize size, guint64 first, guint count)
{
  gsize byte = first >> 3;
  guint shift = first & 7;
  guint64 bits = 0;

  memcpy (&bits, mask + byte, MIN (sizeof bits, size - byte));
  bits = GUINT64_FROM_LE (bits) >> shift;
  return count < 64 ? bits & ((G_GUINT64_CONSTANT (1) << count) - 1) : bits;
}

/* How many bits are set from element @first on. */
static guint64
count_bits (const guint8 *mask, gsize size, guint64 first, guint64 count)
{
  guint64 n = 0;

  while (count > 0) {
    guint step = (guint) MIN (count, 64 - (first & 7));

    n += __builtin_popcountll (load_bits (mask, size, first, step));
    first += step;
    count -= step;
  }
  return n;
}

static guint64
make_index (TandemSparseTensor *self)
{
  guint64 n_blocks = (self->n_elements + BLOCK - 1) / BLOCK, sum = 0, i;
  gsize size;
  const guint8 *mask = tandem_tensor_get_data (self->mask, &size);

  self->before = g_new (guint32, n_blocks + 1);
  for (i = 0; i < n_blocks; i++) {
    self->before[i] = (guint32) sum;
    sum += count_bits (mask, size, i * BLOCK, MIN (BLOCK, self->n_elements - i * BLOCK));
  }
  self->before[n_blocks] = (guint32) sum;
  return sum;
}

static gboolean
set_shape (TandemSparseTensor *self, guint n_dims, const guint64 *shape)
{
  guint i;

  self->n_dims = n_dims;
  self->n_elements = 1;
  for (i = 0; i < n_dims; i++) {
    self->shape[i] = shape[i];
    if (!g_uint64_checked_mul (&self->n_elements, self->n_elements, shape[i]) ||
        self->n_elements > G_MAXINT64 / 8)
      return FALSE;
  }
  return TRUE;
}

static gboolean
is_flat (const TandemTensor *tensor)
{
  return tandem_tensor_get_n_dims (tensor) == 1;
}

static gboolean
check_parts (const TandemSparseTensor *self, GError **error)
{
  TandemDtype mask = tandem_tensor_get_dtype (self->mask);
  TandemDtype values = tandem_tensor_get_dtype (self->values);
  guint64 size = tandem_tensor_get_n_elements (self->mask);
  guint64 wanted = (self->n_elements + 7) / 8;
  const guint8 *bits = tandem_tensor_get_data (self->mask, NULL);

  if (mask != TANDEM_DTYPE_U8 || !is_flat (self->mask) || size != wanted) {
    g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TENSOR,
                 "its mask is %" G_GUINT64_FORMAT " elements of %s; %" G_GUINT64_FORMAT
                 " elements take %" G_GUINT64_FORMAT " of U8 in one dimension", size,
                 tandem_dtype_to_string (mask), self->n_elements, wanted);
    return FALSE;
  }
  if (self->n_elements % 8 != 0 && bits[size - 1] >> (self->n_elements % 8) != 0) {
    g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TENSOR,
                 "bits are set in its mask behind that of the last of %" G_GUINT64_FORMAT
                 " elements", self->n_elements);
    return FALSE;
  }
  if (!is_possible (values) || !is_flat (self->values)) {
    g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TENSOR,
                 "its values are of type %s in %u dimensions; F32, F16, BF16 or I8 in one are possible",
                 tandem_dtype_to_string (values), tandem_tensor_get_n_dims (self->values));
    return FALSE;
  }
  return TRUE;
}

/**
 * tandem_sparse_tensor_new:
 * @mask: U8 of one dimension: bit i modulo 8 of byte i / 8, the lowest first, is set where element
 *   i, counted row-major, has a value; bits behind the last element are 0
 * @values: F32, F16, BF16 or I8 of one dimension: the values, in the order of the elements
 * @n_dims: how many dimensions, at most %TANDEM_TENSOR_MAX_DIMS
 * @shape: (array length=n_dims): the size of each
 * @error: return location for %TANDEM_SAFETENSORS_ERROR_TENSOR when the parts do not go together, or
 *   %TANDEM_SAFETENSORS_ERROR_LIMIT when there are more than %G_MAXUINT32 values
 *
 * Makes a sparse tensor of its parts, which it shares. Each byte of the mask is read, the values
 * are not touched.
 *
 * Returns: (transfer full): the tensor, or %NULL with @error set
 */
TandemSparseTensor *
tandem_sparse_tensor_new (TandemTensor *mask, TandemTensor *values, guint n_dims,
                          const guint64 *shape, GError **error)
{
  g_autoptr (TandemSparseTensor) self = NULL;
  guint64 n_set, n_values;

  g_return_val_if_fail (mask != NULL && values != NULL, NULL);
  g_return_val_if_fail (n_dims <= TANDEM_TENSOR_MAX_DIMS, NULL);

  self = g_new0 (TandemSparseTensor, 1);
  g_atomic_ref_count_init (&self->ref_count);
  self->mask = tandem_tensor_ref (mask);
  self->values = tandem_tensor_ref (values);
  if (!set_shape (self, n_dims, shape)) {
    g_set_error_literal (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TENSOR,
                         "its shape has more elements than can be counted");
    return NULL;
  }
  if (!check_parts (self, error))
    return NULL;
  if (tandem_tensor_get_n_elements (values) > G_MAXUINT32) {
    g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_LIMIT,
                 "it has %" G_GUINT64_FORMAT " values, at most %u are possible",
                 tandem_tensor_get_n_elements (values), G_MAXUINT32);
    return NULL;
  }
  n_set = make_index (self);
  n_values = tandem_tensor_get_n_elements (values);
  if (n_set != n_values) {
    g_set_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TENSOR,
                 "its mask has %" G_GUINT64_FORMAT " bits set, there are %" G_GUINT64_FORMAT
                 " values", n_set, n_values);
    return NULL;
  }
  return g_steal_pointer (&self);
}

/* Whether any bit of an element is set: a negative zero is kept as it is. */
static inline gboolean
is_set (const guint8 *element, gsize size)
{
  guint32 word;
  guint16 half;

  if (size == 1)
    return *element != 0;
  if (size == sizeof word) {
    memcpy (&word, element, sizeof word);
    return word != 0;
  }
  memcpy (&half, element, sizeof half);
  return half != 0;
}

/* Returns a bit for each element that is not zero. */
static guint8 *
find_values (const guint8 *data, guint64 n, gsize element)
{
  guint8 *mask = g_malloc0 ((n + 7) / 8);
  guint64 i;

  for (i = 0; i < n; i++)
    if (is_set (data + i * element, element))
      mask[i >> 3] |= 1 << (i & 7);
  return mask;
}

/**
 * tandem_sparse_tensor_new_from_dense: (skip)
 * @tensor: a tensor of type F32, F16, BF16 or I8
 * @mask: (nullable): which elements to keep, zeros among them included, as
 *   tandem_sparse_tensor_new() takes it; %NULL: those that are not zero
 *
 * Makes a sparse tensor of what is kept; where that is all but zeros it gives the same bits when it
 * is expanded.
 *
 * Returns: (transfer full) (nullable): the tensor, or %NULL when @tensor is of another type
 */
TandemSparseTensor *
tandem_sparse_tensor_new_from_dense (const TandemTensor *tensor, const guint8 *mask)
{
  const guint8 *data = tandem_tensor_get_data (tensor, NULL);
  guint64 n = tandem_tensor_get_n_elements (tensor), n_mask = (n + 7) / 8, n_values, i;
  guint64 shape[TANDEM_TENSOR_MAX_DIMS];
  g_autofree guint8 *bits = NULL;
  g_autofree guint8 *values = NULL;
  g_autoptr (GBytes) mask_bytes = NULL;
  g_autoptr (GBytes) value_bytes = NULL;
  g_autoptr (TandemTensor) mask_tensor = NULL;
  g_autoptr (TandemTensor) value_tensor = NULL;
  gsize element;
  guint dim;

  if (!is_possible (tandem_tensor_get_dtype (tensor)))
    return NULL;
  element = tandem_dtype_get_size (tandem_tensor_get_dtype (tensor));
  bits = mask != NULL ? g_memdup2 (mask, n_mask) : find_values (data, n, element);
  values = g_malloc (count_bits (bits, n_mask, 0, n) * element);
  for (i = 0, n_values = 0; i < n; i++)
    if (bits[i >> 3] >> (i & 7) & 1)
      memcpy (values + n_values++ * element, data + i * element, element);

  mask_bytes = g_bytes_new_take (g_steal_pointer (&bits), n_mask);
  value_bytes = g_bytes_new_take (g_steal_pointer (&values), n_values * element);
  mask_tensor = tandem_tensor_new (TANDEM_DTYPE_U8, 1, &n_mask, mask_bytes, NULL);
  value_tensor = tandem_tensor_new (tandem_tensor_get_dtype (tensor), 1, &n_values, value_bytes,
                                    NULL);
  for (dim = 0; dim < tandem_tensor_get_n_dims (tensor); dim++)
    shape[dim] = tandem_tensor_get_dim (tensor, dim);
  return tandem_sparse_tensor_new (mask_tensor, value_tensor, dim, shape, NULL);
}

/**
 * tandem_sparse_tensor_ref:
 * @self: a tensor
 *
 * Returns: (transfer full): the same
 */
TandemSparseTensor *
tandem_sparse_tensor_ref (TandemSparseTensor *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/**
 * tandem_sparse_tensor_unref:
 * @self: (transfer full): a tensor
 *
 * Lets go of a reference.
 */
void
tandem_sparse_tensor_unref (TandemSparseTensor *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  tandem_tensor_unref (self->mask);
  tandem_tensor_unref (self->values);
  g_free (self->before);
  g_free (self);
}

/**
 * tandem_sparse_tensor_get_dtype:
 * @self: a tensor
 *
 * Returns: the type of its elements
 */
TandemDtype
tandem_sparse_tensor_get_dtype (const TandemSparseTensor *self)
{
  return tandem_tensor_get_dtype (self->values);
}

/**
 * tandem_sparse_tensor_get_n_dims:
 * @self: a tensor
 *
 * Returns: how many dimensions the expanded tensor has
 */
guint
tandem_sparse_tensor_get_n_dims (const TandemSparseTensor *self)
{
  return self->n_dims;
}

/**
 * tandem_sparse_tensor_get_dim:
 * @self: a tensor
 * @index: a dimension
 *
 * Returns: its size
 */
guint64
tandem_sparse_tensor_get_dim (const TandemSparseTensor *self, guint index)
{
  g_return_val_if_fail (index < self->n_dims, 0);
  return self->shape[index];
}

/**
 * tandem_sparse_tensor_get_n_elements:
 * @self: a tensor
 *
 * Returns: the elements of the expanded tensor
 */
guint64
tandem_sparse_tensor_get_n_elements (const TandemSparseTensor *self)
{
  return self->n_elements;
}

/**
 * tandem_sparse_tensor_get_n_values:
 * @self: a tensor
 *
 * Returns: how many of its elements have a value
 */
guint64
tandem_sparse_tensor_get_n_values (const TandemSparseTensor *self)
{
  return tandem_tensor_get_n_elements (self->values);
}

/**
 * tandem_sparse_tensor_get_n_bytes:
 * @self: a tensor
 *
 * Returns: the bytes of mask and values
 */
guint64
tandem_sparse_tensor_get_n_bytes (const TandemSparseTensor *self)
{
  gsize mask, values;

  tandem_tensor_get_data (self->mask, &mask);
  tandem_tensor_get_data (self->values, &values);
  return (guint64) mask + values;
}

/**
 * tandem_sparse_tensor_get_mask:
 * @self: a tensor
 *
 * Returns: (transfer none): its mask, as tandem_sparse_tensor_new() takes it
 */
TandemTensor *
tandem_sparse_tensor_get_mask (const TandemSparseTensor *self)
{
  return self->mask;
}

/**
 * tandem_sparse_tensor_get_values:
 * @self: a tensor
 *
 * Returns: (transfer none): its values
 */
TandemTensor *
tandem_sparse_tensor_get_values (const TandemSparseTensor *self)
{
  return self->values;
}

/**
 * tandem_sparse_tensor_count_before:
 * @self: a tensor
 * @first: an element, counted row-major, or the number of elements
 *
 * Returns: how many elements before @first have a value: which one of the values is that of the first
 *   element from @first on that has one. Takes a constant time
 */
guint64
tandem_sparse_tensor_count_before (const TandemSparseTensor *self, guint64 first)
{
  gsize size;
  const guint8 *mask = tandem_tensor_get_data (self->mask, &size);

  g_return_val_if_fail (first <= self->n_elements, 0);

  return self->before[first / BLOCK] +
      count_bits (mask, size, first / BLOCK * BLOCK, first % BLOCK);
}

/**
 * tandem_sparse_tensor_expand: (skip)
 * @self: a tensor
 * @first: the first element, counted row-major
 * @count: how many; @first and @count together are no more than there are
 * @out: room for @count elements of its type
 *
 * Writes a range of elements, zeros included. Any thread may do so.
 */
void
tandem_sparse_tensor_expand (const TandemSparseTensor *self, guint64 first, guint64 count,
                             gpointer out)
{
  gsize element = tandem_dtype_get_size (tandem_sparse_tensor_get_dtype (self)), size;
  const guint8 *mask = tandem_tensor_get_data (self->mask, &size);
  const guint8 *values = tandem_tensor_get_data (self->values, NULL);
  guint8 *to = out;

  g_return_if_fail (first <= self->n_elements && count <= self->n_elements - first);

  memset (out, 0, count * element);
  if (count == 0)
    return;
  values += element * tandem_sparse_tensor_count_before (self, first);
  while (count > 0) {
    guint step = (guint) MIN (count, 64 - (first & 7));
    guint64 bits = load_bits (mask, size, first, step);

    /* A size that the compiler knows makes each copy one instruction. */
    if (element == 4) {
      for (; bits != 0; bits &= bits - 1, values += 4)
        memcpy (to + 4 * __builtin_ctzll (bits), values, 4);
    } else if (element == 2) {
      for (; bits != 0; bits &= bits - 1, values += 2)
        memcpy (to + 2 * __builtin_ctzll (bits), values, 2);
    } else {
      for (; bits != 0; bits &= bits - 1, values++)
        to[__builtin_ctzll (bits)] = *values;
    }
    to += step * element;
    first += step;
    count -= step;
  }
}

/**
 * tandem_sparse_tensor_to_dense:
 * @self: a tensor
 * @error: return location for %G_IO_ERROR_FAILED when there is no memory
 *
 * Returns: (transfer full): a tensor with all elements in memory of its own, or %NULL with @error
 *   set
 */
TandemTensor *
tandem_sparse_tensor_to_dense (const TandemSparseTensor *self, GError **error)
{
  TandemDtype dtype = tandem_sparse_tensor_get_dtype (self);
  gsize size = tandem_dtype_get_size (dtype);
  gpointer data = tandem_memory_try_new (self->n_elements, size);
  g_autoptr (GBytes) bytes = NULL;

  if (data == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                 "no memory for %" G_GUINT64_FORMAT " elements of %" G_GSIZE_FORMAT " bytes",
                 self->n_elements, size);
    return NULL;
  }
  tandem_sparse_tensor_expand (self, 0, self->n_elements, data);
  bytes = g_bytes_new_with_free_func (data, self->n_elements * size, tandem_memory_free, data);
  return tandem_tensor_new (dtype, self->n_dims, self->shape, bytes, error);
}
