/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem.h"

G_BEGIN_DECLS

/* Labelled reviews as tokens, and what the model with floats says of them. */
typedef struct
{
  GArray *ids;                  /* of gint32: the tokens of all reviews */
  GArray *offsets;              /* of gsize: where each review begins, and the end */
  GArray *labels;               /* of gint32 */
  GArray *logits;               /* of float: [reviews, 2] of the model with floats */
} QuantizeData;

/* How a model does on some of the reviews. */
typedef struct
{
  guint n;
  guint n_correct;
  double difference;            /* mean square of what its logits differ from those with floats */
} QuantizeResult;

/* Reads the reviews in @paths for @model, and runs it over them. What comes out is in @result. */
QuantizeData *quantize_data_read (char **paths, TandemModel *model, QuantizeResult *result,
                                  GCancellable *cancellable, GError **error);

void quantize_data_free (QuantizeData *self);

/* Runs the model in the folder @path over every @step-th review. what: said on a terminal. */
gboolean quantize_data_measure (const QuantizeData *self, const char *path, guint step,
                                const char *what, QuantizeResult *result,
                                GCancellable *cancellable, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (QuantizeData, quantize_data_free)

G_END_DECLS
