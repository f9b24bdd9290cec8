/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

typedef struct _TandemLoss TandemLoss;

/**
 * TandemLoss:
 * @sum: sum of the losses of all rows
 * @n_rows: rows that it is the sum of
 * @n_labelled: how many of them have a label
 * @n_correct: how many of these have their highest logit at it
 *
 * What losses add up to. The functions that compute one add to what is there, and leave it
 * as it is when they fail.
 */
struct _TandemLoss
{
  double sum;
  guint64 n_rows;
  guint64 n_labelled;
  guint64 n_correct;
};

TANDEM_API
gboolean tandem_loss_cross_entropy (TandemLoss *loss, const float *logits, gsize n_rows,
                                    guint n_classes, const gint32 *labels, double label_smoothing,
                                    float *d_logits, GError **error);

TANDEM_API
gboolean tandem_loss_distillation (TandemLoss *loss, const float *logits, const float *teacher,
                                   gsize n_rows, guint n_classes, const gint32 *labels,
                                   double label_smoothing, double alpha, double temperature,
                                   float *d_logits, GError **error);

TANDEM_API
gboolean tandem_loss_hidden (TandemLoss *loss, const float *hidden, const float *teacher,
                             gsize n_rows, guint width, double weight, float *d_hidden,
                             GError **error);

TANDEM_API
gboolean tandem_loss_vocabulary (TandemLoss *loss, const float *x, gsize n_rows, guint width,
                                 const float *weight, const float *bias, guint vocab_size,
                                 const gint32 *labels, float *d_x, float *d_weight, float *d_bias,
                                 GError **error);

G_END_DECLS
