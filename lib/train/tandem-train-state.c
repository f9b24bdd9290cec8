/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a stage in training holds, as tensors: for files, and for comparisons. */

#include "config.h"

#include <string.h>

#include "train/tandem-train-stage-private.h"

typedef struct
{
  GHashTable *tensors;
  const char *prefix;
} Copy;

static void
copy_tensor (const char *name, guint n_dims, const guint64 *shape, float *data,
             gpointer user_data)
{
  Copy *copy = user_data;
  gsize n = n_dims == 2 ? shape[0] * shape[1] : shape[0];
  g_autoptr (GBytes) bytes = g_bytes_new (data, n * sizeof (float));

  g_hash_table_insert (copy->tensors, g_strconcat (copy->prefix, name, NULL),
                       tandem_tensor_new (TANDEM_DTYPE_F32, n_dims, shape, bytes, NULL));
}

static GHashTable *
new_table (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                (GDestroyNotify) tandem_tensor_unref);
}

/**
 * tandem_train_stage_get_tensors:
 * @self: a stage
 *
 * Returns: (transfer full) (element-type utf8 TandemTensor): copies of the model's weights as they
 *   are now, by canonical name; the projection that goes with a teacher is none of them
 */
GHashTable *
tandem_train_stage_get_tensors (TandemTrainStage *self)
{
  Copy copy = { new_table (), "" };

  tandem_parameters_foreach (tandem_train_stage_get_parameters (self), TANDEM_PARAMETER_VALUE,
                             copy_tensor, &copy);
  g_hash_table_remove (copy.tensors, TANDEM_TRAIN_HIDDEN_PROJECTION);
  return copy.tensors;
}

/**
 * tandem_train_stage_get_gradients:
 * @self: a stage
 *
 * Returns: (transfer full) (element-type utf8 TandemTensor): copies of what was added up since
 *   the last update, by canonical name
 */
GHashTable *
tandem_train_stage_get_gradients (TandemTrainStage *self)
{
  Copy copy = { new_table (), "" };

  tandem_parameters_foreach (tandem_train_stage_get_parameters (self), TANDEM_PARAMETER_GRADIENT,
                             copy_tensor, &copy);
  return copy.tensors;
}

/* What a checkpoint holds, and the prefix of its names there. */
static const struct
{
  TandemParameterPart part;
  const char *prefix;
} state_parts[] = {
  { TANDEM_PARAMETER_VALUE, "" },
  { TANDEM_PARAMETER_M, "adamw.m." },
  { TANDEM_PARAMETER_V, "adamw.v." },
};

/**
 * tandem_train_stage_get_state:
 * @self: a stage
 *
 * Returns: (transfer full) (element-type utf8 TandemTensor): copies of the weights and of
 *   AdamW's moments ("adamw.m." and "adamw.v." before the name of a weight)
 */
GHashTable *
tandem_train_stage_get_state (TandemTrainStage *self)
{
  Copy copy = { new_table (), NULL };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (state_parts); i++) {
    copy.prefix = state_parts[i].prefix;
    tandem_parameters_foreach (tandem_train_stage_get_parameters (self), state_parts[i].part,
                               copy_tensor, &copy);
  }
  return copy.tensors;
}

typedef struct
{
  GHashTable *tensors;
  const char *prefix;
  gboolean check;
  GError **error;
  gboolean failed;
} Restore;

static void
restore_tensor (const char *name, guint n_dims, const guint64 *shape, float *data,
                gpointer user_data)
{
  Restore *restore = user_data;
  g_autofree char *key = g_strconcat (restore->prefix, name, NULL);
  TandemTensor *tensor = g_hash_table_lookup (restore->tensors, key);
  gsize n = n_dims == 2 ? shape[0] * shape[1] : shape[0];

  if (restore->failed)
    return;
  if (!restore->check) {
    memcpy (data, tandem_tensor_get_data (tensor, NULL), n * sizeof (float));
    return;
  }
  restore->failed = tensor == NULL || tandem_tensor_get_dtype (tensor) != TANDEM_DTYPE_F32 ||
      tandem_tensor_get_n_elements (tensor) != n;
  if (restore->failed)
    g_set_error (restore->error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "the checkpoint has no tensor \"%s\" of %" G_GSIZE_FORMAT " floats: it is not "
                 "one of these layers of this model", key, n);
}

/**
 * tandem_train_stage_set_state:
 * @self: a stage without micro-batches in flight
 * @tensors: (element-type utf8 TandemTensor): what tandem_train_stage_get_state() gave for the
 *   same layers of a model of the same shape; more does no harm
 * @error: return location for %TANDEM_MODEL_ERROR_TENSOR
 *
 * Goes on from a checkpoint. On failure nothing was changed. What the masks of the stage do not keep
 * becomes zero.
 *
 * Returns: whether all that is needed was there
 */
gboolean
tandem_train_stage_set_state (TandemTrainStage *self, GHashTable *tensors, GError **error)
{
  Restore restore = { tensors, NULL, TRUE, error, FALSE };
  guint pass, i;

  g_return_val_if_fail (tandem_train_stage_get_n_in_flight (self) == 0, FALSE);

  for (pass = 0; pass < 2; pass++) {
    restore.check = pass == 0;
    for (i = 0; i < G_N_ELEMENTS (state_parts); i++) {
      restore.prefix = state_parts[i].prefix;
      tandem_parameters_foreach (tandem_train_stage_get_parameters (self), state_parts[i].part,
                                 restore_tensor, &restore);
    }
    if (restore.failed)
      return FALSE;
  }
  tandem_parameters_mask (tandem_train_stage_get_parameters (self));
  return TRUE;
}
