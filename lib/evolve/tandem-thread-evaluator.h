/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-evaluator.h"
#include "evolve/tandem-objective.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_THREAD_EVALUATOR (tandem_thread_evaluator_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemThreadEvaluator, tandem_thread_evaluator, TANDEM, THREAD_EVALUATOR,
                      GObject)

TANDEM_API
TandemThreadEvaluator *tandem_thread_evaluator_new (TandemObjective *objective, guint n_threads);

G_END_DECLS
