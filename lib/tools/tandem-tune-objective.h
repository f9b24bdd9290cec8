/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-assessment.h"
#include "tandem-tune-options.h"
#include "tandem.h"

G_BEGIN_DECLS

#define TUNE_TYPE_OBJECTIVE (tune_objective_get_type ())

G_DECLARE_FINAL_TYPE (TuneObjective, tune_objective, TUNE, OBJECTIVE, GObject)

/* What a search asks: a data set, and how a candidate does on it. One thread at a time. */
struct _TuneObjective
{
  GObject parent;

  const TuneOptions *options;   /* outlives it */
  TandemDataset *data;
  guint *train;                 /* rows; of a table all of them */
  guint n_train;
  guint *held_out;              /* of a table none: it is cut into folds */
  guint n_held_out;
  guint n_excluded;
  char *fingerprint;            /* of the data */
  TandemAssessment *assessment;
  gboolean measures_time;
};

TuneObjective *tune_objective_new (const TuneOptions *options, GCancellable *cancellable,
                                   GError **error);

/* Prints how many reviews are learned from and held out. */
void tune_objective_print_rows (TuneObjective *self);

/* (transfer full): what equal data, and models to begin at, have in common wherever they are; it
 * has no newline. */
char *tune_objective_make_fingerprint (TuneObjective *self, GCancellable *cancellable,
                                       GError **error);

/* What is searched: --space, or what is usual for the model. */
TandemSearchSpace *tune_objective_make_space (TuneObjective *self, GError **error);

/* Whether the model has all options that are searched. */
gboolean tune_objective_check_space (TuneObjective *self, TandemSearchSpace *space,
                                     GError **error);

/* (transfer full): name, value, ..., NULL, as tandem_assessment_run() has them. */
char **tune_list_options (TandemParameterSet *candidate);

/* (transfer full): {"accuracy": 0.9, ...}: what was measured. */
char *tune_measures_to_json (const TandemMeasures *measures, gboolean with_time);

G_END_DECLS
