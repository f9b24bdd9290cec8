/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Distillation of hidden states: a stage learns to have those of a teacher. Not a part of the
 * public API. */
#pragma once

#include "model/tandem-bert-stage.h"
#include "train/tandem-train-layer.h"
#include "train/tandem-train-stage.h"

G_BEGIN_DECLS

/* What the projection is called in checkpoints. It is none of the model's tensors. */
#define TANDEM_TRAIN_HIDDEN_PROJECTION "distillation.projection.weight"

/* A layer of the student, and what the teacher has for it. */
typedef struct
{
  guint layer;
  guint teacher_layer;
  TandemBertStage *part;        /* the teacher, from behind the layer of the pair before this one */
  float *rows;                  /* [rows, width] of one micro-batch, or NULL */
} TandemTrainHiddenPair;

typedef struct
{
  GArray *pairs;                /* in the order of the layers; NULL: there is no teacher */
  guint width;                  /* the teacher's */
  double weight;
  gboolean has_projection;      /* the widths differ */
  gsize projection;             /* [width, hidden size] */
  double loss;                  /* sum over the sequences since the last update */
} TandemTrainHidden;

/* Before anything else is added to parameters: squares of gradients are summed up from the last
 * tensor to the first, and so the projection comes last wherever the model is split. Does nothing
 * without a teacher. */
gboolean tandem_train_hidden_add (TandemTrainHidden *self, TandemParameters *parameters,
                                  const TandemTrainShape *shape, TandemModel *model, guint first,
                                  guint last, const TandemTrainOptions *options, GError **error);

void tandem_train_hidden_clear (TandemTrainHidden *self);

/* Whether the rows behind a layer are matched. */
gboolean tandem_train_hidden_has_layer (const TandemTrainHidden *self, guint layer);

/* Runs the teacher over a micro-batch. */
gboolean tandem_train_hidden_ask (TandemTrainHidden *self, const TandemTrainBatch *batch,
                                  const gint32 *ids, GError **error);

/* Adds the loss of a layer, and its gradients to d and to that of the projection. rows and d:
 * [rows, hidden size], those of all tokens, or with first_row_only one a sequence. Does nothing for a
 * layer that is not matched. */
gboolean tandem_train_hidden_backward (TandemTrainHidden *self, guint layer,
                                       const TandemTrainShape *shape, const float *weights,
                                       const TandemTrainBatch *batch, gboolean first_row_only,
                                       const float *rows, float *d, float *gradients,
                                       GError **error);

G_END_DECLS
