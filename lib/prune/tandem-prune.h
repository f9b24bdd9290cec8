/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "model/tandem-masks.h"

G_BEGIN_DECLS

#define TANDEM_PRUNE_ERROR (tandem_prune_error_quark ())

/**
 * TandemPruneError:
 * @TANDEM_PRUNE_ERROR_MODEL: the model has nothing that could be pruned that way
 * @TANDEM_PRUNE_ERROR_AMOUNT: more would have to go than there is, or than may go
 * @TANDEM_PRUNE_ERROR_VOCABULARY: the vocabulary cannot be made smaller
 *
 * Why a model cannot be pruned.
 */
typedef enum
{
  TANDEM_PRUNE_ERROR_MODEL,
  TANDEM_PRUNE_ERROR_AMOUNT,
  TANDEM_PRUNE_ERROR_VOCABULARY,
} TandemPruneError;

TANDEM_API
GQuark tandem_prune_error_quark (void);

/**
 * TandemPruneTargets:
 * @TANDEM_PRUNE_LINEAR: the matrices of the linear layers of encoder, pooler and, in an ALBERT, the
 *   projection of the embeddings; not the classifier, which is small
 * @TANDEM_PRUNE_EMBEDDINGS: the word embeddings
 *
 * Which tensors lose elements.
 */
typedef enum /*< flags >*/
{
  TANDEM_PRUNE_LINEAR = 1 << 0,
  TANDEM_PRUNE_EMBEDDINGS = 1 << 1,
} TandemPruneTargets;

/**
 * TandemPruneScope:
 * @TANDEM_PRUNE_SCOPE_TENSOR: the same share of each tensor
 * @TANDEM_PRUNE_SCOPE_GLOBAL: what is smallest in all of them together
 *
 * What magnitudes are compared with.
 */
typedef enum
{
  TANDEM_PRUNE_SCOPE_TENSOR,
  TANDEM_PRUNE_SCOPE_GLOBAL,
} TandemPruneScope;

TANDEM_API
TandemMasks *tandem_prune_magnitude (GHashTable *tensors, TandemPruneTargets targets,
                                     TandemPruneScope scope, double sparsity, GError **error);

TANDEM_API
gboolean tandem_prune_vocabulary (TandemModel *model, const guint8 *used,
                                  TandemTokenizer **tokenizer, char **config_text,
                                  GHashTable **tensors, TandemMasks **masks, GError **error);

TANDEM_API
double tandem_prune_schedule (double initial, double final, double progress);

TANDEM_API
GHashTable *tandem_prune_get_tensors (TandemModel *model, GError **error);

TANDEM_API
guint64 tandem_prune_get_bytes (GHashTable *tensors, TandemMasks *masks, guint element_size);

G_END_DECLS
