/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a receiver knows about one stream: it outlives the connections that carried it. */

#include "config.h"

#include "tandem-receiver-private.h"

#include <string.h>

#include "stream/tandem-receipt.h"

/* A sender was told of its dropped micro-batches long before so many are remembered. */
#define MAX_DROPPED 65536

typedef struct
{
  TandemReceiverStream *stream;
  guint64 sequence;
} Promise;

TandemReceiverStream *
tandem_receiver_stream_new (TandemReceiver *receiver, const guint8 *id)
{
  TandemReceiverStream *self = g_new0 (TandemReceiverStream, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->receiver = g_object_ref (receiver);
  memcpy (self->id, id, sizeof self->id);
  self->unsettled = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  self->dropped = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  self->owed = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, g_free);
  return self;
}

TandemReceiverStream *
tandem_receiver_stream_ref (TandemReceiverStream *stream)
{
  g_atomic_ref_count_inc (&stream->ref_count);
  return stream;
}

/* Never with the lock held: the receiver may go with it. */
void
tandem_receiver_stream_unref (TandemReceiverStream *stream)
{
  if (!g_atomic_ref_count_dec (&stream->ref_count))
    return;
  g_hash_table_unref (stream->unsettled);
  g_hash_table_unref (stream->dropped);
  g_hash_table_unref (stream->owed);
  g_object_unref (stream->receiver);
  g_free (stream);
}

static void
settled (gboolean completed, gpointer user_data)
{
  Promise *promise = user_data;
  TandemReceiverStream *stream = promise->stream;
  TandemReceiver *self = stream->receiver;
  gsize bytes;

  g_mutex_lock (&self->lock);
  bytes = GPOINTER_TO_SIZE (g_hash_table_lookup (stream->unsettled, &promise->sequence));
  g_hash_table_remove (stream->unsettled, &promise->sequence);
  stream->unsettled_bytes -= bytes;
  if (!completed) {
    if (g_hash_table_size (stream->dropped) >= MAX_DROPPED)
      g_hash_table_remove_all (stream->dropped);
    g_hash_table_add (stream->dropped, g_memdup2 (&promise->sequence, sizeof (guint64)));
  }
  if (self->stream == stream && self->link != NULL) {
    tandem_receiver_ack_locked (self, promise->sequence,
                                completed ? TANDEM_ACK_CONSUMED : TANDEM_ACK_DROPPED);
    tandem_receiver_grant_locked (self, bytes);
    tandem_receiver_flush_out_locked (self);
  }
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
}

static void
promise_free (gpointer data)
{
  Promise *promise = data;

  tandem_receiver_stream_unref (promise->stream);
  g_free (promise);
}

/**
 * tandem_receiver_stream_promise: (skip)
 * @stream: a stream
 * @sequence: a micro-batch that was noted as unsettled
 *
 * Returns: (transfer full): a receipt that acknowledges @sequence
 */
TandemReceipt *
tandem_receiver_stream_promise (TandemReceiverStream *stream, guint64 sequence)
{
  Promise *promise = g_new (Promise, 1);

  promise->stream = tandem_receiver_stream_ref (stream);
  promise->sequence = sequence;
  return tandem_receipt_new (settled, promise, promise_free);
}

/**
 * tandem_receiver_stream_repeat_acks: (skip)
 * @stream: a stream whose sender came back
 * @first: the first sequence number whose acknowledgement the sender misses
 * @out: where to append ACK frames
 *
 * What was settled while the sender was away, or whose acknowledgement was lost
 * on the way, is acknowledged again.
 */
void
tandem_receiver_stream_repeat_acks (TandemReceiverStream *stream, guint64 first, GByteArray *out)
{
  TandemAck ack = { 0 };
  guint64 n;

  /* A stream has no more unacknowledged frames than windows allow: a sender that claims more
   * knows nothing of the older ones. */
  if (stream->received - first > G_MAXUINT16 && stream->received >= first)
    first = stream->received - G_MAXUINT16;
  for (n = first; n <= stream->received; n++) {
    TandemAckStatus status = TANDEM_ACK_CONSUMED;

    if (g_hash_table_contains (stream->unsettled, &n)) {
      if (ack.first != 0)
        tandem_frame_append_ack (out, &ack);
      ack.first = 0;
      continue;
    }
    if (g_hash_table_contains (stream->dropped, &n))
      status = TANDEM_ACK_DROPPED;
    if (ack.first != 0 && ack.status != status) {
      tandem_frame_append_ack (out, &ack);
      ack.first = 0;
    }
    if (ack.first == 0) {
      ack.first = n;
      ack.status = status;
    }
    ack.last = n;
  }
  if (ack.first != 0)
    tandem_frame_append_ack (out, &ack);
}

gboolean
tandem_receiver_stream_is_over (TandemReceiverStream *stream)
{
  return stream->eos && g_hash_table_size (stream->unsettled) == 0;
}
