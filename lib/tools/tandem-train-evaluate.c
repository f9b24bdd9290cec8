/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Running whole models over many reviews: to measure them, or to learn from them. */

#include "config.h"

#include "tandem-train-evaluate.h"

#include <glib/gi18n-lib.h>

#include "tandem.h"

/* Reviews that the threads share at a time. */
#define GROUP 64

/* Texts that a masked language model runs together. */
#define MASKED_GROUP 8

#define CLASSES 2

#define LOGITS "logits"
#define FINGERPRINT "tandem.teacher"

typedef struct
{
  TandemTokenizer *tokenizer;
  TandemBertStage *stage;
  guint max_length;
} Runner;

static void
runner_clear (Runner *self)
{
  g_clear_object (&self->tokenizer);
  g_clear_object (&self->stage);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Runner, runner_clear)

static gboolean
runner_init (Runner *self, TandemModel *model, guint max_length, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  guint n_threads = CLAMP (g_get_num_processors (), 1, TANDEM_BERT_STAGE_MAX_THREADS);

  if (config->n_classes != CLASSES) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("%s tells %u classes apart, reviews have two"), tandem_model_get_path (model),
                 config->n_classes);
    return FALSE;
  }
  self->max_length = MIN (max_length, config->max_positions);
  self->tokenizer = tandem_model_get_tokenizer (model, error);
  if (self->tokenizer != NULL)
    self->stage = tandem_bert_stage_new (model, 0, config->n_layers - 1, TANDEM_PRECISION_F32,
                                         n_threads, TANDEM_BERT_STAGE_NONE, error);
  return self->stage != NULL;
}

/* logits: [reviews->len, CLASSES] */
static gboolean
runner_run (const Runner *self, GArray *reviews, float *logits, const char *what,
            TrainProgress *progress, GCancellable *cancellable, GError **error)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  guint first, i;

  for (first = 0; first < reviews->len; first += GROUP) {
    guint n = MIN (GROUP, reviews->len - first);
    guint32 offsets[GROUP + 1] = { 0 };

    g_array_set_size (ids, 0);
    for (i = 0; i < n; i++) {
      GBytes *text = g_array_index (reviews, TrainReview, first + i).text;
      gsize size;
      const char *start = g_bytes_get_data (text, &size);

      tandem_tokenizer_encode_into (self->tokenizer, size > 0 ? start : "", size,
                                    self->max_length, ids, NULL);
      offsets[i + 1] = ids->len;
    }
    if (!tandem_bert_stage_forward_tokens (self->stage, (const gint32 *) ids->data, n, offsets,
                                           logits + (gsize) first * CLASSES, cancellable, error))
      return FALSE;
    train_progress_work (progress, what, first + n, reviews->len);
  }
  return TRUE;
}

gboolean
train_evaluate (const char *path, const TrainData *data, TrainProgress *progress,
                TrainMeasurement *measurement, GCancellable *cancellable, GError **error)
{
  guint n = data->held_out->len, i;
  g_autoptr (TandemModel) model = tandem_model_open (path, cancellable, error);
  g_autofree float *logits = g_new (float, (gsize) n * CLASSES);
  g_autofree float *gradient = g_new (float, (gsize) n * CLASSES);
  g_autofree gint32 *labels = g_new (gint32, n);
  g_auto (Runner) runner = { 0 };
  TandemLoss loss = { 0 };

  if (model == NULL || !runner_init (&runner, model, G_MAXUINT, error) ||
      !runner_run (&runner, data->held_out, logits, _("measuring"), progress, cancellable, error))
    return FALSE;
  for (i = 0; i < n; i++)
    labels[i] = g_array_index (data->held_out, TrainReview, i).label;
  if (!tandem_loss_cross_entropy (&loss, logits, n, CLASSES, labels, 0.0, gradient, error))
    return FALSE;
  measurement->loss = loss.sum / n;
  measurement->accuracy = (double) loss.n_correct / n;
  return TRUE;
}

/* One micro-batch of texts that are held out. */
static gboolean
add_masked_loss (TandemTrainStage *stage, TandemTokenizer *tokenizer, const TrainData *data,
                 guint first, guint n, guint max_length, TandemLoss *loss, GError **error)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  guint32 offsets[MASKED_GROUP + 1] = { 0 };
  guint64 numbers[MASKED_GROUP];
  guint i;

  for (i = 0; i < n; i++) {
    GBytes *text = g_array_index (data->held_out, TrainReview, first + i).text;
    gsize size;
    const char *start = g_bytes_get_data (text, &size);

    tandem_tokenizer_encode_into (tokenizer, size > 0 ? start : "", size, max_length, ids, NULL);
    offsets[i + 1] = ids->len;
    numbers[i] = first + i;
  }
  return tandem_train_stage_masked_loss (stage, (const gint32 *) ids->data, n, offsets, numbers,
                                         loss, error);
}

gboolean
train_evaluate_masked (const char *path, const TrainData *data, const TrainOptions *options,
                       TrainProgress *progress, TrainMeasurement *measurement,
                       GCancellable *cancellable, GError **error)
{
  guint n = data->held_out->len, first;
  const TandemTrainOptions settings = { .seed = options->seed, .masked_lm = TRUE };
  g_autoptr (TandemModel) model = tandem_model_open (path, cancellable, error);
  g_autoptr (TandemTokenizer) tokenizer = NULL;
  g_autoptr (TandemTrainStage) stage = NULL;
  TandemLoss loss = { 0 };

  if (model == NULL || (tokenizer = tandem_model_get_tokenizer (model, error)) == NULL)
    return FALSE;
  stage = tandem_train_stage_new (model, 0, tandem_model_get_config (model)->n_layers - 1,
                                  &settings, error);
  for (first = 0; stage != NULL && first < n; first += MASKED_GROUP) {
    if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
        !add_masked_loss (stage, tokenizer, data, first, MIN (MASKED_GROUP, n - first),
                          options->max_length, &loss, error))
      return FALSE;
    train_progress_work (progress, _("measuring"), MIN (first + MASKED_GROUP, n), n);
  }
  if (stage == NULL)
    return FALSE;
  if (loss.n_rows == 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("no word of %u reviews held out came to be masked; give more of them, a larger "
                   "--holdout, or --holdout 0"), n);
    return FALSE;
  }
  measurement->loss = loss.sum / loss.n_rows;
  measurement->accuracy = (double) loss.n_correct / loss.n_rows;
  measurement->n_tokens = loss.n_rows;
  return TRUE;
}

static gboolean
is_of (const char *path, const char *fingerprint)
{
  g_autoptr (TandemSafetensors) file = NULL;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return FALSE;
  file = tandem_safetensors_open (path, NULL);
  return file != NULL &&
      g_strcmp0 (tandem_safetensors_get_metadata (file, FINGERPRINT), fingerprint) == 0;
}

/* The other kind of teacher: a file of "tandem fit". */
static gboolean
is_ngrams (const char *path)
{
  g_autoptr (TandemSafetensors) file = NULL;

  if (!g_file_test (path, G_FILE_TEST_IS_REGULAR))
    return FALSE;
  file = tandem_safetensors_open (path, NULL);
  return file != NULL && tandem_safetensors_get_metadata (file, "tandem.ngrams") != NULL;
}

/* Scores are logarithms of odds: half of it for one class, half against the other. */
static gboolean
run_ngrams (TandemNgramClassifier *classifier, GArray *reviews, float *logits,
            TrainProgress *progress, GCancellable *cancellable, GError **error)
{
  guint i;

  for (i = 0; i < reviews->len; i++) {
    gsize size;
    const char *text = g_bytes_get_data (g_array_index (reviews, TrainReview, i).text, &size);
    double score = tandem_ngram_classifier_score (classifier, size > 0 ? text : "", size);

    logits[i * CLASSES] = -score / 2.0;
    logits[i * CLASSES + 1] = score / 2.0;
    if (i % GROUP == 0 || i + 1 == reviews->len) {
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      train_progress_work (progress, _("asking the teacher"), i + 1, reviews->len);
    }
  }
  return TRUE;
}

char *
train_ask_teacher (const TrainOptions *options, const TrainData *data, TrainProgress *progress,
                   GCancellable *cancellable, GError **error)
{
  g_autofree char *path = g_build_filename (options->output, "teacher.safetensors", NULL);
  guint64 shape[2] = { data->train->len, CLASSES };
  gsize size = shape[0] * CLASSES * sizeof (float);
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) tensors = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (TandemNgramClassifier) ngrams = NULL;
  g_autoptr (TandemModel) model = NULL;
  g_autofree char *teacher = NULL, *fingerprint = NULL;
  g_autoptr (TandemTensor) tensor = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_auto (Runner) runner = { 0 };
  float *logits;

  if (is_ngrams (options->teacher)) {
    ngrams = tandem_ngram_classifier_load (options->teacher, error);
    if (ngrams == NULL)
      return NULL;
    teacher = tandem_ngram_classifier_dup_fingerprint (ngrams);
  } else {
    model = tandem_model_open (options->teacher, cancellable, error);
    if (model == NULL)
      return NULL;
    teacher = g_strdup (tandem_model_get_fingerprint (model));
  }
  fingerprint = g_strdup_printf ("%s %s %" G_GUINT64_FORMAT, teacher, data->fingerprint,
                                 options->max_length);
  if (is_of (path, fingerprint))
    return g_steal_pointer (&path);
  logits = g_malloc (size);
  bytes = g_bytes_new_take (logits, size);
  if (ngrams != NULL) {
    if (!run_ngrams (ngrams, data->train, logits, progress, cancellable, error))
      return NULL;
  } else if (!runner_init (&runner, model, options->max_length, error) ||
             !runner_run (&runner, data->train, logits, _("asking the teacher"), progress,
                          cancellable, error)) {
    return NULL;
  }
  tensor = tandem_tensor_new (TANDEM_DTYPE_F32, 2, shape, bytes, error);
  if (tensor == NULL)
    return NULL;
  g_hash_table_insert (tensors, (gpointer) LOGITS, tensor);
  g_hash_table_insert (metadata, (gpointer) FINGERPRINT, fingerprint);
  return tandem_safetensors_write (path, metadata, tensors, cancellable, error)
    ? g_steal_pointer (&path) : NULL;
}
