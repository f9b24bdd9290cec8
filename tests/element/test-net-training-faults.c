/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Training over TCP that breaks off: both sides end with a clear error, and nobody waits for what
 * does not come. */

#include "net-training-harness.h"

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
  g_test_add_func ("/net/training/own-mistakes", test_own_mistakes);
  g_test_add_func ("/net/training/stopped", test_stopped);
  g_test_add_func ("/net/training/receiver-vanishes", test_receiver_vanishes);
  g_test_add_func ("/net/training/sender-vanishes", test_sender_vanishes);
  g_test_add_func ("/net/training/stuck-gradient", test_stuck_gradient);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
