/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shared by the files of the trainer alone. */
#pragma once

#include "bert-checkpoint.h"
#include "bert-trainer.h"

G_BEGIN_DECLS

struct _BertTrainer
{
  /* set once */
  TandemTrainStage *stage;
  BertTrainerSettings settings;
  BertTrainerCallbacks callbacks;
  gpointer user_data;
  gsize row_size;               /* bytes of a row of the input's gradient; 0: takes tokens */

  /* streaming thread */
  gboolean has_info;
  gboolean is_first;            /* nobody before it trains: it leads */
  gboolean is_settled;          /* it is where all stages go on */
  TandemTrainingInfo info;
  guint64 next_micro_batch;     /* of this run, or since the last flush */
  guint64 n_skipped, n_to_skip; /* micro-batches before it, which a checkpoint holds already */
  guint64 step;                 /* steps done, of all runs */
  guint64 saved_step;
  BertCheckpoints found;        /* what it may go on from */
  guint n_in_step;              /* micro-batches forward since the last update */
  guint64 sequences_in_step;
  double loss_in_step;
  gint64 correct_in_step;
  guint64 tokens_in_step;       /* that were masked */
  double squared_norm;          /* behind this stage, from the last gradient */
  guint max_in_flight;
  GQueue shapes;                /* of Shape: rows and sequences of what is in flight */

  GMutex lock;
  GCond cond;
  GQueue gradients;             /* lock: events */
  gboolean flushing;            /* lock */
  guint limit;                  /* lock: micro-batches in flight with 1f1b; 0: not known yet */
  guint64 agreed_step;          /* lock: after which all stages go on */
};

/* bert-trainer-agree.c: in the first stage, before the first micro-batch. Tells those behind how to
 * train, and waits for the announcement. */
gboolean bert_trainer_lead (BertTrainer *self, GError **error);

/* In all others. A stage that follows goes on where those before it can; of their steps it passes on
 * those that it has, too. */
gboolean bert_trainer_follow (BertTrainer *self, TandemTrainingInfo info, GError **error);

/* How many stages are behind this one, and after which step all go on: told once, before any
 * gradient, and told on at once. Any thread. */
void bert_trainer_take_announcement (BertTrainer *self, TandemGradientInfo info);

/* After the announcement: goes to where all stages go on. */
gboolean bert_trainer_settle (BertTrainer *self, GError **error);

G_END_DECLS
