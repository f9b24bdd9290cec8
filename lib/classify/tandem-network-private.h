/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a network has, and how it learns. */
#pragma once

#include "tandem-network.h"

G_BEGIN_DECLS

/* Rows that are judged together. */
#define TANDEM_NETWORK_PREDICT_BATCH 64

typedef struct
{
  const char *name;
  gsize offset;
  gsize n_rows, n_columns;      /* n_rows is 0 of biases */
  double deviation;
} TandemNetworkBlock;

typedef struct
{
  guint epochs;
  guint batch_size;
  double learning_rate;
  double weight_decay;
  double dropout;
  double input_dropout;
  guint64 seed;
  TandemClassifierLoss loss;

  guint n_classes;
  GArray *blocks;               /* of TandemNetworkBlock */
  gsize n;                      /* floats of all blocks, one after the other */
  float *weights;               /* [n] */
  float *gradient;              /* [n], all 0 between steps; NULL: not needed yet */
  float *m, *v;                 /* [n]: moments, while it learns */
  guint8 *is_touched;           /* of the table's rows, with gradient */
  GArray *touched;              /* guint32: those */

  TandemDataset *data;          /* that is open */
} TandemNetworkPrivate;

TandemNetworkPrivate *tandem_network_get_private (TandemNetwork *self);

TandemNetworkBlock *tandem_network_get_block (TandemNetworkPrivate *priv, guint i);

/* For tandem_memory_free(). */
float *tandem_network_new_zeros (gsize n);

/* Rows are those of data from now on. */
gboolean tandem_network_open_data (TandemNetwork *self, TandemDataset *data,
                                   GCancellable *cancellable, GError **error);

/* All that it was made of. */
void tandem_network_forget (TandemNetworkPrivate *priv);

/* What is only needed to learn. */
void tandem_network_forget_gradient (TandemNetworkPrivate *priv);

/* As in the interface. */
gboolean tandem_network_prepare (TandemClassifier *classifier, TandemDataset *data,
                                 const guint *rows, guint n_rows, GCancellable *cancellable,
                                 GError **error);
gboolean tandem_network_fit (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                             guint n_rows, GCancellable *cancellable, GError **error);
gboolean tandem_network_add_gradient (TandemClassifier *classifier, TandemDataset *data,
                                      const guint *rows, guint n_rows, double *loss,
                                      float *gradient, GError **error);

G_END_DECLS
