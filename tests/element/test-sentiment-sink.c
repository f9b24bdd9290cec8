/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What sentimentsink writes and posts, and in which order. */

#include <math.h>

#include "sentiment-sink-harness.h"

static void
test_json (Fixture *f, gconstpointer data)
{
  const guint64 ids[] = { 0, 1 };
  const gint32 labels[] = { 1, TANDEM_LABEL_UNKNOWN };
  const float logits[] = { -1.0f, 2.0f, 0.5f, 0.25f };
  g_autofree char *contents = NULL;

  g_assert_cmpint (gst_harness_push (f->harness, make_batch (f, 2, ids, labels, logits)), ==,
                   GST_FLOW_OK);
  /* A reader sees results at once, and they are there when the sender hears so. */
  contents = read_results (f);
  g_assert_cmpstr (contents, ==,
      "{\"id\":0,\"label\":\"positive\",\"probability\":0.952574127,\"logits\":[-1,2],"
      "\"expected\":\"positive\"}\n"
      "{\"id\":1,\"label\":\"negative\",\"probability\":0.562176501,\"logits\":[0.5,0.25]}\n");
  g_assert_cmpint (f->completed, ==, 1);
}

static void
test_csv_header (Fixture *f, gconstpointer data)
{
  g_autofree char *contents = NULL;

  g_assert_true (gst_harness_push_event (f->harness, gst_event_new_eos ()));
  contents = read_results (f);
  g_assert_cmpstr (contents, ==, "id,label,probability,logits,expected\r\n");
}

static void
test_messages (Fixture *f, gconstpointer data)
{
  const guint64 ids[] = { 0, 1, 2 };
  const gint32 labels[] = { 1, TANDEM_LABEL_UNKNOWN, 1 };
  const float logits[] = { -1.0f, 2.0f, 0.5f, 0.25f, 3.0f, -3.0f };
  g_autoptr (GstMessage) first = NULL, second = NULL, summary = NULL;
  const GstStructure *s;
  const GValue *array;
  guint64 n;
  int class_index;
  double value;

  gst_harness_push (f->harness, make_batch (f, 3, ids, labels, logits));
  first = pop_element_message (f, "tandem-result");
  second = pop_element_message (f, "tandem-result");
  g_assert_nonnull (first);
  g_assert_nonnull (second);
  s = gst_message_get_structure (first);
  g_assert_true (gst_structure_get_uint64 (s, "id", &n));
  g_assert_cmpuint (n, ==, 0);
  g_assert_cmpstr (gst_structure_get_string (s, "label"), ==, "positive");
  g_assert_cmpstr (gst_structure_get_string (s, "expected"), ==, "positive");
  g_assert_true (gst_structure_get_int (s, "class", &class_index));
  g_assert_cmpint (class_index, ==, 1);
  g_assert_true (gst_structure_get_double (s, "probability", &value));
  g_assert_cmpfloat_with_epsilon (value, 1.0 / (1.0 + exp (-3.0)), 1e-12);
  array = gst_structure_get_value (s, "logits");
  g_assert_true (GST_VALUE_HOLDS_ARRAY (array));
  g_assert_cmpuint (gst_value_array_get_size (array), ==, 2);
  g_assert_cmpfloat (g_value_get_float (gst_value_array_get_value (array, 1)), ==, 2.0f);
  g_assert_false (gst_structure_has_field (gst_message_get_structure (second), "expected"));

  g_assert_true (gst_harness_push_event (f->harness, gst_event_new_eos ()));
  summary = pop_element_message (f, "tandem-summary");
  g_assert_nonnull (summary);
  s = gst_message_get_structure (summary);
  g_assert_true (gst_structure_get_uint64 (s, "reviews", &n));
  g_assert_cmpuint (n, ==, 3);
  g_assert_true (gst_structure_get_double (s, "accuracy", &value));
  g_assert_cmpfloat (value, ==, 0.5);
  g_assert_false (gst_structure_has_field (s, "reviews-per-second"));
}

static void
test_no_messages (Fixture *f, gconstpointer data)
{
  push_one (f, 0);
  g_assert_null (pop_element_message (f, "tandem-result"));
}

/* The whole of a batch is acknowledged when its last result is written. */
static void
test_ordered (Fixture *f, gconstpointer data)
{
  const guint64 late[] = { 0, 3 };
  const float logits[] = { 0.0f, 1.0f, 1.0f, 0.0f };

  push_one (f, 4);
  push_one (f, 2);
  assert_ids (f, "");
  g_assert_cmpint (f->completed, ==, 0);
  gst_harness_push (f->harness, make_batch (f, 2, late, NULL, logits));
  assert_ids (f, "0 ");
  g_assert_cmpint (f->completed, ==, 0);
  push_one (f, 1);
  assert_ids (f, "0 1 2 3 4 ");
  g_assert_cmpint (f->completed, ==, 4);
  g_assert_cmpint (f->dropped, ==, 0);
}

static void
test_not_ordered (Fixture *f, gconstpointer data)
{
  push_one (f, 4);
  push_one (f, 2);
  push_one (f, 3);
  assert_ids (f, "4 2 3 ");
  g_assert_cmpint (f->completed, ==, 3);
}

static void
test_missing_id_at_end (Fixture *f, gconstpointer data)
{
  push_one (f, 9);
  push_one (f, 5);
  push_one (f, 0);
  assert_ids (f, "0 ");
  g_assert_true (gst_harness_push_event (f->harness, gst_event_new_eos ()));
  assert_ids (f, "0 5 9 ");
  g_assert_cmpint (f->completed, ==, 3);
}

static void
test_window (Fixture *f, gconstpointer data)
{
  push_one (f, 9);
  push_one (f, 8);
  push_one (f, 7);
  assert_ids (f, "7 8 9 ");
  push_one (f, 0);
  assert_ids (f, "7 8 9 0 ");
}

/* Nobody upstream waits for ever for the acknowledgement of what an id that is lost holds up. */
static void
test_timeout (Fixture *f, gconstpointer data)
{
  gint64 end = g_get_monotonic_time () + 10 * G_TIME_SPAN_SECOND;

  push_one (f, 6);
  push_one (f, 5);
  g_assert_cmpint (g_atomic_int_get (&f->completed), ==, 0);
  while (g_atomic_int_get (&f->completed) < 2 && g_get_monotonic_time () < end)
    g_usleep (1000);
  g_assert_cmpint (g_atomic_int_get (&f->completed), ==, 2);
  assert_ids (f, "5 6 ");
  push_one (f, 7);
  assert_ids (f, "5 6 7 ");
}

static void
test_flush (Fixture *f, gconstpointer data)
{
  GstSegment segment;

  push_one (f, 0);
  push_one (f, 6);
  gst_harness_push_event (f->harness, gst_event_new_flush_start ());
  gst_harness_push_event (f->harness, gst_event_new_flush_stop (TRUE));
  g_assert_cmpint (f->dropped, ==, 1);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (f->harness, gst_event_new_segment (&segment));
  g_assert_cmpint (push_one (f, 0), ==, GST_FLOW_OK);
  assert_ids (f, "0 0 ");
}

/* A source that goes on to the next sender. */
static void
test_next_stream (Fixture *f, gconstpointer data)
{
  g_autoptr (GstMessage) summary = NULL;
  guint64 n;

  push_one (f, 0);
  push_one (f, 2);
  gst_harness_push_event (f->harness, gst_event_new_stream_start ("another"));
  assert_ids (f, "0 2 ");
  summary = pop_element_message (f, "tandem-summary");
  g_assert_nonnull (summary);
  g_assert_true (gst_structure_get_uint64 (gst_message_get_structure (summary), "reviews", &n));
  g_assert_cmpuint (n, ==, 2);
  push_one (f, 1);
  push_one (f, 0);
  assert_ids (f, "0 2 0 1 ");
}

/* The end of one sender's stream is told before the next comes. */
static void
test_stream_done (Fixture *f, gconstpointer data)
{
  g_autoptr (GstMessage) summary = NULL;

  push_one (f, 2);
  gst_harness_push_event (f->harness, gst_event_new_stream_group_done (1));
  assert_ids (f, "2 ");
  g_assert_cmpint (f->completed, ==, 1);
  summary = pop_element_message (f, "tandem-summary");
  g_assert_nonnull (summary);
  /* There is nothing new to say at the end. */
  gst_harness_push_event (f->harness, gst_event_new_stream_start ("another"));
  gst_harness_push_event (f->harness, gst_event_new_eos ());
  g_assert_null (pop_element_message (f, "tandem-summary"));
}

/* Results that still wait when another model's begin keep their own labels. */
static void
test_other_labels (Fixture *f, gconstpointer data)
{
  g_autofree char *contents = NULL;

  push_one (f, 1);
  gst_harness_set_src_caps_str (f->harness, "application/x-tandem-logits, model=(string)" FP
                                ", classes=(int)2, labels=(string)< bad, good >");
  push_one (f, 0);
  contents = read_results (f);
  g_assert_cmpstr (contents, ==, "0: good 0.731\n1: positive 0.731\n");
}

static void
test_accepted_query (Fixture *f, gconstpointer data)
{
  GstQuery *query = tandem_query_new_accepted ();
  g_autoptr (GstCaps) caps = NULL;
  guint last_layer = 77;

  g_assert_true (gst_pad_peer_query (f->harness->srcpad, query));
  g_assert_true (tandem_query_parse_accepted (query, &caps, &last_layer));
  g_assert_cmpuint (last_layer, ==, 0);
  g_assert_true (gst_structure_has_name (gst_caps_get_structure (caps, 0), TANDEM_CAPS_LOGITS));
  gst_query_unref (query);
}

/* Results go to standard output, the summary to standard error. */
static void
test_standard_output (void)
{
  if (g_test_subprocess ()) {
    Fixture f = { 0 };

    f.harness = gst_harness_new_parse ("sentimentsink format=json");
    gst_harness_set_src_caps_str (f.harness, CAPS);
    push_one (&f, 0);
    gst_harness_push_event (f.harness, gst_event_new_eos ());
    close_sink (&f);
    return;
  }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stdout ("*{\"id\":0,\"label\":\"positive\",*");
  g_test_trap_assert_stdout_unmatched ("*1 review*");
  g_test_trap_assert_stderr ("*1 review\n*");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  ADD ("/sentimentsink/json", "format=json", test_json);
  ADD ("/sentimentsink/csv-header", "format=csv", test_csv_header);
  ADD ("/sentimentsink/messages", "", test_messages);
  ADD ("/sentimentsink/no-messages", "post-messages=false", test_no_messages);
  ADD ("/sentimentsink/ordered", "", test_ordered);
  ADD ("/sentimentsink/not-ordered", "ordered=false", test_not_ordered);
  ADD ("/sentimentsink/missing-id-at-end", "", test_missing_id_at_end);
  ADD ("/sentimentsink/window", "reorder-window=2 reorder-timeout=0", test_window);
  ADD ("/sentimentsink/timeout", "reorder-timeout=50000000", test_timeout);
  ADD ("/sentimentsink/flush", "", test_flush);
  ADD ("/sentimentsink/next-stream", "", test_next_stream);
  ADD ("/sentimentsink/stream-done", "", test_stream_done);
  ADD ("/sentimentsink/other-labels", "", test_other_labels);
  ADD ("/sentimentsink/accepted-query", "", test_accepted_query);
  g_test_add_func ("/sentimentsink/standard-output", test_standard_output);
  return g_test_run ();
}
