/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sentiment-writer.h"

G_BEGIN_DECLS

/* What there is to say about a whole stream. All zeros is the start. */
typedef struct
{
  guint64 reviews;
  guint64 labelled;             /* reviews whose class the data set names */
  guint64 correct;              /* of those, the ones where the model says the same */
  guint64 buffers;
  guint64 first_reviews;        /* reviews in the first buffer */
  gint64 first_time, last_time; /* of the first and the last buffer, microseconds */
} SentimentSummary;

void sentiment_summary_add_buffer (SentimentSummary *self, guint n_reviews, gint64 now);

void sentiment_summary_add_result (SentimentSummary *self, const SentimentResult *result);

double sentiment_summary_get_rate (const SentimentSummary *self);

char *sentiment_summary_to_string (const SentimentSummary *self);

G_END_DECLS
