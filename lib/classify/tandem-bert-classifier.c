/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-bert-classifier.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "base/tandem-random-private.h"

/* AdamW's, and what clipping leaves of a step's gradient, as `tandem train` has them. */
#define BETA1 0.9
#define BETA2 0.999
#define EPSILON 1e-8
#define MAX_NORM 1.0

/* Rows that are judged together. */
#define PREDICT_ROWS 64

struct _TandemBertClassifier
{
  GObject parent;

  char *from;                   /* the folder to begin at */
  guint epochs;
  guint batch_size;
  guint micro_batch;
  guint max_length;
  double learning_rate;
  double warmup;
  double weight_decay;
  double dropout;
  guint64 seed;

  TandemModel *model;           /* what it learned, or was read from */
  TandemTokenizer *tokenizer;
  TandemBertStage *stage;
  char *folder;                 /* of the model, when it is ours to remove */
};

enum
{
  PROP_MODEL = 1,
  PROP_EPOCHS,
  PROP_BATCH_SIZE,
  PROP_MICRO_BATCH,
  PROP_MAX_LENGTH,
  PROP_LEARNING_RATE,
  PROP_WARMUP,
  PROP_WEIGHT_DECAY,
  PROP_DROPOUT,
  PROP_SEED,
};

static void tandem_bert_classifier_interface_init (TandemClassifierInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TandemBertClassifier, tandem_bert_classifier, G_TYPE_OBJECT,
  G_IMPLEMENT_INTERFACE (TANDEM_TYPE_CLASSIFIER, tandem_bert_classifier_interface_init))

/* A folder of files. */
static void
remove_folder (const char *folder)
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
forget (TandemBertClassifier *self)
{
  g_clear_object (&self->stage);
  g_clear_object (&self->tokenizer);
  g_clear_object (&self->model);
  if (self->folder != NULL)
    remove_folder (self->folder);
  g_clear_pointer (&self->folder, g_free);
}

static void
tandem_bert_classifier_finalize (GObject *object)
{
  TandemBertClassifier *self = TANDEM_BERT_CLASSIFIER (object);

  forget (self);
  g_free (self->from);
  G_OBJECT_CLASS (tandem_bert_classifier_parent_class)->finalize (object);
}

static void
tandem_bert_classifier_set_property (GObject *object, guint id, const GValue *value,
                                     GParamSpec *spec)
{
  TandemBertClassifier *self = TANDEM_BERT_CLASSIFIER (object);

  switch (id) {
    case PROP_MODEL:
      g_free (self->from);
      self->from = g_value_dup_string (value);
      break;
    case PROP_EPOCHS:
      self->epochs = g_value_get_uint (value);
      break;
    case PROP_BATCH_SIZE:
      self->batch_size = g_value_get_uint (value);
      break;
    case PROP_MICRO_BATCH:
      self->micro_batch = g_value_get_uint (value);
      break;
    case PROP_MAX_LENGTH:
      self->max_length = g_value_get_uint (value);
      break;
    case PROP_LEARNING_RATE:
      self->learning_rate = g_value_get_double (value);
      break;
    case PROP_WARMUP:
      self->warmup = g_value_get_double (value);
      break;
    case PROP_WEIGHT_DECAY:
      self->weight_decay = g_value_get_double (value);
      break;
    case PROP_DROPOUT:
      self->dropout = g_value_get_double (value);
      break;
    case PROP_SEED:
      self->seed = g_value_get_uint64 (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
      break;
  }
}

static void
tandem_bert_classifier_get_property (GObject *object, guint id, GValue *value, GParamSpec *spec)
{
  TandemBertClassifier *self = TANDEM_BERT_CLASSIFIER (object);

  switch (id) {
    case PROP_MODEL:
      g_value_set_string (value, self->from);
      break;
    case PROP_EPOCHS:
      g_value_set_uint (value, self->epochs);
      break;
    case PROP_BATCH_SIZE:
      g_value_set_uint (value, self->batch_size);
      break;
    case PROP_MICRO_BATCH:
      g_value_set_uint (value, self->micro_batch);
      break;
    case PROP_MAX_LENGTH:
      g_value_set_uint (value, self->max_length);
      break;
    case PROP_LEARNING_RATE:
      g_value_set_double (value, self->learning_rate);
      break;
    case PROP_WARMUP:
      g_value_set_double (value, self->warmup);
      break;
    case PROP_WEIGHT_DECAY:
      g_value_set_double (value, self->weight_decay);
      break;
    case PROP_DROPOUT:
      g_value_set_double (value, self->dropout);
      break;
    case PROP_SEED:
      g_value_set_uint64 (value, self->seed);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
      break;
  }
}

static void
tandem_bert_classifier_class_init (TandemBertClassifierClass *klass)
{
  GObjectClass *object = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  object->finalize = tandem_bert_classifier_finalize;
  object->set_property = tandem_bert_classifier_set_property;
  object->get_property = tandem_bert_classifier_get_property;
  g_object_class_install_property (object, PROP_MODEL, g_param_spec_string (
    "model", NULL, "The folder of the model that it begins at", NULL, flags));
  g_object_class_install_property (object, PROP_EPOCHS, g_param_spec_uint (
    "epochs", NULL, "How often it learns from each row", 1, 1000, 2, flags));
  g_object_class_install_property (object, PROP_BATCH_SIZE, g_param_spec_uint (
    "batch-size", NULL, "Rows that a step learns from", 1, 4096, 32, flags));
  g_object_class_install_property (object, PROP_MICRO_BATCH, g_param_spec_uint (
    "micro-batch", NULL, "Rows of them that are computed together", 1, 256, 8, flags));
  g_object_class_install_property (object, PROP_MAX_LENGTH, g_param_spec_uint (
    "max-length", NULL, "Tokens of a text, at the most", 2, 4096, 256, flags));
  g_object_class_install_property (object, PROP_LEARNING_RATE, g_param_spec_double (
    "learning-rate", NULL, "After warm-up; it falls to 0 in a straight line", 1e-8, 1.0, 1e-4,
    flags));
  g_object_class_install_property (object, PROP_WARMUP, g_param_spec_double (
    "warmup", NULL, "Share of the steps that it rises in", 0.0, 1.0, 0.1, flags));
  g_object_class_install_property (object, PROP_WEIGHT_DECAY, g_param_spec_double (
    "weight-decay", NULL, "Decoupled decay of matrices", 0.0, 10.0, 0.01, flags));
  g_object_class_install_property (object, PROP_DROPOUT, g_param_spec_double (
    "dropout", NULL, "Everywhere in the model; below 0: as its configuration says", -1.0, 0.95,
    -1.0, flags));
  g_object_class_install_property (object, PROP_SEED, g_param_spec_uint64 (
    "seed", NULL, "Of a random classifier, order and dropout", 0, G_MAXUINT64, 1, flags));
}

static void
tandem_bert_classifier_init (TandemBertClassifier *self)
{
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
static const TandemTerms *
get_tokens (TandemTokenizer *tokenizer, guint max_length, TandemDataset *data,
            GCancellable *cancellable, GError **error)
{
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
static void
gather (const TandemTerms *tokens, const guint *rows, guint n_rows, GArray *ids, guint32 *offsets)
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

static gboolean
check_texts (TandemDataset *data, GError **error)
{
  if (tandem_dataset_is_text (data))
    return TRUE;
  g_set_error_literal (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                       "a BERT reads texts, and there are numbers");
  return FALSE;
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

/* Makes the model ready to judge. */
static gboolean
take_model (TandemBertClassifier *self, TandemModel *model, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (model);

  g_set_object (&self->model, model);
  self->tokenizer = tandem_model_get_tokenizer (model, error);
  if (self->tokenizer == NULL)
    return FALSE;
  self->stage = tandem_bert_stage_new (model, 0, config->n_layers - 1, TANDEM_PRECISION_F32, 1,
                                       TANDEM_BERT_STAGE_NONE, error);
  return self->stage != NULL;
}

static guint
get_max_length (TandemBertClassifier *self, TandemModel *model)
{
  return MIN (self->max_length, tandem_model_get_config (model)->max_positions);
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

    gather (fit->tokens, rows + first, n, ids, offsets);
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
  guint epoch, first, i;

  for (epoch = 0; epoch < self->epochs; epoch++) {
    guint64 key = tandem_random_key (self->seed, tandem_random_hash ("order") + epoch);

    for (i = n_rows; i > 1; i--) {
      guint k = (guint) (tandem_random_uniform (key, i) * i), last = order[i - 1];

      order[i - 1] = order[k];
      order[k] = last;
    }
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
  return model != NULL && take_model (self, model, error);
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
  fit.tokens = get_tokens (tokenizer, get_max_length (self, initial), data, cancellable, error);
  if (fit.tokens == NULL)
    return FALSE;
  fit.stage = stage = tandem_train_stage_new (initial, 0,
                                              tandem_model_get_config (initial)->n_layers - 1,
                                              &options, error);
  return stage != NULL && run_epochs (self, &fit, rows, n_rows, cancellable, error) &&
      take_weights (self, initial, stage, cancellable, error);
}

static gboolean
tandem_bert_classifier_fit (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                            guint n_rows, GCancellable *cancellable, GError **error)
{
  TandemBertClassifier *self = TANDEM_BERT_CLASSIFIER (classifier);
  g_autofree char *folder = NULL;
  g_autoptr (TandemModel) initial = NULL;
  gboolean ok;

  forget (self);
  if (!check_texts (data, error))
    return FALSE;
  initial = open_initial (self, tandem_dataset_get_n_classes (data), &folder, cancellable, error);
  ok = initial != NULL && fit_from (self, initial, data, rows, n_rows, cancellable, error);
  if (!ok)
    forget (self);
  if (folder != NULL)
    remove_folder (folder);
  return ok;
}

static gboolean
tandem_bert_classifier_predict (TandemClassifier *classifier, TandemDataset *data,
                                const guint *rows, guint n_rows, float *scores,
                                GCancellable *cancellable, GError **error)
{
  TandemBertClassifier *self = TANDEM_BERT_CLASSIFIER (classifier);
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  const guint n_classes = tandem_model_get_config (self->model)->n_classes;
  guint32 offsets[PREDICT_ROWS + 1];
  const TandemTerms *tokens;
  guint first;

  if (!check_texts (data, error))
    return FALSE;
  tokens = get_tokens (self->tokenizer, get_max_length (self, self->model), data, cancellable,
                       error);
  if (tokens == NULL)
    return FALSE;
  for (first = 0; first < n_rows; first += PREDICT_ROWS) {
    guint n = MIN (PREDICT_ROWS, n_rows - first);

    gather (tokens, rows + first, n, ids, offsets);
    if (!tandem_bert_stage_forward_tokens (self->stage, (const gint32 *) (gpointer) ids->data, n,
                                           offsets, scores + (gsize) first * n_classes,
                                           cancellable, error))
      return FALSE;
  }
  return TRUE;
}

static guint
tandem_bert_classifier_get_n_classes (TandemClassifier *classifier)
{
  TandemBertClassifier *self = TANDEM_BERT_CLASSIFIER (classifier);

  return self->model != NULL ? tandem_model_get_config (self->model)->n_classes : 0;
}

/* All tensors by their names; NULL on error. */
static GHashTable *
list_tensors (TandemModel *model, GError **error)
{
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                                          (GDestroyNotify) tandem_tensor_unref);
  g_auto (GStrv) names = tandem_model_list_tensors (model);
  guint i;

  for (i = 0; names[i] != NULL; i++) {
    TandemTensor *tensor = tandem_model_get_tensor (model, names[i], error);

    if (tensor == NULL)
      return NULL;
    g_hash_table_insert (tensors, g_strdup (names[i]), tensor);
  }
  return g_steal_pointer (&tensors);
}

static guint64
tandem_bert_classifier_get_size (TandemClassifier *classifier)
{
  TandemBertClassifier *self = TANDEM_BERT_CLASSIFIER (classifier);
  g_autoptr (GHashTable) tensors = NULL;
  GHashTableIter iter;
  gpointer tensor;
  guint64 size = 0;

  if (self->model == NULL)
    return 0;
  tensors = list_tensors (self->model, NULL);
  if (tensors == NULL)
    return 0;
  g_hash_table_iter_init (&iter, tensors);
  while (g_hash_table_iter_next (&iter, NULL, &tensor))
    size += tandem_tensor_get_n_elements (tensor) *
        tandem_dtype_get_size (tandem_tensor_get_dtype (tensor));
  return size;
}

/* Of all layers, as if the last one computed all rows: 4 d^2 + 2 d f for a token, and 2 d for
 * each pair of tokens. */
static gboolean
tandem_bert_classifier_get_cost (TandemClassifier *classifier, TandemDataset *data,
                                 const guint *rows, guint n_rows, double *cost, GError **error)
{
  TandemBertClassifier *self = TANDEM_BERT_CLASSIFIER (classifier);
  const TandemModelConfig *config;
  const TandemTerms *tokens;
  double d, f;
  guint i;

  *cost = 0.0;
  if (!check_texts (data, error))
    return FALSE;
  config = tandem_model_get_config (self->model);
  tokens = get_tokens (self->tokenizer, get_max_length (self, self->model), data, NULL, error);
  if (tokens == NULL)
    return FALSE;
  d = config->hidden_size;
  f = config->intermediate_size;
  for (i = 0; i < n_rows; i++) {
    double n = (double) (tokens->offsets[rows[i] + 1] - tokens->offsets[rows[i]]);

    *cost += config->n_layers * (n * (4.0 * d * d + 2.0 * d * f) + 2.0 * d * n * n) / n_rows;
  }
  return TRUE;
}

static gboolean
tandem_bert_classifier_save_folder (TandemClassifier *classifier, const char *path,
                                    GCancellable *cancellable, GError **error)
{
  TandemBertClassifier *self = TANDEM_BERT_CLASSIFIER (classifier);
  g_autoptr (GHashTable) tensors = list_tensors (self->model, error);

  return tensors != NULL &&
      tandem_model_export (self->model, NULL, tensors, NULL, TANDEM_DTYPE_F32, path,
                           TANDEM_MODEL_EXPORT_NONE, cancellable, error);
}

TandemModel *
tandem_bert_classifier_get_model (TandemBertClassifier *self)
{
  return self->model;
}

TandemClassifier *
tandem_bert_classifier_load (const char *path, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemBertClassifier) self = g_object_new (TANDEM_TYPE_BERT_CLASSIFIER, NULL);
  g_autoptr (TandemModel) model = tandem_model_open (path, cancellable, error);

  if (model == NULL || !take_model (self, model, error))
    return NULL;
  return TANDEM_CLASSIFIER (g_steal_pointer (&self));
}

static void
tandem_bert_classifier_interface_init (TandemClassifierInterface *iface)
{
  iface->fit = tandem_bert_classifier_fit;
  iface->predict = tandem_bert_classifier_predict;
  iface->get_n_classes = tandem_bert_classifier_get_n_classes;
  iface->get_size = tandem_bert_classifier_get_size;
  iface->get_cost = tandem_bert_classifier_get_cost;
  iface->save_folder = tandem_bert_classifier_save_folder;
}
