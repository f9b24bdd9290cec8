/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-bert-classifier-private.h"


/* Rows that are judged together. */
#define PREDICT_ROWS 64

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

void
tandem_bert_classifier_forget (TandemBertClassifier *self)
{
  g_clear_object (&self->stage);
  g_clear_object (&self->tokenizer);
  g_clear_object (&self->model);
  if (self->folder != NULL)
    tandem_bert_classifier_remove_folder (self->folder);
  g_clear_pointer (&self->folder, g_free);
}

static void
tandem_bert_classifier_finalize (GObject *object)
{
  TandemBertClassifier *self = TANDEM_BERT_CLASSIFIER (object);

  tandem_bert_classifier_forget (self);
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

gboolean
tandem_bert_classifier_check_texts (TandemDataset *data, GError **error)
{
  if (tandem_dataset_is_text (data))
    return TRUE;
  g_set_error_literal (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                       "a BERT reads texts, and there are numbers");
  return FALSE;
}

/* Makes the model ready to judge. */
gboolean
tandem_bert_classifier_take_model (TandemBertClassifier *self, TandemModel *model, GError **error)
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

  if (!tandem_bert_classifier_check_texts (data, error))
    return FALSE;
  tokens = tandem_bert_classifier_get_tokens (self, self->model, self->tokenizer, data, cancellable,
                                              error);
  if (tokens == NULL)
    return FALSE;
  for (first = 0; first < n_rows; first += PREDICT_ROWS) {
    guint n = MIN (PREDICT_ROWS, n_rows - first);

    tandem_bert_classifier_gather (tokens, rows + first, n, ids, offsets);
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
  if (!tandem_bert_classifier_check_texts (data, error))
    return FALSE;
  config = tandem_model_get_config (self->model);
  tokens = tandem_bert_classifier_get_tokens (self, self->model, self->tokenizer, data, NULL,
                                              error);
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

  if (model == NULL || !tandem_bert_classifier_take_model (self, model, error))
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
