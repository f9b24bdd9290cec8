/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "text-harness.h"

static GstHarness *
new_harness (const char *properties)
{
  g_autofree char *vocabulary = write_vocabulary ();
  g_autofree char *launch = g_strdup_printf ("tokenize vocab=%s %s", vocabulary, properties);
  GstHarness *h = gst_harness_new_parse (launch);

  gst_harness_set_src_caps_str (h, TANDEM_CAPS_TEXT);
  g_unlink (vocabulary);
  return h;
}

static void
assert_ids (GstHarness *h, GstBuffer *input, guint64 id, int label, const char *expected)
{
  g_autoptr (GString) actual = g_string_new (NULL);
  const TandemBatchMeta *meta;
  GstBuffer *output;
  GstMapInfo map;
  gsize i;

  g_assert_cmpint (gst_harness_push (h, input), ==, GST_FLOW_OK);
  output = gst_harness_pull (h);
  meta = tandem_buffer_get_batch_meta (output);
  g_assert_nonnull (meta);
  g_assert_cmpuint (meta->n_sequences, ==, 1);
  g_assert_cmpuint (meta->ids[0], ==, id);
  g_assert_cmpint (meta->labels[0], ==, label);
  gst_buffer_map (output, &map, GST_MAP_READ);
  g_assert_cmpuint (map.size, ==, tandem_batch_meta_get_n_rows (meta) * sizeof (gint32));
  for (i = 0; i < map.size / sizeof (gint32); i++)
    g_string_append_printf (actual, "%s%d", i > 0 ? " " : "", ((gint32 *) map.data)[i]);
  gst_buffer_unmap (output, &map);
  g_assert_cmpstr (actual->str, ==, expected);
  gst_buffer_unref (output);
}

static void
test_ids (void)
{
  GstHarness *h = new_harness ("max-length=5");
  g_autoptr (GstCaps) caps = NULL;
  g_auto (TandemStreamInfo) info = { 0 };
  const guint64 id = 77;
  const gint32 label = 1;
  GstBuffer *buffer;

  assert_ids (h, text_buffer ("a Ab", 4), 0, -1, "1 3 3 4 2");
  assert_ids (h, text_buffer ("", 0), 1, -1, "1 2");
  assert_ids (h, text_buffer ("a a a a a a", 11), 2, -1, "1 3 3 3 2");
  buffer = text_buffer ("x", 1);
  tandem_buffer_add_batch_meta (buffer, 1, NULL, &id, &label);
  assert_ids (h, buffer, 77, 1, "1 0 2");

  caps = gst_pad_get_current_caps (h->sinkpad);
  g_assert_true (tandem_stream_info_from_caps (&info, caps, NULL));
  g_assert_cmpint (info.kind, ==, TANDEM_STREAM_TOKENS);
  gst_harness_teardown (h);
}

static void
count_settled (gboolean completed, gpointer user_data)
{
  ((int *) user_data)[completed]++;
}

static void
test_receipt (void)
{
  GstHarness *h = new_harness ("");
  GstBuffer *buffer = text_buffer ("a", 1);
  int counts[2] = { 0, 0 };
  TandemReceipt *receipt = tandem_receipt_new (count_settled, counts, NULL);

  tandem_batch_meta_add_receipt (tandem_buffer_add_batch_meta (buffer, 1, NULL, NULL, NULL),
                                 receipt);
  tandem_receipt_unref (receipt);
  gst_harness_push (h, buffer);
  buffer = gst_harness_pull (h);
  g_assert_cmpint (counts[0], ==, 0);
  tandem_batch_meta_complete (tandem_buffer_get_batch_meta (buffer));
  gst_buffer_unref (buffer);
  g_assert_cmpint (counts[1], ==, 1);
  gst_harness_teardown (h);
}

static void
test_invalid_utf8 (void)
{
  GstHarness *h = new_harness ("");
  GstElement *tokenize = gst_harness_find_element (h, "tokenize");
  GstBus *bus = gst_bus_new ();
  GstMessage *message;
  guint64 value;

  gst_element_set_bus (tokenize, bus);
  assert_ids (h, text_buffer ("a\xff \xe2\x82", 5), 0, -1, "1 3 2");
  g_object_get (tokenize, "replaced", &value, NULL);
  g_assert_cmpuint (value, ==, 2);
  gst_harness_push_event (h, gst_event_new_eos ());
  message = gst_bus_pop_filtered (bus, GST_MESSAGE_ELEMENT);
  g_assert_nonnull (message);
  g_assert_true (gst_message_has_name (message, "tandem-tokenize"));
  g_assert_true (gst_structure_get_uint64 (gst_message_get_structure (message), "replaced",
                                           &value));
  g_assert_cmpuint (value, ==, 2);
  gst_message_unref (message);
  gst_element_set_bus (tokenize, NULL);
  gst_object_unref (bus);
  gst_object_unref (tokenize);
  gst_harness_teardown (h);
}

static void
test_refused (void)
{
  static const char *const launches[] = {
    "tokenize", "tokenize vocab=/nonexistent/vocab.txt", "tokenize model=a vocab=b",
    "tokenize model=/nonexistent",
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (launches); i++) {
    GstElement *tokenize = gst_parse_launch_full (launches[i], NULL, GST_PARSE_FLAG_NONE, NULL);
    GstBus *bus = gst_bus_new ();
    GstMessage *message;

    gst_object_ref_sink (tokenize);
    gst_element_set_bus (tokenize, bus);
    g_assert_cmpint (gst_element_set_state (tokenize, GST_STATE_PAUSED), ==,
                     GST_STATE_CHANGE_FAILURE);
    message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
    g_assert_nonnull (message);
    gst_message_unref (message);
    gst_element_set_state (tokenize, GST_STATE_NULL);
    gst_element_set_bus (tokenize, NULL);
    gst_object_unref (bus);
    gst_object_unref (tokenize);
  }
}

static void
test_states (void)
{
  g_autofree char *vocabulary = write_vocabulary ();
  GstElement *tokenize = gst_object_ref_sink (gst_element_factory_make ("tokenize", NULL));
  guint i;

  g_object_set (tokenize, "vocab", vocabulary, NULL);
  for (i = 0; i < 30; i++) {
    g_assert_cmpint (gst_element_set_state (tokenize, GST_STATE_PAUSED), ==,
                     GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (gst_element_set_state (tokenize, i % 2 ? GST_STATE_READY : GST_STATE_NULL),
                     ==, GST_STATE_CHANGE_SUCCESS);
  }
  gst_element_set_state (tokenize, GST_STATE_NULL);
  gst_object_unref (tokenize);
  g_unlink (vocabulary);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  tandem_init ();
  g_test_add_func ("/tokenize/ids", test_ids);
  g_test_add_func ("/tokenize/receipt", test_receipt);
  g_test_add_func ("/tokenize/invalid-utf8", test_invalid_utf8);
  g_test_add_func ("/tokenize/refused", test_refused);
  g_test_add_func ("/tokenize/states", test_states);
  return g_test_run ();
}
