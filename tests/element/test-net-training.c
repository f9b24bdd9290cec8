/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Training over TCP: events go down in order with the buffers, and gradients come back whatever the
 * streaming threads wait for. */

#include "net-training-harness.h"

#define BIG_ROWS (2 * 1024 * 1024 / (WIDTH * sizeof (float)))

typedef struct
{
  Side *sink;
  guint n, rows;
  gint pushed;                  /* atomic */
} Pusher;

static gpointer
push_buffers (gpointer data)
{
  Pusher *pusher = data;
  guint i;

  for (i = 0; i < pusher->n; i++) {
    g_assert_cmpint (
        gst_harness_push (pusher->sink->harness, numbered_buffer (i, pusher->rows)), ==,
        GST_FLOW_OK);
    g_atomic_int_inc (&pusher->pushed);
  }
  return NULL;
}

/* What came out of tcpactsrc, in words. */
typedef struct
{
  GMutex lock;
  GString *text;
} Order;

static GstPadProbeReturn
note_order (GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
  Order *noted = user_data;
  GString *order = noted->text;
  guint64 step;
  TandemTrainingInfo got;
  TandemStepInfo stepped;

  g_mutex_lock (&noted->lock);
  if ((info->type & GST_PAD_PROBE_TYPE_BUFFER) != 0) {
    g_string_append_printf (order, "b%u ", (guint) tandem_buffer_get_batch_meta (
        GST_PAD_PROBE_INFO_BUFFER (info))->ids[0]);
  } else if (tandem_event_parse_training (GST_PAD_PROBE_INFO_EVENT (info), &got)) {
    g_assert_cmpuint (got.micro_batches, ==, training.micro_batches);
    g_string_append (order, "training ");
  } else if (tandem_event_parse_drain (GST_PAD_PROBE_INFO_EVENT (info), &step)) {
    g_string_append_printf (order, "drain%u ", (guint) step);
  } else if (tandem_event_parse_checkpoint (GST_PAD_PROBE_INFO_EVENT (info), &step)) {
    g_string_append_printf (order, "checkpoint%u ", (guint) step);
  } else if (tandem_event_parse_step (GST_PAD_PROBE_INFO_EVENT (info), &stepped)) {
    g_assert_true (stepped.squared_norm == 0.1);
    g_string_append_printf (order, "step%u ", (guint) stepped.step);
  } else if (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info)) == GST_EVENT_EOS) {
    g_string_append (order, "eos");
  }
  g_mutex_unlock (&noted->lock);
  return GST_PAD_PROBE_OK;
}

static gboolean
is_order (Order *noted, const char *expected)
{
  gboolean same;

  g_mutex_lock (&noted->lock);
  same = g_str_equal (noted->text->str, expected);
  if (!same)
    g_test_message ("so far: %s", noted->text->str);
  g_mutex_unlock (&noted->lock);
  return same;
}

static void
test_order (void)
{
  g_autoptr (GString) text = g_string_new (NULL), expected = g_string_new ("training ");
  Order order = { .text = text };
  Side src, sink;
  guint i;

  src_make (&src);
  gst_pad_add_probe (src.harness->sinkpad,
                     GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, note_order,
                     &order, NULL);
  gst_harness_play (src.harness);
  sink_new (&sink, side_port (&src));
  push_training (&sink);
  for (i = 0; i < 5; i++) {
    const TandemStepInfo step = { .step = i, .n_sequences = 1, .squared_norm = 0.1 };

    gst_harness_push (sink.harness, numbered_buffer (i, 3));
    gst_harness_push_event (sink.harness, tandem_event_new_drain (i));
    consume (gst_harness_pull (src.harness));
    gst_harness_push_upstream_event (src.harness, gradient_event (i, 3));
    check_gradient (&sink, i, 3);
    gst_harness_push_event (sink.harness, tandem_event_new_step (&step));
    gst_harness_push_event (sink.harness, tandem_event_new_checkpoint (i));
    g_string_append_printf (expected, "b%u drain%u step%u checkpoint%u ", i, i, i, i);
  }
  g_string_append (expected, "eos");
  push_eos (&sink);
  wait_message (&sink, GST_MESSAGE_EOS);
  WAIT_UNTIL (is_order (&order, expected->str));
  assert_no_error (&src, &sink);
  side_clear (&sink);
  side_clear (&src);
}

/* All forward passes, then all backward passes: the receipts are completed at the loss, so that a
 * window of two does not hold up a step of many. */
static void
run_gpipe (guint n, guint rows)
{
  Side src, sink;
  Pusher pusher = { &sink, n, rows, 0 };
  GThread *thread;
  guint i;

  src_new (&src, FALSE);
  sink_make (&sink, side_port (&src));
  g_object_set (sink.element, "window", 2, NULL);
  sink_play (&sink, 2);
  push_training (&sink);
  thread = g_thread_new ("push", push_buffers, &pusher);
  for (i = 0; i < n; i++) {
    GstBuffer *buffer = gst_harness_pull (src.harness);

    check_numbered (buffer, i, rows);
    consume (buffer);
  }
  g_thread_join (thread);
  for (i = n; i-- > 0; )
    g_assert_true (gst_harness_push_upstream_event (src.harness, gradient_event (i, rows)));
  for (i = n; i-- > 0; )
    check_gradient (&sink, i, rows);
  assert_no_error (&src, &sink);
  push_eos (&sink);
  wait_message (&sink, GST_MESSAGE_EOS);
  side_clear (&sink);
  side_clear (&src);
}

static void
test_gpipe (void)
{
  run_gpipe (200, 3);
}

static void
test_gpipe_big (void)
{
  run_gpipe (64, BIG_ROWS);
}

/* The loss sends each gradient from within the chain function, so that both directions are full at
 * once, and whoever takes the gradients is slow. */
static GstPadProbeReturn
send_back (GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);

  tandem_batch_meta_complete (meta);
  g_assert_true (gst_pad_push_event (
      pad, gradient_event (meta->ids[0], tandem_batch_meta_get_n_rows (meta))));
  return GST_PAD_PROBE_DROP;
}

static void
test_both_ways (void)
{
  Side src, sink;
  Pusher pusher = { &sink, 64, BIG_ROWS, 0 };
  GThread *thread;
  guint i;

  src_make (&src);
  gst_pad_add_probe (src.harness->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, send_back, NULL, NULL);
  gst_harness_play (src.harness);
  sink_new (&sink, side_port (&src));
  push_training (&sink);
  thread = g_thread_new ("push", push_buffers, &pusher);
  for (i = 0; i < pusher.n; i++)
    check_gradient (&sink, i, BIG_ROWS);
  g_thread_join (thread);
  assert_no_error (&src, &sink);
  side_clear (&sink);
  side_clear (&src);
}

typedef struct
{
  GMutex lock;
  GCond cond;
  gboolean open;
  gint waiting;                 /* atomic */
} Gate;

static GstPadProbeReturn
wait_at_gate (GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
  Gate *gate = user_data;

  if ((info->type & GST_PAD_PROBE_TYPE_EVENT_UPSTREAM) != 0 &&
      GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info)) != GST_EVENT_CUSTOM_UPSTREAM)
    return GST_PAD_PROBE_OK;
  g_mutex_lock (&gate->lock);
  g_atomic_int_inc (&gate->waiting);
  while (!gate->open)
    g_cond_wait (&gate->cond, &gate->lock);
  g_mutex_unlock (&gate->lock);
  return GST_PAD_PROBE_OK;
}

static void
gate_open (Gate *gate)
{
  g_mutex_lock (&gate->lock);
  gate->open = TRUE;
  g_cond_broadcast (&gate->cond);
  g_mutex_unlock (&gate->lock);
}

/* Neither a streaming thread that is held up behind tcpactsrc, nor one that waits for room in
 * tcpactsink, holds up gradients. */
static void
test_blocked_streaming_threads (void)
{
  Side src, sink;
  Pusher pusher = { &sink, 40, 3, 0 };
  Gate gate = { 0 };
  GstBuffer *first;
  GThread *thread;
  gulong id;
  guint i;

  src_new (&src, FALSE);
  sink_make (&sink, side_port (&src));
  g_object_set (sink.element, "window", 4, NULL);
  sink_play (&sink, 2);
  push_training (&sink);
  gst_harness_push (sink.harness, numbered_buffer (0, 3));
  first = gst_harness_pull (src.harness);
  id = gst_pad_add_probe (src.harness->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, wait_at_gate, &gate,
                          NULL);
  thread = g_thread_new ("push", push_buffers, &pusher);
  WAIT_UNTIL (g_atomic_int_get (&gate.waiting) == 1);
  WAIT_UNTIL (g_atomic_int_get (&pusher.pushed) == 3);
  gst_harness_push_upstream_event (src.harness, gradient_event (0, 3));
  check_gradient (&sink, 0, 3);
  g_assert_cmpint (g_atomic_int_get (&pusher.pushed), ==, 3);
  gate_open (&gate);
  consume (first);
  for (i = 0; i < pusher.n; i++)
    consume (gst_harness_pull (src.harness));
  g_thread_join (thread);
  gst_pad_remove_probe (src.harness->sinkpad, id);
  assert_no_error (&src, &sink);
  side_clear (&sink);
  side_clear (&src);
}

/* A stage that takes its time over a gradient does not keep the sender from reading
 * acknowledgements and sending micro-batches. */
static void
test_slow_backward (void)
{
  Side src, sink;
  Pusher pusher = { &sink, 40, 3, 0 };
  Gate gate = { 0 };
  GThread *thread;
  guint i;

  src_new (&src, FALSE);
  sink_make (&sink, side_port (&src));
  g_object_set (sink.element, "window", 2, NULL);
  sink_play (&sink, 2);
  gst_pad_add_probe (sink.harness->srcpad, GST_PAD_PROBE_TYPE_EVENT_UPSTREAM, wait_at_gate, &gate,
                     NULL);
  push_training (&sink);
  thread = g_thread_new ("push", push_buffers, &pusher);
  for (i = 0; i < pusher.n; i++) {
    consume (gst_harness_pull (src.harness));
    gst_harness_push_upstream_event (src.harness, gradient_event (i, 3));
  }
  g_thread_join (thread);
  g_assert_cmpint (g_atomic_int_get (&gate.waiting), <=, 1);
  gate_open (&gate);
  for (i = 0; i < pusher.n; i++)
    check_gradient (&sink, i, 3);
  assert_no_error (&src, &sink);
  side_clear (&sink);
  side_clear (&src);
}

/* After a flush micro-batches count from 0 again, and a gradient of before is of no use. */
static void
test_flush (void)
{
  Side src, sink;

  src_new (&src, FALSE);
  sink_new (&sink, side_port (&src));
  push_training (&sink);
  gst_harness_push (sink.harness, numbered_buffer (0, 3));
  gst_harness_push (sink.harness, numbered_buffer (1, 3));
  consume (gst_harness_pull (src.harness));
  consume (gst_harness_pull (src.harness));
  flush (&sink);
  gst_harness_push (sink.harness, numbered_buffer (0, 5));
  consume (gst_harness_pull (src.harness));
  gst_harness_push_upstream_event (src.harness, gradient_event (1, 3));
  gst_harness_push_upstream_event (src.harness, gradient_event (0, 5));
  check_gradient (&sink, 0, 5);
  assert_no_error (&src, &sink);
  side_clear (&sink);
  side_clear (&src);
}

/* What stages agree on is told again when a stream follows another one. */
static void
test_next_stream (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  Order order = { .text = text };
  Side src, sink;

  src_make (&src);
  g_object_set (src.element, "keep-listening", TRUE, NULL);
  gst_pad_add_probe (src.harness->sinkpad,
                     GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, note_order,
                     &order, NULL);
  gst_harness_play (src.harness);
  sink_new (&sink, side_port (&src));
  push_training (&sink);
  run_stream (&src, &sink, 0, 1);
  flush (&sink);
  gst_harness_push (sink.harness, numbered_buffer (7, 3));
  consume (gst_harness_pull (src.harness));
  gst_harness_push_upstream_event (src.harness, gradient_event (0, 3));
  check_gradient (&sink, 0, 3);
  WAIT_UNTIL (is_order (&order, "training b0 training b7 "));
  assert_no_error (&src, &sink);
  side_clear (&sink);
  side_clear (&src);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/net/training/order", test_order);
  g_test_add_func ("/net/training/gpipe", test_gpipe);
  g_test_add_func ("/net/training/gpipe-big", test_gpipe_big);
  g_test_add_func ("/net/training/both-ways", test_both_ways);
  g_test_add_func ("/net/training/blocked-streaming-threads", test_blocked_streaming_threads);
  g_test_add_func ("/net/training/slow-backward", test_slow_backward);
  g_test_add_func ("/net/training/flush", test_flush);
  g_test_add_func ("/net/training/next-stream", test_next_stream);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
