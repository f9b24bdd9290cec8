/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tensors of a model that its files store without their zeros. */

#include "config.h"

#include <math.h>
#include <string.h>

#include "model/tandem-model-private.h"
#include "tensor/tandem-safetensors-private.h"

/* Whether all sparse tensors that the metadata of @file names were found. */
gboolean
tandem_model_check_sparse (TandemModel *self, TandemSafetensors *file, GError **error)
{
  g_auto (GStrv) keys = tandem_safetensors_list_metadata (file);
  guint i;

  for (i = 0; keys[i] != NULL; i++) {
    const char *name = keys[i] + strlen (TANDEM_SPARSE_PREFIX);
    const TandemModelEntry *entry;
    g_autofree char *canonical = NULL;

    if (!g_str_has_prefix (keys[i], TANDEM_SPARSE_PREFIX))
      continue;
    canonical = tandem_model_name_to_canonical (self->config.type, name);
    entry = g_hash_table_lookup (self->entries, canonical);
    if (entry != NULL && entry->sparse != NULL)
      continue;
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: the metadata says that tensor \"%s\" is sparse, but %s", self->display_path,
                 name, entry != NULL ? "it is stored dense" : "there is no mask of it");
    return FALSE;
  }
  return TRUE;
}

/**
 * tandem_model_get_sparse_tensor:
 * @self: a model
 * @name: a canonical name, as tandem_model_list_tensors() gives it
 *
 * Gets a tensor that the files store sparse: its zeros were pruned, and stay zero when the model
 * is trained.
 *
 * Returns: (transfer full) (nullable): the tensor, or %NULL when it is stored dense or not there
 */
TandemSparseTensor *
tandem_model_get_sparse_tensor (TandemModel *self, const char *name)
{
  const TandemModelEntry *entry;

  g_return_val_if_fail (TANDEM_IS_MODEL (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  entry = g_hash_table_lookup (self->entries, name);
  return entry != NULL && entry->sparse != NULL ? tandem_sparse_tensor_ref (entry->sparse) : NULL;
}

/**
 * tandem_model_get_zeros:
 * @self: a model
 *
 * Tells how far its linear layers are pruned, which decides how fast they are: zeros of matrices that
 * are stored sparse, among all that linear layers multiply with; embeddings do not count.
 *
 * Returns: a share from 0 to 1, in hundredths
 */
double
tandem_model_get_zeros (TandemModel *self)
{
  g_autoptr (GPtrArray) specs = NULL;
  guint64 n_elements = 0, n_zeros = 0;
  guint i;

  g_return_val_if_fail (TANDEM_IS_MODEL (self), 0);

  specs = tandem_model_list_specs (&self->config, self->first, self->last, self->has_pooler,
                                   self->has_classifier);
  for (i = 0; i < specs->len; i++) {
    const TandemModelSpec *spec = g_ptr_array_index (specs, i);
    const TandemModelEntry *entry = g_hash_table_lookup (self->entries, spec->name);

    if (spec->n_dims != 2 || g_str_has_suffix (spec->name, "_embeddings.weight"))
      continue;
    n_elements += spec->shape[0] * spec->shape[1];
    if (entry->sparse != NULL)
      n_zeros += spec->shape[0] * spec->shape[1] -
          tandem_sparse_tensor_get_n_values (entry->sparse);
  }
  return floor (100.0 * n_zeros / MAX (n_elements, 1)) / 100;
}
