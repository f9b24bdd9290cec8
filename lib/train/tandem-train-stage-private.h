/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "train/tandem-train-hidden.h"
#include "train/tandem-train-layer.h"
#include "train/tandem-train-masked.h"
#include "train/tandem-train-stage.h"

G_BEGIN_DECLS

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
  TandemTrainHidden hidden;

  GQueue tapes;                 /* of Tape, in the order of forward passes */
  GQueue spare;                 /* of TandemTrainArena, for tapes to come */
  TandemTrainScratch scratch;
};

TandemParameters *tandem_train_stage_get_parameters (TandemTrainStage *self);

const TandemTrainShape *tandem_train_stage_get_shape (TandemTrainStage *self);

/* NULL: it is not a masked language model. */
const TandemTrainMasked *tandem_train_stage_get_masked (TandemTrainStage *self);

/* What tandem_train_stage_forward() takes; no id has been looked up yet. */
gboolean tandem_train_stage_check_input (TandemTrainStage *self, gconstpointer input, guint n,
                                         const guint32 *offsets, GError **error);

G_END_DECLS
