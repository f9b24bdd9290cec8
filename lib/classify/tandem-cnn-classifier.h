/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-network.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_CNN_CLASSIFIER (tandem_cnn_classifier_get_type ())

/* A convolutional network over the words of a text (Kim 2014, section 2): embeddings, filters
 * over some neighbouring words, of each filter its highest value in the text, dropout, a linear
 * layer. The embeddings begin at random numbers and are learned. Words that it does not know
 * share one embedding, and of a long text it reads the end. File: words I64, the hashes of
 * tandem_ngram_hash_words(), ascending; embeddings [words + 1, width], unknown ones last;
 * convolution-W.weight [filters, W width]; output.weight [classes, all filters]; and biases. */
G_DECLARE_FINAL_TYPE (TandemCnnClassifier, tandem_cnn_classifier, TANDEM, CNN_CLASSIFIER,
                      TandemNetwork)

G_END_DECLS
