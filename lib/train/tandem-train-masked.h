/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The head of a masked language model in training. Not a part of the public API. */
#pragma once

#include "train/tandem-masking.h"
#include "train/tandem-train-layer.h"

G_BEGIN_DECLS

/* Dense layer, activation and layer norm (Devlin et al. 2018, section 3.1; in transformers
 * BertLMPredictionHead). The decoder's weights are the word embeddings. */
typedef struct
{
  gsize dense, dense_bias;      /* [embedding size, hidden size] */
  gsize gamma, beta;
  gsize bias;                   /* [vocab_size]: the decoder's */
  TandemMasking masking;
} TandemTrainMasked;

/* Before tandem_parameters_load(): adds the head, and looks up what the model calls [MASK]. */
gboolean tandem_train_masked_add (TandemTrainMasked *self, TandemParameters *parameters,
                                  const TandemTrainShape *shape, TandemModel *model,
                                  GError **error);

G_END_DECLS
