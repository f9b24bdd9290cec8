/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "text-harness.h"

static char *
write_rows (const char *rows)
{
  char *path = NULL;
  int fd = g_file_open_tmp ("tandem-rows-XXXXXX.tsv", &path, NULL);

  g_assert_cmpint (fd, >=, 0);
  g_close (fd, NULL);
  g_assert_true (g_file_set_contents (path, rows, -1, NULL));
  return path;
}

static void
collect (GstElement *sink, GstBuffer *buffer, GstPad *pad, gpointer user_data)
{
  GString *all = user_data;
  const TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);
  GstMapInfo map;

  gst_buffer_map (buffer, &map, GST_MAP_READ);
  g_string_append_printf (all, "%s%u:%d:%.*s", all->len > 0 ? "|" : "", (guint) meta->ids[0],
                          meta->labels[0], (int) map.size, (const char *) map.data);
  gst_buffer_unmap (buffer, &map);
}

/* Runs the source to its end: "id:label:text|..." */
static char *
run (const char *path, const char *properties, gboolean expect_error)
{
  g_autofree char *launch =
      g_strdup_printf ("reviewsrc name=src location=%s %s ! fakesink name=sink", path, properties);
  GstElement *pipeline = gst_parse_launch (launch, NULL);
  GstElement *sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  GstBus *bus = gst_element_get_bus (pipeline);
  GString *all = g_string_new (NULL);
  GstMessage *message;

  g_object_set (sink, "signal-handoffs", TRUE, NULL);
  g_signal_connect (sink, "handoff", G_CALLBACK (collect), all);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, 10 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==,
                   expect_error ? GST_MESSAGE_ERROR : GST_MESSAGE_EOS);
  gst_message_unref (message);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (bus);
  gst_object_unref (sink);
  gst_object_unref (pipeline);
  return g_string_free (all, FALSE);
}

static void
test_rows (void)
{
  static const struct
  {
    const char *properties;
    const char *expected;
  } cases[] = {
    { "", "0:0:bad|1:1:|2:-1:so" },
    { "limit=2", "0:0:bad|1:1:" },
    { "epochs=2", "0:0:bad|1:1:|2:-1:so|3:0:bad|4:1:|5:-1:so" },
    { "epochs=0 limit=4", "0:0:bad|1:1:|2:-1:so|3:0:bad" },
  };
  g_autofree char *path = write_rows ("neg\tbad\npos\t\nunsup\tso\n");
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *all = run (path, cases[i].properties, FALSE);

    g_assert_cmpstr (all, ==, cases[i].expected);
  }
  g_unlink (path);
}

static void
test_errors (void)
{
  g_autofree char *path = write_rows ("neg\tbad\nwhat\tbad\n");
  g_autofree char *all = run (path, "", TRUE);
  g_autofree char *none = run ("/nonexistent/reviews.tsv", "", TRUE);

  g_assert_cmpstr (all, ==, "0:0:bad");
  g_assert_cmpstr (none, ==, "");
  g_unlink (path);
}

static void
test_states (void)
{
  g_autofree char *path = write_rows ("neg\tbad\npos\tgood\n");
  g_autofree char *launch =
      g_strdup_printf ("reviewsrc epochs=0 shuffle=true location=%s ! fakesink sync=false", path);
  GstElement *pipeline = gst_parse_launch (launch, NULL);
  guint i;

  for (i = 0; i < 30; i++) {
    g_assert_cmpint (gst_element_set_state (pipeline, GST_STATE_PLAYING), !=,
                     GST_STATE_CHANGE_FAILURE);
    g_assert_cmpint (gst_element_get_state (pipeline, NULL, NULL, 5 * GST_SECOND), ==,
                     GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (gst_element_set_state (pipeline, GST_STATE_READY), ==,
                     GST_STATE_CHANGE_SUCCESS);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  g_unlink (path);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  tandem_init ();
  g_test_add_func ("/reviewsrc/rows", test_rows);
  g_test_add_func ("/reviewsrc/errors", test_errors);
  g_test_add_func ("/reviewsrc/states", test_states);
  return g_test_run ();
}
