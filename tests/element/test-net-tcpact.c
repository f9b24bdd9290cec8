/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "net-harness.h"

static void
count_settled (gboolean completed, gpointer user_data)
{
  int *counts = user_data;

  g_atomic_int_inc (&counts[completed ? 1 : 0]);
}

static void
add_counter (GstBuffer *buffer, int *counts)
{
  TandemReceipt *receipt = tandem_receipt_new (count_settled, counts, NULL);

  tandem_batch_meta_add_receipt (tandem_buffer_get_batch_meta (buffer), receipt);
  tandem_receipt_unref (receipt);
}

static gboolean
next_event (Side *src, GstEventType type)
{
  gboolean found = FALSE;

  while (!found) {
    g_autoptr (GstEvent) event = gst_harness_try_pull_event (src->harness);

    if (event == NULL)
      return FALSE;
    found = GST_EVENT_TYPE (event) == type;
  }
  return TRUE;
}

/* gst-launch-1.0 writes a position over what people type when it gets one. */
static void
test_no_position (void)
{
  static const char *const names[] = { "tcpactsink", "sentimentsink", "fakesink" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (GstElement) sink = gst_object_ref_sink (gst_element_factory_make (names[i], NULL));
    g_autoptr (GstPad) pad = gst_element_get_static_pad (sink, "sink");
    gint64 position;

    gst_element_set_state (sink, GST_STATE_PLAYING);
    gst_pad_send_event (pad, gst_event_new_stream_start ("stream"));
    gst_pad_send_event (pad, gst_event_new_segment (&(GstSegment) {
      .rate = 1.0, .applied_rate = 1.0, .format = GST_FORMAT_TIME, .stop = -1, .duration = -1 }));
    /* The last one shows that the question has an answer elsewhere. */
    g_assert_cmpint (gst_element_query_position (sink, GST_FORMAT_TIME, &position), ==,
                     i + 1 == G_N_ELEMENTS (names));
    gst_element_set_state (sink, GST_STATE_NULL);
  }
}

static void
test_one_stream (void)
{
  Side src, sink;
  g_autoptr (GstCaps) caps = activation_caps (2), got = NULL;
  g_autoptr (GstPad) pad = NULL;

  src_new (&src, FALSE);
  sink_new (&sink, side_port (&src));
  run_stream (&src, &sink, 0, 20);
  WAIT_UNTIL (GST_PAD_IS_EOS (src.harness->sinkpad));
  g_assert_true (next_event (&src, GST_EVENT_STREAM_START));
  g_assert_true (next_event (&src, GST_EVENT_CAPS));
  g_assert_true (next_event (&src, GST_EVENT_SEGMENT));
  g_assert_true (next_event (&src, GST_EVENT_EOS));
  pad = gst_element_get_static_pad (src.element, "src");
  got = gst_pad_get_current_caps (pad);
  g_assert_true (got == NULL || gst_caps_is_equal (got, caps));
  side_clear (&sink);
  side_clear (&src);
}

static void
test_empty_stream (void)
{
  Side src, sink;

  src_new (&src, FALSE);
  sink_new (&sink, side_port (&src));
  run_stream (&src, &sink, 0, 0);
  WAIT_UNTIL (GST_PAD_IS_EOS (src.harness->sinkpad));
  side_clear (&sink);
  side_clear (&src);
}

/* The consumer behind the network completes what the producer before it attached. */
static void
test_receipts_chain (void)
{
  Side src, sink;
  int counts[2] = { 0, 0 };
  GstBuffer *buffer = numbered_buffer (0, 3), *got;

  src_new (&src, FALSE);
  sink_new (&sink, side_port (&src));
  add_counter (buffer, counts);
  g_assert_cmpint (gst_harness_push (sink.harness, buffer), ==, GST_FLOW_OK);
  got = gst_harness_pull (src.harness);
  g_assert_cmpint (g_atomic_int_get (&counts[1]), ==, 0);
  consume (got);
  WAIT_UNTIL (g_atomic_int_get (&counts[1]) == 1);
  g_assert_cmpint (counts[0], ==, 0);
  side_clear (&sink);
  side_clear (&src);
}

static void
test_dropped_is_an_error (void)
{
  Side src, sink;
  int counts[2] = { 0, 0 };
  GstBuffer *buffer = numbered_buffer (0, 3);
  g_autofree char *text = NULL;

  src_new (&src, FALSE);
  sink_new (&sink, side_port (&src));
  add_counter (buffer, counts);
  gst_harness_push (sink.harness, buffer);
  gst_buffer_unref (gst_harness_pull (src.harness));
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "dropped micro-batch 1");
  WAIT_UNTIL (g_atomic_int_get (&counts[0]) == 1);
  g_assert_cmpint (gst_harness_push (sink.harness, numbered_buffer (1, 3)), ==, GST_FLOW_ERROR);
  assert_no_message (&sink, GST_MESSAGE_ERROR);
  side_clear (&sink);
  side_clear (&src);
}

typedef struct
{
  Side *sink;
  guint n, rows;
  gint pushed;                  /* atomic */
} Pusher;

static gpointer
push_many (gpointer data)
{
  Pusher *pusher = data;
  guint i;

  for (i = 0; i < pusher->n; i++) {
    if (gst_harness_push (pusher->sink->harness, numbered_buffer (i, pusher->rows)) !=
        GST_FLOW_OK)
      return NULL;
    g_atomic_int_inc (&pusher->pushed);
  }
  push_eos (pusher->sink);
  return NULL;
}

/* What is in flight never exceeds the window; nothing is dropped; EOS waits for everything. */
static void
test_slow_receiver (void)
{
  Side src, sink;
  Pusher pusher = { &sink, 60, 3000, 0 };
  GThread *thread;
  GQueue held = G_QUEUE_INIT;
  guint i;

  src_new (&src, FALSE);
  sink_make (&sink, side_port (&src));
  g_object_set (sink.element, "window", 5, NULL);
  sink_play (&sink, 2);
  thread = g_thread_new ("push", push_many, &pusher);
  for (i = 0; i < 60; i++) {
    GstBuffer *buffer = gst_harness_pull (src.harness);

    check_numbered (buffer, i, 3000);
    g_queue_push_tail (&held, buffer);
    if (held.length == 5) {
      if (i == 4) {
        g_usleep (200 * 1000);
        g_assert_cmpint (g_atomic_int_get (&pusher.pushed), ==, 5);
      }
      g_assert_cmpint (g_atomic_int_get (&pusher.pushed), <=, i + 1);
      assert_no_message (&sink, GST_MESSAGE_EOS);
      consume (g_queue_pop_head (&held));
    }
  }
  g_usleep (50 * 1000);
  assert_no_message (&sink, GST_MESSAGE_EOS);
  /* Any order of completion will do. */
  while (held.length > 0)
    consume (g_queue_pop_tail (&held));
  g_thread_join (thread);
  wait_message (&sink, GST_MESSAGE_EOS);
  side_clear (&sink);
  side_clear (&src);
}

/* So is its number of bytes, but for two micro-batches. */
static void
test_window_bytes (void)
{
  Side src, sink;
  Pusher pusher = { &sink, 20, 3000, 0 };
  GThread *thread;
  GQueue held = G_QUEUE_INIT;
  guint i, expected = 2;

  src_new (&src, FALSE);
  sink_make (&sink, side_port (&src));
  g_object_set (sink.element, "window", 8, "window-bytes", (guint64) 1, NULL);
  sink_play (&sink, 2);
  thread = g_thread_new ("push", push_many, &pusher);
  for (i = 0; i < 20; i++) {
    g_queue_push_tail (&held, gst_harness_pull (src.harness));
    if (held.length < expected)
      continue;
    if (i + 1 == expected) {
      g_usleep (200 * 1000);
      g_assert_cmpint (g_atomic_int_get (&pusher.pushed), ==, expected);
    }
    g_assert_cmpint (g_atomic_int_get (&pusher.pushed), <=, i + 1);
    consume (g_queue_pop_head (&held));
  }
  while (held.length > 0)
    consume (g_queue_pop_tail (&held));
  g_thread_join (thread);
  wait_message (&sink, GST_MESSAGE_EOS);
  side_clear (&sink);
  side_clear (&src);
}

/* The receiver's own window and bytes hold back a sender that would send more. */
static void
test_receiver_window (void)
{
  Side src, sink;
  Pusher pusher = { &sink, 30, 3000, 0 };
  GThread *thread;
  guint i;

  src_make (&src);
  g_object_set (src.element, "window", 3, "max-payload", 3000 * WIDTH * 4, NULL);
  gst_harness_play (src.harness);
  sink_make (&sink, side_port (&src));
  g_object_set (sink.element, "window", 30, NULL);
  sink_play (&sink, 2);
  thread = g_thread_new ("push", push_many, &pusher);
  WAIT_UNTIL (gst_harness_buffers_in_queue (src.harness) == 2);
  g_usleep (100 * 1000);
  g_assert_cmpuint (gst_harness_buffers_in_queue (src.harness), ==, 2);
  for (i = 0; i < 30; i++)
    consume (gst_harness_pull (src.harness));
  g_thread_join (thread);
  side_clear (&sink);
  side_clear (&src);
}

static void
test_unlocks_while_blocked (void)
{
  Side src, sink;
  Pusher pusher = { &sink, 60, 3, 0 };
  GThread *thread;

  src_new (&src, FALSE);
  sink_new (&sink, side_port (&src));
  thread = g_thread_new ("push", push_many, &pusher);
  WAIT_UNTIL (g_atomic_int_get (&pusher.pushed) == 8);
  gst_element_set_state (sink.element, GST_STATE_READY);
  g_thread_join (thread);
  g_assert_cmpint (pusher.pushed, ==, 8);
  side_clear (&sink);
  side_clear (&src);
}

static void
test_keep_listening (void)
{
  Side src;
  guint i;

  src_new (&src, TRUE);
  for (i = 0; i < 5; i++) {
    Side sink;

    sink_new (&sink, side_port (&src));
    run_stream (&src, &sink, 10 * i, 4);
    side_clear (&sink);
    WAIT_UNTIL (next_event (&src, GST_EVENT_STREAM_GROUP_DONE));
  }
  g_assert_false (GST_PAD_IS_EOS (src.harness->sinkpad));
  side_clear (&src);
}

/* The one that listens may come later. */
static void
test_sender_first (void)
{
  Side src, sink;
  guint port;

  src_new (&src, FALSE);
  port = side_port (&src);
  side_clear (&src);
  sink_new (&sink, port);
  gst_harness_push (sink.harness, numbered_buffer (0, 3));
  g_usleep (100 * 1000);
  src_make (&src);
  g_object_set (src.element, "port", port, NULL);
  gst_harness_play (src.harness);
  consume (gst_harness_pull (src.harness));
  run_stream (&src, &sink, 1, 3);
  side_clear (&sink);
  side_clear (&src);
}

/* One side stops in mid-stream: the other does not wait for it. */
static void
test_stopped_in_mid_stream (void)
{
  Side src, sink;
  g_autofree char *at_src = NULL, *at_sink = NULL;
  GstBuffer *buffer;

  src_new (&src, FALSE);
  sink_new (&sink, side_port (&src));
  gst_harness_push (sink.harness, numbered_buffer (0, 3));
  consume (gst_harness_pull (src.harness));
  gst_element_set_state (sink.element, GST_STATE_NULL);
  at_src = wait_message (&src, GST_MESSAGE_ERROR);
  assert_contains (at_src, "stopped in mid-stream");
  side_clear (&sink);
  side_clear (&src);

  src_new (&src, FALSE);
  sink_new (&sink, side_port (&src));
  gst_harness_push (sink.harness, numbered_buffer (0, 3));
  buffer = gst_harness_pull (src.harness);
  gst_element_set_state (src.element, GST_STATE_NULL);
  at_sink = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (at_sink, "stopped in mid-stream");
  consume (buffer);
  side_clear (&sink);
  side_clear (&src);
}

static void
test_flush (void)
{
  Side src, sink;
  int counts[2] = { 0, 0 };
  GstSegment segment;
  GstBuffer *got[3];
  guint i;

  src_new (&src, FALSE);
  sink_new (&sink, side_port (&src));
  for (i = 0; i < 3; i++) {
    GstBuffer *buffer = numbered_buffer (i, 3);

    add_counter (buffer, counts);
    gst_harness_push (sink.harness, buffer);
  }
  for (i = 0; i < 3; i++)
    got[i] = gst_harness_pull (src.harness);
  gst_harness_push_event (sink.harness, gst_event_new_flush_start ());
  gst_harness_push_event (sink.harness, gst_event_new_flush_stop (TRUE));
  WAIT_UNTIL (next_event (&src, GST_EVENT_FLUSH_STOP));
  /* What the consumer drops now was given up by the sender before: no error. */
  for (i = 0; i < 3; i++)
    gst_buffer_unref (got[i]);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (sink.harness, gst_event_new_segment (&segment));
  gst_harness_push (sink.harness, numbered_buffer (7, 3));
  got[0] = gst_harness_pull (src.harness);
  check_numbered (got[0], 7, 3);
  consume (got[0]);
  WAIT_UNTIL (g_atomic_int_get (&counts[0]) == 3);
  assert_no_message (&sink, GST_MESSAGE_ERROR);
  side_clear (&sink);
  side_clear (&src);
}

static void
test_caps_change (void)
{
  Side src, sink;
  g_autoptr (GstCaps) caps = NULL;
  GstBuffer *buffer;
  const guint32 offsets[] = { 0, 1 };

  src_new (&src, FALSE);
  sink_new (&sink, side_port (&src));
  gst_harness_push (sink.harness, numbered_buffer (0, 3));
  consume (gst_harness_pull (src.harness));
  gst_harness_set_src_caps (sink.harness, gst_caps_from_string (
      TANDEM_CAPS_LOGITS ",model=" FINGERPRINT ",classes=2,labels=(string)<no,yes>"));
  buffer = gst_buffer_new_allocate (NULL, 8, NULL);
  gst_buffer_memset (buffer, 0, 0, 8);
  tandem_buffer_add_batch_meta (buffer, 1, offsets, NULL, NULL);
  gst_harness_push (sink.harness, buffer);
  consume (gst_harness_pull (src.harness));
  caps = gst_pad_get_current_caps (src.harness->sinkpad);
  g_assert_true (gst_structure_has_name (gst_caps_get_structure (caps, 0), TANDEM_CAPS_LOGITS));
  g_assert_true (gst_structure_has_field (gst_caps_get_structure (caps, 0), "labels"));
  run_stream (&src, &sink, 0, 0);
  side_clear (&sink);
  side_clear (&src);
}

static void
consume_handoff (GstElement *fakesink, GstBuffer *buffer, GstPad *pad, gpointer data)
{
  tandem_batch_meta_complete (tandem_buffer_get_batch_meta (buffer));
}

static void
play (GstElement *pipeline, GstState state)
{
  g_assert_cmpint (gst_element_set_state (pipeline, state), !=, GST_STATE_CHANGE_FAILURE);
}

static void
wait_eos (GstElement *pipeline)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message = gst_bus_timed_pop_filtered (
      bus, 10 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);

  g_assert_nonnull (message);
  if (GST_MESSAGE_TYPE (message) != GST_MESSAGE_EOS)
    g_error ("%" GST_PTR_FORMAT, message);
}

/* Real pipelines, as a program runs them: preroll, pause, play, end; again and again. */
static void
test_pipelines (void)
{
  g_autoptr (GstElement) receiving = NULL, sending = NULL, src = NULL, app = NULL, sink = NULL;
  g_autoptr (GstElement) consumer = NULL;
  g_autoptr (GstElementFactory) factory = gst_element_factory_find ("appsrc");
  guint round, i;

  if (factory == NULL) {
    g_test_skip ("appsrc is not installed");
    return;
  }
  receiving = gst_parse_launch ("tcpactsrc name=src port=0 ! queue ! "
                                "fakesink name=consumer sync=false signal-handoffs=true", NULL);
  sending = gst_parse_launch ("appsrc name=app format=time ! "
                              "tcpactsink name=sink host=127.0.0.1", NULL);
  src = gst_bin_get_by_name (GST_BIN (receiving), "src");
  consumer = gst_bin_get_by_name (GST_BIN (receiving), "consumer");
  app = gst_bin_get_by_name (GST_BIN (sending), "app");
  sink = gst_bin_get_by_name (GST_BIN (sending), "sink");
  g_signal_connect (consumer, "handoff", G_CALLBACK (consume_handoff), NULL);
  for (round = 0; round < 20; round++) {
    g_autoptr (GstCaps) caps = activation_caps (2);
    GstFlowReturn ret;
    guint port;

    play (receiving, round % 2 ? GST_STATE_PAUSED : GST_STATE_PLAYING);
    g_object_get (src, "current-port", &port, NULL);
    g_object_set (sink, "port", port, NULL);
    g_object_set (app, "caps", caps, NULL);
    play (sending, GST_STATE_PLAYING);
    for (i = 0; i < 30; i++) {
      GstBuffer *buffer = numbered_buffer (i, 10);

      g_signal_emit_by_name (app, "push-buffer", buffer, &ret);
      gst_buffer_unref (buffer);
      if (i == 10) {
        /* Changing the state again before the first change is through is a race of its own. */
        gst_element_get_state (sending, NULL, NULL, 5 * GST_SECOND);
        play (sending, GST_STATE_PAUSED);
        gst_element_get_state (sending, NULL, NULL, 5 * GST_SECOND);
      }
    }
    g_signal_emit_by_name (app, "end-of-stream", &ret);
    play (sending, GST_STATE_PLAYING);
    play (receiving, GST_STATE_PLAYING);
    if (round % 5 < 4) {
      wait_eos (sending);
      wait_eos (receiving);
    }
    play (round % 3 ? sending : receiving, GST_STATE_NULL);
    play (round % 3 ? receiving : sending, GST_STATE_NULL);
  }
}

static void
test_up_and_down (void)
{
  GstElement *src = gst_object_ref_sink (gst_element_factory_make ("tcpactsrc", NULL));
  GstElement *sink = gst_object_ref_sink (gst_element_factory_make ("tcpactsink", NULL));
  guint i, fds = 0, threads = 0;

  g_object_set (src, "port", 0, NULL);
  g_object_set (sink, "host", "127.0.0.1", NULL);
  for (i = 0; i < 50; i++) {
    guint port;

    gst_element_set_state (src, GST_STATE_PLAYING);
    g_object_get (src, "current-port", &port, NULL);
    g_object_set (sink, "port", port, NULL);
    gst_element_set_state (sink, GST_STATE_PLAYING);
    if (i % 3 == 0)
      g_usleep (2000);
    gst_element_set_state (i % 2 ? sink : src, GST_STATE_NULL);
    gst_element_set_state (i % 2 ? src : sink, GST_STATE_NULL);
    if (i == 4) {
      fds = count_entries ("/proc/self/fd");
      threads = count_entries ("/proc/self/task");
    }
  }
  g_assert_cmpuint (count_entries ("/proc/self/fd"), <=, fds);
  g_assert_cmpuint (count_entries ("/proc/self/task"), <=, threads + 1);
  gst_object_unref (src);
  gst_object_unref (sink);
}

static void
test_streams_leak_nothing (void)
{
  guint i, fds = 0, threads = 0;

  for (i = 0; i < 50; i++) {
    Side src, sink;

    src_new (&src, i % 2);
    sink_new (&sink, side_port (&src));
    run_stream (&src, &sink, 0, 3);
    side_clear (&sink);
    side_clear (&src);
    if (i == 4) {
      fds = count_entries ("/proc/self/fd");
      threads = count_entries ("/proc/self/task");
    }
  }
  g_assert_cmpuint (count_entries ("/proc/self/fd"), <=, fds);
  g_assert_cmpuint (count_entries ("/proc/self/task"), <=, threads + 1);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/net/tcpact/one-stream", test_one_stream);
  g_test_add_func ("/net/tcpact/empty-stream", test_empty_stream);
  g_test_add_func ("/net/tcpact/receipts-chain", test_receipts_chain);
  g_test_add_func ("/net/tcpact/dropped-is-an-error", test_dropped_is_an_error);
  g_test_add_func ("/net/tcpact/slow-receiver", test_slow_receiver);
  g_test_add_func ("/net/tcpact/window-bytes", test_window_bytes);
  g_test_add_func ("/net/tcpact/receiver-window", test_receiver_window);
  g_test_add_func ("/net/tcpact/unlocks-while-blocked", test_unlocks_while_blocked);
  g_test_add_func ("/net/tcpact/keep-listening", test_keep_listening);
  g_test_add_func ("/net/tcpact/sender-first", test_sender_first);
  g_test_add_func ("/net/tcpact/stopped-in-mid-stream", test_stopped_in_mid_stream);
  g_test_add_func ("/net/tcpact/flush", test_flush);
  g_test_add_func ("/net/tcpact/caps-change", test_caps_change);
  g_test_add_func ("/net/tcpact/no-position", test_no_position);
  g_test_add_func ("/net/tcpact/pipelines", test_pipelines);
  g_test_add_func ("/net/tcpact/up-and-down", test_up_and_down);
  g_test_add_func ("/net/tcpact/streams-leak-nothing", test_streams_leak_nothing);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
