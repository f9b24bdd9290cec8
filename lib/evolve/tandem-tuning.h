/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-evaluator.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_TUNING (tandem_tuning_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemTuning, tandem_tuning, TANDEM, TUNING, GObject)

TANDEM_API
TandemTuning *tandem_tuning_new (TandemOptimizer *optimizer);

TANDEM_API
TandemOptimizer *tandem_tuning_get_optimizer (TandemTuning *self);

TANDEM_API
gboolean tandem_tuning_run (TandemTuning *self, TandemEvaluator *evaluator,
                            GCancellable *cancellable, GError **error);

G_END_DECLS
