/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem-test-sparse.h"

#include <string.h>

#define N_SEQUENCES 3
static const guint32 offsets[N_SEQUENCES + 1] = { 0, 7, 8, 20 };

GHashTable *
tandem_test_prune (TandemModel *model, double sparsity, TandemMasks **masks)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) tensors = tandem_prune_get_tensors (model, &error);
  GHashTable *pruned;

  g_assert_no_error (error);
  *masks = tandem_prune_magnitude (tensors, TANDEM_PRUNE_LINEAR | TANDEM_PRUNE_EMBEDDINGS,
                                   TANDEM_PRUNE_SCOPE_GLOBAL, sparsity, &error);
  g_assert_no_error (error);
  pruned = tandem_masks_apply (*masks, tensors, &error);
  g_assert_no_error (error);
  return pruned;
}

TandemModel *
tandem_test_export (TandemModel *source, const char *config_text, GHashTable *tensors,
                    TandemMasks *masks, const char *folder)
{
  TandemModelExportFlags flags = TANDEM_MODEL_EXPORT_REPLACE | TANDEM_MODEL_EXPORT_KEEP_DTYPES;
  g_autoptr (GError) error = NULL;
  TandemModel *model;

  if (masks != NULL)
    tandem_model_export_sparse (source, config_text, tensors, masks, NULL, NULL, TANDEM_DTYPE_F32,
                                folder, flags, NULL, &error);
  else
    tandem_model_export (source, config_text, tensors, NULL, TANDEM_DTYPE_F32, folder, flags,
                         NULL, &error);
  g_assert_no_error (error);
  model = tandem_model_open (folder, NULL, &error);
  g_assert_no_error (error);
  return model;
}

float *
tandem_test_run (TandemModel *model, guint n_stages, TandemModel **stages)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  guint n_rows = offsets[N_SEQUENCES], i;
  gsize width = MAX (config->hidden_size, config->n_classes);
  g_autofree gint32 *ids = g_new (gint32, n_rows);
  float *in = g_new0 (float, n_rows * width), *out = g_new0 (float, n_rows * width);

  if (n_stages == 0) {
    n_stages = 1;
    stages = &model;
  }
  for (i = 0; i < n_rows; i++)
    ids[i] = (i * 37 + 5) % config->vocab_size;
  for (i = 0; i < n_stages; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (TandemBertStage) stage = NULL;
    float *swap;
    guint first, last;

    tandem_model_get_layers (stages[i], &first, &last);
    stage = tandem_bert_stage_new (stages[i], first, last, TANDEM_PRECISION_F32, 1,
                                   TANDEM_BERT_STAGE_NONE, &error);
    g_assert_no_error (error);
    if (tandem_bert_stage_takes_tokens (stage))
      tandem_bert_stage_forward_tokens (stage, ids, N_SEQUENCES, offsets, out, NULL, &error);
    else
      tandem_bert_stage_forward_rows (stage, in, N_SEQUENCES, offsets, out, NULL, &error);
    g_assert_no_error (error);
    swap = in;
    in = out;
    out = swap;
  }
  g_free (out);
  return in;
}

static TandemModel *
cut (TandemModel *model, const char *folder, guint first, guint last)
{
  g_autofree char *name = g_strdup_printf ("cut-%u-%u.safetensors", first, last);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;
  TandemModel *stage;

  tandem_model_write_stage (model, first, last, path, NULL, &error);
  g_assert_no_error (error);
  stage = tandem_model_open (path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (tandem_model_get_fingerprint (stage), ==, tandem_model_get_fingerprint (model));
  return stage;
}

void
tandem_test_assert_splits (TandemModel *model, const char *folder)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  g_autofree float *expected = tandem_test_run (model, 0, NULL);
  gsize size = N_SEQUENCES * config->n_classes * sizeof (float);
  guint boundary, n = config->n_layers, i;
  g_autoptr (GPtrArray) each = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree float *through = NULL;

  for (boundary = 1; boundary < n; boundary++) {
    g_autoptr (TandemModel) left = cut (model, folder, 0, boundary - 1);
    g_autoptr (TandemModel) right = cut (model, folder, boundary, n - 1);
    TandemModel *stages[] = { left, right };
    g_autofree float *found = tandem_test_run (model, 2, stages);

    g_assert_cmpmem (found, size, expected, size);
  }
  for (i = 0; i < n; i++)
    g_ptr_array_add (each, cut (model, folder, i, i));
  through = tandem_test_run (model, n, (TandemModel **) each->pdata);
  g_assert_cmpmem (through, size, expected, size);
}
