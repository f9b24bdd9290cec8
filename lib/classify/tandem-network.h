/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What neural networks that are classifiers have in common: weights, AdamW, epochs, files. A
 * network is a table, of whose rows each input needs a few, and dense blocks behind it. */
#pragma once

#include "nn/tandem-training.h"
#include "tandem-classifier.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_NETWORK (tandem_network_get_type ())

G_DECLARE_DERIVABLE_TYPE (TandemNetwork, tandem_network, TANDEM, NETWORK, GObject)

/* Floats of all blocks, at the most: with gradient and moments 2 GiB. */
#define TANDEM_NETWORK_MAX_PARAMETERS (128 * 1024 * 1024)

struct _TandemNetworkClass
{
  GObjectClass parent_class;

  /* Learns from rows which words or columns count. */
  gboolean (*choose) (TandemNetwork *self, TandemDataset *data, const guint *rows, guint n_rows,
                      GCancellable *cancellable, GError **error);

  /* Calls tandem_network_add_block() for each, the table first. */
  void (*add_blocks) (TandemNetwork *self, guint n_classes);

  /* Rows will be those of data, which the network holds a reference to. */
  gboolean (*open) (TandemNetwork *self, TandemDataset *data, GCancellable *cancellable,
                    GError **error);

  /* scores: [n_rows, n_classes]. step: from 1, which dropout depends on; 0: without dropout. */
  gboolean (*forward) (TandemNetwork *self, const guint *rows, guint n_rows, guint64 step,
                       float *scores, GError **error);

  /* Of the forward pass before it: adds to the gradient, and touches rows of the table. */
  gboolean (*backward) (TandemNetwork *self, const float *d_scores, GError **error);

  double (*get_cost) (TandemNetwork *self, guint row);

  /* What was chosen: its bytes, and its tensors. */
  guint64 (*get_chosen_size) (TandemNetwork *self);
  gboolean (*write_chosen) (TandemNetwork *self, GHashTable *tensors, GHashTable *metadata,
                            GError **error);
  gboolean (*read_chosen) (TandemNetwork *self, TandemSafetensors *file, GError **error);
};

/* One more block, [n_rows, n_columns], or with n_rows 0 [n_columns], a bias, that does not
 * decay. The weights begin at normally distributed numbers. name: static. */
void tandem_network_add_block (TandemNetwork *self, const char *name, gsize n_rows,
                               gsize n_columns, double deviation);

/* Blocks count from 0, the table. */
float *tandem_network_get_weights (TandemNetwork *self, guint block);
float *tandem_network_get_gradient (TandemNetwork *self, guint block);

/* This row of the table has a gradient. */
void tandem_network_touch (TandemNetwork *self, guint32 row);

guint tandem_network_get_n_classes (TandemNetwork *self);

/* The dropout at a place of the network; step as in forward(). */
TandemDropout tandem_network_get_dropout (TandemNetwork *self, guint site, guint64 step);

/* Whether an input is dropped, by its numbers, and what those are multiplied with that are not. */
gboolean tandem_network_drops_input (TandemNetwork *self, guint64 step, guint row, guint number);
float tandem_network_get_input_scale (TandemNetwork *self, guint64 step);

G_END_DECLS
