/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-train-progress.h"

G_BEGIN_DECLS

/* Measures the model in the folder @path on what is held out: with as many tokens of a review as
 * the model takes, as it is used later. */
gboolean train_evaluate (const char *path, const TrainData *data, TrainProgress *progress,
                         TrainMeasurement *measurement, GCancellable *cancellable,
                         GError **error);

/* The same for a masked language model: without dropout, and with the same words masked each
 * time. */
gboolean train_evaluate_masked (const char *path, const TrainData *data,
                                const TrainOptions *options, TrainProgress *progress,
                                TrainMeasurement *measurement, GCancellable *cancellable,
                                GError **error);

/* Returns (transfer full) the file of what the teacher says of all texts to learn from: the
 * one in OUTPUT where it is of the same teacher and texts, else made now. */
char *train_ask_teacher (const TrainOptions *options, const TrainData *data,
                         TrainProgress *progress, GCancellable *cancellable, GError **error);

G_END_DECLS
