/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

#include "tandem-export.h"
#include "stream/tandem-receipt.h"

G_BEGIN_DECLS

/**
 * TANDEM_LABEL_UNKNOWN:
 *
 * The label of a sequence whose class nobody told.
 */
#define TANDEM_LABEL_UNKNOWN (-1)

#define TANDEM_BATCH_META_API_TYPE (tandem_batch_meta_api_get_type ())
#define TANDEM_BATCH_META_INFO (tandem_batch_meta_get_info ())

typedef struct _TandemBatchMeta TandemBatchMeta;

/**
 * TandemBatchMeta:
 * @meta: the parent
 * @n_sequences: how many sequences the buffer holds, at least 1
 * @offsets: (array): @n_sequences + 1 row numbers; sequence i is the rows from
 *   offsets[i] up to, not including, offsets[i + 1]. A row is a token, a row of
 *   activations or, for logits, a whole sequence
 * @ids: (array): one number a sequence, unique in the stream
 * @labels: (array): the class of each sequence, or %TANDEM_LABEL_UNKNOWN
 * @receipts: (element-type TandemReceipt) (nullable): receipts that the
 *   consumer of the batch completes
 *
 * Says which sequences a buffer holds. The arrays belong to the meta.
 */
struct _TandemBatchMeta
{
  GstMeta meta;

  guint n_sequences;
  guint32 *offsets;
  guint64 *ids;
  gint32 *labels;
  GPtrArray *receipts;
};

/* Needs gst_init() before it, which the scanner does not call. */
#ifndef __GI_SCANNER__
TANDEM_API
GType tandem_batch_meta_api_get_type (void);
#endif

TANDEM_API
const GstMetaInfo *tandem_batch_meta_get_info (void);

TANDEM_API
TandemBatchMeta *tandem_buffer_add_batch_meta (GstBuffer *buffer, guint n_sequences,
                                               const guint32 *offsets, const guint64 *ids,
                                               const gint32 *labels);

TANDEM_API
TandemBatchMeta *tandem_buffer_get_batch_meta (GstBuffer *buffer);

TANDEM_API
guint tandem_batch_meta_get_n_rows (const TandemBatchMeta *meta);

TANDEM_API
void tandem_batch_meta_add_receipt (TandemBatchMeta *meta, TandemReceipt *receipt);

TANDEM_API
void tandem_batch_meta_take_receipts_from (TandemBatchMeta *meta, const TandemBatchMeta *other);

TANDEM_API
void tandem_batch_meta_complete (TandemBatchMeta *meta);

G_END_DECLS
