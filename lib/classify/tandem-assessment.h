/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How good a classifier is with given options: what a search asks. */
#pragma once

#include "tandem-classifier.h"

G_BEGIN_DECLS

typedef enum
{
  TANDEM_MEASURE_ACCURACY,      /* share of rows whose highest score is at their class */
  TANDEM_MEASURE_MSE,           /* TandemClassifierLoss, the mean over rows, as is the next */
  TANDEM_MEASURE_MSE_CROSS_ENTROPY,
  TANDEM_MEASURE_BYTES,         /* tandem_classifier_get_size() */
  TANDEM_MEASURE_MULTIPLY_ADDS, /* tandem_classifier_get_cost() */
  TANDEM_MEASURE_MILLISECONDS,  /* to judge a row, with finding its words: a median; depends on the
                                 * machine and what else it does */
  TANDEM_N_MEASURES,
} TandemMeasure;

/* "accuracy", "mse", "mse-cross-entropy", "bytes", "multiply-adds", "milliseconds". */
const char *tandem_measure_get_name (TandemMeasure measure);

/* TANDEM_CLASSIFY_ERROR_OPTION, with the names, where it is none. */
gboolean tandem_measure_parse (const char *name, TandemMeasure *measure, GError **error);

/* What is to be made small: the share of rows that are judged wrong, or the number itself. */
double tandem_measure_to_cost (TandemMeasure measure, double value);

typedef struct
{
  double values[TANDEM_N_MEASURES];
  double fit_seconds;
} TandemMeasures;

typedef struct _TandemAssessment TandemAssessment;

/* Learns from some rows and measures on others, which are copied. */
TandemAssessment *tandem_assessment_new (const char *kind, TandemDataset *data,
                                         const guint *train, guint n_train, const guint *held_out,
                                         guint n_held_out);

/* Cross-validation: the mean over all rows, each judged by the classifier that did not learn
 * from its fold; of bytes, time and operations the mean over the folds. */
TandemAssessment *tandem_assessment_new_folds (const char *kind, TandemDataset *data,
                                               guint n_folds, guint64 seed);

void tandem_assessment_free (TandemAssessment *self);

/* An option of all candidates. An option of a candidate goes before it. */
void tandem_assessment_set (TandemAssessment *self, const char *name, const char *value);

/* Times are measured only where somebody asks. */
void tandem_assessment_set_measures_time (TandemAssessment *self, gboolean measures);

/* options: name, value, name, value, ..., NULL. "column-N" with the value 0 leaves column N of
 * numbers out, counted from 1. fidelity: share of the rows that it learns from, above 0 to 1.
 * @classifier: unless NULL, what was learned from the rows to learn from; with folds from those
 * of the last. */
gboolean tandem_assessment_run (TandemAssessment *self, const char *const *options,
                                double fidelity, TandemMeasures *measures,
                                TandemClassifier **classifier, GCancellable *cancellable,
                                GError **error);

/* (transfer full): a classifier that learned from all rows, those that are held out as well. */
TandemClassifier *tandem_assessment_fit_all (TandemAssessment *self, const char *const *options,
                                             GCancellable *cancellable, GError **error);

/* The accuracy and losses of a classifier on some rows. */
gboolean tandem_assessment_measure (TandemClassifier *classifier, TandemDataset *data,
                                    const guint *rows, guint n_rows, TandemMeasures *measures,
                                    GCancellable *cancellable, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemAssessment, tandem_assessment_free)

G_END_DECLS
