/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a receiver does in training: for each micro-batch one gradient goes back. Gradients wait in
 * a short queue for the connection to take them; nothing needs to be read for that, and a sender
 * reads at any time. */

#include "config.h"

#include "tandem-receiver-private.h"

#include <glib/gi18n-lib.h>

#include "net/tandem-net-private.h"
#include "stream/tandem-batch-meta.h"

/* While one gradient is written the next one is ready; small ones may be more. */
#define MIN_WAITING 2
#define MAX_WAITING_BYTES (4 * 1024 * 1024)

/* Notes a micro-batch that came. */
void
tandem_receiver_owe_locked (TandemReceiver *self, guint64 sequence, GstBuffer *buffer)
{
  TandemReceiverStream *stream = self->stream;

  if (stream->trains) {
    TandemOwed *owed = g_new (TandemOwed, 1);

    owed->micro_batch = stream->n_micro_batches;
    owed->sequence = sequence;
    owed->bytes = tandem_frame_get_gradient_size (
        &self->next_info, tandem_batch_meta_get_n_rows (tandem_buffer_get_batch_meta (buffer)));
    g_hash_table_add (stream->owed, owed);
  }
  stream->n_micro_batches++;
}

/* An event of training came. The first kind lets the loss announce itself. */
void
tandem_receiver_begin_training_locked (TandemReceiver *self, guint64 sequence, GstEvent *event)
{
  TandemReceiverStream *stream = self->stream;
  TandemTrainingInfo info;
  TandemOwed *owed;

  stream->trains = TRUE;
  if (!tandem_event_parse_training (event, &info))
    return;
  owed = g_new (TandemOwed, 1);
  *owed = (TandemOwed) { TANDEM_GRADIENT_ANNOUNCEMENT, sequence, 0 };
  g_hash_table_replace (stream->owed, owed, owed);
}

/* Nobody reads them any more; whoever waits for room finds out. */
void
tandem_receiver_forget_gradients_locked (TandemReceiver *self)
{
  g_queue_clear_full (&self->gradients, (GDestroyNotify) tandem_sender_item_free);
  self->gradient_offset = self->gradient_bytes = 0;
  g_cond_broadcast (&self->cond);
}

/* The stream ends with its connection if it trains: the sender's activations are gone. Returns
 * whether that is so; then `lost` says it. `told`: the reason is the sender's. */
gboolean
tandem_receiver_lose_training_locked (TandemReceiver *self, const char *peer,
                                      const GError *reason, gboolean told)
{
  gboolean ours = reason->domain == TANDEM_NET_ERROR;
  int code = ours ? reason->code : TANDEM_NET_ERROR_CLOSED;

  if (self->stream == NULL || !self->stream->trains || self->stream->eos)
    return FALSE;
  g_clear_error (&self->lost);
  if (code >= 100 || code == TANDEM_NET_ERROR_STOPPED)
    self->lost = g_error_new (TANDEM_NET_ERROR, code,
        _("The device at %s went away in training; resume from the last checkpoint."), peer);
  else if (told)
    self->lost = g_error_new (TANDEM_NET_ERROR, code, _("The client at %s gave up: %s"), peer,
                              reason->message);
  else
    self->lost = g_error_new (TANDEM_NET_ERROR, code, _("Refused the client at %s: %s"), peer,
                              reason->message);
  self->served = TRUE;
  return TRUE;
}

static gboolean
has_room_locked (TandemReceiver *self)
{
  return self->gradients.length < MIN_WAITING || self->gradient_bytes < MAX_WAITING_BYTES;
}

static void
wake_waiter (GCancellable *cancellable, gpointer data)
{
  TandemReceiver *self = data;

  g_mutex_lock (&self->lock);
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
}

/* Waits until the connection took enough, or is gone. */
static void
wait_for_room (TandemReceiver *self, GCancellable *cancellable)
{
  gulong handler = cancellable != NULL
      ? g_cancellable_connect (cancellable, G_CALLBACK (wake_waiter), self, NULL) : 0;

  g_mutex_lock (&self->lock);
  while (self->link != NULL && !self->closing && !has_room_locked (self) &&
         !g_cancellable_is_cancelled (cancellable))
    g_cond_wait (&self->cond, &self->lock);
  g_mutex_unlock (&self->lock);
  g_cancellable_disconnect (cancellable, handler);
}

/* Whether there is a connection that could take a gradient. FALSE without an error: nobody wants
 * one any more. */
static gboolean
is_open_locked (TandemReceiver *self, TandemReceiverStream *stream, GCancellable *cancellable,
                GError **error)
{
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (self->closing)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "the receiver was closed");
  else if (self->lost != NULL)
    g_propagate_error (error, g_error_copy (self->lost));
  else if (self->link != NULL && self->stream == stream)
    return TRUE;
  return FALSE;
}

static gboolean
find_owed_locked (TandemReceiverStream *stream, const TandemGradientInfo *info, gsize size,
                  TandemOwed *owed, GError **error)
{
  const TandemOwed *found = g_hash_table_lookup (stream->owed, &info->micro_batch);
  g_autofree char *number = tandem_net_number_to_string (info->micro_batch);
  g_autofree char *got = NULL, *wanted = NULL;

  if (found == NULL && stream->flushed)
    return FALSE;
  if (found == NULL) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT,
                 _("A gradient is for micro-batch %s, which awaits none."), number);
    return FALSE;
  }
  if (found->bytes != size) {
    got = tandem_net_number_to_string (size);
    wanted = tandem_net_number_to_string (found->bytes);
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT,
                 _("The gradient of micro-batch %s has %s bytes, it should have %s."), number, got,
                 wanted);
    return FALSE;
  }
  *owed = *found;
  g_hash_table_remove (stream->owed, &info->micro_batch);
  return TRUE;
}

/**
 * tandem_receiver_send_gradient: (skip)
 * @receiver: a receiver
 * @info: what goes with the gradient; its micro-batch is one that was received since
 *   the begin of the stream, or the last flush, counted from 0
 * @rows: (transfer none): rows of float32, as many elements as that micro-batch has; not
 *   copied, and they must not change
 * @cancellable: (nullable): ends the wait
 * @error: return location for %TANDEM_NET_ERROR_FORMAT when it is not a gradient of
 *   something that was received, %G_IO_ERROR_CANCELLED, also when @receiver was closed, or the
 *   reason why the stream ended
 *
 * Sends a gradient back to the sender of the stream. When several wait already
 * it waits until the connection took one of them; nothing has to be received for
 * that, so any thread may send, also the one that receives. A
 * gradient that nobody wants any more, since the stream is complete or was flushed, is
 * dropped.
 *
 * Returns: %FALSE on an error
 */
gboolean
tandem_receiver_send_gradient (TandemReceiver *receiver, const TandemGradientInfo *info,
                               GstBuffer *rows, GCancellable *cancellable, GError **error)
{
  TandemReceiver *self = receiver;
  g_autoptr (TandemReceiverStream) stream = NULL;
  g_autoptr (GError) local = NULL;
  TandemSenderItem *item = NULL;
  gboolean open = FALSE;
  TandemOwed owed;

  g_mutex_lock (&self->lock);
  if (self->stream != NULL)
    stream = tandem_receiver_stream_ref (self->stream);
  if (is_open_locked (self, stream, cancellable, &local))
    open = find_owed_locked (stream, info, gst_buffer_get_size (rows), &owed, &local);
  g_mutex_unlock (&self->lock);
  if (open)
    item = tandem_sender_item_new_gradient (owed.sequence, info, rows, &local);
  if (item != NULL) {
    wait_for_room (self, cancellable);
    g_mutex_lock (&self->lock);
    if (is_open_locked (self, stream, cancellable, &local)) {
      self->gradient_bytes += item->size;
      g_queue_push_tail (&self->gradients, g_steal_pointer (&item));
      tandem_receiver_flush_out_locked (self);
    }
    g_mutex_unlock (&self->lock);
    g_clear_pointer (&item, tandem_sender_item_free);
  }
  if (local == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}
