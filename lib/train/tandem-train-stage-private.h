/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "train/tandem-train-parameters.h"
#include "train/tandem-train-stage.h"

G_BEGIN_DECLS

TandemParameters *tandem_train_stage_get_parameters (TandemTrainStage *self);

G_END_DECLS
