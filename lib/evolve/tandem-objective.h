/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-evaluation.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_OBJECTIVE (tandem_objective_get_type ())

TANDEM_API
G_DECLARE_INTERFACE (TandemObjective, tandem_objective, TANDEM, OBJECTIVE, GObject)

/**
 * TandemObjectiveInterface:
 * @parent_iface: the parent
 * @evaluate: evaluates a candidate, in any thread, in several at once when it is evaluated by
 *   threads; returns what it gave, or %NULL with an error of any domain that says why there is
 *   nothing
 *
 * What is to be made small.
 */
struct _TandemObjectiveInterface
{
  GTypeInterface parent_iface;

  TandemEvaluation *(*evaluate) (TandemObjective *self, TandemParameterSet *parameters,
                                 guint64 seed, double fidelity, GCancellable *cancellable,
                                 GError **error);

  /*< private >*/
  gpointer padding[4];
};

TANDEM_API
TandemEvaluation *tandem_objective_evaluate (TandemObjective *self, TandemParameterSet *parameters,
                                             guint64 seed, double fidelity,
                                             GCancellable *cancellable, GError **error);

TANDEM_API
gboolean tandem_objective_serve (TandemObjective *self, TandemSearchSpace *space,
                                 GInputStream *requests, GOutputStream *answers,
                                 GCancellable *cancellable, GError **error);

G_END_DECLS
