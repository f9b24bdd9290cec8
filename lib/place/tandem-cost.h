/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

typedef struct _TandemBatchShape TandemBatchShape;
typedef struct _TandemCost TandemCost;

/**
 * TandemBatchShape:
 * @n_sequences: sequences
 * @n_tokens: their lengths, added up
 * @n_squares: the squares of their lengths, added up: what attention looks at
 *
 * The size of a micro-batch, as far as it decides what a micro-batch costs.
 */
struct _TandemBatchShape
{
  guint n_sequences;
  guint64 n_tokens;
  guint64 n_squares;
};

/**
 * TandemCost:
 * @fixed: seconds a micro-batch, whatever is in it
 * @per_sequence: seconds a sequence
 * @per_token: seconds a token
 * @per_square: seconds a pair of tokens of the same sequence
 *
 * How long a part of a model takes for a micro-batch on a device:
 * fixed + per_sequence n + per_token sum(l) + per_square sum(l^2), over the lengths l of its n
 * sequences. Linear layers are the third term, attention is the last one; the last layer
 * of a classifier computes most for the first token of each sequence alone, which is the second.
 */
struct _TandemCost
{
  double fixed;
  double per_sequence;
  double per_token;
  double per_square;
};

TANDEM_API
void tandem_batch_shape_init (TandemBatchShape *shape, guint n_sequences, guint length);

TANDEM_API
double tandem_cost_evaluate (const TandemCost *cost, const TandemBatchShape *shape);

G_END_DECLS
