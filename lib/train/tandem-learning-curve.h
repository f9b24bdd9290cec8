/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"

G_BEGIN_DECLS

typedef struct _TandemLearningCurve TandemLearningCurve;

/**
 * TandemLearningCurve:
 * @title: (nullable): what stands above the picture
 * @n_steps: how many values @losses has
 * @first_step: the step of the first of them; the others follow one by one
 * @losses: (nullable): the training loss of each step, by sequence
 * @n_evaluations: how many values the next three have
 * @evaluation_steps: (nullable): after how many steps each evaluation was
 * @evaluation_losses: (nullable): losses on data kept aside, or %NULL for none
 * @evaluation_accuracies: (nullable): accuracies on data kept aside, 0 to 1, or %NULL for none
 *
 * What a learning curve shows. Values that are not finite are left out.
 */
struct _TandemLearningCurve
{
  const char *title;
  gsize n_steps;
  guint64 first_step;
  const double *losses;
  gsize n_evaluations;
  const guint64 *evaluation_steps;
  const double *evaluation_losses;
  const double *evaluation_accuracies;
};

TANDEM_API
gboolean tandem_learning_curve_write (const TandemLearningCurve *curve, const char *path,
                                      GError **error);

G_END_DECLS
