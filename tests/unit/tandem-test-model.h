/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem.h"

G_BEGIN_DECLS

/* A small random BERT or ALBERT model for tests. Its weights are multiples of a power of two
 * with eight significant bits, so that the same seed gives exactly the same values
 * in F32, F16 and BF16. */
typedef struct
{
  guint n_layers;
  guint hidden_size;
  guint n_heads;
  guint intermediate_size;
  guint vocab_size;             /* at least 5, for the special tokens */
  guint max_positions;
  guint n_types;
  const char *activation;       /* hidden_act */
  const char *const *labels;    /* NULL: two, "negative" and "positive" */
  TandemDtype dtype;            /* F32, F16 or BF16 */
  gboolean albert;
  guint embedding_size;         /* of an ALBERT, as is the next */
  guint n_groups;
  gboolean plain_names;         /* without the prefix "bert." or "albert." */
  gboolean old_names;           /* LayerNorm.gamma and .beta */
  gboolean no_classifier;       /* no id2label either */
  gboolean no_pooler;
  gboolean no_vocabulary;
  guint n_shards;               /* 0 and 1: one file */
  guint32 seed;
  const char *extra_config;     /* more members of config.json, each ending in ", " */
} TandemTestModel;

#define TANDEM_TEST_MODEL_INIT \
  { .n_layers = 2, .hidden_size = 16, .n_heads = 2, .intermediate_size = 32, .vocab_size = 100, \
    .max_positions = 32, .n_types = 2, .activation = "gelu", .dtype = TANDEM_DTYPE_F32, \
    .seed = 1 }

/* Writes the model's folder, which may be there already. Failures abort the test. */
void tandem_test_model_write (const TandemTestModel *model, const char *folder);

/* Returns a new temporary folder; tandem_test_remove_folder() removes it with all
 * that is in it, and frees the name. */
char *tandem_test_make_folder (void);
void tandem_test_remove_folder (char *folder);

G_END_DECLS
