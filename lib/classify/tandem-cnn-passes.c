/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Forward and backward passes of a convolutional network. */

#include "config.h"

#include "tandem-cnn-classifier-private.h"

#include <string.h>

/* Behind the end of a text that is shorter than the longest filter. */
#define NO_WORD G_MAXUINT32

void
tandem_cnn_classifier_free_rows (TandemCnnClassifier *self)
{
  g_clear_pointer (&self->highest, g_free);
  g_clear_pointer (&self->pooled, g_free);
  g_clear_pointer (&self->places, g_free);
  self->capacity = 0;
}

static void
need_room (TandemCnnClassifier *self, guint n_rows)
{
  gsize n = (gsize) n_rows * self->shape.n_convolutions * self->shape.n_filters;

  if (n_rows <= self->capacity)
    return;
  tandem_cnn_classifier_free_rows (self);
  self->highest = g_new (float, n);
  self->pooled = g_new (float, n);
  self->places = g_new (guint, n);
  self->capacity = n_rows;
}

/* Words that are dropped become unknown ones. */
void
tandem_cnn_classifier_collect_words (TandemCnnClassifier *self, const guint *rows, guint n_rows,
                                     guint64 step)
{
  guint i, n;
  gsize k;

  g_array_set_size (self->words, 0);
  g_array_set_size (self->offsets, n_rows + 1);
  g_array_index (self->offsets, guint, 0) = 0;
  for (i = 0; i < n_rows; i++) {
    gsize first = self->terms->offsets[rows[i]], end = self->terms->offsets[rows[i] + 1];

    if (end - first > self->shape.max_length)
      first = end - self->shape.max_length;
    for (k = first; k < end; k++) {
      guint32 word = self->map[self->terms->terms[k]];

      if (tandem_network_drops_input (TANDEM_NETWORK (self), step, i, (guint) (k - first)))
        word = self->n_words;
      g_array_append_val (self->words, word);
    }
    for (n = (guint) (end - first); n < self->shape.longest; n++)
      g_array_append_vals (self->words, (guint32[]) { NO_WORD }, 1);
    g_array_index (self->offsets, guint, i + 1) = self->words->len;
  }
}

/* windows[t, :] = the embeddings of words t, t + 1, ...; zeros behind the end. */
static void
fill_windows (TandemCnnClassifier *self, const guint32 *words, guint n)
{
  const float *table = tandem_network_get_weights (TANDEM_NETWORK (self), 0);
  const guint width = self->shape.width, longest = self->shape.longest;
  float *window;
  guint t, j;

  g_array_set_size (self->windows, n * longest * width);
  window = (float *) (gpointer) self->windows->data;
  for (t = 0; t < n; t++) {
    for (j = 0; j < longest; j++, window += width) {
      if (t + j < n && words[t + j] != NO_WORD)
        memcpy (window, table + (gsize) words[t + j] * width, width * sizeof (float));
      else
        memset (window, 0, width * sizeof (float));
    }
  }
}

/* values: [n, n_filters]; of each filter the highest one and the first place that has it. */
static void
find_highest (const float *values, guint n, guint n_filters, const float *bias, float *highest,
              guint *places)
{
  guint t, f;

  memcpy (highest, values, n_filters * sizeof (float));
  memset (places, 0, n_filters * sizeof *places);
  for (t = 1, values += n_filters; t < n; t++, values += n_filters) {
    for (f = 0; f < n_filters; f++) {
      places[f] = values[f] > highest[f] ? t : places[f];
      highest[f] = MAX (values[f], highest[f]);
    }
  }
  for (f = 0; f < n_filters; f++)
    highest[f] += bias[f];
}

static gboolean
convolve (TandemCnnClassifier *self, guint row, GError **error)
{
  TandemNetwork *network = TANDEM_NETWORK (self);
  const TandemCnnShape *shape = &self->shape;
  const guint first = g_array_index (self->offsets, guint, row);
  const guint n = g_array_index (self->offsets, guint, row + 1) - first;
  gsize at = (gsize) row * shape->n_convolutions * shape->n_filters;
  guint i;

  fill_windows (self, &g_array_index (self->words, guint32, first), n);
  g_array_set_size (self->values, n * shape->n_filters);
  for (i = 0; i < shape->n_convolutions; i++, at += shape->n_filters) {
    const guint n_in = shape->n_words[i] * shape->width, n_places = n - shape->n_words[i] + 1;
    float *values = (float *) (gpointer) self->values->data;

    if (!tandem_gemm (FALSE, TRUE, n_places, shape->n_filters, n_in,
                      (const float *) (gconstpointer) self->windows->data,
                      (gsize) shape->longest * shape->width,
                      tandem_network_get_weights (network, 1 + 2 * i), n_in, 0.0f, values,
                      shape->n_filters, error))
      return FALSE;
    find_highest (values, n_places, shape->n_filters,
                  tandem_network_get_weights (network, 2 + 2 * i), self->highest + at,
                  self->places + at);
  }
  return TRUE;
}

gboolean
tandem_cnn_classifier_forward (TandemNetwork *network, const guint *rows, guint n_rows,
                               guint64 step, float *scores, GError **error)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (network);
  const guint n_pooled = self->shape.n_convolutions * self->shape.n_filters;
  const guint output = 1 + 2 * self->shape.n_convolutions;
  TandemDropout dropout = tandem_network_get_dropout (network, 0, step);
  guint i;

  need_room (self, n_rows);
  self->n_rows = n_rows;
  self->step = step;
  tandem_cnn_classifier_collect_words (self, rows, n_rows, step);
  for (i = 0; i < n_rows; i++)
    if (!convolve (self, i, error))
      return FALSE;
  tandem_nonlinearity_forward (TANDEM_NONLINEARITY_RELU, self->highest, (gsize) n_rows * n_pooled,
                               self->pooled);
  tandem_dropout (&dropout, 0, 0, n_rows, n_pooled, self->pooled);
  return tandem_linear_train_forward (self->pooled, n_rows,
                                      tandem_network_get_weights (network, output),
                                      tandem_network_get_weights (network, output + 1), n_pooled,
                                      tandem_network_get_n_classes (network), scores, error);
}

/* A filter learns from the one place where it was highest. */
static void
learn_filter (TandemCnnClassifier *self, guint convolution, guint filter, const guint32 *words,
              float d)
{
  TandemNetwork *network = TANDEM_NETWORK (self);
  const guint width = self->shape.width, n = self->shape.n_words[convolution];
  const gsize at = (gsize) filter * n * width;
  const float *table = tandem_network_get_weights (network, 0);
  const float *weight = tandem_network_get_weights (network, 1 + 2 * convolution) + at;
  float *d_table = tandem_network_get_gradient (network, 0);
  float *d_weight = tandem_network_get_gradient (network, 1 + 2 * convolution) + at;
  guint j, k;

  tandem_network_get_gradient (network, 2 + 2 * convolution)[filter] += d;
  for (j = 0; j < n; j++, weight += width, d_weight += width) {
    const float *row = table + (gsize) words[j] * width;
    float *d_row = d_table + (gsize) words[j] * width;

    if (words[j] == NO_WORD)
      continue;
    tandem_network_touch (network, words[j]);
    for (k = 0; k < width; k++) {
      d_weight[k] += d * row[k];
      d_row[k] += d * weight[k];
    }
  }
}

gboolean
tandem_cnn_classifier_backward (TandemNetwork *network, const float *d_scores, GError **error)
{
  TandemCnnClassifier *self = TANDEM_CNN_CLASSIFIER (network);
  const TandemCnnShape *shape = &self->shape;
  const guint n_pooled = shape->n_convolutions * shape->n_filters;
  const guint output = 1 + 2 * shape->n_convolutions;
  TandemDropout dropout = tandem_network_get_dropout (network, 0, self->step);
  g_autofree float *d_pooled = g_new (float, (gsize) self->n_rows * n_pooled);
  guint row, k;

  if (!tandem_linear_train_backward (self->pooled, self->n_rows,
                                     tandem_network_get_weights (network, output), n_pooled,
                                     tandem_network_get_n_classes (network), d_scores, d_pooled,
                                     FALSE, tandem_network_get_gradient (network, output),
                                     tandem_network_get_gradient (network, output + 1), error))
    return FALSE;
  tandem_dropout (&dropout, 0, 0, self->n_rows, n_pooled, d_pooled);
  tandem_nonlinearity_backward (TANDEM_NONLINEARITY_RELU, self->highest, d_pooled,
                                (gsize) self->n_rows * n_pooled, d_pooled);
  for (row = 0; row < self->n_rows; row++) {
    const guint first = g_array_index (self->offsets, guint, row);
    const gsize at = (gsize) row * n_pooled;

    for (k = 0; k < n_pooled; k++)
      if (d_pooled[at + k] != 0.0f)
        learn_filter (self, k / shape->n_filters, k % shape->n_filters,
                      &g_array_index (self->words, guint32, first + self->places[at + k]),
                      d_pooled[at + k]);
  }
  return TRUE;
}
