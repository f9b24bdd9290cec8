/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the streaming thread does with a sender: it queues, and waits for room or for the end. */

#include "config.h"

#include "tandem-sender-private.h"

#include <string.h>

G_DEFINE_FINAL_TYPE (TandemSender, tandem_sender, G_TYPE_OBJECT)

void
tandem_sender_fail_locked (TandemSender *self, GError *error)
{
  if (self->error == NULL)
    self->error = error;
  else
    g_error_free (error);
  if (self->link != NULL)
    tandem_link_shutdown (self->link);
  g_cond_broadcast (&self->cond);
}

/* While the neighbour works on one micro-batch, the next one is on its way. */
#define MIN_IN_FLIGHT 2

static void
tandem_sender_finalize (GObject *object)
{
  TandemSender *self = TANDEM_SENDER (object);

  g_assert (self->thread == NULL);
  g_queue_clear_full (&self->items, (GDestroyNotify) tandem_sender_item_free);
  tandem_sender_clear_training (self);
  tandem_sender_clear_search (self);
  g_clear_pointer (&self->caps, g_bytes_unref);
  g_clear_pointer (&self->segment, g_bytes_unref);
  g_clear_pointer (&self->caps_sent, g_bytes_unref);
  g_clear_pointer (&self->segment_sent, g_bytes_unref);
  g_byte_array_unref (self->control);
  tandem_stream_info_clear (&self->info);
  g_clear_error (&self->error);
  g_object_unref (self->cancellable);
  g_object_unref (self->wake);
  g_clear_object (&self->key);
  g_free (self->host);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  G_OBJECT_CLASS (tandem_sender_parent_class)->finalize (object);
}

static void
tandem_sender_class_init (TandemSenderClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_sender_finalize;
  tandem_net_init_debug ();
}

static void
tandem_sender_init (TandemSender *self)
{
  guint i;

  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  g_queue_init (&self->items);
  self->control = g_byte_array_new ();
  self->cancellable = g_cancellable_new ();
  self->wake = g_cancellable_new ();
  self->next_sequence = 1;
  tandem_sender_init_training (self);
  for (i = 0; i < sizeof self->stream_id; i += 4) {
    guint32 r = g_random_int ();

    memcpy (self->stream_id + i, &r, 4);
  }
}

/**
 * tandem_sender_new:
 * @host: (nullable): name or address of the device that receives; %NULL: it is to be found,
 *   see tandem_sender_set_discovery()
 * @port: its TCP port
 * @window: how many micro-batches may be unacknowledged, at least 1
 * @window_bytes: how many bytes of them; at least one micro-batch may wait while another
 *   is worked on, of whatever size
 * @reconnect_timeout: milliseconds without a working connection after which the
 *   sender gives up; 0 makes one attempt
 * @max_payload: the largest micro-batch, in bytes
 *
 * Makes a sender for one stream.
 *
 * Returns: (transfer full): the sender
 */
TandemSender *
tandem_sender_new (const char *host, guint16 port, guint window, guint64 window_bytes,
                   guint reconnect_timeout, guint max_payload)
{
  TandemSender *self = g_object_new (TANDEM_TYPE_SENDER, NULL);

  g_return_val_if_fail (window > 0, NULL);
  self->host = g_strdup (host);
  self->port = port;
  self->window = window;
  self->window_bytes = window_bytes;
  self->reconnect_timeout = reconnect_timeout;
  self->max_payload = max_payload;
  return self;
}

/**
 * tandem_sender_set_security:
 * @sender: a sender that was not started
 * @key: (nullable): the cluster key that the receiver has to have, with TLS; %NULL: that
 *   of this device beyond loopback, none on loopback
 * @insecure: send in clear beyond loopback; not together with @key
 *
 * Says who may receive. Without it, as with %NULL and %FALSE.
 */
void
tandem_sender_set_security (TandemSender *sender, TandemClusterKey *key, gboolean insecure)
{
  g_return_if_fail (sender->thread == NULL && (key == NULL || !insecure));
  g_set_object (&sender->key, key);
  sender->insecure = insecure;
}

/**
 * tandem_sender_start: (skip)
 * @sender: a sender that was not started
 * @failed: (nullable): called when the stream can no longer be completed
 * @user_data: for @failed
 *
 * Starts to connect; does not wait for the connection.
 */
void
tandem_sender_start (TandemSender *sender, TandemSenderFunc failed, gpointer user_data)
{
  g_return_if_fail (sender->thread == NULL);
  sender->failed = failed;
  sender->user_data = user_data;
  sender->thread = g_thread_new ("tandem-sender", tandem_sender_service, sender);
}

/**
 * tandem_sender_stop:
 * @sender: a sender
 *
 * Ends the connection, tells the receiver when the stream is not complete, and
 * waits for the thread. What was not acknowledged is dropped, and so are its
 * receipts. To be called before the last reference is released.
 */
void
tandem_sender_stop (TandemSender *sender)
{
  GQueue items;

  tandem_sender_stop_search (sender);
  if (sender->thread == NULL)
    return;
  g_mutex_lock (&sender->lock);
  sender->stopping = TRUE;
  g_cond_broadcast (&sender->cond);
  g_mutex_unlock (&sender->lock);
  g_cancellable_cancel (sender->cancellable);
  g_cancellable_cancel (sender->wake);
  g_clear_pointer (&sender->thread, g_thread_join);
  tandem_sender_stop_training (sender);

  g_mutex_lock (&sender->lock);
  items = sender->items;
  g_queue_init (&sender->items);
  sender->n_buffers = 0;
  sender->buffer_bytes = 0;
  g_mutex_unlock (&sender->lock);
  g_queue_clear_full (&items, (GDestroyNotify) tandem_sender_item_free);
}

/**
 * tandem_sender_set_stream: (skip)
 * @sender: a sender
 * @info: what the buffers to come hold
 *
 * To be called before the first buffer, from the thread that sends.
 */
void
tandem_sender_set_stream (TandemSender *sender, const TandemStreamInfo *info)
{
  GByteArray *bytes = g_byte_array_new ();
  char **labels = g_strdupv (info->labels);

  tandem_frame_append_caps (bytes, info);
  g_mutex_lock (&sender->lock);
  tandem_stream_info_clear (&sender->info);
  sender->info = *info;
  sender->info.labels = labels;
  g_clear_pointer (&sender->caps, g_bytes_unref);
  sender->caps = g_byte_array_free_to_bytes (bytes);
  g_cond_broadcast (&sender->cond);
  g_mutex_unlock (&sender->lock);
}

/**
 * tandem_sender_set_segment: (skip)
 * @sender: a sender
 * @segment: the segment of the buffers to come
 *
 * To be called from the thread that sends.
 */
void
tandem_sender_set_segment (TandemSender *sender, const GstSegment *segment)
{
  GByteArray *bytes = g_byte_array_new ();

  tandem_frame_append_segment (bytes, segment);
  g_mutex_lock (&sender->lock);
  g_clear_pointer (&sender->segment, g_bytes_unref);
  sender->segment = g_byte_array_free_to_bytes (bytes);
  g_mutex_unlock (&sender->lock);
}

/* Queues a frame, and writes it if the connection takes it. */
void
tandem_sender_append_locked (TandemSender *self, TandemSenderItem *item)
{
  item->caps = self->caps != NULL ? g_bytes_ref (self->caps) : NULL;
  item->segment = self->segment != NULL ? g_bytes_ref (self->segment) : NULL;
  self->next_sequence++;
  g_queue_push_tail (&self->items, item);
  if (item->type == TANDEM_FRAME_BUFFER)
    tandem_sender_count_locked (self, item, 1);
  if (item->agreement)
    tandem_sender_await_announcement_locked (self, item->sequence);
  if (self->link != NULL && self->unsent == NULL)
    self->unsent = self->items.tail;
  tandem_sender_pump_locked (self);
  if (self->blocked || self->link == NULL)
    g_cancellable_cancel (self->wake);
}

static void
wake_waiter (GCancellable *cancellable, gpointer data)
{
  TandemSender *self = data;

  g_mutex_lock (&self->lock);
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
}

/* Counts a micro-batch that is in flight, with 1, or no longer is, with -1. */
void
tandem_sender_count_locked (TandemSender *self, const TandemSenderItem *item, int change)
{
  self->n_buffers += change;
  self->buffer_bytes += change * (gint64) item->payload;
}

static gboolean
has_room_locked (TandemSender *self)
{
  return self->n_buffers < self->window &&
      (self->n_buffers < MIN_IN_FLIGHT || self->buffer_bytes < self->window_bytes);
}

static gboolean
is_settled_locked (TandemSender *self)
{
  return g_queue_is_empty (&self->items) && self->n_completing == 0;
}

/* Waits until the condition holds, the stream failed or somebody cancels. */
static gboolean
wait_locked (TandemSender *self, gboolean (*condition) (TandemSender *),
             GCancellable *cancellable, GError **error)
{
  gulong handler;

  if (!condition (self) && self->error == NULL) {
    g_mutex_unlock (&self->lock);
    handler = cancellable != NULL
        ? g_cancellable_connect (cancellable, G_CALLBACK (wake_waiter), self, NULL) : 0;
    g_mutex_lock (&self->lock);
    while (!condition (self) && self->error == NULL &&
           !g_cancellable_is_cancelled (cancellable))
      g_cond_wait (&self->cond, &self->lock);
    g_mutex_unlock (&self->lock);
    g_cancellable_disconnect (cancellable, handler);
    g_mutex_lock (&self->lock);
  }
  if (self->error != NULL) {
    g_propagate_error (error, g_error_copy (self->error));
    return FALSE;
  }
  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}

/**
 * tandem_sender_has_room:
 * @sender: a sender
 *
 * Returns: whether tandem_sender_send() would not wait
 */
gboolean
tandem_sender_has_room (TandemSender *sender)
{
  gboolean room;

  g_mutex_lock (&sender->lock);
  room = has_room_locked (sender) || sender->error != NULL;
  g_mutex_unlock (&sender->lock);
  return room;
}

/**
 * tandem_sender_wait_for_room:
 * @sender: a sender
 * @cancellable: (nullable): ends the wait
 * @error: return location for a #TandemNetError or %G_IO_ERROR_CANCELLED
 *
 * Waits until the window has room. There is still room when the thread that
 * sends calls tandem_sender_send() next.
 *
 * Returns: whether there is room
 */
gboolean
tandem_sender_wait_for_room (TandemSender *sender, GCancellable *cancellable, GError **error)
{
  gboolean room;

  g_mutex_lock (&sender->lock);
  room = wait_locked (sender, has_room_locked, cancellable, error);
  g_mutex_unlock (&sender->lock);
  return room;
}

/**
 * tandem_sender_send: (skip)
 * @sender: a sender whose stream was set
 * @buffer: (transfer none): a micro-batch with its #TandemBatchMeta
 * @cancellable: (nullable): ends the wait for room in the window
 * @error: return location for a #TandemNetError or %G_IO_ERROR_CANCELLED
 *
 * Waits for room in the window, then sends @buffer, or queues it while there is
 * no connection. The memory is not copied and must not change. The receipts of
 * @buffer are completed when the receiver acknowledges it.
 *
 * Returns: whether @buffer was taken
 */
gboolean
tandem_sender_send (TandemSender *sender, GstBuffer *buffer, GCancellable *cancellable,
                    GError **error)
{
  TandemSenderItem *item = NULL;

  g_mutex_lock (&sender->lock);
  if (wait_locked (sender, has_room_locked, cancellable, error)) {
    if (sender->caps == NULL || sender->eos_queued)
      g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT,
                           "a buffer came before its caps or after the end of the stream");
    else
      item = tandem_sender_item_new_buffer (sender->next_sequence, &sender->info, buffer, error);
  }
  if (item != NULL) {
    tandem_sender_await_gradient_locked (sender, item);
    tandem_sender_append_locked (sender, item);
  }
  g_mutex_unlock (&sender->lock);
  return item != NULL;
}

/**
 * tandem_sender_finish:
 * @sender: a sender
 * @cancellable: (nullable): ends the wait
 * @error: return location for a #TandemNetError or %G_IO_ERROR_CANCELLED
 *
 * Ends the stream and waits until everything is acknowledged. After
 * %G_IO_ERROR_CANCELLED it may be called again.
 *
 * Returns: whether every micro-batch was consumed
 */
gboolean
tandem_sender_finish (TandemSender *sender, GCancellable *cancellable, GError **error)
{
  gboolean settled;

  g_mutex_lock (&sender->lock);
  if (!sender->eos_queued && sender->error == NULL) {
    sender->eos_queued = TRUE;
    g_cond_broadcast (&sender->cond);
    tandem_sender_append_locked (sender, tandem_sender_item_new_eos (sender->next_sequence));
  }
  settled = wait_locked (sender, is_settled_locked, cancellable, error);
  g_mutex_unlock (&sender->lock);
  return settled;
}

/**
 * tandem_sender_flush:
 * @sender: a sender
 *
 * Forgets what was not sent yet and tells the receiver that what was sent is no
 * longer wanted. Gradients that come back for it are dropped, and micro-batches
 * count from 0 again. Any thread may call it.
 */
void
tandem_sender_flush (TandemSender *sender)
{
  g_autoptr (GPtrArray) dropped =
      g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_sender_item_free);
  GQueue gradients;
  gboolean agreed = FALSE;
  GList *l;

  g_mutex_lock (&sender->lock);
  while ((l = sender->items.tail) != NULL && !((TandemSenderItem *) l->data)->begun) {
    TandemSenderItem *item = l->data;

    if (sender->unsent == l)
      sender->unsent = NULL;
    if (item->type == TANDEM_FRAME_BUFFER)
      tandem_sender_count_locked (sender, item, -1);
    if (item->type == TANDEM_FRAME_EOS)
      sender->eos_queued = FALSE;
    agreed |= item->agreement;
    sender->next_sequence = item->sequence;
    g_queue_delete_link (&sender->items, l);
    g_ptr_array_add (dropped, item);
  }
  for (l = sender->items.head; l != NULL; l = l->next)
    ((TandemSenderItem *) l->data)->flushed = TRUE;
  gradients = tandem_sender_flush_training_locked (sender, sender->next_sequence);
  if (!sender->eos_queued && sender->error == NULL) {
    if (sender->next_sequence > 1)
      tandem_sender_append_locked (sender,
          tandem_sender_item_new_event (sender->next_sequence, TANDEM_FRAME_EVENT_FLUSH));
    if (agreed)
      tandem_sender_append_locked (sender,
          tandem_sender_item_new_training (sender->next_sequence, sender->training));
  }
  g_cond_broadcast (&sender->cond);
  g_mutex_unlock (&sender->lock);
  tandem_sender_free_gradients (&gradients);
}

/**
 * tandem_sender_get_n_pending:
 * @sender: a sender
 *
 * Returns: how many micro-batches are not acknowledged
 */
guint
tandem_sender_get_n_pending (TandemSender *sender)
{
  guint n;

  g_mutex_lock (&sender->lock);
  n = sender->n_buffers;
  g_mutex_unlock (&sender->lock);
  return n;
}
