/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How much has to go for a size or a time: by halving, since both fall with the share. */

#include "config.h"

#include <glib/gi18n-lib.h>

#include "tandem-prune-model.h"
#include "tandem-train-state.h"

/* The most that is tried. */
#define MOST 0.99

/* Sizes are exact and soon there; a time takes a profile each. */
#define STEPS_OF_BYTES 16
#define STEPS_OF_TIME 7

#define SECONDS 1.0
#define LENGTH 256

gboolean
prune_measure (TandemModel *model, double *milliseconds, GCancellable *cancellable, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  g_autoptr (TandemProfile) profile = tandem_profile_measure (model, TANDEM_PRECISION_F32, 1,
                                                              SECONDS, cancellable, error);
  TandemBatchShape shape;
  double seconds;

  if (profile == NULL)
    return FALSE;
  tandem_batch_shape_init (&shape, 1, MIN (LENGTH, config->max_positions));
  seconds = tandem_cost_evaluate (&profile->costs[TANDEM_PROFILE_LAST_LAYER], &shape);
  /* A model of one layer is measured with its embeddings. */
  if (config->n_layers > 1)
    seconds += tandem_cost_evaluate (&profile->costs[TANDEM_PROFILE_EMBEDDINGS], &shape) +
        (config->n_layers - 1) *
        tandem_cost_evaluate (&profile->costs[TANDEM_PROFILE_LAYER], &shape);
  *milliseconds = 1000 * seconds;
  return TRUE;
}

/* What is to be below the target with a share. */
static gboolean
evaluate (TandemModel *model, const PruneMethod *method, gboolean is_time, double share,
          double *value, GCancellable *cancellable, GError **error)
{
  g_auto (PrunedModel) pruned = { 0 };
  g_autofree char *folder = NULL;
  g_autofree char *inner = NULL;
  g_autoptr (TandemModel) written = NULL;
  gboolean ok;

  if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
      !pruned_model_init (&pruned, model, method, share, error))
    return FALSE;
  if (!is_time) {
    *value = (double) pruned_model_get_bytes (&pruned);
    return TRUE;
  }
  folder = g_dir_make_tmp ("tandem-prune-XXXXXX", error);
  if (folder == NULL)
    return FALSE;
  inner = g_build_filename (folder, "model", NULL);
  ok = pruned_model_write (&pruned, inner, FALSE, cancellable, error) &&
      (written = tandem_model_open (inner, cancellable, error)) != NULL &&
      prune_measure (written, value, cancellable, error);
  train_remove (folder);
  return ok;
}

gboolean
prune_find_share (TandemModel *model, const PruneMethod *method, guint64 n_bytes,
                  double milliseconds, double *share, GCancellable *cancellable, GError **error)
{
  gboolean is_time = milliseconds > 0;
  double target = is_time ? milliseconds : (double) n_bytes, low = 0, high = MOST, value;
  guint i;

  if (!evaluate (model, method, is_time, high, &value, cancellable, error))
    return FALSE;
  if (value > target) {
    if (is_time)
      g_set_error (error, TANDEM_PRUNE_ERROR, TANDEM_PRUNE_ERROR_AMOUNT,
                   _("%g ms cannot be reached: with all but %g %% gone it takes %.3f ms"), target,
                   100 * (1 - MOST), value);
    else
      g_set_error (error, TANDEM_PRUNE_ERROR, TANDEM_PRUNE_ERROR_AMOUNT,
                   _("%.0f bytes cannot be reached: with all but %g %% gone there are %.0f; what "
                     "else is large has to go another way"), target, 100 * (1 - MOST), value);
    return FALSE;
  }
  if (!evaluate (model, method, is_time, 0, &value, cancellable, error))
    return FALSE;
  if (value <= target) {
    *share = 0;
    return TRUE;
  }
  for (i = 0; i < (is_time ? STEPS_OF_TIME : STEPS_OF_BYTES); i++) {
    double middle = (low + high) / 2;

    if (!evaluate (model, method, is_time, middle, &value, cancellable, error))
      return FALSE;
    if (value <= target)
      high = middle;
    else
      low = middle;
  }
  *share = high;
  return TRUE;
}
