/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* What `tandem train` was asked for, checked. Choices are among the words that the table in
 * tandem-train-options.c names; a string that was not given is NULL. */
typedef struct
{
  char **data;
  char *exclude;
  gboolean with_unlabelled;
  double holdout;

  char *init;                   /* model, random, project */
  char *from;
  char *config;
  char *vocab;
  char *labels;

  char *output;
  char *split;
  char *metrics;
  gboolean resume;
  gboolean force;
  gboolean half;

  char *task;                   /* classify, distill, masked-lm */
  char *teacher;
  double alpha;
  double temperature;
  double hidden;                /* weight of the loss of hidden states; 0: none */
  char *hidden_layers;

  double sparsity;              /* share of the weights that are zero in the end; 0: none is pruned */
  double gradual;               /* share of the steps in which the sparsity rises; 0: at once */
  char *tensors;                /* linear, embeddings, all */
  char *scope;                  /* tensor, global */

  char *stages;
  char *schedule;               /* gpipe, 1f1b-flush, 1f1b */
  guint64 batch;
  guint64 micro_batch;
  guint64 epochs;
  double learning_rate;
  double warmup;
  char *decay;                  /* linear, cosine */
  double weight_decay;
  double max_norm;
  double label_smoothing;
  double dropout;
  guint64 max_length;
  char *truncation_side;        /* model, left, right */
  guint64 seed;
  guint64 patience;
  char *keep;                   /* best, last */
  guint64 evaluate_every;
  guint64 checkpoint_every;
} TrainOptions;

void train_options_clear (TrainOptions *self);

/* Reads the command line. With --resume, what is not said there is as it was when the training
 * began. Returns FALSE with *status set where nothing is to be run. */
gboolean train_options_parse (TrainOptions *self, char **args, int *status);

/* For the next --resume. */
gboolean train_options_save (const TrainOptions *self, const char *path, GError **error);

/* Whether words are predicted, and labels are not needed. */
gboolean train_options_is_masked_lm (const TrainOptions *self);

/* Sequences of one change of weights. */
guint train_options_get_step_size (const TrainOptions *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TrainOptions, train_options_clear)

/* OUTPUT/checkpoint/options.json */
#define TRAIN_CHECKPOINT_FOLDER "checkpoint"
#define TRAIN_OPTIONS_FILE "options.json"

G_END_DECLS
