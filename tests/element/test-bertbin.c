/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bertbin by itself: no node, no daemon. */

#include "config.h"

#include "bin-harness.h"

static void
test_alone (BinTest *test, gconstpointer data)
{
  g_autofree char *placement = NULL, *current = NULL;
  g_autofree char *here = g_strdup_printf ("0-3 %s", g_get_host_name ());
  g_autoptr (GstCaps) caps = NULL;
  g_auto (TandemStreamInfo) info = { 0 };

  bin_start (test, data);
  bin_push (test, 50);
  placement = bin_wait_message (test, "tandem-plan", "placement");
  g_object_get (test->element, "current-placement", &current, NULL);
  g_assert_cmpstr (placement, ==, current);
  g_assert_cmpstr (current, ==, here);
  bin_finish (test);
  caps = gst_pad_get_current_caps (test->harness->sinkpad);
  g_assert_true (tandem_stream_info_from_caps (&info, caps, NULL));
  g_assert_cmpint (info.kind, ==, TANDEM_STREAM_LOGITS);
  g_assert_cmpstr (info.labels[1], ==, "positive");
}

static void
count_receipt (gboolean completed, gpointer data)
{
  (*(gint *) data) += completed ? 1 : 1000;
}

/* A receipt goes with the answer, and not to the stage. */
static void
test_receipts (BinTest *test, gconstpointer data)
{
  g_autoptr (GstBuffer) answer = NULL;
  GstBuffer *tokens = bin_make (test);
  gint settled = 0;
  TandemReceipt *receipt = tandem_receipt_new (count_receipt, &settled, NULL);

  bin_start (test, "discovery-timeout=0");
  tandem_batch_meta_add_receipt (tandem_buffer_get_batch_meta (tokens), receipt);
  tandem_receipt_unref (receipt);
  gst_harness_push (test->harness, tokens);
  while (answer == NULL)
    answer = gst_harness_pull (test->harness);
  g_assert_cmpint (settled, ==, 0);
  tandem_batch_meta_complete (tandem_buffer_get_batch_meta (answer));
  g_assert_cmpint (settled, ==, 1);
}

static void
test_flush (BinTest *test, gconstpointer data)
{
  guint round;

  bin_start (test, "discovery-timeout=0 max-unanswered=4");
  for (round = 0; round < 20; round++) {
    GstBuffer *left;
    guint skipped = g_rand_int_range (test->rand, 0, 8);
    g_autoptr (GstEvent) stop = NULL;
    GstSegment segment;

    bin_push (test, skipped);
    gst_harness_push_event (test->harness, gst_event_new_flush_start ());
    gst_harness_push_event (test->harness, gst_event_new_flush_stop (TRUE));
    gst_segment_init (&segment, GST_FORMAT_TIME);
    gst_harness_push_event (test->harness, gst_event_new_segment (&segment));
    stop = bin_pull_event (test, GST_EVENT_FLUSH_STOP);
    while ((left = gst_harness_try_pull (test->harness)) != NULL)
      gst_buffer_unref (left);
    g_queue_clear_full (&test->expected, (GDestroyNotify) gst_buffer_unref);
    test->n_pulled = test->n_pushed;
    bin_push (test, 3);
    bin_pull (test, 3);
  }
  bin_finish (test);
}

/* At any moment, with micro-batches on their way. */
static void
test_stop (BinTest *test, gconstpointer data)
{
  guint round;

  for (round = 0; round < 15; round++) {
    bin_start (test, round % 2 == 0 ? "discovery-timeout=0" : "");
    bin_push (test, round);
    if (round % 3 == 0)
      bin_pull (test, round / 2);
    bin_stop (test);
    g_queue_clear_full (&test->expected, (GDestroyNotify) gst_buffer_unref);
  }
}

static void
test_wrong_tokens (BinTest *test, gconstpointer data)
{
  static const gint32 ids[] = { 2, 100, 3 };
  GstBuffer *buffer = gst_buffer_new_memdup (ids, sizeof ids);
  guint32 offsets[] = { 0, 3 };
  g_autofree char *said = NULL;

  bin_start (test, "discovery-timeout=0");
  tandem_buffer_add_batch_meta (buffer, 1, offsets, NULL, NULL);
  g_assert_cmpint (gst_harness_push (test->harness, buffer), ==, GST_FLOW_ERROR);
  said = bin_wait_error (test);
  g_assert_nonnull (strstr (said, "token 100"));
}

static void
test_wrong_model (BinTest *test, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *other = g_build_filename (test->folder, "other", NULL);
  g_autofree char *said = NULL;
  GstCaps *caps;

  spec.vocab_size = 90;
  tandem_test_model_write (&spec, other);
  bin_start (test, "discovery-timeout=0");
  caps = bin_caps (other);
  gst_harness_push_event (test->harness, gst_event_new_caps (caps));
  gst_caps_unref (caps);
  said = bin_wait_error (test);
  g_assert_nonnull (strstr (said, "vocabulary"));
}

/* More than this device may take, and nobody else: it waits, says so, and gives up. */
static void
test_no_memory (BinTest *test, gconstpointer data)
{
  g_autofree char *reason = NULL, *placement = NULL, *said = NULL;

  bin_start (test, "discovery-timeout=0 memory=1000 timeout=300");
  gst_harness_push (test->harness, bin_make (test));
  reason = bin_wait_message (test, "tandem-moved", "reason");
  g_assert_nonnull (strstr (reason, "memory"));
  said = bin_wait_error (test);
  g_assert_nonnull (strstr (said, "memory"));
}

static void
test_query (BinTest *test, gconstpointer data)
{
  g_autoptr (GstQuery) query = tandem_query_new_accepted ();
  g_autoptr (GstCaps) caps = NULL, wanted = bin_caps (test->model_path);
  guint last;

  bin_start (test, "discovery-timeout=0");
  g_assert_true (gst_pad_peer_query (test->harness->srcpad, query));
  g_assert_true (tandem_query_parse_accepted (query, &caps, &last));
  g_assert_true (gst_caps_is_equal (caps, wanted));
  g_assert_cmpuint (last, ==, BIN_LAYERS - 1);
}

#define ADD(path, data, func) \
  g_test_add ("/bertbin/" path, BinTest, data, bin_set_up, func, bin_tear_down)

int
main (int argc, char **argv)
{
  /* No daemon, whatever this device has. */
  g_setenv ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent", TRUE);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_init (&argc, &argv, NULL);
  ADD ("alone", "", test_alone);
  ADD ("alone/at-once", "discovery-timeout=0 threads=2 max-unanswered=1", test_alone);
  ADD ("alone/few-bytes", "discovery-timeout=0 max-bytes=1", test_alone);
  ADD ("receipts", NULL, test_receipts);
  ADD ("flush", NULL, test_flush);
  ADD ("stop", NULL, test_stop);
  ADD ("wrong-tokens", NULL, test_wrong_tokens);
  ADD ("wrong-model", NULL, test_wrong_model);
  ADD ("no-memory", NULL, test_no_memory);
  ADD ("query", NULL, test_query);
  return g_test_run ();
}
