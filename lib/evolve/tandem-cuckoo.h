/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_CUCKOO (tandem_cuckoo_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemCuckoo, tandem_cuckoo, TANDEM, CUCKOO, TandemOptimizer)

G_END_DECLS
