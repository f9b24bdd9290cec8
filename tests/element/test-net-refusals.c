/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Why two sides do not come together, or a micro-batch is not taken: what each of them says. */

#include "net-harness.h"

/* Without the other side there is an error after the time that was given, not before. */
static void
test_nobody_listens (void)
{
  Side sink;
  g_autofree char *text = NULL;
  gint64 begin = g_get_monotonic_time ();

  sink_make (&sink, 9);
  g_object_set (sink.element, "reconnect-timeout", 300, NULL);
  sink_play (&sink, 2);
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "127.0.0.1:9");
  g_assert_cmpint (g_get_monotonic_time () - begin, >, 250 * 1000);
  side_clear (&sink);
}

static void
test_busy (void)
{
  Side src, first, second;
  g_autofree char *text = NULL;

  src_new (&src, FALSE);
  sink_new (&first, side_port (&src));
  gst_harness_push (first.harness, numbered_buffer (0, 3));
  consume (gst_harness_pull (src.harness));
  sink_new (&second, side_port (&src));
  text = wait_message (&second, GST_MESSAGE_ERROR);
  assert_contains (text, "busy");
  side_clear (&second);
  run_stream (&src, &first, 1, 5);
  assert_no_message (&src, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  side_clear (&first);
  side_clear (&src);
}

static void
test_insecure (void)
{
  Side src;
  g_autofree char *text = NULL;

  src_make (&src);
  g_object_set (src.element, "key", NULL, "address", "0.0.0.0", NULL);
  g_assert_cmpint (gst_element_set_state (src.element, GST_STATE_PAUSED), ==,
                   GST_STATE_CHANGE_FAILURE);
  text = wait_message (&src, GST_MESSAGE_ERROR);
  assert_contains (text, "insecure=true");
  assert_contains (text, "tandem key new");
  gst_element_set_state (src.element, GST_STATE_NULL);
  g_object_set (src.element, "insecure", TRUE, NULL);
  g_assert_cmpint (gst_element_set_state (src.element, GST_STATE_PAUSED), !=,
                   GST_STATE_CHANGE_FAILURE);
  g_assert_cmpuint (side_port (&src), >, 0);
  side_clear (&src);
}

/* Both sides show why they do not go together. */
static void
check_refusal (gboolean keep_listening, const char *taken, guint last_layer, guint layer,
               const char *sentence)
{
  Side src, sink;
  Answer answer = { gst_caps_from_string (taken), last_layer };
  g_autofree char *said = NULL, *heard = NULL;

  src_make (&src);
  g_object_set (src.element, "keep-listening", keep_listening, NULL);
  gst_pad_add_probe (src.harness->sinkpad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, answer_query,
                     &answer, NULL);
  gst_harness_play (src.harness);
  sink_make (&sink, side_port (&src));
  sink_play (&sink, layer);
  gst_harness_push (sink.harness, numbered_buffer (0, 3));
  heard = wait_message (&sink, GST_MESSAGE_ERROR);
  said = wait_message (&src, keep_listening ? GST_MESSAGE_WARNING : GST_MESSAGE_ERROR);
  assert_contains (heard, sentence);
  assert_contains (said, sentence);
  g_assert_cmpuint (gst_harness_buffers_received (src.harness), ==, 0);
  side_clear (&sink);
  if (keep_listening) {
    sink_new (&sink, side_port (&src));
    run_stream (&src, &sink, 0, 3);
    side_clear (&sink);
  }
  side_clear (&src);
  gst_caps_unref (answer.caps);
}

static void
test_refusals (void)
{
  check_refusal (FALSE, TANDEM_CAPS_ACTIVATIONS ",model=" FINGERPRINT ",layer=2", 11, 1,
                 "this device serves layers 2-11 of model 3f2a1b0c; you sent layer 1");
  check_refusal (TRUE, TANDEM_CAPS_ACTIVATIONS ",model=" FINGERPRINT ",layer=2", 11, 1,
                 "this device serves layers 2-11 of model 3f2a1b0c; you sent layer 1");
  check_refusal (FALSE, TANDEM_CAPS_ACTIVATIONS ",model=" OTHER_MODEL ",layer=2", 11, 2,
                 "of model 00000000; you sent the input of layer 2 of model 3f2a1b0c");
  check_refusal (FALSE, TANDEM_CAPS_TOKENS ",vocab=" FINGERPRINT, 0, 2,
                 "takes tokens of vocabulary 3f2a1b0c; you sent");
  check_refusal (FALSE, TANDEM_CAPS_ACTIVATIONS ",model=" FINGERPRINT ",layer=2,format=Q8", 3, 2,
                 "you sent the input of layer 2");
}

/* The sender knows its caps before it connects: the refusal comes with HELLO. */
static void
test_refused_at_hello (void)
{
  Side src, sink;
  Answer answer = {
    gst_caps_from_string (TANDEM_CAPS_ACTIVATIONS ",model=" FINGERPRINT ",layer=3"), 4,
  };
  g_autofree char *said = NULL, *heard = NULL;
  guint port;

  src_new (&src, FALSE);
  port = side_port (&src);
  side_clear (&src);
  sink_new (&sink, port);
  g_usleep (50 * 1000);
  src_make (&src);
  g_object_set (src.element, "port", port, NULL);
  gst_pad_add_probe (src.harness->sinkpad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, answer_query,
                     &answer, NULL);
  gst_harness_play (src.harness);
  heard = wait_message (&sink, GST_MESSAGE_ERROR);
  said = wait_message (&src, GST_MESSAGE_ERROR);
  assert_contains (heard, "serves layers 3-4");
  assert_contains (said, "serves layers 3-4");
  side_clear (&sink);
  side_clear (&src);
  gst_caps_unref (answer.caps);
}

static void
test_too_large (void)
{
  Side src, sink;
  g_autofree char *text = NULL;

  src_make (&src);
  g_object_set (src.element, "max-payload", 100, "keep-listening", TRUE, NULL);
  gst_harness_play (src.harness);
  sink_new (&sink, side_port (&src));
  gst_harness_push (sink.harness, numbered_buffer (0, 100));
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "max-payload");
  side_clear (&sink);
  side_clear (&src);
}

static void
test_bad_buffer (void)
{
  Side src, sink;
  g_autofree char *text = NULL;

  src_new (&src, TRUE);
  sink_new (&sink, side_port (&src));
  g_assert_cmpint (gst_harness_push (sink.harness, gst_buffer_new_allocate (NULL, 16, NULL)), ==,
                   GST_FLOW_ERROR);
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "batch meta");
  side_clear (&sink);
  side_clear (&src);
}

/* The debug half says with whom and how far, and what kind of error it is in words. */
static void
test_debug_half (void)
{
  Side src, sink;
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *debug = NULL, *state = NULL;

  src_new (&src, TRUE);
  sink_new (&sink, side_port (&src));
  gst_harness_push (sink.harness, numbered_buffer (0, 3));
  gst_buffer_unref (gst_harness_pull (src.harness));
  message = gst_bus_timed_pop_filtered (sink.bus, 15 * GST_SECOND, GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  gst_message_parse_error (message, &error, &debug);
  state = g_strdup_printf ("dropped; to 127.0.0.1 port %u, micro-batches not acknowledged: 0",
                           side_port (&src));
  assert_contains (debug, state);
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
  g_test_add_func ("/net/refusals/nobody-listens", test_nobody_listens);
  g_test_add_func ("/net/refusals/busy", test_busy);
  g_test_add_func ("/net/refusals/insecure", test_insecure);
  g_test_add_func ("/net/refusals/refusals", test_refusals);
  g_test_add_func ("/net/refusals/refused-at-hello", test_refused_at_hello);
  g_test_add_func ("/net/refusals/too-large", test_too_large);
  g_test_add_func ("/net/refusals/bad-buffer", test_bad_buffer);
  g_test_add_func ("/net/refusals/debug-half", test_debug_half);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
