/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <gio/gio.h>

#include <math.h>
#include <string.h>

#define FP "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
count_settled (gboolean completed, gpointer user_data)
{
  int *counts = user_data;

  counts[completed ? 1 : 0]++;
}

static void
test_receipt_completed_once (void)
{
  int counts[2] = { 0, 0 };
  TandemReceipt *receipt = tandem_receipt_new (count_settled, counts, NULL);

  tandem_receipt_complete (receipt);
  tandem_receipt_complete (receipt);
  tandem_receipt_unref (receipt);
  g_assert_cmpint (counts[1], ==, 1);
  g_assert_cmpint (counts[0], ==, 0);
}

static void
test_receipt_dropped_with_buffer (void)
{
  int counts[2] = { 0, 0 };
  GstBuffer *buffer = gst_buffer_new ();
  GstBuffer *copy;
  TandemBatchMeta *meta;
  TandemReceipt *receipt = tandem_receipt_new (count_settled, counts, NULL);

  meta = tandem_buffer_add_batch_meta (buffer, 1, NULL, NULL, NULL);
  tandem_batch_meta_add_receipt (meta, receipt);
  tandem_receipt_unref (receipt);

  copy = gst_buffer_copy (buffer);
  gst_buffer_unref (buffer);
  g_assert_cmpint (counts[0], ==, 0);
  gst_buffer_unref (copy);
  g_assert_cmpint (counts[0], ==, 1);
  g_assert_cmpint (counts[1], ==, 0);
}

static void
test_meta_copies_rows (void)
{
  const guint32 offsets[] = { 0, 3, 10 };
  const guint64 ids[] = { 7, G_MAXUINT64 };
  const gint32 labels[] = { 1, TANDEM_LABEL_UNKNOWN };
  GstBuffer *buffer = gst_buffer_new ();
  GstBuffer *copy;
  TandemBatchMeta *meta;

  tandem_buffer_add_batch_meta (buffer, 2, offsets, ids, labels);
  copy = gst_buffer_copy (buffer);
  gst_buffer_unref (buffer);
  meta = tandem_buffer_get_batch_meta (copy);
  g_assert_nonnull (meta);
  g_assert_cmpuint (meta->n_sequences, ==, 2);
  g_assert_cmpuint (tandem_batch_meta_get_n_rows (meta), ==, 10);
  g_assert_cmpuint (meta->ids[1], ==, G_MAXUINT64);
  g_assert_cmpint (meta->labels[0], ==, 1);
  gst_buffer_unref (copy);
}

static void
test_caps_round_trip (void)
{
  const char *texts[] = {
    "application/x-tandem-tokens, vocab=(string)" FP,
    "application/x-tandem-activations, model=(string)" FP
        ", layer=(int)1, width=(int)128, format=(string)Q8",
    "application/x-tandem-logits, model=(string)" FP ", classes=(int)2",
    "application/x-tandem-logits, model=(string)" FP
        ", classes=(int)2, labels=(string)< Negative, \"a b\" >",
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_auto (TandemStreamInfo) info = { 0 };
    g_autoptr (GError) error = NULL;
    g_autoptr (GstCaps) caps = gst_caps_from_string (texts[i]);
    g_autoptr (GstCaps) back = NULL;

    g_assert_true (tandem_stream_info_from_caps (&info, caps, &error));
    g_assert_no_error (error);
    back = tandem_stream_info_to_caps (&info);
    g_assert_true (gst_caps_is_equal (caps, back));
    g_assert_cmpuint (tandem_stream_info_get_row_size (&info), >, 0);
  }
}

static void
test_caps_refused (void)
{
  const char *texts[] = {
    "text/x-raw, format=utf8",
    "application/x-tandem-tokens",
    "application/x-tandem-tokens, vocab=short",
    "application/x-tandem-activations, model=" FP ", layer=0, width=128, format=F32LE",
    "application/x-tandem-activations, model=" FP ", layer=1, width=-5, format=F32LE",
    "application/x-tandem-activations, model=" FP ", layer=1, width=128, format=F64LE",
    "application/x-tandem-activations, model=" FP ", layer=1, width=128",
    "application/x-tandem-logits, model=" FP ", classes=(int)0",
    "application/x-tandem-logits, model=" FP ", classes=(int)2, labels=(string)< one >",
    "application/x-tandem-logits, model=" FP ", classes=(int)[1,2]",
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_auto (TandemStreamInfo) info = { 0 };
    g_autoptr (GError) error = NULL;
    g_autoptr (GstCaps) caps = gst_caps_from_string (texts[i]);

    g_assert_false (tandem_stream_info_from_caps (&info, caps, &error));
    g_assert_error (error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT);
  }
}

static void
test_tensor_shapes (void)
{
  const guint64 shape[] = { 2, 3 }, huge[] = { G_MAXUINT64, 2 };
  g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (24), 24);
  g_autoptr (GError) error = NULL;
  TandemTensor *tensor = tandem_tensor_new (TANDEM_DTYPE_F32, 2, shape, bytes, &error);
  float out[6];

  g_assert_no_error (error);
  g_assert_cmpuint (tandem_tensor_get_n_elements (tensor), ==, 6);
  g_assert_true (tandem_tensor_copy_f32 (tensor, 0, 6, out));
  g_assert_false (tandem_tensor_copy_f32 (tensor, 5, 2, out));
  tandem_tensor_unref (tensor);

  g_assert_null (tandem_tensor_new (TANDEM_DTYPE_F16, 2, shape, bytes, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (tandem_tensor_new (TANDEM_DTYPE_F32, 2, huge, bytes, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
}

static gconstpointer
get_data (GstMemory *memory)
{
  GstMapInfo map;

  g_assert_true (gst_memory_map (memory, &map, GST_MAP_WRITE));
  memset (map.data, 1, map.size);
  gst_memory_unmap (memory, &map);
  return map.data;
}

static void
test_row_pool (void)
{
  TandemRowPool *pool = tandem_row_pool_new ();
  GstMemory *first = tandem_row_pool_take (pool, 100000);
  GstMemory *second = tandem_row_pool_take (pool, 99000);
  gconstpointer place = get_data (first);

  g_assert_cmpuint ((gsize) place % 64, ==, 0);
  g_assert_true (get_data (second) != place);
  g_assert_cmpuint (gst_memory_get_sizes (second, NULL, NULL), ==, 99000);

  /* what one leaves, the next one takes */
  gst_memory_unref (first);
  first = tandem_row_pool_take (pool, 10);
  g_assert_true (get_data (first) == place);
  g_assert_cmpuint (gst_memory_get_sizes (first, NULL, NULL), ==, 10);
  gst_memory_unref (first);

  /* what is too small is not taken again */
  first = tandem_row_pool_take (pool, 200000);
  g_assert_cmpuint (gst_memory_get_sizes (first, NULL, NULL), ==, 200000);
  get_data (first);
  gst_memory_unref (second);
  g_assert_null (tandem_row_pool_take (pool, G_MAXSIZE - 10));

  tandem_row_pool_free (pool);
  get_data (first);
  gst_memory_unref (first);
}

static gpointer
take_and_leave (gpointer pool)
{
  guint i;

  for (i = 0; i < 2000; i++) {
    GstMemory *a = tandem_row_pool_take (pool, 1000 + i * 37 % 5000);
    GstMemory *b = tandem_row_pool_take (pool, 70000);

    get_data (a);
    gst_memory_unref (b);
    gst_memory_unref (a);
  }
  return NULL;
}

static void
test_row_pool_threads (void)
{
  TandemRowPool *pool = tandem_row_pool_new ();
  GThread *threads[3];
  guint i;

  for (i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("pool", take_and_leave, pool);
  for (i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  tandem_row_pool_free (pool);
}

static void
test_tensor_half_is_exact (void)
{
  /* 1, -2, smallest subnormal, largest finite, infinity */
  const guint16 f16[] = { 0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00 };
  const float expected[] = { 1.0f, -2.0f, 0x1p-24f, 65504.0f, INFINITY };
  const guint64 shape[] = { 5 };
  g_autoptr (GBytes) bytes = g_bytes_new_static (f16, sizeof f16);
  TandemTensor *tensor = tandem_tensor_new (TANDEM_DTYPE_F16, 1, shape, bytes, NULL);
  float out[5];

  g_assert_true (tandem_tensor_copy_f32 (tensor, 0, 5, out));
  g_assert_cmpmem (out, sizeof out, expected, sizeof expected);
  tandem_tensor_unref (tensor);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/receipt/completed-once", test_receipt_completed_once);
  g_test_add_func ("/receipt/dropped-with-buffer", test_receipt_dropped_with_buffer);
  g_test_add_func ("/meta/copies-rows", test_meta_copies_rows);
  g_test_add_func ("/caps/round-trip", test_caps_round_trip);
  g_test_add_func ("/caps/refused", test_caps_refused);
  g_test_add_func ("/row-pool/reuse", test_row_pool);
  g_test_add_func ("/row-pool/threads", test_row_pool_threads);
  g_test_add_func ("/tensor/shapes", test_tensor_shapes);
  g_test_add_func ("/tensor/half-is-exact", test_tensor_half_is_exact);
  return g_test_run ();
}
