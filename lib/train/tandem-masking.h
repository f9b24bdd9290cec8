/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"
#include "text/tandem-tokenizer.h"

G_BEGIN_DECLS

typedef struct _TandemMasking TandemMasking;

/**
 * TandemMasking:
 * @seed: what all choices depend on
 * @rate: the share of tokens that are to be predicted, 0 to 1
 * @vocab_size: entries of the vocabulary
 * @mask_id: the id of [MASK]
 * @n_special: how many of @special_ids there are
 * @special_ids: ids that are never to be predicted: those of [PAD], [UNK], [CLS], [SEP] and
 *   [MASK]
 *
 * Which tokens a masked language model is to predict.
 */
struct _TandemMasking
{
  guint64 seed;
  double rate;
  guint vocab_size;
  gint32 mask_id;
  guint n_special;
  gint32 special_ids[5];
};

TANDEM_API
gboolean tandem_masking_init (TandemMasking *self, TandemTokenizer *tokenizer, double rate,
                              guint64 seed, GError **error);

TANDEM_API
guint tandem_masking_apply (const TandemMasking *self, guint64 sequence, gint32 *ids,
                            guint n_tokens, gint32 *labels);

G_END_DECLS
