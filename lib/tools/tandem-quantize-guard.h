/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-quantize-data.h"

G_BEGIN_DECLS

typedef struct
{
  TandemModel *model;
  TandemQuantizeFormat format;
  double max_loss;              /* points of accuracy */
} QuantizeTask;

/* What a model lost, and what had to stay as it was. */
typedef struct
{
  QuantizeResult before, after;
  GPtrArray *kept;              /* names, NULL at the end; those that help most come first */
} QuantizeOutcome;

/* Finds out which tensors have to keep their floats for the model to lose no more than
 * max_loss on the data. */
gboolean quantize_guard (const QuantizeTask *task, char **data, QuantizeOutcome *outcome,
                         GCancellable *cancellable, GError **error);

void quantize_outcome_clear (QuantizeOutcome *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (QuantizeOutcome, quantize_outcome_clear)

G_END_DECLS
