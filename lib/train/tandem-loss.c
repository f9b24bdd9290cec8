/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-loss.h"

#include <math.h>

#include "tandem-loss-private.h"
#include "tandem-train-error.h"

gboolean
tandem_loss_fail_row (const char *what, gsize row, GError **error)
{
  g_set_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_NOT_FINITE,
               "%s of row %" G_GSIZE_FORMAT " are not finite: training diverged; start again from "
               "a checkpoint with a lower learning rate or longer warm-up", what, row);
  return FALSE;
}

gboolean
tandem_loss_check_labels (const gint32 *labels, gsize n_rows, guint n_classes, GError **error)
{
  gsize row;

  for (row = 0; row < n_rows; row++) {
    if (labels[row] >= -1 && labels[row] < (gint64) n_classes)
      continue;
    g_set_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_LABEL,
                 "row %" G_GSIZE_FORMAT " has the label %d; the model has the classes 0 to %u, and "
                 "-1 means that there is no label", row, labels[row], n_classes - 1);
    return FALSE;
  }
  return TRUE;
}

/* Fills log_p with log softmax (x / temperature); returns the index of the highest, the
 * first of several, or -1 when some number is not finite. */
static gint64
log_softmax (const float *x, guint n, double temperature, double *log_p)
{
  double sum = 0.0, log_sum;
  guint i, highest = 0;

  for (i = 0; i < n; i++) {
    if (!isfinite (x[i]))
      return -1;
    if (x[i] > x[highest])
      highest = i;
  }
  for (i = 0; i < n; i++) {
    log_p[i] = ((double) x[i] - x[highest]) / temperature;
    sum += exp (log_p[i]);
  }
  log_sum = log (sum);
  for (i = 0; i < n; i++)
    log_p[i] -= log_sum;
  return highest;
}

/* The loss of one row; its gradient, times factor, is added to gradient. */
static double
add_hard_targets (const double *log_p, guint n, gint32 label, double smoothing, double factor,
                  double *gradient)
{
  double each = smoothing / n, loss = 0.0;
  guint i;

  for (i = 0; i < n; i++) {
    double target = each + (i == (guint) label ? 1.0 - smoothing : 0.0);

    loss -= target * log_p[i];
    gradient[i] += factor * (exp (log_p[i]) - target);
  }
  return loss;
}

/**
 * tandem_loss_cross_entropy: (skip)
 * @loss: what to add to
 * @logits: [@n_rows, @n_classes]
 * @n_rows: rows
 * @n_classes: classes, 1 at least
 * @labels: [@n_rows]: the class of each row, or -1: the row is left out
 * @label_smoothing: e, 0 to below 1
 * @d_logits: (nullable): [@n_rows, @n_classes], the gradient of the *sum* of the losses; 0 in
 *   rows that are left out; may be @logits; %NULL: not asked for
 * @error: return location for %TANDEM_TRAIN_ERROR_NOT_FINITE or %TANDEM_TRAIN_ERROR_LABEL,
 *   which name the row
 *
 * Cross-entropy of the softmax with smoothed labels: the target of a row with label y is
 * (1 - e) [i = y] + e / n_classes (Szegedy et al. 2016, section 7), as in CrossEntropyLoss
 * (reduction="sum", label_smoothing=e) of PyTorch. Computed in double precision.
 *
 * Returns: whether all labels and the logits of all rows with a label are usable
 */
gboolean
tandem_loss_cross_entropy (TandemLoss *loss, const float *logits, gsize n_rows, guint n_classes,
                           const gint32 *labels, double label_smoothing, float *d_logits,
                           GError **error)
{
  g_autofree double *scratch = NULL;
  TandemLoss total = *loss;
  gsize row;
  guint i;

  g_return_val_if_fail (n_classes > 0, FALSE);
  g_return_val_if_fail (label_smoothing >= 0.0 && label_smoothing < 1.0, FALSE);

  if (!tandem_loss_check_labels (labels, n_rows, n_classes, error))
    return FALSE;
  scratch = g_new (double, 2 * (gsize) n_classes);
  for (row = 0; row < n_rows; row++) {
    const float *x = logits + row * n_classes;
    double *log_p = scratch, *gradient = scratch + n_classes;
    gint64 highest;

    for (i = 0; i < n_classes; i++)
      gradient[i] = 0.0;
    if (labels[row] >= 0) {
      highest = log_softmax (x, n_classes, 1.0, log_p);
      if (highest < 0)
        return tandem_loss_fail_row ("the logits", row, error);
      total.sum += add_hard_targets (log_p, n_classes, labels[row], label_smoothing, 1.0,
                                     gradient);
      total.n_rows++;
      total.n_labelled++;
      total.n_correct += highest == labels[row];
    }
    for (i = 0; d_logits != NULL && i < n_classes; i++)
      d_logits[row * n_classes + i] = (float) gradient[i];
  }
  *loss = total;
  return TRUE;
}

/**
 * tandem_loss_distillation: (skip)
 * @loss: what to add to
 * @logits: z, [@n_rows, @n_classes]
 * @teacher: logits of the teacher, t, [@n_rows, @n_classes]
 * @n_rows: rows
 * @n_classes: classes, 1 at least
 * @labels: [@n_rows]: the class of each row, or -1: there is no label, and the row has the soft
 *   part of the loss alone
 * @label_smoothing: of the labels, 0 to below 1
 * @alpha: weight of the labels, 0 to 1
 * @temperature: T, above 0
 * @d_logits: (nullable): [@n_rows, @n_classes], the gradient of the *sum* of the losses; may be
 *   @logits; %NULL: not asked for
 * @error: return location for %TANDEM_TRAIN_ERROR_NOT_FINITE or %TANDEM_TRAIN_ERROR_LABEL,
 *   which name the row
 *
 * Distillation (Hinton, Vinyals and Dean 2015, section 2): the loss of a row is
 *
 *   alpha CE (z, y) + (1 - alpha) T^2 KL (softmax (t / T) || softmax (z / T)),
 *
 * CE being that of tandem_loss_cross_entropy(). T^2 makes up for gradients of the soft part
 * that are 1 / T^2 as large. Computed in double precision.
 *
 * Returns: whether all labels and logits are usable
 */
gboolean
tandem_loss_distillation (TandemLoss *loss, const float *logits, const float *teacher,
                          gsize n_rows, guint n_classes, const gint32 *labels,
                          double label_smoothing, double alpha, double temperature,
                          float *d_logits, GError **error)
{
  double soft_weight = (1.0 - alpha) * temperature * temperature;
  g_autofree double *scratch = NULL;
  TandemLoss total = *loss;
  gsize row;
  guint i;

  g_return_val_if_fail (n_classes > 0, FALSE);
  g_return_val_if_fail (label_smoothing >= 0.0 && label_smoothing < 1.0, FALSE);
  g_return_val_if_fail (alpha >= 0.0 && alpha <= 1.0 && temperature > 0.0, FALSE);

  if (!tandem_loss_check_labels (labels, n_rows, n_classes, error))
    return FALSE;
  scratch = g_new (double, 3 * (gsize) n_classes);
  for (row = 0; row < n_rows; row++) {
    const float *x = logits + row * n_classes;
    double *log_q = scratch, *log_p = scratch + n_classes, *gradient = log_p + n_classes;
    double divergence = 0.0;
    gint64 highest = log_softmax (x, n_classes, temperature, log_q);

    if (highest < 0)
      return tandem_loss_fail_row ("the logits", row, error);
    if (log_softmax (teacher + row * n_classes, n_classes, temperature, log_p) < 0)
      return tandem_loss_fail_row ("the teacher's logits", row, error);
    for (i = 0; i < n_classes; i++) {
      double p = exp (log_p[i]);

      divergence += p * (log_p[i] - log_q[i]);
      gradient[i] = soft_weight / temperature * (exp (log_q[i]) - p);
    }
    total.sum += soft_weight * divergence;
    total.n_rows++;
    if (labels[row] >= 0) {
      log_softmax (x, n_classes, 1.0, log_q);
      total.sum += alpha * add_hard_targets (log_q, n_classes, labels[row], label_smoothing, alpha,
                                             gradient);
      total.n_labelled++;
      total.n_correct += highest == labels[row];
    }
    for (i = 0; d_logits != NULL && i < n_classes; i++)
      d_logits[row * n_classes + i] = (float) gradient[i];
  }
  *loss = total;
  return TRUE;
}

/**
 * tandem_loss_hidden: (skip)
 * @loss: what to add to
 * @hidden: h, [@n_rows, @width]
 * @teacher: what the teacher has there, t, [@n_rows, @width]; a teacher of another width is to be
 *   projected before
 * @n_rows: rows
 * @width: their width, 1 at least
 * @weight: what the loss and its gradient are multiplied with
 * @d_hidden: (nullable): [@n_rows, @width], the gradient of the *sum* of the losses; may be
 *   @hidden; %NULL: not asked for
 * @error: return location for %TANDEM_TRAIN_ERROR_NOT_FINITE, which names the row
 *
 * Mean squared error of hidden states (Jiao et al. 2020, equation 8): the loss of a row is
 * weight |h - t|^2 / width. No row counts as labelled.
 *
 * Returns: whether all numbers are finite
 */
gboolean
tandem_loss_hidden (TandemLoss *loss, const float *hidden, const float *teacher, gsize n_rows,
                    guint width, double weight, float *d_hidden, GError **error)
{
  double factor = weight / width;
  TandemLoss total = *loss;
  gsize row;
  guint i;

  g_return_val_if_fail (width > 0, FALSE);

  for (row = 0; row < n_rows; row++) {
    const float *h = hidden + row * width, *t = teacher + row * width;
    double sum = 0.0;

    for (i = 0; i < width; i++) {
      double difference = (double) h[i] - t[i];

      sum += difference * difference;
    }
    if (!isfinite (sum))
      return tandem_loss_fail_row ("hidden states", row, error);
    for (i = 0; d_hidden != NULL && i < width; i++)
      d_hidden[row * width + i] = (float) (2.0 * factor * ((double) h[i] - t[i]));
    total.sum += factor * sum;
    total.n_rows++;
  }
  *loss = total;
  return TRUE;
}
