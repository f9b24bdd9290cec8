/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "model/tandem-bert-stage.h"
#include "model/tandem-model.h"
#include "place/tandem-placement.h"

G_BEGIN_DECLS

/**
 * TANDEM_PLACEMENT_MAX_LAYERS:
 *
 * The most layers of a model that is placed.
 */
#define TANDEM_PLACEMENT_MAX_LAYERS 64

/**
 * TANDEM_PLACEMENT_MAX_DEVICES:
 *
 * The most devices of a problem.
 */
#define TANDEM_PLACEMENT_MAX_DEVICES 64

/**
 * TANDEM_PLACEMENT_EXACT_DEVICES:
 *
 * With up to so many devices every placement is considered.
 */
#define TANDEM_PLACEMENT_EXACT_DEVICES 10

/**
 * TANDEM_PLACEMENT_WINDOW:
 *
 * How many micro-batches a stage may have sent that nobody is done with yet, as memory is
 * counted.
 */
#define TANDEM_PLACEMENT_WINDOW 8

#define TANDEM_TYPE_PLACEMENT_PROBLEM (tandem_placement_problem_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemPlacementProblem, tandem_placement_problem, TANDEM,
                      PLACEMENT_PROBLEM, GObject)

TANDEM_API
TandemPlacementProblem *tandem_placement_problem_new (guint n_layers, guint width,
                                                      guint n_classes,
                                                      const TandemBatchShape *shape,
                                                      GError **error);

TANDEM_API
TandemPlacementProblem *tandem_placement_problem_new_for_model (TandemModel *model,
                                                                TandemPrecision precision,
                                                                const TandemBatchShape *shape,
                                                                GError **error);

TANDEM_API
gboolean tandem_placement_problem_add_device (TandemPlacementProblem *self,
                                              const TandemDevice *device, GError **error);

TANDEM_API
gboolean tandem_placement_problem_set_link (TandemPlacementProblem *self, guint from, guint to,
                                            const TandemNetworkLink *link, GError **error);

TANDEM_API
void tandem_placement_problem_set_asking (TandemPlacementProblem *self, guint device);

TANDEM_API
void tandem_placement_problem_set_formats (TandemPlacementProblem *self,
                                           TandemWireFormats formats);

TANDEM_API
void tandem_placement_problem_set_stage_memory (TandemPlacementProblem *self, guint first_layer,
                                                guint last_layer, guint64 bytes);

TANDEM_API
void tandem_placement_problem_set_working_memory (TandemPlacementProblem *self,
                                                  guint64 per_thread, guint64 activations);

TANDEM_API
guint tandem_placement_problem_get_n_layers (TandemPlacementProblem *self);

TANDEM_API
guint tandem_placement_problem_get_n_devices (TandemPlacementProblem *self);

TANDEM_API
const TandemDevice *tandem_placement_problem_get_device (TandemPlacementProblem *self,
                                                         guint device);

TANDEM_API
guint tandem_placement_problem_get_asking (TandemPlacementProblem *self);

TANDEM_API
void tandem_placement_problem_get_link (TandemPlacementProblem *self, guint from, guint to,
                                        TandemNetworkLink *link);

TANDEM_API
void tandem_placement_problem_get_shape (TandemPlacementProblem *self, TandemBatchShape *shape);

TANDEM_API
guint64 tandem_placement_problem_get_memory (TandemPlacementProblem *self, guint device,
                                             guint first_layer, guint last_layer);

TANDEM_API
TandemPlacement *tandem_placement_problem_evaluate (TandemPlacementProblem *self,
                                                    const TandemPlacementStage *stages,
                                                    guint n_stages,
                                                    const TandemWireFormats *formats,
                                                    TandemPlacementObjective objective,
                                                    GError **error);

TANDEM_API
TandemPlan *tandem_placement_problem_solve (TandemPlacementProblem *self,
                                            TandemPlacementObjective objective,
                                            GCancellable *cancellable, GError **error);

G_END_DECLS
