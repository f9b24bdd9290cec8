/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-classifier.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_BERT_CLASSIFIER (tandem_bert_classifier_get_type ())

/* A TinyBERT, or any other BERT or ALBERT: begins at a folder as Hugging Face has them, is
 * fine-tuned by TandemTrainStage and judged by TandemBertStage. Where the folder has no
 * classifier, or one for another number of classes, it gets a random one. Weights are in a
 * temporary folder, which goes with the object; what is saved is a folder, too. */
G_DECLARE_FINAL_TYPE (TandemBertClassifier, tandem_bert_classifier, TANDEM, BERT_CLASSIFIER,
                      GObject)

/* (transfer none): the model; NULL before it learned. */
TandemModel *tandem_bert_classifier_get_model (TandemBertClassifier *self);

/* Reads a folder, or a stage file with all layers. */
TandemClassifier *tandem_bert_classifier_load (const char *path, GCancellable *cancellable,
                                               GError **error);

G_END_DECLS
