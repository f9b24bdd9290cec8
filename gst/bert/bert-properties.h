/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The properties of bertstage that are of training. */
#pragma once

#include "bert-trainer.h"

G_BEGIN_DECLS

/* The first of their numbers; those of the element are below. */
#define BERT_PROPERTIES_FIRST 100

/* What a stage trains for. */
typedef enum
{
  BERT_TASK_CLASSIFY,
  BERT_TASK_MASKED_LM,
} BertTask;

GType bert_task_get_type (void);

void bert_properties_install (GObjectClass *klass, GParamFlags flags);

/* Return FALSE for numbers that are not theirs. The caller holds the lock. */
gboolean bert_properties_set (BertTrainerSettings *settings, guint id, const GValue *value);

gboolean bert_properties_get (const BertTrainerSettings *settings, guint id, GValue *value);

G_END_DECLS
