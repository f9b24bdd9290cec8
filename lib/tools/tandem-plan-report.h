/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tandem plan found out, for those who show it. */
#pragma once

#include "tandem.h"

G_BEGIN_DECLS

typedef struct
{
  TandemModel *model;
  TandemPrecision precision;
  TandemPlacementProblem *problem;
  TandemPlacementObjective objective;
  guint n_sequences, length;    /* of a micro-batch */
  gboolean insecure;            /* lines may listen beyond loopback */
  gboolean is_given;            /* the placement is not the planner's */
  TandemPlan *plan;             /* NULL with a given one when there is no other */
  TandemPlacement *placement;   /* the one to use */
} TandemPlanReport;

static inline const TandemDevice *
tandem_plan_get_device (const TandemPlanReport *report, guint device)
{
  return tandem_placement_problem_get_device (report->problem, device);
}

/* tandem-plan-nodes.c */

/* Finds nodes and has them measured; says on standard error what it does, and who cannot be used.
 * nodes: NULL for all that are found; key_path: NULL for the usual key. */
TandemPlacementProblem *tandem_plan_ask_nodes (const TandemPlanReport *report, const char *nodes,
                                               const char *key_path, guint n_threads,
                                               const TandemBatchShape *shape,
                                               TandemWireFormats formats,
                                               GCancellable *cancellable, GError **error);

/* tandem-plan-lines.c */

/* Calls @add with the line of each device that has something to do, the one that asks last. */
void tandem_plan_make_lines (const TandemPlanReport *report,
                             void (*add) (const char *device, const char *line, gpointer data),
                             gpointer data);

/* tandem-plan-text.c, tandem-plan-json.c */
void tandem_plan_print_text (const TandemPlanReport *report);
void tandem_plan_print_json (const TandemPlanReport *report);

/* tandem-plan-picture.c */
gboolean tandem_plan_write_picture (const TandemPlanReport *report, const char *path,
                                    GError **error);

G_END_DECLS
