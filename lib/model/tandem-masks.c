/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "model/tandem-masks.h"

#include <string.h>

#include "model/tandem-model-private.h"
#include "tensor/tandem-safetensors-private.h"

/* A file of masks: the tensors NAME.mask as sparse tensors have them, by canonical name, and in the
 * metadata the fingerprint of the model that they are for. */
#define KEY "tandem.masks"

typedef struct
{
  guint8 *bits;                 /* (n_elements + 7) / 8 bytes; those behind the last are 0 */
  guint64 n_elements;
} Mask;

struct _TandemMasks
{
  gatomicrefcount ref_count;
  GHashTable *masks;            /* canonical name -> Mask */
};

G_DEFINE_BOXED_TYPE (TandemMasks, tandem_masks, tandem_masks_ref, tandem_masks_unref)

static void
mask_free (gpointer data)
{
  Mask *mask = data;

  g_free (mask->bits);
  g_free (mask);
}

/**
 * tandem_masks_new:
 *
 * Returns: (transfer full): masks of no tensor
 */
TandemMasks *
tandem_masks_new (void)
{
  TandemMasks *self = g_new0 (TandemMasks, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->masks = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, mask_free);
  return self;
}

/**
 * tandem_masks_ref:
 * @self: masks
 *
 * Returns: (transfer full): the same
 */
TandemMasks *
tandem_masks_ref (TandemMasks *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/**
 * tandem_masks_unref:
 * @self: (transfer full): masks
 *
 * Lets go of a reference.
 */
void
tandem_masks_unref (TandemMasks *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_hash_table_unref (self->masks);
  g_free (self);
}

/**
 * tandem_masks_add: (skip)
 * @self: masks that nobody else uses
 * @name: the canonical name of a tensor
 * @bits: (array): (n_elements + 7) / 8 bytes: bit i modulo 8 of byte i / 8 is set where element i is
 *   kept
 * @n_elements: how many elements the tensor has
 *
 * Adds the mask of a tensor. Where there is one already, elements are kept that both keep.
 */
void
tandem_masks_add (TandemMasks *self, const char *name, const guint8 *bits, guint64 n_elements)
{
  Mask *mask = g_hash_table_lookup (self->masks, name);
  gsize size = (n_elements + 7) / 8, i;

  if (mask == NULL) {
    mask = g_new (Mask, 1);
    mask->bits = g_memdup2 (bits, size);
    mask->n_elements = n_elements;
    g_hash_table_insert (self->masks, g_strdup (name), mask);
    return;
  }
  g_return_if_fail (mask->n_elements == n_elements);
  for (i = 0; i < size; i++)
    mask->bits[i] &= bits[i];
}

/**
 * tandem_masks_add_all:
 * @self: masks that nobody else uses
 * @others: masks of a model of the same shape
 *
 * Adds all masks of @others, as tandem_masks_add() does.
 */
void
tandem_masks_add_all (TandemMasks *self, const TandemMasks *others)
{
  GHashTableIter iter;
  gpointer name, value;

  g_hash_table_iter_init (&iter, others->masks);
  while (g_hash_table_iter_next (&iter, &name, &value)) {
    const Mask *mask = value;

    tandem_masks_add (self, name, mask->bits, mask->n_elements);
  }
}

/**
 * tandem_masks_new_from_model:
 * @model: a model
 *
 * Returns: (transfer full): the masks of those of its tensors that are stored sparse
 */
TandemMasks *
tandem_masks_new_from_model (TandemModel *model)
{
  g_auto (GStrv) names = tandem_model_list_tensors (model);
  TandemMasks *self = tandem_masks_new ();
  guint i;

  for (i = 0; names[i] != NULL; i++) {
    g_autoptr (TandemSparseTensor) tensor = tandem_model_get_sparse_tensor (model, names[i]);

    if (tensor != NULL)
      tandem_masks_add (self, names[i],
                        tandem_tensor_get_data (tandem_sparse_tensor_get_mask (tensor), NULL),
                        tandem_sparse_tensor_get_n_elements (tensor));
  }
  return self;
}

static gboolean
load_mask (TandemMasks *self, TandemSafetensors *file, const char *tensor_name,
           const TandemModelSpec *spec, const char *path, GError **error)
{
  g_autoptr (TandemTensor) tensor = tandem_safetensors_get_tensor (file, tensor_name, error);
  guint64 n = spec->n_dims == 2 ? spec->shape[0] * spec->shape[1] : spec->shape[0];
  const guint8 *bits;

  if (tensor == NULL)
    return FALSE;
  bits = tandem_tensor_get_data (tensor, NULL);
  if (tandem_tensor_get_dtype (tensor) != TANDEM_DTYPE_U8 ||
      tandem_tensor_get_n_elements (tensor) != (n + 7) / 8 ||
      (n % 8 != 0 && bits[n / 8] >> (n % 8) != 0)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: \"%s\" is no mask of the %" G_GUINT64_FORMAT " elements of that tensor", path,
                 tensor_name, n);
    return FALSE;
  }
  tandem_masks_add (self, spec->name, bits, n);
  return TRUE;
}

/**
 * tandem_masks_load:
 * @path: (type filename): a file that tandem_masks_save() wrote
 * @model: the model that the masks are to be used with: whole, or a stage file of it
 * @error: return location for %TANDEM_MODEL_ERROR_TENSOR when the masks are those of another
 *   model or damaged, a #TandemSafetensorsError or a #GIOErrorEnum
 *
 * Reads the masks of those tensors that @model holds.
 *
 * Returns: (transfer full): the masks, or %NULL with @error set
 */
TandemMasks *
tandem_masks_load (const char *path, TandemModel *model, GError **error)
{
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, error);
  g_autofree char *display = g_filename_display_name (path);
  g_autoptr (TandemMasks) self = NULL;
  g_autoptr (GPtrArray) specs = NULL;
  const char *of;
  guint i;

  if (file == NULL)
    return NULL;
  of = tandem_safetensors_get_metadata (file, KEY);
  if (of == NULL) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: is no file of masks", display);
    return NULL;
  }
  if (!g_str_equal (of, model->fingerprint)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: the masks are those of the model %.12s..., not of %s, which is %.12s...",
                 display, of, model->display_path, model->fingerprint);
    return NULL;
  }
  self = tandem_masks_new ();
  specs = tandem_model_list_specs (&model->config, model->first, model->last, model->has_pooler,
                                   model->has_classifier);
  for (i = 0; i < specs->len; i++) {
    const TandemModelSpec *spec = g_ptr_array_index (specs, i);
    g_autofree char *name = g_strconcat (spec->name, TANDEM_SPARSE_MASK, NULL);

    if (tandem_safetensors_get_info (file, name, NULL, NULL, NULL, NULL) &&
        !load_mask (self, file, name, spec, display, error))
      return NULL;
  }
  return g_steal_pointer (&self);
}

/**
 * tandem_masks_save:
 * @self: masks
 * @model: the model that they are for
 * @path: (type filename): where to write
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #GIOErrorEnum
 *
 * Writes a file that tandem_masks_load() takes with the same model, and with its stage files.
 *
 * Returns: whether the file was written
 */
gboolean
tandem_masks_save (TandemMasks *self, TandemModel *model, const char *path,
                   GCancellable *cancellable, GError **error)
{
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (
      g_str_hash, g_str_equal, g_free, (GDestroyNotify) tandem_tensor_unref);
  GHashTableIter iter;
  gpointer name, value;

  g_return_val_if_fail (TANDEM_IS_MODEL (model), FALSE);

  g_hash_table_insert (metadata, (gpointer) KEY, model->fingerprint);
  g_hash_table_iter_init (&iter, self->masks);
  while (g_hash_table_iter_next (&iter, &name, &value)) {
    const Mask *mask = value;
    guint64 size = (mask->n_elements + 7) / 8;
    g_autoptr (GBytes) bytes = g_bytes_new_static (mask->bits, size);

    g_hash_table_insert (tensors, g_strconcat (name, TANDEM_SPARSE_MASK, NULL),
                         tandem_tensor_new (TANDEM_DTYPE_U8, 1, &size, bytes, NULL));
  }
  return tandem_safetensors_write (path, metadata, tensors, cancellable, error);
}

/**
 * tandem_masks_get: (skip)
 * @self: masks
 * @name: the canonical name of a tensor
 * @n_elements: (out) (optional): how many elements it has
 *
 * Returns: (nullable): the bits as for tandem_masks_add(), or %NULL when the tensor has no mask
 */
const guint8 *
tandem_masks_get (const TandemMasks *self, const char *name, guint64 *n_elements)
{
  const Mask *mask = g_hash_table_lookup (self->masks, name);

  if (mask != NULL && n_elements != NULL)
    *n_elements = mask->n_elements;
  return mask != NULL ? mask->bits : NULL;
}

/**
 * tandem_masks_list:
 * @self: masks
 *
 * Returns: (transfer full) (array zero-terminated=1): the canonical names of the tensors that have
 *   a mask, sorted
 */
char **
tandem_masks_list (const TandemMasks *self)
{
  g_autoptr (GList) names = g_list_sort (g_hash_table_get_keys (self->masks),
                                         (GCompareFunc) strcmp);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  GList *l;

  for (l = names; l != NULL; l = l->next)
    g_strv_builder_add (builder, l->data);
  return g_strv_builder_end (builder);
}

/**
 * tandem_masks_count:
 * @self: masks
 * @n_elements: (out) (optional): the elements of all tensors that have a mask
 * @n_kept: (out) (optional): how many of them are kept
 *
 * Counts elements.
 */
void
tandem_masks_count (const TandemMasks *self, guint64 *n_elements, guint64 *n_kept)
{
  guint64 n = 0, kept = 0;
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->masks);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const Mask *mask = value;
    gsize i;

    n += mask->n_elements;
    for (i = 0; i < (mask->n_elements + 7) / 8; i++)
      kept += __builtin_popcount (mask->bits[i]);
  }
  if (n_elements != NULL)
    *n_elements = n;
  if (n_kept != NULL)
    *n_kept = kept;
}

static TandemTensor *
apply (const Mask *mask, const TandemTensor *tensor)
{
  gsize size = tandem_dtype_get_size (tandem_tensor_get_dtype (tensor)), length;
  const guint8 *data = tandem_tensor_get_data (tensor, &length);
  guint8 *out = g_memdup2 (data, length);
  g_autoptr (GBytes) bytes = g_bytes_new_take (out, length);
  guint64 shape[TANDEM_TENSOR_MAX_DIMS], i;
  guint dim;

  for (i = 0; i < mask->n_elements; i++)
    if ((mask->bits[i >> 3] >> (i & 7) & 1) == 0)
      memset (out + i * size, 0, size);
  for (dim = 0; dim < tandem_tensor_get_n_dims (tensor); dim++)
    shape[dim] = tandem_tensor_get_dim (tensor, dim);
  return tandem_tensor_new (tandem_tensor_get_dtype (tensor), dim, shape, bytes, NULL);
}

/**
 * tandem_masks_apply:
 * @self: masks
 * @tensors: (element-type utf8 TandemTensor): tensors by canonical name
 * @error: return location for %TANDEM_MODEL_ERROR_TENSOR when a tensor has another number of
 *   elements than its mask
 *
 * Sets what is not kept to zero.
 *
 * Returns: (transfer full) (element-type utf8 TandemTensor): all of @tensors, new ones where they
 *   have a mask; or %NULL with @error set
 */
GHashTable *
tandem_masks_apply (const TandemMasks *self, GHashTable *tensors, GError **error)
{
  g_autoptr (GHashTable) out = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                                      (GDestroyNotify) tandem_tensor_unref);
  GHashTableIter iter;
  gpointer name, tensor;

  g_hash_table_iter_init (&iter, tensors);
  while (g_hash_table_iter_next (&iter, &name, &tensor)) {
    const Mask *mask = g_hash_table_lookup (self->masks, name);

    if (mask != NULL && mask->n_elements != tandem_tensor_get_n_elements (tensor)) {
      g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                   "the mask of \"%s\" is for %" G_GUINT64_FORMAT " elements, the tensor has %"
                   G_GUINT64_FORMAT, (char *) name, mask->n_elements,
                   tandem_tensor_get_n_elements (tensor));
      return NULL;
    }
    g_hash_table_insert (out, g_strdup (name),
                         mask != NULL ? apply (mask, tensor) : tandem_tensor_ref (tensor));
  }
  return g_steal_pointer (&out);
}
