/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-evaluation.h"
#include "tandem-tune-options.h"
#include "tandem.h"

G_BEGIN_DECLS

/* What a search asks: a data set, and how a candidate does on it. */
typedef struct
{
  const TuneOptions *options;   /* outlives it */
  TandemDataset *data;
  guint *train;                 /* rows; of a table all of them */
  guint n_train;
  guint *held_out;              /* of a table none: it is cut into folds */
  guint n_held_out;
  TandemEvaluation *evaluation;
} TuneObjective;

TuneObjective *tune_objective_new (const TuneOptions *options, GCancellable *cancellable,
                                   GError **error);

void tune_objective_free (TuneObjective *self);

/* What is searched: --space, or what is usual for the model. */
TandemSearchSpace *tune_objective_make_space (TuneObjective *self, GError **error);

/* (transfer full): name, value, ..., NULL, as tandem_evaluation_run() has them. */
char **tune_list_options (TandemParameterSet *candidate);

/* values: as many as there are measures, to be made small. */
gboolean tune_objective_run (TuneObjective *self, TandemParameterSet *candidate, double fidelity,
                             TandemMeasures *measures, double *values, GCancellable *cancellable,
                             GError **error);

/* (transfer full): {"accuracy": 0.9, ...} without the braces: what was measured. */
char *tune_measures_to_json (const TandemMeasures *measures, gboolean with_time);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TuneObjective, tune_objective_free)

G_END_DECLS
