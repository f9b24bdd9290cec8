/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-evaluation.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_EVALUATOR (tandem_evaluator_get_type ())

TANDEM_API
G_DECLARE_INTERFACE (TandemEvaluator, tandem_evaluator, TANDEM, EVALUATOR, GObject)

/**
 * TandemEvaluatorInterface:
 * @parent_iface: the parent
 * @get_n_workers: how many evaluations go on at once
 * @evaluate_async: begins an evaluation; no more than that are begun at once
 * @evaluate_finish: what it gave
 *
 * What carries out evaluations.
 */
struct _TandemEvaluatorInterface
{
  GTypeInterface parent_iface;

  guint (*get_n_workers) (TandemEvaluator *self);
  void (*evaluate_async) (TandemEvaluator *self, TandemTrial *trial, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer data);
  TandemEvaluation *(*evaluate_finish) (TandemEvaluator *self, GAsyncResult *result,
                                        GError **error);

  /*< private >*/
  gpointer padding[4];
};

TANDEM_API
guint tandem_evaluator_get_n_workers (TandemEvaluator *self);

TANDEM_API
void tandem_evaluator_evaluate_async (TandemEvaluator *self, TandemTrial *trial,
                                      GCancellable *cancellable, GAsyncReadyCallback callback,
                                      gpointer data);

TANDEM_API
TandemEvaluation *tandem_evaluator_evaluate_finish (TandemEvaluator *self, GAsyncResult *result,
                                                    GError **error);

G_END_DECLS
