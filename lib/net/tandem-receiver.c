/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-receiver-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "net/tandem-acceptance.h"
#include "stream/tandem-batch-meta.h"

#define GST_CAT_DEFAULT tandem_net_debug

/* A peer that sends and does not read its acknowledgements is not worth more memory. */
#define MAX_OUT (1024 * 1024)
#define LINGER_US G_USEC_PER_SEC
#define POLITE_US (G_USEC_PER_SEC / 2)
/* A sender reads at any time: one that does not take our keep-alives for so long is gone. */
#define USER_TIMEOUT_MS 20000

G_DEFINE_FINAL_TYPE (TandemReceiver, tandem_receiver, G_TYPE_OBJECT)

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

void
tandem_receiver_flush_out_locked (TandemReceiver *self)
{
  g_autoptr (GError) error = NULL;
  GOutputVector vector = { self->out->data, self->out->len };
  gsize written;

  if (self->link == NULL || self->out->len == 0 ||
      (self->out_source != NULL && self->out->len <= MAX_OUT))
    return;
  if (self->out->len > MAX_OUT ||
      !tandem_link_write (self->link, &vector, 1, &written, &error)) {
    /* Whoever reads finds the end. */
    GST_WARNING ("%s", error != NULL ? error->message : "the peer does not read");
    g_byte_array_set_size (self->out, 0);
    tandem_link_shutdown (self->link);
    return;
  }
  if (written > 0) {
    g_byte_array_remove_range (self->out, 0, written);
    self->wrote = g_get_monotonic_time ();
  }
  if (self->out->len > 0) {
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
  TandemHello answer = { .role = TANDEM_ROLE_RECEIVER };

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

/* --- receiving --- */

/* What becomes of a stream that cannot go on: the pipeline's end, or only the stream's. */
static TandemReceived
give_up (TandemReceiver *self)
{
  return self->options.keep_listening ? TANDEM_RECEIVED_ABANDONED : TANDEM_RECEIVED_ERROR;
}

/* The end of one connection; its stream may go on over another one. */
static void
lose_link (TandemReceiver *self, TandemLink *link, const GError *reason)
{
  g_autoptr (TandemReceiverStream) forgotten = NULL;
  g_autoptr (TandemLink) stolen = NULL;

  GST_WARNING ("connection of %s lost: %s", tandem_link_get_peer (link), reason->message);
  g_mutex_lock (&self->lock);
  if (self->link == link) {
    if (reason->domain == TANDEM_NET_ERROR && reason->code < 100) {
      tandem_frame_append_error (self->out, reason->code, reason->message);
      tandem_receiver_flush_out_locked (self);
    }
    stolen = tandem_receiver_steal_link_locked (self);
    if (!self->stream->delivered)
      forgotten = g_steal_pointer (&self->stream);
  }
  g_mutex_unlock (&self->lock);
  if (stolen != NULL)
    tandem_link_close_politely (stolen, reason->code < 100 ? POLITE_US : 0);
}

/* The end of the stream itself, because one side refuses to go on; nothing happens when `link`
 * is given and no longer the one that is served. */
static void
drop_stream (TandemReceiver *self, TandemLink *link, const GError *reason)
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

static void
hold (TandemReceiver *self, TandemReceived what, GstBuffer *buffer)
{
  self->held = what;
  gst_clear_buffer (&self->held_buffer);
  self->held_buffer = buffer;
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
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                 _("after frame %" G_GUINT64_FORMAT " comes %" G_GUINT64_FORMAT ", not %"
                   G_GUINT64_FORMAT), stream->received, stream->received + 1, sequence);
    return FALSE;
  }
  return TRUE;
}

static gboolean
take_numbered (TandemReceiver *self, TandemLink *link, const TandemFrame *frame,
               TandemReceived what, GError **error)
{
  g_autoptr (GstBuffer) buffer = NULL;
  g_autoptr (TandemReceiverStream) stream = NULL;
  gboolean duplicate = FALSE, ok = TRUE;
  guint64 sequence = frame->sequence;
  gsize bytes = frame->payload_size;

  if (frame->type == TANDEM_FRAME_BUFFER)
    buffer = tandem_link_take_buffer (link);
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
    } else {
      tandem_receiver_ack_locked (self, sequence, TANDEM_ACK_CONSUMED);
      tandem_receiver_flush_out_locked (self);
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
    hold (self, what, g_steal_pointer (&buffer));
  return TRUE;
}

static gboolean
take_event (TandemReceiver *self, TandemLink *link, const TandemFrame *frame, GError **error)
{
  guint kind;

  if (!tandem_frame_parse_event (frame, &kind, error))
    return FALSE;
  if (frame->sequence == 0)
    return TRUE;
  return take_numbered (self, link, frame,
                        kind == TANDEM_FRAME_EVENT_FLUSH ? TANDEM_RECEIVED_FLUSH
                                                         : TANDEM_RECEIVED_ERROR, error);
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
      drop_stream (self, link, told);
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
        gboolean delivered;

        told = tandem_frame_parse_error (frame);
        g_mutex_lock (&self->lock);
        delivered = self->stream != NULL && self->stream->delivered;
        g_mutex_unlock (&self->lock);
        drop_stream (self, link, NULL);
        if (delivered)
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
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
               _("The client vanished in mid-stream after %" G_GUINT64_FORMAT
                 " micro-batches and did not come back within %u ms."),
               self->stream->received, self->options.timeout);
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
          lose_link (self, link, reason);
        if (end != NULL) {
          g_propagate_error (error, g_steal_pointer (&end));
          return give_up (self);
        }
        break;
      case TANDEM_LINK_AGAIN:
        if (tandem_link_wait (link, G_IO_IN, tandem_link_is_idle (link) ? -1 : stall, cancellable,
                              &reason))
          break;
        if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
          g_propagate_error (error, g_steal_pointer (&reason));
          return TANDEM_RECEIVED_ERROR;
        }
        lose_link (self, link, reason);
        break;
      case TANDEM_LINK_CLOSED:
        reason = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
                              "%s closed the connection", tandem_link_get_peer (link));
        lose_link (self, link, reason);
        break;
      case TANDEM_LINK_BROKEN:
        lose_link (self, link, reason);
        break;
    }
  }
}

/* --- public --- */

static void
tandem_receiver_finalize (GObject *object)
{
  TandemReceiver *self = TANDEM_RECEIVER (object);

  g_assert (self->thread == NULL);
  tandem_stream_info_clear (&self->info);
  tandem_stream_info_clear (&self->next_info);
  gst_clear_buffer (&self->held_buffer);
  gst_clear_caps (&self->accepted);
  g_clear_object (&self->listener);
  g_clear_error (&self->refusal);
  g_byte_array_unref (self->out);
  g_main_context_unref (self->context);
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
  return self;
}

static GInetAddress *
find_address (const char *name, GError **error)
{
  GInetAddress *address = g_inet_address_new_from_string (name);
  g_autoptr (GResolver) resolver = NULL;
  GList *found;

  if (address != NULL)
    return address;
  resolver = g_resolver_get_default ();
  found = g_resolver_lookup_by_name (resolver, name, NULL, error);
  if (found == NULL)
    return NULL;
  address = g_object_ref (found->data);
  g_resolver_free_addresses (found);
  return address;
}

/**
 * tandem_receiver_listen:
 * @receiver: a new receiver
 * @error: return location for %TANDEM_NET_ERROR_INSECURE, or an error of
 *   #GIOErrorEnum or #GResolverError
 *
 * Opens the port. Nobody is answered before tandem_receiver_accept().
 *
 * Returns: whether the port is open
 */
gboolean
tandem_receiver_listen (TandemReceiver *receiver, GError **error)
{
  TandemReceiver *self = receiver;
  g_autoptr (GInetAddress) address = find_address (self->address, error);
  g_autoptr (GSocketAddress) wanted = NULL;
  g_autoptr (GSocketAddress) bound = NULL;
  g_autoptr (GSocket) socket = NULL;

  if (address == NULL)
    return FALSE;
  if (!g_inet_address_get_is_loopback (address) && !self->options.insecure) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_INSECURE,
                 _("%s can be reached by other machines and nothing protects the connection. "
                   "Listen on 127.0.0.1, or set insecure=true on a network whose every machine "
                   "you trust."), self->address);
    return FALSE;
  }
  socket = g_socket_new (g_inet_address_get_family (address), G_SOCKET_TYPE_STREAM,
                         G_SOCKET_PROTOCOL_TCP, error);
  if (socket == NULL)
    return FALSE;
  wanted = g_inet_socket_address_new (address, self->options.port);
  g_socket_set_blocking (socket, FALSE);
  g_socket_set_listen_backlog (socket, self->options.max_pending);
  if (!g_socket_bind (socket, wanted, TRUE, error) || !g_socket_listen (socket, error) ||
      (bound = g_socket_get_local_address (socket, error)) == NULL)
    return FALSE;
  self->port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound));
  self->listener = g_steal_pointer (&socket);
  return TRUE;
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
 * tandem_receiver_refuse: (skip)
 * @receiver: a receiver; streaming thread only
 * @reason: a #TandemNetError that the sender is told
 *
 * Ends the stream that is served.
 */
void
tandem_receiver_refuse (TandemReceiver *receiver, const GError *reason)
{
  drop_stream (receiver, NULL, reason);
  hold (receiver, TANDEM_RECEIVED_ERROR, NULL);
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
  if (self->thread != NULL)
    linger_locked (self);
  g_mutex_unlock (&self->lock);
  tandem_receiver_service_stop (self);

  if (self->stream != NULL && !tandem_receiver_stream_is_over (self->stream))
    reason = g_error_new_literal (TANDEM_NET_ERROR, TANDEM_NET_ERROR_STOPPED,
                                  _("the receiving pipeline was stopped in mid-stream"));
  drop_stream (self, NULL, reason);
  hold (self, TANDEM_RECEIVED_ERROR, NULL);
  g_clear_pointer (&self->known, tandem_receiver_stream_unref);
  g_clear_pointer (&self->reading, tandem_receiver_stream_unref);
  g_clear_object (&self->listener);
}
