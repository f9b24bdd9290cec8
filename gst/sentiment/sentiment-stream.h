/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

#include "sentiment-output.h"
#include "sentiment-summary.h"
#include "sentiment-writer.h"
#include "stream/tandem-caps.h"

G_BEGIN_DECLS

typedef struct _SentimentStream SentimentStream;

/* Called for each result that the system took, in the order in which they were written. */
typedef void (*SentimentWrittenFunc) (const SentimentResult *result, const char *label,
                                      const char *expected, gpointer user_data);

SentimentStream *sentiment_stream_new (SentimentOutput *output, SentimentFormat format,
                                       guint window, gint64 timeout, SentimentWrittenFunc written,
                                       gpointer user_data);

gboolean sentiment_stream_free (SentimentStream *self, GError **error);

const char *sentiment_stream_get_name (SentimentStream *self);

void sentiment_stream_set_info (SentimentStream *self, const TandemStreamInfo *info);

gboolean sentiment_stream_push (SentimentStream *self, GstBuffer *buffer, gint64 now,
                                GError **error);

void sentiment_stream_advance (SentimentStream *self, gint64 now);

void sentiment_stream_drain (SentimentStream *self);

void sentiment_stream_reset (SentimentStream *self);

gboolean sentiment_stream_write (SentimentStream *self, GCancellable *cancellable,
                                 GError **error);

gint64 sentiment_stream_get_deadline (SentimentStream *self);

const SentimentSummary *sentiment_stream_get_summary (SentimentStream *self);

G_END_DECLS
