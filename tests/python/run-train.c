/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Trains stages on one labelled micro-batch that comes on standard input, for comparison with
 * other implementations:
 *
 *   run-train MODEL STEPS DROPOUT OUTPUT [LAYERS...] < batch
 *
 * Input: little-endian uint32 n, n lengths, n labels, and all ids. With 0 steps the gradients
 * of the sum of the losses are written, otherwise the weights after as many steps of AdamW
 * (rate 1e-3, no decay, gradients of the mean). With several ranges of layers each feeds the
 * next. */

#include <gio/gunixinputstream.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tandem.h"

#define MAX_STAGES 16

typedef struct
{
  guint n;
  guint32 *offsets;
  guint64 *sequence_ids;
  gint32 *labels;
  gint32 *ids;
} Batch;

static gboolean
read_u32 (GInputStream *in, gpointer out, gsize n, GError **error)
{
  gsize got;

  if (!g_input_stream_read_all (in, out, n * 4, &got, NULL, error))
    return FALSE;
  if (got == n * 4)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT, "the input ends too early");
  return FALSE;
}

static gboolean
read_batch (Batch *batch, GError **error)
{
  g_autoptr (GInputStream) in = g_unix_input_stream_new (STDIN_FILENO, FALSE);
  guint i;

  if (!read_u32 (in, &batch->n, 1, error))
    return FALSE;
  batch->offsets = g_new0 (guint32, batch->n + 1);
  batch->labels = g_new (gint32, batch->n);
  batch->sequence_ids = g_new (guint64, batch->n);
  if (!read_u32 (in, batch->offsets + 1, batch->n, error) ||
      !read_u32 (in, batch->labels, batch->n, error))
    return FALSE;
  for (i = 0; i < batch->n; i++) {
    batch->offsets[i + 1] += batch->offsets[i];
    batch->sequence_ids[i] = 1000 + i;
  }
  batch->ids = g_new (gint32, batch->offsets[batch->n]);
  return read_u32 (in, batch->ids, batch->offsets[batch->n], error);
}

/* Forward and backward through all stages. */
static gboolean
run_passes (TandemTrainStage **stages, guint n_stages, const Batch *batch, GError **error)
{
  const TandemModelConfig *config =
      tandem_model_get_config (tandem_train_stage_get_model (stages[0]));
  gsize n_logits = (gsize) batch->n * config->n_classes;
  gsize n_rows = (gsize) batch->offsets[batch->n] * config->hidden_size, n;
  g_autofree float *rows = g_new (float, MAX (n_rows, n_logits));
  g_autofree float *gradient = g_new (float, MAX (n_rows, n_logits));
  TandemLoss loss = { 0 };
  gconstpointer input = batch->ids;
  guint i;

  for (i = 0; i < n_stages; i++) {
    if (!tandem_train_stage_forward (stages[i], 7, input, batch->n, batch->offsets,
                                     batch->sequence_ids, rows, error))
      return FALSE;
    input = rows;
  }
  if (!tandem_loss_cross_entropy (&loss, rows, batch->n, config->n_classes, batch->labels, 0.0,
                                  gradient, error))
    return FALSE;
  fprintf (stderr, "loss %.9g\n", loss.sum);
  n = n_logits;
  for (i = n_stages; i > 0; i--) {
    if (!tandem_train_stage_backward (stages[i - 1], 7, gradient, n, rows, error))
      return FALSE;
    memcpy (gradient, rows, n_rows * sizeof (float));
    n = n_rows;
  }
  return TRUE;
}

static gboolean
run (int argc, char **argv, GError **error)
{
  g_autoptr (TandemModel) model = tandem_model_open (argv[1], NULL, error);
  guint64 n_steps = g_ascii_strtoull (argv[2], NULL, 10), step;
  double rate = g_ascii_strtod (argv[3], NULL);
  TandemTrainOptions options = { rate, rate, rate, 5, FALSE, FALSE };
  TandemTrainStage *stages[MAX_STAGES];
  guint n_stages = MAX (argc - 5, 1), i, first, last;
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (
      g_str_hash, g_str_equal, g_free, (GDestroyNotify) tandem_tensor_unref);
  Batch batch = { 0 };

  if (model == NULL || !read_batch (&batch, error))
    return FALSE;
  for (i = 0; i < n_stages; i++) {
    if (!tandem_model_parse_layers (argc > 5 ? argv[5 + i] : NULL,
                                    tandem_model_get_config (model)->n_layers, &first, &last,
                                    error) ||
        !(stages[i] = tandem_train_stage_new (model, first, last, &options, error)))
      return FALSE;
  }
  for (step = 1; step <= MAX (n_steps, 1); step++) {
    TandemTrainUpdate update = { step, 1e-3, 0.9, 0.999, 1e-8, 0.0, 1.0 / batch.n };

    if (!run_passes (stages, n_stages, &batch, error))
      return FALSE;
    for (i = 0; n_steps > 0 && i < n_stages; i++)
      tandem_train_stage_update (stages[i], &update);
  }
  for (i = 0; i < n_stages; i++) {
    g_autoptr (GHashTable) part = n_steps > 0 ? tandem_train_stage_get_tensors (stages[i])
        : tandem_train_stage_get_gradients (stages[i]);
    GHashTableIter iter;
    gpointer name, tensor;

    g_hash_table_iter_init (&iter, part);
    while (g_hash_table_iter_next (&iter, &name, &tensor))
      g_hash_table_insert (tensors, g_strdup (name), tandem_tensor_ref (tensor));
    g_object_unref (stages[i]);
  }
  g_free (batch.offsets);
  g_free (batch.sequence_ids);
  g_free (batch.labels);
  g_free (batch.ids);
  return tandem_safetensors_write (argv[4], NULL, tensors, NULL, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;

  if (argc < 5 || argc > 5 + MAX_STAGES) {
    fprintf (stderr, "usage: run-train MODEL STEPS DROPOUT OUTPUT [LAYERS...]\n");
    return 2;
  }
  if (!run (argc, argv, &error)) {
    fprintf (stderr, "run-train: %s\n", error->message);
    return 1;
  }
  return 0;
}
