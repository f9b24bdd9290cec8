/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* How a result is written: a line for people, a JSON object a line, or CSV (RFC 4180). */
typedef enum
{
  SENTIMENT_FORMAT_TEXT,
  SENTIMENT_FORMAT_JSON,
  SENTIMENT_FORMAT_CSV,
} SentimentFormat;

/* What the model says about one review. Released with g_free(). */
typedef struct
{
  guint64 id;
  gint32 expected;              /* the class that the data set names, or TANDEM_LABEL_UNKNOWN */
  guint winner;                 /* the class of the highest score; the first one of equals */
  double probability;           /* softmax of the winner, 0 to 1 */
  guint n_logits;
  float logits[];
} SentimentResult;

SentimentResult *sentiment_result_new (guint64 id, gint32 expected, const float *logits,
                                       guint n_logits, GError **error);

char **sentiment_labels_new (const char *const *names, guint n_classes);

void sentiment_append_header (GString *out, SentimentFormat format);

void sentiment_append_result (GString *out, SentimentFormat format,
                              const SentimentResult *result, const char *const *labels);

G_END_DECLS
