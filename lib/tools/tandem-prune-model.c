/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A model with less in it, by one or more of the ways that tandem prune knows. */

#include "config.h"

#include "tandem-prune-model.h"

#include <string.h>

/* In the header of a file: what stands there of a tensor beside its name, and of the file. */
#define BYTES_OF_TENSOR 88
#define BYTES_OF_HEADER 100

void
pruned_model_clear (PrunedModel *self)
{
  g_clear_pointer (&self->config_text, g_free);
  g_clear_object (&self->tokenizer);
  g_clear_pointer (&self->tensors, g_hash_table_unref);
  g_clear_pointer (&self->masks, tandem_masks_unref);
}

/* Heads, neurons, layers. */
static gboolean
prune_structure (PrunedModel *self, const PruneMethod *method, double share, GError **error)
{
  g_autoptr (TandemStructure) structure = tandem_structure_new (self->model, error);

  if (structure == NULL ||
      (method->layers && !tandem_structure_prune_layers (structure, share, error)) ||
      (method->heads && !tandem_structure_prune_heads (structure, share, method->scope, error)) ||
      (method->neurons && !tandem_structure_prune_neurons (structure, share, method->scope,
                                                            error)))
    return FALSE;
  self->tensors = tandem_structure_apply (structure, &self->config_text, &self->masks, error);
  return self->tensors != NULL;
}

static gboolean
prune_magnitude (PrunedModel *self, const PruneMethod *method, double share, GError **error)
{
  g_autoptr (TandemMasks) masks = NULL;
  g_autoptr (GHashTable) before = NULL;

  self->masks = tandem_masks_new_from_model (self->model);
  self->tensors = tandem_prune_get_tensors (self->model, error);
  masks = self->tensors != NULL
            ? tandem_prune_magnitude (self->tensors, method->targets, method->scope, share, error)
            : NULL;
  if (masks == NULL)
    return FALSE;
  tandem_masks_add_all (self->masks, masks);
  before = g_steal_pointer (&self->tensors);
  self->tensors = tandem_masks_apply (self->masks, before, error);
  return self->tensors != NULL;
}

gboolean
pruned_model_init (PrunedModel *self, TandemModel *model, const PruneMethod *method, double share,
                   GError **error)
{
  self->model = model;
  self->half = method->half;
  if (method->magnitude)
    return prune_magnitude (self, method, share, error);
  if (method->vocabulary)
    return tandem_prune_vocabulary (model, method->used, &self->tokenizer, &self->config_text,
                                    &self->tensors, &self->masks, error);
  return prune_structure (self, method, share, error);
}

/* The type that most of the weights have, for the configuration. */
static TandemDtype
get_dtype (const PrunedModel *self)
{
  TandemTensor *words = g_hash_table_lookup (self->tensors, "embeddings.word_embeddings.weight");

  return self->half || (words != NULL && tandem_tensor_get_dtype (words) == TANDEM_DTYPE_F16)
           ? TANDEM_DTYPE_F16 : TANDEM_DTYPE_F32;
}

gboolean
pruned_model_write (const PrunedModel *self, const char *folder, gboolean force,
                    GCancellable *cancellable, GError **error)
{
  TandemModelExportFlags flags =
      (force ? TANDEM_MODEL_EXPORT_REPLACE : TANDEM_MODEL_EXPORT_NONE) |
      (self->half ? TANDEM_MODEL_EXPORT_NONE : TANDEM_MODEL_EXPORT_KEEP_DTYPES);

  return tandem_model_export_sparse (self->model, self->config_text, self->tensors, self->masks,
                                     self->tokenizer, NULL, get_dtype (self), folder, flags,
                                     cancellable, error);
}

guint64
pruned_model_get_bytes (const PrunedModel *self)
{
  guint64 sum = BYTES_OF_HEADER + tandem_prune_get_bytes (self->tensors, self->masks,
                                                          self->half ? 2 : 0);
  GHashTableIter iter;
  gpointer name;

  g_hash_table_iter_init (&iter, self->tensors);
  while (g_hash_table_iter_next (&iter, &name, NULL)) {
    gsize length = strlen (name) + BYTES_OF_TENSOR;

    /* Two tensors, and what the metadata says. */
    sum += tandem_masks_get (self->masks, name, NULL) != NULL ? 3 * length : length;
  }
  return sum;
}

void
pruned_model_count (const PrunedModel *self, guint64 *n_elements, guint64 *n_kept)
{
  guint64 masked, kept;
  GHashTableIter iter;
  gpointer tensor;

  *n_elements = 0;
  g_hash_table_iter_init (&iter, self->tensors);
  while (g_hash_table_iter_next (&iter, NULL, &tensor))
    *n_elements += tandem_tensor_get_n_elements (tensor);
  tandem_masks_count (self->masks, &masked, &kept);
  *n_kept = *n_elements - (masked - kept);
}
