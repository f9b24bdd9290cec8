/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The way of a result from the buffer that brought it to the system's write(): checked, brought
 * into order, formatted, written; only then counted, told, and its batch acknowledged. Not
 * thread-safe: the owner locks. */

#include "config.h"

#include "sentiment-stream.h"

#include "sentiment-reorder.h"
#include "stream/tandem-batch-meta.h"

/* A buffer whose results are not all written. */
typedef struct
{
  GstBuffer *buffer;
  guint unwritten;              /* results that the system did not take yet */
  guint n_verdicts;             /* verdicts that refer to it */
} Batch;

/* The names of a model's classes; in a GRcBox, for a stream may change to another model while
 * results of the one before are on their way. */
typedef struct
{
  guint n_classes;
  char **names;
} Labels;

/* A result on its way out. */
typedef struct
{
  SentimentResult *result;
  Labels *labels;
  Batch *batch;
} Verdict;

struct _SentimentStream
{
  SentimentOutput *output;
  SentimentFormat format;
  SentimentWrittenFunc written;
  gpointer user_data;
  Labels *labels;               /* NULL before the first caps */
  SentimentReorder *reorder;    /* of Verdict: waiting for their turn */
  GPtrArray *leaving;           /* of Verdict: formatted, not known to be written */
  SentimentSummary summary;
};

static void
labels_clear (gpointer data)
{
  g_strfreev (((Labels *) data)->names);
}

static void
verdict_free (gpointer data)
{
  Verdict *verdict = data;

  if (--verdict->batch->n_verdicts == 0) {
    gst_buffer_unref (verdict->batch->buffer);
    g_free (verdict->batch);
  }
  g_rc_box_release_full (verdict->labels, labels_clear);
  g_free (verdict->result);
  g_free (verdict);
}

/**
 * sentiment_stream_new:
 * @output: (transfer full): where results go
 * @format: how they are written
 * @window: how many results wait at most for an earlier id; 0 keeps the order in which
 *   they come
 * @timeout: how long one waits at most, in microseconds; 0 for no limit
 * @written: called for each result after it was written
 * @user_data: for @written
 *
 * Returns: (transfer full): a new stream, whose header is pending
 */
SentimentStream *
sentiment_stream_new (SentimentOutput *output, SentimentFormat format, guint window,
                      gint64 timeout, SentimentWrittenFunc written, gpointer user_data)
{
  SentimentStream *self = g_new0 (SentimentStream, 1);

  self->output = output;
  self->format = format;
  self->written = written;
  self->user_data = user_data;
  self->reorder = sentiment_reorder_new (window, timeout, verdict_free);
  self->leaving = g_ptr_array_new_with_free_func (verdict_free);
  sentiment_append_header (sentiment_output_get_pending (output), format);
  return self;
}

/**
 * sentiment_stream_free:
 * @self: (transfer full): a stream
 * @error: return location for a #GFileError
 *
 * Drops what was not written, with its receipts, and closes the output.
 *
 * Returns: whether the system kept everything that was written
 */
gboolean
sentiment_stream_free (SentimentStream *self, GError **error)
{
  gboolean ok = sentiment_output_close (self->output, error);

  sentiment_reorder_free (self->reorder);
  g_ptr_array_unref (self->leaving);
  if (self->labels != NULL)
    g_rc_box_release_full (self->labels, labels_clear);
  g_free (self);
  return ok;
}

/**
 * sentiment_stream_get_name:
 * @self: a stream
 *
 * Returns: (transfer none): the name of the output for messages, in UTF-8
 */
const char *
sentiment_stream_get_name (SentimentStream *self)
{
  return sentiment_output_get_name (self->output);
}

static void
format_verdict (SentimentStream *self, Verdict *verdict)
{
  sentiment_append_result (sentiment_output_get_pending (self->output), self->format,
                           verdict->result, (const char *const *) verdict->labels->names);
  g_ptr_array_add (self->leaving, verdict);
}

/**
 * sentiment_stream_set_info:
 * @self: a stream
 * @info: what the logits that follow are
 *
 * Takes the names of the classes, for the buffers that follow.
 */
void
sentiment_stream_set_info (SentimentStream *self, const TandemStreamInfo *info)
{
  if (self->labels != NULL)
    g_rc_box_release_full (self->labels, labels_clear);
  self->labels = g_rc_box_new (Labels);
  self->labels->n_classes = info->classes;
  self->labels->names = sentiment_labels_new ((const char *const *) info->labels, info->classes);
}

/* All results of a buffer, so that nothing of a bad one leaves. */
static GPtrArray *
read_results (SentimentStream *self, GstBuffer *buffer, const TandemBatchMeta *meta,
              GError **error)
{
  g_autoptr (GPtrArray) results = g_ptr_array_new_with_free_func (g_free);
  guint n_classes = self->labels->n_classes;
  gsize row_size = n_classes * sizeof (float);
  gboolean ok = TRUE;
  GstMapInfo map;
  guint i;

  if (!gst_buffer_map (buffer, &map, GST_MAP_READ)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "the buffer's memory cannot be mapped");
    return NULL;
  }
  if (meta->n_sequences == 0 || map.size != meta->n_sequences * row_size) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                 "%" G_GSIZE_FORMAT " bytes for %u reviews and %u classes", map.size,
                 meta->n_sequences, n_classes);
    ok = FALSE;
  }
  for (i = 0; ok && i < meta->n_sequences; i++) {
    const float *logits = (const float *) map.data + (gsize) i * n_classes;
    SentimentResult *result = sentiment_result_new (meta->ids[i], meta->labels[i], logits,
                                                    n_classes, error);

    ok = result != NULL;
    if (ok)
      g_ptr_array_add (results, result);
  }
  gst_buffer_unmap (buffer, &map);
  return ok ? g_steal_pointer (&results) : NULL;
}

/**
 * sentiment_stream_push:
 * @self: a stream
 * @buffer: (transfer none): float32 logits, shape [sequences, classes]
 * @now: the time, in microseconds
 * @error: return location: %G_IO_ERROR_NOT_INITIALIZED before sentiment_stream_set_info(),
 *   %G_IO_ERROR_INVALID_ARGUMENT for a buffer without a batch meta, %G_IO_ERROR_PARTIAL_INPUT
 *   for one of another size, %G_IO_ERROR_INVALID_DATA for a review whose scores or label are not valid
 *
 * Formats the results whose turn it is and keeps the others. On error nothing of
 * @buffer is kept.
 *
 * Returns: whether @buffer is valid
 */
gboolean
sentiment_stream_push (SentimentStream *self, GstBuffer *buffer, gint64 now, GError **error)
{
  const TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);
  g_autoptr (GPtrArray) results = NULL;
  Batch *batch;
  guint i;

  if (self->labels == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_INITIALIZED, "no caps came before the buffer");
    return FALSE;
  }
  if (meta == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "a buffer has no TandemBatchMeta, which says whose scores these are");
    return FALSE;
  }
  results = read_results (self, buffer, meta, error);
  if (results == NULL)
    return FALSE;

  sentiment_summary_add_buffer (&self->summary, results->len, now);
  batch = g_new0 (Batch, 1);
  batch->buffer = gst_buffer_ref (buffer);
  batch->unwritten = results->len;
  batch->n_verdicts = results->len;
  for (i = 0; i < results->len; i++) {
    Verdict *verdict = g_new0 (Verdict, 1);

    verdict->result = g_steal_pointer (&g_ptr_array_index (results, i));
    verdict->labels = g_rc_box_acquire (self->labels);
    verdict->batch = batch;
    sentiment_reorder_push (self->reorder, verdict->result->id, verdict, now);
    sentiment_stream_advance (self, now);
  }
  return TRUE;
}

/**
 * sentiment_stream_advance:
 * @self: a stream
 * @now: the time, in microseconds
 *
 * Formats what has waited long enough.
 */
void
sentiment_stream_advance (SentimentStream *self, gint64 now)
{
  Verdict *verdict;

  while ((verdict = sentiment_reorder_pop (self->reorder, now)) != NULL)
    format_verdict (self, verdict);
}

/**
 * sentiment_stream_drain:
 * @self: a stream
 *
 * Formats everything that waits, in the order of the ids.
 */
void
sentiment_stream_drain (SentimentStream *self)
{
  Verdict *verdict;

  while ((verdict = sentiment_reorder_pop_any (self->reorder)) != NULL)
    format_verdict (self, verdict);
}

/**
 * sentiment_stream_reset:
 * @self: a stream
 *
 * Drops what waits, with its receipts, and expects id 0 again. What is formatted stays.
 */
void
sentiment_stream_reset (SentimentStream *self)
{
  sentiment_reorder_reset (self->reorder);
  self->summary = (SentimentSummary) { 0 };
}

/**
 * sentiment_stream_write:
 * @self: a stream
 * @cancellable: (nullable): ends the wait for a reader that is slow
 * @error: return location for a #GIOErrorEnum
 *
 * Hands what is formatted to the system; then tells about the results and completes the
 * receipts of batches of which none is left. After %G_IO_ERROR_CANCELLED the next call
 * goes on.
 *
 * Returns: whether everything was written
 */
gboolean
sentiment_stream_write (SentimentStream *self, GCancellable *cancellable, GError **error)
{
  guint i;

  if (!sentiment_output_write (self->output, cancellable, error))
    return FALSE;
  for (i = 0; i < self->leaving->len; i++) {
    const Verdict *verdict = g_ptr_array_index (self->leaving, i);
    const SentimentResult *result = verdict->result;

    sentiment_summary_add_result (&self->summary, result);
    self->written (result, verdict->labels->names[result->winner],
                   result->expected == TANDEM_LABEL_UNKNOWN ? NULL :
                   verdict->labels->names[result->expected], self->user_data);
    if (--verdict->batch->unwritten == 0)
      tandem_batch_meta_complete (tandem_buffer_get_batch_meta (verdict->batch->buffer));
  }
  g_ptr_array_set_size (self->leaving, 0);
  return TRUE;
}

/**
 * sentiment_stream_get_deadline:
 * @self: a stream
 *
 * Returns: when sentiment_stream_advance() is to be called at the latest, in microseconds;
 *   -1 when nothing waits, or waits without limit
 */
gint64
sentiment_stream_get_deadline (SentimentStream *self)
{
  return sentiment_reorder_get_deadline (self->reorder);
}

/**
 * sentiment_stream_get_summary:
 * @self: a stream
 *
 * Returns: (transfer none): what was written since the last reset
 */
const SentimentSummary *
sentiment_stream_get_summary (SentimentStream *self)
{
  return &self->summary;
}
