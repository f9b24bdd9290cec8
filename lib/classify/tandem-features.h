/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rows of a data set as vectors of which few numbers are not 0: chosen n-grams of texts, or
 * numbers that are standardised. What is chosen, and what it counts, is learned from some rows
 * and kept in files. */
#pragma once

#include "tandem-classifier.h"

G_BEGIN_DECLS

/* How texts become vectors. */
typedef struct
{
  guint order;                  /* n-grams of 1 to so many words */
  guint min_texts;              /* those that fewer texts have are left out */
  guint max_features;           /* the most frequent so many; 0: all */
  TandemNgramWeighting weighting;
} TandemFeatureOptions;

typedef struct
{
  guint n;                      /* numbers of a vector */
  gboolean is_text;
  guint order;
  guint64 *hashes;              /* of texts: [n], ascending */
  float *scales;                /* [n]: what an n-gram counts before the vector is made to have
                                 * length 1; of numbers one over their standard deviation */
  float *means;                 /* of numbers: [n], which is also what is missing */
} TandemFeatures;

/* A data set as its rows are looked at; the data set and the features have to outlive it. */
typedef struct
{
  const TandemFeatures *features;
  TandemDataset *data;
  const TandemTerms *terms;     /* of texts */
  guint32 *map;                 /* which feature a term is; TANDEM_HASH_INDEX_NONE */
  gsize max_row;                /* numbers that are not 0 in any row, at most */
} TandemFeatureRows;

/* The weightings are those of TandemNgramWeighting, with classes 0 and 1; columns whose numbers
 * are all the same count 0. Nothing is learned from rows that are not in @rows. */
TandemFeatures *tandem_features_new (const TandemFeatureOptions *options, TandemDataset *data,
                                     const guint *rows, guint n_rows, GCancellable *cancellable,
                                     GError **error);

void tandem_features_free (TandemFeatures *self);

/* Bytes of it in a file. */
guint64 tandem_features_get_size (const TandemFeatures *self);

gboolean tandem_features_write (const TandemFeatures *self, GHashTable *tensors,
                                GHashTable *metadata, GError **error);

TandemFeatures *tandem_features_read (TandemSafetensors *file, GError **error);

/* TANDEM_CLASSIFY_ERROR_DATA where the data is of another kind or width. */
TandemFeatureRows *tandem_feature_rows_new (const TandemFeatures *features, TandemDataset *data,
                                            GCancellable *cancellable, GError **error);

void tandem_feature_rows_free (TandemFeatureRows *self);

/* The numbers of a row that are not 0, and where: at most max_row. Returns how many. */
guint tandem_feature_rows_get (const TandemFeatureRows *self, guint row, guint32 *columns,
                               float *values);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemFeatures, tandem_features_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemFeatureRows, tandem_feature_rows_free)

G_END_DECLS
