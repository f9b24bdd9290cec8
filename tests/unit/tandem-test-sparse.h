/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Models with pruned weights for tests, and what comes out of them. */
#pragma once

#include "tandem-test-model.h"

G_BEGIN_DECLS

/* All of a model's tensors, with the smallest @sparsity of linear weights and embeddings zero; the
 * masks that say so in *@masks. */
GHashTable *tandem_test_prune (TandemModel *model, double sparsity, TandemMasks **masks);

/* Writes the model @source with these tensors to a folder beside it and opens it; masks: NULL for
 * dense tensors. */
TandemModel *tandem_test_export (TandemModel *source, const char *config_text,
                                 GHashTable *tensors, TandemMasks *masks, const char *folder);

/* Logits [3, classes] of three sequences through a stage for each pair of layers: paths[i] is the model
 * of first[i] to last[i]. Or NULL for the whole of @model in one stage. */
float *tandem_test_run (TandemModel *model, guint n_stages, TandemModel **stages);

/* Cuts the model at each boundary and through all layers, and compares with the whole, to the bit. */
void tandem_test_assert_splits (TandemModel *model, const char *folder);

G_END_DECLS
