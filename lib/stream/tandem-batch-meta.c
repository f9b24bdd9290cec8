/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-batch-meta.h"

#include <string.h>

/**
 * tandem_batch_meta_api_get_type: (skip)
 *
 * Returns: the type by which gst_buffer_get_meta() finds a batch meta
 */
GType
tandem_batch_meta_api_get_type (void)
{
  static gsize type = 0;

  if (g_once_init_enter (&type)) {
    /* No tags: the meta describes rows, which no memory copy changes. */
    static const gchar *tags[] = { NULL };
    GType registered = gst_meta_api_type_register ("TandemBatchMetaAPI", tags);

    g_once_init_leave (&type, registered);
  }
  return type;
}

static gboolean
tandem_batch_meta_init (GstMeta *meta, gpointer params, GstBuffer *buffer)
{
  TandemBatchMeta *self = (TandemBatchMeta *) meta;

  self->n_sequences = 0;
  self->offsets = NULL;
  self->ids = NULL;
  self->labels = NULL;
  self->receipts = NULL;
  return TRUE;
}

static void
tandem_batch_meta_free (GstMeta *meta, GstBuffer *buffer)
{
  TandemBatchMeta *self = (TandemBatchMeta *) meta;

  g_free (self->offsets);
  g_free (self->ids);
  g_free (self->labels);
  g_clear_pointer (&self->receipts, g_ptr_array_unref);
}

static gboolean
tandem_batch_meta_transform (GstBuffer *dest, GstMeta *meta, GstBuffer *buffer, GQuark type,
                             gpointer data)
{
  TandemBatchMeta *self = (TandemBatchMeta *) meta;
  TandemBatchMeta *copy;

  if (!GST_META_TRANSFORM_IS_COPY (type))
    return FALSE;

  copy = tandem_buffer_add_batch_meta (dest, self->n_sequences, self->offsets, self->ids,
                                       self->labels);
  tandem_batch_meta_take_receipts_from (copy, self);
  return TRUE;
}

/**
 * tandem_batch_meta_get_info: (skip)
 *
 * Returns: (transfer none): the registered meta implementation
 */
const GstMetaInfo *
tandem_batch_meta_get_info (void)
{
  static const GstMetaInfo *info = NULL;

  if (g_once_init_enter ((GstMetaInfo **) &info)) {
    const GstMetaInfo *registered =
        gst_meta_register (TANDEM_BATCH_META_API_TYPE, "TandemBatchMeta",
                           sizeof (TandemBatchMeta), tandem_batch_meta_init,
                           tandem_batch_meta_free, tandem_batch_meta_transform);

    g_once_init_leave ((GstMetaInfo **) &info, (GstMetaInfo *) registered);
  }
  return info;
}

/**
 * tandem_buffer_add_batch_meta: (skip)
 * @buffer: a writable buffer without such a meta
 * @n_sequences: how many sequences it holds, at least 1
 * @offsets: (nullable): @n_sequences + 1 ascending row numbers that start at 0;
 *   %NULL means one row a sequence
 * @ids: (nullable): one id a sequence; %NULL numbers them from 0
 * @labels: (nullable): one label a sequence; %NULL leaves them unknown
 *
 * Describes the sequences of @buffer. The arrays are copied.
 *
 * Returns: (transfer none): the meta
 */
TandemBatchMeta *
tandem_buffer_add_batch_meta (GstBuffer *buffer, guint n_sequences, const guint32 *offsets,
                              const guint64 *ids, const gint32 *labels)
{
  TandemBatchMeta *self;
  guint i;

  g_return_val_if_fail (n_sequences > 0, NULL);

  self = (TandemBatchMeta *) gst_buffer_add_meta (buffer, TANDEM_BATCH_META_INFO, NULL);
  self->n_sequences = n_sequences;
  self->offsets = g_new (guint32, (gsize) n_sequences + 1);
  self->ids = g_new (guint64, n_sequences);
  self->labels = g_new (gint32, n_sequences);
  for (i = 0; i <= n_sequences; i++)
    self->offsets[i] = offsets != NULL ? offsets[i] : i;
  for (i = 0; i < n_sequences; i++) {
    self->ids[i] = ids != NULL ? ids[i] : i;
    self->labels[i] = labels != NULL ? labels[i] : TANDEM_LABEL_UNKNOWN;
  }
  return self;
}

/**
 * tandem_buffer_get_batch_meta: (skip)
 * @buffer: a buffer
 *
 * Returns: (transfer none) (nullable): the batch meta of @buffer, or %NULL
 */
TandemBatchMeta *
tandem_buffer_get_batch_meta (GstBuffer *buffer)
{
  return (TandemBatchMeta *) gst_buffer_get_meta (buffer, TANDEM_BATCH_META_API_TYPE);
}

/**
 * tandem_batch_meta_get_n_rows: (skip)
 * @meta: a batch meta
 *
 * Returns: how many rows the buffer holds
 */
guint
tandem_batch_meta_get_n_rows (const TandemBatchMeta *meta)
{
  return meta->offsets[meta->n_sequences];
}

/**
 * tandem_batch_meta_add_receipt: (skip)
 * @meta: a batch meta
 * @receipt: (transfer none): a receipt to complete when the batch is consumed
 */
void
tandem_batch_meta_add_receipt (TandemBatchMeta *meta, TandemReceipt *receipt)
{
  if (meta->receipts == NULL)
    meta->receipts = g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_receipt_unref);
  g_ptr_array_add (meta->receipts, tandem_receipt_ref (receipt));
}

/**
 * tandem_batch_meta_take_receipts_from: (skip)
 * @meta: the meta of a buffer made from another one
 * @other: the meta of that other buffer, which keeps its own references
 *
 * Makes @meta answer for the receipts of @other too.
 */
void
tandem_batch_meta_take_receipts_from (TandemBatchMeta *meta, const TandemBatchMeta *other)
{
  guint i;

  for (i = 0; other->receipts != NULL && i < other->receipts->len; i++)
    tandem_batch_meta_add_receipt (meta, g_ptr_array_index (other->receipts, i));
}

/**
 * tandem_batch_meta_complete: (skip)
 * @meta: the meta of a batch that was consumed
 *
 * Completes every receipt of the batch.
 */
void
tandem_batch_meta_complete (TandemBatchMeta *meta)
{
  guint i;

  for (i = 0; meta->receipts != NULL && i < meta->receipts->len; i++)
    tandem_receipt_complete (g_ptr_array_index (meta->receipts, i));
}
