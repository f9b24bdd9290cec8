/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The connection that the receiver serves: how it begins, what is written to it, and how it ends,
 * with its stream or without. */

#include "config.h"

#include "tandem-receiver-private.h"

#include <string.h>

#include "net/tandem-acceptance.h"

#define GST_CAT_DEFAULT tandem_net_debug

/* A peer that sends and does not read its acknowledgements is not worth more memory. */
#define MAX_OUT (1024 * 1024)
#define MAX_VECTORS 24
#define POLITE_US (G_USEC_PER_SEC / 2)
/* A sender reads at any time: one that does not take our keep-alives for so long is gone. */
#define USER_TIMEOUT_MS 20000

/* --- writing, with the lock held --- */

static gboolean
on_writable (GSocket *socket, GIOCondition condition, gpointer data)
{
  TandemReceiver *self = data;

  g_mutex_lock (&self->lock);
  g_clear_pointer (&self->out_source, g_source_unref);
  tandem_receiver_flush_out_locked (self);
  g_mutex_unlock (&self->lock);
  return G_SOURCE_REMOVE;
}

static gboolean
has_more_locked (TandemReceiver *self)
{
  return self->out->len > 0 || !g_queue_is_empty (&self->gradients) ||
      tandem_link_has_pending (self->link);
}

/* The order of what is written: see tandem-receiver-private.h. */
static guint
gather_locked (TandemReceiver *self, GOutputVector *vectors)
{
  const TandemSenderItem *item = g_queue_peek_head (&self->gradients);
  gsize skip = self->gradient_offset;
  guint i, n = 0;

  if (skip == 0 && self->out->len > 0) {
    vectors[n].buffer = self->out->data;
    vectors[n++].size = self->out->len;
  }
  for (i = 0; item != NULL && i < item->n_vectors && n < MAX_VECTORS; i++) {
    const GOutputVector *v = &item->vectors[i];

    if (skip >= v->size) {
      skip -= v->size;
      continue;
    }
    vectors[n].buffer = (const guint8 *) v->buffer + skip;
    vectors[n++].size = v->size - skip;
    skip = 0;
  }
  return n;
}

static void
account_locked (TandemReceiver *self, gsize written)
{
  TandemSenderItem *item = g_queue_peek_head (&self->gradients);

  self->wrote = g_get_monotonic_time ();
  if (self->gradient_offset == 0) {
    gsize n = MIN (written, self->out->len);

    g_byte_array_remove_range (self->out, 0, n);
    written -= n;
  }
  self->gradient_offset += written;
  if (item != NULL && self->gradient_offset == item->size) {
    g_queue_pop_head (&self->gradients);
    self->gradient_offset = 0;
    self->gradient_bytes -= item->size;
    tandem_sender_item_free (item);
    g_cond_broadcast (&self->cond);
  }
}

/* Writes as much as the connection takes. */
static gboolean
write_locked (TandemReceiver *self, GError **error)
{
  while (has_more_locked (self)) {
    GOutputVector vectors[MAX_VECTORS];
    gsize written;

    if (!tandem_link_write (self->link, vectors, gather_locked (self, vectors), &written, error))
      return FALSE;
    if (written == 0)
      return TRUE;
    account_locked (self, written);
  }
  return TRUE;
}

void
tandem_receiver_flush_out_locked (TandemReceiver *self)
{
  g_autoptr (GError) error = NULL;

  if (self->link == NULL || !has_more_locked (self) ||
      (self->out_source != NULL && self->out->len <= MAX_OUT))
    return;
  if (self->out->len > MAX_OUT || !write_locked (self, &error)) {
    /* Whoever reads finds the end. */
    GST_WARNING ("%s", error != NULL ? error->message : "the peer does not read");
    g_byte_array_set_size (self->out, 0);
    tandem_receiver_forget_gradients_locked (self);
    tandem_link_shutdown (self->link);
    return;
  }
  if (has_more_locked (self)) {
    self->out_source =
        g_socket_create_source (tandem_link_get_socket (self->link), G_IO_OUT, NULL);
    g_source_set_callback (self->out_source, G_SOURCE_FUNC (on_writable), self, NULL);
    g_source_attach (self->out_source, self->context);
  }
}

void
tandem_receiver_ack_locked (TandemReceiver *self, guint64 sequence, TandemAckStatus status)
{
  const TandemAck ack = { sequence, sequence, status };

  tandem_frame_append_ack (self->out, &ack);
}

void
tandem_receiver_grant_locked (TandemReceiver *self, guint64 bytes)
{
  self->granted_frames++;
  self->granted_bytes += bytes;
  tandem_frame_append_credit (self->out, self->granted_frames, self->granted_bytes);
}

TandemLink *
tandem_receiver_steal_link_locked (TandemReceiver *self)
{
  if (self->out_source != NULL)
    g_source_destroy (self->out_source);
  g_clear_pointer (&self->out_source, g_source_unref);
  g_byte_array_set_size (self->out, 0);
  tandem_receiver_forget_gradients_locked (self);
  self->away_since = g_get_monotonic_time ();
  return g_steal_pointer (&self->link);
}

/**
 * tandem_receiver_adopt_locked: (skip)
 * @self: a receiver without a connection
 * @link: the connection of the sender of its stream
 * @hello: what that sender said
 *
 * Answers with HELLO, acknowledges again what the sender missed, and serves
 * @link from now on.
 */
void
tandem_receiver_adopt_locked (TandemReceiver *self, TandemLink *link, const TandemHello *hello)
{
  TandemReceiverStream *stream = self->stream;
  guint n = g_hash_table_size (stream->unsettled);
  guint64 budget = 2 * (guint64) self->options.max_payload;
  TandemFrameLimits limits = {
    .max_header = tandem_frame_max_header (TANDEM_FRAME_MAX_SEQUENCES),
    .max_payload = self->options.max_payload,
    .max_sequences = TANDEM_FRAME_MAX_SEQUENCES,
  };
  TandemHello answer = {
    .role = TANDEM_ROLE_RECEIVER, .features = TANDEM_FRAME_FEATURE_TRAINING,
  };

  self->link = tandem_link_ref (link);
  tandem_link_set_limits (link, &limits);
  tandem_link_set_user_timeout (link, USER_TIMEOUT_MS);
  self->got_frames = self->got_bytes = 0;
  self->granted_frames = self->options.window > n ? self->options.window - n : 0;
  self->granted_bytes = budget > stream->unsettled_bytes ? budget - stream->unsettled_bytes : 0;

  answer.max_payload = limits.max_payload;
  answer.max_sequences = limits.max_sequences;
  answer.keepalive = TANDEM_RECEIVER_KEEPALIVE_MS;
  memcpy (answer.stream_id, stream->id, sizeof answer.stream_id);
  answer.resume = stream->received;
  answer.credit_frames = self->granted_frames;
  answer.credit_bytes = self->granted_bytes;
  tandem_acceptance_fill_hello (self->accepted, self->last_layer, &answer);
  tandem_frame_append_hello (self->out, &answer);
  tandem_receiver_stream_repeat_acks (stream, hello->resume, self->out);
  if (stream->eos)
    tandem_receiver_service_watch_locked (self);
  tandem_receiver_flush_out_locked (self);
}

/* --- the end --- */

/* The end of one connection; its stream may go on over another one. FALSE: it cannot, and `end`
 * says so. */
gboolean
tandem_receiver_lose_link (TandemReceiver *self, TandemLink *link, const GError *reason,
                           GError **end)
{
  g_autoptr (TandemReceiverStream) forgotten = NULL;
  g_autoptr (TandemLink) stolen = NULL;
  gboolean over = FALSE;

  GST_WARNING ("connection of %s lost: %s", tandem_link_get_peer (link), reason->message);
  g_mutex_lock (&self->lock);
  if (self->link == link) {
    if (reason->domain == TANDEM_NET_ERROR && reason->code < 100) {
      tandem_frame_append_error (self->out, reason->code, reason->message);
      tandem_receiver_flush_out_locked (self);
    }
    stolen = tandem_receiver_steal_link_locked (self);
    over = tandem_receiver_lose_training_locked (self, tandem_link_get_peer (link), reason,
                                                 FALSE);
    if (over)
      g_propagate_error (end, g_error_copy (self->lost));
    if (over || !self->stream->delivered)
      forgotten = g_steal_pointer (&self->stream);
  }
  g_mutex_unlock (&self->lock);
  if (stolen != NULL)
    tandem_link_close_politely (stolen, reason->code < 100 ? POLITE_US : 0);
  return !over;
}

/* The end of the stream itself, because one side refuses to go on; nothing happens when `link`
 * is given and no longer the one that is served. */
void
tandem_receiver_drop_stream (TandemReceiver *self, TandemLink *link, const GError *reason)
{
  g_autoptr (TandemReceiverStream) forgotten = NULL;
  g_autoptr (TandemLink) stolen = NULL;

  g_mutex_lock (&self->lock);
  if (link != NULL && link != self->link) {
    g_mutex_unlock (&self->lock);
    return;
  }
  if (self->link != NULL) {
    if (reason != NULL)
      tandem_frame_append_error (self->out, reason->code, reason->message);
    tandem_receiver_flush_out_locked (self);
    stolen = tandem_receiver_steal_link_locked (self);
  }
  forgotten = g_steal_pointer (&self->stream);
  g_mutex_unlock (&self->lock);
  if (stolen != NULL)
    tandem_link_close_politely (stolen, POLITE_US);
}
