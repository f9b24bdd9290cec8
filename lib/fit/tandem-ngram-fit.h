/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem.h"

G_BEGIN_DECLS

/* Makes a classifier from @n_texts UTF-8 texts whose labels are 0 or 1. The same texts give the
 * same classifier. With several folds, blocks of neighbouring texts go into one fold. It takes some
 * 50 bytes for each different n-gram of each text. @cancellable
 * is looked at while texts are read, and between folds. The errors are TANDEM_NGRAM_ERROR_DATA and
 * G_IO_ERROR_CANCELLED.
 *
 * Sources: Wang and Manning 2012, "Baselines and Bigrams: Simple, Good Sentiment and Topic
 * Classification", ACL (the features, without their interpolation); Fan, Chang, Hsieh, Wang and
 * Lin 2008, "LIBLINEAR: A Library for Large Linear Classification", JMLR 9 (the solvers, of the
 * primal problems). */
TandemNgramClassifier *tandem_ngram_fit (GBytes *const *texts, const gint32 *labels,
                                         guint n_texts, const TandemNgramOptions *options,
                                         GCancellable *cancellable, GError **error);

G_END_DECLS
