/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Trains a masked language model on one micro-batch that comes on standard input, for comparison
 * with other implementations:
 *
 *   run-train-masked MODEL STEPS OUTPUT < batch
 *
 * Input: little-endian uint32 n, n lengths, and all ids. Output: the tensors "ids" and "labels"
 * (what was masked, and what it was; -1: not to predict), "loss" (sum, count, correct) of the
 * first step, and with 0 steps the gradients of the sum of the losses, otherwise the weights after
 * as many steps of AdamW (rate 1e-3, no decay, gradients of the mean). */

#include <gio/gunixinputstream.h>
#include <stdio.h>
#include <unistd.h>

#include "tandem.h"

#define SEED 5

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

static void
add (GHashTable *tensors, const char *name, const double *values, guint64 n)
{
  float *floats = g_new (float, n);
  g_autoptr (GBytes) bytes = g_bytes_new_take (floats, n * sizeof *floats);
  guint64 i;

  for (i = 0; i < n; i++)
    floats[i] = values[i];
  g_hash_table_insert (tensors, g_strdup (name),
                       tandem_tensor_new (TANDEM_DTYPE_F32, 1, &n, bytes, NULL));
}

/* As the stage does it. */
static gboolean
add_masked (GHashTable *tensors, TandemModel *model, guint n, const guint32 *offsets,
            const guint64 *sequence_ids, const gint32 *ids, GError **error)
{
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, error);
  guint n_rows = offsets[n], i;
  g_autofree gint32 *masked = g_memdup2 (ids, n_rows * sizeof *ids);
  g_autofree gint32 *labels = g_new (gint32, n_rows);
  g_autofree double *values = g_new (double, n_rows);
  TandemMasking masking;

  if (tokenizer == NULL || !tandem_masking_init (&masking, tokenizer, 0.15, SEED, error))
    return FALSE;
  for (i = 0; i < n; i++)
    tandem_masking_apply (&masking, sequence_ids[i], masked + offsets[i],
                          offsets[i + 1] - offsets[i], labels + offsets[i]);
  for (i = 0; i < n_rows; i++)
    values[i] = masked[i];
  add (tensors, "ids", values, n_rows);
  for (i = 0; i < n_rows; i++)
    values[i] = labels[i];
  add (tensors, "labels", values, n_rows);
  return TRUE;
}

static gboolean
run (char **argv, GError **error)
{
  g_autoptr (TandemModel) model = tandem_model_open (argv[1], NULL, error);
  guint64 n_steps = g_ascii_strtoull (argv[2], NULL, 10), step;
  const TandemTrainOptions options = { 0.0, 0.0, 0.0, SEED, FALSE, TRUE };
  g_autoptr (GInputStream) in = g_unix_input_stream_new (STDIN_FILENO, FALSE);
  g_autoptr (TandemTrainStage) stage = NULL;
  g_autoptr (GHashTable) tensors = NULL;
  g_autofree guint32 *offsets = NULL;
  g_autofree guint64 *sequence_ids = NULL;
  g_autofree gint32 *ids = NULL;
  double first[3];
  guint n, i;

  if (model == NULL || !read_u32 (in, &n, 1, error))
    return FALSE;
  offsets = g_new0 (guint32, n + 1);
  sequence_ids = g_new (guint64, n);
  if (!read_u32 (in, offsets + 1, n, error))
    return FALSE;
  for (i = 0; i < n; i++) {
    offsets[i + 1] += offsets[i];
    sequence_ids[i] = 1000 + i;
  }
  ids = g_new (gint32, offsets[n]);
  if (!read_u32 (in, ids, offsets[n], error))
    return FALSE;

  stage = tandem_train_stage_new (model, 0, tandem_model_get_config (model)->n_layers - 1,
                                  &options, error);
  if (stage == NULL)
    return FALSE;
  for (step = 1; step <= MAX (n_steps, 1); step++) {
    TandemLoss loss = { 0 };
    TandemTrainUpdate update = { step, 1e-3, 0.9, 0.999, 1e-8, 0.0, 0.0 };

    if (!tandem_train_stage_masked_step (stage, ids, n, offsets, sequence_ids, &loss, error))
      return FALSE;
    if (step == 1) {
      first[0] = loss.sum;
      first[1] = loss.n_rows;
      first[2] = loss.n_correct;
    }
    update.scale = 1.0 / loss.n_rows;
    if (n_steps > 0)
      tandem_train_stage_update (stage, &update);
  }
  tensors = n_steps > 0 ? tandem_train_stage_get_tensors (stage)
                        : tandem_train_stage_get_gradients (stage);
  add (tensors, "loss", first, 3);
  return add_masked (tensors, model, n, offsets, sequence_ids, ids, error) &&
      tandem_safetensors_write (argv[3], NULL, tensors, NULL, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;

  if (argc != 4) {
    fprintf (stderr, "usage: run-train-masked MODEL STEPS OUTPUT\n");
    return 2;
  }
  if (!run (argv, &error)) {
    fprintf (stderr, "run-train-masked: %s\n", error->message);
    return 1;
  }
  return 0;
}
