/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A receiver's life: it opens the port, begins to answer, and closes. */

#include "config.h"

#include "tandem-receiver-private.h"

#include <glib/gi18n-lib.h>

#include "net/tandem-listener.h"

#define LINGER_US G_USEC_PER_SEC

G_DEFINE_FINAL_TYPE (TandemReceiver, tandem_receiver, G_TYPE_OBJECT)

static void
tandem_receiver_finalize (GObject *object)
{
  TandemReceiver *self = TANDEM_RECEIVER (object);

  g_assert (self->thread == NULL);
  tandem_stream_info_clear (&self->info);
  tandem_stream_info_clear (&self->next_info);
  gst_clear_buffer (&self->held_buffer);
  gst_clear_event (&self->held_event);
  g_queue_clear_full (&self->gradients, (GDestroyNotify) tandem_sender_item_free);
  gst_clear_caps (&self->accepted);
  g_clear_object (&self->listener);
  g_clear_error (&self->refusal);
  g_clear_error (&self->lost);
  g_byte_array_unref (self->out);
  g_main_context_unref (self->context);
  g_clear_object (&self->key);
  g_free (self->address);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  G_OBJECT_CLASS (tandem_receiver_parent_class)->finalize (object);
}

static void
tandem_receiver_class_init (TandemReceiverClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_receiver_finalize;
  tandem_net_init_debug ();
}

static void
tandem_receiver_init (TandemReceiver *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  self->out = g_byte_array_new ();
  g_queue_init (&self->gradients);
  self->context = g_main_context_new ();
}

/**
 * tandem_receiver_new: (skip)
 * @options: how to listen; copied
 *
 * Returns: (transfer full): a receiver that does not listen yet
 */
TandemReceiver *
tandem_receiver_new (const TandemReceiverOptions *options)
{
  TandemReceiver *self = g_object_new (TANDEM_TYPE_RECEIVER, NULL);

  g_return_val_if_fail (options->window > 0 && options->max_pending > 0, NULL);
  self->options = *options;
  self->options.address = self->address = g_strdup (options->address);
  self->options.key = self->key = options->key != NULL ? g_object_ref (options->key) : NULL;
  return self;
}

/**
 * tandem_receiver_set_refused_func: (skip)
 * @receiver: a receiver that does not accept yet
 * @refused: (nullable): called when a device without the right key was refused
 * @user_data: for @refused
 */
void
tandem_receiver_set_refused_func (TandemReceiver *receiver, TandemReceiverRefusedFunc refused,
                                  gpointer user_data)
{
  g_return_if_fail (receiver->thread == NULL);
  receiver->refused = refused;
  receiver->refused_data = user_data;
}

/**
 * tandem_receiver_listen:
 * @receiver: a new receiver
 * @error: return location for %TANDEM_NET_ERROR_INSECURE, %TANDEM_NET_ERROR_KEY when
 *   the cluster key has expired, or an error of #GIOErrorEnum or #GResolverError
 *
 * Opens the port; beyond loopback only with a cluster key, or when insecurity was
 * asked for. Nobody is answered before tandem_receiver_accept().
 *
 * Returns: whether the port is open
 */
gboolean
tandem_receiver_listen (TandemReceiver *receiver, GError **error)
{
  TandemReceiver *self = receiver;

  self->listener = tandem_listen (self->address, self->options.port, &self->key,
                                  self->options.insecure, &self->port, error);
  return self->listener != NULL;
}

/**
 * tandem_receiver_get_port:
 * @receiver: a receiver that listens
 *
 * Returns: the TCP port, or 0 before it listens
 */
guint16
tandem_receiver_get_port (TandemReceiver *receiver)
{
  return receiver->port;
}

/**
 * tandem_receiver_get_address:
 * @receiver: a receiver that listens
 *
 * Returns: (transfer full) (nullable): the address of the interface; %NULL before it listens
 */
GInetAddress *
tandem_receiver_get_address (TandemReceiver *receiver)
{
  g_autoptr (GSocketAddress) bound = NULL;

  if (receiver->listener == NULL)
    return NULL;
  bound = g_socket_get_local_address (receiver->listener, NULL);
  return bound == NULL ? NULL
      : g_object_ref (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (bound)));
}

/**
 * tandem_receiver_accept:
 * @receiver: a receiver that listens
 * @accepted: (nullable) (transfer none): what the next stage takes; %NULL:
 *   any stream
 * @last_layer: the last layer that the next stage runs; 0 when it has none
 *
 * Begins to answer; a sender of another stream is refused with a sentence.
 */
void
tandem_receiver_accept (TandemReceiver *receiver, GstCaps *accepted, guint last_layer)
{
  g_return_if_fail (receiver->listener != NULL && receiver->thread == NULL);
  receiver->accepted = accepted != NULL ? gst_caps_ref (accepted) : NULL;
  receiver->last_layer = last_layer;
  tandem_receiver_service_start (receiver);
}

/**
 * tandem_receiver_get_stream: (skip)
 * @receiver: a receiver; streaming thread only
 *
 * Returns: (transfer none): what the buffers hold, after %TANDEM_RECEIVED_CAPS
 */
const TandemStreamInfo *
tandem_receiver_get_stream (TandemReceiver *receiver)
{
  return &receiver->info;
}

/**
 * tandem_receiver_get_segment: (skip)
 * @receiver: a receiver; streaming thread only
 *
 * Returns: (transfer none): the segment, after %TANDEM_RECEIVED_SEGMENT
 */
const GstSegment *
tandem_receiver_get_segment (TandemReceiver *receiver)
{
  return &receiver->segment;
}

/**
 * tandem_receiver_take_event: (skip)
 * @receiver: a receiver; streaming thread only
 *
 * Returns: (transfer full) (nullable): the event, after %TANDEM_RECEIVED_EVENT
 */
GstEvent *
tandem_receiver_take_event (TandemReceiver *receiver)
{
  return g_steal_pointer (&receiver->held_event);
}

/**
 * tandem_receiver_refuse: (skip)
 * @receiver: a receiver; streaming thread only
 * @reason: a #TandemNetError that the sender is told
 *
 * Ends the stream that is served.
 */
void
tandem_receiver_refuse (TandemReceiver *receiver, const GError *reason)
{
  tandem_receiver_drop_stream (receiver, NULL, reason);
  tandem_receiver_hold (receiver, TANDEM_RECEIVED_ERROR, NULL, NULL);
}

/* The sender learns of the last consumed micro-batches before we go, if it is there or comes
 * back at once. */
static void
linger_locked (TandemReceiver *self)
{
  gint64 end = g_get_monotonic_time () + LINGER_US;

  while (self->stream != NULL && tandem_receiver_stream_is_over (self->stream) &&
         !self->stream->done &&
         (self->link != NULL || g_hash_table_size (self->stream->dropped) == 0)) {
    if (!g_cond_wait_until (&self->cond, &self->lock, end))
      break;
  }
}

/**
 * tandem_receiver_close:
 * @receiver: a receiver that nobody receives from any more
 *
 * Closes the port, tells the sender of an unfinished stream, and waits for the
 * thread. Receipts that are still out there do nothing any more. To be called
 * before the last reference is released.
 */
void
tandem_receiver_close (TandemReceiver *receiver)
{
  TandemReceiver *self = receiver;
  g_autoptr (GError) reason = NULL;

  g_mutex_lock (&self->lock);
  self->closing = TRUE;
  g_cond_broadcast (&self->cond);
  if (self->thread != NULL)
    linger_locked (self);
  g_mutex_unlock (&self->lock);
  tandem_receiver_service_stop (self);

  if (self->stream != NULL && !tandem_receiver_stream_is_over (self->stream))
    reason = g_error_new_literal (TANDEM_NET_ERROR, TANDEM_NET_ERROR_STOPPED,
                                  _("the receiving pipeline was stopped in mid-stream"));
  tandem_receiver_drop_stream (self, NULL, reason);
  tandem_receiver_hold (self, TANDEM_RECEIVED_ERROR, NULL, NULL);
  g_clear_pointer (&self->known, tandem_receiver_stream_unref);
  g_clear_pointer (&self->reading, tandem_receiver_stream_unref);
  g_clear_object (&self->listener);
}
