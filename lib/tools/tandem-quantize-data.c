/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Accuracy before and after a model is quantized. */

#include "config.h"

#include "tandem-quantize-data.h"

#include <glib/gi18n-lib.h>
#include <unistd.h>

/* Reviews that the threads share at a time. */
#define GROUP 64

#define CLASSES 2

/* Microseconds between two looks of the line on a terminal. */
#define TERMINAL_TIME (G_USEC_PER_SEC / 10)

void
quantize_data_free (QuantizeData *self)
{
  g_array_unref (self->ids);
  g_array_unref (self->offsets);
  g_array_unref (self->labels);
  g_array_unref (self->logits);
  g_free (self);
}

/* One line that changes, where somebody looks at it. */
static void
show (const char *what, guint done, guint n, gint64 *shown)
{
  gint64 now = g_get_monotonic_time ();

  if (!isatty (STDERR_FILENO))
    return;
  if (done == n)
    g_printerr ("\r\033[K");
  else if (now - *shown >= TERMINAL_TIME)
    g_printerr ("\r\033[K%s: %u/%u", what, done, n);
  else
    return;
  *shown = now;
}

/* Runs the model over every @step-th review; @logits has room for those. */
static gboolean
run (const QuantizeData *self, TandemModel *model, guint step, const char *what, float *logits,
     GCancellable *cancellable, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  guint n_threads = CLAMP (g_get_num_processors (), 1, TANDEM_BERT_STAGE_MAX_THREADS);
  g_autoptr (TandemBertStage) stage =
      tandem_bert_stage_new (model, 0, config->n_layers - 1, TANDEM_PRECISION_F32, n_threads,
                             TANDEM_BERT_STAGE_NONE, error);
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  guint n = (self->labels->len + step - 1) / step, first, i;
  gint64 shown = 0;

  if (stage == NULL)
    return FALSE;
  for (first = 0; first < n; first += GROUP) {
    guint n_group = MIN (GROUP, n - first);
    guint32 offsets[GROUP + 1] = { 0 };

    g_array_set_size (ids, 0);
    for (i = 0; i < n_group; i++) {
      const gsize *at = &g_array_index (self->offsets, gsize, (gsize) (first + i) * step);

      g_array_append_vals (ids, &g_array_index (self->ids, gint32, at[0]), at[1] - at[0]);
      offsets[i + 1] = ids->len;
    }
    if (!tandem_bert_stage_forward_tokens (stage, (const gint32 *) ids->data, n_group, offsets,
                                           logits + (gsize) first * CLASSES, cancellable, error)) {
      show (what, n, n, &shown);
      return FALSE;
    }
    show (what, first + n_group, n, &shown);
  }
  return TRUE;
}

static void
judge (const QuantizeData *self, guint step, const float *logits, QuantizeResult *result)
{
  guint n = (self->labels->len + step - 1) / step, i, c;

  *result = (QuantizeResult) { .n = n };
  for (i = 0; i < n; i++) {
    const float *own = logits + (gsize) i * CLASSES;
    const float *with_floats = &g_array_index (self->logits, float, (gsize) i * step * CLASSES);

    result->n_correct += (own[1] > own[0]) == (g_array_index (self->labels, gint32, i * step) == 1);
    for (c = 0; c < CLASSES; c++)
      result->difference += (double) (own[c] - with_floats[c]) * (own[c] - with_floats[c]);
  }
  result->difference /= (double) n * CLASSES;
}

gboolean
quantize_data_measure (const QuantizeData *self, const char *path, guint step, const char *what,
                       QuantizeResult *result, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemModel) model = tandem_model_open (path, cancellable, error);
  g_autofree float *logits = g_new (float, (gsize) self->labels->len * CLASSES);

  if (model == NULL || !run (self, model, step, what, logits, cancellable, error))
    return FALSE;
  judge (self, step, logits, result);
  return TRUE;
}

static gboolean
read_file (QuantizeData *self, const char *path, TandemTokenizer *tokenizer, guint max_length,
           GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemReviewReader) reader =
      tandem_review_reader_open (path, TANDEM_REVIEW_SPLIT_TRAIN, 0, cancellable, error);
  g_autoptr (GError) local = NULL;
  GBytes *next;
  int label;

  if (reader == NULL)
    return FALSE;
  while (tandem_review_reader_next (reader, &next, &label, cancellable, &local)) {
    g_autoptr (GBytes) review = next;
    gsize size, end;
    const char *text = g_bytes_get_data (review, &size);

    if (label < 0 || label >= CLASSES) {
      g_autofree char *place = tandem_review_reader_describe (reader);

      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   _("%s: the review has no label, so that accuracy cannot be measured on it"),
                   place);
      return FALSE;
    }
    tandem_tokenizer_encode_into (tokenizer, size > 0 ? text : "", size, max_length, self->ids,
                                  NULL);
    end = self->ids->len;
    g_array_append_val (self->offsets, end);
    g_array_append_val (self->labels, label);
  }
  if (local == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

QuantizeData *
quantize_data_read (char **paths, TandemModel *model, QuantizeResult *result,
                    GCancellable *cancellable, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  g_autoptr (QuantizeData) self = g_new0 (QuantizeData, 1);
  g_autoptr (TandemTokenizer) tokenizer = NULL;
  gsize start = 0;
  guint i;

  self->ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  self->offsets = g_array_new (FALSE, FALSE, sizeof (gsize));
  self->labels = g_array_new (FALSE, FALSE, sizeof (gint32));
  self->logits = g_array_new (FALSE, FALSE, sizeof (float));
  g_array_append_val (self->offsets, start);
  if (config->n_classes != CLASSES || !tandem_model_has_classifier (model)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("%s tells %u classes apart, reviews have two"), tandem_model_get_path (model),
                 tandem_model_has_classifier (model) ? config->n_classes : 0);
    return NULL;
  }
  tokenizer = tandem_model_get_tokenizer (model, error);
  if (tokenizer == NULL)
    return NULL;
  for (i = 0; paths[i] != NULL; i++)
    if (!read_file (self, paths[i], tokenizer, config->max_positions, cancellable, error))
      return NULL;
  if (self->labels->len == 0) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                         _("--data holds no reviews to measure accuracy on"));
    return NULL;
  }
  g_array_set_size (self->logits, self->labels->len * CLASSES);
  if (!run (self, model, 1, _("measuring with floats"), (float *) (gpointer) self->logits->data,
            cancellable, error))
    return NULL;
  judge (self, 1, (const float *) (gpointer) self->logits->data, result);
  return g_steal_pointer (&self);
}
