/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Parts of a BERT model in training, over one packed micro-batch. Each forward pass fills a
 * tape, which its backward pass uses up. Not a part of the public API. */
#pragma once

#include "train/tandem-train-arena.h"
#include "train/tandem-train-parameters.h"

G_BEGIN_DECLS

/* What all parts of a stage share. */
typedef struct
{
  guint hidden_size;
  guint embedding_size;         /* hidden_size but in an ALBERT */
  guint n_heads;
  guint intermediate_size;
  guint max_positions;
  gboolean has_projection;      /* an ALBERT */
  float eps;
  TandemNonlinearity activation;
  float hidden_dropout;
  float output_dropout;         /* of the feed-forward block */
  float attention_dropout;
  float classifier_dropout;
  guint64 seed;
} TandemTrainShape;

/* The sequences of a micro-batch. */
typedef struct
{
  guint n;
  const guint32 *offsets;       /* [n + 1] */
  const guint64 *ids;           /* [n] */
  guint n_rows;
} TandemTrainBatch;

/* Memory that grows as it is asked for; one thread's. Each function below may use the pieces
 * before the two of the stage. */
enum
{
  TANDEM_TRAIN_SCRATCH_D = 6,
  TANDEM_TRAIN_SCRATCH_D_NEXT,
  TANDEM_TRAIN_N_SCRATCH,
};

typedef struct
{
  float *data[TANDEM_TRAIN_N_SCRATCH];
  gsize size[TANDEM_TRAIN_N_SCRATCH];
} TandemTrainScratch;

float *tandem_train_scratch_get (TandemTrainScratch *scratch, guint which, gsize n);

void tandem_train_scratch_clear (TandemTrainScratch *scratch);

/* Places in the block of weights, and in that of gradients. */
typedef struct
{
  gsize qkv, qkv_bias;          /* [3 attention, hidden]: query, key, value */
  gsize attention_output, attention_output_bias;
  gsize attention_gamma, attention_beta;
  gsize intermediate, intermediate_bias;
  gsize output, output_bias;
  gsize output_gamma, output_beta;
  guint index;                  /* of the layer, for dropout */
  guint n_heads;
  guint attention_size;         /* of all its heads */
  guint intermediate_size;
} TandemTrainLayer;

/* The weights of a layer; in an ALBERT layers of one group share them. */
TandemTrainLayer tandem_train_layer_add (TandemParameters *parameters,
                                         const TandemTrainShape *shape,
                                         const TandemModelConfig *config, guint index);

/* What a layer keeps, in the arena of the micro-batch. rows: all rows, or with first_row_only
 * one a sequence. */
typedef struct
{
  gboolean first_row_only;
  float *query;                 /* first_row_only: [rows, attention] */
  float *qkv;                   /* [n_rows, 3 attention], or key and value alone [n_rows, 2 attention] */
  float *context;               /* [rows, attention] */
  float *first;                 /* what the layer got for its rows, [rows, hidden], as are the next two;
                                 * NULL: its input */
  float *attention_normalised;
  float *attended;              /* after attention and its layer norm */
  float *wide;                  /* [rows, intermediate], before the activation */
  float *output_normalised;     /* [rows, hidden] */
  float *attention_inverse, *output_inverse;    /* [rows] */
} TandemTrainLayerTape;

/* x: [n_rows, hidden], to be kept until the backward pass; out: [rows, hidden]. */
gboolean tandem_train_layer_forward (const TandemTrainLayer *self, const TandemTrainShape *shape,
                                     const float *weights, const TandemTrainBatch *batch,
                                     const float *x, gboolean first_row_only,
                                     TandemTrainArena *arena, TandemTrainLayerTape *tape,
                                     float *out, TandemTrainScratch *scratch, GError **error);

/* d_out: [rows, hidden], is spoiled; d_x: [n_rows, hidden]. Adds to gradients. */
gboolean tandem_train_layer_backward (const TandemTrainLayer *self, const TandemTrainShape *shape,
                                      const float *weights, const TandemTrainBatch *batch,
                                      const float *x, const TandemTrainLayerTape *tape,
                                      float *d_out, float *d_x, float *gradients,
                                      TandemTrainScratch *scratch, GError **error);

typedef struct
{
  gsize positions;              /* [max positions, embedding size] */
  gsize types;                  /* [n types, embedding size] */
  gsize gamma, beta;
  gsize projection, projection_bias;    /* ALBERT: [hidden, embedding size] */
} TandemTrainEmbeddings;

TandemTrainEmbeddings tandem_train_embeddings_add (TandemParameters *parameters,
                                                   const TandemTrainShape *shape, guint n_types,
                                                   guint n_words);

typedef struct
{
  gint32 *ids;                  /* [n_rows] */
  float *normalised;            /* [n_rows, embedding size] */
  float *inverse;               /* [n_rows] */
  float *dropped;               /* [n_rows, embedding size], what the projection got; or NULL */
} TandemTrainEmbeddingsTape;

gboolean tandem_train_embeddings_forward (const TandemTrainEmbeddings *self,
                                          const TandemTrainShape *shape, const float *weights,
                                          const float *words, const TandemTrainBatch *batch,
                                          const gint32 *ids, TandemTrainArena *arena,
                                          TandemTrainEmbeddingsTape *tape, float *out,
                                          GError **error);

/* d_out is spoiled. */
gboolean tandem_train_embeddings_backward (const TandemTrainEmbeddings *self,
                                           const TandemTrainShape *shape, const float *weights,
                                           const TandemTrainBatch *batch,
                                           const TandemTrainEmbeddingsTape *tape, float *d_out,
                                           TandemParameters *parameters,
                                           TandemTrainScratch *scratch, GError **error);

/* Pooler and classifier (Devlin et al. 2018, section 4.1) over one row a sequence. */
typedef struct
{
  gsize pooler, pooler_bias;
  gsize classifier, classifier_bias;
  guint n_classes;
} TandemTrainHead;

TandemTrainHead tandem_train_head_add (TandemParameters *parameters, const TandemTrainShape *shape,
                                       guint n_classes);

typedef struct
{
  float *pooled;                /* [n, hidden], before tanh */
  float *dropped;               /* [n, hidden], what the classifier got */
} TandemTrainHeadTape;

gboolean tandem_train_head_forward (const TandemTrainHead *self, const TandemTrainShape *shape,
                                    const float *weights, const TandemTrainBatch *batch,
                                    const float *x, TandemTrainArena *arena,
                                    TandemTrainHeadTape *tape, float *logits, GError **error);

gboolean tandem_train_head_backward (const TandemTrainHead *self, const TandemTrainShape *shape,
                                     const float *weights, const TandemTrainBatch *batch,
                                     const float *x, const TandemTrainHeadTape *tape,
                                     const float *d_logits, float *d_x, float *gradients,
                                     TandemTrainScratch *scratch, GError **error);

/* Which dropout of the model; see TandemDropout. */
enum
{
  TANDEM_TRAIN_SITE_EMBEDDINGS = 0,
  TANDEM_TRAIN_SITE_CLASSIFIER = 1,
  TANDEM_TRAIN_SITE_LAYERS = 16,
  TANDEM_TRAIN_SITE_ATTENTION = 0,
  TANDEM_TRAIN_SITE_ATTENTION_OUTPUT = 1,
  TANDEM_TRAIN_SITE_OUTPUT = 2,
  TANDEM_TRAIN_SITES_PER_LAYER = 4,
};

/* Drops elements of rows, one block of rows a sequence, all of its rows or the first. */
void tandem_train_drop (const TandemTrainShape *shape, const TandemTrainBatch *batch,
                        guint32 site, float rate, guint width, gboolean first_row_only, float *x);

G_END_DECLS
