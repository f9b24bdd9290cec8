/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

#define TANDEM_TRAIN_ERROR (tandem_train_error_quark ())

/**
 * TandemTrainError:
 * @TANDEM_TRAIN_ERROR_NOT_FINITE: a logit or a weight is not a number or infinite: training
 *   diverged
 * @TANDEM_TRAIN_ERROR_LABEL: a label that the model has no class for
 * @TANDEM_TRAIN_ERROR_CHECKPOINT: a file is no checkpoint, or not one of this model
 * @TANDEM_TRAIN_ERROR_TENSOR: a tensor is missing, unknown or of another shape
 * @TANDEM_TRAIN_ERROR_EXISTS: what is in the place of a folder is not to be replaced
 *
 * What can go wrong in training.
 */
typedef enum
{
  TANDEM_TRAIN_ERROR_NOT_FINITE,
  TANDEM_TRAIN_ERROR_LABEL,
  TANDEM_TRAIN_ERROR_CHECKPOINT,
  TANDEM_TRAIN_ERROR_TENSOR,
  TANDEM_TRAIN_ERROR_EXISTS,
} TandemTrainError;

TANDEM_API
GQuark tandem_train_error_quark (void);

G_END_DECLS
