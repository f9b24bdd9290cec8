/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "prune/tandem-prune.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_STRUCTURE (tandem_structure_get_type ())

/**
 * TandemStructure:
 *
 * Which layers, attention heads and feed-forward neurons of a model are kept. What is not kept goes
 * with its rows and columns, so that smaller dense matrices are left.
 */
typedef struct _TandemStructure TandemStructure;

TANDEM_API
GType tandem_structure_get_type (void);

TANDEM_API
TandemStructure *tandem_structure_new (TandemModel *model, GError **error);

TANDEM_API
TandemStructure *tandem_structure_copy (const TandemStructure *self);

TANDEM_API
void tandem_structure_free (TandemStructure *self);

TANDEM_API
gboolean tandem_structure_prune_heads (TandemStructure *self, double share, TandemPruneScope scope,
                                       GError **error);

TANDEM_API
gboolean tandem_structure_prune_neurons (TandemStructure *self, double share,
                                         TandemPruneScope scope, GError **error);

TANDEM_API
gboolean tandem_structure_prune_layers (TandemStructure *self, double share, GError **error);

TANDEM_API
void tandem_structure_count (const TandemStructure *self, guint *n_layers, guint *n_heads,
                             guint *n_neurons);

TANDEM_API
GHashTable *tandem_structure_apply (const TandemStructure *self, char **config_text,
                                    TandemMasks **masks, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemStructure, tandem_structure_free)

G_END_DECLS
