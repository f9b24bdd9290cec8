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

/* gstbertstage-train.c */
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

/* Takes an event of training, and EOS. Returns whether the event is to go the usual way. */
gboolean gst_bert_stage_train_event (GstBertStage *self, GstEvent *event, gboolean *ok);

G_END_DECLS
