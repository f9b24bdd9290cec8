/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A masked language model (Devlin et al. 2018, section 3.1) in training. Its head sees the rows
 * of masked tokens alone, so that it costs little where few are masked. */

#include "config.h"

#include "train/tandem-train-masked.h"

#include <string.h>

#include "nn/tandem-linear.h"
#include "tensor/tandem-memory.h"
#include "base/tandem-json-private.h"
#include "train/tandem-train-error.h"
#include "train/tandem-train-stage-private.h"

#define HEAD "cls.predictions."

/* Of tokens, as in BERT. */
#define RATE 0.15

/* No micro-batch in flight has it: forward and backward pass follow each other. */
#define MICRO_BATCH G_MAXUINT64

/* The decoder of a head with weights of its own would be another one. */
static gboolean
read_config (TandemModel *model, double *deviation, GError **error)
{
  g_autoptr (JsonNode) root =
      tandem_json_parse_object (tandem_model_get_config_text (model), error);
  JsonNode *tied, *range;

  if (root == NULL)
    return FALSE;
  tied = json_object_get_member (json_node_get_object (root), "tie_word_embeddings");
  range = json_object_get_member (json_node_get_object (root), "initializer_range");
  if (tied != NULL && JSON_NODE_HOLDS_VALUE (tied) && !json_node_get_boolean (tied)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
                 "%s: \"tie_word_embeddings\" is false; a masked language model trains with the "
                 "word embeddings as weights of its decoder", tandem_model_get_path (model));
    return FALSE;
  }
  *deviation = range != NULL && JSON_NODE_HOLDS_VALUE (range) ? json_node_get_double (range)
                                                              : 0.02;
  if (*deviation >= 0.0 && *deviation <= 1.0)
    return TRUE;
  g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
               "%s: \"initializer_range\" is %g; 0 to 1 are possible",
               tandem_model_get_path (model), *deviation);
  return FALSE;
}

gboolean
tandem_train_masked_add (TandemTrainMasked *self, TandemParameters *parameters,
                         const TandemTrainShape *shape, TandemModel *model, GError **error)
{
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, error);
  guint e = shape->embedding_size;

  if (tokenizer == NULL ||
      !tandem_masking_init (&self->masking, tokenizer, RATE, shape->seed, error) ||
      !read_config (model, &parameters->deviation, error))
    return FALSE;
  parameters->seed = shape->seed;
  self->dense = tandem_parameters_add_optional (parameters, HEAD "transform.dense.weight", 2, e,
                                                shape->hidden_size);
  self->dense_bias = tandem_parameters_add_optional (parameters, HEAD "transform.dense.bias", 1,
                                                     e, 0);
  self->gamma = tandem_parameters_add_optional (parameters, HEAD "transform.LayerNorm.weight", 1,
                                                e, 0);
  self->beta = tandem_parameters_add_optional (parameters, HEAD "transform.LayerNorm.bias", 1, e,
                                               0);
  self->bias = tandem_parameters_add_optional (parameters, HEAD "bias", 1,
                                               tandem_model_get_config (model)->vocab_size, 0);
  return TRUE;
}

/* A micro-batch on its way through the head. */
typedef struct
{
  gint32 *ids;                  /* [rows], masked */
  gint32 *labels;               /* [rows], and then [n] */
  guint32 *rows;                /* [n]: those to predict */
  guint n;
  float *x;                     /* [n, hidden]: what the head gets */
  float *wide;                  /* [n, embedding size]: before the activation */
  float *normalised;
  float *inverse;               /* [n] */
  float *out;                   /* [n, embedding size]: what the decoder gets */
} Step;

static void
step_clear (Step *step)
{
  g_free (step->ids);
  g_free (step->labels);
  g_free (step->rows);
  tandem_memory_free (step->x);
  tandem_memory_free (step->wide);
  tandem_memory_free (step->normalised);
  tandem_memory_free (step->inverse);
  tandem_memory_free (step->out);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Step, step_clear)

static void
step_init (Step *step, const TandemMasking *masking, const gint32 *ids, guint n_sequences,
           const guint32 *offsets, const guint64 *sequence_ids)
{
  guint n_rows = offsets[n_sequences], i;

  step->ids = g_memdup2 (ids, n_rows * sizeof *ids);
  step->labels = g_new (gint32, n_rows);
  step->rows = g_new (guint32, n_rows);
  for (i = 0; i < n_sequences; i++)
    tandem_masking_apply (masking, sequence_ids[i], step->ids + offsets[i],
                          offsets[i + 1] - offsets[i], step->labels + offsets[i]);
  for (i = 0; i < n_rows; i++) {
    if (step->labels[i] < 0)
      continue;
    step->labels[step->n] = step->labels[i];
    step->rows[step->n++] = i;
  }
}

/* rows: [rows of the micro-batch, hidden size]. */
static gboolean
head_forward (TandemTrainStage *stage, Step *step, const float *rows, GError **error)
{
  const TandemTrainMasked *self = tandem_train_stage_get_masked (stage);
  const TandemTrainShape *shape = tandem_train_stage_get_shape (stage);
  const float *weights = tandem_train_stage_get_parameters (stage)->current->data;
  guint h = shape->hidden_size, e = shape->embedding_size, i;
  gsize n = (gsize) step->n * e;

  step->x = tandem_memory_new ((gsize) step->n * h, sizeof (float));
  step->wide = tandem_memory_new (n, sizeof (float));
  step->normalised = tandem_memory_new (n, sizeof (float));
  step->inverse = tandem_memory_new (step->n, sizeof (float));
  step->out = tandem_memory_new (n, sizeof (float));
  for (i = 0; i < step->n; i++)
    memcpy (step->x + (gsize) i * h, rows + (gsize) step->rows[i] * h, h * sizeof (float));
  if (!tandem_linear_train_forward (step->x, step->n, weights + self->dense,
                                    weights + self->dense_bias, h, e, step->wide, error))
    return FALSE;
  tandem_nonlinearity_forward (shape->activation, step->wide, n, step->out);
  tandem_layer_norm_train_forward (step->out, step->n, e, weights + self->gamma,
                                   weights + self->beta, shape->eps, step->normalised,
                                   step->inverse, step->out);
  return TRUE;
}

/* Loss, and the gradient with respect to the rows. */
static gboolean
head_backward (TandemTrainStage *stage, const Step *step, TandemLoss *loss, float *d_rows,
               guint n_rows, GError **error)
{
  const TandemTrainMasked *self = tandem_train_stage_get_masked (stage);
  const TandemTrainShape *shape = tandem_train_stage_get_shape (stage);
  TandemParameters *parameters = tandem_train_stage_get_parameters (stage);
  const float *weights = parameters->current->data;
  float *gradient = parameters->gradient;
  guint h = shape->hidden_size, e = shape->embedding_size, i;
  gsize n = (gsize) step->n * e;
  g_autoptr (TandemFloats) d = tandem_memory_new (n, sizeof (float));
  g_autoptr (TandemFloats) d_x = tandem_memory_new ((gsize) step->n * h, sizeof (float));

  if (!tandem_loss_vocabulary (loss, step->out, step->n, e, parameters->words,
                               weights + self->bias, parameters->n_words, step->labels, d,
                               parameters->word_gradient, gradient + self->bias, error))
    return FALSE;
  /* The softmax pulls at every word. */
  memset (parameters->touched, TRUE, parameters->n_words);
  tandem_layer_norm_train_backward (d, step->normalised, step->inverse, step->n, e,
                                    weights + self->gamma, d, gradient + self->gamma,
                                    gradient + self->beta);
  tandem_nonlinearity_backward (shape->activation, step->wide, d, n, d);
  if (!tandem_linear_train_backward (step->x, step->n, weights + self->dense, h, e, d, d_x, FALSE,
                                     gradient + self->dense, gradient + self->dense_bias, error))
    return FALSE;
  memset (d_rows, 0, (gsize) n_rows * h * sizeof (float));
  for (i = 0; i < step->n; i++)
    memcpy (d_rows + (gsize) step->rows[i] * h, d_x + (gsize) i * h, h * sizeof (float));
  return TRUE;
}

static gboolean
run (TandemTrainStage *self, const gint32 *ids, guint n_sequences, const guint32 *offsets,
     const guint64 *sequence_ids, gboolean learn, TandemLoss *loss, GError **error)
{
  const TandemTrainMasked *masked = tandem_train_stage_get_masked (self);
  TandemParameters *parameters = tandem_train_stage_get_parameters (self);
  g_autoptr (TandemFloats) rows = NULL;
  g_auto (Step) step = { 0 };
  gsize n;

  if (!tandem_train_stage_check_input (self, ids, n_sequences, offsets, error))
    return FALSE;
  step_init (&step, &masked->masking, ids, n_sequences, offsets, sequence_ids);
  if (step.n == 0)
    return TRUE;
  n = (gsize) offsets[n_sequences] * tandem_train_stage_get_shape (self)->hidden_size;
  rows = tandem_memory_new (n, sizeof (float));
  if (!tandem_train_stage_forward (self, MICRO_BATCH, step.ids, n_sequences, offsets,
                                   sequence_ids, rows, error))
    return FALSE;
  if (!head_forward (self, &step, rows, error))
    return FALSE;
  if (!learn)
    return tandem_loss_vocabulary (
        loss, step.out, step.n, parameters->width, parameters->words,
        parameters->current->data + masked->bias, parameters->n_words, step.labels, NULL, NULL,
        NULL, error);
  return head_backward (self, &step, loss, rows, offsets[n_sequences], error) &&
      tandem_train_stage_backward (self, MICRO_BATCH, rows, n, NULL, error);
}

/**
 * tandem_train_stage_masked_step: (skip)
 * @self: a stage with #TandemTrainOptions.masked_lm
 * @ids: (array): tokens [offsets[n_sequences]], not masked yet
 * @n_sequences: how many sequences, 1 at least
 * @offsets: n_sequences + 1 ascending row numbers from 0
 * @sequence_ids: numbers of the sequences, which what is masked and dropout depend on
 * @loss: what to add to: the loss of each masked token
 * @error: return location for a #GIOErrorEnum (%G_IO_ERROR_INVALID_DATA: a sequence is empty or
 *   too long, an id is not in the vocabulary, or a gradient is not finite) or a
 *   #TandemTrainError
 *
 * Masks 15 % of the tokens (tandem_masking_apply()), runs the model forward, predicts what was
 * masked, and runs it backward. Gradients are of the sum over masked tokens: an update's scale is
 * one over their number, which is what @loss counts as rows. A micro-batch of which nothing was
 * masked adds nothing. The word embeddings have gradients for all words.
 *
 * On failure all that was added to the gradients since the last update is forgotten.
 *
 * Returns: whether it worked
 */
gboolean
tandem_train_stage_masked_step (TandemTrainStage *self, const gint32 *ids, guint n_sequences,
                                const guint32 *offsets, const guint64 *sequence_ids,
                                TandemLoss *loss, GError **error)
{
  g_return_val_if_fail (TANDEM_IS_TRAIN_STAGE (self), FALSE);
  g_return_val_if_fail (tandem_train_stage_get_masked (self) != NULL, FALSE);

  if (run (self, ids, n_sequences, offsets, sequence_ids, TRUE, loss, error))
    return TRUE;
  tandem_train_stage_forget (self);
  return FALSE;
}

/**
 * tandem_train_stage_masked_loss: (skip)
 * @self: as for tandem_train_stage_masked_step(), as are the others; between updates
 * @ids: (array): tokens
 * @n_sequences: how many sequences
 * @offsets: row numbers
 * @sequence_ids: numbers of the sequences
 * @loss: what to add to
 * @error: return location for an error
 *
 * Computes the loss alone, for measuring; a stage for it is made without dropout. What was added
 * to the gradients is forgotten.
 *
 * Returns: whether it worked
 */
gboolean
tandem_train_stage_masked_loss (TandemTrainStage *self, const gint32 *ids, guint n_sequences,
                                const guint32 *offsets, const guint64 *sequence_ids,
                                TandemLoss *loss, GError **error)
{
  gboolean ok;

  g_return_val_if_fail (TANDEM_IS_TRAIN_STAGE (self), FALSE);
  g_return_val_if_fail (tandem_train_stage_get_masked (self) != NULL, FALSE);

  ok = run (self, ids, n_sequences, offsets, sequence_ids, FALSE, loss, error);
  tandem_train_stage_forget (self);
  return ok;
}
