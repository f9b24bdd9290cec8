/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/base/gstbasesink.h>

G_BEGIN_DECLS

#define GST_TYPE_SENTIMENT_LOSS (gst_sentiment_loss_get_type ())
G_DECLARE_FINAL_TYPE (GstSentimentLoss, gst_sentiment_loss, GST, SENTIMENT_LOSS, GstBaseSink)

GST_ELEMENT_REGISTER_DECLARE (sentimentloss);

G_END_DECLS
