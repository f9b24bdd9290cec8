/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-train-progress.h"
#include "tandem.h"

G_BEGIN_DECLS

/* The file in the folder of a checkpoint that the stages' property mask names. */
char *train_prune_get_file (const char *folder);

/* The first step after @step at which there are new masks, or G_MAXUINT64. */
guint64 train_prune_get_next (const TrainOptions *options, guint64 total_steps, guint64 step);

/* Whether the sparsity that was asked for is reached at @step: models of before do not count. */
gboolean train_prune_is_done (const TrainOptions *options, guint64 total_steps, guint64 step);

/* Before the run that begins at @step: puts the masks into @work, new ones where it is time for
 * them, or those that are in @before, the folder of the checkpoint. */
gboolean train_prune_begin (const TrainOptions *options, TandemModel *initial, const char *work,
                            const char *before, guint64 step, guint64 total_steps,
                            TrainProgress *progress, GCancellable *cancellable, GError **error);

/* Returns (transfer full) what the model has kept to in @work. */
TandemMasks *train_prune_get_masks (TandemModel *initial, const char *work, GError **error);

/* Tensors to prune and scope by the words that the options know them by. */
TandemPruneTargets train_prune_parse_targets (const char *word);
TandemPruneScope train_prune_parse_scope (const char *word);

G_END_DECLS
