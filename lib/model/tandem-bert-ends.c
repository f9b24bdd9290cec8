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
  TandemSparseTensor *sparse;   /* in place of words: rows are expanded where they are used */
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
  TandemDtype dtype;

  self->sparse = tandem_model_get_sparse_tensor (model, name);
  if (self->sparse == NULL) {
    self->words = tandem_model_get_tensor (model, name, error);
    if (self->words == NULL)
      return FALSE;
  }
  dtype = self->sparse != NULL ? tandem_sparse_tensor_get_dtype (self->sparse)
                               : tandem_tensor_get_dtype (self->words);
  switch (dtype) {
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
                   tandem_model_get_path (model), name, tandem_dtype_to_string (dtype));
      return FALSE;
  }
  if (self->words != NULL &&
      (gsize) tandem_tensor_get_data (self->words, NULL) % tandem_dtype_get_size (dtype) != 0) {
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
  g_clear_pointer (&self->sparse, tandem_sparse_tensor_unref);
  tandem_memory_free (self->copy);
  tandem_memory_free (self->positions);
  tandem_bert_norm_clear (&self->norm);
  tandem_linear_free (self->projection);
  g_free (self);
}

void
tandem_bert_embeddings_list_sparse (const TandemBertEmbeddings *self, GPtrArray *names)
{
  if (self->projection != NULL && tandem_linear_is_sparse (self->projection))
    g_ptr_array_add (names, g_strdup ("embeddings.projection.weight"));
}

/* Rows of sparse words that are expanded at once. */
#define EXPANDED_ROWS 32

/* As the kernel does with dense words, over as many rows as are expanded. Where the values of all
 * rows begin is found first, so that memory is on its way when they are read. */
static void
embed_sparse (const TandemBertEmbeddings *self, const gint32 *ids, guint n, float *out,
              TandemBertWorkspace *ws)
{
  const guint8 *mask = tandem_tensor_get_data (tandem_sparse_tensor_get_mask (self->sparse), NULL);
  const guint8 *values =
      tandem_tensor_get_data (tandem_sparse_tensor_get_values (self->sparse), NULL);
  gsize size = tandem_dtype_get_size (tandem_sparse_tensor_get_dtype (self->sparse));
  float scales[EXPANDED_ROWS];
  const guint8 *starts[EXPANDED_ROWS];
  gint32 order[EXPANDED_ROWS];
  guint first, i;

  for (first = 0; first < n; first += EXPANDED_ROWS) {
    guint rows = MIN (n - first, EXPANDED_ROWS);
    gsize offset = (gsize) first * self->width;

    for (i = 0; i < rows; i++) {
      guint64 element = (guint64) ids[first + i] * self->width;

      order[i] = i;
      scales[i] = self->scales != NULL ? self->scales[ids[first + i]] : 1.0f;
      starts[i] = values + size * tandem_sparse_tensor_count_before (self->sparse, element);
      __builtin_prefetch (starts[i]);
      __builtin_prefetch (mask + element / 8);
    }
    for (i = 0; i < rows; i++) {
      guint64 element = (guint64) ids[first + i] * self->width;
      guint8 *to = (guint8 *) ws->expanded + i * self->width * size;

      /* Rows begin with a byte of the mask where their width is a multiple of 8. */
      if (self->width % 8 == 0 && size > 1)
        self->kernels->expand (mask + element / 8, self->width, starts[i], size, to);
      else
        tandem_sparse_tensor_expand (self->sparse, element, self->width, to);
    }
    if (self->scales != NULL)
      self->kernels->embed_int8 (order, rows, self->width, (gpointer) ws->expanded, scales,
                                 self->positions + offset, self->norm.gamma, self->norm.beta,
                                 self->eps, out + offset);
    else
      self->kernels->embed (order, rows, self->width, ws->expanded, self->dtype,
                            self->positions + offset, self->norm.gamma, self->norm.beta, self->eps,
                            out + offset);
  }
}

gboolean
tandem_bert_embeddings_forward (const TandemBertEmbeddings *self, const TandemGroup *group,
                                const gint32 *ids, float *out, TandemBertWorkspace *ws,
                                GError **error)
{
  gconstpointer words = self->sparse != NULL ? NULL
      : self->copy != NULL ? self->copy : tandem_tensor_get_data (self->words, NULL);
  float *rows = self->projection != NULL ? ws->projected : out;
  guint i;

  for (i = 0; i < group->n_sequences; i++) {
    guint first = group->offsets[i], n = group->offsets[i + 1] - first;
    float *to = rows + (gsize) first * self->width;

    if (self->sparse != NULL)
      embed_sparse (self, ids + first, n, to, ws);
    else if (self->scales != NULL)
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

void
tandem_bert_head_list_sparse (const TandemBertHead *self, GPtrArray *names)
{
  if (tandem_linear_is_sparse (self->pooler))
    g_ptr_array_add (names, g_strdup ("pooler.dense.weight"));
  if (tandem_linear_is_sparse (self->classifier))
    g_ptr_array_add (names, g_strdup ("classifier.weight"));
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
  ws->expanded = new_rows (EXPANDED_ROWS, config->embedding_size);
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
  tandem_memory_free (ws->expanded);
  g_free (ws);
}
