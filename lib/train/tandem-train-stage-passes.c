/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Forward and backward passes of a stage in training. */

#include "config.h"

#include <math.h>
#include <string.h>

#include "nn/tandem-linear.h"
#include "train/tandem-train-stage-private.h"

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
    gboolean is_kept = !last || self->has_head ||
        tandem_train_hidden_has_layer (&self->hidden, self->first_layer + i);
    float *out = output;

    if (is_kept)
      out = tape->inputs[i + 1] =
          tandem_train_arena_take (tape->arena,
                                   (gsize) (first_row_only ? n_sequences : tape->batch.n_rows) * h);
    if (!tandem_train_layer_forward (&g_array_index (self->layers, TandemTrainLayer, i),
                                     &self->shape, weights, &tape->batch, tape->inputs[i],
                                     first_row_only, tape->arena, &tape->layers[i], out,
                                     &self->scratch, error))
      return FALSE;
  }
  if (!self->has_head && tape->inputs[tape->n_layers] != NULL)
    memcpy (output, tape->inputs[tape->n_layers], n * sizeof (float));
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

  if (!tandem_train_hidden_ask (&self->hidden, &tape->batch, tape->embeddings.ids, error))
    return FALSE;
  for (i = tape->n_layers; i > 0; i--) {
    float *swap = d;

    if (!tandem_train_hidden_backward (&self->hidden, self->first_layer + i - 1, &self->shape,
                                       weights, &tape->batch, tape->layers[i - 1].first_row_only,
                                       tape->inputs[i], d, gradients, error) ||
        !tandem_train_layer_backward (&g_array_index (self->layers, TandemTrainLayer, i - 1),
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
 *   is not finite; or for %TANDEM_TRAIN_ERROR_NOT_FINITE, when hidden states are not
 *
 * Adds to the gradients of the parameters, those of the loss of hidden states too where there is
 * a teacher, and forgets the micro-batch.
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
  self->hidden.loss = 0.0;
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
