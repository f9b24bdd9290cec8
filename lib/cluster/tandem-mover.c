/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-mover.h"

#include <math.h>

/* A gain of less is not worth it, nor one that is gone again at once. */
#define LEAST_GAIN 1.10
#define PATIENCE_US (2 * G_USEC_PER_SEC)
/* For how long a gain is counted when it is weighed against the cost. */
#define HORIZON_SECONDS 60.0
/* After a move it stays, for longer each time when moves follow upon each other. */
#define FIRST_PAUSE_US (5 * G_USEC_PER_SEC)
#define LONGEST_PAUSE_US (120 * G_USEC_PER_SEC)
#define CALM_US (60 * G_USEC_PER_SEC)

/* What was measured of a device that is not used any more is forgotten by half in this time. */
#define HALF_LIFE_US (60 * G_USEC_PER_SEC)
#define MAX_FACTOR 100.0

/**
 * tandem_mover_decide:
 * @self: a mover; all zero at the start
 * @current: what the placement in use is expected to do with what is known now, in sequences a
 *   second, or the inverse of its latency; 0 when it cannot be used
 * @candidate: what the best one is expected to do
 * @cost: seconds that a move takes from the work
 * @now: monotonic time in microseconds
 *
 * To be asked whenever something was measured, about once a second.
 *
 * Returns: whether to move
 */
gboolean
tandem_mover_decide (TandemMover *self, double current, double candidate, double cost, gint64 now)
{
  gboolean better = candidate > 0 && candidate >= current * LEAST_GAIN &&
      (candidate - current) * HORIZON_SECONDS > candidate * cost;

  if (!better) {
    self->better_since = 0;
    return FALSE;
  }
  if (self->better_since == 0)
    self->better_since = now;
  return now - self->better_since >= PATIENCE_US &&
      (self->moved == 0 || now - self->moved >= self->pause);
}

/**
 * tandem_mover_moved:
 * @self: a mover
 * @now: monotonic time in microseconds
 *
 * It was moved, on its advice.
 */
void
tandem_mover_moved (TandemMover *self, gint64 now)
{
  gboolean again = self->moved != 0 && now - self->moved < self->pause + CALM_US;

  self->pause = again ? MIN (2 * self->pause, LONGEST_PAUSE_US) : FIRST_PAUSE_US;
  self->moved = now;
  self->better_since = 0;
}

/**
 * tandem_slowness_measure:
 * @self: what is known of a device; all zero at the start
 * @measured: seconds that it took for some work
 * @predicted: seconds that its profile says
 * @now: monotonic time in microseconds
 *
 * Half of what is known is the last measurement.
 */
void
tandem_slowness_measure (TandemSlowness *self, double measured, double predicted, gint64 now)
{
  double factor;

  if (!(measured > 0) || !(predicted > 0))
    return;
  factor = CLAMP (measured / predicted, 1 / MAX_FACTOR, MAX_FACTOR);
  self->factor = self->factor > 0 ? (self->factor + factor) / 2 : factor;
  self->measured = now;
}

/**
 * tandem_slowness_get:
 * @self: what is known of a device
 * @common: what is likely for a device of which nothing is known
 * @now: monotonic time in microseconds
 *
 * Returns: how many seconds it takes for one of its profile
 */
double
tandem_slowness_get (const TandemSlowness *self, double common, gint64 now)
{
  if (!(self->factor > 0))
    return common;
  return common * pow (self->factor / common,
                       pow (0.5, (double) MAX (now - self->measured, 0) / HALF_LIFE_US));
}

/**
 * tandem_slowness_get_common:
 * @all: (array length=n): what is known of all devices
 * @n: how many
 * @now: monotonic time in microseconds
 *
 * What all profiles are wrong by, as when the whole of them was measured with other texts: else
 * devices that were never used would look better than they are.
 *
 * Returns: the least factor that was measured lately, or 1
 */
double
tandem_slowness_get_common (const TandemSlowness *const *all, guint n, gint64 now)
{
  double least = 0;
  guint i;

  for (i = 0; i < n; i++)
    if (all[i]->factor > 0 && now - all[i]->measured < HALF_LIFE_US &&
        (least == 0 || all[i]->factor < least))
      least = all[i]->factor;
  return least > 0 ? least : 1;
}
