/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-classifier.h"

#include <math.h>

G_DEFINE_INTERFACE (TandemClassifier, tandem_classifier, G_TYPE_OBJECT)

G_DEFINE_ENUM_TYPE (TandemClassifierLoss, tandem_classifier_loss,
  G_DEFINE_ENUM_VALUE (TANDEM_CLASSIFIER_CROSS_ENTROPY, "cross-entropy"),
  G_DEFINE_ENUM_VALUE (TANDEM_CLASSIFIER_MSE, "mse"),
  G_DEFINE_ENUM_VALUE (TANDEM_CLASSIFIER_MSE_CROSS_ENTROPY, "mse-cross-entropy"))

static void
tandem_classifier_default_init (TandemClassifierInterface *iface)
{
}

static gboolean
check_rows (TandemDataset *data, const guint *rows, guint n_rows, GError **error)
{
  guint i;

  for (i = 0; i < n_rows; i++)
    g_return_val_if_fail (rows[i] < tandem_dataset_get_n_rows (data), FALSE);
  return TRUE;
}

/* Each row has a label, and there are two classes at the least. */
static gboolean
check_labels (TandemDataset *data, const guint *rows, guint n_rows, GError **error)
{
  const gint32 *labels = tandem_dataset_get_labels (data);
  gboolean differ = FALSE;
  guint i;

  if (!check_rows (data, rows, n_rows, error))
    return FALSE;
  for (i = 0; i < n_rows; i++) {
    if (labels[rows[i]] < 0) {
      g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                   "row %u has no label to learn", rows[i]);
      return FALSE;
    }
    differ = differ || labels[rows[i]] != labels[rows[0]];
  }
  if (!differ)
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "%u rows to learn from are all of one class; two are needed", n_rows);
  return differ;
}

gboolean
tandem_classifier_fit (TandemClassifier *self, TandemDataset *data, const guint *rows,
                       guint n_rows, GCancellable *cancellable, GError **error)
{
  return check_labels (data, rows, n_rows, error) &&
      TANDEM_CLASSIFIER_GET_IFACE (self)->fit (self, data, rows, n_rows, cancellable, error);
}

static gboolean
check_ready (TandemClassifier *self, TandemDataset *data, const guint *rows, guint n_rows,
             GError **error)
{
  g_return_val_if_fail (tandem_classifier_get_n_classes (self) > 0, FALSE);
  return check_rows (data, rows, n_rows, error);
}

gboolean
tandem_classifier_predict (TandemClassifier *self, TandemDataset *data, const guint *rows,
                           guint n_rows, float *scores, GCancellable *cancellable, GError **error)
{
  return check_ready (self, data, rows, n_rows, error) &&
      TANDEM_CLASSIFIER_GET_IFACE (self)->predict (self, data, rows, n_rows, scores, cancellable,
                                                   error);
}

guint
tandem_classifier_get_n_classes (TandemClassifier *self)
{
  return TANDEM_CLASSIFIER_GET_IFACE (self)->get_n_classes (self);
}

guint64
tandem_classifier_get_size (TandemClassifier *self)
{
  return TANDEM_CLASSIFIER_GET_IFACE (self)->get_size (self);
}

gboolean
tandem_classifier_get_cost (TandemClassifier *self, TandemDataset *data, const guint *rows,
                            guint n_rows, double *cost, GError **error)
{
  return check_ready (self, data, rows, n_rows, error) &&
      TANDEM_CLASSIFIER_GET_IFACE (self)->get_cost (self, data, rows, n_rows, cost, error);
}

gboolean
tandem_classifier_has_parameters (TandemClassifier *self)
{
  return TANDEM_CLASSIFIER_GET_IFACE (self)->prepare != NULL;
}

gboolean
tandem_classifier_prepare (TandemClassifier *self, TandemDataset *data, const guint *rows,
                           guint n_rows, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (tandem_classifier_has_parameters (self), FALSE);
  return check_labels (data, rows, n_rows, error) &&
      TANDEM_CLASSIFIER_GET_IFACE (self)->prepare (self, data, rows, n_rows, cancellable, error);
}

gsize
tandem_classifier_get_n_parameters (TandemClassifier *self)
{
  g_return_val_if_fail (tandem_classifier_has_parameters (self), 0);
  return TANDEM_CLASSIFIER_GET_IFACE (self)->get_n_parameters (self);
}

float *
tandem_classifier_get_parameters (TandemClassifier *self)
{
  g_return_val_if_fail (tandem_classifier_has_parameters (self), NULL);
  return TANDEM_CLASSIFIER_GET_IFACE (self)->get_parameters (self);
}

gboolean
tandem_classifier_get_loss (TandemClassifier *self, TandemDataset *data, const guint *rows,
                            guint n_rows, double *loss, float *gradient, GError **error)
{
  g_return_val_if_fail (tandem_classifier_has_parameters (self), FALSE);
  return check_ready (self, data, rows, n_rows, error) &&
      check_labels (data, rows, n_rows, error) &&
      TANDEM_CLASSIFIER_GET_IFACE (self)->add_gradient (self, data, rows, n_rows, loss, gradient,
                                                        error);
}

double
tandem_classifier_loss_of_row (TandemClassifierLoss kind, const float *scores, guint n_classes,
                               gint32 label, guint n, float *d_scores)
{
  double highest = scores[0], sum = 0.0, loss = 0.0, inner = 0.0, scale;
  guint i;

  for (i = 1; i < n_classes; i++)
    highest = MAX (highest, scores[i]);
  for (i = 0; i < n_classes; i++)
    sum += exp (scores[i] - highest);
  scale = 2.0 / n_classes;
  for (i = 0; i < n_classes; i++) {
    double p = exp (scores[i] - highest) / sum, y = i == (guint) label;

    if (kind != TANDEM_CLASSIFIER_CROSS_ENTROPY)
      loss += (p - y) * (p - y) / n_classes;
    inner += (p - y) * p;
  }
  if (kind != TANDEM_CLASSIFIER_MSE)
    loss += log (sum) - (scores[label] - highest);
  for (i = 0; i < n_classes && d_scores != NULL; i++) {
    double p = exp (scores[i] - highest) / sum, y = i == (guint) label, d = 0.0;

    if (kind != TANDEM_CLASSIFIER_CROSS_ENTROPY)
      d += scale * p * (p - y - inner);
    if (kind != TANDEM_CLASSIFIER_MSE)
      d += p - y;
    d_scores[i] = (float) (d / n);
  }
  return loss / n;
}
