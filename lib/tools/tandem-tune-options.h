/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-assessment.h"

G_BEGIN_DECLS

/* What `tandem tune` was asked for, checked. A string that was not given is NULL; paths are
 * absolute. */
typedef struct
{
  char *model;                  /* ann, cnn, svm, bert */
  char *algorithm;
  char *output;
  gboolean resume;
  gboolean is_worker;           /* a process that evaluates for another one */

  char **data;                  /* reviews, or else ... */
  char *exclude;
  double holdout;
  char *table;                  /* ... one table */
  char *class_column;
  char **ignored;
  int folds;
  gboolean select_columns;
  char *from;                   /* the folder that a BERT begins at */

  char *space;
  char **set;                   /* NAME=VALUE: options of all candidates */
  gboolean weights;             /* what is searched are weights */
  double bound;                 /* of these */

  char *objective;              /* one or two measures, with commas between */
  TandemMeasure measures[2];
  guint n_measures;
  gint64 evaluations;
  double time;                  /* seconds; 0: no bound */
  char *target;                 /* of the first measure */
  int population;
  int rungs;
  int window;
  int workers;
  double timeout;               /* seconds of one evaluation; 0: no bound */
  gint64 seed;
  gint64 split_seed;            /* -1: the same */

  char **test;                  /* reviews to report accuracy on, once */
  char *split;
  gboolean baseline;
} TuneOptions;

void tune_options_clear (TuneOptions *self);

/* Reads the command line. With --resume, what is not said there is as it was when the search
 * began. Returns FALSE with *status set where nothing is to be run. */
gboolean tune_options_parse (TuneOptions *self, char **args, int *status);

/* For the next --resume: OUTPUT/options.json. */
/* What decides which reviews are held out, and the folds of a table. */
guint64 tune_options_get_split_seed (const TuneOptions *self);

gboolean tune_options_save (const TuneOptions *self, GError **error);

/* (transfer full): arguments for a process that evaluates, of which the first is "tune". */
char **tune_options_list_for_worker (const TuneOptions *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TuneOptions, tune_options_clear)

G_END_DECLS
