/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How networks learn: gradients, AdamW, epochs. */

#include "config.h"

#include "tandem-network-private.h"

#include <math.h>
#include <string.h>

#include "base/tandem-random-private.h"
#include "tensor/tandem-memory.h"

/* AdamW's, as everybody has them (Kingma and Ba 2015). */
#define BETA1 0.9f
#define BETA2 0.999f
#define EPSILON 1e-8f

#define PRIVATE(self) tandem_network_get_private (TANDEM_NETWORK (self))

void
tandem_network_forget_gradient (TandemNetworkPrivate *priv)
{
  g_clear_pointer (&priv->gradient, tandem_memory_free);
  g_clear_pointer (&priv->m, tandem_memory_free);
  g_clear_pointer (&priv->v, tandem_memory_free);
  g_clear_pointer (&priv->is_touched, g_free);
  g_array_set_size (priv->touched, 0);
}

static void
need_gradient (TandemNetworkPrivate *priv)
{
  if (priv->gradient != NULL)
    return;
  priv->gradient = tandem_network_new_zeros (priv->n);
  priv->is_touched = g_malloc0 (MAX (tandem_network_get_block (priv, 0)->n_rows, 1));
}

/* Of the table only rows that were touched, which leaves their moments as they are in between. */
static void
update (TandemNetworkPrivate *priv, double rate, guint64 t)
{
  TandemAdamWStep step = { (float) rate, BETA1, BETA2, EPSILON, (float) priv->weight_decay, 1.0f,
                           t };
  TandemNetworkBlock *table = tandem_network_get_block (priv, 0);
  guint i;

  for (i = 0; i < priv->touched->len; i++) {
    guint32 row = g_array_index (priv->touched, guint32, i);
    gsize at = table->offset + row * table->n_columns;

    tandem_adamw (&step, table->n_columns, priv->gradient + at, priv->m + at, priv->v + at,
                  priv->weights + at);
  }
  for (i = 1; i < priv->blocks->len; i++) {
    TandemNetworkBlock *block = tandem_network_get_block (priv, i);
    gsize at = block->offset;

    step.decay = block->n_rows > 0 ? (float) priv->weight_decay : 0.0f;
    tandem_adamw (&step, MAX (block->n_rows, 1) * block->n_columns, priv->gradient + at,
                  priv->m + at, priv->v + at, priv->weights + at);
  }
}

static void
clear_gradient (TandemNetworkPrivate *priv)
{
  TandemNetworkBlock *table = tandem_network_get_block (priv, 0);
  gsize n_table = table->n_rows * table->n_columns;
  guint i;

  for (i = 0; i < priv->touched->len; i++) {
    guint32 row = g_array_index (priv->touched, guint32, i);

    memset (priv->gradient + row * table->n_columns, 0, table->n_columns * sizeof (float));
    priv->is_touched[row] = FALSE;
  }
  g_array_set_size (priv->touched, 0);
  memset (priv->gradient + n_table, 0, (priv->n - n_table) * sizeof (float));
}

/* Adds to *loss and to the gradient what a batch adds to a mean over @n rows. */
static gboolean
learn (TandemNetwork *self, const guint *rows, guint n_rows, guint n, guint64 step,
       gboolean with_gradient, double *loss, GError **error)
{
  TandemNetworkPrivate *priv = PRIVATE (self);
  const guint n_classes = priv->n_classes;
  g_autofree float *scores = g_new (float, (gsize) n_rows * n_classes);
  const gint32 *labels = tandem_dataset_get_labels (priv->data);
  guint i;

  if (!TANDEM_NETWORK_GET_CLASS (self)->forward (self, rows, n_rows, step, scores, error))
    return FALSE;
  for (i = 0; i < n_rows; i++) {
    float *row = scores + (gsize) i * n_classes;

    *loss += tandem_classifier_loss_of_row (priv->loss, row, n_classes, labels[rows[i]], n,
                                            with_gradient ? row : NULL);
  }
  if (!isfinite (*loss)) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DIVERGED,
                 "the loss is no number any more; give a smaller learning rate than %g",
                 priv->learning_rate);
    return FALSE;
  }
  return !with_gradient || TANDEM_NETWORK_GET_CLASS (self)->backward (self, scores, error);
}

static gboolean
run_epochs (TandemNetwork *self, const guint *rows, guint n_rows, GCancellable *cancellable,
            GError **error)
{
  TandemNetworkPrivate *priv = PRIVATE (self);
  g_autofree guint *order = g_memdup2 (rows, n_rows * sizeof *rows);
  const guint64 n_steps =
      (guint64) priv->epochs * ((n_rows + priv->batch_size - 1) / priv->batch_size);
  guint64 step = 0;
  guint epoch, first;

  for (epoch = 0; epoch < priv->epochs; epoch++) {
    tandem_random_shuffle (tandem_random_key (priv->seed, tandem_random_hash ("order") + epoch),
                           order, n_rows);
    for (first = 0; first < n_rows; first += priv->batch_size) {
      guint n = MIN (priv->batch_size, n_rows - first);
      double loss = 0.0;

      step++;
      if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
          !learn (self, order + first, n, n, step, TRUE, &loss, error))
        return FALSE;
      update (priv, tandem_schedule_get_rate (priv->learning_rate, 0, n_steps, FALSE, step - 1),
              step);
      clear_gradient (priv);
    }
  }
  return TRUE;
}

gboolean
tandem_network_fit (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                    guint n_rows, GCancellable *cancellable, GError **error)
{
  TandemNetworkPrivate *priv = PRIVATE (classifier);
  gboolean ok;

  if (!tandem_network_prepare (classifier, data, rows, n_rows, cancellable, error))
    return FALSE;
  need_gradient (priv);
  priv->m = tandem_network_new_zeros (priv->n);
  priv->v = tandem_network_new_zeros (priv->n);
  ok = run_epochs (TANDEM_NETWORK (classifier), rows, n_rows, cancellable, error);
  tandem_network_forget_gradient (priv);
  if (!ok)
    tandem_network_forget (priv);
  return ok;
}

gboolean
tandem_network_add_gradient (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                             guint n_rows, double *loss, float *gradient, GError **error)
{
  TandemNetwork *self = TANDEM_NETWORK (classifier);
  TandemNetworkPrivate *priv = PRIVATE (self);
  gboolean ok = TRUE;
  guint first;

  *loss = 0.0;
  if (tandem_dataset_get_n_classes (data) != priv->n_classes) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "the network knows %u classes, the data has %u", priv->n_classes,
                 tandem_dataset_get_n_classes (data));
    return FALSE;
  }
  if (!tandem_network_open_data (self, data, NULL, error))
    return FALSE;
  if (gradient != NULL)
    need_gradient (priv);
  for (first = 0; first < n_rows && ok; first += TANDEM_NETWORK_PREDICT_BATCH)
    ok = learn (self, rows + first, MIN (TANDEM_NETWORK_PREDICT_BATCH, n_rows - first), n_rows, 0,
                gradient != NULL, loss, error);
  if (gradient != NULL) {
    memcpy (gradient, priv->gradient, priv->n * sizeof (float));
    clear_gradient (priv);
  }
  return ok;
}
