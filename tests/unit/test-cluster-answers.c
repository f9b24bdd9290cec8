/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The book of questions and answers, against what a stream needs: everything once, in order,
 * whatever answers come. */

#include "config.h"

#include <gst/gst.h>
#include <string.h>

#include "cluster/tandem-answer-book.h"
#include "tandem.h"

#define N_CLASSES 2

static GstBuffer *
make_tokens (guint64 first_id, guint n_sequences)
{
  gint32 tokens[64] = { 0 };
  guint32 offsets[33];
  guint64 ids[32];
  gint32 labels[32];
  GstBuffer *buffer;
  guint i;

  for (i = 0; i <= n_sequences; i++)
    offsets[i] = 2 * i;
  for (i = 0; i < n_sequences; i++) {
    ids[i] = first_id + 10 * i;
    labels[i] = (gint32) (first_id + i) % 2;
    tokens[2 * i] = (gint32) ids[i];
  }
  buffer = gst_buffer_new_memdup (tokens, 8 * n_sequences);
  GST_BUFFER_PTS (buffer) = first_id;
  tandem_buffer_add_batch_meta (buffer, n_sequences, offsets, ids, labels);
  return buffer;
}

/* What a stage would answer: the first token of each sequence, and its negative. */
static GstBuffer *
make_answer (GstBuffer *question)
{
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (question);
  float logits[64];
  GstBuffer *buffer;
  GstMapInfo map;
  guint i;

  gst_buffer_map (question, &map, GST_MAP_READ);
  for (i = 0; i < meta->n_sequences; i++) {
    logits[2 * i] = ((const gint32 *) map.data)[meta->offsets[i]];
    logits[2 * i + 1] = -logits[2 * i];
  }
  gst_buffer_unmap (question, &map);
  buffer = gst_buffer_new_memdup (logits, 8 * meta->n_sequences);
  tandem_buffer_add_batch_meta (buffer, meta->n_sequences, NULL, meta->ids, NULL);
  return buffer;
}

static TandemAnswerResult
answer (TandemAnswerBook *book, GstBuffer *question)
{
  g_autoptr (GstBuffer) logits = make_answer (question);
  g_autoptr (GError) error = NULL;
  TandemAnswerResult result = tandem_answer_book_answer (book, logits, &error);

  g_assert_true ((error != NULL) == (result == TANDEM_ANSWER_WRONG));
  return result;
}

static void
assert_next (TandemAnswerBook *book, guint64 first_id, guint n_sequences)
{
  g_autoptr (GstBuffer) buffer = GST_BUFFER (tandem_answer_book_take (book));
  TandemBatchMeta *meta;
  GstMapInfo map;
  guint i;

  g_assert_nonnull (buffer);
  meta = tandem_buffer_get_batch_meta (buffer);
  g_assert_cmpuint (meta->n_sequences, ==, n_sequences);
  g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==, first_id);
  g_assert_cmpuint (gst_buffer_get_size (buffer), ==, 8 * n_sequences);
  gst_buffer_map (buffer, &map, GST_MAP_READ);
  for (i = 0; i < n_sequences; i++) {
    g_assert_cmpuint (meta->ids[i], ==, first_id + 10 * i);
    g_assert_cmpint (meta->labels[i], ==, (gint32) (first_id + i) % 2);
    g_assert_cmpfloat (((const float *) map.data)[2 * i], ==, (float) meta->ids[i]);
  }
  gst_buffer_unmap (buffer, &map);
}

static void
test_order (void)
{
  g_autoptr (TandemAnswerBook) book = tandem_answer_book_new (8, 0, N_CLASSES);
  g_autoptr (GstBuffer) a = NULL, b = NULL;
  GstMiniObject *event;

  tandem_answer_book_add_event (book, gst_event_new_stream_start ("s"));
  tandem_answer_book_add_buffer (book, make_tokens (1000, 3));
  tandem_answer_book_add_buffer (book, make_tokens (2000, 1));
  tandem_answer_book_add_event (book, gst_event_new_eos ());
  event = tandem_answer_book_take (book);
  g_assert_cmpint (GST_EVENT_TYPE (event), ==, GST_EVENT_STREAM_START);
  gst_mini_object_unref (event);
  a = tandem_answer_book_ask (book);
  b = tandem_answer_book_ask (book);
  g_assert_null (tandem_answer_book_ask (book));
  g_assert_cmpuint (tandem_answer_book_get_n_asked (book), ==, 2);
  g_assert_cmpint (answer (book, b), ==, TANDEM_ANSWER_TAKEN);
  g_assert_null (tandem_answer_book_take (book));
  g_assert_cmpint (answer (book, a), ==, TANDEM_ANSWER_TAKEN);
  g_assert_cmpuint (tandem_answer_book_get_n_unanswered (book), ==, 0);
  assert_next (book, 1000, 3);
  assert_next (book, 2000, 1);
  event = tandem_answer_book_take (book);
  g_assert_cmpint (GST_EVENT_TYPE (event), ==, GST_EVENT_EOS);
  gst_mini_object_unref (event);
  g_assert_null (tandem_answer_book_take (book));
}

static void
test_question (void)
{
  g_autoptr (TandemAnswerBook) book = tandem_answer_book_new (8, 0, N_CLASSES);
  GstBuffer *tokens = make_tokens (77, 2);
  g_autoptr (GstBuffer) question = NULL;
  TandemBatchMeta *meta;

  tandem_answer_book_add_buffer (book, tokens);
  question = tandem_answer_book_ask (book);
  meta = tandem_buffer_get_batch_meta (question);
  g_assert_true (gst_buffer_peek_memory (question, 0) == gst_buffer_peek_memory (tokens, 0));
  g_assert_cmpuint (meta->ids[0], ==, 0);
  g_assert_cmpuint (meta->ids[1], ==, 1);
  g_assert_cmpint (meta->labels[0], ==, TANDEM_LABEL_UNKNOWN);
  g_assert_null (meta->receipts);
  g_assert_cmpuint (meta->offsets[2], ==, 4);
}

static void
test_again (void)
{
  g_autoptr (TandemAnswerBook) book = tandem_answer_book_new (8, 0, N_CLASSES);
  GstBuffer *q[3], *again[2];
  guint i;

  for (i = 0; i < 3; i++) {
    tandem_answer_book_add_buffer (book, make_tokens (100 * i, 2));
    q[i] = tandem_answer_book_ask (book);
  }
  g_assert_cmpint (answer (book, q[1]), ==, TANDEM_ANSWER_TAKEN);
  tandem_answer_book_ask_again (book);
  g_assert_cmpuint (tandem_answer_book_get_n_asked (book), ==, 0);
  again[0] = tandem_answer_book_ask (book);
  again[1] = tandem_answer_book_ask (book);
  g_assert_null (tandem_answer_book_ask (book));
  g_assert_cmpuint (tandem_buffer_get_batch_meta (again[0])->ids[0], ==, 0);
  g_assert_cmpuint (tandem_buffer_get_batch_meta (again[1])->ids[0], ==, 4);
  /* The first one who was asked answers late, then the second. */
  g_assert_cmpint (answer (book, q[2]), ==, TANDEM_ANSWER_TAKEN);
  g_assert_cmpint (answer (book, again[1]), ==, TANDEM_ANSWER_REPEATED);
  g_assert_cmpint (answer (book, q[1]), ==, TANDEM_ANSWER_REPEATED);
  g_assert_cmpint (answer (book, again[0]), ==, TANDEM_ANSWER_TAKEN);
  g_assert_cmpuint (tandem_answer_book_get_n_asked (book), ==, 0);
  for (i = 0; i < 3; i++) {
    assert_next (book, 100 * i, 2);
    gst_buffer_unref (q[i]);
  }
  gst_buffer_unref (again[0]);
  gst_buffer_unref (again[1]);
}

static TandemAnswerResult
answer_raw (TandemAnswerBook *book, guint n_sequences, guint64 first_id, guint64 step, gsize size)
{
  g_autoptr (GstBuffer) logits = gst_buffer_new_allocate (NULL, size, NULL);
  g_autoptr (GError) error = NULL;
  guint64 ids[32];
  TandemAnswerResult result;
  guint i;

  gst_buffer_memset (logits, 0, 0, size);
  for (i = 0; i < n_sequences; i++)
    ids[i] = first_id + step * i;
  if (n_sequences > 0)
    tandem_buffer_add_batch_meta (logits, n_sequences, NULL, ids, NULL);
  result = tandem_answer_book_answer (book, logits, &error);
  g_assert_true ((error != NULL) == (result == TANDEM_ANSWER_WRONG));
  return result;
}

static void
test_wrong (void)
{
  g_autoptr (TandemAnswerBook) book = tandem_answer_book_new (8, 0, N_CLASSES);
  g_autoptr (GstBuffer) question = NULL;

  tandem_answer_book_add_buffer (book, make_tokens (0, 3));
  g_assert_cmpint (answer_raw (book, 3, 0, 1, 24), ==, TANDEM_ANSWER_WRONG);   /* not asked */
  question = tandem_answer_book_ask (book);
  tandem_answer_book_add_buffer (book, make_tokens (5, 3));
  g_assert_cmpint (answer_raw (book, 0, 0, 1, 24), ==, TANDEM_ANSWER_WRONG);   /* no meta */
  g_assert_cmpint (answer_raw (book, 2, 0, 1, 16), ==, TANDEM_ANSWER_WRONG);   /* too few */
  g_assert_cmpint (answer_raw (book, 4, 0, 1, 32), ==, TANDEM_ANSWER_WRONG);
  g_assert_cmpint (answer_raw (book, 3, 0, 1, 23), ==, TANDEM_ANSWER_WRONG);   /* bytes */
  g_assert_cmpint (answer_raw (book, 3, 0, 1, 36), ==, TANDEM_ANSWER_WRONG);
  g_assert_cmpint (answer_raw (book, 3, 0, 2, 24), ==, TANDEM_ANSWER_WRONG);   /* ids */
  g_assert_cmpint (answer_raw (book, 3, 3, 1, 24), ==, TANDEM_ANSWER_WRONG);   /* to come */
  g_assert_cmpint (answer_raw (book, 3, 6, 1, 24), ==, TANDEM_ANSWER_WRONG);
  g_assert_cmpint (answer_raw (book, 3, G_MAXUINT64 - 1, 1, 24), ==, TANDEM_ANSWER_WRONG);
  g_assert_cmpint (answer_raw (book, 1, 1, 1, 8), ==, TANDEM_ANSWER_REPEATED); /* in between */
  g_assert_null (tandem_answer_book_take (book));
  g_assert_cmpint (answer (book, question), ==, TANDEM_ANSWER_TAKEN);
  assert_next (book, 0, 3);
}

static void
test_room (void)
{
  g_autoptr (TandemAnswerBook) book = tandem_answer_book_new (2, 40, N_CLASSES);
  g_autoptr (GstBuffer) question = NULL;

  g_assert_true (tandem_answer_book_has_room (book, 1000));
  tandem_answer_book_add_buffer (book, make_tokens (0, 3));
  g_assert_true (tandem_answer_book_has_room (book, 16));
  g_assert_false (tandem_answer_book_has_room (book, 17));
  tandem_answer_book_add_buffer (book, make_tokens (100, 1));
  g_assert_false (tandem_answer_book_has_room (book, 1));
  question = tandem_answer_book_ask (book);
  answer (book, question);
  g_assert_false (tandem_answer_book_has_room (book, 1));
  assert_next (book, 0, 3);
  g_assert_true (tandem_answer_book_has_room (book, 1));
}

static void
count (gboolean completed, gpointer data)
{
  (*(guint *) data) += completed ? 100 : 1;
}

static void
test_receipts (void)
{
  g_autoptr (TandemAnswerBook) book = tandem_answer_book_new (4, 0, N_CLASSES);
  guint first = 0, second = 0, *of[] = { &first, &second }, i;
  g_autoptr (GstBuffer) question = NULL, given = NULL;

  for (i = 0; i < 2; i++) {
    GstBuffer *tokens = make_tokens (10 * i, 1);
    g_autoptr (TandemReceipt) receipt = tandem_receipt_new (count, of[i], NULL);

    tandem_batch_meta_add_receipt (tandem_buffer_get_batch_meta (tokens), receipt);
    tandem_answer_book_add_buffer (book, tokens);
  }
  question = tandem_answer_book_ask (book);
  answer (book, question);
  given = GST_BUFFER (tandem_answer_book_take (book));
  g_assert_cmpuint (first, ==, 0);
  tandem_batch_meta_complete (tandem_buffer_get_batch_meta (given));
  g_assert_cmpuint (first, ==, 100);
  tandem_answer_book_flush (book);
  g_assert_cmpuint (second, ==, 1);
}

static void
test_flush (void)
{
  g_autoptr (TandemAnswerBook) book = tandem_answer_book_new (4, 0, N_CLASSES);
  g_autoptr (GstCaps) caps = gst_caps_new_empty_simple ("a/b");
  g_autoptr (GstBuffer) late = NULL, question = NULL;
  GstSegment segment;
  GstMiniObject *event;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  tandem_answer_book_add_buffer (book, make_tokens (0, 2));
  tandem_answer_book_add_event (book, gst_event_new_caps (caps));
  tandem_answer_book_add_event (book, gst_event_new_segment (&segment));
  tandem_answer_book_add_event (book, gst_event_new_eos ());
  late = tandem_answer_book_ask (book);
  tandem_answer_book_flush (book);
  g_assert_cmpuint (tandem_answer_book_get_n_unanswered (book), ==, 0);
  tandem_answer_book_add_buffer (book, make_tokens (50, 2));
  event = tandem_answer_book_take (book);
  g_assert_cmpint (GST_EVENT_TYPE (event), ==, GST_EVENT_CAPS);
  gst_mini_object_unref (event);
  g_assert_null (tandem_answer_book_take (book));
  question = tandem_answer_book_ask (book);
  g_assert_cmpint (answer (book, late), ==, TANDEM_ANSWER_REPEATED);
  g_assert_cmpint (answer (book, question), ==, TANDEM_ANSWER_TAKEN);
  assert_next (book, 50, 2);
}

/* Two who are asked in turns, answer late, twice and in any order, and leave. */
static void
test_random (void)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  guint round;

  for (round = 0; round < 200; round++) {
    g_autoptr (TandemAnswerBook) book = tandem_answer_book_new (8, 0, N_CLASSES);
    g_autoptr (GPtrArray) asked =
        g_ptr_array_new_with_free_func ((GDestroyNotify) gst_buffer_unref);
    guint added = 0, taken = 0;

    while (taken < 60) {
      GstBuffer *question;
      GstMiniObject *object;

      switch (g_rand_int_range (rand, 0, 6)) {
        case 0:
          if (added < 60 && tandem_answer_book_has_room (book, 8))
            tandem_answer_book_add_buffer (book, make_tokens (added++, 1));
          break;
        case 1:
          if ((question = tandem_answer_book_ask (book)) != NULL)
            g_ptr_array_add (asked, question);
          break;
        case 2:
        case 3:
          if (asked->len > 0)
            g_assert_cmpint (answer (book, g_ptr_array_index (asked,
                                 g_rand_int_range (rand, 0, asked->len))), !=,
                             TANDEM_ANSWER_WRONG);
          break;
        case 4:
          if (g_rand_int_range (rand, 0, 10) == 0)
            tandem_answer_book_ask_again (book);
          break;
        default:
          if ((object = tandem_answer_book_take (book)) != NULL) {
            g_assert_cmpuint (GST_BUFFER_PTS (GST_BUFFER (object)), ==, taken++);
            gst_mini_object_unref (object);
          }
          break;
      }
    }
    g_assert_cmpuint (added, ==, 60);
    g_assert_cmpuint (tandem_answer_book_get_n_asked (book), ==, 0);
    g_assert_null (tandem_answer_book_ask (book));
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cluster/answers/order", test_order);
  g_test_add_func ("/cluster/answers/question", test_question);
  g_test_add_func ("/cluster/answers/again", test_again);
  g_test_add_func ("/cluster/answers/wrong", test_wrong);
  g_test_add_func ("/cluster/answers/room", test_room);
  g_test_add_func ("/cluster/answers/receipts", test_receipts);
  g_test_add_func ("/cluster/answers/flush", test_flush);
  g_test_add_func ("/cluster/answers/random", test_random);
  return g_test_run ();
}
