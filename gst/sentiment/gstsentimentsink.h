/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/base/gstbasesink.h>

G_BEGIN_DECLS

#define GST_TYPE_SENTIMENT_FORMAT (gst_sentiment_format_get_type ())
GType gst_sentiment_format_get_type (void);

#define GST_TYPE_SENTIMENT_SINK (gst_sentiment_sink_get_type ())
G_DECLARE_FINAL_TYPE (GstSentimentSink, gst_sentiment_sink, GST, SENTIMENT_SINK, GstBaseSink)

GST_ELEMENT_REGISTER_DECLARE (sentimentsink);

G_END_DECLS
