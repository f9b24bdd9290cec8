/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib-object.h>

#include "tandem-export.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_RECEIPT (tandem_receipt_get_type ())

/**
 * TandemReceipt:
 *
 * A promise about one micro-batch: whoever consumes the batch at the end of
 * the stream completes the receipt; one that is released by everybody without
 * that reports itself as dropped.
 */
typedef struct _TandemReceipt TandemReceipt;

/**
 * TandemReceiptFunc:
 * @completed: %TRUE when the consumer completed it, %FALSE when it was dropped
 * @user_data: what was given to tandem_receipt_new()
 *
 * Called exactly once for every receipt, from the thread that completed or
 * dropped it, with no lock held.
 */
typedef void (*TandemReceiptFunc) (gboolean completed, gpointer user_data);

TANDEM_API
GType tandem_receipt_get_type (void);

TANDEM_API
TandemReceipt *tandem_receipt_new (TandemReceiptFunc func, gpointer user_data,
                                   GDestroyNotify destroy);

TANDEM_API
TandemReceipt *tandem_receipt_ref (TandemReceipt *receipt);

TANDEM_API
void tandem_receipt_unref (TandemReceipt *receipt);

TANDEM_API
void tandem_receipt_complete (TandemReceipt *receipt);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemReceipt, tandem_receipt_unref)

G_END_DECLS
