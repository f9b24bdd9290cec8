/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-masking.h"

#include "base/tandem-random-private.h"

/* Numbers that a position has for itself. */
#define DRAWS 3

/**
 * tandem_masking_init:
 * @self: (out caller-allocates): what to fill
 * @tokenizer: the tokenizer of the model
 * @rate: the share of tokens that are to be predicted, 0 to 1; 0.15 for BERT
 * @seed: any number; another one masks other tokens
 * @error: return location for %TANDEM_TOKENIZER_ERROR_MISSING_TOKEN
 *
 * Looks up the special tokens.
 *
 * Returns: whether the vocabulary has [MASK]
 */
gboolean
tandem_masking_init (TandemMasking *self, TandemTokenizer *tokenizer, double rate, guint64 seed,
                     GError **error)
{
  static const char *const special[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", NULL };
  guint id;

  g_return_val_if_fail (TANDEM_IS_TOKENIZER (tokenizer), FALSE);
  g_return_val_if_fail (rate >= 0.0 && rate <= 1.0, FALSE);

  *self = (TandemMasking) { .seed = seed, .rate = rate, .mask_id = -1 };
  self->vocab_size = tandem_tokenizer_get_size (tokenizer);
  for (id = 0; id < self->vocab_size && self->n_special < G_N_ELEMENTS (self->special_ids); id++) {
    const char *token = tandem_tokenizer_get_token (tokenizer, id);

    if (token[0] != '[' || !g_strv_contains (special, token))
      continue;
    self->special_ids[self->n_special++] = id;
    if (g_str_equal (token, "[MASK]"))
      self->mask_id = id;
  }
  if (self->mask_id >= 0)
    return TRUE;
  g_set_error (error, TANDEM_TOKENIZER_ERROR, TANDEM_TOKENIZER_ERROR_MISSING_TOKEN,
               "the vocabulary of %u entries lacks [MASK]: a masked language model cannot be "
               "trained with it", self->vocab_size);
  return FALSE;
}

static gboolean
is_special (const TandemMasking *self, gint32 id)
{
  guint i;

  for (i = 0; i < self->n_special; i++)
    if (self->special_ids[i] == id)
      return TRUE;
  return FALSE;
}

/**
 * tandem_masking_apply: (skip)
 * @self: what to mask
 * @sequence: the id of the sequence; one that comes again in another epoch is masked
 *   differently when it has another id
 * @ids: (array length=n_tokens) (inout): the tokens of the sequence
 * @n_tokens: how many
 * @labels: (array length=n_tokens) (out caller-allocates): what each token was where it is to
 *   be predicted, -1 elsewhere
 *
 * Masks a sequence (Devlin et al. 2018, section 3.1, task 1): each token that is not special
 * is to be predicted with the probability of the rate; of these, 80 % become [MASK], 10 % any
 * entry of the vocabulary, and 10 % stay. The choice depends on the seed, on @sequence and on
 * the position alone, so that a step can be repeated, wherever it is computed and however
 * sequences are batched.
 *
 * Returns: how many tokens are to be predicted
 */
guint
tandem_masking_apply (const TandemMasking *self, guint64 sequence, gint32 *ids, guint n_tokens,
                      gint32 *labels)
{
  guint64 key = tandem_random_key (self->seed, sequence);
  guint i, n = 0;

  for (i = 0; i < n_tokens; i++) {
    guint64 draw = (guint64) i * DRAWS;
    double what;

    labels[i] = -1;
    if (is_special (self, ids[i]) || tandem_random_uniform (key, draw) >= self->rate)
      continue;
    labels[i] = ids[i];
    n++;
    what = tandem_random_uniform (key, draw + 1);
    if (what < 0.8)
      ids[i] = self->mask_id;
    else if (what < 0.9)
      ids[i] = ((tandem_random_bits (key, draw + 2) >> 32) * self->vocab_size) >> 32;
  }
  return n;
}
