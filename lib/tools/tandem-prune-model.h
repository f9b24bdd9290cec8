/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem.h"

G_BEGIN_DECLS

/* What of a model tandem prune takes away; more than one of the methods may be set. */
typedef struct
{
  gboolean magnitude;
  gboolean heads;
  gboolean neurons;
  gboolean layers;
  gboolean vocabulary;

  TandemPruneTargets targets;   /* of magnitude */
  TandemPruneScope scope;       /* of all but layers and vocabulary */
  guint8 *used;                 /* of vocabulary: what a corpus uses */
  gboolean half;
} PruneMethod;

/* A model that was pruned, and is not written yet. */
typedef struct
{
  TandemModel *model;           /* where it comes from; borrowed */
  char *config_text;            /* NULL: that of the model */
  TandemTokenizer *tokenizer;   /* NULL: that of the model */
  GHashTable *tensors;
  TandemMasks *masks;
  gboolean half;
} PrunedModel;

/* share: of magnitude the sparsity, otherwise what is to go of heads, neurons and layers. */
gboolean pruned_model_init (PrunedModel *self, TandemModel *model, const PruneMethod *method,
                            double share, GError **error);

void pruned_model_clear (PrunedModel *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PrunedModel, pruned_model_clear)

gboolean pruned_model_write (const PrunedModel *self, const char *folder, gboolean force,
                             GCancellable *cancellable, GError **error);

/* About as large as the file of its tensors will be. */
guint64 pruned_model_get_bytes (const PrunedModel *self);

/* Elements of all tensors, and those that are left of tensors with a mask. */
void pruned_model_count (const PrunedModel *self, guint64 *n_elements, guint64 *n_kept);

/* tandem-prune-target.c: the smallest share with which the file has no more than @n_bytes, or one
 * text of 256 tokens takes no more than @milliseconds; what is not asked for is 0. */
gboolean prune_find_share (TandemModel *model, const PruneMethod *method, guint64 n_bytes,
                           double milliseconds, double *share, GCancellable *cancellable,
                           GError **error);

/* tandem-prune-report.c: says what is in @output, which was made of @source. */
gboolean prune_report (TandemModel *source, const char *output, const char *method, double share,
                       gboolean as_json, GCancellable *cancellable, GError **error);

/* Milliseconds of one text of 256 tokens, or of as many as the model takes, on this device. */
gboolean prune_measure (TandemModel *model, double *milliseconds, GCancellable *cancellable,
                        GError **error);

G_END_DECLS
