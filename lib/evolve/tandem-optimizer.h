/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-parameter-set.h"
#include "evolve/tandem-evolve-error.h"
#include "evolve/tandem-trial.h"

G_BEGIN_DECLS

/**
 * TandemStopReason:
 * @TANDEM_STOP_REASON_NONE: the search goes on
 * @TANDEM_STOP_REASON_BUDGET: as many candidates were evaluated as were allowed
 * @TANDEM_STOP_REASON_TARGET: a candidate is as good as was asked for
 * @TANDEM_STOP_REASON_TIME: the time is over
 * @TANDEM_STOP_REASON_EXHAUSTED: the optimizer proposes nothing but what was evaluated already
 *
 * Why a search proposes no more candidates.
 */
typedef enum
{
  TANDEM_STOP_REASON_NONE,
  TANDEM_STOP_REASON_BUDGET,
  TANDEM_STOP_REASON_TARGET,
  TANDEM_STOP_REASON_TIME,
  TANDEM_STOP_REASON_EXHAUSTED,
} TandemStopReason;

#define TANDEM_TYPE_OPTIMIZER (tandem_optimizer_get_type ())

TANDEM_API
G_DECLARE_DERIVABLE_TYPE (TandemOptimizer, tandem_optimizer, TANDEM, OPTIMIZER, GObject)

/**
 * TandemOptimizerClass:
 * @parent_class: the parent
 * @population: the default of [property@Optimizer:population]
 * @start: called once before all others; the properties do not change any more
 * @get_required: how many candidates, counted in the order of their numbers, must have been
 *   received before a candidate may be proposed; it depends on nothing but the number and the
 *   properties, and is never above the number
 * @propose: fills a point for a candidate; coordinates outside of 0 to 1 are clamped. Exactly
 *   the candidates that @get_required says have been received before
 * @receive: takes the outcome of a candidate, in the order of numbers; its gradient is by the
 *   coordinates of the point
 *
 * What an algorithm implements. All calls come from the thread that asks and tells. Random numbers
 * come from tandem_optimizer_draw() and its like.
 */
struct _TandemOptimizerClass
{
  GObjectClass parent_class;

  guint population;

  void (*start) (TandemOptimizer *self);
  guint64 (*get_required) (TandemOptimizer *self, guint64 number);
  void (*propose) (TandemOptimizer *self, guint64 number, double *point);
  void (*receive) (TandemOptimizer *self, guint64 number, const double *point,
                   const TandemOutcome *outcome);

  /*< private >*/
  gpointer padding[8];
};

TANDEM_API
TandemOptimizer *tandem_optimizer_new (const char *algorithm, TandemSearchSpace *space,
                                       GError **error);

TANDEM_API
const char *const *tandem_optimizer_get_algorithms (void);

TANDEM_API
TandemTrial *tandem_optimizer_ask (TandemOptimizer *self);

TANDEM_API
gboolean tandem_optimizer_tell (TandemOptimizer *self, TandemTrial *trial,
                                const TandemOutcome *outcome, GError **error);

TANDEM_API
gboolean tandem_optimizer_tell_failure (TandemOptimizer *self, TandemTrial *trial,
                                        const char *reason, GError **error);

TANDEM_API
gboolean tandem_optimizer_is_finished (TandemOptimizer *self);

TANDEM_API
TandemStopReason tandem_optimizer_get_stop_reason (TandemOptimizer *self);

TANDEM_API
guint64 tandem_optimizer_get_n_proposed (TandemOptimizer *self);

TANDEM_API
guint64 tandem_optimizer_get_n_evaluations (TandemOptimizer *self);

TANDEM_API
guint64 tandem_optimizer_get_n_failures (TandemOptimizer *self);

TANDEM_API
guint64 tandem_optimizer_get_n_duplicates (TandemOptimizer *self);

TANDEM_API
guint tandem_optimizer_get_n_running (TandemOptimizer *self);

TANDEM_API
double tandem_optimizer_get_seconds (TandemOptimizer *self);

TANDEM_API
TandemParameterSet *tandem_optimizer_get_parameters (TandemOptimizer *self, guint64 number);

TANDEM_API
gboolean tandem_optimizer_get_outcome (TandemOptimizer *self, guint64 number,
                                       TandemOutcome *outcome, const char **reason);

TANDEM_API
gboolean tandem_optimizer_get_best (TandemOptimizer *self, guint64 *number,
                                    TandemOutcome *outcome);

TANDEM_API
const double *tandem_optimizer_get_history (TandemOptimizer *self, gsize *n);

TANDEM_API
guint64 *tandem_optimizer_get_front (TandemOptimizer *self, gsize *n);

TANDEM_API
gboolean tandem_optimizer_save (TandemOptimizer *self, const char *path, GError **error);

TANDEM_API
TandemOptimizer *tandem_optimizer_load (const char *path, GError **error);

TANDEM_API
TandemSearchSpace *tandem_optimizer_get_space (TandemOptimizer *self);

TANDEM_API
guint tandem_optimizer_get_n_objectives (TandemOptimizer *self);

TANDEM_API
guint tandem_optimizer_get_population (TandemOptimizer *self);

TANDEM_API
guint tandem_optimizer_get_window (TandemOptimizer *self);

TANDEM_API
double tandem_optimizer_get_progress (TandemOptimizer *self, guint64 number);

TANDEM_API
double tandem_optimizer_draw (TandemOptimizer *self);

TANDEM_API
double tandem_optimizer_draw_normal (TandemOptimizer *self);

TANDEM_API
guint tandem_optimizer_draw_below (TandemOptimizer *self, guint n);

TANDEM_API
int tandem_optimizer_compare (TandemOptimizer *self, guint slot, const TandemOutcome *a,
                              const TandemOutcome *b);

G_END_DECLS
