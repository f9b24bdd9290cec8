/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the streaming thread reads from the connection that is served, and in which order it is told
 * what came. */

#include "config.h"

#include "tandem-receiver-private.h"

#include <glib/gi18n-lib.h>

#include "net/tandem-acceptance.h"
#include "net/tandem-net-private.h"
#include "stream/tandem-batch-meta.h"

/* What becomes of a stream that cannot go on: the pipeline's end, or only the stream's. After
 * training it is always the pipeline's: weights and optimizer are in the middle of something. */
static TandemReceived
give_up (TandemReceiver *self)
{
  gboolean trained;

  g_mutex_lock (&self->lock);
  trained = self->lost != NULL;
  g_mutex_unlock (&self->lock);
  return self->options.keep_listening && !trained ? TANDEM_RECEIVED_ABANDONED
                                                  : TANDEM_RECEIVED_ERROR;
}

void
tandem_receiver_hold (TandemReceiver *self, TandemReceived what, GstBuffer *buffer,
                      GstEvent *event)
{
  self->held = what;
  gst_clear_buffer (&self->held_buffer);
  gst_clear_event (&self->held_event);
  self->held_buffer = buffer;
  self->held_event = event;
}

/* Whether a numbered frame is the next one; a duplicate is acknowledged again, if it is settled,
 * and forgotten. */
static gboolean
is_next_locked (TandemReceiver *self, guint64 sequence, guint64 bytes, gboolean counts,
                gboolean *duplicate, GError **error)
{
  TandemReceiverStream *stream = self->stream;

  *duplicate = sequence <= stream->received && sequence > 0;
  if (counts) {
    self->got_frames++;
    self->got_bytes += bytes;
    if (self->got_frames > self->granted_frames || self->got_bytes > self->granted_bytes) {
      g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                           _("you sent more than the credit that you have"));
      return FALSE;
    }
  }
  if (*duplicate) {
    if (!g_hash_table_contains (stream->unsettled, &sequence))
      tandem_receiver_ack_locked (self, sequence,
                                  g_hash_table_contains (stream->dropped, &sequence)
                                      ? TANDEM_ACK_DROPPED : TANDEM_ACK_CONSUMED);
    if (counts)
      tandem_receiver_grant_locked (self, bytes);
    tandem_receiver_flush_out_locked (self);
    return TRUE;
  }
  if (sequence != stream->received + 1 || sequence > TANDEM_FRAME_MAX_SEQUENCE_NUMBER) {
    g_autofree char *last = tandem_net_number_to_string (stream->received);
    g_autofree char *next = tandem_net_number_to_string (stream->received + 1);
    g_autofree char *got = tandem_net_number_to_string (sequence);

    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                 _("after frame %s comes %s, not %s"), last, next, got);
    return FALSE;
  }
  return TRUE;
}

static gboolean
take_numbered (TandemReceiver *self, TandemLink *link, const TandemFrame *frame,
               TandemReceived what, GError **error)
{
  g_autoptr (GstBuffer) buffer = NULL;
  g_autoptr (GstEvent) event = NULL;
  g_autoptr (TandemReceiverStream) stream = NULL;
  gboolean duplicate = FALSE, ok = TRUE;
  guint64 sequence = frame->sequence;
  gsize bytes = frame->payload_size;

  if (frame->type == TANDEM_FRAME_BUFFER)
    buffer = tandem_link_take_buffer (link);
  if (what == TANDEM_RECEIVED_EVENT &&
      (event = tandem_frame_parse_training_event (frame, error)) == NULL)
    return FALSE;
  g_mutex_lock (&self->lock);
  if (self->link != link) {
    g_mutex_unlock (&self->lock);
    return TRUE;
  }
  ok = is_next_locked (self, sequence, bytes, buffer != NULL, &duplicate, error);
  if (ok && !duplicate) {
    stream = tandem_receiver_stream_ref (self->stream);
    stream->received = sequence;
    stream->delivered = TRUE;
    if (buffer != NULL) {
      g_hash_table_insert (stream->unsettled, g_memdup2 (&sequence, sizeof sequence),
                           GSIZE_TO_POINTER (bytes));
      stream->unsettled_bytes += bytes;
      tandem_receiver_owe_locked (self, sequence, buffer);
    } else {
      tandem_receiver_ack_locked (self, sequence, TANDEM_ACK_CONSUMED);
      tandem_receiver_flush_out_locked (self);
    }
    if (event != NULL)
      tandem_receiver_begin_training_locked (self, sequence, event);
    if (what == TANDEM_RECEIVED_FLUSH) {
      stream->flushed = TRUE;
      stream->n_micro_batches = 0;
      g_hash_table_remove_all (stream->owed);
    }
    if (what == TANDEM_RECEIVED_EOS) {
      stream->eos = TRUE;
      self->served = !self->options.keep_listening;
      tandem_receiver_service_watch_locked (self);
    }
  }
  g_mutex_unlock (&self->lock);
  if (stream == NULL)
    return ok;

  if (buffer != NULL) {
    TandemReceipt *receipt = tandem_receiver_stream_promise (stream, sequence);

    tandem_batch_meta_add_receipt (tandem_buffer_get_batch_meta (buffer), receipt);
    tandem_receipt_unref (receipt);
  }
  if (what != TANDEM_RECEIVED_ERROR)
    tandem_receiver_hold (self, what, g_steal_pointer (&buffer), g_steal_pointer (&event));
  return TRUE;
}

static gboolean
take_event (TandemReceiver *self, TandemLink *link, const TandemFrame *frame, GError **error)
{
  TandemReceived what = TANDEM_RECEIVED_ERROR;
  guint kind;

  if (!tandem_frame_parse_event (frame, &kind, error))
    return FALSE;
  if (kind == TANDEM_FRAME_EVENT_GRADIENT) {
    g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                         _("gradients come from the device that receives micro-batches"));
    return FALSE;
  }
  if (kind == TANDEM_FRAME_EVENT_FLUSH)
    what = TANDEM_RECEIVED_FLUSH;
  else if (kind >= TANDEM_FRAME_EVENT_TRAINING && kind <= TANDEM_FRAME_EVENT_CHECKPOINT)
    what = TANDEM_RECEIVED_EVENT;
  return frame->sequence == 0 || take_numbered (self, link, frame, what, error);
}

static void
copy_info (TandemStreamInfo *to, const TandemStreamInfo *from)
{
  char **labels = g_strdupv (from->labels);

  tandem_stream_info_clear (to);
  *to = *from;
  to->labels = labels;
}

/* Acts on one frame. FALSE: the connection cannot go on. `end` is set when the stream cannot. */
static gboolean
handle_frame (TandemReceiver *self, TandemLink *link, const TandemFrame *frame, GError **end,
              GError **error)
{
  g_auto (TandemStreamInfo) info = { 0 };
  g_autoptr (GError) told = NULL;
  GstSegment segment;

  switch (frame->type) {
    case TANDEM_FRAME_CAPS:
      if (!tandem_frame_parse_caps (frame, &info, error))
        return FALSE;
      if (tandem_acceptance_check (self->accepted, self->last_layer, &info, &told)) {
        tandem_link_set_stream (link, &info);
        copy_info (&self->next_info, &info);
        self->has_next_info = TRUE;
        return TRUE;
      }
      tandem_receiver_drop_stream (self, link, told);
      g_set_error (end, TANDEM_NET_ERROR, told->code, _("Refused the client at %s: %s"),
                   tandem_link_get_peer (link), told->message);
      return TRUE;
    case TANDEM_FRAME_SEGMENT:
      if (!tandem_frame_parse_segment (frame, &segment, error))
        return FALSE;
      self->next_segment = segment;
      self->has_next_segment = TRUE;
      return TRUE;
    case TANDEM_FRAME_BUFFER:
      return take_numbered (self, link, frame, TANDEM_RECEIVED_BUFFER, error);
    case TANDEM_FRAME_EOS:
      return take_numbered (self, link, frame, TANDEM_RECEIVED_EOS, error);
    case TANDEM_FRAME_EVENT:
      return take_event (self, link, frame, error);
    case TANDEM_FRAME_ERROR:
      {
        gboolean delivered, trained = FALSE;

        told = tandem_frame_parse_error (frame);
        g_mutex_lock (&self->lock);
        delivered = self->stream != NULL && self->stream->delivered;
        if (self->link == link)
          trained = tandem_receiver_lose_training_locked (self, tandem_link_get_peer (link), told,
                                                          TRUE);
        if (trained)
          g_propagate_error (end, g_error_copy (self->lost));
        g_mutex_unlock (&self->lock);
        tandem_receiver_drop_stream (self, link, NULL);
        if (delivered && !trained)
          g_set_error (end, TANDEM_NET_ERROR, told->code, _("The client at %s gave up: %s"),
                       tandem_link_get_peer (link), told->message);
        return TRUE;
      }
    default:
      g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                   _("a sender does not send frames of type %u here"), frame->type);
      return FALSE;
  }
}

static void
wake_waiter (GCancellable *cancellable, gpointer data)
{
  TandemReceiver *self = data;

  g_mutex_lock (&self->lock);
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
}

typedef struct
{
  TandemLink *link;
  TandemReceiverStream *stream;         /* of the link, or given up */
  gint64 deadline;                      /* monotonic, when to look again */
} Found;

/* Whether there is a connection to read from, or a reason to look no further. */
static gboolean
look_for_link_locked (TandemReceiver *self, GCancellable *cancellable, Found *found,
                      GError **error)
{
  g_autofree char *number = NULL;

  found->deadline = G_MAXINT64;
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return TRUE;
  if (self->refusal != NULL) {
    g_propagate_error (error, g_steal_pointer (&self->refusal));
    return TRUE;
  }
  if (self->stream == NULL || self->stream->eos)
    return FALSE;
  if (self->link != NULL) {
    found->link = tandem_link_ref (self->link);
    found->stream = tandem_receiver_stream_ref (self->stream);
    return TRUE;
  }
  if (self->options.timeout > 0)
    found->deadline = self->away_since + (gint64) self->options.timeout * 1000;
  if (g_get_monotonic_time () < found->deadline)
    return FALSE;
  number = tandem_net_number_to_string (self->stream->received);
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
               _("The client vanished in mid-stream after %s micro-batches and did not come back "
                 "within %u ms."), number, self->options.timeout);
  found->stream = g_steal_pointer (&self->stream);
  return TRUE;
}

/* Waits for a connection to read from; NULL: see the error. */
static TandemLink *
wait_for_link (TandemReceiver *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemReceiverStream) stream = NULL;
  Found found = { NULL, NULL, 0 };
  gboolean decided;

  g_mutex_lock (&self->lock);
  decided = look_for_link_locked (self, cancellable, &found, error);
  g_mutex_unlock (&self->lock);
  if (!decided) {
    gulong handler = cancellable != NULL
        ? g_cancellable_connect (cancellable, G_CALLBACK (wake_waiter), self, NULL) : 0;

    g_mutex_lock (&self->lock);
    while (!look_for_link_locked (self, cancellable, &found, error)) {
      if (found.deadline == G_MAXINT64)
        g_cond_wait (&self->cond, &self->lock);
      else
        g_cond_wait_until (&self->cond, &self->lock, found.deadline);
    }
    g_mutex_unlock (&self->lock);
    g_cancellable_disconnect (cancellable, handler);
  }
  stream = found.stream;
  if (found.link != NULL && stream != self->reading) {
    g_clear_pointer (&self->reading, tandem_receiver_stream_unref);
    self->reading = g_steal_pointer (&stream);
    self->has_next_info = self->has_next_segment = FALSE;
  }
  return found.link;
}

static gboolean
same_labels (char **a, char **b)
{
  if (a == NULL || b == NULL)
    return a == b;
  return g_strv_equal ((const char *const *) a, (const char *const *) b);
}

/* What has to be announced before the held thing, if anything. */
static TandemReceived
announce (TandemReceiver *self)
{
  if (self->known != self->reading) {
    g_clear_pointer (&self->known, tandem_receiver_stream_unref);
    self->known = tandem_receiver_stream_ref (self->reading);
    self->has_info = self->has_segment = FALSE;
    return TANDEM_RECEIVED_STREAM;
  }
  if (self->has_next_info &&
      (!self->has_info || !tandem_stream_info_is_equal (&self->info, &self->next_info) ||
       !same_labels (self->info.labels, self->next_info.labels))) {
    copy_info (&self->info, &self->next_info);
    self->has_info = TRUE;
    return TANDEM_RECEIVED_CAPS;
  }
  if (self->has_next_segment &&
      (!self->has_segment || !gst_segment_is_equal (&self->segment, &self->next_segment))) {
    self->segment = self->next_segment;
    self->has_segment = TRUE;
    return TANDEM_RECEIVED_SEGMENT;
  }
  return TANDEM_RECEIVED_ERROR;
}

static TandemReceived
release_held (TandemReceiver *self, GstBuffer **buffer)
{
  TandemReceived what = self->held;

  *buffer = g_steal_pointer (&self->held_buffer);
  self->held = TANDEM_RECEIVED_ERROR;
  /* A flush takes the segment with it. */
  if (what == TANDEM_RECEIVED_FLUSH)
    self->has_segment = FALSE;
  return what;
}

/**
 * tandem_receiver_receive: (skip)
 * @receiver: a receiver that accepts
 * @buffer: (out) (optional): the micro-batch, for %TANDEM_RECEIVED_BUFFER
 * @cancellable: (nullable): ends the wait
 * @error: return location for a #TandemNetError or %G_IO_ERROR_CANCELLED
 *
 * Waits for the next thing that the sender of the stream says. Always called by
 * the same thread.
 *
 * Returns: what came
 */
TandemReceived
tandem_receiver_receive (TandemReceiver *receiver, GstBuffer **buffer, GCancellable *cancellable,
                         GError **error)
{
  TandemReceiver *self = receiver;
  gint64 stall = self->options.timeout > 0 ? (gint64) self->options.timeout * 1000 : -1;

  for (;;) {
    g_autoptr (TandemLink) link = NULL;
    g_autoptr (GError) reason = NULL;
    g_autoptr (GError) end = NULL;
    const TandemFrame *frame;

    if (self->held != TANDEM_RECEIVED_ERROR) {
      TandemReceived first = announce (self);

      return first != TANDEM_RECEIVED_ERROR ? first : release_held (self, buffer);
    }

    link = wait_for_link (self, cancellable, &reason);
    if (link == NULL) {
      gboolean cancelled = g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CANCELLED);

      g_propagate_error (error, g_steal_pointer (&reason));
      return cancelled ? TANDEM_RECEIVED_ERROR : give_up (self);
    }

    switch (tandem_link_read (link, &frame, &reason)) {
      case TANDEM_LINK_FRAME:
        if (!handle_frame (self, link, frame, &end, &reason))
          tandem_receiver_lose_link (self, link, reason, &end);
        break;
      case TANDEM_LINK_AGAIN:
        if (tandem_link_wait (link, G_IO_IN, tandem_link_is_idle (link) ? -1 : stall, cancellable,
                              &reason))
          break;
        if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
          g_propagate_error (error, g_steal_pointer (&reason));
          return TANDEM_RECEIVED_ERROR;
        }
        tandem_receiver_lose_link (self, link, reason, &end);
        break;
      case TANDEM_LINK_CLOSED:
        reason = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
                              "%s closed the connection", tandem_link_get_peer (link));
        tandem_receiver_lose_link (self, link, reason, &end);
        break;
      case TANDEM_LINK_BROKEN:
        tandem_receiver_lose_link (self, link, reason, &end);
        break;
    }
    if (end != NULL) {
      g_propagate_error (error, g_steal_pointer (&end));
      return give_up (self);
    }
  }
}
