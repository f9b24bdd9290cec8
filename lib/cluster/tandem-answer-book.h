/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: which micro-batches of tokens wait for their answers, and in which order answers go on.
 * Exported for the plugin and the tests only. The owner locks. */

#include <gst/gst.h>

#include "tandem-export.h"

G_BEGIN_DECLS

typedef struct _TandemAnswerBook TandemAnswerBook;

typedef enum
{
  TANDEM_ANSWER_TAKEN,
  TANDEM_ANSWER_REPEATED,       /* nobody waits for it any more */
  TANDEM_ANSWER_WRONG,          /* nobody asked for it, or not so */
} TandemAnswerResult;

TANDEM_API
TandemAnswerBook *tandem_answer_book_new (guint max_batches, guint64 max_bytes, guint n_classes);

TANDEM_API
void tandem_answer_book_free (TandemAnswerBook *self);

TANDEM_API
gboolean tandem_answer_book_has_room (TandemAnswerBook *self, gsize bytes);

TANDEM_API
void tandem_answer_book_add_buffer (TandemAnswerBook *self, GstBuffer *tokens);

TANDEM_API
void tandem_answer_book_add_event (TandemAnswerBook *self, GstEvent *event);

TANDEM_API
GstBuffer *tandem_answer_book_ask (TandemAnswerBook *self);

TANDEM_API
void tandem_answer_book_ask_again (TandemAnswerBook *self);

TANDEM_API
TandemAnswerResult tandem_answer_book_answer (TandemAnswerBook *self, GstBuffer *logits,
                                              GError **error);

TANDEM_API
GstMiniObject *tandem_answer_book_take (TandemAnswerBook *self);

TANDEM_API
guint tandem_answer_book_get_n_asked (TandemAnswerBook *self);

TANDEM_API
guint tandem_answer_book_get_n_unanswered (TandemAnswerBook *self);

TANDEM_API
void tandem_answer_book_flush (TandemAnswerBook *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemAnswerBook, tandem_answer_book_free)

G_END_DECLS
