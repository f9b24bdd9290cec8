/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

TANDEM_API
double *tandem_optimizer_get_importance (TandemOptimizer *self, gsize *n);

G_END_DECLS
