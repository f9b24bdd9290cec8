/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_RANDOM_SEARCH (tandem_random_search_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemRandomSearch, tandem_random_search, TANDEM, RANDOM_SEARCH,
                      TandemOptimizer)

G_END_DECLS
