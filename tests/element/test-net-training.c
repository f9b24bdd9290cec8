/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Training over TCP: events go down in order with the buffers, gradients come back whatever the
 * streaming threads wait for, and what breaks ends the training with a clear error. */

#include "net-harness.h"

#include <sys/socket.h>

#define BIG_ROWS (2 * 1024 * 1024 / (WIDTH * sizeof (float)))
#define AWAY "went away in training; resume from the last checkpoint"

static const TandemTrainingInfo training = {
  .schedule = TANDEM_SCHEDULE_GPIPE, .micro_batches = 64, .learning_rate = 1e-3,
  .weight_decay = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .max_norm = 1.0,
  .total_steps = 10,
};

static void
push_training (Side *sink)
{
  g_assert_true (
      gst_harness_push_event (sink->harness, tandem_event_new_training (&training)));
}

static GstEvent *
gradient_event (guint64 micro_batch, guint rows)
{
  const TandemGradientInfo info = {
    .micro_batch = micro_batch, .depth = 1, .squared_norm = 0.5 * micro_batch,
    .n_sequences = 1, .loss = 1.0 / (1 + micro_batch), .n_correct = micro_batch % 2,
  };
  g_autoptr (GstBuffer) buffer = numbered_buffer (micro_batch + 1000, rows);

  return tandem_event_new_gradient (&info, buffer);
}

/* The next gradient that came upstream; the test ends if there is none within 10 seconds. */
static GstEvent *
pull_gradient (Side *sink)
{
  gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

  for (;;) {
    GstEvent *event = gst_harness_try_pull_upstream_event (sink->harness);

    if (event == NULL) {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_usleep (500);
    } else if (GST_EVENT_TYPE (event) == GST_EVENT_CUSTOM_UPSTREAM) {
      return event;
    } else {
      gst_event_unref (event);
    }
  }
}

static void
check_gradient (Side *sink, guint64 micro_batch, guint rows)
{
  g_autoptr (GstEvent) event = pull_gradient (sink), expected = gradient_event (micro_batch, rows);
  TandemGradientInfo info, wanted;
  GstBuffer *buffer, *other;
  GstMapInfo map;

  g_assert_true (tandem_event_parse_gradient (event, &info, &buffer));
  g_assert_true (tandem_event_parse_gradient (expected, &wanted, &other));
  g_assert_cmpuint (info.micro_batch, ==, micro_batch);
  g_assert_cmpuint (info.depth, ==, wanted.depth);
  g_assert_true (info.squared_norm == wanted.squared_norm && info.loss == wanted.loss);
  g_assert_cmpuint (info.n_sequences, ==, wanted.n_sequences);
  g_assert_cmpint (info.n_correct, ==, wanted.n_correct);
  gst_buffer_map (buffer, &map, GST_MAP_READ);
  g_assert_cmpuint (map.size, ==, gst_buffer_get_size (other));
  g_assert_cmpint (gst_buffer_memcmp (other, 0, map.data, map.size), ==, 0);
  gst_buffer_unmap (buffer, &map);
}

static void
assert_no_error (Side *src, Side *sink)
{
  assert_no_message (src, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  assert_no_message (sink, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
}

/* --- both elements --- */

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

/* A stage that computes a gradient of another size, or twice, is found out on its own device. */
static void
test_own_mistakes (void)
{
  guint i;

  for (i = 0; i < 3; i++) {
    Side src, sink;
    g_autofree char *text = NULL;

    src_new (&src, FALSE);
    sink_new (&sink, side_port (&src));
    push_training (&sink);
    gst_harness_push (sink.harness, numbered_buffer (0, 3));
    consume (gst_harness_pull (src.harness));
    if (i == 2) {
      g_assert_true (gst_harness_push_upstream_event (src.harness, gradient_event (0, 3)));
      check_gradient (&sink, 0, 3);
    }
    g_assert_false (gst_harness_push_upstream_event (
        src.harness, gradient_event (i == 1 ? 1 : 0, i == 0 ? 4 : 3)));
    text = wait_message (&src, GST_MESSAGE_ERROR);
    assert_contains (text, i == 0 ? "64 bytes, it should have 48" : "awaits none");
    side_clear (&sink);
    side_clear (&src);
  }
}

/* A pipeline that is stopped in training ends the other one's training, whichever it is. */
static void
test_stopped (void)
{
  guint i;

  for (i = 0; i < 4; i++) {
    Side src, sink;
    g_autofree char *text = NULL;
    gint64 begin;

    src_new (&src, i >= 2);
    sink_new (&sink, side_port (&src));
    push_training (&sink);
    gst_harness_push (sink.harness, numbered_buffer (0, 3));
    consume (gst_harness_pull (src.harness));
    begin = g_get_monotonic_time ();
    side_clear (i % 2 == 0 ? &sink : &src);
    text = wait_message (i % 2 == 0 ? &src : &sink, GST_MESSAGE_ERROR);
    assert_contains (text, AWAY);
    g_assert_cmpint (g_get_monotonic_time () - begin, <, 3 * G_USEC_PER_SEC);
    side_clear (i % 2 == 0 ? &src : &sink);
  }
}

static void
flush (Side *sink)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (sink->harness, gst_event_new_flush_start ());
  gst_harness_push_event (sink->harness, gst_event_new_flush_stop (TRUE));
  gst_harness_push_event (sink->harness, gst_event_new_segment (&segment));
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

/* --- raw peers --- */

static GSocket *
raw_listen (guint *port)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 0);
  g_autoptr (GSocketAddress) bound = NULL;
  g_autoptr (GError) error = NULL;
  GSocket *socket =
      g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, &error);

  g_socket_bind (socket, address, TRUE, &error);
  g_socket_listen (socket, &error);
  bound = g_socket_get_local_address (socket, &error);
  g_assert_no_error (error);
  *port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound));
  return socket;
}

static GSocket *
raw_connect (guint port)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", port);
  g_autoptr (GError) error = NULL;
  GSocket *socket =
      g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, &error);

  g_socket_connect (socket, address, NULL, &error);
  g_assert_no_error (error);
  return socket;
}

static void
raw_send (GSocket *socket, GByteArray *bytes)
{
  gsize sent = 0;

  while (sent < bytes->len) {
    gssize n =
        send (g_socket_get_fd (socket), bytes->data + sent, bytes->len - sent, MSG_NOSIGNAL);

    if (n <= 0)
      break;
    sent += n;
  }
  g_byte_array_set_size (bytes, 0);
}

/* Reads whole frames until one is of `type`, and returns its sequence number; or G_MAXUINT64 at
 * the end of the connection. */
static guint64
raw_read_until (GSocket *socket, TandemFrameType type, TandemHello *hello)
{
  for (;;) {
    guint8 fixed[TANDEM_FRAME_FIXED_SIZE];
    g_autofree guint8 *body = NULL;
    g_autoptr (GError) error = NULL;
    TandemFrame frame;
    guint32 crc;
    gsize size;

    g_socket_condition_timed_wait (socket, G_IO_IN, 10 * G_USEC_PER_SEC, NULL, &error);
    g_assert_no_error (error);
    if (recv (g_socket_get_fd (socket), fixed, sizeof fixed, MSG_WAITALL) != sizeof fixed)
      return G_MAXUINT64;
    g_assert_true (tandem_frame_parse_fixed (fixed, sizeof fixed, &frame, &crc, &error));
    size = (gsize) frame.header_size + frame.payload_size;
    body = g_malloc (size);
    if (recv (g_socket_get_fd (socket), body, size, MSG_WAITALL) != (gssize) size)
      return G_MAXUINT64;
    frame.header = body;
    if (frame.type == type && type == TANDEM_FRAME_HELLO)
      g_assert_true (tandem_frame_parse_hello (&frame, hello, &error));
    if (frame.type == type)
      return frame.sequence;
  }
}

static void
append_receiver_hello (GByteArray *out, const TandemHello *theirs, guint32 features)
{
  TandemHello hello = { .role = TANDEM_ROLE_RECEIVER, .kind = TANDEM_FRAME_ANY_KIND };

  hello.features = features;
  hello.max_payload = 1 << 20;
  hello.max_sequences = 100;
  hello.credit_frames = hello.credit_bytes = 1 << 20;
  memcpy (hello.stream_id, theirs->stream_id, sizeof hello.stream_id);
  tandem_frame_append_hello (out, &hello);
}

static void
append_gradient (GByteArray *out, guint64 sequence, guint64 micro_batch, guint rows)
{
  g_autoptr (GstEvent) event = gradient_event (micro_batch, rows);
  TandemGradientInfo info;
  GOutputVector vector;
  GstBuffer *buffer;
  GstMapInfo map;

  tandem_event_parse_gradient (event, &info, &buffer);
  gst_buffer_map (buffer, &map, GST_MAP_READ);
  vector.buffer = map.data;
  vector.size = map.size;
  tandem_frame_append_gradient (out, sequence, &info, &vector, 1);
  g_byte_array_append (out, map.data, map.size);
  gst_buffer_unmap (buffer, &map);
}

static void
seal (GByteArray *bytes, guint start)
{
  guint32 crc = GUINT32_TO_LE (tandem_crc32c (0, bytes->data + start, 36));

  memcpy (bytes->data + start + 36, &crc, 4);
}

/* A receiver that took two micro-batches of three rows, in frames 2 and 3. */
typedef struct
{
  Side sink;
  GSocket *listener, *socket;
  GByteArray *bytes;
} Raw;

static void
raw_begin (Raw *raw, gboolean trains)
{
  TandemHello hello;
  guint port;

  raw->bytes = g_byte_array_new ();
  raw->listener = raw_listen (&port);
  sink_new (&raw->sink, port);
  raw->socket = g_socket_accept (raw->listener, NULL, NULL);
  raw_read_until (raw->socket, TANDEM_FRAME_HELLO, &hello);
  g_assert_cmphex (hello.features, ==, TANDEM_FRAME_FEATURE_TRAINING);
  append_receiver_hello (raw->bytes, &hello, TANDEM_FRAME_FEATURE_TRAINING);
  raw_send (raw->socket, raw->bytes);
  if (trains)
    push_training (&raw->sink);
  else
    gst_harness_push (raw->sink.harness, numbered_buffer (9, 3));
  gst_harness_push (raw->sink.harness, numbered_buffer (0, 3));
  gst_harness_push (raw->sink.harness, numbered_buffer (1, 3));
  while (raw_read_until (raw->socket, TANDEM_FRAME_BUFFER, NULL) != 3);
}

static void
raw_end (Raw *raw)
{
  g_clear_object (&raw->socket);
  g_clear_object (&raw->listener);
  side_clear (&raw->sink);
  g_byte_array_unref (raw->bytes);
}

static void
test_hostile_receiver (void)
{
  static const struct
  {
    guint64 sequence, micro_batch;
    guint rows;
    const char *part;
  } lies[] = {
    { 2, 0, 2, "has 32 bytes, it should have 48" },
    { 2, 0, 1000, "it should have 48" },
    { 2, 1, 3, "awaits none" },
    { 1, 0, 3, "awaits none" },
    { 4, 2, 3, "awaits none" },
    { G_MAXUINT64, 0, 3, "awaits none" },
    { 0, 0, 3, "belongs to no micro-batch" },
  };
  guint i, k;

  for (i = 0; i < G_N_ELEMENTS (lies) + 4; i++) {
    Raw raw;
    g_autoptr (GstMessage) message = NULL;
    g_autoptr (GError) error = NULL;
    const char *part = i < G_N_ELEMENTS (lies) ? lies[i].part : "awaits none";
    guint32 huge = GUINT32_TO_LE (0xffffffff), bad = GUINT32_TO_LE (0xfffffffe), crc;

    raw_begin (&raw, TRUE);
    if (i < G_N_ELEMENTS (lies)) {
      append_gradient (raw.bytes, lies[i].sequence, lies[i].micro_batch, lies[i].rows);
    } else if (i == G_N_ELEMENTS (lies)) {
      /* twice */
      for (k = 0; k < 2; k++)
        append_gradient (raw.bytes, 3, 1, 3);
    } else if (i == G_N_ELEMENTS (lies) + 1) {
      /* 4 GiB: refused before a byte of it came */
      append_gradient (raw.bytes, 2, 0, 3);
      memcpy (raw.bytes->data + 12, &huge, 4);
      seal (raw.bytes, 0);
      part = "at most";
    } else if (i == G_N_ELEMENTS (lies) + 2) {
      append_gradient (raw.bytes, 2, 0, 3);
      memcpy (raw.bytes->data + 40 + 20, &bad, 4);
      crc = GUINT32_TO_LE (tandem_crc32c (0, raw.bytes->data + 40, raw.bytes->len - 40));
      memcpy (raw.bytes->data + 32, &crc, 4);
      seal (raw.bytes, 0);
      part = "out of range";
    } else {
      /* a spoiled bit is not a lie, but training is over all the same */
      append_gradient (raw.bytes, 2, 0, 3);
      raw.bytes->data[100] ^= 1;
      part = AWAY;
    }
    raw_send (raw.socket, raw.bytes);
    message = gst_bus_timed_pop_filtered (raw.sink.bus, 10 * GST_SECOND, GST_MESSAGE_ERROR);
    g_assert_nonnull (message);
    gst_message_parse_error (message, &error, NULL);
    g_test_message ("%u: %s", i, error->message);
    assert_contains (error->message, part);
    if (part != lies[0].part && i == G_N_ELEMENTS (lies) + 1)
      g_assert_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS);
    else
      g_assert_error (error, GST_STREAM_ERROR, GST_STREAM_ERROR_DECODE);
    if (i < G_N_ELEMENTS (lies))
      g_assert_cmpuint (raw_read_until (raw.socket, TANDEM_FRAME_ERROR, NULL), ==, 0);
    raw_end (&raw);
  }
}

/* Stale gradients, of before a flush, are read past. */
static void
test_stale_gradient (void)
{
  Raw raw;

  raw_begin (&raw, TRUE);
  flush (&raw.sink);
  gst_harness_push (raw.sink.harness, numbered_buffer (0, 5));
  while (raw_read_until (raw.socket, TANDEM_FRAME_BUFFER, NULL) != 5);
  append_gradient (raw.bytes, 2, 0, 3);
  append_gradient (raw.bytes, 3, 1, 77);
  append_gradient (raw.bytes, 5, 0, 5);
  raw_send (raw.socket, raw.bytes);
  check_gradient (&raw.sink, 0, 5);
  assert_no_message (&raw.sink, GST_MESSAGE_ERROR);
  raw_end (&raw);
}

/* Without training nobody awaits a gradient. */
static void
test_gradient_without_training (void)
{
  Raw raw;

  raw_begin (&raw, FALSE);
  append_gradient (raw.bytes, 2, 1, 3);
  raw_send (raw.socket, raw.bytes);
  g_assert_cmpuint (raw_read_until (raw.socket, TANDEM_FRAME_CREDIT, NULL), ==, G_MAXUINT64);
  raw_end (&raw);
}

/* The other device's machine dies: no word, the connection just ends, also in mid-gradient. */
static void
test_receiver_vanishes (void)
{
  guint i;

  for (i = 0; i < 2; i++) {
    Raw raw;
    g_autofree char *text = NULL;
    gint64 begin = g_get_monotonic_time ();

    raw_begin (&raw, TRUE);
    append_gradient (raw.bytes, 2, 0, 3);
    g_byte_array_set_size (raw.bytes, i == 0 ? 0 : 100);
    raw_send (raw.socket, raw.bytes);
    g_clear_object (&raw.socket);
    text = wait_message (&raw.sink, GST_MESSAGE_ERROR);
    assert_contains (text, AWAY);
    g_assert_cmpint (g_get_monotonic_time () - begin, <, 3 * G_USEC_PER_SEC);
    g_assert_cmpint (gst_harness_push (raw.sink.harness, numbered_buffer (2, 3)), ==,
                     GST_FLOW_ERROR);
    raw_end (&raw);
  }
}

/* A peer that does not know training is never made to ignore it. */
static void
test_old_receiver (void)
{
  guint i;

  for (i = 0; i < 2; i++) {
    g_autoptr (GSocket) listener = NULL, socket = NULL;
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    g_autofree char *text = NULL;
    TandemHello hello;
    Side sink;
    guint port;

    listener = raw_listen (&port);
    sink_new (&sink, port);
    if (i == 1) {
      /* It trains before there is a connection: HELLO says so, and an old receiver refuses. */
      socket = g_socket_accept (listener, NULL, NULL);
      push_training (&sink);
      g_clear_object (&socket);
    }
    socket = g_socket_accept (listener, NULL, NULL);
    raw_read_until (socket, TANDEM_FRAME_HELLO, &hello);
    g_assert_cmphex (hello.features_required, ==, i == 1 ? TANDEM_FRAME_FEATURE_TRAINING : 0);
    if (i == 0)
      append_receiver_hello (bytes, &hello, 0);
    else
      tandem_frame_append_error (bytes, TANDEM_NET_ERROR_VERSION,
                                 "this device does not have the features (0x100) that you need");
    raw_send (socket, bytes);
    if (i == 0)
      push_training (&sink);
    text = wait_message (&sink, GST_MESSAGE_ERROR);
    assert_contains (text, i == 0 ? "does not train: its version of Tandem is too old"
                                  : "does not have the features (0x100)");
    side_clear (&sink);
  }
}

static void
append_sender_hello (GByteArray *out)
{
  TandemHello hello = { .role = TANDEM_ROLE_SENDER, .kind = TANDEM_FRAME_ANY_KIND };

  hello.features = hello.features_required = TANDEM_FRAME_FEATURE_TRAINING;
  hello.max_payload = 1 << 20;
  hello.max_sequences = 100;
  hello.resume = 1;
  memset (hello.stream_id, 5, sizeof hello.stream_id);
  tandem_frame_append_hello (out, &hello);
}

static void
append_caps (GByteArray *out)
{
  g_autoptr (GstCaps) caps = activation_caps (2);
  g_auto (TandemStreamInfo) info = { 0 };

  tandem_stream_info_from_caps (&info, caps, NULL);
  tandem_frame_append_caps (out, &info);
}

static void
append_buffer (GByteArray *out, guint64 sequence, guint rows)
{
  g_autoptr (GstCaps) caps = activation_caps (2);
  g_auto (TandemStreamInfo) info = { 0 };
  g_autoptr (GstBuffer) buffer = numbered_buffer (sequence, rows);
  GOutputVector vector;
  GstMapInfo map;

  tandem_stream_info_from_caps (&info, caps, NULL);
  gst_buffer_map (buffer, &map, GST_MAP_READ);
  vector.buffer = map.data;
  vector.size = map.size;
  g_assert_true (tandem_frame_append_buffer (out, sequence, &info, buffer, &vector, 1, NULL));
  g_byte_array_append (out, map.data, map.size);
  gst_buffer_unmap (buffer, &map);
}

/* A sender that trains, and what it says then. */
static GSocket *
raw_train (Side *src, guint n, guint rows)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GstEvent) event = tandem_event_new_training (&training);
  GSocket *socket = raw_connect (side_port (src));
  guint i;

  append_sender_hello (bytes);
  append_caps (bytes);
  tandem_frame_append_training_event (bytes, 1, event);
  raw_send (socket, bytes);
  for (i = 0; i < n; i++) {
    append_buffer (bytes, 2 + i, rows);
    raw_send (socket, bytes);
    consume (gst_harness_pull (src->harness));
  }
  return socket;
}

static void
test_sender_vanishes (void)
{
  guint i;

  for (i = 0; i < 3; i++) {
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    g_autofree char *text = NULL;
    GSocket *socket;
    gint64 begin;
    Side src;

    src_new (&src, i == 2);
    socket = raw_train (&src, 1, 3);
    if (i == 1) {
      append_buffer (bytes, 3, 3);
      g_byte_array_set_size (bytes, 50);
      raw_send (socket, bytes);
    }
    g_object_unref (socket);
    begin = g_get_monotonic_time ();
    text = wait_message (&src, GST_MESSAGE_ERROR);
    assert_contains (text, AWAY);
    g_assert_cmpint (g_get_monotonic_time () - begin, <, 3 * G_USEC_PER_SEC);
    g_assert_false (gst_harness_push_upstream_event (src.harness, gradient_event (0, 3)));
    /* GstBaseSrc has its own say about it; we have had ours. */
    text = (g_free (text), wait_message (&src, GST_MESSAGE_ERROR));
    g_assert_null (strstr (text, AWAY));
    assert_no_message (&src, GST_MESSAGE_ERROR);
    side_clear (&src);
  }
}

static void
test_hostile_sender (void)
{
  static const char *const parts[] = {
    "gradients come from the device that receives", "a field is out of range",
    "its header has", "after frame 1 comes 2, not 9",
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (parts); i++) {
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    g_autoptr (GstEvent) event = tandem_event_new_training (&training);
    g_autoptr (GstEvent) drain = tandem_event_new_drain (1);
    g_autoptr (GSocket) socket = NULL;
    g_autofree char *text = NULL;
    guint16 kind = GUINT16_TO_LE (TANDEM_FRAME_EVENT_STEP);
    guint32 bad = GUINT32_TO_LE (77), crc;
    Side src;

    src_new (&src, FALSE);
    socket = raw_train (&src, 0, 0);
    if (i == 0)
      append_gradient (bytes, 1, 0, 3);
    else if (i == 1)
      tandem_frame_append_training_event (bytes, 2, event);
    else
      tandem_frame_append_training_event (bytes, i == 3 ? 9 : 2, drain);
    if (i == 1)
      memcpy (bytes->data + 44, &bad, 4);
    if (i == 2)
      memcpy (bytes->data + 40, &kind, 2);
    crc = GUINT32_TO_LE (tandem_crc32c (0, bytes->data + 40, bytes->len - 40));
    memcpy (bytes->data + 32, &crc, 4);
    seal (bytes, 0);
    raw_send (socket, bytes);
    text = wait_message (&src, GST_MESSAGE_ERROR);
    assert_contains (text, parts[i]);
    g_assert_cmpuint (raw_read_until (socket, TANDEM_FRAME_ERROR, NULL), ==, 0);
    side_clear (&src);
  }
}

/* The same stream over another connection: its activations are gone, so it is refused. */
static void
test_no_resume (void)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GSocket) first = NULL, second = NULL;
  Side src;

  src_new (&src, FALSE);
  first = raw_train (&src, 1, 3);
  second = raw_connect (side_port (&src));
  append_sender_hello (bytes);
  raw_send (second, bytes);
  g_assert_cmpuint (raw_read_until (second, TANDEM_FRAME_ERROR, NULL), ==, 0);
  append_buffer (bytes, 3, 3);
  raw_send (first, bytes);
  consume (gst_harness_pull (src.harness));
  assert_no_message (&src, GST_MESSAGE_ERROR);
  g_clear_object (&first);
  side_clear (&src);
}

typedef struct
{
  Side *src;
  guint n;
  gint sent;                    /* atomic */
  gboolean failed;
} Writer;

static gpointer
write_gradients (gpointer data)
{
  Writer *writer = data;
  guint i;

  for (i = 0; i < writer->n && !writer->failed; i++) {
    writer->failed = !gst_harness_push_upstream_event (
        writer->src->harness, gradient_event (i, 1 << 15));
    if (!writer->failed)
      g_atomic_int_inc (&writer->sent);
  }
  return NULL;
}

/* The sender does not read; whoever waits to write a gradient is let go by a flush, by a stop, and
 * by the end of the connection. */
static void
test_stuck_gradient (void)
{
  guint i;

  for (i = 0; i < 3; i++) {
    Side src;
    Writer writer = { &src, 30, 0, FALSE };
    g_autoptr (GSocket) socket = NULL;
    g_autofree char *text = NULL;
    GThread *thread;
    gint64 begin;
    int before;

    src_new (&src, FALSE);
    socket = raw_train (&src, 30, 1 << 15);
    thread = g_thread_new ("write", write_gradients, &writer);
    do {
      before = g_atomic_int_get (&writer.sent);
      g_usleep (300 * 1000);
    } while (before == 0 || before != g_atomic_int_get (&writer.sent));
    g_assert_cmpint (before, <, 30);
    begin = g_get_monotonic_time ();
    if (i == 0) {
      g_assert_true (gst_element_send_event (src.element, gst_event_new_flush_start ()));
      g_thread_join (thread);
      assert_no_message (&src, GST_MESSAGE_ERROR);
      gst_element_send_event (src.element, gst_event_new_flush_stop (TRUE));
    } else if (i == 1) {
      gst_element_set_state (src.element, GST_STATE_READY);
      g_thread_join (thread);
      assert_no_message (&src, GST_MESSAGE_ERROR);
    } else {
      g_clear_object (&socket);
      text = wait_message (&src, GST_MESSAGE_ERROR);
      assert_contains (text, AWAY);
      g_thread_join (thread);
    }
    g_assert_true (writer.failed || i == 2);
    g_assert_cmpint (g_get_monotonic_time () - begin, <, 3 * G_USEC_PER_SEC);
    side_clear (&src);
  }
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
  g_test_add_func ("/net/training/own-mistakes", test_own_mistakes);
  g_test_add_func ("/net/training/stopped", test_stopped);
  g_test_add_func ("/net/training/flush", test_flush);
  g_test_add_func ("/net/training/next-stream", test_next_stream);
  /* Peers that speak in clear. */
  if (g_getenv ("TANDEM_TEST_KEY") == NULL) {
    g_test_add_func ("/net/training/hostile-receiver", test_hostile_receiver);
    g_test_add_func ("/net/training/stale-gradient", test_stale_gradient);
    g_test_add_func ("/net/training/gradient-without-training", test_gradient_without_training);
    g_test_add_func ("/net/training/receiver-vanishes", test_receiver_vanishes);
    g_test_add_func ("/net/training/old-receiver", test_old_receiver);
    g_test_add_func ("/net/training/sender-vanishes", test_sender_vanishes);
    g_test_add_func ("/net/training/hostile-sender", test_hostile_sender);
    g_test_add_func ("/net/training/no-resume", test_no_resume);
    g_test_add_func ("/net/training/stuck-gradient", test_stuck_gradient);
  }
  status = g_test_run ();
  gst_deinit ();
  return status;
}
