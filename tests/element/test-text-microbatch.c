/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "text-harness.h"

#define CAPS TANDEM_CAPS_TOKENS ", vocab=(string)" \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static GstHarness *
new_harness (const char *properties)
{
  g_autofree char *launch = g_strconcat ("microbatch ", properties, NULL);
  GstHarness *h = gst_harness_new_parse (launch);

  gst_harness_set_src_caps_str (h, CAPS);
  return h;
}

/* Checks that @buffer holds the sequences @first, @first + 1 and so on, of @lengths. */
static void
assert_batch (GstBuffer *buffer, guint64 first, guint n, const guint *lengths)
{
  const TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);
  GstMapInfo map;
  guint i, j;

  g_assert_nonnull (meta);
  g_assert_cmpuint (meta->n_sequences, ==, n);
  gst_buffer_map (buffer, &map, GST_MAP_READ);
  g_assert_cmpuint (map.size, ==, tandem_batch_meta_get_n_rows (meta) * sizeof (gint32));
  for (i = 0; i < n; i++) {
    g_assert_cmpuint (meta->ids[i], ==, first + i);
    g_assert_cmpuint (meta->offsets[i + 1] - meta->offsets[i], ==, lengths[i]);
    for (j = 0; j < lengths[i]; j++)
      g_assert_cmpint (((gint32 *) map.data)[meta->offsets[i] + j], ==, (first + i) * 1000 + j);
  }
  gst_buffer_unmap (buffer, &map);
  gst_buffer_unref (buffer);
}

static void
test_limits (void)
{
  static const guint lengths[] = { 2, 3, 4, 5, 90, 1, 2 };
  GstHarness *h = new_harness ("size=3 max-tokens=10");
  guint i;

  for (i = 0; i < G_N_ELEMENTS (lengths); i++) {
    GstBuffer *buffer = token_buffer (i, lengths[i]);

    GST_BUFFER_PTS (buffer) = i * GST_SECOND;
    g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
  }
  g_assert_cmpuint (gst_harness_buffers_in_queue (h), ==, 3);
  assert_batch (gst_harness_pull (h), 0, 3, lengths);
  {
    GstBuffer *buffer = gst_harness_pull (h);

    g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==, 3 * GST_SECOND);
    assert_batch (buffer, 3, 1, lengths + 3);
  }
  assert_batch (gst_harness_pull (h), 4, 1, lengths + 4);
  gst_harness_push_event (h, gst_event_new_eos ());
  assert_batch (gst_harness_pull (h), 5, 2, lengths + 5);
  gst_harness_teardown (h);
}

static GstPadProbeReturn
note_order (GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
  if ((info->type & GST_PAD_PROBE_TYPE_BUFFER) != 0)
    g_string_append (user_data, "batch ");
  else
    g_string_append_printf (user_data, "%s ", GST_EVENT_TYPE_NAME (info->data));
  return GST_PAD_PROBE_OK;
}

/* What is held goes on before an event: the end of one sender's stream of several, other caps,
 * another segment. */
static void
test_drains_before_events (void)
{
  static const guint lengths[] = { 2, 3 };
  GstHarness *h = new_harness ("size=100");
  g_autoptr (GstCaps) caps = gst_caps_from_string (CAPS);
  g_autoptr (GString) order = g_string_new (NULL);
  GstSegment segment;
  GstEvent *events[3];
  guint i;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.base = GST_SECOND;
  gst_caps_set_simple (caps, "vocab", G_TYPE_STRING, "another", NULL);
  events[0] = gst_event_new_stream_group_done (7);
  events[1] = gst_event_new_caps (caps);
  events[2] = gst_event_new_segment (&segment);
  gst_harness_push (h, token_buffer (0, 1));
  gst_harness_push_event (h, gst_event_new_gap (0, GST_SECOND));
  gst_buffer_unref (gst_harness_pull (h));
  gst_pad_add_probe (h->sinkpad,
                     GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, note_order,
                     order, NULL);
  for (i = 0; i < G_N_ELEMENTS (events); i++) {
    g_autofree char *expected =
        g_strdup_printf ("batch %s ", GST_EVENT_TYPE_NAME (events[i]));

    g_string_truncate (order, 0);
    gst_harness_push (h, token_buffer (2 * i, 2));
    gst_harness_push (h, token_buffer (2 * i + 1, 3));
    g_assert_cmpstr (order->str, ==, "");
    g_assert_true (gst_harness_push_event (h, events[i]));
    g_assert_cmpstr (order->str, ==, expected);
    assert_batch (gst_harness_pull (h), 2 * i, 2, lengths);
  }
  gst_harness_teardown (h);
}

static void
count_settled (gboolean completed, gpointer user_data)
{
  ((int *) user_data)[completed]++;
}

static void
test_receipts (void)
{
  GstHarness *h = new_harness ("size=2");
  int counts[2] = { 0, 0 };
  GstBuffer *buffer;
  guint i;

  for (i = 0; i < 3; i++) {
    TandemReceipt *receipt = tandem_receipt_new (count_settled, counts, NULL);

    buffer = token_buffer (i, 2);
    tandem_batch_meta_add_receipt (tandem_buffer_get_batch_meta (buffer), receipt);
    tandem_receipt_unref (receipt);
    gst_harness_push (h, buffer);
  }
  g_assert_cmpint (counts[0] + counts[1], ==, 0);
  buffer = gst_harness_pull (h);
  tandem_batch_meta_complete (tandem_buffer_get_batch_meta (buffer));
  gst_buffer_unref (buffer);
  g_assert_cmpint (counts[1], ==, 2);
  /* What a flush throws away says so. */
  gst_harness_push_event (h, gst_event_new_flush_start ());
  gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  g_assert_cmpint (counts[0], ==, 1);
  gst_harness_teardown (h);
}

static void
test_latency (void)
{
  static const guint lengths[] = { 4, 4 };
  GstHarness *h = new_harness ("max-latency=30");
  gint64 start;
  guint i;

  for (i = 0; i < 3; i++) {
    start = g_get_monotonic_time ();
    gst_harness_push (h, token_buffer (2 * i, 4));
    gst_harness_push (h, token_buffer (2 * i + 1, 4));
    assert_batch (gst_harness_pull (h), 2 * i, 2, lengths);
    g_assert_cmpint (g_get_monotonic_time () - start, >=, 29000);
  }
  gst_harness_set_upstream_latency (h, 5 * GST_MSECOND);
  g_assert_cmpuint (gst_harness_query_latency (h), ==, 35 * GST_MSECOND);
  gst_harness_teardown (h);
}

/* Timer and streaming thread push at once: nothing is lost or reordered. */
static void
test_race (void)
{
  GstHarness *h = new_harness ("max-latency=1 size=3");
  guint64 next = 0;
  guint i;

  for (i = 0; i < 600; i++) {
    gst_harness_push (h, token_buffer (i, 1));
    if (i % 4 == 0)
      g_usleep (i % 1500);
  }
  gst_harness_push_event (h, gst_event_new_eos ());
  while (next < 600) {
    GstBuffer *buffer = gst_harness_pull (h);
    const TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);

    for (i = 0; i < meta->n_sequences; i++)
      g_assert_cmpuint (meta->ids[i], ==, next++);
    gst_buffer_unref (buffer);
  }
  g_assert_cmpuint (gst_harness_buffers_in_queue (h), ==, 0);
  gst_harness_teardown (h);
}

static void
test_states (void)
{
  GstHarness *h = new_harness ("max-latency=1");
  GstElement *element = gst_harness_find_element (h, "microbatch");
  guint i;

  for (i = 0; i < 50; i++) {
    gst_harness_push (h, token_buffer (i, 3));
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_READY), ==,
                     GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_PLAYING), ==,
                     GST_STATE_CHANGE_SUCCESS);
    gst_harness_set_src_caps_str (h, CAPS);
  }
  gst_object_unref (element);
  gst_harness_teardown (h);
}

/* The timer's push blocks in the sink's preroll: going down has to free it. */
static void
test_blocked (void)
{
  g_autofree char *vocabulary = write_vocabulary ();
  g_autofree char *rows = g_strconcat (vocabulary, ".tsv", NULL);
  g_autofree char *launch = NULL;
  GstElement *pipeline;
  guint i;

  g_assert_true (g_file_set_contents (rows, "neg\ta\n", -1, NULL));
  launch = g_strdup_printf ("reviewsrc location=%s epochs=0 limit=50000 ! tokenize vocab=%s ! "
                            "microbatch size=60000 max-tokens=1000000 max-latency=1 ! fakesink",
                            rows, vocabulary);
  pipeline = gst_parse_launch (launch, NULL);
  for (i = 0; i < 20; i++) {
    gst_element_set_state (pipeline, GST_STATE_PAUSED);
    g_assert_cmpint (gst_element_get_state (pipeline, NULL, NULL, 5 * GST_SECOND), ==,
                     GST_STATE_CHANGE_SUCCESS);
    g_usleep (i * 300);
    g_assert_cmpint (gst_element_set_state (pipeline, GST_STATE_READY), ==,
                     GST_STATE_CHANGE_SUCCESS);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  g_unlink (rows);
  g_unlink (vocabulary);
}

static void
test_bad_input (void)
{
  GstHarness *h = new_harness ("");
  const guint32 offsets[] = { 0, 5 };
  GstBuffer *buffer = gst_buffer_new_memdup ("abcd", 4);

  g_assert_cmpint (gst_harness_push (h, gst_buffer_ref (buffer)), ==, GST_FLOW_ERROR);
  gst_buffer_unref (buffer);
  buffer = gst_buffer_new_memdup ("abcd", 4);
  tandem_buffer_add_batch_meta (buffer, 1, offsets, NULL, NULL);
  g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_ERROR);
  gst_harness_teardown (h);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  tandem_init ();
  g_test_add_func ("/microbatch/limits", test_limits);
  g_test_add_func ("/microbatch/drains-before-events", test_drains_before_events);
  g_test_add_func ("/microbatch/receipts", test_receipts);
  g_test_add_func ("/microbatch/latency", test_latency);
  g_test_add_func ("/microbatch/race", test_race);
  g_test_add_func ("/microbatch/states", test_states);
  g_test_add_func ("/microbatch/blocked", test_blocked);
  g_test_add_func ("/microbatch/bad-input", test_bad_input);
  return g_test_run ();
}
