/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-schedule.h"

#include <math.h>

/**
 * tandem_schedule_get_rate:
 * @rate: the highest learning rate
 * @warmup_steps: steps of warm-up; 0: none
 * @total_steps: the step from which on the rate is 0; 0: there is no decay
 * @cosine: whether the rate falls as half a cosine (Loshchilov and Hutter 2017, equation 5,
 *   without restarts) rather than linearly (Devlin et al. 2018, appendix A.2)
 * @step: the step, counted from 0
 *
 * Says how fast to learn in a step. With w steps of warm-up and n in total it is @rate times
 *
 *   (s + 1) / w                                   for s < w,
 *   (n - s) / (n - w)                             for w <= s < n, linear,
 *   (1 + cos (pi (s - w) / (n - w))) / 2          for w <= s < n, cosine,
 *   0                                             for s >= n.
 *
 * From step w on this is what get_linear_schedule_with_warmup() and
 * get_cosine_schedule_with_warmup() of transformers say; before, step s has what they give
 * step s + 1, so that no step learns nothing. Warm-up that is longer than all steps is cut
 * off by their end.
 *
 * Returns: the learning rate of the step
 */
double
tandem_schedule_get_rate (double rate, guint64 warmup_steps, guint64 total_steps, gboolean cosine,
                          guint64 step)
{
  double left;

  if (total_steps > 0 && step >= total_steps)
    return 0.0;
  if (step < warmup_steps)
    return rate * ((double) (step + 1) / (double) warmup_steps);
  if (total_steps == 0)
    return rate;
  left = (double) (total_steps - step) / (double) (total_steps - warmup_steps);
  return cosine ? rate * 0.5 * (1.0 + cos (G_PI * (1.0 - left))) : rate * left;
}

/**
 * tandem_schedule_get_clip_scale:
 * @norm: the norm of all gradients of a step together: the root of the sum of their squares
 * @max_norm: what it may be at most; 0: anything
 *
 * Says what to multiply gradients with (Pascanu, Mikolov and Bengio 2013, algorithm 1), as
 * clip_grad_norm_() of PyTorch does: max_norm / (norm + 1e-6) where that is less than 1.
 * Whether @norm is finite is to be looked at before: with NaN the scale is NaN.
 *
 * Returns: 1 or less
 */
double
tandem_schedule_get_clip_scale (double norm, double max_norm)
{
  double scale;

  if (max_norm == 0.0)
    return 1.0;
  scale = max_norm / (norm + 1e-6);
  return scale > 1.0 ? 1.0 : scale;
}
