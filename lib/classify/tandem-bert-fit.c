/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a BERT learns to tell classes: tokens that are kept, epochs of a stage with all layers. */

#include "config.h"

#include "tandem-bert-classifier-private.h"

#include <glib/gstdio.h>
#include <math.h>

#include "base/tandem-random-private.h"

/* AdamW's, and what clipping leaves of a step's gradient, as `tandem train` has them. */
#define BETA1 0.9
#define BETA2 0.999
#define EPSILON 1e-8
#define MAX_NORM 1.0

void
tandem_bert_classifier_remove_folder (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);

    g_unlink (path);
  }
  g_rmdir (folder);
}

static void
tokens_free (gpointer data)
{
  TandemTerms *tokens = data;

  g_free (tokens->offsets);
  g_free (tokens->terms);
  g_free (tokens);
}

/* The token ids of all texts, which are kept for whoever has the same tokenizer. */
const TandemTerms *
tandem_bert_classifier_get_tokens (TandemBertClassifier *self, TandemModel *model,
                                   TandemTokenizer *tokenizer, TandemDataset *data,
                                   GCancellable *cancellable, GError **error)
{
  guint max_length = MIN (self->max_length, tandem_model_get_config (model)->max_positions);
  g_autofree char *key = g_strdup_printf ("tokens %s %u",
                                          tandem_tokenizer_get_fingerprint (tokenizer), max_length);
  guint n = tandem_dataset_get_n_rows (data), i;
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autofree gsize *offsets = NULL;
  TandemTerms *tokens = tandem_dataset_get_kept (data, key);

  if (tokens != NULL)
    return tokens;
  offsets = g_new0 (gsize, (gsize) n + 1);
  for (i = 0; i < n; i++) {
    gsize size;
    const char *text = g_bytes_get_data (tandem_dataset_get_text (data, i), &size);

    if (g_cancellable_set_error_if_cancelled (cancellable, error))
      return NULL;
    tandem_tokenizer_encode_into (tokenizer, size > 0 ? text : "", size, max_length, ids, NULL);
    offsets[i + 1] = ids->len;
    if (ids->len > G_MAXINT32 / 8) {
      g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                   "%u texts have too many tokens; give fewer texts, or a smaller max-length", n);
      return NULL;
    }
  }
  tokens = g_new0 (TandemTerms, 1);
  tokens->offsets = g_steal_pointer (&offsets);
  tokens->terms = (guint32 *) (gpointer) g_array_free (g_steal_pointer (&ids), FALSE);
  tandem_dataset_keep (data, key, tokens, tokens_free);
  return tokens;
}

/* Puts the rows' tokens one behind the other. */
void
tandem_bert_classifier_gather (const TandemTerms *tokens, const guint *rows, guint n_rows,
                               GArray *ids, guint32 *offsets)
{
  guint i;

  g_array_set_size (ids, 0);
  offsets[0] = 0;
  for (i = 0; i < n_rows; i++) {
    gsize first = tokens->offsets[rows[i]];

    g_array_append_vals (ids, tokens->terms + first, tokens->offsets[rows[i] + 1] - first);
    offsets[i + 1] = ids->len;
  }
}

static char *
make_folder (GError **error)
{
  return g_dir_make_tmp ("tandem-bert-XXXXXX", error);
}

/* The model to begin at, with a classifier for the classes; *folder: made for it, or NULL. */
static TandemModel *
open_initial (TandemBertClassifier *self, guint n_classes, char **folder,
              GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemModel) source = NULL;
  g_autoptr (GHashTable) tensors = NULL;

  if (self->from == NULL) {
    g_set_error_literal (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION,
                         "model is to name the folder to begin at");
    return NULL;
  }
  source = tandem_model_open (self->from, cancellable, error);
  if (source == NULL || (tandem_model_has_classifier (source) &&
                         tandem_model_get_config (source)->n_classes == n_classes))
    return g_steal_pointer (&source);
  tensors = tandem_model_init_from (source, NULL, TANDEM_MODEL_INIT_CLASSIFIER, n_classes,
                                    self->seed, error);
  *folder = tensors != NULL ? make_folder (error) : NULL;
  if (*folder == NULL ||
      !tandem_model_export (source, NULL, tensors, NULL, TANDEM_DTYPE_F32, *folder,
                            TANDEM_MODEL_EXPORT_REPLACE, cancellable, error))
    return NULL;
  return tandem_model_open (*folder, cancellable, error);
}

typedef struct
{
  TandemTrainStage *stage;
  const TandemTerms *tokens;
  const gint32 *labels;
  guint n_classes;
  guint64 next_micro_batch;
  guint64 next_sequence;
} Fit;

/* One step's gradient, micro-batch by micro-batch. */
static gboolean
add_gradients (TandemBertClassifier *self, Fit *fit, const guint *rows, guint n_rows,
               GError **error)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autofree guint32 *offsets = g_new (guint32, self->micro_batch + 1);
  g_autofree guint64 *sequences = g_new (guint64, self->micro_batch);
  g_autofree gint32 *labels = g_new (gint32, self->micro_batch);
  g_autofree float *logits = g_new (float, self->micro_batch * fit->n_classes);
  g_autofree float *d_logits = g_new (float, self->micro_batch * fit->n_classes);
  guint first, i;

  for (first = 0; first < n_rows; first += self->micro_batch) {
    guint n = MIN (self->micro_batch, n_rows - first);
    guint64 micro_batch = fit->next_micro_batch++;
    TandemLoss loss = { 0 };

    tandem_bert_classifier_gather (fit->tokens, rows + first, n, ids, offsets);
    for (i = 0; i < n; i++) {
      labels[i] = fit->labels[rows[first + i]];
      sequences[i] = fit->next_sequence++;
    }
    if (!tandem_train_stage_forward (fit->stage, micro_batch, ids->data, n, offsets, sequences,
                                     logits, error) ||
        !tandem_loss_cross_entropy (&loss, logits, n, fit->n_classes, labels, 0.0, d_logits,
                                    error) ||
        !tandem_train_stage_backward (fit->stage, micro_batch, d_logits, n * fit->n_classes, NULL,
                                      error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
step (TandemBertClassifier *self, Fit *fit, const guint *rows, guint n_rows, guint64 number,
      guint64 n_steps, GError **error)
{
  double norm;
  TandemTrainUpdate update = {
    .step = number + 1, .beta1 = BETA1, .beta2 = BETA2, .epsilon = EPSILON,
    .weight_decay = self->weight_decay,
    .learning_rate = tandem_schedule_get_rate (self->learning_rate,
                                               (guint64) (self->warmup * n_steps), n_steps, FALSE,
                                               number),
  };

  if (!add_gradients (self, fit, rows, n_rows, error))
    return FALSE;
  norm = sqrt (tandem_train_stage_add_squared_norm (fit->stage, 0.0)) / n_rows;
  if (!isfinite (norm)) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DIVERGED,
                 "the gradient is no number any more; give a smaller learning rate than %g",
                 self->learning_rate);
    return FALSE;
  }
  update.scale = tandem_schedule_get_clip_scale (norm, MAX_NORM) / n_rows;
  tandem_train_stage_update (fit->stage, &update);
  return TRUE;
}

static gboolean
run_epochs (TandemBertClassifier *self, Fit *fit, const guint *rows, guint n_rows,
            GCancellable *cancellable, GError **error)
{
  g_autofree guint *order = g_memdup2 (rows, n_rows * sizeof *rows);
  const guint64 n_steps =
      (guint64) self->epochs * ((n_rows + self->batch_size - 1) / self->batch_size);
  guint64 number = 0;
  guint epoch, first;

  for (epoch = 0; epoch < self->epochs; epoch++) {
    tandem_random_shuffle (tandem_random_key (self->seed, tandem_random_hash ("order") + epoch),
                           order, n_rows);
    for (first = 0; first < n_rows; first += self->batch_size)
      if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
          !step (self, fit, order + first, MIN (self->batch_size, n_rows - first), number++,
                 n_steps, error))
        return FALSE;
  }
  return TRUE;
}

/* Writes what was learned into a folder, and opens it. */
static gboolean
take_weights (TandemBertClassifier *self, TandemModel *initial, TandemTrainStage *stage,
              GCancellable *cancellable, GError **error)
{
  g_autoptr (GHashTable) tensors = tandem_train_stage_get_tensors (stage);
  g_autoptr (TandemModel) model = NULL;

  self->folder = make_folder (error);
  if (self->folder == NULL ||
      !tandem_model_export (initial, NULL, tensors, NULL, TANDEM_DTYPE_F32, self->folder,
                            TANDEM_MODEL_EXPORT_REPLACE, cancellable, error))
    return FALSE;
  model = tandem_model_open (self->folder, cancellable, error);
  return model != NULL && tandem_bert_classifier_take_model (self, model, error);
}

static gboolean
fit_from (TandemBertClassifier *self, TandemModel *initial, TandemDataset *data, const guint *rows,
          guint n_rows, GCancellable *cancellable, GError **error)
{
  const TandemTrainOptions options = {
    .hidden_dropout = self->dropout, .attention_dropout = self->dropout,
    .classifier_dropout = self->dropout, .seed = self->seed
  };
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (initial, error);
  g_autoptr (TandemTrainStage) stage = NULL;
  Fit fit = { .labels = tandem_dataset_get_labels (data),
              .n_classes = tandem_dataset_get_n_classes (data) };

  if (tokenizer == NULL)
    return FALSE;
  fit.tokens = tandem_bert_classifier_get_tokens (self, initial, tokenizer, data, cancellable,
                                                  error);
  if (fit.tokens == NULL)
    return FALSE;
  fit.stage = stage = tandem_train_stage_new (initial, 0,
                                              tandem_model_get_config (initial)->n_layers - 1,
                                              &options, error);
  return stage != NULL && run_epochs (self, &fit, rows, n_rows, cancellable, error) &&
      take_weights (self, initial, stage, cancellable, error);
}

gboolean
tandem_bert_classifier_fit (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                            guint n_rows, GCancellable *cancellable, GError **error)
{
  TandemBertClassifier *self = TANDEM_BERT_CLASSIFIER (classifier);
  g_autofree char *folder = NULL;
  g_autoptr (TandemModel) initial = NULL;
  gboolean ok;

  tandem_bert_classifier_forget (self);
  if (!tandem_bert_classifier_check_texts (data, error))
    return FALSE;
  initial = open_initial (self, tandem_dataset_get_n_classes (data), &folder, cancellable, error);
  ok = initial != NULL && fit_from (self, initial, data, rows, n_rows, cancellable, error);
  if (!ok)
    tandem_bert_classifier_forget (self);
  if (folder != NULL)
    tandem_bert_classifier_remove_folder (folder);
  return ok;
}
