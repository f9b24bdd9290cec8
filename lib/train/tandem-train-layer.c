/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One encoder layer (Vaswani et al. 2017, section 3.1, with the layer norms behind the sums, as
 * in Devlin et al. 2018), forward and backward. */

#include "config.h"

#include "train/tandem-train-layer.h"

#include <string.h>

#include "model/tandem-model-private.h"
#include "tensor/tandem-memory.h"

/* Rows that go through the feed-forward block together, so that the wide rows stay in the
 * second-level cache. */
#define BLOCK_ROWS 256

/* What scratch memory is for; more than one function uses each. */
enum
{
  SCRATCH_SUM,                  /* [rows, hidden] */
  SCRATCH_WIDE,                 /* [BLOCK_ROWS, intermediate] */
  SCRATCH_D_WIDE,               /* [BLOCK_ROWS, intermediate] */
  SCRATCH_D_ATTENDED,           /* [rows, hidden] */
  SCRATCH_D_PROJECTED,          /* [n_rows, 3 hidden] */
  SCRATCH_ATTENTION,
};

float *
tandem_train_scratch_get (TandemTrainScratch *scratch, guint which, gsize n)
{
  if (scratch->size[which] < n) {
    tandem_memory_free (scratch->data[which]);
    scratch->data[which] = tandem_memory_new (n, sizeof (float));
    scratch->size[which] = n;
  }
  return scratch->data[which];
}

void
tandem_train_scratch_clear (TandemTrainScratch *scratch)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS (scratch->data); i++) {
    g_clear_pointer (&scratch->data[i], tandem_memory_free);
    scratch->size[i] = 0;
  }
}

typedef struct
{
  TandemParameters *parameters;
  const TandemModelConfig *config;
  guint index;
} Adder;

static gsize
add (const Adder *adder, const char *part, guint n_dims, guint64 rows, guint64 columns)
{
  g_autofree char *name = tandem_model_config_get_layer_name (adder->config, adder->index, part);

  return tandem_parameters_add (adder->parameters, name, n_dims, rows, columns);
}

TandemTrainLayer
tandem_train_layer_add (TandemParameters *parameters, const TandemTrainShape *shape,
                        const TandemModelConfig *config, guint index)
{
  const Adder adder = { parameters, config, index };
  guint h = shape->hidden_size, w = tandem_model_config_get_intermediate (config, index);
  guint heads = tandem_model_config_get_heads (config, index);
  guint a = heads * (h / shape->n_heads);
  TandemTrainLayer self = {
    .index = index, .n_heads = heads, .attention_size = a, .intermediate_size = w
  };

  /* One matrix product makes all three: they lie together. */
  self.qkv = add (&adder, "attention.self.query.weight", 2, a, h);
  add (&adder, "attention.self.key.weight", 2, a, h);
  add (&adder, "attention.self.value.weight", 2, a, h);
  self.qkv_bias = add (&adder, "attention.self.query.bias", 1, a, 0);
  add (&adder, "attention.self.key.bias", 1, a, 0);
  add (&adder, "attention.self.value.bias", 1, a, 0);
  self.attention_output = add (&adder, "attention.output.dense.weight", 2, h, a);
  self.attention_output_bias = add (&adder, "attention.output.dense.bias", 1, h, 0);
  self.attention_gamma = add (&adder, "attention.output.LayerNorm.weight", 1, h, 0);
  self.attention_beta = add (&adder, "attention.output.LayerNorm.bias", 1, h, 0);
  self.intermediate = add (&adder, "intermediate.dense.weight", 2, w, h);
  self.intermediate_bias = add (&adder, "intermediate.dense.bias", 1, w, 0);
  self.output = add (&adder, "output.dense.weight", 2, h, w);
  self.output_bias = add (&adder, "output.dense.bias", 1, h, 0);
  self.output_gamma = add (&adder, "output.LayerNorm.weight", 1, h, 0);
  self.output_beta = add (&adder, "output.LayerNorm.bias", 1, h, 0);
  return self;
}

static TandemDropout
get_dropout (const TandemTrainShape *shape, guint32 site, float rate, guint64 sequence)
{
  return (TandemDropout) { shape->seed, sequence, site, rate };
}

void
tandem_train_drop (const TandemTrainShape *shape, const TandemTrainBatch *batch, guint32 site,
                   float rate, guint width, gboolean first_row_only, float *x)
{
  guint i;

  if (rate == 0.0f)
    return;
  for (i = 0; i < batch->n; i++) {
    TandemDropout dropout = get_dropout (shape, site, rate, batch->ids[i]);
    guint row = first_row_only ? i : batch->offsets[i];
    guint n_rows = first_row_only ? 1 : batch->offsets[i + 1] - row;

    tandem_dropout (&dropout, 0, 0, n_rows, width, x + (gsize) row * width);
  }
}

static guint32
get_site (const TandemTrainLayer *self, guint which)
{
  return TANDEM_TRAIN_SITE_LAYERS + self->index * TANDEM_TRAIN_SITES_PER_LAYER + which;
}

static gboolean
attend (const TandemTrainLayer *self, const TandemTrainShape *shape, const float *weights,
        const TandemTrainBatch *batch, const float *x, TandemTrainLayerTape *tape,
        TandemTrainScratch *scratch, GError **error)
{
  guint h = shape->hidden_size, head_size = h / shape->n_heads, a = self->attention_size, i;
  gsize stride = (tape->first_row_only ? 2 : 3) * (gsize) a;
  gsize skipped = tape->first_row_only ? (gsize) a : 0;
  float *memory = tandem_train_scratch_get (
      scratch, SCRATCH_ATTENTION,
      tandem_attention_train_scratch (shape->max_positions, shape->n_heads, head_size));

  /* The query of every row, or of the first one of each sequence. */
  if (!tandem_linear_train_forward (x, batch->n_rows, weights + self->qkv + skipped * h,
                                    weights + self->qkv_bias + skipped, h, stride, tape->qkv,
                                    error) ||
      (tape->first_row_only &&
       !tandem_linear_train_forward (tape->first, batch->n, weights + self->qkv,
                                     weights + self->qkv_bias, h, a, tape->query, error)))
    return FALSE;

  for (i = 0; i < batch->n; i++) {
    guint row = batch->offsets[i], length = batch->offsets[i + 1] - row;
    float *projected = tape->qkv + row * stride;
    TandemDropout dropout = get_dropout (shape, get_site (self, TANDEM_TRAIN_SITE_ATTENTION),
                                         shape->attention_dropout, batch->ids[i]);

    if (tape->first_row_only)
      tandem_first_row_attention_train_forward (tape->query + (gsize) i * a, projected,
                                                projected + a, stride, length, self->n_heads,
                                                head_size, &dropout,
                                                tape->context + (gsize) i * a, memory);
    else if (!tandem_attention_train_forward (projected, projected + a, projected + 2 * a, stride,
                                              length, self->n_heads, head_size, &dropout,
                                              tape->context + (gsize) row * a, memory, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
tandem_train_layer_forward (const TandemTrainLayer *self, const TandemTrainShape *shape,
                            const float *weights, const TandemTrainBatch *batch, const float *x,
                            gboolean first_row_only, TandemTrainArena *arena,
                            TandemTrainLayerTape *tape, float *out, TandemTrainScratch *scratch,
                            GError **error)
{
  guint h = shape->hidden_size, w = self->intermediate_size, a = self->attention_size, i, row;
  guint rows = first_row_only ? batch->n : batch->n_rows;
  const float *residual = x;
  float *sum = tandem_train_scratch_get (scratch, SCRATCH_SUM, (gsize) rows * h);
  float *wide = tandem_train_scratch_get (scratch, SCRATCH_WIDE, (gsize) BLOCK_ROWS * w);

  tape->first_row_only = first_row_only;
  tape->qkv = tandem_train_arena_take (arena, (gsize) batch->n_rows * (first_row_only ? 2 : 3) * a);
  tape->context = tandem_train_arena_take (arena, (gsize) rows * a);
  tape->attention_normalised = tandem_train_arena_take (arena, (gsize) rows * h);
  tape->attended = tandem_train_arena_take (arena, (gsize) rows * h);
  tape->wide = tandem_train_arena_take (arena, (gsize) rows * w);
  tape->output_normalised = tandem_train_arena_take (arena, (gsize) rows * h);
  tape->attention_inverse = tandem_train_arena_take (arena, rows);
  tape->output_inverse = tandem_train_arena_take (arena, rows);
  if (first_row_only) {
    tape->query = tandem_train_arena_take (arena, (gsize) rows * a);
    tape->first = tandem_train_arena_take (arena, (gsize) rows * h);
    for (i = 0; i < batch->n; i++)
      memcpy (tape->first + (gsize) i * h, x + (gsize) batch->offsets[i] * h, h * sizeof (float));
    residual = tape->first;
  }

  if (!attend (self, shape, weights, batch, x, tape, scratch, error) ||
      !tandem_linear_train_forward (tape->context, rows, weights + self->attention_output,
                                    weights + self->attention_output_bias, a, h, sum, error))
    return FALSE;
  tandem_train_drop (shape, batch, get_site (self, TANDEM_TRAIN_SITE_ATTENTION_OUTPUT),
                     shape->hidden_dropout, h, first_row_only, sum);
  tandem_add (residual, (gsize) rows * h, sum);
  tandem_layer_norm_train_forward (sum, rows, h, weights + self->attention_gamma,
                                   weights + self->attention_beta, shape->eps,
                                   tape->attention_normalised, tape->attention_inverse,
                                   tape->attended);

  for (row = 0; row < rows; row += BLOCK_ROWS) {
    guint n = MIN (rows - row, BLOCK_ROWS);
    float *block = tape->wide + (gsize) row * w;

    if (!tandem_linear_train_forward (tape->attended + (gsize) row * h, n,
                                      weights + self->intermediate,
                                      weights + self->intermediate_bias, h, w, block, error))
      return FALSE;
    tandem_nonlinearity_forward (shape->activation, block, (gsize) n * w, wide);
    if (!tandem_linear_train_forward (wide, n, weights + self->output,
                                      weights + self->output_bias, w, h, sum + (gsize) row * h,
                                      error))
      return FALSE;
  }
  tandem_train_drop (shape, batch, get_site (self, TANDEM_TRAIN_SITE_OUTPUT),
                     shape->output_dropout, h, first_row_only, sum);
  tandem_add (tape->attended, (gsize) rows * h, sum);
  tandem_layer_norm_train_forward (sum, rows, h, weights + self->output_gamma,
                                   weights + self->output_beta, shape->eps,
                                   tape->output_normalised, tape->output_inverse, out);
  return TRUE;
}

static gboolean
attend_backward (const TandemTrainLayer *self, const TandemTrainShape *shape, const float *weights,
                 const TandemTrainBatch *batch, const float *x, const TandemTrainLayerTape *tape,
                 const float *d_context, float *d_x, float *d_first, float *gradients,
                 TandemTrainScratch *scratch, GError **error)
{
  guint h = shape->hidden_size, head_size = h / shape->n_heads, a = self->attention_size, i;
  gsize stride = (tape->first_row_only ? 2 : 3) * (gsize) a;
  gsize skipped = tape->first_row_only ? (gsize) a : 0;
  float *d_projected =
      tandem_train_scratch_get (scratch, SCRATCH_D_PROJECTED, batch->n_rows * stride);
  float *d_query = tandem_train_scratch_get (scratch, SCRATCH_WIDE, (gsize) batch->n * a);
  float *memory = tandem_train_scratch_get (
      scratch, SCRATCH_ATTENTION,
      tandem_attention_train_scratch (shape->max_positions, shape->n_heads, head_size));

  for (i = 0; i < batch->n; i++) {
    guint row = batch->offsets[i], length = batch->offsets[i + 1] - row;
    const float *projected = tape->qkv + row * stride;
    float *d = d_projected + row * stride;
    TandemDropout dropout = get_dropout (shape, get_site (self, TANDEM_TRAIN_SITE_ATTENTION),
                                         shape->attention_dropout, batch->ids[i]);

    if (tape->first_row_only)
      tandem_first_row_attention_train_backward (tape->query + (gsize) i * a, projected,
                                                 projected + a, stride, length, self->n_heads,
                                                 head_size, &dropout,
                                                 d_context + (gsize) i * a,
                                                 d_query + (gsize) i * a, d, d + a, memory);
    else if (!tandem_attention_train_backward (projected, projected + a, projected + 2 * a, stride,
                                               length, self->n_heads, head_size, &dropout,
                                               d_context + (gsize) row * a, d, d + a, d + 2 * a,
                                               memory, error))
      return FALSE;
  }
  /* Without queries of all rows nothing reached d_x yet; otherwise the residual did. */
  return tandem_linear_train_backward (x, batch->n_rows, weights + self->qkv + skipped * h, h,
                                       stride, d_projected, d_x, !tape->first_row_only,
                                       gradients + self->qkv + skipped * h,
                                       gradients + self->qkv_bias + skipped, error) &&
      (!tape->first_row_only ||
       tandem_linear_train_backward (tape->first, batch->n, weights + self->qkv, h, a, d_query,
                                     d_first, TRUE, gradients + self->qkv,
                                     gradients + self->qkv_bias, error));
}

/* d_sum: gradient of what the second layer norm got; adds to d_attended. */
static gboolean
feed_backward (const TandemTrainLayer *self, const TandemTrainShape *shape, const float *weights,
               const TandemTrainLayerTape *tape, guint rows, const float *d_sum, float *d_attended,
               float *gradients, TandemTrainScratch *scratch, GError **error)
{
  guint h = shape->hidden_size, w = self->intermediate_size, row;
  float *wide = tandem_train_scratch_get (scratch, SCRATCH_WIDE, (gsize) BLOCK_ROWS * w);
  float *d_wide = tandem_train_scratch_get (scratch, SCRATCH_D_WIDE, (gsize) BLOCK_ROWS * w);

  for (row = 0; row < rows; row += BLOCK_ROWS) {
    guint n = MIN (rows - row, BLOCK_ROWS);
    const float *before = tape->wide + (gsize) row * w;

    tandem_nonlinearity_forward (shape->activation, before, (gsize) n * w, wide);
    if (!tandem_linear_train_backward (wide, n, weights + self->output, w, h,
                                       d_sum + (gsize) row * h, d_wide, FALSE,
                                       gradients + self->output, gradients + self->output_bias,
                                       error))
      return FALSE;
    tandem_nonlinearity_backward (shape->activation, before, d_wide, (gsize) n * w, d_wide);
    if (!tandem_linear_train_backward (tape->attended + (gsize) row * h, n,
                                       weights + self->intermediate, h, w, d_wide,
                                       d_attended + (gsize) row * h, TRUE,
                                       gradients + self->intermediate,
                                       gradients + self->intermediate_bias, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
tandem_train_layer_backward (const TandemTrainLayer *self, const TandemTrainShape *shape,
                             const float *weights, const TandemTrainBatch *batch, const float *x,
                             const TandemTrainLayerTape *tape, float *d_out, float *d_x,
                             float *gradients, TandemTrainScratch *scratch, GError **error)
{
  gboolean first = tape->first_row_only;
  guint h = shape->hidden_size, rows = first ? batch->n : batch->n_rows, i;
  gsize n = (gsize) rows * h;
  float *d_attended = tandem_train_scratch_get (scratch, SCRATCH_D_ATTENDED, n);
  float *d_context = tandem_train_scratch_get (scratch, SCRATCH_SUM, n);

  tandem_layer_norm_train_backward (d_out, tape->output_normalised, tape->output_inverse, rows, h,
                                    weights + self->output_gamma, d_out,
                                    gradients + self->output_gamma, gradients + self->output_beta);
  memcpy (d_attended, d_out, n * sizeof (float));
  tandem_train_drop (shape, batch, get_site (self, TANDEM_TRAIN_SITE_OUTPUT),
                     shape->output_dropout, h, first, d_out);
  if (!feed_backward (self, shape, weights, tape, rows, d_out, d_attended, gradients, scratch,
                      error))
    return FALSE;

  tandem_layer_norm_train_backward (d_attended, tape->attention_normalised,
                                    tape->attention_inverse, rows, h,
                                    weights + self->attention_gamma, d_attended,
                                    gradients + self->attention_gamma,
                                    gradients + self->attention_beta);
  /* The residual: to all rows of d_x, or beside it for the first ones. */
  memcpy (first ? d_out : d_x, d_attended, n * sizeof (float));
  tandem_train_drop (shape, batch, get_site (self, TANDEM_TRAIN_SITE_ATTENTION_OUTPUT),
                     shape->hidden_dropout, h, first, d_attended);
  if (!tandem_linear_train_backward (tape->context, rows, weights + self->attention_output,
                                     self->attention_size, h,
                                     d_attended, d_context, FALSE,
                                     gradients + self->attention_output,
                                     gradients + self->attention_output_bias, error) ||
      !attend_backward (self, shape, weights, batch, x, tape, d_context, d_x, d_out, gradients,
                        scratch, error))
    return FALSE;
  for (i = 0; first && i < batch->n; i++)
    tandem_add (d_out + (gsize) i * h, h, d_x + (gsize) batch->offsets[i] * h);
  return TRUE;
}
