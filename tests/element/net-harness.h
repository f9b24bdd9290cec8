/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A tcpactsrc or tcpactsink under test, with a bus of its own. With TANDEM_TEST_KEY in the
 * environment both have a cluster key. */

#include "key-harness.h"

#include <gio/gio.h>
#include <gst/check/gstharness.h>
#include <string.h>

#define FINGERPRINT "3f2a1b0c0123456789abcdef0123456789abcdef0123456789abcdef01234567"
#define OTHER_MODEL "00000000000000000000000000000000000000000000000000000000000000ff"
#define WIDTH 4

/* Waits until `condition` holds; fails after 10 seconds. */
#define WAIT_UNTIL(condition) \
  G_STMT_START { \
    gint64 end_ = g_get_monotonic_time () + 10 * G_USEC_PER_SEC; \
    gboolean holds_; \
    while (!(holds_ = (condition)) && g_get_monotonic_time () < end_) \
      g_usleep (1000); \
    if (!holds_) \
      g_error ("still not: %s", #condition); \
  } G_STMT_END

typedef struct
{
  GstElement *element;
  GstHarness *harness;
  GstBus *bus;
} Side;

static inline GstCaps *
activation_caps (guint layer)
{
  return gst_caps_new_simple (TANDEM_CAPS_ACTIVATIONS, "model", G_TYPE_STRING, FINGERPRINT,
                              "layer", G_TYPE_INT, (int) layer, "width", G_TYPE_INT, WIDTH,
                              "format", G_TYPE_STRING, "F32LE", NULL);
}

static inline void
side_clear (Side *side)
{
  gst_harness_teardown (side->harness);
  gst_element_set_state (side->element, GST_STATE_NULL);
  gst_element_set_bus (side->element, NULL);
  gst_object_unref (side->element);
  gst_object_unref (side->bus);
  memset (side, 0, sizeof *side);
}

static inline void
side_init (Side *side, GstElement *element)
{
  side->element = gst_object_ref_sink (element);
  side->bus = gst_bus_new ();
  gst_element_set_bus (element, side->bus);
}

static inline void
side_set_key (Side *side)
{
  g_autofree char *path = NULL;

  if (g_getenv ("TANDEM_TEST_KEY") == NULL)
    return;
  path = keys_make ("home", 3600);
  g_object_set (side->element, "key", path, NULL);
}

static inline guint
side_port (Side *src)
{
  guint port;

  g_object_get (src->element, "current-port", &port, NULL);
  g_assert_cmpuint (port, >, 0);
  return port;
}

/* Listens on a free port, not playing yet. */
static inline void
src_make (Side *src)
{
  side_init (src, gst_element_factory_make ("tcpactsrc", NULL));
  g_object_set (src->element, "port", 0, NULL);
  side_set_key (src);
  src->harness = gst_harness_new_with_element (src->element, NULL, "src");
}

static inline void
src_new (Side *src, gboolean keep_listening)
{
  src_make (src);
  g_object_set (src->element, "keep-listening", keep_listening, NULL);
  gst_harness_play (src->harness);
}

static inline void
sink_make (Side *sink, guint port)
{
  side_init (sink, gst_element_factory_make ("tcpactsink", NULL));
  g_object_set (sink->element, "host", "127.0.0.1", "port", port, "reconnect-timeout", 5000, NULL);
  side_set_key (sink);
}

static inline void
sink_play (Side *sink, guint layer)
{
  sink->harness = gst_harness_new_with_element (sink->element, "sink", NULL);
  gst_harness_set_src_caps (sink->harness, activation_caps (layer));
}

static inline void
sink_new (Side *sink, guint port)
{
  sink_make (sink, port);
  sink_play (sink, 2);
}

static inline GstBuffer *
numbered_buffer (guint64 id, guint rows)
{
  const guint32 offsets[] = { 0, rows };
  const gint32 label = id % 2;
  float *data = g_new (float, (gsize) rows * WIDTH);
  GstBuffer *buffer;
  guint i;

  for (i = 0; i < rows * WIDTH; i++)
    data[i] = (float) (id * 31 + i);
  buffer = gst_buffer_new_wrapped (data, (gsize) rows * WIDTH * sizeof (float));
  GST_BUFFER_PTS (buffer) = id * GST_MSECOND;
  tandem_buffer_add_batch_meta (buffer, 1, offsets, &id, &label);
  return buffer;
}

static inline void
check_numbered (GstBuffer *buffer, guint64 id, guint rows)
{
  g_autoptr (GstBuffer) expected = numbered_buffer (id, rows);
  TandemBatchMeta *meta;
  GstMapInfo map;

  g_assert_nonnull (buffer);
  meta = tandem_buffer_get_batch_meta (buffer);
  g_assert_nonnull (meta);
  g_assert_cmpuint (meta->n_sequences, ==, 1);
  g_assert_cmpuint (meta->ids[0], ==, id);
  g_assert_cmpint (meta->labels[0], ==, (gint32) (id % 2));
  g_assert_cmpuint (tandem_batch_meta_get_n_rows (meta), ==, rows);
  g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==, id * GST_MSECOND);
  gst_buffer_map (buffer, &map, GST_MAP_READ);
  g_assert_cmpuint ((guintptr) map.data % 64, ==, 0);
  g_assert_cmpint (gst_buffer_memcmp (expected, 0, map.data, map.size), ==, 0);
  gst_buffer_unmap (buffer, &map);
}

/* The consumer at the end of the stream. */
static inline void
consume (GstBuffer *buffer)
{
  tandem_batch_meta_complete (tandem_buffer_get_batch_meta (buffer));
  gst_buffer_unref (buffer);
}

static inline char *
wait_message (Side *side, GstMessageType type)
{
  g_autoptr (GstMessage) message =
      gst_bus_timed_pop_filtered (side->bus, 15 * GST_SECOND, type);
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (message);
  if (type == GST_MESSAGE_ERROR)
    gst_message_parse_error (message, &error, NULL);
  else if (type == GST_MESSAGE_WARNING)
    gst_message_parse_warning (message, &error, NULL);
  return error != NULL ? g_strdup (error->message) : NULL;
}

static inline void
assert_no_message (Side *side, GstMessageType type)
{
  g_autoptr (GstMessage) message = gst_bus_pop_filtered (side->bus, type);

  if (message != NULL)
    g_error ("unexpected %" GST_PTR_FORMAT, message);
}

static inline void
assert_contains (const char *text, const char *part)
{
  if (text == NULL || strstr (text, part) == NULL)
    g_error ("\"%s\" does not contain \"%s\"", text, part);
}

static inline gpointer
push_eos (gpointer data)
{
  Side *sink = data;

  g_assert_true (gst_harness_push_event (sink->harness, gst_event_new_eos ()));
  return NULL;
}

/* Sends `n` buffers and EOS through both, consuming at once. */
static inline void
run_stream (Side *src, Side *sink, guint first, guint n)
{
  GThread *thread;
  guint i;

  for (i = first; i < first + n; i++) {
    GstBuffer *buffer;

    g_assert_cmpint (gst_harness_push (sink->harness, numbered_buffer (i, 3)), ==, GST_FLOW_OK);
    buffer = gst_harness_pull (src->harness);
    check_numbered (buffer, i, 3);
    consume (buffer);
  }
  thread = g_thread_new ("eos", push_eos, sink);
  g_thread_join (thread);
  wait_message (sink, GST_MESSAGE_EOS);
}

static inline guint
count_entries (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* What a stage behind a tcpactsrc says that it takes. */
typedef struct
{
  GstCaps *caps;
  guint last_layer;
} Answer;

static inline GstPadProbeReturn
answer_query (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Answer *answer = data;

  if (!tandem_query_is_accepted (GST_PAD_PROBE_INFO_QUERY (info)))
    return GST_PAD_PROBE_OK;
  tandem_query_set_accepted (GST_PAD_PROBE_INFO_QUERY (info), answer->caps, answer->last_layer);
  return GST_PAD_PROBE_HANDLED;
}
