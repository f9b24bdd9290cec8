/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_DYNAMIC_SWARM (tandem_dynamic_swarm_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemDynamicSwarm, tandem_dynamic_swarm, TANDEM, DYNAMIC_SWARM,
                      TandemOptimizer)

G_END_DECLS
