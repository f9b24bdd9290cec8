/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-glib/json-glib.h>

#include "tandem-tune-weights.h"

G_BEGIN_DECLS

/* OUTPUT/result.json: what a search came to. */
#define TUNE_RESULT_FILE "result.json"

/* An object that has what was searched, for more members. */
JsonBuilder *tune_result_begin (const TuneOptions *options);

/* One more member, an object of what was measured. */
void tune_result_add_measures (JsonBuilder *builder, const char *name,
                               const TandemMeasures *measures);

gboolean tune_result_write (JsonBuilder *builder, const TuneOptions *options, GError **error);

/* Measures a classifier on what --test names, says so, and adds it to the result; nothing without
 * --test. */
gboolean tune_result_test (JsonBuilder *builder, const TuneOptions *options,
                           TandemClassifier *classifier, GCancellable *cancellable,
                           GError **error);

/* Writes the classifier into OUTPUT: model.classifier, or of a transformer the folder model, and
 * with --split its stage files beside it. */
gboolean tune_result_save_model (const TuneOptions *options, TandemClassifier *classifier,
                                 GCancellable *cancellable, GError **error);

G_END_DECLS
