/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_BAT (tandem_bat_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemBat, tandem_bat, TANDEM, BAT, TandemOptimizer)

G_END_DECLS
