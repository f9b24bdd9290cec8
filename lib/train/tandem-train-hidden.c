/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The teacher sees the same tokens as the stage does, and runs where the backward pass of the stage
 * begins: so no micro-batch in flight keeps the teacher's rows. */

#include "config.h"

#include "train/tandem-train-hidden.h"

#include <string.h>

#include "nn/tandem-linear.h"
#include "nn/tandem-training.h"
#include "tensor/tandem-memory.h"

/* Of the random numbers that the projection begins with, as those of BERT. */
#define DEVIATION 0.02

static void
pair_clear (gpointer data)
{
  TandemTrainHiddenPair *pair = data;

  g_clear_object (&pair->part);
  g_clear_pointer (&pair->rows, tandem_memory_free);
}

void
tandem_train_hidden_clear (TandemTrainHidden *self)
{
  g_clear_pointer (&self->pairs, g_array_unref);
}

static TandemTrainHiddenPair *
get_pair (const TandemTrainHidden *self, guint i)
{
  return &g_array_index (self->pairs, TandemTrainHiddenPair, i);
}

static TandemTrainHiddenPair *
find_pair (const TandemTrainHidden *self, guint layer)
{
  guint i;

  for (i = 0; self->pairs != NULL && i < self->pairs->len; i++)
    if (get_pair (self, i)->layer == layer)
      return get_pair (self, i);
  return NULL;
}

gboolean
tandem_train_hidden_has_layer (const TandemTrainHidden *self, guint layer)
{
  return find_pair (self, layer) != NULL;
}

/* Layer m of M has that of the teacher which is as deep (Jiao et al. 2020, section 3.1). */
static gboolean
pair_uniformly (TandemTrainHidden *self, guint n_layers, guint n_teacher, GError **error)
{
  guint m;

  if (n_teacher < n_layers) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "the teacher has %u layers, the model %u: say which layer is to be like which of "
                 "the teacher's, as 0:1", n_teacher, n_layers);
    return FALSE;
  }
  for (m = 0; m < n_layers; m++) {
    TandemTrainHiddenPair pair = { m, (m + 1) * n_teacher / n_layers - 1, NULL, NULL };

    g_array_append_val (self->pairs, pair);
  }
  return TRUE;
}

static gboolean
parse_number (const char *text, guint n, guint *number)
{
  guint64 value;

  if (!g_ascii_string_to_unsigned (text, 10, 0, n - 1, &value, NULL))
    return FALSE;
  *number = (guint) value;
  return TRUE;
}

/* "0:1,2:5": both count up. */
static gboolean
parse_pairs (TandemTrainHidden *self, const char *text, guint n_layers, guint n_teacher,
             GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);
  guint i;

  for (i = 0; parts[i] != NULL; i++) {
    g_auto (GStrv) sides = g_strsplit (g_strstrip (parts[i]), ":", -1);
    TandemTrainHiddenPair pair = { 0 };

    if (g_strv_length (sides) != 2 || !parse_number (sides[0], n_layers, &pair.layer) ||
        !parse_number (sides[1], n_teacher, &pair.teacher_layer) ||
        (i > 0 && (pair.layer <= get_pair (self, i - 1)->layer ||
                   pair.teacher_layer <= get_pair (self, i - 1)->teacher_layer)))
      break;
    g_array_append_val (self->pairs, pair);
  }
  if (i > 0 && parts[i] == NULL)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
               "\"%s\" does not say which layer is to be like which of the teacher's: it takes one "
               "of 0 to %u, a colon and one of 0 to %u, as 0:1, more of them behind commas, and "
               "in ascending order", text, n_layers - 1, n_teacher - 1);
  return FALSE;
}

/* Tokens mean the same to both. */
static gboolean
check_vocabulary (TandemModel *model, TandemModel *teacher, GError **error)
{
  g_autoptr (TandemTokenizer) own = tandem_model_get_tokenizer (model, error);
  g_autoptr (TandemTokenizer) other = NULL;

  if (own == NULL || (other = tandem_model_get_tokenizer (teacher, error)) == NULL)
    return FALSE;
  if (g_str_equal (tandem_tokenizer_get_fingerprint (own),
                   tandem_tokenizer_get_fingerprint (other)))
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
               "%s: the vocabulary of the teacher is another than that of %s, so that its hidden "
               "states are of other tokens", tandem_model_get_path (teacher),
               tandem_model_get_path (model));
  return FALSE;
}

static gboolean
check_stage (const TandemTrainHidden *self, guint first, guint last,
             const TandemTrainOptions *options, GError **error)
{
  guint deepest = get_pair (self, self->pairs->len - 1)->layer;

  if (options->masked_lm) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                         "a masked language model learns no hidden states of a teacher, which would "
                         "see other tokens");
    return FALSE;
  }
  if (first == 0 && deepest <= last)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
               "hidden states of layers up to %u are to be learned by a stage of layers %u-%u: the "
               "stage that learns them takes tokens and has all of these layers", deepest, first,
               last);
  return FALSE;
}

static gboolean
open_parts (TandemTrainHidden *self, TandemModel *teacher, GError **error)
{
  guint next = 0, i;

  for (i = 0; i < self->pairs->len; i++) {
    TandemTrainHiddenPair *pair = get_pair (self, i);

    pair->part = tandem_bert_stage_new (teacher, next, pair->teacher_layer, TANDEM_PRECISION_F32, 1,
                                        TANDEM_BERT_STAGE_HIDDEN, error);
    if (pair->part == NULL)
      return FALSE;
    next = pair->teacher_layer + 1;
  }
  return TRUE;
}

gboolean
tandem_train_hidden_add (TandemTrainHidden *self, TandemParameters *parameters,
                         const TandemTrainShape *shape, TandemModel *model, guint first,
                         guint last, const TandemTrainOptions *options, GError **error)
{
  TandemModel *teacher = options->teacher;
  guint n_layers = tandem_model_get_config (model)->n_layers, n_teacher;

  if (teacher == NULL)
    return TRUE;
  n_teacher = tandem_model_get_config (teacher)->n_layers;
  self->pairs = g_array_new (FALSE, FALSE, sizeof (TandemTrainHiddenPair));
  g_array_set_clear_func (self->pairs, pair_clear);
  self->weight = options->teacher_weight;
  self->width = tandem_model_get_config (teacher)->hidden_size;
  self->has_projection = self->width != shape->hidden_size;
  if (options->teacher_layers == NULL || *options->teacher_layers == '\0'
      ? !pair_uniformly (self, n_layers, n_teacher, error)
      : !parse_pairs (self, options->teacher_layers, n_layers, n_teacher, error))
    return FALSE;
  if (!check_stage (self, first, last, options, error) ||
      !check_vocabulary (model, teacher, error) || !open_parts (self, teacher, error))
    return FALSE;
  if (!self->has_projection)
    return TRUE;
  parameters->seed = shape->seed;
  parameters->deviation = DEVIATION;
  self->projection = tandem_parameters_add_optional (parameters, TANDEM_TRAIN_HIDDEN_PROJECTION, 2,
                                                     self->width, shape->hidden_size);
  return TRUE;
}

gboolean
tandem_train_hidden_ask (TandemTrainHidden *self, const TandemTrainBatch *batch,
                         const gint32 *ids, GError **error)
{
  const float *rows = NULL;
  guint i;

  for (i = 0; self->pairs != NULL && i < self->pairs->len; i++) {
    TandemTrainHiddenPair *pair = get_pair (self, i);

    g_clear_pointer (&pair->rows, tandem_memory_free);
    pair->rows = tandem_memory_new ((gsize) batch->n_rows * self->width, sizeof (float));
    if (i == 0 ? !tandem_bert_stage_forward_tokens (pair->part, ids, batch->n, batch->offsets,
                                                    pair->rows, NULL, error)
        : !tandem_bert_stage_forward_rows (pair->part, rows, batch->n, batch->offsets, pair->rows,
                                           NULL, error)) {
      g_prefix_error (error, "the teacher: ");
      return FALSE;
    }
    rows = pair->rows;
  }
  return TRUE;
}

/* y: [rows, width], what the stage has; is turned into the gradient. Each sequence has the mean over
 * its rows. */
static gboolean
compare (TandemTrainHidden *self, const TandemTrainHiddenPair *pair, const TandemTrainBatch *batch,
         gboolean first_row_only, float *y, GError **error)
{
  TandemLoss loss = { 0 };
  guint i;

  for (i = 0; i < batch->n; i++) {
    gsize n = first_row_only ? 1 : batch->offsets[i + 1] - batch->offsets[i];
    const float *target = pair->rows + (gsize) batch->offsets[i] * self->width;

    if (!tandem_loss_hidden (&loss, y, target, n, self->width, self->weight / n, y, error))
      return FALSE;
    y += n * self->width;
  }
  self->loss += loss.sum;
  return TRUE;
}

gboolean
tandem_train_hidden_backward (TandemTrainHidden *self, guint layer, const TandemTrainShape *shape,
                              const float *weights, const TandemTrainBatch *batch,
                              gboolean first_row_only, const float *rows, float *d,
                              float *gradients, GError **error)
{
  TandemTrainHiddenPair *pair = find_pair (self, layer);
  guint n_rows = first_row_only ? batch->n : batch->n_rows, h = shape->hidden_size;
  gsize n = (gsize) n_rows * self->width, i;
  g_autoptr (TandemFloats) y = NULL;
  gboolean ok;

  if (pair == NULL)
    return TRUE;
  y = tandem_memory_new (n, sizeof (float));
  if (!self->has_projection)
    memcpy (y, rows, n * sizeof (float));
  else if (!tandem_linear_train_forward (rows, n_rows, weights + self->projection, NULL, h,
                                         self->width, y, error))
    return FALSE;
  ok = compare (self, pair, batch, first_row_only, y, error);
  g_clear_pointer (&pair->rows, tandem_memory_free);
  if (!ok)
    return FALSE;
  if (self->has_projection)
    return tandem_linear_train_backward (rows, n_rows, weights + self->projection, h, self->width,
                                         y, d, TRUE, gradients + self->projection, NULL, error);
  for (i = 0; i < n; i++)
    d[i] += y[i];
  return TRUE;
}
