/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Embeddings and classifier of BERT (Devlin et al. 2018), forward and backward. */

#include "config.h"

#include <string.h>

#include "train/tandem-train-layer.h"

TandemTrainEmbeddings
tandem_train_embeddings_add (TandemParameters *parameters, const TandemTrainShape *shape,
                             guint n_types, guint n_words)
{
  guint e = shape->embedding_size, h = shape->hidden_size;
  TandemTrainEmbeddings self = { 0 };

  tandem_parameters_set_words (parameters, n_words, e);
  self.positions = tandem_parameters_add (parameters, "embeddings.position_embeddings.weight", 2,
                                          shape->max_positions, e);
  self.types = tandem_parameters_add (parameters, "embeddings.token_type_embeddings.weight", 2,
                                      n_types, e);
  self.gamma = tandem_parameters_add (parameters, "embeddings.LayerNorm.weight", 1, e, 0);
  self.beta = tandem_parameters_add (parameters, "embeddings.LayerNorm.bias", 1, e, 0);
  if (shape->has_projection) {
    self.projection = tandem_parameters_add (parameters, "embeddings.projection.weight", 2, h, e);
    self.projection_bias = tandem_parameters_add (parameters, "embeddings.projection.bias", 1, h,
                                                  0);
  }
  return self;
}

gboolean
tandem_train_embeddings_forward (const TandemTrainEmbeddings *self, const TandemTrainShape *shape,
                                 const float *weights, const float *words,
                                 const TandemTrainBatch *batch, const gint32 *ids,
                                 TandemTrainArena *arena, TandemTrainEmbeddingsTape *tape,
                                 float *out, GError **error)
{
  guint e = shape->embedding_size, i;
  float *rows = out;

  tape->ids = (gint32 *) tandem_train_arena_take (arena, batch->n_rows);
  memcpy (tape->ids, ids, batch->n_rows * sizeof *ids);
  tape->normalised = tandem_train_arena_take (arena, (gsize) batch->n_rows * e);
  tape->inverse = tandem_train_arena_take (arena, batch->n_rows);
  if (shape->has_projection)
    rows = tape->dropped = tandem_train_arena_take (arena, (gsize) batch->n_rows * e);
  for (i = 0; i < batch->n; i++) {
    guint row = batch->offsets[i];

    tandem_embed_train_forward (ids + row, batch->offsets[i + 1] - row, e, words,
                                weights + self->positions, weights + self->types,
                                rows + (gsize) row * e);
  }
  tandem_layer_norm_train_forward (rows, batch->n_rows, e, weights + self->gamma,
                                   weights + self->beta, shape->eps, tape->normalised,
                                   tape->inverse, rows);
  tandem_train_drop (shape, batch, TANDEM_TRAIN_SITE_EMBEDDINGS, shape->hidden_dropout, e, FALSE,
                     rows);
  return !shape->has_projection ||
      tandem_linear_train_forward (rows, batch->n_rows, weights + self->projection,
                                   weights + self->projection_bias, e, shape->hidden_size, out,
                                   error);
}

gboolean
tandem_train_embeddings_backward (const TandemTrainEmbeddings *self,
                                  const TandemTrainShape *shape, const float *weights,
                                  const TandemTrainBatch *batch,
                                  const TandemTrainEmbeddingsTape *tape, float *d_out,
                                  TandemParameters *parameters, TandemTrainScratch *scratch,
                                  GError **error)
{
  float *gradient = parameters->gradient, *d = d_out;
  guint e = shape->embedding_size, i;

  if (shape->has_projection) {
    d = tandem_train_scratch_get (scratch, 0, (gsize) batch->n_rows * e);
    if (!tandem_linear_train_backward (tape->dropped, batch->n_rows, weights + self->projection,
                                       e, shape->hidden_size, d_out, d, FALSE,
                                       gradient + self->projection,
                                       gradient + self->projection_bias, error))
      return FALSE;
  }
  tandem_train_drop (shape, batch, TANDEM_TRAIN_SITE_EMBEDDINGS, shape->hidden_dropout, e, FALSE,
                     d);
  tandem_layer_norm_train_backward (d, tape->normalised, tape->inverse, batch->n_rows, e,
                                    weights + self->gamma, d, gradient + self->gamma,
                                    gradient + self->beta);
  for (i = 0; i < batch->n; i++) {
    guint row = batch->offsets[i];

    tandem_embed_train_backward (tape->ids + row, batch->offsets[i + 1] - row, e,
                                 d + (gsize) row * e, parameters->word_gradient,
                                 gradient + self->positions, gradient + self->types);
  }
  for (i = 0; i < batch->n_rows; i++)
    parameters->touched[tape->ids[i]] = TRUE;
  return TRUE;
}

TandemTrainHead
tandem_train_head_add (TandemParameters *parameters, const TandemTrainShape *shape,
                       guint n_classes)
{
  guint h = shape->hidden_size;
  TandemTrainHead self = { .n_classes = n_classes };

  self.pooler = tandem_parameters_add (parameters, "pooler.dense.weight", 2, h, h);
  self.pooler_bias = tandem_parameters_add (parameters, "pooler.dense.bias", 1, h, 0);
  self.classifier = tandem_parameters_add (parameters, "classifier.weight", 2, n_classes, h);
  self.classifier_bias = tandem_parameters_add (parameters, "classifier.bias", 1, n_classes, 0);
  return self;
}

gboolean
tandem_train_head_forward (const TandemTrainHead *self, const TandemTrainShape *shape,
                           const float *weights, const TandemTrainBatch *batch, const float *x,
                           TandemTrainArena *arena, TandemTrainHeadTape *tape, float *logits,
                           GError **error)
{
  guint h = shape->hidden_size;
  gsize n = (gsize) batch->n * h;

  tape->pooled = tandem_train_arena_take (arena, n);
  tape->dropped = tandem_train_arena_take (arena, n);
  if (!tandem_linear_train_forward (x, batch->n, weights + self->pooler,
                                    weights + self->pooler_bias, h, h, tape->pooled, error))
    return FALSE;
  tandem_nonlinearity_forward (TANDEM_NONLINEARITY_TANH, tape->pooled, n, tape->dropped);
  tandem_train_drop (shape, batch, TANDEM_TRAIN_SITE_CLASSIFIER, shape->classifier_dropout, h, TRUE,
                     tape->dropped);
  return tandem_linear_train_forward (tape->dropped, batch->n, weights + self->classifier,
                                      weights + self->classifier_bias, h, self->n_classes, logits,
                                      error);
}

gboolean
tandem_train_head_backward (const TandemTrainHead *self, const TandemTrainShape *shape,
                            const float *weights, const TandemTrainBatch *batch, const float *x,
                            const TandemTrainHeadTape *tape, const float *d_logits, float *d_x,
                            float *gradients, TandemTrainScratch *scratch, GError **error)
{
  guint h = shape->hidden_size;
  gsize n = (gsize) batch->n * h;
  float *d = tandem_train_scratch_get (scratch, 0, n);

  if (!tandem_linear_train_backward (tape->dropped, batch->n, weights + self->classifier, h,
                                     self->n_classes, d_logits, d, FALSE,
                                     gradients + self->classifier,
                                     gradients + self->classifier_bias, error))
    return FALSE;
  tandem_train_drop (shape, batch, TANDEM_TRAIN_SITE_CLASSIFIER, shape->classifier_dropout, h, TRUE,
                     d);
  tandem_nonlinearity_backward (TANDEM_NONLINEARITY_TANH, tape->pooled, d, n, d);
  return tandem_linear_train_backward (x, batch->n, weights + self->pooler, h, h, d, d_x, FALSE,
                                       gradients + self->pooler, gradients + self->pooler_bias,
                                       error);
}
