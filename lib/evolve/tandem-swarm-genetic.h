/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_SWARM_GENETIC (tandem_swarm_genetic_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemSwarmGenetic, tandem_swarm_genetic, TANDEM, SWARM_GENETIC,
                      TandemOptimizer)

G_END_DECLS
