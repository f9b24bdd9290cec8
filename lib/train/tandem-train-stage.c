/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "train/tandem-train-stage.h"

#include "model/tandem-model-private.h"
#include "base/tandem-json-private.h"
#include "train/tandem-train-stage-private.h"

/**
 * TandemTrainStage:
 *
 * Consecutive layers of a BERT (Devlin et al. 2018) or ALBERT (Lan et al. 2020) in training, over packed
 * sequences and in float32. A forward pass keeps what its backward pass needs, until that
 * comes; any number of micro-batches may be in flight. A backward pass sees the weights of
 * its forward pass, even when they were updated in between (the weight stashing of
 * PipeDream, Harlap et al. 2018, section 3.3).
 *
 * Gradients are sums over sequences, added up from one update to the next in the order of
 * the backward passes, so that the weights after a step do not depend on where the model is
 * split, to the bit.
 *
 * Word embeddings have gradients only for the words that occurred, and only these rows are
 * updated; AdamW's moments of the others stay as they are.
 *
 * One thread at a time may use a stage.
 */
G_DEFINE_FINAL_TYPE (TandemTrainStage, tandem_train_stage, G_TYPE_OBJECT)

static void
tandem_train_stage_finalize (GObject *object)
{
  TandemTrainStage *self = TANDEM_TRAIN_STAGE (object);

  tandem_train_stage_forget (self);
  tandem_train_scratch_clear (&self->scratch);
  tandem_train_hidden_clear (&self->hidden);
  g_clear_pointer (&self->layers, g_array_unref);
  g_clear_pointer (&self->parameters, tandem_parameters_free);
  g_clear_object (&self->model);
  G_OBJECT_CLASS (tandem_train_stage_parent_class)->finalize (object);
}

static void
tandem_train_stage_class_init (TandemTrainStageClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_train_stage_finalize;
}

static void
tandem_train_stage_init (TandemTrainStage *self)
{
  self->parameters = tandem_parameters_new ();
  self->layers = g_array_new (FALSE, FALSE, sizeof (TandemTrainLayer));
  g_queue_init (&self->tapes);
  g_queue_init (&self->spare);
}

/* A rate that the caller did not give is read from the model's configuration. */
static gboolean
get_rate (double given, JsonObject *config, const char *name, double otherwise, float *rate,
          GError **error)
{
  JsonNode *node = json_object_get_member (config, name);
  double value = given;

  if (given < 0.0)
    value = node != NULL && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_double (node) : otherwise;
  if (!(value >= 0.0 && value < 1.0)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
                 "%s is %g; a dropout rate is 0 to below 1", name, value);
    return FALSE;
  }
  *rate = (float) value;
  return TRUE;
}

static gboolean
fill_shape (TandemTrainStage *self, const TandemTrainOptions *options, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (self->model);
  g_autoptr (JsonNode) root =
      tandem_json_parse_object (tandem_model_get_config_text (self->model), error);
  gboolean albert = config->type == TANDEM_MODEL_ALBERT;
  JsonObject *object;

  if (root == NULL)
    return FALSE;
  object = json_node_get_object (root);
  self->shape = (TandemTrainShape) {
    .hidden_size = config->hidden_size, .embedding_size = config->embedding_size,
    .has_projection = config->type == TANDEM_MODEL_ALBERT, .n_heads = config->n_heads,
    .intermediate_size = config->intermediate_size, .max_positions = config->max_positions,
    .eps = (float) config->layer_norm_eps, .seed = options->seed
  };
  switch (config->activation) {
    case TANDEM_ACTIVATION_GELU:
      self->shape.activation = TANDEM_NONLINEARITY_GELU_ERF;
      break;
    case TANDEM_ACTIVATION_GELU_TANH:
      self->shape.activation = TANDEM_NONLINEARITY_GELU_TANH;
      break;
    case TANDEM_ACTIVATION_RELU:
      self->shape.activation = TANDEM_NONLINEARITY_RELU;
      break;
  }
  /* The defaults are those of transformers; there, an ALBERT drops nothing behind its
   * feed-forward block. */
  if (!get_rate (options->hidden_dropout, object, "hidden_dropout_prob", albert ? 0.0 : 0.1,
                 &self->shape.hidden_dropout, error) ||
      !get_rate (options->attention_dropout, object, "attention_probs_dropout_prob",
                 albert ? 0.0 : 0.1, &self->shape.attention_dropout, error) ||
      !get_rate (options->classifier_dropout, object,
                 albert ? "classifier_dropout_prob" : "classifier_dropout",
                 albert ? 0.1 : self->shape.hidden_dropout, &self->shape.classifier_dropout,
                 error))
    return FALSE;
  self->shape.output_dropout = albert ? 0.0f : self->shape.hidden_dropout;
  return TRUE;
}

static gboolean
check_layers (TandemTrainStage *self, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (self->model);
  guint first, last, n_layers = config->n_layers;
  const char *path = tandem_model_get_path (self->model);

  tandem_model_get_layers (self->model, &first, &last);
  if (self->first_layer > self->last_layer || self->first_layer < first ||
      self->last_layer > last) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                 "%s: it holds layers %u-%u of %u, asked for %u-%u", path, first, last, n_layers,
                 self->first_layer, self->last_layer);
    return FALSE;
  }
  if ((self->first_layer > 0 &&
       tandem_model_config_get_group (config, self->first_layer) ==
       tandem_model_config_get_group (config, self->first_layer - 1)) ||
      (self->last_layer + 1 < n_layers &&
       tandem_model_config_get_group (config, self->last_layer) ==
       tandem_model_config_get_group (config, self->last_layer + 1))) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                 "%s: layers %u-%u share weights with layers of another stage, and would no longer "
                 "after a step; train layers of one group in one stage", path,
                 self->first_layer, self->last_layer);
    return FALSE;
  }
  if (self->is_masked_lm && (self->first_layer > 0 || self->last_layer + 1 < n_layers)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                 "%s: a masked language model trains in one stage, since its word embeddings are at "
                 "both ends: give it layers 0-%u, not %u-%u", path, n_layers - 1,
                 self->first_layer, self->last_layer);
    return FALSE;
  }
  if (self->has_head && !tandem_model_has_classifier (self->model)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CLASSIFIER,
                 "%s: the model has no classifier (pooler.dense and classifier) to train; make "
                 "one first (tandem train --from %s)", path, path);
    return FALSE;
  }
  return TRUE;
}

/* What was pruned stays pruned. */
static gboolean
set_masks (TandemTrainStage *self, const TandemTrainOptions *options, GError **error)
{
  g_autoptr (TandemMasks) masks = tandem_masks_new_from_model (self->model);

  if (options->masks != NULL)
    tandem_masks_add_all (masks, options->masks);
  return tandem_parameters_set_masks (self->parameters, masks, error);
}

/**
 * tandem_train_stage_new:
 * @model: a model folder or stage file that holds the layers
 * @first_layer: the first layer, from 0
 * @last_layer: the last layer, inclusive
 * @options: how to train
 * @error: return location for a #TandemModelError, or for a #GIOErrorEnum when hidden states of the
 *   teacher cannot be learned: %G_IO_ERROR_INVALID_ARGUMENT where its layers or its vocabulary do
 *   not fit, %G_IO_ERROR_NOT_SUPPORTED where it is not this stage that can learn them
 *
 * Copies the weights of the layers; the files are not changed. A masked language model takes the
 * head of the files ("cls.predictions."); where they have none it begins as BERT's does: a matrix
 * of a normal distribution with the standard deviation "initializer_range" of the configuration,
 * the factor of the layer norm 1, the rest 0.
 *
 * With a teacher each backward pass adds the loss of hidden states (Jiao et al. 2020, equation 8):
 * for each pair of layers and each sequence the mean square of what the student's rows, projected
 * to the teacher's width where that is another, lack to the teacher's. Of the last layer of a
 * classifier that is the first row of each sequence. One projection, without a bias, serves all
 * layers; it begins with random numbers from the seed, trains along, and is in
 * tandem_train_stage_get_state() as "distillation.projection.weight", but none of the model's tensors.
 *
 * What the model stores sparse, and what is not kept by @masks of the options, is zero and stays so
 * through all updates: its gradients count as 0.
 *
 * Returns: (transfer full): a new stage, or %NULL with @error set
 */
TandemTrainStage *
tandem_train_stage_new (TandemModel *model, guint first_layer, guint last_layer,
                        const TandemTrainOptions *options, GError **error)
{
  const TandemModelConfig *config;
  g_autoptr (TandemTrainStage) self = NULL;
  guint i;

  g_return_val_if_fail (TANDEM_IS_MODEL (model), NULL);
  g_return_val_if_fail (options != NULL, NULL);

  config = tandem_model_get_config (model);
  self = g_object_new (TANDEM_TYPE_TRAIN_STAGE, NULL);
  self->model = g_object_ref (model);
  self->first_layer = first_layer;
  self->last_layer = last_layer;
  self->has_head = last_layer + 1 == config->n_layers && !options->hidden &&
      !options->masked_lm;
  self->is_masked_lm = options->masked_lm;
  if (!check_layers (self, error) || !fill_shape (self, options, error))
    return NULL;

  if (!tandem_train_hidden_add (&self->hidden, self->parameters, &self->shape, model, first_layer,
                                last_layer, options, error))
    return NULL;
  if (first_layer == 0)
    self->embeddings = tandem_train_embeddings_add (self->parameters, &self->shape,
                                                    config->n_types, config->vocab_size);
  for (i = first_layer; i <= last_layer; i++) {
    TandemTrainLayer layer;

    if (i > first_layer && tandem_model_config_get_group (config, i) ==
        tandem_model_config_get_group (config, i - 1))
      layer = g_array_index (self->layers, TandemTrainLayer, i - 1 - first_layer);
    else
      layer = tandem_train_layer_add (self->parameters, &self->shape, config, i);
    layer.index = i;
    g_array_append_val (self->layers, layer);
  }
  if (self->has_head)
    self->head = tandem_train_head_add (self->parameters, &self->shape, config->n_classes);
  if (self->is_masked_lm && !tandem_train_masked_add (&self->masked, self->parameters,
                                                      &self->shape, model, error))
    return NULL;
  if (!tandem_parameters_load (self->parameters, model, error) ||
      !set_masks (self, options, error))
    return NULL;
  return g_steal_pointer (&self);
}

TandemParameters *
tandem_train_stage_get_parameters (TandemTrainStage *self)
{
  return self->parameters;
}

const TandemTrainShape *
tandem_train_stage_get_shape (TandemTrainStage *self)
{
  return &self->shape;
}

const TandemTrainMasked *
tandem_train_stage_get_masked (TandemTrainStage *self)
{
  return self->is_masked_lm ? &self->masked : NULL;
}

/**
 * tandem_train_stage_get_model:
 * @self: a stage
 *
 * Returns: (transfer none): the model that training began with
 */
TandemModel *
tandem_train_stage_get_model (TandemTrainStage *self)
{
  return self->model;
}

/**
 * tandem_train_stage_get_layers:
 * @self: a stage
 * @first: (out) (optional): its first layer
 * @last: (out) (optional): its last layer, inclusive
 */
void
tandem_train_stage_get_layers (TandemTrainStage *self, guint *first, guint *last)
{
  if (first != NULL)
    *first = self->first_layer;
  if (last != NULL)
    *last = self->last_layer;
}

/**
 * tandem_train_stage_takes_tokens:
 * @self: a stage
 *
 * Returns: whether its input is token ids rather than rows of activations
 */
gboolean
tandem_train_stage_takes_tokens (TandemTrainStage *self)
{
  return self->first_layer == 0;
}

/**
 * tandem_train_stage_has_teacher:
 * @self: a stage
 *
 * Returns: whether it learns hidden states of a teacher
 */
gboolean
tandem_train_stage_has_teacher (TandemTrainStage *self)
{
  return self->hidden.pairs != NULL;
}

/**
 * tandem_train_stage_get_hidden_loss:
 * @self: a stage
 *
 * Returns: the loss of hidden states, times its weight, summed up over the sequences of all backward
 *   passes since the last update; 0 without a teacher
 */
double
tandem_train_stage_get_hidden_loss (TandemTrainStage *self)
{
  return self->hidden.loss;
}

/**
 * tandem_train_stage_get_masks:
 * @self: a stage
 *
 * Returns: (transfer none): the masks that it keeps to, of tensors of its layers and perhaps of others
 */
TandemMasks *
tandem_train_stage_get_masks (TandemTrainStage *self)
{
  return self->parameters->masks;
}

/**
 * tandem_train_stage_gives_logits:
 * @self: a stage
 *
 * Returns: whether its output is logits rather than rows of activations
 */
gboolean
tandem_train_stage_gives_logits (TandemTrainStage *self)
{
  return self->has_head;
}

/**
 * tandem_train_stage_add_squared_norm:
 * @self: a stage
 * @sum: what the stages behind it gave, 0 for the last one
 *
 * Adds the squares of all gradients since the last update. The sum over all stages, from the
 * last to the first, does not depend on where the model is split, to the bit.
 *
 * Returns: the sum
 */
double
tandem_train_stage_add_squared_norm (TandemTrainStage *self, double sum)
{
  tandem_parameters_mask_gradient (self->parameters);
  return tandem_parameters_add_squares (self->parameters, sum);
}

/**
 * tandem_train_stage_update:
 * @self: a stage
 * @update: the step
 *
 * Updates the weights with what was added up since the last update, and begins anew.
 */
void
tandem_train_stage_update (TandemTrainStage *self, const TandemTrainUpdate *update)
{
  TandemAdamWStep step = {
    .rate = (float) update->learning_rate, .beta1 = (float) update->beta1,
    .beta2 = (float) update->beta2, .eps = (float) update->epsilon,
    .decay = (float) update->weight_decay, .scale = (float) update->scale, .t = update->step
  };

  tandem_parameters_mask_gradient (self->parameters);
  tandem_parameters_update (self->parameters, &step);
  self->hidden.loss = 0.0;
  tandem_parameters_clear_gradient (self->parameters);
}
