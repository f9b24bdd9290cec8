/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

TANDEM_API
double tandem_schedule_get_rate (double rate, guint64 warmup_steps, guint64 total_steps,
                                 gboolean cosine, guint64 step);

TANDEM_API
double tandem_schedule_get_clip_scale (double norm, double max_norm);

G_END_DECLS
