/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-train-options.h"

G_BEGIN_DECLS

typedef struct
{
  GBytes *text;
  int label;                    /* -1: unknown */
} TrainReview;

/* The reviews of a training, in memory. */
typedef struct
{
  GArray *train;                /* of TrainReview */
  GArray *held_out;             /* never trained on; all labelled */
  guint n_excluded;
  char *fingerprint;            /* of all of them, and of what is held out */
} TrainData;

TrainData *train_data_read (const TrainOptions *options, GCancellable *cancellable,
                            GError **error);

void train_data_free (TrainData *self);

/* Returns (transfer full) the order of an epoch: train->len indices. */
guint32 *train_data_shuffle (const TrainData *self, guint64 seed, guint64 epoch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TrainData, train_data_free)

G_END_DECLS
