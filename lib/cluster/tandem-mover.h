/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: whether a better placement is worth moving to. Pure logic: time and rates are given.
 * Exported for the plugin and the tests only. */

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

typedef struct
{
  gint64 better_since;          /* microseconds; 0: it is not */
  gint64 moved;                 /* when, last; 0: never */
  gint64 pause;                 /* microseconds that it stays after that */
} TandemMover;

/* How much slower a device is than its profile says. */
typedef struct
{
  double factor;                /* seconds it takes for one of the profile; 0: never measured */
  gint64 measured;              /* when, last */
} TandemSlowness;

TANDEM_API
gboolean tandem_mover_decide (TandemMover *self, double current, double candidate, double cost,
                              gint64 now);

TANDEM_API
void tandem_mover_moved (TandemMover *self, gint64 now);

TANDEM_API
void tandem_slowness_measure (TandemSlowness *self, double measured, double predicted, gint64 now);

TANDEM_API
double tandem_slowness_get (const TandemSlowness *self, double common, gint64 now);

TANDEM_API
double tandem_slowness_get_common (const TandemSlowness *const *all, guint n, gint64 now);

G_END_DECLS
