/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files from which a stage goes on training. */
#pragma once

#include <tandem.h>

G_BEGIN_DECLS

/* Where in the training a checkpoint was written. */
typedef struct
{
  guint64 step;                 /* steps done */
  guint64 micro_batches;        /* micro-batches done since the beginning */
} BertCheckpoint;

/* Replaces the file when the new one is complete. */
gboolean bert_checkpoint_write (TandemTrainStage *stage, const char *path,
                                const BertCheckpoint *at, GError **error);

/* What a stage can go on from: its checkpoint and the one before it, the newest first. */
typedef struct
{
  guint n;                      /* 0: there is no file */
  guint64 steps[2];
} BertCheckpoints;

/* Looks at the files; the newest one must be a checkpoint of this stage. One before it that is not
 * does not count. */
gboolean bert_checkpoint_find (TandemTrainStage *stage, const char *path, BertCheckpoints *found,
                               GError **error);

/* Reads the checkpoint of that step, which bert_checkpoint_find() found. The one before the newest
 * takes its place then: the training that the newest is of does not go on. */
gboolean bert_checkpoint_read (TandemTrainStage *stage, const char *path, guint64 step,
                               BertCheckpoint *at, GError **error);

G_END_DECLS
