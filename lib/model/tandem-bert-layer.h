/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The parts of a stage of a BERT (Devlin et al. 2018) or an ALBERT (Lan et al. 2020):
 * embeddings, encoder layer and classifier, over a group of packed sequences. Not a part
 * of the public API. */
#pragma once

#include "model/tandem-model.h"
#include "nn/tandem-kernels.h"
#include "nn/tandem-linear.h"

G_BEGIN_DECLS

/* Rows that go through the feed-forward block at once: the wide intermediate
 * rows then stay in the cache. */
#define TANDEM_FEED_FORWARD_ROWS 128

/* Sequences that go through a stage together. Offsets count rows from that of
 * the group's first sequence. */
typedef struct
{
  guint n_sequences;
  const guint32 *offsets;       /* n_sequences + 1 */
  guint n_rows;
} TandemGroup;

/* The memory of one thread: rows for the largest group. */
typedef struct
{
  TandemLinearWorkspace *linear;
  float *hidden;                /* [rows, hidden], or NULL */
  float *projected;             /* [rows, 3 hidden], or narrow embeddings of the rows */
  float *context;               /* [rows, hidden] */
  float *intermediate;          /* [TANDEM_FEED_FORWARD_ROWS, intermediate], in projected
                                 * behind as many rows of hidden */
  float *scratch;               /* of the attention kernels */
  float *expanded;              /* rows of sparse word embeddings */
} TandemBertWorkspace;

/* hidden: whether rows between layers are kept here, too. */
TandemBertWorkspace *tandem_bert_workspace_new (const TandemModelConfig *config, guint n_rows,
                                                gboolean hidden, GError **error);

void tandem_bert_workspace_free (TandemBertWorkspace *ws);

/* The weight and bias of layer normalisation. */
typedef struct
{
  float *gamma;
  float *beta;
} TandemNorm;

typedef struct _TandemBertEmbeddings TandemBertEmbeddings;

TandemBertEmbeddings *tandem_bert_embeddings_new (TandemModel *model,
                                                  TandemLinearPrecision precision,
                                                  GError **error);

void tandem_bert_embeddings_free (TandemBertEmbeddings *self);

void tandem_bert_embeddings_list_sparse (const TandemBertEmbeddings *self, GPtrArray *names);

/* ids: [group rows], each below the vocabulary's size; out: [group rows, hidden]. */
gboolean tandem_bert_embeddings_forward (const TandemBertEmbeddings *self,
                                         const TandemGroup *group, const gint32 *ids, float *out,
                                         TandemBertWorkspace *ws, GError **error);

typedef struct _TandemBertLayer TandemBertLayer;

/* first_row_only: the layer is the last before the pooler, which looks at
 * nothing but the first row of each sequence.
 * previous: the layer before it in the same stage, or NULL. When the model shares weights
 * between them, so do the layers: what comes back may be previous itself. */
TandemBertLayer *tandem_bert_layer_new (TandemModel *model, guint index, gboolean first_row_only,
                                        TandemLinearPrecision precision,
                                        TandemBertLayer *previous, GError **error);

void tandem_bert_layer_unref (TandemBertLayer *self);

/* Whether any linear layer in it runs in int8. */
gboolean tandem_bert_layer_is_int8 (const TandemBertLayer *self);

/* Adds the canonical names of the weights whose zeros it leaves out; @index: which layer of the model
 * it is. */
void tandem_bert_layer_list_sparse (const TandemBertLayer *self, const TandemModelConfig *config,
                                    guint index, GPtrArray *names);

/* x: [group rows, hidden]; out: the same, or [sequences, hidden] for a layer
 * with first_row_only. out may be x. */
gboolean tandem_bert_layer_forward (const TandemBertLayer *self, const TandemGroup *group,
                                    const float *x, float *out, TandemBertWorkspace *ws,
                                    GError **error);

typedef struct _TandemBertHead TandemBertHead;

TandemBertHead *tandem_bert_head_new (TandemModel *model, TandemLinearPrecision precision,
                                      GError **error);

void tandem_bert_head_free (TandemBertHead *self);

void tandem_bert_head_list_sparse (const TandemBertHead *self, GPtrArray *names);

/* x: [n, hidden], the first rows of n sequences; logits: [n, classes]. */
gboolean tandem_bert_head_forward (const TandemBertHead *self, const float *x, guint n,
                                   float *logits, TandemBertWorkspace *ws, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemBertWorkspace, tandem_bert_workspace_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemBertEmbeddings, tandem_bert_embeddings_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemBertLayer, tandem_bert_layer_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemBertHead, tandem_bert_head_free)

G_END_DECLS
