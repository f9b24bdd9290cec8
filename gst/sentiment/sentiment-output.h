/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _SentimentOutput SentimentOutput;

SentimentOutput *sentiment_output_open (const char *location, GError **error);

gboolean sentiment_output_close (SentimentOutput *self, GError **error);

const char *sentiment_output_get_name (SentimentOutput *self);

GString *sentiment_output_get_pending (SentimentOutput *self);

gboolean sentiment_output_write (SentimentOutput *self, GCancellable *cancellable,
                                 GError **error);

G_END_DECLS
