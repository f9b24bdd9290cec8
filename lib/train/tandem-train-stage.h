/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "model/tandem-masks.h"
#include "model/tandem-model.h"
#include "train/tandem-loss.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_TRAIN_STAGE (tandem_train_stage_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemTrainStage, tandem_train_stage, TANDEM, TRAIN_STAGE, GObject)

/**
 * TandemTrainOptions:
 * @hidden_dropout: of embeddings, attention output and feed-forward output, 0 to below 1;
 *   negative: as the model's configuration says (`hidden_dropout_prob`)
 * @attention_dropout: of attention weights; negative: `attention_probs_dropout_prob`
 * @classifier_dropout: of what the classifier gets; negative: `classifier_dropout`, or where
 *   that is missing `hidden_dropout_prob`
 * @seed: of the dropout; of a masked language model also of what is masked, and of a head that
 *   the model does not have yet
 * @hidden: give the rows of the last layer instead of logits
 * @masked_lm: train a masked language model with tandem_train_stage_masked_step(): no pooler
 *   and no classifier, but a head that predicts tokens
 * @teacher: (nullable): a model with the same vocabulary whose hidden states the stage learns,
 *   beside what gradients ask for; %NULL: none. Used by tandem_train_stage_new() alone
 * @teacher_layers: (nullable): which layers are to be like which of the teacher's, from 0, as "0:1" or
 *   "0:1,1:3"; %NULL or "": each layer of the model like the one that is as deep in the teacher
 * @teacher_weight: what the loss of hidden states is multiplied with, 0 at least
 * @masks: (nullable): what they do not keep is zero, and stays so, as is what the model itself stores
 *   sparse; %NULL: no more than that. Used by tandem_train_stage_new() alone
 *
 * How a stage trains.
 */
typedef struct
{
  double hidden_dropout;
  double attention_dropout;
  double classifier_dropout;
  guint64 seed;
  gboolean hidden;
  gboolean masked_lm;
  TandemModel *teacher;
  const char *teacher_layers;
  double teacher_weight;
  TandemMasks *masks;
} TandemTrainOptions;

/**
 * TandemTrainUpdate:
 * @step: which step, counted from 1
 * @learning_rate: of this step
 * @beta1: decay of the first moment
 * @beta2: decay of the second moment
 * @epsilon: added to the root of the second moment
 * @weight_decay: decoupled decay of matrices; biases and layer norms have none
 * @scale: gradients are multiplied by it first: one over the number of sequences, times
 *   what clipping asks for
 *
 * One step of AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019).
 */
typedef struct
{
  guint64 step;
  double learning_rate;
  double beta1;
  double beta2;
  double epsilon;
  double weight_decay;
  double scale;
} TandemTrainUpdate;

TANDEM_API
TandemTrainStage *tandem_train_stage_new (TandemModel *model, guint first_layer, guint last_layer,
                                          const TandemTrainOptions *options, GError **error);

TANDEM_API
TandemModel *tandem_train_stage_get_model (TandemTrainStage *self);

TANDEM_API
void tandem_train_stage_get_layers (TandemTrainStage *self, guint *first, guint *last);

TANDEM_API
gboolean tandem_train_stage_takes_tokens (TandemTrainStage *self);

TANDEM_API
gboolean tandem_train_stage_has_teacher (TandemTrainStage *self);

TANDEM_API
double tandem_train_stage_get_hidden_loss (TandemTrainStage *self);

TANDEM_API
gboolean tandem_train_stage_gives_logits (TandemTrainStage *self);

TANDEM_API
gboolean tandem_train_stage_forward (TandemTrainStage *self, guint64 micro_batch,
                                     gconstpointer input, guint n_sequences,
                                     const guint32 *offsets, const guint64 *ids, float *output,
                                     GError **error);

TANDEM_API
gboolean tandem_train_stage_backward (TandemTrainStage *self, guint64 micro_batch,
                                      const float *gradient, gsize n_floats,
                                      float *input_gradient, GError **error);

TANDEM_API
gboolean tandem_train_stage_masked_step (TandemTrainStage *self, const gint32 *ids,
                                         guint n_sequences, const guint32 *offsets,
                                         const guint64 *sequence_ids, TandemLoss *loss,
                                         GError **error);

TANDEM_API
gboolean tandem_train_stage_masked_loss (TandemTrainStage *self, const gint32 *ids,
                                         guint n_sequences, const guint32 *offsets,
                                         const guint64 *sequence_ids, TandemLoss *loss,
                                         GError **error);

TANDEM_API
void tandem_train_stage_forget (TandemTrainStage *self);

TANDEM_API
guint tandem_train_stage_get_n_in_flight (TandemTrainStage *self);

TANDEM_API
gsize tandem_train_stage_get_n_versions (TandemTrainStage *self);

TANDEM_API
double tandem_train_stage_add_squared_norm (TandemTrainStage *self, double sum);

TANDEM_API
void tandem_train_stage_update (TandemTrainStage *self, const TandemTrainUpdate *update);

TANDEM_API
TandemMasks *tandem_train_stage_get_masks (TandemTrainStage *self);

TANDEM_API
GHashTable *tandem_train_stage_get_tensors (TandemTrainStage *self);

TANDEM_API
GHashTable *tandem_train_stage_get_gradients (TandemTrainStage *self);

TANDEM_API
GHashTable *tandem_train_stage_get_state (TandemTrainStage *self);

TANDEM_API
gboolean tandem_train_stage_set_state (TandemTrainStage *self, GHashTable *tensors,
                                       GError **error);

G_END_DECLS
