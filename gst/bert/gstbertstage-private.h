/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shared by the files of the element alone. */
#pragma once

#include <gst/base/gstbasetransform.h>

#include "bert-trainer.h"
#include "gstbertstage.h"

G_BEGIN_DECLS

struct _GstBertStage
{
  GstBaseTransform parent_instance;

  /* object lock */
  char *model_path;
  char *layers;
  guint n_threads;
  TandemPrecision precision;
  BertTrainerSettings training;

  /* Set in start(), cleared in stop(): other threads read it in between. One of the first two
   * is there. */
  TandemBertStage *stage;
  BertTrainer *trainer;
  guint last_layer;
  TandemStreamInfo input;
  TandemStreamInfo output;
  TandemRowPool *rows;

  /* thread-safe by itself; a flush cancels it */
  GCancellable *cancellable;
};

/* gstbertstage-caps.c: what the stage takes and gives, from the model. */
gboolean gst_bert_stage_describe_streams (GstBertStage *self, TandemModel *model, guint first,
                                          guint last, GError **error);

GstCaps *gst_bert_stage_transform_caps (GstBaseTransform *trans, GstPadDirection direction,
                                        GstCaps *caps, GstCaps *filter);

gboolean gst_bert_stage_set_caps (GstBaseTransform *trans, GstCaps *in_caps, GstCaps *out_caps);

/* To tandem-accepted; any thread. */
gboolean gst_bert_stage_answer_accepted (GstBertStage *self, GstQuery *query);

/* gstbertstage-train.c: whether properties go together. */
gboolean gst_bert_stage_check_training (const BertTrainerSettings *settings,
                                        TandemPrecision precision, guint n_threads,
                                        GError **error);

gboolean gst_bert_stage_open_trainer (GstBertStage *self, TandemModel *model, guint first,
                                      guint last, const BertTrainerSettings *settings,
                                      GError **error);

/* From the checkpoint, where there is one and the settings say so; posts the error. */
gboolean gst_bert_stage_resume (GstBertStage *self);

/* input and output are mapped buffers. */
GstFlowReturn gst_bert_stage_train (GstBertStage *self, gconstpointer input,
                                    TandemBatchMeta *meta, float *output);

/* After the buffer went on. */
GstFlowReturn gst_bert_stage_train_end (GstBertStage *self);

/* Takes an event of training, and EOS; a stage that does not train refuses to follow one that
 * does. Returns whether the event is to go the usual way; else ok is the answer to it. */
gboolean gst_bert_stage_train_event (GstBertStage *self, GstEvent *event, gboolean *ok);

/* Any thread. FALSE: the event is no gradient for this stage. */
gboolean gst_bert_stage_take_gradient (GstBertStage *self, GstEvent *event);

G_END_DECLS
