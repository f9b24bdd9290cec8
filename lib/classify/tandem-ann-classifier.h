/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-network.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_ANN_CLASSIFIER (tandem_ann_classifier_get_type ())

/* A feed-forward network over a bag of n-grams, or over standardised numbers: an input layer, up
 * to two hidden ones with rectified units (Nair and Hinton 2010) and dropout (Srivastava et al.
 * 2014), AdamW. Of the input layer only the rows of a text's n-grams are read and updated. File:
 * features.* as in tandem-features.h, and weights [inputs, units], [outputs, units] of later
 * layers, and biases. */
G_DECLARE_FINAL_TYPE (TandemAnnClassifier, tandem_ann_classifier, TANDEM, ANN_CLASSIFIER,
                      TandemNetwork)

G_END_DECLS
