/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "train/tandem-train-stage.h"

#include <math.h>
#include <string.h>

#include "model/tandem-model-private.h"
#include "nn/tandem-linear.h"
#include "text/tandem-json-private.h"
#include "train/tandem-train-layer.h"
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
struct _TandemTrainStage
{
  GObject parent_instance;

  TandemModel *model;
  guint first_layer;
  guint last_layer;
  gboolean has_head;
  gboolean is_masked_lm;
  TandemTrainShape shape;

  TandemParameters *parameters;
  TandemTrainEmbeddings embeddings;
  GArray *layers;               /* of TandemTrainLayer */
  TandemTrainHead head;
  TandemTrainMasked masked;

  GQueue tapes;                 /* of Tape, in the order of forward passes */
  GQueue spare;                 /* of TandemTrainArena, for tapes to come */
  TandemTrainScratch scratch;
};

G_DEFINE_FINAL_TYPE (TandemTrainStage, tandem_train_stage, G_TYPE_OBJECT)

/* What one micro-batch keeps between its passes. */
typedef struct
{
  guint64 micro_batch;
  TandemTrainBatch batch;       /* owns its arrays */
  TandemWeights *weights;
  TandemTrainArena *arena;      /* what the following keep */
  GQueue *spare;                /* where it goes then */
  TandemTrainEmbeddingsTape embeddings;
  guint n_layers;
  float **inputs;               /* of each layer, and of the head */
  TandemTrainLayerTape *layers;
  TandemTrainHeadTape head;
} Tape;

static void
tape_free (gpointer data)
{
  Tape *tape = data;

  tandem_train_arena_empty (tape->arena);
  g_queue_push_head (tape->spare, tape->arena);
  tandem_weights_release (tape->weights);
  g_free ((gpointer) tape->batch.offsets);
  g_free ((gpointer) tape->batch.ids);
  g_free (tape->layers);
  g_free (tape->inputs);
  g_free (tape);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Tape, tape_free)

static Tape *
tape_new (TandemTrainStage *self, guint64 micro_batch, guint n_sequences, const guint32 *offsets,
          const guint64 *ids)
{
  Tape *tape = g_new0 (Tape, 1);

  tape->micro_batch = micro_batch;
  tape->batch = (TandemTrainBatch) {
    n_sequences, g_memdup2 (offsets, (n_sequences + 1) * sizeof *offsets),
    g_memdup2 (ids, n_sequences * sizeof *ids), offsets[n_sequences]
  };
  tape->weights = tandem_parameters_hold (self->parameters);
  tape->arena = g_queue_pop_head (&self->spare);
  if (tape->arena == NULL)
    tape->arena = tandem_train_arena_new ();
  tape->spare = &self->spare;
  tape->n_layers = self->layers->len;
  tape->inputs = g_new0 (float *, tape->n_layers + 1);
  tape->layers = g_new0 (TandemTrainLayerTape, tape->n_layers);
  return tape;
}

static void
tandem_train_stage_finalize (GObject *object)
{
  TandemTrainStage *self = TANDEM_TRAIN_STAGE (object);

  tandem_train_stage_forget (self);
  tandem_train_scratch_clear (&self->scratch);
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

/**
 * tandem_train_stage_new:
 * @model: a model folder or stage file that holds the layers
 * @first_layer: the first layer, from 0
 * @last_layer: the last layer, inclusive
 * @options: how to train
 * @error: return location for a #TandemModelError
 *
 * Copies the weights of the layers; the files are not changed. A masked language model takes the
 * head of the files ("cls.predictions."); where they have none it begins as BERT's does: a matrix
 * of a normal distribution with the standard deviation "initializer_range" of the configuration,
 * the factor of the layer norm 1, the rest 0.
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
  if (!tandem_parameters_load (self->parameters, model, error))
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

gboolean
tandem_train_stage_check_input (TandemTrainStage *self, gconstpointer input, guint n,
                                const guint32 *offsets, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (self->model);
  const gint32 *ids = input;
  guint i;

  if (n == 0 || offsets[0] != 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "a micro-batch needs one sequence at least, and the first starts at row 0");
    return FALSE;
  }
  for (i = 0; i < n; i++) {
    if (offsets[i + 1] <= offsets[i] || offsets[i + 1] - offsets[i] > config->max_positions) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   "sequence %u of the micro-batch has %d tokens; the model takes 1 to %u "
                   "(tokenize max-length=%u)", i, (gint) (offsets[i + 1] - offsets[i]),
                   config->max_positions, config->max_positions);
      return FALSE;
    }
  }
  for (i = 0; self->first_layer == 0 && i < offsets[n]; i++) {
    if ((guint32) ids[i] >= config->vocab_size) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   "token %u of the micro-batch is %d; the model's vocabulary has %u entries", i,
                   ids[i], config->vocab_size);
      return FALSE;
    }
  }
  return TRUE;
}

/**
 * tandem_train_stage_forward: (skip)
 * @self: a stage
 * @micro_batch: a number that no micro-batch in flight has
 * @input: int32 ids [rows], or float32 rows [rows, hidden size]
 * @n_sequences: how many sequences, 1 at least
 * @offsets: n_sequences + 1 ascending row numbers from 0
 * @ids: numbers of the sequences, which dropout depends on
 * @output: rows [rows, hidden size], or logits [n_sequences, classes]
 * @error: return location for a #GIOErrorEnum; %G_IO_ERROR_INVALID_DATA when a sequence is
 *   empty or too long or an id is not in the vocabulary
 *
 * Runs the layers and keeps what the backward pass needs.
 *
 * Returns: whether it worked
 */
gboolean
tandem_train_stage_forward (TandemTrainStage *self, guint64 micro_batch, gconstpointer input,
                            guint n_sequences, const guint32 *offsets, const guint64 *ids,
                            float *output, GError **error)
{
  guint h = self->shape.hidden_size, i;
  g_autoptr (Tape) tape = NULL;
  const float *weights;
  gsize n;

  if (!tandem_train_stage_check_input (self, input, n_sequences, offsets, error))
    return FALSE;
  tandem_linear_use_one_thread ();
  tape = tape_new (self, micro_batch, n_sequences, offsets, ids);
  weights = tape->weights->data;
  n = (gsize) tape->batch.n_rows * h;

  tape->inputs[0] = tandem_train_arena_take (tape->arena, n);
  if (self->first_layer > 0)
    memcpy (tape->inputs[0], input, n * sizeof (float));
  else if (!tandem_train_embeddings_forward (&self->embeddings, &self->shape, weights,
                                             self->parameters->words, &tape->batch, input,
                                             tape->arena, &tape->embeddings, tape->inputs[0],
                                             error))
    return FALSE;

  for (i = 0; i < tape->n_layers; i++) {
    gboolean last = i + 1 == tape->n_layers;
    gboolean first_row_only = last && self->has_head;
    float *out = output;

    if (!last || self->has_head)
      out = tape->inputs[i + 1] =
          tandem_train_arena_take (tape->arena,
                                   (gsize) (first_row_only ? n_sequences : tape->batch.n_rows) * h);
    if (!tandem_train_layer_forward (&g_array_index (self->layers, TandemTrainLayer, i),
                                     &self->shape, weights, &tape->batch, tape->inputs[i],
                                     first_row_only, tape->arena, &tape->layers[i], out,
                                     &self->scratch, error))
      return FALSE;
  }
  if (self->has_head &&
      !tandem_train_head_forward (&self->head, &self->shape, weights, &tape->batch,
                                  tape->inputs[tape->n_layers], tape->arena, &tape->head, output,
                                  error))
    return FALSE;
  g_queue_push_tail (&self->tapes, g_steal_pointer (&tape));
  return TRUE;
}

static GList *
find_tape (TandemTrainStage *self, guint64 micro_batch)
{
  GList *l;

  for (l = self->tapes.head; l != NULL; l = l->next)
    if (((Tape *) l->data)->micro_batch == micro_batch)
      return l;
  return NULL;
}

static gboolean
run_backward (TandemTrainStage *self, Tape *tape, float *d, float *d_next, float *input_gradient,
              GError **error)
{
  const float *weights = tape->weights->data;
  float *gradients = self->parameters->gradient;
  guint h = self->shape.hidden_size, i;

  for (i = tape->n_layers; i > 0; i--) {
    float *swap = d;

    if (!tandem_train_layer_backward (&g_array_index (self->layers, TandemTrainLayer, i - 1),
                                      &self->shape, weights, &tape->batch, tape->inputs[i - 1],
                                      &tape->layers[i - 1], d, d_next, gradients, &self->scratch,
                                      error))
      return FALSE;
    d = d_next;
    d_next = swap;
  }
  if (self->first_layer == 0)
    return tandem_train_embeddings_backward (&self->embeddings, &self->shape, weights,
                                             &tape->batch, &tape->embeddings, d, self->parameters,
                                             &self->scratch, error);
  if (input_gradient != NULL)
    memcpy (input_gradient, d, (gsize) tape->batch.n_rows * h * sizeof (float));
  return TRUE;
}

/**
 * tandem_train_stage_backward: (skip)
 * @self: a stage
 * @micro_batch: a micro-batch in flight
 * @gradient: the gradient of the sum of the losses with respect to the output, of its shape
 * @n_floats: how many elements it has
 * @input_gradient: (nullable): where the gradient with respect to the input goes, rows
 *   [rows, hidden size]; ignored by a stage that takes tokens
 * @error: return location for a #GIOErrorEnum; %G_IO_ERROR_NOT_FOUND when no such
 *   micro-batch is in flight, %G_IO_ERROR_INVALID_DATA when @n_floats is wrong or a gradient
 *   is not finite
 *
 * Adds to the gradients of the parameters and forgets the micro-batch.
 *
 * Returns: whether it worked
 */
gboolean
tandem_train_stage_backward (TandemTrainStage *self, guint64 micro_batch, const float *gradient,
                             gsize n_floats, float *input_gradient, GError **error)
{
  GList *link = find_tape (self, micro_batch);
  guint h = self->shape.hidden_size;
  g_autoptr (Tape) tape = NULL;
  float *d, *d_next;
  gsize expected, n;

  if (link == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 "a gradient came for micro-batch %" G_GUINT64_FORMAT ", which is not in flight",
                 micro_batch);
    return FALSE;
  }
  tape = link->data;
  g_queue_delete_link (&self->tapes, link);
  n = (gsize) tape->batch.n_rows * h;
  expected = self->has_head ? (gsize) tape->batch.n * self->head.n_classes : n;
  if (n_floats != expected) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "the gradient of micro-batch %" G_GUINT64_FORMAT " has %" G_GSIZE_FORMAT
                 " elements; its output has %" G_GSIZE_FORMAT, micro_batch, n_floats, expected);
    return FALSE;
  }
  if (!isfinite (tandem_add_squares (gradient, n_floats, 0.0))) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "the gradient of micro-batch %" G_GUINT64_FORMAT " is not finite: training "
                 "diverged; lower the learning rate", micro_batch);
    return FALSE;
  }

  tandem_linear_use_one_thread ();
  d = tandem_train_scratch_get (&self->scratch, TANDEM_TRAIN_SCRATCH_D, n);
  d_next = tandem_train_scratch_get (&self->scratch, TANDEM_TRAIN_SCRATCH_D_NEXT, n);
  if (!self->has_head)
    memcpy (d, gradient, n * sizeof (float));
  else if (!tandem_train_head_backward (&self->head, &self->shape, tape->weights->data,
                                        &tape->batch, tape->inputs[tape->n_layers], &tape->head,
                                        gradient, d, self->parameters->gradient, &self->scratch,
                                        error))
    return FALSE;
  return run_backward (self, tape, d, d_next, input_gradient, error);
}

/**
 * tandem_train_stage_forget:
 * @self: a stage
 *
 * Forgets all micro-batches in flight and what was added to the gradients.
 */
void
tandem_train_stage_forget (TandemTrainStage *self)
{
  g_queue_clear_full (&self->tapes, tape_free);
  g_queue_clear_full (&self->spare, (GDestroyNotify) tandem_train_arena_free);
  if (self->parameters->gradient != NULL)
    tandem_parameters_clear_gradient (self->parameters);
}

/**
 * tandem_train_stage_get_n_in_flight:
 * @self: a stage
 *
 * Returns: how many micro-batches wait for their backward pass
 */
guint
tandem_train_stage_get_n_in_flight (TandemTrainStage *self)
{
  return self->tapes.length;
}

/**
 * tandem_train_stage_get_n_versions:
 * @self: a stage
 *
 * Returns: how many versions of the weights are in memory, the current one included
 */
gsize
tandem_train_stage_get_n_versions (TandemTrainStage *self)
{
  const TandemWeights *before = NULL;
  gsize n = 1;
  GList *l;

  for (l = self->tapes.head; l != NULL; l = l->next) {
    const TandemWeights *weights = ((Tape *) l->data)->weights;

    n += weights != self->parameters->current && weights != before;
    before = weights;
  }
  return n;
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

  tandem_parameters_update (self->parameters, &step);
  tandem_parameters_clear_gradient (self->parameters);
}
