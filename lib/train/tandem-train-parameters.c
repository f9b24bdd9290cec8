/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "train/tandem-train-parameters.h"

#include <string.h>

#include "model/tandem-model-private.h"
#include "tensor/tandem-memory.h"
#include "base/tandem-random-private.h"

#define WORDS "embeddings.word_embeddings.weight"

TandemParameters *
tandem_parameters_new (void)
{
  TandemParameters *self = g_new0 (TandemParameters, 1);

  self->list = g_array_new (FALSE, FALSE, sizeof (TandemParameter));
  return self;
}

static TandemWeights *
weights_new (gsize n)
{
  TandemWeights *weights = g_new (TandemWeights, 1);

  weights->ref_count = 1;
  weights->data = tandem_memory_new (n, sizeof (float));
  return weights;
}

void
tandem_weights_release (TandemWeights *weights)
{
  if (weights == NULL || --weights->ref_count > 0)
    return;
  tandem_memory_free (weights->data);
  g_free (weights);
}

void
tandem_parameters_free (TandemParameters *self)
{
  guint i;

  if (self == NULL)
    return;
  for (i = 0; i < self->list->len; i++)
    g_free (g_array_index (self->list, TandemParameter, i).name);
  g_array_unref (self->list);
  tandem_weights_release (self->current);
  tandem_memory_free (self->gradient);
  tandem_memory_free (self->m);
  tandem_memory_free (self->v);
  tandem_memory_free (self->words);
  tandem_memory_free (self->word_gradient);
  tandem_memory_free (self->word_m);
  tandem_memory_free (self->word_v);
  g_free (self->touched);
  g_clear_pointer (&self->masks, tandem_masks_unref);
  g_free (self);
}

gsize
tandem_parameters_add (TandemParameters *self, const char *name, guint n_dims, guint64 rows,
                       guint64 columns)
{
  TandemParameter parameter = {
    .name = g_strdup (name), .n_dims = n_dims, .shape = { rows, columns }, .offset = self->n,
    .n = n_dims == 2 ? rows * columns : rows, .decays = n_dims == 2
  };

  g_assert (self->current == NULL);
  g_array_append_val (self->list, parameter);
  self->n += parameter.n;
  return parameter.offset;
}

gsize
tandem_parameters_add_optional (TandemParameters *self, const char *name, guint n_dims,
                                guint64 rows, guint64 columns)
{
  gsize offset = tandem_parameters_add (self, name, n_dims, rows, columns);

  g_array_index (self->list, TandemParameter, self->list->len - 1).is_optional = TRUE;
  return offset;
}

void
tandem_parameters_set_words (TandemParameters *self, guint n_words, guint width)
{
  self->n_words = n_words;
  self->width = width;
}

static float *
new_zeros (gsize n)
{
  float *data = tandem_memory_new (n, sizeof (float));

  memset (data, 0, n * sizeof (float));
  return data;
}

/* Quantized weights are trained as the floats that they stand for. */
static gboolean
load (TandemModel *model, const char *name, gsize n, float *out, GError **error)
{
  g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (model, name, error);

  if (tensor == NULL)
    return FALSE;
  if (tandem_tensor_get_n_elements (tensor) != n) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: the tensor %s has %" G_GUINT64_FORMAT " elements; %" G_GSIZE_FORMAT
                 " are needed", tandem_model_get_path (model), name,
                 tandem_tensor_get_n_elements (tensor), n);
    return FALSE;
  }
  return tandem_model_copy_f32 (model, name, out, error);
}

/* As tandem_model_init_random() does. */
static void
fill (const TandemParameters *self, const TandemParameter *p, float *out)
{
  float constant = g_str_has_suffix (p->name, "LayerNorm.weight") ? 1.0f : 0.0f;
  gsize i;

  if (p->n_dims == 2)
    tandem_random_normal (tandem_random_key (self->seed, tandem_random_hash (p->name)),
                          self->deviation, p->n, out);
  for (i = 0; p->n_dims == 1 && i < p->n; i++)
    out[i] = constant;
}

static gboolean
has (TandemModel *model, const char *name)
{
  g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (model, name, NULL);

  return tensor != NULL;
}

gboolean
tandem_parameters_load (TandemParameters *self, TandemModel *model, GError **error)
{
  gsize n_word_floats = (gsize) self->n_words * self->width;
  guint i;

  self->current = weights_new (self->n);
  self->gradient = new_zeros (self->n);
  self->m = new_zeros (self->n);
  self->v = new_zeros (self->n);
  if (self->n_words > 0) {
    self->words = tandem_memory_new (n_word_floats, sizeof (float));
    self->word_gradient = new_zeros (n_word_floats);
    self->word_m = new_zeros (n_word_floats);
    self->word_v = new_zeros (n_word_floats);
    self->touched = g_new0 (guint8, self->n_words);
  }
  for (i = 0; i < self->list->len; i++) {
    const TandemParameter *p = &g_array_index (self->list, TandemParameter, i);

    if (p->is_optional && !has (model, p->name))
      fill (self, p, self->current->data + p->offset);
    else if (!load (model, p->name, p->n, self->current->data + p->offset, error))
      return FALSE;
  }
  return self->n_words == 0 || load (model, WORDS, n_word_floats, self->words, error);
}

/* Sets the elements to zero whose bits, from that of @first on, are not set. */
static void
mask_range (const guint8 *mask, gsize first, gsize n, float *data)
{
  gsize i;

  for (i = 0; i < n; i++)
    if ((mask[(first + i) >> 3] >> ((first + i) & 7) & 1) == 0)
      data[i] = 0.0f;
}

gboolean
tandem_parameters_set_masks (TandemParameters *self, TandemMasks *masks, GError **error)
{
  gsize n_word_floats = (gsize) self->n_words * self->width;
  guint64 n = n_word_floats;
  guint i;

  self->word_mask = self->n_words > 0 ? tandem_masks_get (masks, WORDS, &n) : NULL;
  for (i = 0; i < self->list->len && n == n_word_floats; i++) {
    TandemParameter *p = &g_array_index (self->list, TandemParameter, i);
    guint64 n_mask = p->n;

    p->mask = tandem_masks_get (masks, p->name, &n_mask);
    if (n_mask != p->n)
      break;
  }
  if (i < self->list->len) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "the masks are those of another model: a tensor has another number of elements");
    return FALSE;
  }
  self->masks = tandem_masks_ref (masks);
  tandem_parameters_mask (self);
  return TRUE;
}

void
tandem_parameters_mask (TandemParameters *self)
{
  gsize n_word_floats = (gsize) self->n_words * self->width;
  float *const block[] = { self->current->data, self->m, self->v };
  float *const words[] = { self->words, self->word_m, self->word_v };
  guint i, k;

  for (k = 0; k < G_N_ELEMENTS (block); k++) {
    for (i = 0; i < self->list->len; i++) {
      const TandemParameter *p = &g_array_index (self->list, TandemParameter, i);

      if (p->mask != NULL)
        mask_range (p->mask, 0, p->n, block[k] + p->offset);
    }
    if (self->word_mask != NULL)
      mask_range (self->word_mask, 0, n_word_floats, words[k]);
  }
}

void
tandem_parameters_mask_gradient (TandemParameters *self)
{
  guint i, row;

  for (i = 0; i < self->list->len; i++) {
    const TandemParameter *p = &g_array_index (self->list, TandemParameter, i);

    if (p->mask != NULL)
      mask_range (p->mask, 0, p->n, self->gradient + p->offset);
  }
  for (row = 0; self->word_mask != NULL && row < self->n_words; row++) {
    gsize offset = (gsize) row * self->width;

    if (self->touched[row])
      mask_range (self->word_mask, offset, self->width, self->word_gradient + offset);
  }
}

TandemWeights *
tandem_parameters_hold (TandemParameters *self)
{
  self->current->ref_count++;
  return self->current;
}

double
tandem_parameters_add_squares (const TandemParameters *self, double sum)
{
  guint i, row;

  for (i = self->list->len; i > 0; i--) {
    const TandemParameter *p = &g_array_index (self->list, TandemParameter, i - 1);

    sum = tandem_add_squares (self->gradient + p->offset, p->n, sum);
  }
  for (row = 0; row < self->n_words; row++)
    if (self->touched[row])
      sum = tandem_add_squares (self->word_gradient + (gsize) row * self->width, self->width, sum);
  return sum;
}

void
tandem_parameters_update (TandemParameters *self, const TandemAdamWStep *step)
{
  TandemAdamWStep plain = *step;
  guint i, row;

  plain.decay = 0.0f;
  if (self->current->ref_count > 1) {
    TandemWeights *next = weights_new (self->n);

    memcpy (next->data, self->current->data, self->n * sizeof (float));
    tandem_weights_release (self->current);
    self->current = next;
  }
  for (i = 0; i < self->list->len; i++) {
    const TandemParameter *p = &g_array_index (self->list, TandemParameter, i);

    tandem_adamw (p->decays ? step : &plain, p->n, self->gradient + p->offset,
                  self->m + p->offset, self->v + p->offset, self->current->data + p->offset);
  }
  for (row = 0; row < self->n_words; row++) {
    gsize offset = (gsize) row * self->width;

    if (self->touched[row])
      tandem_adamw (step, self->width, self->word_gradient + offset, self->word_m + offset,
                    self->word_v + offset, self->words + offset);
  }
}

void
tandem_parameters_clear_gradient (TandemParameters *self)
{
  guint row;

  memset (self->gradient, 0, self->n * sizeof (float));
  for (row = 0; row < self->n_words; row++) {
    if (!self->touched[row])
      continue;
    memset (self->word_gradient + (gsize) row * self->width, 0, self->width * sizeof (float));
    self->touched[row] = FALSE;
  }
}

void
tandem_parameters_foreach (TandemParameters *self, TandemParameterPart part,
                           TandemParameterFunc func, gpointer user_data)
{
  float *const block[] = { self->current->data, self->gradient, self->m, self->v };
  float *const words[] = { self->words, self->word_gradient, self->word_m, self->word_v };
  const guint64 word_shape[] = { self->n_words, self->width };
  guint i;

  if (self->n_words > 0)
    func (WORDS, 2, word_shape, words[part], user_data);
  for (i = 0; i < self->list->len; i++) {
    const TandemParameter *p = &g_array_index (self->list, TandemParameter, i);

    func (p->name, p->n_dims, p->shape, block[part] + p->offset, user_data);
  }
}
