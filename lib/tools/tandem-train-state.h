/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-train-pipeline.h"
#include "tandem.h"

G_BEGIN_DECLS

typedef struct
{
  guint64 step;
  double loss;
  double accuracy;
  guint64 n_tokens;             /* masked; 0: not a masked language model, or of an earlier call */
} TrainMeasurement;

/* What a training has come to: OUTPUT/checkpoint. Its files name the step that they are of:
 *   options.json         what the training was asked for; written last when it is set up
 *   initial/             the model before the first step
 *   step-N/              checkpoints of the stages, all of step N
 *   model-N/             the best weights so far
 *   state.json           names N and all that is below; replaced whole. What it does not name is
 *                        left from a process that was killed, and goes away
 *   work/                where stages write; becomes step-N when all have */
typedef struct
{
  char *folder;
  int lock;                     /* file descriptor */
  guint n_stages;

  guint64 step;                 /* steps done */
  gboolean finished;
  char *data;                   /* fingerprint of the data */
  guint64 measured_step;        /* after which accuracy was measured last */
  guint64 model_step;           /* of the weights in model-N */
  gboolean has_model;
  TandemEarlyStopping stopping; /* accuracy, or the loss of a masked language model */
  GArray *losses;               /* of double: one a step, by sequence */
  GArray *measurements;         /* of TrainMeasurement */
} TrainState;

/* Makes or opens OUTPUT/checkpoint, where nobody else may work meanwhile. */
TrainState *train_state_open (const TrainOptions *options, guint n_stages, GError **error);

void train_state_free (TrainState *self);

/* What stages write to: the checkpoint of self->step is there. */
char *train_state_begin (TrainState *self, GError **error);

/* All stages have written: step is done. */
gboolean train_state_commit (TrainState *self, guint64 step, GError **error);

char *train_state_get_path (const TrainState *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Removes what state.json does not name. */
void train_state_clean (TrainState *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TrainState, train_state_free)

/* Removes a file or a folder with all that is in it. */
void train_remove (const char *path);

/* tandem-train-state-json.c */
gboolean train_state_load (TrainState *self, gboolean *found, GError **error);
gboolean train_state_save (const TrainState *self, GError **error);

G_END_DECLS
