/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _SentimentReorder SentimentReorder;

SentimentReorder *sentiment_reorder_new (guint window, gint64 timeout, GDestroyNotify destroy);

void sentiment_reorder_free (SentimentReorder *self);

void sentiment_reorder_push (SentimentReorder *self, guint64 id, gpointer item, gint64 now);

gpointer sentiment_reorder_pop (SentimentReorder *self, gint64 now);

gpointer sentiment_reorder_pop_any (SentimentReorder *self);

gint64 sentiment_reorder_get_deadline (SentimentReorder *self);

guint sentiment_reorder_get_n_held (SentimentReorder *self);

void sentiment_reorder_reset (SentimentReorder *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (SentimentReorder, sentiment_reorder_free)

G_END_DECLS
