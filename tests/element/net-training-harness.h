/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What tests of training over TCP share: events and gradients, and peers that write frames. */

#include "net-harness.h"

#include <sys/socket.h>

#define AWAY "went away in training; resume from the last checkpoint"

static const TandemTrainingInfo training = {
  .schedule = TANDEM_SCHEDULE_GPIPE, .micro_batches = 64, .learning_rate = 1e-3,
  .weight_decay = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .max_norm = 1.0,
  .total_steps = 10,
};

static inline void
push_training (Side *sink)
{
  g_assert_true (
      gst_harness_push_event (sink->harness, tandem_event_new_training (&training)));
}

static inline GstEvent *
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
static inline GstEvent *
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

static inline void
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

static inline void
assert_no_error (Side *src, Side *sink)
{
  assert_no_message (src, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  assert_no_message (sink, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
}

static inline void
flush (Side *sink)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (sink->harness, gst_event_new_flush_start ());
  gst_harness_push_event (sink->harness, gst_event_new_flush_stop (TRUE));
  gst_harness_push_event (sink->harness, gst_event_new_segment (&segment));
}

static inline GSocket *
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

static inline GSocket *
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

static inline void
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

static inline void
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

static inline void
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

static inline void
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

static inline void
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

static inline void
raw_end (Raw *raw)
{
  g_clear_object (&raw->socket);
  g_clear_object (&raw->listener);
  side_clear (&raw->sink);
  g_byte_array_unref (raw->bytes);
}

static inline void
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

static inline void
append_caps (GByteArray *out)
{
  g_autoptr (GstCaps) caps = activation_caps (2);
  g_auto (TandemStreamInfo) info = { 0 };

  tandem_stream_info_from_caps (&info, caps, NULL);
  tandem_frame_append_caps (out, &info);
}

static inline void
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
static inline GSocket *
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
