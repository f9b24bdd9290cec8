/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

typedef struct _TandemEarlyStopping TandemEarlyStopping;

/**
 * TandemEarlyStopping:
 * @higher_is_better: whether values are accuracies rather than losses
 * @min_delta: how much better than the best a value must be to count as better, 0 or more
 * @patience: evaluations without a better one after which to stop; 0: never
 * @n_values: evaluations so far
 * @best: the best value; 0 as long as there is none
 * @best_index: which evaluation it was, counted from 0
 * @n_worse: evaluations since the best one
 *
 * When to stop training: its state, which may be written to a checkpoint field by field. The
 * first three are to be set before anything is added, the others to 0.
 */
struct _TandemEarlyStopping
{
  gboolean higher_is_better;
  double min_delta;
  guint64 patience;
  guint64 n_values;
  double best;
  guint64 best_index;
  guint64 n_worse;
};

TANDEM_API
gboolean tandem_early_stopping_add (TandemEarlyStopping *self, double value);

TANDEM_API
gboolean tandem_early_stopping_should_stop (const TandemEarlyStopping *self);

G_END_DECLS
