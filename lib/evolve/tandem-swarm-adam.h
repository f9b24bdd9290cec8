/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_SWARM_ADAM (tandem_swarm_adam_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemSwarmAdam, tandem_swarm_adam, TANDEM, SWARM_ADAM, TandemOptimizer)

G_END_DECLS
