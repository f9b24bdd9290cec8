/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_SWARM_CUCKOO (tandem_swarm_cuckoo_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemSwarmCuckoo, tandem_swarm_cuckoo, TANDEM, SWARM_CUCKOO, TandemOptimizer)

G_END_DECLS
