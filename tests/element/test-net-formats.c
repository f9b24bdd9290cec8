/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rows of activations in the formats of a link. */

#include "net-harness.h"

static void
count_completed (gboolean completed, gpointer user_data)
{
  g_assert_true (completed);
  g_atomic_int_inc ((int *) user_data);
}

static GstBuffer *
make_rows (guint64 id, guint n_rows)
{
  GstBuffer *buffer = numbered_buffer (id, n_rows);
  GstMapInfo map;
  guint i;

  gst_buffer_map (buffer, &map, GST_MAP_WRITE);
  for (i = 0; i < n_rows * WIDTH; i++)
    ((float *) (gpointer) map.data)[i] = g_test_rand_double_range (-3.0, 3.0);
  gst_buffer_unmap (buffer, &map);
  return buffer;
}

/* The sink's buffers come out with float32 rows that went through the format, and with all else
 * as it was; the receipts of what was sent are completed. */
static void
test_format (gconstpointer data)
{
  const char *name = data;
  GEnumClass *klass;
  TandemRowFormat format;
  Side src, sink;
  int n_completed = 0;
  guint64 id;

  src_new (&src, FALSE);
  sink_make (&sink, side_port (&src));
  gst_util_set_object_arg (G_OBJECT (sink.element), "wire-format", name);
  klass = g_type_class_peek (g_type_from_name ("GstTcpactWireFormat"));
  format = g_enum_get_value_by_nick (klass, name)->value;
  sink_play (&sink, 2);
  for (id = 0; id < 20; id++) {
    const guint n_rows = 1 + id * 7 % 5;
    GstBuffer *buffer = make_rows (id, n_rows);
    g_autofree float *expected = g_new (float, n_rows * WIDTH);
    g_autofree guint8 *encoded = g_malloc (n_rows * (WIDTH + 1) * sizeof (float));
    TandemReceipt *receipt = tandem_receipt_new (count_completed, &n_completed, NULL);
    GstBuffer *got;
    TandemBatchMeta *meta;
    GstMapInfo map;

    gst_buffer_map (buffer, &map, GST_MAP_READ);
    tandem_rows_encode (format, (const float *) (gpointer) map.data, n_rows, WIDTH, encoded);
    tandem_rows_decode (format, encoded, n_rows, WIDTH, expected);
    g_assert_true ((memcmp (expected, map.data, map.size) == 0) == g_str_equal (name, "f32"));
    gst_buffer_unmap (buffer, &map);
    tandem_batch_meta_add_receipt (tandem_buffer_get_batch_meta (buffer), receipt);
    tandem_receipt_unref (receipt);

    g_assert_cmpint (gst_harness_push (sink.harness, buffer), ==, GST_FLOW_OK);
    got = gst_harness_pull (src.harness);
    gst_buffer_map (got, &map, GST_MAP_READ);
    g_assert_cmpmem (map.data, map.size, expected, n_rows * WIDTH * sizeof (float));
    gst_buffer_unmap (got, &map);
    meta = tandem_buffer_get_batch_meta (got);
    g_assert_cmpuint (meta->n_sequences, ==, 1);
    g_assert_cmpuint (meta->ids[0], ==, id);
    g_assert_cmpint (meta->labels[0], ==, (int) (id % 2));
    g_assert_cmpuint (meta->offsets[1], ==, n_rows);
    g_assert_cmpuint (GST_BUFFER_PTS (got), ==, id * GST_MSECOND);
    consume (got);
    WAIT_UNTIL (g_atomic_int_get (&n_completed) == (int) id + 1);
  }
  side_clear (&sink);
  side_clear (&src);
}

/* Downstream sees float32 whatever the link carries. */
static void
test_caps (void)
{
  g_autoptr (GstCaps) expected = activation_caps (2);
  g_autoptr (GstCaps) got = NULL;
  Side src, sink;

  src_new (&src, FALSE);
  sink_make (&sink, side_port (&src));
  gst_util_set_object_arg (G_OBJECT (sink.element), "wire-format", "q8");
  sink_play (&sink, 2);
  g_assert_cmpint (gst_harness_push (sink.harness, make_rows (0, 2)), ==, GST_FLOW_OK);
  consume (gst_harness_pull (src.harness));
  got = gst_pad_get_current_caps (src.harness->sinkpad);
  g_assert_true (gst_caps_is_equal (got, expected));
  side_clear (&sink);
  side_clear (&src);
}

static void
test_not_whole_rows (void)
{
  Side src, sink;
  g_autofree char *text = NULL;
  GstBuffer *buffer = make_rows (0, 2);

  src_new (&src, FALSE);
  sink_make (&sink, side_port (&src));
  gst_util_set_object_arg (G_OBJECT (sink.element), "wire-format", "bf16");
  sink_play (&sink, 2);
  gst_buffer_set_size (buffer, 2 * WIDTH * sizeof (float) - 1);
  g_assert_cmpint (gst_harness_push (sink.harness, buffer), ==, GST_FLOW_ERROR);
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "whole rows");
  side_clear (&sink);
  side_clear (&src);
}

/* Tokens and logits have one format. */
static void
test_tokens_stay (void)
{
  const guint32 offsets[] = { 0, 3 };
  const guint64 id = 7;
  const gint32 label = 1, tokens[] = { 101, 2023, 102 };
  GstBuffer *buffer = gst_buffer_new_memdup (tokens, sizeof tokens), *got;
  Side src, sink;
  GstMapInfo map;

  tandem_buffer_add_batch_meta (buffer, 1, offsets, &id, &label);
  src_new (&src, FALSE);
  sink_make (&sink, side_port (&src));
  gst_util_set_object_arg (G_OBJECT (sink.element), "wire-format", "q8");
  sink.harness = gst_harness_new_with_element (sink.element, "sink", NULL);
  gst_harness_set_src_caps (sink.harness,
                            gst_caps_new_simple (TANDEM_CAPS_TOKENS, "vocab", G_TYPE_STRING,
                                                 FINGERPRINT, NULL));
  g_assert_cmpint (gst_harness_push (sink.harness, buffer), ==, GST_FLOW_OK);
  got = gst_harness_pull (src.harness);
  gst_buffer_map (got, &map, GST_MAP_READ);
  g_assert_cmpmem (map.data, map.size, tokens, sizeof tokens);
  gst_buffer_unmap (got, &map);
  consume (got);
  side_clear (&sink);
  side_clear (&src);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/net-formats/f32", "f32", test_format);
  g_test_add_data_func ("/net-formats/bf16", "bf16", test_format);
  g_test_add_data_func ("/net-formats/f16", "f16", test_format);
  g_test_add_data_func ("/net-formats/q8", "q8", test_format);
  g_test_add_func ("/net-formats/caps", test_caps);
  g_test_add_func ("/net-formats/not-whole-rows", test_not_whole_rows);
  g_test_add_func ("/net-formats/tokens-stay", test_tokens_stay);
  return g_test_run ();
}
