/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What classifiers learn from and judge: texts, or rows of numbers, with labels. */
#pragma once

#include "tandem.h"

G_BEGIN_DECLS

#define TANDEM_CLASSIFY_ERROR (tandem_classify_error_quark ())

typedef enum
{
  TANDEM_CLASSIFY_ERROR_DATA,   /* data or options from which nothing can be learned */
  TANDEM_CLASSIFY_ERROR_FILE,   /* a file that is no classifier, or damaged */
  TANDEM_CLASSIFY_ERROR_OPTION, /* an option that is unknown, or out of range */
  TANDEM_CLASSIFY_ERROR_DIVERGED,       /* weights that are no numbers any more */
} TandemClassifyError;

GQuark tandem_classify_error_quark (void);

#define TANDEM_TYPE_DATASET (tandem_dataset_get_type ())

/* Does not change, but for what it keeps of its texts; one thread at a time. */
G_DECLARE_FINAL_TYPE (TandemDataset, tandem_dataset, TANDEM, DATASET, GObject)

#define TANDEM_DATASET_MAX_CLASSES 1000

/* The words or n-grams of all texts, one text after the other. */
typedef struct
{
  guint n_terms;                /* how many different ones there are */
  guint64 *hashes;              /* [n_terms], of tandem_ngram_hash_text(), in no order */
  gsize *offsets;               /* [n_texts + 1]: where those of a text begin */
  guint32 *terms;               /* which of hashes */
} TandemTerms;

/* Labels go from 0 to below @n_classes, and -1 is unknown: such rows can be judged, and not
 * learned from. TANDEM_CLASSIFY_ERROR_DATA for others. */
TandemDataset *tandem_dataset_new_texts (GBytes *const *texts, const gint32 *labels, guint n,
                                         guint n_classes, GError **error);

/* values: [n, width]; NaN: missing. */
TandemDataset *tandem_dataset_new_rows (const float *values, guint n, guint width,
                                        const gint32 *labels, guint n_classes, GError **error);

/* The class is @class_column, or with NULL the last column; it has to be nominal, or numbers of
 * which each different one is a class, in ascending order. Columns in @ignored, which NULL ends
 * or which is NULL, are left out. A nominal column of two values becomes one of 0 and 1, and
 * another one a column for each value. Rows without a class are refused. */
TandemDataset *tandem_dataset_new_table (TandemDataTable *table, const char *class_column,
                                         const char *const *ignored, GError **error);

guint tandem_dataset_get_n_rows (TandemDataset *self);

guint tandem_dataset_get_n_classes (TandemDataset *self);

/* NULL where they have none. */
const char *tandem_dataset_get_class_name (TandemDataset *self, guint n);

gboolean tandem_dataset_is_text (TandemDataset *self);

/* Numbers in a row; 0 for texts. */
guint tandem_dataset_get_width (TandemDataset *self);

const gint32 *tandem_dataset_get_labels (TandemDataset *self);

const float *tandem_dataset_get_row (TandemDataset *self, guint row);

GBytes *tandem_dataset_get_text (TandemDataset *self, guint row);

/* Both are computed once and kept: 4 bytes for each n-gram of each text, and 8 for each different
 * one; three times that while they are computed. */

/* The n-grams of 1 to @order words, each once in a text. */
const TandemTerms *tandem_dataset_get_ngrams (TandemDataset *self, guint order,
                                              GCancellable *cancellable, GError **error);

/* The words in their order. */
const TandemTerms *tandem_dataset_get_words (TandemDataset *self, GCancellable *cancellable,
                                             GError **error);

/* What somebody computed of the texts: @data is kept under @key, and freed with the dataset. */
gpointer tandem_dataset_get_kept (TandemDataset *self, const char *key);
void tandem_dataset_keep (TandemDataset *self, const char *key, gpointer data,
                          GDestroyNotify free_data);

/* Deals the rows out to @n_folds parts that have equal shares of each class, give or take one,
 * in an order that depends on @seed. Returns (transfer full) the part of each row. (Kohavi 1995,
 * stratified cross-validation.) */
guint8 *tandem_dataset_make_folds (TandemDataset *self, guint n_folds, guint64 seed);

/* The rows of a part, or with @outside all others. Returns (transfer full) n_rows of them. */
guint *tandem_dataset_list_fold (TandemDataset *self, const guint8 *folds, guint fold,
                                 gboolean outside, guint *n_rows);

G_END_DECLS
