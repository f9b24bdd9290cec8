/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "text-harness.h"

static GstHarness *
new_harness (const char *properties)
{
  g_autofree char *launch = g_strconcat ("lineparse ", properties, NULL);
  GstHarness *h = gst_harness_new_parse (launch);

  gst_harness_set_src_caps_str (h, "application/octet-stream");
  return h;
}

static void
assert_lines (const char *properties, const char *input, gsize chunk, const char *expected)
{
  GstHarness *h = new_harness (properties);
  g_autofree char *lines = NULL;
  gsize length = strlen (input), at;
  GstFlowReturn flow = GST_FLOW_OK;

  for (at = 0; at < length && flow == GST_FLOW_OK; at += chunk)
    flow = gst_harness_push (h, text_buffer (input + at, MIN (chunk, length - at)));
  g_assert_true (flow == GST_FLOW_OK || flow == GST_FLOW_EOS);
  g_assert_true (gst_harness_push_event (h, gst_event_new_eos ()));
  lines = pull_lines (h);
  g_assert_cmpstr (lines, ==, expected);
  gst_harness_teardown (h);
}

static void
test_lines (void)
{
  static const gsize chunks[] = { 1, 2, 3, 7, 4096 };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (chunks); i++) {
    assert_lines ("", "one\ntwo\r\n\nthree", chunks[i], "one|two||three");
    assert_lines ("", "one\n", chunks[i], "one");
    assert_lines ("", "a\rb\r\r\nc\r", chunks[i], "a\rb\r|c");
    assert_lines ("skip-empty=true", "\none\n\r\n\ntwo\n", chunks[i], "one|two");
    assert_lines ("stop-word=done", "one\n done\t\r\ntwo\n", chunks[i], "one");
    assert_lines ("stop-word=done", "undone\ndone it\nDONE\ndone", chunks[i],
                  "undone|done it|DONE");
    assert_lines ("max-line=4", "abcd\r\nabcdefgh\nabc\n", chunks[i], "abcd|abcd|abc");
    assert_lines ("", "", chunks[i], "");
    assert_lines ("stop-word=done", "done\n", chunks[i], "");
  }
}

static void
test_at_once (void)
{
  GstHarness *h = new_harness ("");

  gst_harness_push (h, text_buffer ("on", 2));
  g_assert_cmpuint (gst_harness_buffers_received (h), ==, 0);
  gst_harness_push (h, text_buffer ("e\ntw", 4));
  g_assert_cmpuint (gst_harness_buffers_received (h), ==, 1);
  gst_harness_push (h, text_buffer ("o\n", 2));
  g_assert_cmpuint (gst_harness_buffers_received (h), ==, 2);
  gst_harness_teardown (h);
}

static void
test_stop_word_stops (void)
{
  GstHarness *h = new_harness ("stop-word=done");

  g_assert_cmpint (gst_harness_push (h, text_buffer ("one\n", 4)), ==, GST_FLOW_OK);
  g_assert_cmpint (gst_harness_push (h, text_buffer ("done\nmore\n", 10)), ==, GST_FLOW_EOS);
  g_assert_cmpint (gst_harness_push (h, text_buffer ("more\n", 5)), ==, GST_FLOW_EOS);
  g_assert_cmpuint (gst_harness_buffers_received (h), ==, 1);
  gst_harness_teardown (h);
}

static void
test_long_lines (void)
{
  GstHarness *h = new_harness ("max-line=1048576");
  GstBus *bus = gst_bus_new ();
  g_autofree char *line = g_strnfill (1 << 20, 'x');
  g_autofree char *ended = g_strconcat (line, "\r\n", NULL);
  GstMessage *message;
  GstBuffer *buffer;
  g_autoptr (GError) warning = NULL;
  guint i;
  GstElement *parse = gst_harness_find_element (h, "lineparse");

  gst_element_set_bus (parse, bus);
  gst_harness_push (h, text_buffer (ended, (1 << 20) + 2));
  g_assert_null (gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING));
  for (i = 0; i < 5; i++)
    gst_harness_push (h, text_buffer (line, 1 << 20));
  gst_harness_push (h, text_buffer ("\nz\n", 3));
  for (i = 0; i < 2; i++) {
    buffer = gst_harness_pull (h);
    g_assert_cmpuint (gst_buffer_get_size (buffer), ==, 1 << 20);
    gst_buffer_unref (buffer);
  }
  buffer = gst_harness_pull (h);
  g_assert_cmpuint (gst_buffer_get_size (buffer), ==, 1);
  gst_buffer_unref (buffer);

  message = gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING);
  g_assert_nonnull (message);
  gst_message_parse_warning (message, &warning, NULL);
  g_assert_nonnull (strstr (warning->message, "Line 2 "));
  gst_message_unref (message);
  g_assert_null (gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING));
  gst_element_set_bus (parse, NULL);
  gst_object_unref (parse);
  gst_object_unref (bus);
  gst_harness_teardown (h);
}

static void
test_flush_and_states (void)
{
  GstHarness *h = new_harness ("");
  g_autofree char *lines = NULL;
  guint i;
  GstElement *parse = gst_harness_find_element (h, "lineparse");

  gst_harness_push (h, text_buffer ("lost", 4));
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (
                     &(GstSegment) { .rate = 1, .applied_rate = 1, .format = GST_FORMAT_BYTES,
                                     .stop = -1, .duration = -1 })));
  gst_harness_push (h, text_buffer ("kept\n", 5));
  lines = pull_lines (h);
  g_assert_cmpstr (lines, ==, "kept");

  for (i = 0; i < 50; i++) {
    g_assert_cmpint (gst_element_set_state (parse, GST_STATE_READY), ==,
                     GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (gst_element_set_state (parse, GST_STATE_PLAYING), ==,
                     GST_STATE_CHANGE_SUCCESS);
  }
  gst_object_unref (parse);
  gst_harness_teardown (h);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  tandem_init ();
  g_test_add_func ("/lineparse/lines", test_lines);
  g_test_add_func ("/lineparse/at-once", test_at_once);
  g_test_add_func ("/lineparse/stop-word-stops", test_stop_word_stops);
  g_test_add_func ("/lineparse/long-lines", test_long_lines);
  g_test_add_func ("/lineparse/flush-and-states", test_flush_and_states);
  return g_test_run ();
}
