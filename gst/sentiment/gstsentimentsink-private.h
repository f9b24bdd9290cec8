/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to gstsentimentsink*.c: the element's state, and what happens to its results. */

#include "gstsentimentsink.h"

#include "sentiment-stream.h"

G_BEGIN_DECLS

GST_DEBUG_CATEGORY_EXTERN (gst_sentiment_sink_debug);

struct _GstSentimentSink
{
  GstBaseSink parent;

  /* Object lock. */
  SentimentFormat format;
  char *location;
  gboolean ordered;
  guint reorder_window;
  GstClockTime reorder_timeout;
  gboolean summary;
  gboolean post_messages;

  /* Any thread: cancelled to end a write that blocks. */
  GCancellable *cancellable;

  /* The stream lock: render, events and the timer's thread take it; messages are posted under
   * it, so that they come in the order of the results. It comes after the base class's
   * preroll lock and before the object lock. */
  GMutex lock;
  SentimentStream *stream;      /* NULL below PAUSED */
  char *stream_id;
  gboolean summed_up;           /* nothing came since the last summary */
  gboolean failed;
  GstClock *clock;
  GstClockID timer;
  gint64 timer_deadline;
};

/* All with the stream lock, but finish_stream(), which takes it. */
void gst_sentiment_sink_post_result (const SentimentResult *result, const char *label,
                                     const char *expected, gpointer sink);
GstFlowReturn gst_sentiment_sink_take_buffer (GstSentimentSink *self, GstBuffer *buffer);
void gst_sentiment_sink_arm_timer (GstSentimentSink *self);
void gst_sentiment_sink_disarm_timer (GstSentimentSink *self);
void gst_sentiment_sink_forget_stream (GstSentimentSink *self);
GstFlowReturn gst_sentiment_sink_finish_stream (GstSentimentSink *self);

G_END_DECLS
