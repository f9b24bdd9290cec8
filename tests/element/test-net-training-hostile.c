/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Training over TCP with peers that break its rules, or do not know them. */

#include "net-training-harness.h"

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

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/net/training/hostile-receiver", test_hostile_receiver);
  g_test_add_func ("/net/training/stale-gradient", test_stale_gradient);
  g_test_add_func ("/net/training/gradient-without-training", test_gradient_without_training);
  g_test_add_func ("/net/training/old-receiver", test_old_receiver);
  g_test_add_func ("/net/training/hostile-sender", test_hostile_sender);
  g_test_add_func ("/net/training/no-resume", test_no_resume);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
