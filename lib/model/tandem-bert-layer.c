/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "model/tandem-bert-layer.h"

#include <string.h>

#include "model/tandem-bert-weights.h"
#include "model/tandem-model-private.h"

struct _TandemBertLayer
{
  guint group;                  /* which weights of the model these are */
  TandemBertLayer *lender;      /* owns what follows attention; NULL: this one */
  const TandemKernels *kernels;
  guint hidden_size;
  guint n_heads;
  guint head_size;
  guint intermediate_size;
  float eps;
  void (*activation) (float *x, gsize n);
  gboolean first_row_only;

  /* Query, key and value of every row in one product; for the first row alone,
   * the query, with key and value as stored. */
  TandemLinear *qkv;
  TandemLinear *query;
  float *key;
  float *value;
  float *value_bias;

  TandemLinear *attention_output;
  TandemNorm attention_norm;
  TandemLinear *intermediate;
  TandemLinear *output;
  TandemNorm output_norm;
};

static char *
layer_name (TandemModel *model, guint index, const char *part)
{
  return tandem_model_config_get_layer_name (tandem_model_get_config (model), index, part);
}

static TandemLinear *
load_linear (TandemModel *model, guint index, const char *part, guint n_in, guint n_out,
             TandemLinearPrecision precision, GError **error)
{
  g_autofree char *name = layer_name (model, index, part);
  const char *names[] = { name };

  return tandem_bert_load_linear (model, names, 1, n_in, n_out, precision, error);
}

static float *
load_plain (TandemModel *model, guint index, const char *part, GError **error)
{
  g_autofree char *name = layer_name (model, index, part);

  return tandem_bert_load (model, name, error);
}

static gboolean
load_norm (TandemModel *model, guint index, const char *part, TandemNorm *norm, GError **error)
{
  g_autofree char *name = layer_name (model, index, part);

  return tandem_bert_load_norm (model, name, norm, error);
}

static gboolean
load_attention (TandemBertLayer *self, TandemModel *model, guint index,
                TandemLinearPrecision precision, GError **error)
{
  g_autofree char *query = layer_name (model, index, "attention.self.query");
  g_autofree char *key = layer_name (model, index, "attention.self.key");
  g_autofree char *value = layer_name (model, index, "attention.self.value");
  const char *names[] = { query, key, value };
  guint hidden = self->hidden_size, wide = self->n_heads * self->head_size;

  if (!self->first_row_only) {
    self->qkv = tandem_bert_load_linear (model, names, 3, hidden, wide, precision, error);
    return self->qkv != NULL;
  }
  return (self->query = tandem_bert_load_linear (model, names, 1, hidden, wide, precision,
                                                 error)) != NULL &&
      (self->key = load_plain (model, index, "attention.self.key.weight", error)) != NULL &&
      (self->value = load_plain (model, index, "attention.self.value.weight", error)) != NULL &&
      (self->value_bias = load_plain (model, index, "attention.self.value.bias", error)) != NULL;
}

/* Takes what follows attention from a layer with the same weights. */
static void
borrow_rest (TandemBertLayer *self, TandemBertLayer *lender)
{
  self->lender = g_rc_box_acquire (lender);
  self->attention_output = lender->attention_output;
  self->attention_norm = lender->attention_norm;
  self->intermediate = lender->intermediate;
  self->output = lender->output;
  self->output_norm = lender->output_norm;
}

static gboolean
load_rest (TandemBertLayer *self, TandemModel *model, guint index,
           TandemLinearPrecision precision, GError **error)
{
  guint hidden = self->hidden_size, wide = self->intermediate_size;

  return (self->attention_output = load_linear (model, index, "attention.output.dense",
                                                self->n_heads * self->head_size, hidden,
                                                precision, error)) != NULL &&
      load_norm (model, index, "attention.output.LayerNorm", &self->attention_norm, error) &&
      (self->intermediate = load_linear (model, index, "intermediate.dense", hidden, wide,
                                         precision, error)) != NULL &&
      (self->output = load_linear (model, index, "output.dense", wide, hidden, precision,
                                   error)) != NULL &&
      load_norm (model, index, "output.LayerNorm", &self->output_norm, error);
}

TandemBertLayer *
tandem_bert_layer_new (TandemModel *model, guint index, gboolean first_row_only,
                       TandemLinearPrecision precision, TandemBertLayer *previous,
                       GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  guint group = tandem_model_config_get_group (config, index);
  g_autoptr (TandemBertLayer) self = NULL;

  if (previous != NULL && previous->group != group)
    previous = NULL;
  if (previous != NULL && previous->first_row_only == first_row_only)
    return g_rc_box_acquire (previous);

  self = g_rc_box_new0 (TandemBertLayer);
  self->group = group;
  self->kernels = tandem_kernels_get ();
  self->hidden_size = config->hidden_size;
  self->n_heads = tandem_model_config_get_heads (config, index);
  self->head_size = config->hidden_size / config->n_heads;
  self->intermediate_size = tandem_model_config_get_intermediate (config, index);
  self->eps = (float) config->layer_norm_eps;
  self->first_row_only = first_row_only;
  switch (config->activation) {
    case TANDEM_ACTIVATION_GELU:
      self->activation = self->kernels->gelu_erf;
      break;
    case TANDEM_ACTIVATION_GELU_TANH:
      self->activation = self->kernels->gelu_tanh;
      break;
    case TANDEM_ACTIVATION_RELU:
      self->activation = self->kernels->relu;
      break;
  }

  if (!load_attention (self, model, index, precision, error))
    return NULL;
  if (previous != NULL)
    borrow_rest (self, previous);
  else if (!load_rest (self, model, index, precision, error))
    return NULL;
  return g_steal_pointer (&self);
}

static void
clear (gpointer data)
{
  TandemBertLayer *self = data;

  tandem_linear_free (self->qkv);
  tandem_linear_free (self->query);
  tandem_memory_free (self->key);
  tandem_memory_free (self->value);
  tandem_memory_free (self->value_bias);
  if (self->lender != NULL) {
    tandem_bert_layer_unref (self->lender);
    return;
  }
  tandem_linear_free (self->attention_output);
  tandem_bert_norm_clear (&self->attention_norm);
  tandem_linear_free (self->intermediate);
  tandem_linear_free (self->output);
  tandem_bert_norm_clear (&self->output_norm);
}

void
tandem_bert_layer_unref (TandemBertLayer *self)
{
  g_rc_box_release_full (self, clear);
}

gboolean
tandem_bert_layer_is_int8 (const TandemBertLayer *self)
{
  return tandem_linear_is_int8 (self->qkv != NULL ? self->qkv : self->query) ||
      tandem_linear_is_int8 (self->attention_output) ||
      tandem_linear_is_int8 (self->intermediate) || tandem_linear_is_int8 (self->output);
}

void
tandem_bert_layer_list_sparse (const TandemBertLayer *self, const TandemModelConfig *config,
                               guint index, GPtrArray *names)
{
  const struct
  {
    const TandemLinear *linear;
    const char *part;
  } parts[] = {
    { self->qkv != NULL ? self->qkv : self->query, "attention.self.query.weight" },
    { self->qkv, "attention.self.key.weight" },
    { self->qkv, "attention.self.value.weight" },
    { self->attention_output, "attention.output.dense.weight" },
    { self->intermediate, "intermediate.dense.weight" },
    { self->output, "output.dense.weight" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (parts); i++)
    if (parts[i].linear != NULL && tandem_linear_is_sparse (parts[i].linear))
      g_ptr_array_add (names, tandem_model_config_get_layer_name (config, index, parts[i].part));
}

/* context: what attention gave for n rows, [n, all heads]; x: their inputs; out: [n, hidden]. */
static gboolean
finish_rows (const TandemBertLayer *self, float *context, const float *x, guint n, float *out,
             TandemBertWorkspace *ws, GError **error)
{
  guint hidden = self->hidden_size, row;

  if (!tandem_linear_forward (self->attention_output, context, n, ws->projected, ws->linear,
                              error))
    return FALSE;
  self->kernels->add_layer_norm (ws->projected, x, n, hidden, self->attention_norm.gamma,
                                 self->attention_norm.beta, self->eps, context);

  for (row = 0; row < n; row += TANDEM_FEED_FORWARD_ROWS) {
    guint rows = MIN (n - row, TANDEM_FEED_FORWARD_ROWS);
    gsize first = (gsize) row * hidden;

    if (!tandem_linear_forward (self->intermediate, context + first, rows, ws->intermediate,
                                ws->linear, error))
      return FALSE;
    self->activation (ws->intermediate, (gsize) rows * self->intermediate_size);
    if (!tandem_linear_forward (self->output, ws->intermediate, rows, ws->projected, ws->linear,
                                error))
      return FALSE;
    self->kernels->add_layer_norm (ws->projected, context + first, rows, hidden,
                                   self->output_norm.gamma, self->output_norm.beta, self->eps,
                                   out + first);
  }
  return TRUE;
}

static gboolean
forward_first_rows (const TandemBertLayer *self, const TandemGroup *group, const float *x,
                    float *out, TandemBertWorkspace *ws, GError **error)
{
  guint hidden = self->hidden_size, wide = self->n_heads * self->head_size;
  guint n = group->n_sequences, i;
  /* Room for three such rows a sequence is there: a sequence has one at least. */
  float *queries = ws->projected;
  float *first_rows = ws->projected + (gsize) n * hidden;

  for (i = 0; i < n; i++)
    memcpy (first_rows + (gsize) i * hidden, x + (gsize) group->offsets[i] * hidden,
            hidden * sizeof (float));
  if (!tandem_linear_forward (self->query, first_rows, n, queries, ws->linear, error))
    return FALSE;
  for (i = 0; i < n; i++)
    self->kernels->first_row_attention (x + (gsize) group->offsets[i] * hidden,
                                        group->offsets[i + 1] - group->offsets[i], hidden,
                                        self->n_heads, self->head_size,
                                        queries + (gsize) i * wide, self->key,
                                        self->value, self->value_bias,
                                        ws->context + (gsize) i * wide, ws->scratch);
  return finish_rows (self, ws->context, first_rows, n, out, ws, error);
}

gboolean
tandem_bert_layer_forward (const TandemBertLayer *self, const TandemGroup *group, const float *x,
                           float *out, TandemBertWorkspace *ws, GError **error)
{
  guint wide = self->n_heads * self->head_size, i;
  gsize stride = (gsize) 3 * wide;

  if (self->first_row_only)
    return forward_first_rows (self, group, x, out, ws, error);

  if (!tandem_linear_forward (self->qkv, x, group->n_rows, ws->projected, ws->linear, error))
    return FALSE;
  for (i = 0; i < group->n_sequences; i++) {
    const float *query = ws->projected + group->offsets[i] * stride;

    self->kernels->attention (query, query + wide, query + 2 * wide, stride,
                              group->offsets[i + 1] - group->offsets[i], self->n_heads,
                              self->head_size,
                              ws->context + (gsize) group->offsets[i] * wide, ws->scratch);
  }
  return finish_rows (self, ws->context, x, group->n_rows, out, ws, error);
}
