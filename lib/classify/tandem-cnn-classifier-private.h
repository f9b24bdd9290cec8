/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a convolutional network has, and its passes. */
#pragma once

#include "tandem-cnn-classifier.h"

G_BEGIN_DECLS

#define TANDEM_CNN_MAX_CONVOLUTIONS 8

/* What it was made with, whatever the properties say now. */
typedef struct
{
  guint width;                  /* of embeddings */
  guint n_filters;              /* of each convolution */
  guint n_convolutions;
  guint n_words[TANDEM_CNN_MAX_CONVOLUTIONS];      /* that a filter of each sees */
  guint longest;                /* of these */
  guint max_length;
} TandemCnnShape;

struct _TandemCnnClassifier
{
  TandemNetwork parent;

  guint embedding_size;
  guint filters;
  char *widths;                 /* "3,4,5" */
  guint max_words;
  guint min_count;
  guint max_length;

  TandemCnnShape shape;
  guint64 *hashes;              /* [n_words], ascending */
  guint n_words;

  const TandemTerms *terms;     /* of the data that is open, which outlives it */
  guint32 *map;                 /* which word a term is */

  /* the forward pass: words of all texts and where those of each begin; of each text the highest
   * values of all filters and where they are: [n_rows, n_convolutions, n_filters] */
  GArray *words;                /* guint32 */
  GArray *offsets;              /* guint */
  guint n_rows;
  guint64 step;
  float *highest;
  float *pooled;                /* after units and dropout */
  guint *places;
  gsize capacity;               /* rows that these have room for */
  GArray *windows;              /* float: what the longest filter sees at each place */
  GArray *values;               /* float: what filters of one convolution give there */
};

/* The words of these rows, one row behind the other. Those that are dropped become unknown ones. */
void tandem_cnn_classifier_collect_words (TandemCnnClassifier *self, const guint *rows,
                                          guint n_rows, guint64 step);

/* What the passes keep of rows. */
void tandem_cnn_classifier_free_rows (TandemCnnClassifier *self);

/* As in the class of networks. */
gboolean tandem_cnn_classifier_forward (TandemNetwork *network, const guint *rows, guint n_rows,
                                        guint64 step, float *scores, GError **error);
gboolean tandem_cnn_classifier_backward (TandemNetwork *network, const float *d_scores,
                                         GError **error);

G_END_DECLS
