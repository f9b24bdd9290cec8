/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Brings items into the order of their ids, which count from 0. An item waits
 * until all earlier ids were taken, but never among more than WINDOW others and
 * never longer than TIMEOUT: whoever waits for it upstream (a sender whose window
 * is full of unacknowledged batches) is not blocked for ever by an id that never
 * comes. An id that comes after its turn is passed on at once; an id that comes twice
 * is passed on twice. Not thread-safe: the owner locks. */

#include "config.h"

#include "sentiment-reorder.h"

typedef struct
{
  guint64 id;
  gint64 arrival;               /* microseconds */
  gpointer item;
  GList link;                   /* in SentimentReorder.arrivals; data is the entry itself */
} Entry;

struct _SentimentReorder
{
  guint window;
  gint64 timeout;               /* microseconds; 0: no limit */
  GDestroyNotify destroy;
  guint64 expected;             /* the lowest id that was not passed yet */
  GSequence *held;              /* of Entry, by id */
  GQueue arrivals;              /* the same entries, oldest first */
};

/**
 * sentiment_reorder_new:
 * @window: how many items wait at most
 * @timeout: how long one waits at most, in microseconds; 0 for no limit
 * @destroy: releases an item that nobody took
 *
 * Returns: (transfer full): an empty window that expects id 0
 */
SentimentReorder *
sentiment_reorder_new (guint window, gint64 timeout, GDestroyNotify destroy)
{
  SentimentReorder *self = g_new0 (SentimentReorder, 1);

  self->window = window;
  self->timeout = timeout;
  self->destroy = destroy;
  self->held = g_sequence_new (NULL);
  g_queue_init (&self->arrivals);
  return self;
}

static gpointer
take_first (SentimentReorder *self)
{
  GSequenceIter *first = g_sequence_get_begin_iter (self->held);
  Entry *entry;
  gpointer item;

  if (g_sequence_iter_is_end (first))
    return NULL;
  entry = g_sequence_get (first);
  g_sequence_remove (first);
  g_queue_unlink (&self->arrivals, &entry->link);
  /* After the highest id that there is, none is early any more. */
  if (entry->id >= self->expected)
    self->expected = entry->id < G_MAXUINT64 ? entry->id + 1 : G_MAXUINT64;
  item = entry->item;
  g_free (entry);
  return item;
}

/**
 * sentiment_reorder_reset:
 * @self: a window
 *
 * Releases what is held and expects id 0 again.
 */
void
sentiment_reorder_reset (SentimentReorder *self)
{
  gpointer item;

  while ((item = take_first (self)) != NULL)
    self->destroy (item);
  self->expected = 0;
}

/**
 * sentiment_reorder_free:
 * @self: (transfer full): a window
 *
 * Releases @self and what it holds.
 */
void
sentiment_reorder_free (SentimentReorder *self)
{
  sentiment_reorder_reset (self);
  g_sequence_free (self->held);
  g_free (self);
}

static int
compare_ids (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const Entry *x = a, *y = b;

  return x->id < y->id ? -1 : x->id > y->id;
}

/**
 * sentiment_reorder_push:
 * @self: a window
 * @id: the item's place in the order
 * @item: (transfer full): an item, not %NULL
 * @now: the time, in microseconds; never less than in an earlier call
 *
 * Adds an item. The caller then takes what is ready with sentiment_reorder_pop().
 */
void
sentiment_reorder_push (SentimentReorder *self, guint64 id, gpointer item, gint64 now)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->id = id;
  entry->arrival = now;
  entry->item = item;
  entry->link.data = entry;
  g_sequence_insert_sorted (self->held, entry, compare_ids, NULL);
  g_queue_push_tail_link (&self->arrivals, &entry->link);
}

/**
 * sentiment_reorder_get_deadline:
 * @self: a window
 *
 * Returns: when the item that waited longest has waited long enough, in
 *   microseconds; -1 when nothing waits or there is no limit
 */
gint64
sentiment_reorder_get_deadline (SentimentReorder *self)
{
  Entry *oldest = g_queue_peek_head (&self->arrivals);

  return oldest != NULL && self->timeout > 0 ? oldest->arrival + self->timeout : -1;
}

/**
 * sentiment_reorder_pop:
 * @self: a window
 * @now: the time, in microseconds
 *
 * Returns: (transfer full) (nullable): the item of the lowest id when it is its
 *   turn, when too many wait or when one waited too long; else %NULL
 */
gpointer
sentiment_reorder_pop (SentimentReorder *self, gint64 now)
{
  GSequenceIter *first = g_sequence_get_begin_iter (self->held);
  gint64 deadline = sentiment_reorder_get_deadline (self);
  const Entry *entry;

  if (g_sequence_iter_is_end (first))
    return NULL;
  entry = g_sequence_get (first);
  if (entry->id > self->expected && self->arrivals.length <= self->window &&
      (deadline < 0 || now < deadline))
    return NULL;
  return take_first (self);
}

/**
 * sentiment_reorder_pop_any:
 * @self: a window
 *
 * Returns: (transfer full) (nullable): the item of the lowest id, its turn or not;
 *   %NULL when nothing is held
 */
gpointer
sentiment_reorder_pop_any (SentimentReorder *self)
{
  return take_first (self);
}

/**
 * sentiment_reorder_get_n_held:
 * @self: a window
 *
 * Returns: how many items wait
 */
guint
sentiment_reorder_get_n_held (SentimentReorder *self)
{
  return self->arrivals.length;
}
