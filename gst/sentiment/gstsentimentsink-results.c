/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The way of the results through a sentimentsink: taken from buffers, written in their order, when
 * they have waited enough at the latest, posted, and summed up. */

#include "config.h"

#include "gstsentimentsink-private.h"

#include <glib/gi18n-lib.h>

#define GST_CAT_DEFAULT gst_sentiment_sink_debug

/* With the stream lock. */
void
gst_sentiment_sink_post_result (const SentimentResult *result, const char *label,
                                const char *expected, gpointer sink)
{
  GstSentimentSink *self = sink;
  gboolean post_messages;
  GValue logits = G_VALUE_INIT;
  GstStructure *s;
  guint i;

  GST_OBJECT_LOCK (self);
  post_messages = self->post_messages;
  GST_OBJECT_UNLOCK (self);
  if (!post_messages)
    return;

  s = gst_structure_new ("tandem-result", "id", G_TYPE_UINT64, result->id, "label", G_TYPE_STRING,
      label, "class", G_TYPE_INT, (int) result->winner, "probability", G_TYPE_DOUBLE,
      result->probability, NULL);
  gst_value_array_init (&logits, result->n_logits);
  for (i = 0; i < result->n_logits; i++) {
    GValue item = G_VALUE_INIT;

    g_value_init (&item, G_TYPE_FLOAT);
    g_value_set_float (&item, result->logits[i]);
    gst_value_array_append_and_take_value (&logits, &item);
  }
  gst_structure_take_value (s, "logits", &logits);
  if (expected != NULL)
    gst_structure_set (s, "expected", G_TYPE_STRING, expected, NULL);
  gst_element_post_message (GST_ELEMENT (self), gst_message_new_element (GST_OBJECT (self), s));
}

/* With the stream lock. Hands what is pending to the system; returns FLUSHING, with the rest
 * still pending, when unlock() ended it. */
static GstFlowReturn
write_pending (GstSentimentSink *self)
{
  g_autoptr (GError) error = NULL;

  if (sentiment_stream_write (self->stream, self->cancellable, &error))
    return GST_FLOW_OK;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return GST_FLOW_FLUSHING;

  self->failed = TRUE;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE))
    GST_ELEMENT_ERROR (self, RESOURCE, NO_SPACE_LEFT,
        (_("No space left to write results to %s."), sentiment_stream_get_name (self->stream)),
        ("%s", error->message));
  else
    GST_ELEMENT_ERROR (self, RESOURCE, WRITE,
        (_("Could not write results to %s: %s"), sentiment_stream_get_name (self->stream),
         error->message), (NULL));
  return GST_FLOW_ERROR;
}

/* In the streaming thread, with preroll and stream lock. As above, but goes on after a pause. */
static GstFlowReturn
write_pending_to_end (GstSentimentSink *self)
{
  GstFlowReturn flow;

  while ((flow = write_pending (self)) == GST_FLOW_FLUSHING) {
    g_mutex_unlock (&self->lock);
    flow = gst_base_sink_wait_preroll (GST_BASE_SINK (self));
    g_mutex_lock (&self->lock);
    if (flow != GST_FLOW_OK)
      break;
  }
  return flow;
}

/* With the stream lock. */
void
gst_sentiment_sink_disarm_timer (GstSentimentSink *self)
{
  if (self->timer != NULL) {
    gst_clock_id_unschedule (self->timer);
    g_clear_pointer (&self->timer, gst_clock_id_unref);
  }
  self->timer_deadline = -1;
}

static gboolean on_timeout (GstClock *clock, GstClockTime time, GstClockID id, gpointer user_data);

/* With the stream lock. Makes the timer's thread look when the next result has waited enough. */
void
gst_sentiment_sink_arm_timer (GstSentimentSink *self)
{
  gint64 deadline = sentiment_stream_get_deadline (self->stream);
  gint64 wait;

  if (deadline == self->timer_deadline)
    return;
  gst_sentiment_sink_disarm_timer (self);
  if (deadline < 0)
    return;
  wait = MAX (0, deadline - g_get_monotonic_time ());
  self->timer_deadline = deadline;
  self->timer = gst_clock_new_single_shot_id (self->clock,
      gst_clock_get_time (self->clock) + wait * GST_USECOND);
  gst_clock_id_wait_async (self->timer, on_timeout, gst_object_ref (self), gst_object_unref);
}

static gboolean
on_timeout (GstClock *clock, GstClockTime time, GstClockID id, gpointer user_data)
{
  GstSentimentSink *self = user_data;

  g_mutex_lock (&self->lock);
  /* Another timer may have taken this one's place while it waited for the lock. */
  if (self->timer == id) {
    gst_sentiment_sink_disarm_timer (self);
    sentiment_stream_advance (self->stream, g_get_monotonic_time ());
    if (!self->failed)
      write_pending (self);
    gst_sentiment_sink_arm_timer (self);
  }
  g_mutex_unlock (&self->lock);
  return TRUE;
}

/* With the stream lock, when all results of the stream were written. */
static void
post_summary (GstSentimentSink *self)
{
  const SentimentSummary *stream = sentiment_stream_get_summary (self->stream);
  double rate = sentiment_summary_get_rate (stream);
  GstStructure *s = gst_structure_new ("tandem-summary", "reviews", G_TYPE_UINT64, stream->reviews,
      "labelled", G_TYPE_UINT64, stream->labelled, "correct", G_TYPE_UINT64, stream->correct, NULL);
  gboolean print;

  if (stream->labelled > 0)
    gst_structure_set (s, "accuracy", G_TYPE_DOUBLE,
        (double) stream->correct / (double) stream->labelled, NULL);
  if (rate > 0.0)
    gst_structure_set (s, "reviews-per-second", G_TYPE_DOUBLE, rate, NULL);

  GST_OBJECT_LOCK (self);
  print = self->summary;
  GST_OBJECT_UNLOCK (self);
  if (print) {
    g_autofree char *text = sentiment_summary_to_string (stream);

    g_printerr ("%s\n", text);
  }
  gst_element_post_message (GST_ELEMENT (self), gst_message_new_element (GST_OBJECT (self), s));
}

/* With the stream lock. */
void
gst_sentiment_sink_forget_stream (GstSentimentSink *self)
{
  gst_sentiment_sink_disarm_timer (self);
  sentiment_stream_reset (self->stream);
}

/* In the streaming thread, with the preroll lock (which the base class holds for serialized events
 * too): writes what still waits and sums up. */
GstFlowReturn
gst_sentiment_sink_finish_stream (GstSentimentSink *self)
{
  GstFlowReturn flow;

  g_mutex_lock (&self->lock);
  flow = self->failed ? GST_FLOW_ERROR : GST_FLOW_OK;
  if (flow == GST_FLOW_OK) {
    sentiment_stream_drain (self->stream);
    flow = write_pending_to_end (self);
  }
  if (flow == GST_FLOW_OK && !self->summed_up)
    post_summary (self);
  self->summed_up = TRUE;
  gst_sentiment_sink_forget_stream (self);
  g_mutex_unlock (&self->lock);
  return flow;
}

/* With the stream lock. */
GstFlowReturn
gst_sentiment_sink_take_buffer (GstSentimentSink *self, GstBuffer *buffer)
{
  g_autoptr (GError) error = NULL;

  if (self->failed)
    return GST_FLOW_ERROR;
  if (sentiment_stream_push (self->stream, buffer, g_get_monotonic_time (), &error)) {
    self->summed_up = FALSE;
    return write_pending_to_end (self);
  }

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_INITIALIZED))
    return GST_FLOW_NOT_NEGOTIATED;
  self->failed = TRUE;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA))
    GST_ELEMENT_ERROR (self, STREAM, FAILED,
        (_("A result is not valid: %s. Is the model, or the label, damaged?"), error->message),
        (NULL));
  else
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
        (_("A batch of scores is not valid: %s. What stands before this element?"),
         error->message), (NULL));
  return GST_FLOW_ERROR;
}
