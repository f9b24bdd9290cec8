/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

#include "tandem-export.h"

G_BEGIN_DECLS

/**
 * TandemScheduleKind:
 * @TANDEM_SCHEDULE_GPIPE: all forward passes of a step, then all backward passes, then one
 *   update (Huang et al. 2019)
 * @TANDEM_SCHEDULE_1F1B_FLUSH: backward passes as early as possible, one update a step: the
 *   same weights as gpipe with less memory (Narayanan et al. 2021)
 * @TANDEM_SCHEDULE_1F1B: an update after each backward pass; forward and backward of a
 *   micro-batch see the same weights (PipeDream: Harlap et al. 2018)
 *
 * In which order a stage does its work.
 */
typedef enum
{
  TANDEM_SCHEDULE_GPIPE,
  TANDEM_SCHEDULE_1F1B_FLUSH,
  TANDEM_SCHEDULE_1F1B,
} TandemScheduleKind;

typedef struct _TandemTrainingInfo TandemTrainingInfo;

/**
 * TandemTrainingInfo:
 * @schedule: in which order stages do their work
 * @micro_batches: micro-batches a step, 1 at least; with 1f1b each is a step
 * @learning_rate: the highest learning rate
 * @weight_decay: AdamW's decoupled decay, for weights but not for biases and layer norms
 * @beta1: AdamW
 * @beta2: AdamW
 * @epsilon: AdamW
 * @max_norm: gradients of a step are scaled so that their norm is at most this; 0: never
 * @warmup_steps: steps in which the rate rises linearly from 0
 * @total_steps: steps after which the rate is 0; 0: it stays
 * @cosine: whether it falls as a cosine rather than linearly
 * @first_step: steps that were done before, 0 without a checkpoint; of several that all stages so
 *   far can go on after, the last
 * @earlier_step: another one that all stages so far can go on after, before @first_step; 0: none
 *
 * What all stages of a pipeline that trains must agree on. The first stage sends it down the
 * pipeline, before its first micro-batch.
 */
struct _TandemTrainingInfo
{
  TandemScheduleKind schedule;
  guint micro_batches;
  double learning_rate;
  double weight_decay;
  double beta1;
  double beta2;
  double epsilon;
  double max_norm;
  guint64 warmup_steps;
  guint64 total_steps;
  gboolean cosine;
  guint64 first_step;
  guint64 earlier_step;
};

/**
 * TANDEM_GRADIENT_ANNOUNCEMENT:
 *
 * The micro-batch of a gradient without rows, which the loss sends as soon as training
 * begins: its depth tells each stage how many others are behind it, and so how many
 * micro-batches it may keep in flight, and its step after which step all of them go on.
 */
#define TANDEM_GRADIENT_ANNOUNCEMENT G_MAXUINT64

typedef struct _TandemGradientInfo TandemGradientInfo;

/**
 * TandemGradientInfo:
 * @micro_batch: which micro-batch of the stream, counted from 0, or
 *   %TANDEM_GRADIENT_ANNOUNCEMENT
 * @depth: how many stages are behind the receiver of the event, 0 at the loss
 * @squared_norm: sum of the squares of all gradients of the step behind the receiver, in what
 *   may be the last gradient of the step, 0 elsewhere
 * @n_sequences: sequences of the micro-batch
 * @loss: sum of their losses
 * @n_correct: how many of them were classified right; -1: not a classification
 * @step: in %TANDEM_GRADIENT_ANNOUNCEMENT how many steps were done where all stages go on; 0: as
 *   the receiver's event of training said. 0 in all others
 *
 * What goes with a gradient on its way up the pipeline.
 */
struct _TandemGradientInfo
{
  guint64 micro_batch;
  guint depth;
  double squared_norm;
  guint n_sequences;
  double loss;
  gint n_correct;
  guint64 step;
};

typedef struct _TandemStepInfo TandemStepInfo;

/**
 * TandemStepInfo:
 * @step: which step, counted from 0
 * @n_sequences: its sequences, in all micro-batches together
 * @squared_norm: sum of the squares of all gradients of all stages
 *
 * What a stage needs to know to update its weights.
 */
struct _TandemStepInfo
{
  guint64 step;
  guint n_sequences;
  double squared_norm;
};

TANDEM_API
gboolean tandem_training_info_is_valid (const TandemTrainingInfo *info);

/* Down the pipeline, before the first micro-batch; sticky. */
TANDEM_API
GstEvent *tandem_event_new_training (const TandemTrainingInfo *info);

TANDEM_API
gboolean tandem_event_parse_training (GstEvent *event, TandemTrainingInfo *info);

/* Down, behind the last micro-batch of a step: whatever is in flight is to be finished. */
TANDEM_API
GstEvent *tandem_event_new_drain (guint64 step);

TANDEM_API
gboolean tandem_event_parse_drain (GstEvent *event, guint64 *step);

/* Down, behind the drain: weights are to be updated. */
TANDEM_API
GstEvent *tandem_event_new_step (const TandemStepInfo *info);

TANDEM_API
gboolean tandem_event_parse_step (GstEvent *event, TandemStepInfo *info);

/* Down, behind a step: each stage writes its checkpoint. */
TANDEM_API
GstEvent *tandem_event_new_checkpoint (guint64 step);

TANDEM_API
gboolean tandem_event_parse_checkpoint (GstEvent *event, guint64 *step);

/* Up: rows of float32, the gradient of the sum of the losses with respect to the buffer that
 * the receiver sent; (transfer none) in both directions. */
TANDEM_API
GstEvent *tandem_event_new_gradient (const TandemGradientInfo *info, GstBuffer *rows);

TANDEM_API
gboolean tandem_event_parse_gradient (GstEvent *event, TandemGradientInfo *info,
                                      GstBuffer **rows);

G_END_DECLS
