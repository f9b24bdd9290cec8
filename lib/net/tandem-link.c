/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define _GNU_SOURCE

#include "config.h"

#include "tandem-link-private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

GST_DEBUG_CATEGORY (tandem_net_debug);

/* Linux tells of a peer's end before everything that came earlier was read. */
#ifndef POLLRDHUP
#define POLLRDHUP POLLHUP
#endif

/* A neighbour that vanished without a word is noticed within half a minute. */
#define KEEPALIVE_IDLE 10
#define KEEPALIVE_INTERVAL 5
#define KEEPALIVE_COUNT 4

void
tandem_net_init_debug (void)
{
  static gsize once = 0;

  if (g_once_init_enter (&once)) {
    GST_DEBUG_CATEGORY_INIT (tandem_net_debug, "tandemnet", 0, "Tandem's network connections");
    g_once_init_leave (&once, 1);
  }
}

static char *
describe_peer (GSocketConnection *connection)
{
  g_autoptr (GSocketAddress) address = g_socket_connection_get_remote_address (connection, NULL);
  char *text;

  if (!G_IS_INET_SOCKET_ADDRESS (address))
    return g_strdup ("?");
  text = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (address));
  return text;
}

/**
 * tandem_link_new: (skip)
 * @connection: an open connection
 * @limits: what is taken until HELLO negotiated more
 *
 * Returns: (transfer full): a link that owns a reference to @connection
 */
TandemLink *
tandem_link_new (GSocketConnection *connection, const TandemFrameLimits *limits)
{
  TandemLink *self = g_new0 (TandemLink, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->connection = g_object_ref (connection);
  self->socket = g_socket_connection_get_socket (connection);
  self->input = G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (G_IO_STREAM (connection)));
  self->output =
      G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (G_IO_STREAM (connection)));
  self->peer = describe_peer (connection);
  self->decoder = tandem_frame_decoder_new (limits);
  self->rows = tandem_row_pool_new ();

  g_socket_set_timeout (self->socket, 0);
  g_socket_set_keepalive (self->socket, TRUE);
  g_socket_set_option (self->socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL);
#ifdef TCP_KEEPIDLE
  g_socket_set_option (self->socket, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE, NULL);
  g_socket_set_option (self->socket, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL, NULL);
  g_socket_set_option (self->socket, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT, NULL);
#endif
  return self;
}

TandemLink *
tandem_link_ref (TandemLink *link)
{
  g_atomic_ref_count_inc (&link->ref_count);
  return link;
}

static void
drop_incoming (TandemLink *self)
{
  if (self->memory != NULL) {
    gst_memory_unmap (self->memory, &self->map);
    g_clear_pointer (&self->memory, gst_memory_unref);
  }
  gst_clear_buffer (&self->buffer);
}

void
tandem_link_unref (TandemLink *link)
{
  if (!g_atomic_ref_count_dec (&link->ref_count))
    return;
  drop_incoming (link);
  tandem_row_pool_free (link->rows);
  g_clear_error (&link->refusal);
  tandem_stream_info_clear (&link->stream);
  tandem_frame_decoder_free (link->decoder);
  /* Before TLS goes, which would like to say goodbye and wait for it. */
  g_io_stream_close (G_IO_STREAM (link->connection), NULL, NULL);
  g_clear_object (&link->tls);
  g_clear_object (&link->guarded);
  g_clear_object (&link->key);
  g_clear_error (&link->reason);
  g_free (link->record);
  g_object_unref (link->connection);
  g_free (link->peer);
  g_free (link);
}

const char *
tandem_link_get_peer (TandemLink *link)
{
  return link->peer;
}

GSocket *
tandem_link_get_socket (TandemLink *link)
{
  return link->socket;
}

gboolean
tandem_link_is_idle (TandemLink *link)
{
  return tandem_frame_decoder_is_idle (link->decoder) && link->staged_from == link->staged_to;
}

void
tandem_link_set_limits (TandemLink *link, const TandemFrameLimits *limits)
{
  tandem_frame_decoder_set_limits (link->decoder, limits);
}

void
tandem_link_set_stream (TandemLink *link, const TandemStreamInfo *info)
{
  char **labels = g_strdupv (info->labels);

  tandem_stream_info_clear (&link->stream);
  link->stream = *info;
  link->stream.labels = labels;
  link->has_stream = TRUE;
}

/**
 * tandem_link_set_gradient_func: (skip)
 * @link: a link; reader only
 * @func: whether the rows of a gradient are wanted
 * @user_data: for @func
 *
 * Without it the rows of gradients are read past.
 */
void
tandem_link_set_gradient_func (TandemLink *link, TandemLinkGradientFunc func, gpointer user_data)
{
  link->gradient_func = func;
  link->gradient_data = user_data;
}

/**
 * tandem_link_get_n_read: (skip)
 * @link: a link; reader only
 *
 * Returns: how many bytes came so far
 */
guint64
tandem_link_get_n_read (TandemLink *link)
{
  return link->n_read;
}

static gboolean
prepare_buffer (TandemLink *self, const TandemFrame *frame, GError **error)
{
  if (!self->has_stream) {
    g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                         "a BUFFER frame came before CAPS");
    return FALSE;
  }
  self->buffer = tandem_frame_parse_buffer (
      frame, &self->stream, tandem_frame_decoder_get_limits (self->decoder), error);
  return self->buffer != NULL;
}

static gboolean
prepare_gradient (TandemLink *self, const TandemFrame *frame, GError **error)
{
  if (self->gradient_func == NULL || !self->gradient_func (frame, self->gradient_data, error))
    return FALSE;
  self->buffer = gst_buffer_new ();
  return TRUE;
}

/* What the header says was checked by now: only then memory is taken. */
static gboolean
prepare_payload (TandemLink *self, GError **error)
{
  const TandemFrame *frame = tandem_frame_decoder_get_frame (self->decoder);

  drop_incoming (self);
  if (!(frame->type == TANDEM_FRAME_BUFFER ? prepare_buffer (self, frame, error)
                                           : prepare_gradient (self, frame, error)))
    return FALSE;
  self->memory = tandem_row_pool_take (self->rows, frame->payload_size);
  if (self->memory == NULL || !gst_memory_map (self->memory, &self->map, GST_MAP_WRITE)) {
    g_clear_pointer (&self->memory, gst_memory_unref);
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FAILED,
                 "no memory for a micro-batch of %u bytes", frame->payload_size);
    return FALSE;
  }
  tandem_frame_decoder_set_payload (self->decoder, self->map.data);
  return TRUE;
}

static TandemDecodeStatus
advance (TandemLink *self, gsize size, GError **error)
{
  TandemDecodeStatus status = tandem_frame_decoder_advance (self->decoder, size, error);

  if (status == TANDEM_DECODE_PAYLOAD) {
    /* Whether the table lies or was spoiled on the way is known when the checksum is: until then
     * the payload goes nowhere. */
    if (!prepare_payload (self, &self->refusal))
      tandem_frame_decoder_set_payload (self->decoder, NULL);
    return TANDEM_DECODE_MORE;
  }
  return status;
}

/* A frame is complete: the memory of a BUFFER, or of a gradient that is wanted, was written in
 * place. */
static gboolean
finish_payload (TandemLink *self, const TandemFrame *frame, GError **error)
{
  if (self->refusal != NULL) {
    g_propagate_error (error, g_steal_pointer (&self->refusal));
    return FALSE;
  }
  if (self->memory == NULL) {
    if (frame->type != TANDEM_FRAME_BUFFER)
      return TRUE;
    g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                         "a BUFFER frame has no payload");
    return FALSE;
  }
  gst_memory_unmap (self->memory, &self->map);
  gst_buffer_append_memory (self->buffer, g_steal_pointer (&self->memory));
  return TRUE;
}

/**
 * tandem_link_read: (skip)
 * @link: a link; reader only
 * @frame: (out): the frame, until the next read
 * @error: return location, for %TANDEM_LINK_BROKEN
 *
 * Reads what is there, up to one frame. Small frames and headers go through a
 * staging buffer, so that one call to the system brings several; a payload
 * goes where it stays.
 *
 * Returns: how far the link is
 */
TandemLinkStatus
tandem_link_read (TandemLink *link, const TandemFrame **frame, GError **error)
{
  g_autoptr (GError) local = NULL;

  for (;;) {
    TandemDecodeStatus status = TANDEM_DECODE_MORE;
    guint8 *space;
    gsize size;
    gssize n;

    space = tandem_frame_decoder_get_space (link->decoder, &size);
    if (link->staged_from < link->staged_to) {
      size = MIN (size, link->staged_to - link->staged_from);
      memcpy (space, link->staging + link->staged_from, size);
      link->staged_from += size;
      status = advance (link, size, error);
    } else {
      gboolean direct = size >= TANDEM_LINK_STAGING;

      n = g_pollable_input_stream_read_nonblocking (link->input,
                                                    direct ? space : link->staging,
                                                    direct ? size : TANDEM_LINK_STAGING, NULL,
                                                    &local);
      if (n < 0) {
        if (g_error_matches (local, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
          return TANDEM_LINK_AGAIN;
        tandem_link_explain_read_error (link, local, error);
        return TANDEM_LINK_BROKEN;
      }
      if (n == 0) {
        if (tandem_frame_decoder_is_idle (link->decoder))
          return TANDEM_LINK_CLOSED;
        g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
                     "%s closed the connection in the middle of a frame", link->peer);
        return TANDEM_LINK_BROKEN;
      }
      link->n_read += n;
      if (direct) {
        status = advance (link, n, error);
      } else {
        link->staged_from = 0;
        link->staged_to = n;
      }
    }
    if (status == TANDEM_DECODE_ERROR)
      return TANDEM_LINK_BROKEN;
    if (status == TANDEM_DECODE_FRAME) {
      *frame = tandem_frame_decoder_get_frame (link->decoder);
      if ((*frame)->stream != 0) {
        g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                     "a frame is for stream %u of the connection; there is only 0",
                     (*frame)->stream);
        return TANDEM_LINK_BROKEN;
      }
      if (!finish_payload (link, *frame, error))
        return TANDEM_LINK_BROKEN;
      return TANDEM_LINK_FRAME;
    }
  }
}

/**
 * tandem_link_take_buffer: (skip)
 * @link: a link that just read a BUFFER or a gradient; reader only
 *
 * Returns: (transfer full) (nullable): the micro-batch; of a gradient the rows, or
 *   %NULL when there are none or they were not wanted
 */
GstBuffer *
tandem_link_take_buffer (TandemLink *link)
{
  return g_steal_pointer (&link->buffer);
}

/**
 * tandem_link_wait: (skip)
 * @link: a link
 * @condition: what to wait for
 * @timeout_us: microseconds, or -1 to wait as long as it takes
 * @cancellable: (nullable): ends the wait
 * @error: return location for %TANDEM_NET_ERROR_TIMEOUT or %G_IO_ERROR_CANCELLED
 *
 * Returns: whether @condition, or the end of the connection, came
 */
gboolean
tandem_link_wait (TandemLink *link, GIOCondition condition, gint64 timeout_us,
                  GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;

  if (g_socket_condition_timed_wait (link->socket, condition, timeout_us, cancellable, &local))
    return TRUE;
  if (g_error_matches (local, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                 "nothing came from %s for %" G_GINT64_FORMAT " ms", link->peer,
                 timeout_us / 1000);
  else
    g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

/**
 * tandem_link_shutdown: (skip)
 * @link: a link; any thread
 *
 * Ends the connection at once; whoever waits on it wakes up.
 */
void
tandem_link_shutdown (TandemLink *link)
{
  g_socket_shutdown (link->socket, TRUE, TRUE, NULL);
}

/**
 * tandem_link_set_user_timeout: (skip)
 * @link: a link whose peer reads at any time
 * @timeout_ms: milliseconds
 *
 * Breaks the connection when what was written is not taken for so long; the
 * system alone would try for a quarter of an hour.
 */
void
tandem_link_set_user_timeout (TandemLink *link, guint timeout_ms)
{
#ifdef TCP_USER_TIMEOUT
  g_socket_set_option (link->socket, IPPROTO_TCP, TCP_USER_TIMEOUT, timeout_ms, NULL);
#endif
}

/**
 * tandem_link_has_peer_left: (skip)
 * @link: a link; any thread
 *
 * Returns: whether the peer ended its direction, read or not
 */
gboolean
tandem_link_has_peer_left (TandemLink *link)
{
  struct pollfd fd = { g_socket_get_fd (link->socket), POLLRDHUP, 0 };

  return poll (&fd, 1, 0) > 0 && fd.revents != 0;
}

/**
 * tandem_link_drain: (skip)
 * @link: a link that is over; reader only
 *
 * Reads and throws away what is there.
 *
 * Returns: whether the peer ended its direction too
 */
gboolean
tandem_link_drain (TandemLink *link)
{
  for (;;) {
    g_autoptr (GError) error = NULL;
    gssize n = g_pollable_input_stream_read_nonblocking (link->input, link->staging,
                                                         TANDEM_LINK_STAGING, NULL, &error);

    if (n <= 0)
      return !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  }
}

/**
 * tandem_link_close_politely: (skip)
 * @link: a link; the only user
 * @timeout_us: the longest that this may take, in microseconds
 *
 * Ends our direction, then reads and throws away until the peer ends its own:
 * a connection that is closed with unread bytes is reset, and the peer would
 * lose the last thing that we said.
 */
void
tandem_link_close_politely (TandemLink *link, gint64 timeout_us)
{
  gint64 end = g_get_monotonic_time () + timeout_us;

  g_socket_shutdown (link->socket, FALSE, TRUE, NULL);
  while (!tandem_link_drain (link) &&
         tandem_link_wait (link, G_IO_IN, MAX (end - g_get_monotonic_time (), 0), NULL, NULL));
  tandem_link_shutdown (link);
}
