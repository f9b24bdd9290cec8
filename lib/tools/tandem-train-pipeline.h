/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-train-data.h"

G_BEGIN_DECLS

/* What all runs of the pipeline have in common; borrowed. */
typedef struct
{
  const TrainOptions *options;
  const TrainData *data;
  const char *model;            /* folder */
  GPtrArray *layers;            /* of char *: the layers of each stage */
  const char *teacher;          /* file of the teacher's logits, or NULL */
  guint64 total_steps;
} TrainSetup;

/* One change of weights. */
typedef struct
{
  guint64 step;                 /* counted from 1 */
  guint64 n_sequences;
  guint64 n_judged;             /* sequences, or masked tokens: what loss is the mean of */
  double loss;
  double hidden_loss;           /* of hidden states; -1: there is none */
  gint64 n_correct;             /* -1: unknown */
  double learning_rate;
  double norm;
  guint in_flight;
} TrainStep;

typedef void (*TrainStepFunc) (const TrainStep *step, gpointer user_data);

/* Trains from the checkpoint in the folder @work, or from the beginning, until @end steps are
 * done, or fewer when cancelled, which is no error; leaves the checkpoint of *step there. With
 * @tensors, gives all weights in the end. */
gboolean train_pipeline_run (const TrainSetup *setup, const char *work, guint64 *step, guint64 end,
                             TrainStepFunc report, gpointer user_data, GHashTable **tensors,
                             GCancellable *cancellable, GError **error);

/* Returns (transfer full) the file in the folder @work that stage @index writes. */
char *train_pipeline_get_file (const char *work, guint index);

G_END_DECLS
