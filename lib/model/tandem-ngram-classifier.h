/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"

G_BEGIN_DECLS

#define TANDEM_NGRAM_ERROR (tandem_ngram_error_quark ())

/**
 * TandemNgramError:
 * @TANDEM_NGRAM_ERROR_FILE: a file that is no n-gram classifier, or damaged
 * @TANDEM_NGRAM_ERROR_DATA: texts, labels or options from which nothing can be learned
 *
 * What can be wrong with an n-gram classifier.
 */
typedef enum
{
  TANDEM_NGRAM_ERROR_FILE,
  TANDEM_NGRAM_ERROR_DATA,
} TandemNgramError;

TANDEM_API
GQuark tandem_ngram_error_quark (void);

/**
 * TandemNgramWeighting:
 * @TANDEM_NGRAM_BINARY: 1 for an n-gram that the text has
 * @TANDEM_NGRAM_TFIDF: its inverse document frequency, log(texts / texts that have it) + 1
 *   (Spärck Jones 1972)
 * @TANDEM_NGRAM_NB: its naive Bayes log-count ratio (Wang and Manning 2012, section 2.3)
 *
 * What the presence of an n-gram in a text counts.
 */
typedef enum
{
  TANDEM_NGRAM_BINARY,
  TANDEM_NGRAM_TFIDF,
  TANDEM_NGRAM_NB,
} TandemNgramWeighting;

/**
 * TandemNgramLoss:
 * @TANDEM_NGRAM_LOGISTIC: logistic regression; scores are logarithms of odds
 * @TANDEM_NGRAM_SQUARED_HINGE: a linear support vector machine with squared hinge loss
 *
 * What is minimised.
 */
typedef enum
{
  TANDEM_NGRAM_LOGISTIC,
  TANDEM_NGRAM_SQUARED_HINGE,
} TandemNgramLoss;

/**
 * TANDEM_NGRAM_MAX_ORDER:
 *
 * The most words that an n-gram has.
 */
#define TANDEM_NGRAM_MAX_ORDER 8

/**
 * TANDEM_NGRAM_MAX_FOLDS:
 *
 * The most parts that texts are divided in.
 */
#define TANDEM_NGRAM_MAX_FOLDS 32

/**
 * TandemNgramOptions:
 * @order: n-grams have 1 to so many words, at most %TANDEM_NGRAM_MAX_ORDER
 * @min_texts: those that fewer texts have are left out
 * @weighting: what an n-gram counts
 * @loss: what is minimised
 * @n_folds: 1, or in how many parts the texts are divided, so that each is judged without
 *   having been learned from; at most %TANDEM_NGRAM_MAX_FOLDS
 * @cost: how much a wrong text costs against large weights (C of Fan et al. 2008), above 0
 *
 * How an n-gram classifier is made.
 */
typedef struct
{
  guint order;
  guint min_texts;
  TandemNgramWeighting weighting;
  TandemNgramLoss loss;
  guint n_folds;
  double cost;
} TandemNgramOptions;

#define TANDEM_TYPE_NGRAM_CLASSIFIER (tandem_ngram_classifier_get_type ())

/**
 * TandemNgramClassifier:
 *
 * A linear classifier of two classes over the words and phrases of a text. It is made in a
 * minute, and a good teacher for a small transformer. Objects do not change: any thread may use
 * one.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemNgramClassifier, tandem_ngram_classifier, TANDEM, NGRAM_CLASSIFIER,
                      GObject)

TANDEM_API
GArray *tandem_ngram_hash_text (const char *text, gssize length, guint order);

TANDEM_API
GArray *tandem_ngram_hash_words (const char *text, gssize length);

TANDEM_API
guint64 tandem_ngram_identify_text (const char *text, gssize length);

TANDEM_API
TandemNgramClassifier *tandem_ngram_classifier_new (const TandemNgramOptions *options,
                                                    guint n_features, const guint64 *hashes,
                                                    const float *values, const float *weights,
                                                    const float *biases, guint n_texts,
                                                    const guint64 *texts, const guint8 *folds,
                                                    GError **error);

TANDEM_API
TandemNgramClassifier *tandem_ngram_classifier_load (const char *path, GError **error);

TANDEM_API
gboolean tandem_ngram_classifier_save (TandemNgramClassifier *self, const char *path,
                                       GCancellable *cancellable, GError **error);

TANDEM_API
double tandem_ngram_classifier_score (TandemNgramClassifier *self, const char *text, gssize length);

TANDEM_API
const TandemNgramOptions *tandem_ngram_classifier_get_options (TandemNgramClassifier *self);

TANDEM_API
guint tandem_ngram_classifier_get_n_features (TandemNgramClassifier *self);

TANDEM_API
char *tandem_ngram_classifier_dup_fingerprint (TandemNgramClassifier *self);

G_END_DECLS
