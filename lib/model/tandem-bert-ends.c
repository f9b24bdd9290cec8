/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a model has once: embeddings at its start, the classifier at its end,
 * and the memory that a stage works in. */

#include "config.h"

#include <string.h>

#include "model/tandem-bert-layer.h"
#include "model/tandem-bert-weights.h"
#include "model/tandem-model-private.h"

struct _TandemBertEmbeddings
{
  const TandemKernels *kernels;
  guint width;
  float eps;
  TandemTensor *words;          /* stays in the file: only rows in use are read */
  TandemRowsDtype dtype;
  float *scales;                /* of int8 words, one for each, or NULL */
  float *copy;                  /* of words whose file is not aligned, or NULL */
  float *positions;             /* with the embedding of token type 0 added */
  TandemNorm norm;
  TandemLinear *projection;     /* from width to the layers' in an ALBERT, or NULL */
};

static gboolean
open_words (TandemBertEmbeddings *self, TandemModel *model, GError **error)
{
  const char *name = "embeddings.word_embeddings.weight";
  gsize alignment;

  self->words = tandem_model_get_tensor (model, name, error);
  if (self->words == NULL)
    return FALSE;
  switch (tandem_tensor_get_dtype (self->words)) {
    case TANDEM_DTYPE_F32:
      self->dtype = TANDEM_ROWS_F32;
      break;
    case TANDEM_DTYPE_F16:
      self->dtype = TANDEM_ROWS_F16;
      break;
    case TANDEM_DTYPE_BF16:
      self->dtype = TANDEM_ROWS_BF16;
      break;
    case TANDEM_DTYPE_I8:
      self->scales = tandem_model_load_scales (model, name, error);
      return self->scales != NULL;
    default:
      g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                   "%s: the tensor %s is of type %s; weights are F32, F16, BF16 or I8",
                   tandem_model_get_path (model), name,
                   tandem_dtype_to_string (tandem_tensor_get_dtype (self->words)));
      return FALSE;
  }
  alignment = tandem_dtype_get_size (tandem_tensor_get_dtype (self->words));
  if ((gsize) tandem_tensor_get_data (self->words, NULL) % alignment != 0) {
    self->copy = tandem_bert_load (model, name, error);
    self->dtype = TANDEM_ROWS_F32;
    return self->copy != NULL;
  }
  return TRUE;
}

TandemBertEmbeddings *
tandem_bert_embeddings_new (TandemModel *model, TandemLinearPrecision precision, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  const char *projection[] = { "embeddings.projection" };
  g_autoptr (TandemBertEmbeddings) self = g_new0 (TandemBertEmbeddings, 1);
  g_autoptr (TandemFloats) types = NULL;
  guint r, i;

  self->kernels = tandem_kernels_get ();
  self->width = config->embedding_size;
  self->eps = (float) config->layer_norm_eps;
  if (!open_words (self, model, error) ||
      !(types = tandem_bert_load (model, "embeddings.token_type_embeddings.weight", error)) ||
      !(self->positions = tandem_bert_load (model, "embeddings.position_embeddings.weight",
                                            error)) ||
      !tandem_bert_load_norm (model, "embeddings.LayerNorm", &self->norm, error))
    return NULL;
  for (r = 0; r < config->max_positions; r++)
    for (i = 0; i < self->width; i++)
      self->positions[(gsize) r * self->width + i] += types[i];
  if (config->type == TANDEM_MODEL_ALBERT) {
    self->projection = tandem_bert_load_linear (model, projection, 1, self->width,
                                                config->hidden_size, precision, error);
    if (self->projection == NULL)
      return NULL;
  }
  return g_steal_pointer (&self);
}

void
tandem_bert_embeddings_free (TandemBertEmbeddings *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->words, tandem_tensor_unref);
  tandem_memory_free (self->scales);
  tandem_memory_free (self->copy);
  tandem_memory_free (self->positions);
  tandem_bert_norm_clear (&self->norm);
  tandem_linear_free (self->projection);
  g_free (self);
}

gboolean
tandem_bert_embeddings_forward (const TandemBertEmbeddings *self, const TandemGroup *group,
                                const gint32 *ids, float *out, TandemBertWorkspace *ws,
                                GError **error)
{
  gconstpointer words =
      self->copy != NULL ? self->copy : tandem_tensor_get_data (self->words, NULL);
  float *rows = self->projection != NULL ? ws->projected : out;
  guint i;

  for (i = 0; i < group->n_sequences; i++) {
    guint first = group->offsets[i], n = group->offsets[i + 1] - first;
    float *to = rows + (gsize) first * self->width;

    if (self->scales != NULL)
      self->kernels->embed_int8 (ids + first, n, self->width, words, self->scales, self->positions,
                                 self->norm.gamma, self->norm.beta, self->eps, to);
    else
      self->kernels->embed (ids + first, n, self->width, words, self->dtype, self->positions,
                            self->norm.gamma, self->norm.beta, self->eps, to);
  }
  return self->projection == NULL ||
      tandem_linear_forward (self->projection, rows, group->n_rows, out, ws->linear, error);
}

struct _TandemBertHead
{
  const TandemKernels *kernels;
  guint hidden_size;
  TandemLinear *pooler;
  TandemLinear *classifier;
};

TandemBertHead *
tandem_bert_head_new (TandemModel *model, TandemLinearPrecision precision, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  const char *pooler[] = { "pooler.dense" };
  const char *classifier[] = { "classifier" };
  g_autoptr (TandemBertHead) self = g_new0 (TandemBertHead, 1);

  self->kernels = tandem_kernels_get ();
  self->hidden_size = config->hidden_size;
  self->pooler = tandem_bert_load_linear (model, pooler, 1, config->hidden_size,
                                          config->hidden_size, precision, error);
  if (self->pooler == NULL)
    return NULL;
  self->classifier = tandem_bert_load_linear (model, classifier, 1, config->hidden_size,
                                              config->n_classes, precision, error);
  if (self->classifier == NULL)
    return NULL;
  return g_steal_pointer (&self);
}

void
tandem_bert_head_free (TandemBertHead *self)
{
  if (self == NULL)
    return;
  tandem_linear_free (self->pooler);
  tandem_linear_free (self->classifier);
  g_free (self);
}

gboolean
tandem_bert_head_forward (const TandemBertHead *self, const float *x, guint n, float *logits,
                          TandemBertWorkspace *ws, GError **error)
{
  if (!tandem_linear_forward (self->pooler, x, n, ws->projected, ws->linear, error))
    return FALSE;
  self->kernels->tanh (ws->projected, (gsize) n * self->hidden_size);
  return tandem_linear_forward (self->classifier, ws->projected, n, logits, ws->linear, error);
}

static float *
new_rows (gsize n_rows, gsize width)
{
  return tandem_memory_new (n_rows, width * sizeof (float));
}

TandemBertWorkspace *
tandem_bert_workspace_new (const TandemModelConfig *config, guint n_rows, gboolean hidden,
                           GError **error)
{
  g_autoptr (TandemBertWorkspace) ws = g_new0 (TandemBertWorkspace, 1);
  gsize attention = 3 * (gsize) config->hidden_size;
  gsize feed_forward = TANDEM_FEED_FORWARD_ROWS *
                       ((gsize) config->hidden_size + config->intermediate_size);
  gsize scratch = MAX (tandem_attention_scratch (config->max_positions,
                                                 config->hidden_size / config->n_heads),
                       tandem_first_row_attention_scratch (config->max_positions,
                                                           config->hidden_size,
                                                           config->n_heads));

  ws->linear = tandem_linear_workspace_new (error);
  if (ws->linear == NULL)
    return NULL;
  if (hidden)
    ws->hidden = new_rows (n_rows, config->hidden_size);
  /* What attention projected is used up when the feed-forward block begins. */
  ws->projected = new_rows (1, MAX (n_rows * MAX (attention, config->embedding_size),
                                    feed_forward));
  ws->intermediate = ws->projected + TANDEM_FEED_FORWARD_ROWS * (gsize) config->hidden_size;
  ws->context = new_rows (n_rows, config->hidden_size);
  ws->scratch = new_rows (1, scratch);
  return g_steal_pointer (&ws);
}

void
tandem_bert_workspace_free (TandemBertWorkspace *ws)
{
  if (ws == NULL)
    return;
  tandem_linear_workspace_free (ws->linear);
  tandem_memory_free (ws->hidden);
  tandem_memory_free (ws->projected);
  tandem_memory_free (ws->context);
  tandem_memory_free (ws->scratch);
  g_free (ws);
}
