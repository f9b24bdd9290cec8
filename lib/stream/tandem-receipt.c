/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-receipt.h"

struct _TandemReceipt
{
  gatomicrefcount ref_count;
  gint done;                    /* atomic: 1 once the function was called */
  TandemReceiptFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
};

G_DEFINE_BOXED_TYPE (TandemReceipt, tandem_receipt, tandem_receipt_ref, tandem_receipt_unref)

/**
 * tandem_receipt_new: (skip)
 * @func: called once, with what became of the micro-batch
 * @user_data: for @func
 * @destroy: (nullable): releases @user_data after @func was called
 *
 * Returns: (transfer full): a new receipt
 */
TandemReceipt *
tandem_receipt_new (TandemReceiptFunc func, gpointer user_data, GDestroyNotify destroy)
{
  TandemReceipt *receipt = g_new0 (TandemReceipt, 1);

  g_atomic_ref_count_init (&receipt->ref_count);
  receipt->func = func;
  receipt->user_data = user_data;
  receipt->destroy = destroy;
  return receipt;
}

static void
tandem_receipt_settle (TandemReceipt *receipt, gboolean completed)
{
  if (!g_atomic_int_compare_and_exchange (&receipt->done, 0, 1))
    return;
  receipt->func (completed, receipt->user_data);
  if (receipt->destroy != NULL)
    receipt->destroy (receipt->user_data);
}

/**
 * tandem_receipt_ref:
 * @receipt: a receipt
 *
 * Returns: (transfer full): @receipt, with one more reference
 */
TandemReceipt *
tandem_receipt_ref (TandemReceipt *receipt)
{
  g_atomic_ref_count_inc (&receipt->ref_count);
  return receipt;
}

/**
 * tandem_receipt_unref:
 * @receipt: (transfer full): a receipt
 *
 * Releases one reference. With the last one a receipt that nobody completed
 * reports that its micro-batch was dropped.
 */
void
tandem_receipt_unref (TandemReceipt *receipt)
{
  if (!g_atomic_ref_count_dec (&receipt->ref_count))
    return;
  tandem_receipt_settle (receipt, FALSE);
  g_free (receipt);
}

/**
 * tandem_receipt_complete:
 * @receipt: a receipt
 *
 * Says that the micro-batch reached its end. The first call counts; later ones
 * do nothing. Any thread may call it.
 */
void
tandem_receipt_complete (TandemReceipt *receipt)
{
  tandem_receipt_settle (receipt, TRUE);
}
