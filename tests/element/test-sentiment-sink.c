/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <gst/check/gstharness.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "tandem.h"

#define FP "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CAPS                                                                    \
  "application/x-tandem-logits, model=(string)" FP                              \
  ", classes=(int)2, labels=(string)< Negative, Positive >"

typedef struct
{
  char *dir;
  char *path;
  GstHarness *harness;
  GstBus *bus;
  int dropped;
  int completed;
} Fixture;

/* A sink that writes to a file, with what PROPERTIES says. */
static void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *line = NULL;

  f->dir = g_dir_make_tmp ("tandem-XXXXXX", NULL);
  f->path = g_build_filename (f->dir, "results", NULL);
  line = g_strdup_printf ("sentimentsink summary=false location=%s %s", f->path,
                          (const char *) data);
  f->harness = gst_harness_new_parse (line);
  f->bus = gst_bus_new ();
  gst_element_set_bus (f->harness->element, f->bus);
  gst_harness_set_src_caps_str (f->harness, CAPS);
}

static void
close_sink (Fixture *f)
{
  if (f->harness == NULL)
    return;
  gst_element_set_state (f->harness->element, GST_STATE_NULL);
  g_clear_pointer (&f->harness, gst_harness_teardown);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  close_sink (f);
  gst_bus_set_flushing (f->bus, TRUE);
  gst_object_unref (f->bus);
  g_unlink (f->path);
  g_rmdir (f->dir);
  g_free (f->path);
  g_free (f->dir);
}

static void
count_receipt (gboolean completed, gpointer user_data)
{
  Fixture *f = user_data;

  g_atomic_int_inc (completed ? &f->completed : &f->dropped);
}

static GstBuffer *
make_batch (Fixture *f, guint n, const guint64 *ids, const gint32 *labels, const float *logits)
{
  GstBuffer *buffer = gst_buffer_new_memdup (logits, n * 2 * sizeof (float));
  TandemBatchMeta *meta = tandem_buffer_add_batch_meta (buffer, n, NULL, ids, labels);
  TandemReceipt *receipt = tandem_receipt_new (count_receipt, f, NULL);

  tandem_batch_meta_add_receipt (meta, receipt);
  tandem_receipt_unref (receipt);
  return buffer;
}

/* One review with the scores 0 and 1. */
static GstFlowReturn
push_one (Fixture *f, guint64 id)
{
  const float logits[] = { 0.0f, 1.0f };

  return gst_harness_push (f->harness, make_batch (f, 1, &id, NULL, logits));
}

static char *
read_results (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  char *contents = NULL;

  g_file_get_contents (f->path, &contents, NULL, &error);
  g_assert_no_error (error);
  return contents;
}

/* The ids of the lines of the text format, as "0 1 2 ". */
static char *
read_ids (Fixture *f)
{
  g_autofree char *contents = read_results (f);
  g_auto (GStrv) lines = g_strsplit (contents, "\n", -1);
  GString *ids = g_string_new (NULL);
  guint i;

  for (i = 0; lines[i] != NULL && *lines[i] != '\0'; i++)
    g_string_append_printf (ids, "%" G_GUINT64_FORMAT " ", g_ascii_strtoull (lines[i], NULL, 10));
  return g_string_free (ids, FALSE);
}

static void
assert_ids (Fixture *f, const char *wanted)
{
  g_autofree char *ids = read_ids (f);

  g_assert_cmpstr (ids, ==, wanted);
}

static GstMessage *
pop_element_message (Fixture *f, const char *name)
{
  GstMessage *message;

  while ((message = gst_bus_pop_filtered (f->bus, GST_MESSAGE_ELEMENT)) != NULL) {
    if (gst_message_has_name (message, name))
      return message;
    gst_message_unref (message);
  }
  return NULL;
}

static void
assert_error (Fixture *f, GQuark domain, int code, const char *part)
{
  g_autoptr (GstMessage) message = gst_bus_pop_filtered (f->bus, GST_MESSAGE_ERROR);
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (message);
  gst_message_parse_error (message, &error, NULL);
  g_assert_error (error, domain, code);
  g_assert_nonnull (strstr (error->message, part));
}

static void
test_json (Fixture *f, gconstpointer data)
{
  const guint64 ids[] = { 0, 1 };
  const gint32 labels[] = { 1, TANDEM_LABEL_UNKNOWN };
  const float logits[] = { -1.0f, 2.0f, 0.5f, 0.25f };
  g_autofree char *contents = NULL;

  g_assert_cmpint (gst_harness_push (f->harness, make_batch (f, 2, ids, labels, logits)), ==,
                   GST_FLOW_OK);
  /* A reader sees results at once, and they are there when the sender hears so. */
  contents = read_results (f);
  g_assert_cmpstr (contents, ==,
      "{\"id\":0,\"label\":\"positive\",\"probability\":0.952574127,\"logits\":[-1,2],"
      "\"expected\":\"positive\"}\n"
      "{\"id\":1,\"label\":\"negative\",\"probability\":0.562176501,\"logits\":[0.5,0.25]}\n");
  g_assert_cmpint (f->completed, ==, 1);
}

static void
test_csv_header (Fixture *f, gconstpointer data)
{
  g_autofree char *contents = NULL;

  g_assert_true (gst_harness_push_event (f->harness, gst_event_new_eos ()));
  contents = read_results (f);
  g_assert_cmpstr (contents, ==, "id,label,probability,logits,expected\r\n");
}

static void
test_messages (Fixture *f, gconstpointer data)
{
  const guint64 ids[] = { 0, 1, 2 };
  const gint32 labels[] = { 1, TANDEM_LABEL_UNKNOWN, 1 };
  const float logits[] = { -1.0f, 2.0f, 0.5f, 0.25f, 3.0f, -3.0f };
  g_autoptr (GstMessage) first = NULL, second = NULL, summary = NULL;
  const GstStructure *s;
  const GValue *array;
  guint64 n;
  int class_index;
  double value;

  gst_harness_push (f->harness, make_batch (f, 3, ids, labels, logits));
  first = pop_element_message (f, "tandem-result");
  second = pop_element_message (f, "tandem-result");
  g_assert_nonnull (first);
  g_assert_nonnull (second);
  s = gst_message_get_structure (first);
  g_assert_true (gst_structure_get_uint64 (s, "id", &n));
  g_assert_cmpuint (n, ==, 0);
  g_assert_cmpstr (gst_structure_get_string (s, "label"), ==, "positive");
  g_assert_cmpstr (gst_structure_get_string (s, "expected"), ==, "positive");
  g_assert_true (gst_structure_get_int (s, "class", &class_index));
  g_assert_cmpint (class_index, ==, 1);
  g_assert_true (gst_structure_get_double (s, "probability", &value));
  g_assert_cmpfloat_with_epsilon (value, 1.0 / (1.0 + exp (-3.0)), 1e-12);
  array = gst_structure_get_value (s, "logits");
  g_assert_true (GST_VALUE_HOLDS_ARRAY (array));
  g_assert_cmpuint (gst_value_array_get_size (array), ==, 2);
  g_assert_cmpfloat (g_value_get_float (gst_value_array_get_value (array, 1)), ==, 2.0f);
  g_assert_false (gst_structure_has_field (gst_message_get_structure (second), "expected"));

  g_assert_true (gst_harness_push_event (f->harness, gst_event_new_eos ()));
  summary = pop_element_message (f, "tandem-summary");
  g_assert_nonnull (summary);
  s = gst_message_get_structure (summary);
  g_assert_true (gst_structure_get_uint64 (s, "reviews", &n));
  g_assert_cmpuint (n, ==, 3);
  g_assert_true (gst_structure_get_double (s, "accuracy", &value));
  g_assert_cmpfloat (value, ==, 0.5);
  g_assert_false (gst_structure_has_field (s, "reviews-per-second"));
}

static void
test_no_messages (Fixture *f, gconstpointer data)
{
  push_one (f, 0);
  g_assert_null (pop_element_message (f, "tandem-result"));
}

/* The whole of a batch is acknowledged when its last result is written. */
static void
test_ordered (Fixture *f, gconstpointer data)
{
  const guint64 late[] = { 0, 3 };
  const float logits[] = { 0.0f, 1.0f, 1.0f, 0.0f };

  push_one (f, 4);
  push_one (f, 2);
  assert_ids (f, "");
  g_assert_cmpint (f->completed, ==, 0);
  gst_harness_push (f->harness, make_batch (f, 2, late, NULL, logits));
  assert_ids (f, "0 ");
  g_assert_cmpint (f->completed, ==, 0);
  push_one (f, 1);
  assert_ids (f, "0 1 2 3 4 ");
  g_assert_cmpint (f->completed, ==, 4);
  g_assert_cmpint (f->dropped, ==, 0);
}

static void
test_not_ordered (Fixture *f, gconstpointer data)
{
  push_one (f, 4);
  push_one (f, 2);
  push_one (f, 3);
  assert_ids (f, "4 2 3 ");
  g_assert_cmpint (f->completed, ==, 3);
}

static void
test_missing_id_at_end (Fixture *f, gconstpointer data)
{
  push_one (f, 9);
  push_one (f, 5);
  push_one (f, 0);
  assert_ids (f, "0 ");
  g_assert_true (gst_harness_push_event (f->harness, gst_event_new_eos ()));
  assert_ids (f, "0 5 9 ");
  g_assert_cmpint (f->completed, ==, 3);
}

static void
test_window (Fixture *f, gconstpointer data)
{
  push_one (f, 9);
  push_one (f, 8);
  push_one (f, 7);
  assert_ids (f, "7 8 9 ");
  push_one (f, 0);
  assert_ids (f, "7 8 9 0 ");
}

/* Nobody upstream waits for ever for the acknowledgement of what an id that is lost holds up. */
static void
test_timeout (Fixture *f, gconstpointer data)
{
  gint64 end = g_get_monotonic_time () + 10 * G_TIME_SPAN_SECOND;

  push_one (f, 6);
  push_one (f, 5);
  g_assert_cmpint (g_atomic_int_get (&f->completed), ==, 0);
  while (g_atomic_int_get (&f->completed) < 2 && g_get_monotonic_time () < end)
    g_usleep (1000);
  g_assert_cmpint (g_atomic_int_get (&f->completed), ==, 2);
  assert_ids (f, "5 6 ");
  push_one (f, 7);
  assert_ids (f, "5 6 7 ");
}

static void
test_dropped_when_stopped (Fixture *f, gconstpointer data)
{
  push_one (f, 6);
  close_sink (f);
  g_assert_cmpint (f->completed, ==, 0);
  g_assert_cmpint (f->dropped, ==, 1);
}

static void
test_flush (Fixture *f, gconstpointer data)
{
  GstSegment segment;

  push_one (f, 0);
  push_one (f, 6);
  gst_harness_push_event (f->harness, gst_event_new_flush_start ());
  gst_harness_push_event (f->harness, gst_event_new_flush_stop (TRUE));
  g_assert_cmpint (f->dropped, ==, 1);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (f->harness, gst_event_new_segment (&segment));
  g_assert_cmpint (push_one (f, 0), ==, GST_FLOW_OK);
  assert_ids (f, "0 0 ");
}

/* A source that goes on to the next sender. */
static void
test_next_stream (Fixture *f, gconstpointer data)
{
  g_autoptr (GstMessage) summary = NULL;
  guint64 n;

  push_one (f, 0);
  push_one (f, 2);
  gst_harness_push_event (f->harness, gst_event_new_stream_start ("another"));
  assert_ids (f, "0 2 ");
  summary = pop_element_message (f, "tandem-summary");
  g_assert_nonnull (summary);
  g_assert_true (gst_structure_get_uint64 (gst_message_get_structure (summary), "reviews", &n));
  g_assert_cmpuint (n, ==, 2);
  push_one (f, 1);
  push_one (f, 0);
  assert_ids (f, "0 2 0 1 ");
}

/* The end of one sender's stream is told before the next comes. */
static void
test_stream_done (Fixture *f, gconstpointer data)
{
  g_autoptr (GstMessage) summary = NULL;

  push_one (f, 2);
  gst_harness_push_event (f->harness, gst_event_new_stream_group_done (1));
  assert_ids (f, "2 ");
  g_assert_cmpint (f->completed, ==, 1);
  summary = pop_element_message (f, "tandem-summary");
  g_assert_nonnull (summary);
  /* There is nothing new to say at the end. */
  gst_harness_push_event (f->harness, gst_event_new_stream_start ("another"));
  gst_harness_push_event (f->harness, gst_event_new_eos ());
  g_assert_null (pop_element_message (f, "tandem-summary"));
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

/* Results that still wait when another model's begin keep their own labels. */
static void
test_other_labels (Fixture *f, gconstpointer data)
{
  g_autofree char *contents = NULL;

  push_one (f, 1);
  gst_harness_set_src_caps_str (f->harness, "application/x-tandem-logits, model=(string)" FP
                                ", classes=(int)2, labels=(string)< bad, good >");
  push_one (f, 0);
  contents = read_results (f);
  g_assert_cmpstr (contents, ==, "0: good 0.731\n1: positive 0.731\n");
}

static void
test_accepted_query (Fixture *f, gconstpointer data)
{
  GstQuery *query = tandem_query_new_accepted ();
  g_autoptr (GstCaps) caps = NULL;
  guint last_layer = 77;

  g_assert_true (gst_pad_peer_query (f->harness->srcpad, query));
  g_assert_true (tandem_query_parse_accepted (query, &caps, &last_layer));
  g_assert_cmpuint (last_layer, ==, 0);
  g_assert_true (gst_structure_has_name (gst_caps_get_structure (caps, 0), TANDEM_CAPS_LOGITS));
  gst_query_unref (query);
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

/* Results go to standard output, the summary to standard error. */
static void
test_standard_output (void)
{
  if (g_test_subprocess ()) {
    Fixture f = { 0 };

    f.harness = gst_harness_new_parse ("sentimentsink format=json");
    gst_harness_set_src_caps_str (f.harness, CAPS);
    push_one (&f, 0);
    gst_harness_push_event (f.harness, gst_event_new_eos ());
    close_sink (&f);
    return;
  }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stdout ("*{\"id\":0,\"label\":\"positive\",*");
  g_test_trap_assert_stdout_unmatched ("*1 review*");
  g_test_trap_assert_stderr ("*1 review\n*");
}

#define ADD(path, properties, func) \
  g_test_add (path, Fixture, properties, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  ADD ("/sentimentsink/json", "format=json", test_json);
  ADD ("/sentimentsink/csv-header", "format=csv", test_csv_header);
  ADD ("/sentimentsink/messages", "", test_messages);
  ADD ("/sentimentsink/no-messages", "post-messages=false", test_no_messages);
  ADD ("/sentimentsink/ordered", "", test_ordered);
  ADD ("/sentimentsink/not-ordered", "ordered=false", test_not_ordered);
  ADD ("/sentimentsink/missing-id-at-end", "", test_missing_id_at_end);
  ADD ("/sentimentsink/window", "reorder-window=2 reorder-timeout=0", test_window);
  ADD ("/sentimentsink/timeout", "reorder-timeout=50000000", test_timeout);
  ADD ("/sentimentsink/dropped-when-stopped", "", test_dropped_when_stopped);
  ADD ("/sentimentsink/flush", "", test_flush);
  ADD ("/sentimentsink/next-stream", "", test_next_stream);
  ADD ("/sentimentsink/stream-done", "", test_stream_done);
  ADD ("/sentimentsink/nan", "", test_nan);
  ADD ("/sentimentsink/no-meta", "", test_no_meta);
  ADD ("/sentimentsink/wrong-size", "", test_wrong_size);
  ADD ("/sentimentsink/wrong-label", "", test_wrong_label);
  ADD ("/sentimentsink/other-labels", "", test_other_labels);
  ADD ("/sentimentsink/accepted-query", "", test_accepted_query);
  ADD ("/sentimentsink/states", "", test_states);
  ADD ("/sentimentsink/stops-while-blocked", "", test_stops_while_blocked);
  ADD ("/sentimentsink/pauses-while-blocked", "", test_pauses_while_blocked);
  g_test_add_func ("/sentimentsink/bad-locations", test_bad_locations);
  g_test_add_func ("/sentimentsink/standard-output", test_standard_output);
  return g_test_run ();
}
