/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-tune-objective.h"

G_BEGIN_DECLS

/* What a search for the weights of one network came to. */
typedef struct
{
  guint64 n_evaluations;
  gsize n_weights;
  double value;                 /* the least: of the first measure, over the rows to learn from */
  double seconds;
  TandemMeasures held_out;      /* of these weights, on rows that were not learned from */
  TandemClassifier *classifier;
} TuneWeights;

void tune_weights_clear (TuneWeights *self);

/* progress: done evaluations and the least value; it returns FALSE to stop. */
typedef gboolean (*TuneWeightsFunc) (guint64 n, double value, gpointer user_data);

/* Searches the weights of a network that has the options of --set, by @algorithm, for the least
 * of the first measure over the rows to learn from: accuracy, or a loss, whose gradient goes to
 * algorithms that use it. @state: a file that the search is saved to now and then, and when it ends
 * or is cancelled; with --resume it goes on from there. Everything runs in this process, for an
 * evaluation takes less time than asking another one. */
gboolean tune_weights_search (TuneObjective *objective, const char *algorithm, guint64 seed,
                              const char *state, const guint *train, guint n_train,
                              const guint *held_out, guint n_held_out, TuneWeightsFunc progress,
                              gpointer user_data, TuneWeights *result, GCancellable *cancellable,
                              GError **error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TuneWeights, tune_weights_clear)

G_END_DECLS
