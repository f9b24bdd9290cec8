/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Batches that sentimentsink refuses, places it cannot write to, readers that stall, and stops. */

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "sentiment-sink-harness.h"

static void
test_dropped_when_stopped (Fixture *f, gconstpointer data)
{
  push_one (f, 6);
  close_sink (f);
  g_assert_cmpint (f->completed, ==, 0);
  g_assert_cmpint (f->dropped, ==, 1);
}

static void
test_nan (Fixture *f, gconstpointer data)
{
  const guint64 ids[] = { 40, 41 };
  const float logits[] = { 0.0f, 1.0f, NAN, 1.0f };

  g_assert_cmpint (gst_harness_push (f->harness, make_batch (f, 2, ids, NULL, logits)), ==,
                   GST_FLOW_ERROR);
  assert_error (f, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED, "41");
  g_assert_cmpint (f->completed, ==, 0);
  g_assert_cmpint (f->dropped, ==, 1);
}

static void
test_no_meta (Fixture *f, gconstpointer data)
{
  const float logits[] = { 0.0f, 1.0f };

  g_assert_cmpint (gst_harness_push (f->harness, gst_buffer_new_memdup (logits, sizeof logits)),
                   ==, GST_FLOW_ERROR);
  assert_error (f, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT, "TandemBatchMeta");
}

static void
test_wrong_size (Fixture *f, gconstpointer data)
{
  const float logits[] = { 0.0f, 1.0f, 2.0f };
  GstBuffer *buffer = gst_buffer_new_memdup (logits, sizeof logits);

  tandem_buffer_add_batch_meta (buffer, 1, NULL, NULL, NULL);
  g_assert_cmpint (gst_harness_push (f->harness, buffer), ==, GST_FLOW_ERROR);
  assert_error (f, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT, "12 bytes for 1 reviews");
}

/* What came before is written, and nothing of the bad batch or after it. */
static void
test_wrong_label (Fixture *f, gconstpointer data)
{
  const guint64 ids[] = { 1, 2 };
  const gint32 labels[] = { 1, 2 };
  const float logits[] = { 0.0f, 1.0f, 0.0f, 1.0f };

  push_one (f, 0);
  g_assert_cmpint (gst_harness_push (f->harness, make_batch (f, 2, ids, labels, logits)), ==,
                   GST_FLOW_ERROR);
  assert_error (f, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED, "review 2 is labelled with class 2");
  g_assert_cmpint (push_one (f, 1), ==, GST_FLOW_ERROR);
  assert_ids (f, "0 ");
  g_assert_cmpint (f->completed, ==, 1);
  g_assert_cmpint (f->dropped, ==, 2);
}

/* READY and back begins a new file. */
static void
test_states (Fixture *f, gconstpointer data)
{
  const float logits[] = { 0.0f, 1.0f };
  const guint64 id = 0;
  guint i;

  close_sink (f);
  for (i = 0; i < 20; i++) {
    GstElement *sink = gst_element_factory_make ("sentimentsink", NULL);
    GstPad *pad = gst_element_get_static_pad (sink, "sink");
    guint round;

    g_object_set (sink, "location", f->path, "summary", FALSE, NULL);
    for (round = 0; round < 3; round++) {
      g_autoptr (GstCaps) caps = gst_caps_from_string (CAPS);
      GstSegment segment;

      gst_segment_init (&segment, GST_FORMAT_TIME);
      g_assert_cmpint (gst_element_set_state (sink, GST_STATE_PLAYING), ==,
                       GST_STATE_CHANGE_SUCCESS);
      gst_pad_send_event (pad, gst_event_new_stream_start ("s"));
      gst_pad_send_event (pad, gst_event_new_caps (caps));
      gst_pad_send_event (pad, gst_event_new_segment (&segment));
      g_assert_cmpint (gst_pad_chain (pad, make_batch (f, 1, &id, NULL, logits)), ==, GST_FLOW_OK);
      assert_ids (f, "0 ");
      gst_element_set_state (sink, round == 1 ? GST_STATE_NULL : GST_STATE_READY);
    }
    gst_element_set_state (sink, GST_STATE_NULL);
    gst_object_unref (pad);
    gst_object_unref (sink);
  }
}

static gpointer
push_in_thread (gpointer data)
{
  return GINT_TO_POINTER (push_one (data, 0));
}

/* A pipe that is full, so that the sink waits for its reader. */
static void
block_sink (Fixture *f, int *fds, GThread **thread)
{
  const char filler[1024] = { 0 };
  g_autofree char *location = NULL;
  GstElement *sink;

  g_assert_cmpint (pipe (fds), ==, 0);
  g_assert_cmpint (fcntl (fds[1], F_SETFL, O_NONBLOCK), ==, 0);
  while (write (fds[1], filler, sizeof filler) > 0);
  g_assert_cmpint (fcntl (fds[1], F_SETFL, 0), ==, 0);

  gst_element_set_state (f->harness->element, GST_STATE_READY);
  location = g_strdup_printf ("/proc/self/fd/%d", fds[1]);
  sink = gst_harness_find_element (f->harness, "sentimentsink");
  g_object_set (sink, "location", location, NULL);
  gst_object_unref (sink);
  gst_element_set_state (f->harness->element, GST_STATE_PLAYING);
  /* READY forgot these. */
  gst_pad_push_event (f->harness->srcpad, gst_event_new_stream_start ("s"));
  gst_harness_set_src_caps_str (f->harness, CAPS);
  *thread = g_thread_new ("push", push_in_thread, f);
  g_usleep (100000);
  g_assert_cmpint (g_atomic_int_get (&f->completed), ==, 0);
}

/* A reader that stalls does not keep the pipeline from stopping. */
static void
test_stops_while_blocked (Fixture *f, gconstpointer data)
{
  GThread *thread;
  int fds[2];

  block_sink (f, fds, &thread);
  gst_element_set_state (f->harness->element, GST_STATE_NULL);
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==, GST_FLOW_FLUSHING);
  g_assert_cmpint (f->completed, ==, 0);
  close_sink (f);
  g_assert_cmpint (f->dropped, ==, 1);
  close (fds[0]);
  close (fds[1]);
}

/* After a pause the result that was on its way goes out, once. */
static void
test_pauses_while_blocked (Fixture *f, gconstpointer data)
{
  g_autofree char *buffer = g_malloc0 (1 << 21);
  GThread *thread;
  gssize n;
  int fds[2];

  block_sink (f, fds, &thread);
  gst_element_set_state (f->harness->element, GST_STATE_PAUSED);
  gst_element_set_state (f->harness->element, GST_STATE_PLAYING);
  g_usleep (50000);
  g_assert_cmpint (g_atomic_int_get (&f->completed), ==, 0);
  n = read (fds[0], buffer, 1 << 21);
  g_assert_cmpint (n, >, 0);
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==, GST_FLOW_OK);
  g_assert_cmpint (f->completed, ==, 1);
  memset (buffer, 0, n);
  n = read (fds[0], buffer, 1 << 21);
  g_assert_cmpint (n, >, 0);
  g_assert_nonnull (g_strrstr_len (buffer, n, "0: positive 0.731\n"));
  close_sink (f);
  close (fds[0]);
  close (fds[1]);
}

static void
assert_bad_location (const char *location, gboolean fails_at_start, int code)
{
  g_autoptr (GstElement) sink = gst_element_factory_make ("sentimentsink", NULL);
  g_autoptr (GstBus) bus = gst_bus_new ();
  Fixture f = { .bus = bus };

  gst_object_ref_sink (sink);
  g_object_set (sink, "location", location, "summary", FALSE, NULL);
  if (fails_at_start) {
    gst_element_set_bus (sink, bus);
    g_assert_cmpint (gst_element_set_state (sink, GST_STATE_PAUSED), ==, GST_STATE_CHANGE_FAILURE);
    assert_error (&f, GST_RESOURCE_ERROR, code, location);
  } else {
    f.harness = gst_harness_new_with_element (sink, "sink", NULL);
    gst_element_set_bus (sink, bus);
    gst_harness_set_src_caps_str (f.harness, CAPS);
    g_assert_cmpint (push_one (&f, 0), ==, GST_FLOW_ERROR);
    assert_error (&f, GST_RESOURCE_ERROR, code, location);
    g_assert_cmpint (f.completed, ==, 0);
    /* The error stays: nothing else is taken, and the end does not pretend success. */
    g_assert_cmpint (push_one (&f, 1), ==, GST_FLOW_ERROR);
    g_assert_null (pop_element_message (&f, "tandem-result"));
    gst_element_set_state (sink, GST_STATE_NULL);
    g_clear_pointer (&f.harness, gst_harness_teardown);
    g_assert_cmpint (f.dropped, ==, 2);
  }
  gst_element_set_state (sink, GST_STATE_NULL);
  gst_bus_set_flushing (bus, TRUE);
}

static void
test_bad_locations (void)
{
  assert_bad_location ("/nowhere/results", TRUE, GST_RESOURCE_ERROR_OPEN_WRITE);
  assert_bad_location ("/", TRUE, GST_RESOURCE_ERROR_OPEN_WRITE);
  if (g_file_test ("/dev/full", G_FILE_TEST_EXISTS))
    assert_bad_location ("/dev/full", FALSE, GST_RESOURCE_ERROR_NO_SPACE_LEFT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  ADD ("/sentimentsink/dropped-when-stopped", "", test_dropped_when_stopped);
  ADD ("/sentimentsink/nan", "", test_nan);
  ADD ("/sentimentsink/no-meta", "", test_no_meta);
  ADD ("/sentimentsink/wrong-size", "", test_wrong_size);
  ADD ("/sentimentsink/wrong-label", "", test_wrong_label);
  ADD ("/sentimentsink/states", "", test_states);
  ADD ("/sentimentsink/stops-while-blocked", "", test_stops_while_blocked);
  ADD ("/sentimentsink/pauses-while-blocked", "", test_pauses_while_blocked);
  g_test_add_func ("/sentimentsink/bad-locations", test_bad_locations);
  return g_test_run ();
}
