/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Micro-batches go out under numbers of the book's own, which are never given twice, not even after
 * tandem_answer_book_flush(); so an answer that comes late, or twice, or to a question of before a
 * flush, is known by its numbers. What goes on keeps the order in which it came, events among it;
 * each micro-batch goes on exactly once, with the meta that it came with. */

#include "config.h"

#include "tandem-answer-book.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>

#include "stream/tandem-batch-meta.h"

typedef struct
{
  GstBuffer *tokens;            /* NULL: an event */
  GstEvent *event;
  guint64 first_id;             /* sequence i was given the number first_id + i */
  gboolean was_asked;           /* ever */
  gboolean is_asked;            /* since ask_again() */
  GstBuffer *answer;            /* (nullable) */
} Entry;

struct _TandemAnswerBook
{
  guint max_batches;
  guint64 max_bytes;
  guint n_classes;

  GQueue entries;               /* of Entry, in the order of the stream */
  GHashTable *waiting;          /* first_id -> Entry, of those without an answer */
  GList *next;                  /* (nullable): before it nothing is left to be asked */
  guint64 next_id;
  guint n_batches;              /* micro-batches in entries */
  guint64 n_bytes;              /* of their tokens */
  guint n_asked;                /* asked since ask_again(), and not answered */
};

static void
entry_free (Entry *entry)
{
  gst_clear_buffer (&entry->tokens);
  gst_clear_buffer (&entry->answer);
  gst_clear_event (&entry->event);
  g_free (entry);
}

/**
 * tandem_answer_book_new:
 * @max_batches: how many micro-batches it has room for, at least 1
 * @max_bytes: bytes of their tokens; 0 for no limit
 * @n_classes: scores a sequence in an answer, at least 1
 *
 * Returns: (transfer full): an empty book
 */
TandemAnswerBook *
tandem_answer_book_new (guint max_batches, guint64 max_bytes, guint n_classes)
{
  TandemAnswerBook *self = g_new0 (TandemAnswerBook, 1);

  self->max_batches = max_batches;
  self->max_bytes = max_bytes;
  self->n_classes = n_classes;
  g_queue_init (&self->entries);
  self->waiting = g_hash_table_new (g_int64_hash, g_int64_equal);
  return self;
}

/**
 * tandem_answer_book_free:
 * @self: (transfer full): a book
 *
 * Releases @self and what it holds; receipts report themselves as dropped.
 */
void
tandem_answer_book_free (TandemAnswerBook *self)
{
  g_queue_clear_full (&self->entries, (GDestroyNotify) entry_free);
  g_hash_table_unref (self->waiting);
  g_free (self);
}

/* What describes the stream and not a place in it. Upstream does not send it again. */
static gboolean
outlives_flush (const Entry *entry)
{
  return entry->event != NULL && GST_EVENT_IS_STICKY (entry->event) &&
      GST_EVENT_TYPE (entry->event) != GST_EVENT_SEGMENT &&
      GST_EVENT_TYPE (entry->event) != GST_EVENT_EOS;
}

/**
 * tandem_answer_book_flush:
 * @self: a book
 *
 * Forgets all that is in it but what describes the stream, as caps. Answers to it that come later
 * are taken for repeated.
 */
void
tandem_answer_book_flush (TandemAnswerBook *self)
{
  GList *l, *next;

  g_hash_table_remove_all (self->waiting);
  for (l = self->entries.head; l != NULL; l = next) {
    next = l->next;
    if (outlives_flush (l->data))
      continue;
    entry_free (l->data);
    g_queue_delete_link (&self->entries, l);
  }
  self->next = NULL;
  self->n_batches = self->n_asked = 0;
  self->n_bytes = 0;
}

/**
 * tandem_answer_book_has_room:
 * @self: a book
 * @bytes: the size of a micro-batch
 *
 * Returns: whether it may be added; an empty book has room for any
 */
gboolean
tandem_answer_book_has_room (TandemAnswerBook *self, gsize bytes)
{
  return self->n_batches == 0 ||
      (self->n_batches < self->max_batches &&
       (self->max_bytes == 0 || self->n_bytes + bytes <= self->max_bytes));
}

static Entry *
add (TandemAnswerBook *self)
{
  Entry *entry = g_new0 (Entry, 1);

  g_queue_push_tail (&self->entries, entry);
  return entry;
}

/**
 * tandem_answer_book_add_buffer:
 * @self: a book
 * @tokens: (transfer full): a micro-batch with its #TandemBatchMeta
 *
 * Adds a micro-batch, whether there is room or not.
 */
void
tandem_answer_book_add_buffer (TandemAnswerBook *self, GstBuffer *tokens)
{
  Entry *entry = add (self);

  entry->tokens = tokens;
  entry->first_id = self->next_id;
  self->next_id += tandem_buffer_get_batch_meta (tokens)->n_sequences;
  self->n_batches++;
  self->n_bytes += gst_buffer_get_size (tokens);
  g_hash_table_insert (self->waiting, &entry->first_id, entry);
  if (self->next == NULL)
    self->next = self->entries.tail;
}

/**
 * tandem_answer_book_add_event:
 * @self: a book
 * @event: (transfer full): what is to go on between micro-batches
 */
void
tandem_answer_book_add_event (TandemAnswerBook *self, GstEvent *event)
{
  add (self)->event = event;
}

/* Shares the tokens; says neither ids nor labels, and its receipts are nobody's but the book's. */
static GstBuffer *
make_question (const Entry *entry)
{
  const TandemBatchMeta *meta = tandem_buffer_get_batch_meta (entry->tokens);
  GstBuffer *question =
      gst_buffer_copy_region (entry->tokens, GST_BUFFER_COPY_MEMORY, 0, -1);
  g_autofree guint64 *ids = g_new (guint64, meta->n_sequences);
  guint i;

  for (i = 0; i < meta->n_sequences; i++)
    ids[i] = entry->first_id + i;
  tandem_buffer_add_batch_meta (question, meta->n_sequences, meta->offsets, ids, NULL);
  return question;
}

/**
 * tandem_answer_book_ask:
 * @self: a book
 *
 * Returns: (transfer full) (nullable): the next micro-batch that is to be asked for, with numbers
 * of   the book's own for its sequences; %NULL when all were
 */
GstBuffer *
tandem_answer_book_ask (TandemAnswerBook *self)
{
  for (; self->next != NULL; self->next = self->next->next) {
    Entry *entry = self->next->data;

    if (entry->tokens == NULL || entry->answer != NULL || entry->is_asked)
      continue;
    entry->was_asked = entry->is_asked = TRUE;
    self->n_asked++;
    self->next = self->next->next;
    return make_question (entry);
  }
  return NULL;
}

/**
 * tandem_answer_book_ask_again:
 * @self: a book
 *
 * Whoever was asked does not answer any more: all that is unanswered is to be asked for again, the
 * oldest first.
 */
void
tandem_answer_book_ask_again (TandemAnswerBook *self)
{
  GList *l;

  for (l = self->entries.head; l != NULL; l = l->next)
    ((Entry *) l->data)->is_asked = FALSE;
  self->next = self->entries.head;
  self->n_asked = 0;
}

static GstBuffer *
make_answer (const Entry *entry, GstBuffer *logits)
{
  const TandemBatchMeta *meta = tandem_buffer_get_batch_meta (entry->tokens);
  GstBuffer *answer = gst_buffer_copy_region (logits, GST_BUFFER_COPY_MEMORY, 0, -1);
  TandemBatchMeta *copy;

  gst_buffer_copy_into (answer, entry->tokens, GST_BUFFER_COPY_FLAGS | GST_BUFFER_COPY_TIMESTAMPS,
                        0, -1);
  copy = tandem_buffer_add_batch_meta (answer, meta->n_sequences, NULL, meta->ids, meta->labels);
  tandem_batch_meta_take_receipts_from (copy, meta);
  return answer;
}

static gboolean
check_shape (TandemAnswerBook *self, const Entry *entry, GstBuffer *logits, GError **error)
{
  const TandemBatchMeta *asked = tandem_buffer_get_batch_meta (entry->tokens);
  const TandemBatchMeta *meta = tandem_buffer_get_batch_meta (logits);
  gsize expected = (gsize) asked->n_sequences * self->n_classes * sizeof (float);
  guint i;

  if (meta->n_sequences != asked->n_sequences ||
      tandem_batch_meta_get_n_rows (meta) != asked->n_sequences ||
      gst_buffer_get_size (logits) != expected) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("an answer has %u sequences in %u bytes instead of %u in %u"),
                 meta->n_sequences, (guint) gst_buffer_get_size (logits), asked->n_sequences,
                 (guint) expected);
    return FALSE;
  }
  for (i = 0; i < meta->n_sequences; i++)
    if (meta->ids[i] != entry->first_id + i) {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                           _("the sequences of an answer are not those that were asked for"));
      return FALSE;
    }
  return TRUE;
}

/**
 * tandem_answer_book_answer:
 * @self: a book
 * @logits: what claims to be an answer
 * @error: return location for a #GIOErrorEnum
 *
 * Takes an answer, from whomever it comes.
 *
 * Returns: what became of it; @error is set when it is wrong
 */
TandemAnswerResult
tandem_answer_book_answer (TandemAnswerBook *self, GstBuffer *logits, GError **error)
{
  const TandemBatchMeta *meta = tandem_buffer_get_batch_meta (logits);
  Entry *entry;

  if (meta == NULL) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                         _("an answer does not say which sequences it holds"));
    return TANDEM_ANSWER_WRONG;
  }
  entry = g_hash_table_lookup (self->waiting, &meta->ids[0]);
  if (entry == NULL && meta->ids[0] < self->next_id)
    return TANDEM_ANSWER_REPEATED;
  if (entry == NULL || !entry->was_asked) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                         _("an answer is for sequences that nobody was asked for"));
    return TANDEM_ANSWER_WRONG;
  }
  if (!check_shape (self, entry, logits, error))
    return TANDEM_ANSWER_WRONG;
  entry->answer = make_answer (entry, logits);
  g_hash_table_remove (self->waiting, &entry->first_id);
  if (entry->is_asked)
    self->n_asked--;
  return TANDEM_ANSWER_TAKEN;
}

/**
 * tandem_answer_book_take:
 * @self: a book
 *
 * Returns: (transfer full) (nullable): what is next in the order of the stream, a #GstEvent or a
 *   #GstBuffer of logits with the meta of its tokens; %NULL while that is not there
 */
GstMiniObject *
tandem_answer_book_take (TandemAnswerBook *self)
{
  Entry *entry = g_queue_peek_head (&self->entries);
  GstMiniObject *object;

  if (entry == NULL || (entry->tokens != NULL && entry->answer == NULL))
    return NULL;
  if (self->next == self->entries.head)
    self->next = self->next->next;
  g_queue_pop_head (&self->entries);
  if (entry->tokens != NULL) {
    self->n_batches--;
    self->n_bytes -= gst_buffer_get_size (entry->tokens);
    object = GST_MINI_OBJECT (g_steal_pointer (&entry->answer));
  } else {
    object = GST_MINI_OBJECT (g_steal_pointer (&entry->event));
  }
  entry_free (entry);
  return object;
}

/**
 * tandem_answer_book_get_n_asked:
 * @self: a book
 *
 * Returns: how many micro-batches were asked for, since tandem_answer_book_ask_again() if that was
 *   called, and are not answered
 */
guint
tandem_answer_book_get_n_asked (TandemAnswerBook *self)
{
  return self->n_asked;
}

/**
 * tandem_answer_book_get_n_unanswered:
 * @self: a book
 *
 * Returns: how many micro-batches have no answer, whether anybody was asked or not
 */
guint
tandem_answer_book_get_n_unanswered (TandemAnswerBook *self)
{
  return g_hash_table_size (self->waiting);
}
