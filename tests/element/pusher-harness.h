/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A stream whose receipts are counted, from a thread of its own. */

#include "net-harness.h"

/* Pushes numbered buffers with receipts, and then the end. */
typedef struct
{
  Side *sink;
  guint n;
  guint (*rows_of) (guint i);   /* (nullable): 3 each */
  int counts[2];                /* atomic: receipts dropped, completed */
} Pusher;

static inline void
count_settled (gboolean completed, gpointer user_data)
{
  int *counts = user_data;

  g_atomic_int_inc (&counts[completed ? 1 : 0]);
}

static inline gpointer
push_all (gpointer data)
{
  Pusher *pusher = data;
  guint i;

  for (i = 0; i < pusher->n; i++) {
    GstBuffer *buffer = numbered_buffer (i, pusher->rows_of != NULL ? pusher->rows_of (i) : 3);
    TandemReceipt *receipt = tandem_receipt_new (count_settled, pusher->counts, NULL);

    tandem_batch_meta_add_receipt (tandem_buffer_get_batch_meta (buffer), receipt);
    tandem_receipt_unref (receipt);
    g_assert_cmpint (gst_harness_push (pusher->sink->harness, buffer), ==, GST_FLOW_OK);
  }
  return push_eos (pusher->sink);
}
