/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a sender does in training: events go out in order with the micro-batches, and for each of
 * these one gradient may come back. */

#include "config.h"

#include "tandem-sender-private.h"

#include <glib/gi18n-lib.h>

#include "net/tandem-net-private.h"
#include "stream/tandem-batch-meta.h"

#define GST_CAT_DEFAULT tandem_net_debug

typedef struct
{
  TandemGradientInfo info;
  GstBuffer *rows;
} TandemGradient;

static void
gradient_free (TandemGradient *gradient)
{
  gst_buffer_unref (gradient->rows);
  g_free (gradient);
}

void
tandem_sender_init_training (TandemSender *self)
{
  self->awaited = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, g_free);
  g_queue_init (&self->gradients);
}

void
tandem_sender_clear_training (TandemSender *self)
{
  g_assert (self->gradient_thread == NULL);
  tandem_sender_free_gradients (&self->gradients);
  g_hash_table_unref (self->awaited);
  gst_clear_event (&self->training);
}

/* Whoever stops the sender said `stopping` by now. */
void
tandem_sender_stop_training (TandemSender *self)
{
  g_clear_pointer (&self->gradient_thread, g_thread_join);
}

void
tandem_sender_free_gradients (GQueue *gradients)
{
  g_queue_clear_full (gradients, (GDestroyNotify) gradient_free);
}

/* The stream cannot go on over another connection: the activations that the other device kept for
 * its backward passes went with this one. Does nothing unless the stream trains. */
void
tandem_sender_fail_training_locked (TandemSender *self, const GError *reason)
{
  int code = reason != NULL && reason->domain == TANDEM_NET_ERROR ? reason->code
                                                                  : TANDEM_NET_ERROR_CLOSED;

  if (!self->training_begun || self->stopping || self->error != NULL)
    return;
  if (code == TANDEM_NET_ERROR_FAILED)
    tandem_sender_fail_locked (self, g_error_copy (reason));
  else if (code < 100 && code != TANDEM_NET_ERROR_STOPPED)
    tandem_sender_fail_locked (self, g_error_new (TANDEM_NET_ERROR, code,
        _("The device at %s:%u broke the rules in training: %s"), self->host, self->port,
        reason->message));
  else
    tandem_sender_fail_locked (self, g_error_new (TANDEM_NET_ERROR, code,
        _("The device at %s:%u went away in training; resume from the last checkpoint."),
        self->host, self->port));
}

/* --- out --- */

/* Notes a micro-batch that is about to be queued. */
void
tandem_sender_await_gradient_locked (TandemSender *self, const TandemSenderItem *item)
{
  TandemAwaited *awaited;

  if (self->trains) {
    awaited = g_new (TandemAwaited, 1);
    awaited->sequence = item->sequence;
    awaited->micro_batch = self->n_micro_batches;
    awaited->bytes = tandem_frame_get_gradient_size (
        &self->info, tandem_batch_meta_get_n_rows (tandem_buffer_get_batch_meta (item->buffer)));
    g_hash_table_add (self->awaited, awaited);
  }
  self->n_micro_batches++;
}

/* The same for an announcement, which the event that begins training asks for. */
void
tandem_sender_await_announcement_locked (TandemSender *self, guint64 sequence)
{
  TandemAwaited *awaited = g_new (TandemAwaited, 1);

  *awaited = (TandemAwaited) { sequence, TANDEM_GRADIENT_ANNOUNCEMENT, 0 };
  g_hash_table_add (self->awaited, awaited);
}

/* Frames before `sequence` are no longer wanted. Returns gradients to release without the lock. */
GQueue
tandem_sender_flush_training_locked (TandemSender *self, guint64 sequence)
{
  GQueue gradients = self->gradients;

  g_queue_init (&self->gradients);
  g_hash_table_remove_all (self->awaited);
  self->flushed_before = sequence;
  self->n_micro_batches = 0;
  return gradients;
}

static gpointer
hand_over (gpointer data)
{
  TandemSender *self = data;

  g_mutex_lock (&self->lock);
  for (;;) {
    TandemGradient *gradient;

    while (!self->stopping && g_queue_is_empty (&self->gradients))
      g_cond_wait (&self->cond, &self->lock);
    if (self->stopping)
      break;
    gradient = g_queue_pop_head (&self->gradients);
    g_mutex_unlock (&self->lock);
    if (self->gradient != NULL)
      self->gradient (self, &gradient->info, gradient->rows, self->user_data);
    gradient_free (gradient);
    g_mutex_lock (&self->lock);
  }
  g_mutex_unlock (&self->lock);
  return NULL;
}

/**
 * tandem_sender_set_gradient_func: (skip)
 * @sender: a sender that was not started
 * @gradient: (nullable): called for each gradient that comes back
 */
void
tandem_sender_set_gradient_func (TandemSender *sender, TandemSenderGradientFunc gradient)
{
  g_return_if_fail (sender->thread == NULL);
  sender->gradient = gradient;
}

/**
 * tandem_sender_send_event: (skip)
 * @sender: a sender that was started
 * @event: (transfer none): one of those that go down a pipeline that trains
 * @error: return location for a #TandemNetError
 *
 * Sends @event in order with the buffers, or queues it while there is no
 * connection; does not wait. From the first one on the stream trains: gradients
 * are taken, the receiver must know how to train, and a connection that breaks
 * ends the stream. To be called from the thread that sends.
 *
 * Returns: whether @event was taken; %FALSE without an error when it is of no such kind
 */
gboolean
tandem_sender_send_event (TandemSender *sender, GstEvent *event, GError **error)
{
  TandemSenderItem *item;

  g_mutex_lock (&sender->lock);
  item = tandem_sender_item_new_training (sender->next_sequence, event);
  if (item != NULL && sender->error != NULL) {
    g_propagate_error (error, g_error_copy (sender->error));
    g_clear_pointer (&item, tandem_sender_item_free);
  } else if (item != NULL && sender->eos_queued) {
    g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT,
                         "an event came after the end of the stream");
    g_clear_pointer (&item, tandem_sender_item_free);
  }
  if (item != NULL) {
    sender->trains = TRUE;
    if (sender->gradient_thread == NULL)
      sender->gradient_thread = g_thread_new ("tandem-gradients", hand_over, sender);
    if (item->agreement)
      gst_event_replace (&sender->training, event);
    tandem_sender_append_locked (sender, item);
  }
  g_mutex_unlock (&sender->lock);
  return item != NULL;
}

/* --- in --- */

/* Finds what a gradient belongs to. FALSE without an error: to something that was flushed. */
static gboolean
find_awaited_locked (TandemSender *self, const TandemFrame *frame, TandemGradientInfo *info,
                     GError **error)
{
  const TandemSenderItem *unsent = self->unsent != NULL ? self->unsent->data : NULL;
  const TandemAwaited *awaited;
  g_autofree char *number = NULL, *bytes = NULL;

  if (!tandem_frame_parse_gradient (frame, info, error))
    return FALSE;
  if (frame->sequence < self->flushed_before)
    return FALSE;
  awaited = g_hash_table_lookup (self->awaited, &frame->sequence);
  number = tandem_net_number_to_string (info->micro_batch);
  if (awaited == NULL || awaited->micro_batch != info->micro_batch ||
      (unsent != NULL && frame->sequence >= unsent->sequence)) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                 _("a gradient came for micro-batch %s, which awaits none"), number);
    return FALSE;
  }
  if (frame->payload_size != awaited->bytes) {
    bytes = tandem_net_number_to_string (awaited->bytes);
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                 _("the gradient of micro-batch %s has %u bytes, it should have %s"), number,
                 frame->payload_size, bytes);
    return FALSE;
  }
  return TRUE;
}

/* The link asks before it takes memory for the rows. */
gboolean
tandem_sender_check_gradient (const TandemFrame *frame, gpointer sender, GError **error)
{
  TandemSender *self = sender;
  TandemGradientInfo info;
  gboolean wanted;

  g_mutex_lock (&self->lock);
  wanted = find_awaited_locked (self, frame, &info, error);
  g_mutex_unlock (&self->lock);
  return wanted;
}

/* A gradient is complete. FALSE: the connection cannot go on. */
gboolean
tandem_sender_take_gradient (TandemSender *self, TandemLink *link, const TandemFrame *frame,
                             GError **error)
{
  g_autoptr (GstBuffer) rows = frame->payload_size > 0 ? tandem_link_take_buffer (link)
                                                       : gst_buffer_new ();
  g_autoptr (GError) refusal = NULL;
  TandemGradientInfo info;

  g_mutex_lock (&self->lock);
  if (find_awaited_locked (self, frame, &info, &refusal) && rows != NULL) {
    TandemGradient *gradient = g_new (TandemGradient, 1);

    g_hash_table_remove (self->awaited, &frame->sequence);
    gradient->info = info;
    gradient->rows = g_steal_pointer (&rows);
    g_queue_push_tail (&self->gradients, gradient);
    g_cond_broadcast (&self->cond);
  }
  g_mutex_unlock (&self->lock);
  if (refusal == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&refusal));
  return FALSE;
}
