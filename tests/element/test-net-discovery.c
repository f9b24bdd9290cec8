/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A tcpactsink without host: it finds its neighbour in a list, tells why others do not do, and goes
 * to another one when that one dies. No Avahi daemon is asked: there is no D-Bus here. */

#include "net-harness.h"
#include "pusher-harness.h"

#include <glib/gstdio.h>

static void
answer_free (gpointer data)
{
  Answer *answer = data;

  gst_caps_unref (answer->caps);
  g_free (answer);
}

/* A device whose stage takes the input of `layer` of `model`. */
static void
stage_new (Side *src, const char *model, int layer)
{
  Answer *answer = g_new (Answer, 1);

  answer->caps = gst_caps_new_simple (TANDEM_CAPS_ACTIVATIONS, "model", G_TYPE_STRING, model,
                                      "layer", G_TYPE_INT, layer, NULL);
  answer->last_layer = layer + 3;
  src_make (src);
  gst_pad_add_probe (src->harness->sinkpad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, answer_query,
                     answer, answer_free);
  gst_harness_play (src->harness);
}

/* A port where nobody listens. */
static guint
dead_port (void)
{
  Side src;
  guint port;

  src_new (&src, FALSE);
  port = side_port (&src);
  side_clear (&src);
  return port;
}

static void
sink_make_searching (Side *sink, const char *peers, guint timeout)
{
  side_init (sink, gst_element_factory_make ("tcpactsink", NULL));
  g_object_set (sink->element, "peers", peers, "discovery-timeout", timeout, NULL);
  side_set_key (sink);
}

/* The next message of the search with this state. */
static GstMessage *
wait_search (Side *sink, const char *state)
{
  for (;;) {
    GstMessage *message = gst_bus_timed_pop_filtered (
        sink->bus, 15 * GST_SECOND, GST_MESSAGE_ELEMENT | GST_MESSAGE_ERROR);
    const GstStructure *s;

    g_assert_nonnull (message);
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR)
      g_error ("%" GST_PTR_FORMAT, message);
    s = gst_message_get_structure (message);
    g_assert_true (gst_structure_has_name (s, "tandem-discovery"));
    if (g_strcmp0 (gst_structure_get_string (s, "state"), state) == 0)
      return message;
    gst_message_unref (message);
  }
}

static void
check_search (Side *sink, const char *state, guint port, const char *reason)
{
  g_autoptr (GstMessage) message = wait_search (sink, state);
  const GstStructure *s = gst_message_get_structure (message);
  guint found;

  g_assert_true (gst_structure_get_uint (s, "port", &found));
  g_assert_cmpuint (found, ==, port);
  g_assert_cmpstr (gst_structure_get_string (s, "address"), ==, "127.0.0.1");
  if (reason != NULL)
    assert_contains (gst_structure_get_string (s, "reason"), reason);
}

/* The first is of another model, the second dead; the third takes the stream. The first one, which
 * was only asked, goes on. */
static void
test_third_takes (void)
{
  Side other, src, sink;
  g_autofree char *peers = NULL;
  guint dead = dead_port ();

  stage_new (&other, OTHER_MODEL, 2);
  stage_new (&src, FINGERPRINT, 2);
  peers = g_strdup_printf ("127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u", side_port (&other), dead,
                           side_port (&src));
  sink_make_searching (&sink, peers, 10000);
  sink_play (&sink, 2);
  check_search (&sink, "refused", side_port (&other), "of model 00000000");
  check_search (&sink, "refused", dead, NULL);
  check_search (&sink, "connected", side_port (&src), NULL);
  run_stream (&src, &sink, 0, 20);
  assert_no_message (&other, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  assert_no_message (&sink, GST_MESSAGE_ERROR);
  side_clear (&sink);
  side_clear (&src);
  side_clear (&other);
}

/* After the end of a stream the search begins anew for the next one. */
static void
test_second_stream (void)
{
  Side src, sink;
  g_autofree char *peers = NULL;

  src_new (&src, TRUE);
  peers = g_strdup_printf ("127.0.0.1:%u", side_port (&src));
  sink_make_searching (&sink, peers, 10000);
  sink_play (&sink, 2);
  run_stream (&src, &sink, 0, 5);
  gst_harness_push_event (sink.harness, gst_event_new_flush_start ());
  gst_harness_push_event (sink.harness, gst_event_new_flush_stop (TRUE));
  gst_harness_set_src_caps (sink.harness, activation_caps (2));
  run_stream (&src, &sink, 5, 5);
  assert_no_message (&sink, GST_MESSAGE_ERROR);
  side_clear (&sink);
  side_clear (&src);
}

/* Environment and file do what the property does. */
static void
test_environment_and_file (void)
{
  g_autofree char *folder = g_build_filename (g_get_user_config_dir (), "tandem", NULL);
  g_autofree char *path = g_build_filename (folder, "peers", NULL);
  guint i;

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  for (i = 0; i < 2; i++) {
    Side src, sink;
    g_autofree char *peer = NULL;

    src_new (&src, FALSE);
    peer = g_strdup_printf ("127.0.0.1:%u # the other room\n", side_port (&src));
    if (i == 0)
      g_setenv ("TANDEM_PEERS", peer, TRUE);
    else
      g_assert_true (g_file_set_contents (path, peer, -1, NULL));
    sink_make_searching (&sink, NULL, 10000);
    sink_play (&sink, 2);
    run_stream (&src, &sink, 0, 5);
    side_clear (&sink);
    side_clear (&src);
    g_unsetenv ("TANDEM_PEERS");
    g_unlink (path);
  }
}

/* All that are known are named, each with its reason, and what to do about mDNS. */
static void
test_nobody_takes (void)
{
  Side other, layer, sink;
  g_autofree char *peers = NULL, *text = NULL, *first = NULL, *second = NULL, *third = NULL;
  guint dead = dead_port ();

  stage_new (&other, OTHER_MODEL, 2);
  stage_new (&layer, FINGERPRINT, 5);
  first = g_strdup_printf ("127.0.0.1:%u", side_port (&other));
  second = g_strdup_printf ("127.0.0.1:%u", side_port (&layer));
  third = g_strdup_printf ("127.0.0.1:%u", dead);
  peers = g_strjoin (",", first, second, third, NULL);
  sink_make_searching (&sink, peers, 1500);
  sink_play (&sink, 2);
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "No device took the stream for 1500 ms");
  assert_contains (text, first);
  assert_contains (text, "of model 00000000");
  assert_contains (text, second);
  assert_contains (text, "serves layers 5-8 of model 3f2a1b0c; you sent layer 2");
  assert_contains (text, third);
  assert_contains (text, "avahi-daemon");
  side_clear (&sink);
  side_clear (&layer);
  side_clear (&other);
}

static void
test_no_daemon_no_list (void)
{
  Side sink;
  g_autofree char *warning = NULL, *text = NULL;

  sink_make_searching (&sink, NULL, 1000);
  sink_play (&sink, 2);
  warning = wait_message (&sink, GST_MESSAGE_WARNING);
  assert_contains (warning, "Start the service avahi-daemon");
  assert_contains (warning, "TANDEM_PEERS");
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "none was found");
  assert_contains (text, "Start the service avahi-daemon");
  side_clear (&sink);
}

/* Who wants to be announced and cannot be is told, and works as ever. */
static void
test_advertise_without_daemon (void)
{
  Side src, sink;
  g_autofree char *warning = NULL;

  src_make (&src);
  g_object_set (src.element, "advertise", TRUE, "device-name", "kitchen", NULL);
  gst_harness_play (src.harness);
  warning = wait_message (&src, GST_MESSAGE_WARNING);
  assert_contains (warning, "Start the service avahi-daemon");
  sink_new (&sink, side_port (&src));
  run_stream (&src, &sink, 0, 5);
  side_clear (&sink);
  side_clear (&src);
}

static void
test_bad_list (void)
{
  Side sink;
  g_autofree char *text = NULL;

  sink_make_searching (&sink, "10.0.0.1:0", 1000);
  g_assert_cmpint (gst_element_set_state (sink.element, GST_STATE_PAUSED), ==,
                   GST_STATE_CHANGE_FAILURE);
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "peers: \"10.0.0.1:0\"");
  sink.harness = gst_harness_new_empty ();
  side_clear (&sink);
}

/* A stop does not wait for the search. */
static void
test_stop_while_searching (void)
{
  guint i;

  for (i = 0; i < 10; i++) {
    Side sink;

    sink_make_searching (&sink, i % 2 ? "127.0.0.1:9" : NULL, 0);
    sink_play (&sink, 2);
    if (i % 3 == 0)
      gst_message_unref (wait_search (&sink, "looking"));
    side_clear (&sink);
  }
}

/* A stream that ends before it had caps ends, though nobody was looked for. */
static void
test_empty_stream (void)
{
  Side sink;

  sink_make_searching (&sink, NULL, 0);
  sink.harness = gst_harness_new_with_element (sink.element, "sink", NULL);
  gst_harness_play (sink.harness);
  push_eos (&sink);
  wait_message (&sink, GST_MESSAGE_EOS);
  side_clear (&sink);
}

/* The neighbour stops, with micro-batches in its hands that it drops; the next one gets them. Each
 * is consumed once, and each receipt completed once. */
static void
test_takeover (void)
{
  Side first, second, sink;
  Pusher pusher = { &sink, 50, NULL, { 0, 0 } };
  g_autofree char *peers = NULL;
  guint port, i;
  GThread *thread;

  stage_new (&first, FINGERPRINT, 2);
  stage_new (&second, FINGERPRINT, 2);
  port = side_port (&first);
  peers = g_strdup_printf ("127.0.0.1:%u,127.0.0.1:%u", port, side_port (&second));
  sink_make_searching (&sink, peers, 10000);
  sink_play (&sink, 2);
  thread = g_thread_new ("push", push_all, &pusher);
  for (i = 0; i < 10; i++) {
    GstBuffer *buffer = gst_harness_pull (first.harness);

    check_numbered (buffer, i, 3);
    consume (buffer);
  }
  WAIT_UNTIL (g_atomic_int_get (&pusher.counts[1]) == 10);
  side_clear (&first);
  for (i = 10; i < 50; i++) {
    GstBuffer *buffer = gst_harness_pull (second.harness);

    check_numbered (buffer, i, 3);
    consume (buffer);
  }
  g_thread_join (thread);
  wait_message (&sink, GST_MESSAGE_EOS);
  g_assert_cmpint (pusher.counts[1], ==, 50);
  g_assert_cmpint (pusher.counts[0], ==, 0);
  assert_no_message (&sink, GST_MESSAGE_ERROR);
  assert_no_message (&second, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  side_clear (&sink);
  side_clear (&second);
}

/* What every device drops is an error after all, not a search without end. */
static void
test_dropped_everywhere (void)
{
  Side src, sink;
  g_autofree char *peers = NULL, *text = NULL;

  src_make (&src);
  g_object_set (src.element, "keep-listening", TRUE, NULL);
  gst_harness_set_drop_buffers (src.harness, TRUE);
  gst_harness_play (src.harness);
  peers = g_strdup_printf ("127.0.0.1:%u", side_port (&src));
  sink_make_searching (&sink, peers, 0);
  sink_play (&sink, 2);
  gst_harness_push (sink.harness, numbered_buffer (0, 3));
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "dropped micro-batch 1");
  side_clear (&sink);
  side_clear (&src);
}

int
main (int argc, char **argv)
{
  g_autofree char *config = g_dir_make_tmp ("tandem-XXXXXX", NULL);
  g_autofree char *folder = g_build_filename (config, "tandem", NULL);
  int status;

  g_setenv ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent", TRUE);
  g_setenv ("XDG_CONFIG_HOME", config, TRUE);
  g_unsetenv ("TANDEM_PEERS");
  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/net/discovery/third-takes", test_third_takes);
  g_test_add_func ("/net/discovery/second-stream", test_second_stream);
  g_test_add_func ("/net/discovery/environment-and-file", test_environment_and_file);
  g_test_add_func ("/net/discovery/nobody-takes", test_nobody_takes);
  g_test_add_func ("/net/discovery/no-daemon-no-list", test_no_daemon_no_list);
  g_test_add_func ("/net/discovery/advertise-without-daemon", test_advertise_without_daemon);
  g_test_add_func ("/net/discovery/bad-list", test_bad_list);
  g_test_add_func ("/net/discovery/stop-while-searching", test_stop_while_searching);
  g_test_add_func ("/net/discovery/empty-stream", test_empty_stream);
  g_test_add_func ("/net/discovery/takeover", test_takeover);
  g_test_add_func ("/net/discovery/dropped-everywhere", test_dropped_everywhere);
  status = g_test_run ();
  g_rmdir (folder);
  g_rmdir (config);
  gst_deinit ();
  return status;
}
