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

/* No file is no error: found tells. */
gboolean bert_checkpoint_read (TandemTrainStage *stage, const char *path, gboolean *found,
                               BertCheckpoint *at, GError **error);

G_END_DECLS
