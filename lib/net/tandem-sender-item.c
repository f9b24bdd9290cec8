/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-sender-item.h"

#include "stream/tandem-batch-meta.h"

static TandemSenderItem *
item_new (guint64 sequence, TandemFrameType type)
{
  TandemSenderItem *item = g_new0 (TandemSenderItem, 1);

  item->sequence = sequence;
  item->type = type;
  item->prefix = g_byte_array_new ();
  return item;
}

static void
item_seal (TandemSenderItem *item)
{
  guint i;

  if (item->vectors == NULL)
    item->vectors = g_new0 (GOutputVector, 1);
  item->n_vectors = MAX (item->n_vectors, 1);
  item->vectors[0].buffer = item->prefix->data;
  item->vectors[0].size = item->prefix->len;
  for (i = 0; i < item->n_vectors; i++)
    item->size += item->vectors[i].size;
}

static void
item_unmap (TandemSenderItem *item)
{
  guint i;

  for (i = 1; i < item->n_vectors; i++)
    gst_memory_unmap (item->maps[i - 1].memory, &item->maps[i - 1]);
}

/* The memory of the item's buffer follows the prefix, mapped and uncopied. */
static gboolean
item_map (TandemSenderItem *item, GError **error)
{
  guint i, n = gst_buffer_n_memory (item->buffer);

  item->maps = g_new0 (GstMapInfo, n);
  item->vectors = g_new0 (GOutputVector, (gsize) n + 1);
  item->n_vectors = 1;
  for (i = 0; i < n; i++) {
    GstMapInfo *map = &item->maps[i];

    if (!gst_memory_map (gst_buffer_peek_memory (item->buffer, i), map, GST_MAP_READ)) {
      g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FAILED,
                           "the memory of a buffer cannot be read");
      return FALSE;
    }
    item->vectors[i + 1].buffer = map->data;
    item->vectors[i + 1].size = map->size;
    item->payload += map->size;
    item->n_vectors++;
  }
  return TRUE;
}

/**
 * tandem_sender_item_new_buffer: (skip)
 * @sequence: its sequence number
 * @info: the caps in force
 * @buffer: (transfer none): a micro-batch; its memory stays mapped and uncopied
 * @error: return location for a #TandemNetError
 *
 * Returns: (transfer full) (nullable): the frame, or %NULL when @buffer is not
 *   what @info says
 */
TandemSenderItem *
tandem_sender_item_new_buffer (guint64 sequence, const TandemStreamInfo *info, GstBuffer *buffer,
                               GError **error)
{
  g_autoptr (TandemSenderItem) item = item_new (sequence, TANDEM_FRAME_BUFFER);

  item->buffer = gst_buffer_ref (buffer);
  if (!item_map (item, error) ||
      !tandem_frame_append_buffer (item->prefix, sequence, info, buffer, item->vectors + 1,
                                   item->n_vectors - 1, error))
    return NULL;
  item->n_sequences = tandem_buffer_get_batch_meta (buffer)->n_sequences;
  item_seal (item);
  return g_steal_pointer (&item);
}

TandemSenderItem *
tandem_sender_item_new_event (guint64 sequence, TandemFrameEvent event)
{
  TandemSenderItem *item = item_new (sequence, TANDEM_FRAME_EVENT);

  tandem_frame_append_event (item->prefix, sequence, event);
  item_seal (item);
  return item;
}

/**
 * tandem_sender_item_new_training: (skip)
 * @sequence: its sequence number
 * @event: any event
 *
 * Returns: (transfer full) (nullable): the frame, or %NULL when @event is not one
 *   that goes down a pipeline that trains
 */
TandemSenderItem *
tandem_sender_item_new_training (guint64 sequence, GstEvent *event)
{
  TandemSenderItem *item = item_new (sequence, TANDEM_FRAME_EVENT);
  TandemTrainingInfo info;

  item->training = TRUE;
  item->agreement = tandem_event_parse_training (event, &info);
  if (!tandem_frame_append_training_event (item->prefix, sequence, event)) {
    tandem_sender_item_free (item);
    return NULL;
  }
  item_seal (item);
  return item;
}

/**
 * tandem_sender_item_new_gradient: (skip)
 * @sequence: sequence number of the micro-batch
 * @info: what goes with the gradient
 * @rows: (transfer none): its rows; their memory stays mapped and uncopied, but nothing
 *   else of the buffer is kept: the item can be released with a lock held
 * @error: return location for a #TandemNetError
 *
 * Returns: (transfer full) (nullable): the frame
 */
TandemSenderItem *
tandem_sender_item_new_gradient (guint64 sequence, const TandemGradientInfo *info,
                                 GstBuffer *rows, GError **error)
{
  g_autoptr (TandemSenderItem) item = item_new (sequence, TANDEM_FRAME_EVENT);

  item->buffer = gst_buffer_copy_region (rows, GST_BUFFER_COPY_MEMORY, 0, -1);
  if (!item_map (item, error))
    return NULL;
  tandem_frame_append_gradient (item->prefix, sequence, info, item->vectors + 1,
                                item->n_vectors - 1);
  item_seal (item);
  return g_steal_pointer (&item);
}

TandemSenderItem *
tandem_sender_item_new_eos (guint64 sequence)
{
  TandemSenderItem *item = item_new (sequence, TANDEM_FRAME_EOS);

  tandem_frame_append_eos (item->prefix, sequence);
  item_seal (item);
  return item;
}

/**
 * tandem_sender_item_free: (skip)
 * @item: (transfer full): a frame; its receipts drop unless it was completed
 */
void
tandem_sender_item_free (TandemSenderItem *item)
{
  item_unmap (item);
  g_byte_array_unref (item->prefix);
  g_free (item->vectors);
  g_free (item->maps);
  g_clear_pointer (&item->caps, g_bytes_unref);
  g_clear_pointer (&item->segment, g_bytes_unref);
  gst_clear_buffer (&item->buffer);
  g_free (item);
}

/**
 * tandem_sender_item_complete: (skip)
 * @item: a frame that was consumed; no lock may be held
 *
 * Tells whoever gave us the micro-batch.
 */
void
tandem_sender_item_complete (TandemSenderItem *item)
{
  TandemBatchMeta *meta =
      item->buffer != NULL ? tandem_buffer_get_batch_meta (item->buffer) : NULL;

  if (meta != NULL)
    tandem_batch_meta_complete (meta);
}
