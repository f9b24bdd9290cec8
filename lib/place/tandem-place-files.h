/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"
#include "place/tandem-placement-problem.h"

G_BEGIN_DECLS

TANDEM_API
gboolean tandem_placement_problem_read_devices (TandemPlacementProblem *self, const char *path,
                                                GError **error);

TANDEM_API
gboolean tandem_placement_problem_add_placed_devices (TandemPlacementProblem *self,
                                                      const char *path, GError **error);

TANDEM_API
TandemPlacement *tandem_placement_problem_read_placement (TandemPlacementProblem *self,
                                                          const char *path,
                                                          TandemPlacementObjective objective,
                                                          GError **error);

TANDEM_API
char *tandem_placement_problem_placement_to_json (TandemPlacementProblem *self,
                                                  const TandemPlacement *placement);

G_END_DECLS
