/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a BERT that is a classifier has, and what fitting and judging share. */
#pragma once

#include "tandem-bert-classifier.h"

G_BEGIN_DECLS

struct _TandemBertClassifier
{
  GObject parent;

  char *from;                   /* the folder to begin at */
  guint epochs;
  guint batch_size;
  guint micro_batch;
  guint max_length;
  double learning_rate;
  double warmup;
  double weight_decay;
  double dropout;
  guint64 seed;

  TandemModel *model;           /* what it learned, or was read from */
  TandemTokenizer *tokenizer;
  TandemBertStage *stage;
  char *folder;                 /* of the model, when it is ours to remove */
};

/* Forgets what it learned. */
void tandem_bert_classifier_forget (TandemBertClassifier *self);

/* With the files in it. */
void tandem_bert_classifier_remove_folder (const char *folder);

gboolean tandem_bert_classifier_check_texts (TandemDataset *data, GError **error);

/* Makes the model ready to judge. */
gboolean tandem_bert_classifier_take_model (TandemBertClassifier *self, TandemModel *model,
                                            GError **error);

/* The token ids of all texts, which are kept for whoever has the same tokenizer. */
const TandemTerms *tandem_bert_classifier_get_tokens (TandemBertClassifier *self,
                                                      TandemModel *model,
                                                      TandemTokenizer *tokenizer,
                                                      TandemDataset *data,
                                                      GCancellable *cancellable, GError **error);

/* Puts the rows' tokens one behind the other. offsets: [n_rows + 1] */
void tandem_bert_classifier_gather (const TandemTerms *tokens, const guint *rows, guint n_rows,
                                    GArray *ids, guint32 *offsets);

/* As in the interface. */
gboolean tandem_bert_classifier_fit (TandemClassifier *classifier, TandemDataset *data,
                                     const guint *rows, guint n_rows, GCancellable *cancellable,
                                     GError **error);

G_END_DECLS
