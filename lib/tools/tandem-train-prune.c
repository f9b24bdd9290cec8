/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pruning while a model is trained (Zhu and Gupta 2017): at a few steps, where a run of the pipeline
 * ends anyway, the smallest weights go, and the stages of the next runs keep to these masks. */

#include "config.h"

#include "tandem-train-prune.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* How often there are new masks on the way to the sparsity that was asked for. */
#define N_POINTS 20

char *
train_prune_get_file (const char *folder)
{
  return g_build_filename (folder, "masks.safetensors", NULL);
}

/* The step before which there are masks for the last time. */
static guint64
get_last (const TrainOptions *options, guint64 total_steps)
{
  guint64 last = (guint64) (options->gradual * (double) total_steps);

  return total_steps > 0 ? MIN (last, total_steps - 1) : 0;
}

/* The step of point @k of N_POINTS. */
static guint64
get_point (guint64 last, guint k)
{
  return last * k / N_POINTS;
}

guint64
train_prune_get_next (const TrainOptions *options, guint64 total_steps, guint64 step)
{
  guint64 last = get_last (options, total_steps);
  guint k;

  for (k = 1; options->sparsity > 0 && k <= N_POINTS; k++)
    if (get_point (last, k) > step)
      return get_point (last, k);
  return G_MAXUINT64;
}

gboolean
train_prune_is_done (const TrainOptions *options, guint64 total_steps, guint64 step)
{
  return options->sparsity == 0 || step > get_last (options, total_steps);
}

static gboolean
is_point (guint64 last, guint64 step)
{
  guint k;

  for (k = 1; k <= N_POINTS; k++)
    if (get_point (last, k) == step)
      return TRUE;
  return FALSE;
}

TandemPruneTargets
train_prune_parse_targets (const char *word)
{
  return g_str_equal (word, "linear") ? TANDEM_PRUNE_LINEAR
      : g_str_equal (word, "embeddings") ? TANDEM_PRUNE_EMBEDDINGS
      : TANDEM_PRUNE_LINEAR | TANDEM_PRUNE_EMBEDDINGS;
}

TandemPruneScope
train_prune_parse_scope (const char *word)
{
  return g_str_equal (word, "tensor") ? TANDEM_PRUNE_SCOPE_TENSOR : TANDEM_PRUNE_SCOPE_GLOBAL;
}

/* The weights of the checkpoints in a folder; of the model where there are none yet. */
static GHashTable *
read_weights (TandemModel *initial, const char *work, GError **error)
{
  GHashTable *tensors = tandem_prune_get_tensors (initial, error);
  g_auto (GStrv) names = tandem_model_list_tensors (initial);
  guint stage, i;

  for (stage = 0; tensors != NULL; stage++) {
    g_autofree char *path = train_pipeline_get_file (work, stage);
    g_autoptr (TandemSafetensors) file = NULL;

    if (!g_file_test (path, G_FILE_TEST_EXISTS))
      break;
    file = tandem_safetensors_open (path, error);
    if (file == NULL) {
      g_hash_table_unref (tensors);
      return NULL;
    }
    for (i = 0; names[i] != NULL; i++) {
      TandemTensor *tensor = tandem_safetensors_get_tensor (file, names[i], NULL);

      if (tensor != NULL)
        g_hash_table_insert (tensors, g_strdup (names[i]), tensor);
    }
  }
  return tensors;
}

static gboolean
make_masks (const TrainOptions *options, TandemModel *initial, const char *work, double sparsity,
            TrainProgress *progress, GCancellable *cancellable, GError **error)
{
  g_autoptr (GHashTable) tensors = read_weights (initial, work, error);
  g_autofree char *path = train_prune_get_file (work);
  g_autoptr (TandemMasks) masks = NULL;
  guint64 n, n_kept;

  if (tensors == NULL)
    return FALSE;
  masks = tandem_prune_magnitude (tensors, train_prune_parse_targets (options->tensors),
                                  train_prune_parse_scope (options->scope), sparsity, error);
  if (masks == NULL)
    return FALSE;
  tandem_masks_count (masks, &n, &n_kept);
  train_progress_say (progress, _("pruned: %.1f %% of %.2f million weights are zero"),
                      100.0 * (double) (n - n_kept) / (double) n, (double) n / 1e6);
  return tandem_masks_save (masks, initial, path, cancellable, error);
}

gboolean
train_prune_begin (const TrainOptions *options, TandemModel *initial, const char *work,
                   const char *before, guint64 step, guint64 total_steps,
                   TrainProgress *progress, GCancellable *cancellable, GError **error)
{
  guint64 last = get_last (options, total_steps);
  g_autofree char *from = train_prune_get_file (before);
  g_autofree char *to = train_prune_get_file (work);
  g_autoptr (GFile) source = g_file_new_for_path (from);
  g_autoptr (GFile) target = g_file_new_for_path (to);

  if (options->sparsity == 0)
    return TRUE;
  if (is_point (last, step)) {
    double progressed = last > 0 ? (double) step / (double) last : 1;
    double sparsity = tandem_prune_schedule (0, options->sparsity, progressed);

    return make_masks (options, initial, work, sparsity, progress, cancellable, error);
  }
  return !g_file_test (from, G_FILE_TEST_EXISTS) ||
      g_file_copy (source, target, G_FILE_COPY_OVERWRITE, cancellable, NULL, NULL, error);
}

TandemMasks *
train_prune_get_masks (TandemModel *initial, const char *work, GError **error)
{
  g_autoptr (TandemMasks) masks = tandem_masks_new_from_model (initial);
  g_autofree char *path = train_prune_get_file (work);
  g_autoptr (TandemMasks) more = NULL;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&masks);
  more = tandem_masks_load (path, initial, error);
  if (more == NULL)
    return NULL;
  tandem_masks_add_all (masks, more);
  return g_steal_pointer (&masks);
}
