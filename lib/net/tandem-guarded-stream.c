/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-guarded-stream.h"

#include <string.h>

#include "net/tandem-net-error.h"

/* A record of TLS (RFC 8446, 5.1): type, two bytes of version, length. */
#define RECORD_HEADER 5
#define RECORD_HANDSHAKE 22
#define RECORD_MAX 16384
#define MAGIC "TNDM"

/* One thread at a time in each direction, as TLS has it; the handshake is one for both. */
struct _TandemGuardedStream
{
  GIOStream parent;

  GSocket *socket;              /* not blocking */
  GInputStream *input;
  GOutputStream *output;
  guint64 max_bytes;            /* 0: any number */

  /* whoever does the handshake, then nobody any more */
  gint64 deadline;              /* monotonic; 0: none */
  gboolean trusted;
  guint64 n_received;
  GByteArray *ahead;            /* (nullable): was looked at and goes to TLS first */
  gsize ahead_done;
  guint8 first[RECORD_HEADER];
  gsize n_first;
};

#define TANDEM_TYPE_GUARDED_INPUT (tandem_guarded_input_get_type ())
G_DECLARE_FINAL_TYPE (TandemGuardedInput, tandem_guarded_input, TANDEM, GUARDED_INPUT,
                      GInputStream)
#define TANDEM_TYPE_GUARDED_OUTPUT (tandem_guarded_output_get_type ())
G_DECLARE_FINAL_TYPE (TandemGuardedOutput, tandem_guarded_output, TANDEM, GUARDED_OUTPUT,
                      GOutputStream)

/* Both belong to the stream, which outlives them. */
struct _TandemGuardedInput
{
  GInputStream parent;
  TandemGuardedStream *stream;
};

struct _TandemGuardedOutput
{
  GOutputStream parent;
  TandemGuardedStream *stream;
};

static void tandem_guarded_input_pollable_init (GPollableInputStreamInterface *iface);
static void tandem_guarded_output_pollable_init (GPollableOutputStreamInterface *iface);

G_DEFINE_FINAL_TYPE (TandemGuardedStream, tandem_guarded_stream, G_TYPE_IO_STREAM)
G_DEFINE_FINAL_TYPE_WITH_CODE (TandemGuardedInput, tandem_guarded_input, G_TYPE_INPUT_STREAM,
    G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_INPUT_STREAM, tandem_guarded_input_pollable_init))
G_DEFINE_FINAL_TYPE_WITH_CODE (TandemGuardedOutput, tandem_guarded_output, G_TYPE_OUTPUT_STREAM,
    G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_OUTPUT_STREAM, tandem_guarded_output_pollable_init))

/* --- bytes --- */

static void
remember_first (TandemGuardedStream *self, const guint8 *data, gsize size)
{
  gsize n = MIN (size, sizeof self->first - self->n_first);

  memcpy (self->first + self->n_first, data, n);
  self->n_first += n;
}

static gssize
receive (TandemGuardedStream *self, void *buffer, gsize size, GError **error)
{
  gssize n;

  if (!self->trusted && self->max_bytes > 0) {
    if (self->n_received >= self->max_bytes) {
      g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
                   "more than %" G_GUINT64_FORMAT " bytes came before the peer had shown its key",
                   self->max_bytes);
      return -1;
    }
    size = MIN (size, self->max_bytes - self->n_received);
  }
  n = g_socket_receive_with_blocking (self->socket, buffer, size, FALSE, NULL, error);
  if (n > 0 && !self->trusted) {
    self->n_received += n;
    remember_first (self, buffer, n);
  }
  return n;
}

static gssize
read_now (TandemGuardedStream *self, void *buffer, gsize size, GError **error)
{
  if (self->ahead != NULL) {
    gsize n = MIN (size, self->ahead->len - self->ahead_done);

    memcpy (buffer, self->ahead->data + self->ahead_done, n);
    self->ahead_done += n;
    if (self->ahead_done == self->ahead->len)
      g_clear_pointer (&self->ahead, g_byte_array_unref);
    return n;
  }
  return receive (self, buffer, size, error);
}

static gboolean
wait_for (TandemGuardedStream *self, GIOCondition condition, GCancellable *cancellable,
          GError **error)
{
  gint64 left = -1;

  if (self->deadline > 0)
    left = MAX (self->deadline - g_get_monotonic_time (), 0);
  return g_socket_condition_timed_wait (self->socket, condition, left, cancellable, error);
}

/* --- the two directions --- */

static gssize
tandem_guarded_input_read (GInputStream *stream, void *buffer, gsize size,
                           GCancellable *cancellable, GError **error)
{
  TandemGuardedStream *self = TANDEM_GUARDED_INPUT (stream)->stream;

  for (;;) {
    g_autoptr (GError) local = NULL;
    gssize n = read_now (self, buffer, size, &local);

    if (n < 0 && g_error_matches (local, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
      if (wait_for (self, G_IO_IN, cancellable, error))
        continue;
      return -1;
    }
    if (n < 0)
      g_propagate_error (error, g_steal_pointer (&local));
    return n;
  }
}

static gssize
tandem_guarded_input_read_nonblocking (GPollableInputStream *stream, void *buffer, gsize size,
                                       GError **error)
{
  return read_now (TANDEM_GUARDED_INPUT (stream)->stream, buffer, size, error);
}

static gboolean
tandem_guarded_input_is_readable (GPollableInputStream *stream)
{
  TandemGuardedStream *self = TANDEM_GUARDED_INPUT (stream)->stream;

  return self->ahead != NULL || g_socket_condition_check (self->socket, G_IO_IN) != 0;
}

static GSource *
make_source (GObject *stream, GSocket *socket, GIOCondition condition, GCancellable *cancellable)
{
  g_autoptr (GSource) ready = g_socket_create_source (socket, condition, cancellable);

  g_source_set_dummy_callback (ready);
  return g_pollable_source_new_full (stream, ready, NULL);
}

static GSource *
tandem_guarded_input_create_source (GPollableInputStream *stream, GCancellable *cancellable)
{
  return make_source (G_OBJECT (stream), TANDEM_GUARDED_INPUT (stream)->stream->socket, G_IO_IN,
                      cancellable);
}

static gssize
tandem_guarded_output_write (GOutputStream *stream, const void *buffer, gsize size,
                             GCancellable *cancellable, GError **error)
{
  TandemGuardedStream *self = TANDEM_GUARDED_OUTPUT (stream)->stream;

  for (;;) {
    g_autoptr (GError) local = NULL;
    gssize n = g_socket_send_with_blocking (self->socket, buffer, size, FALSE, NULL, &local);

    if (n < 0 && g_error_matches (local, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
      if (wait_for (self, G_IO_OUT, cancellable, error))
        continue;
      return -1;
    }
    if (n < 0)
      g_propagate_error (error, g_steal_pointer (&local));
    return n;
  }
}

static gssize
tandem_guarded_output_write_nonblocking (GPollableOutputStream *stream, const void *buffer,
                                         gsize size, GError **error)
{
  return g_socket_send_with_blocking (TANDEM_GUARDED_OUTPUT (stream)->stream->socket, buffer, size,
                                      FALSE, NULL, error);
}

static gboolean
tandem_guarded_output_is_writable (GPollableOutputStream *stream)
{
  return g_socket_condition_check (TANDEM_GUARDED_OUTPUT (stream)->stream->socket, G_IO_OUT) != 0;
}

static GSource *
tandem_guarded_output_create_source (GPollableOutputStream *stream, GCancellable *cancellable)
{
  return make_source (G_OBJECT (stream), TANDEM_GUARDED_OUTPUT (stream)->stream->socket, G_IO_OUT,
                      cancellable);
}

static void
tandem_guarded_input_pollable_init (GPollableInputStreamInterface *iface)
{
  iface->is_readable = tandem_guarded_input_is_readable;
  iface->create_source = tandem_guarded_input_create_source;
  iface->read_nonblocking = tandem_guarded_input_read_nonblocking;
}

static void
tandem_guarded_output_pollable_init (GPollableOutputStreamInterface *iface)
{
  iface->is_writable = tandem_guarded_output_is_writable;
  iface->create_source = tandem_guarded_output_create_source;
  iface->write_nonblocking = tandem_guarded_output_write_nonblocking;
}

static void
tandem_guarded_input_class_init (TandemGuardedInputClass *klass)
{
  G_INPUT_STREAM_CLASS (klass)->read_fn = tandem_guarded_input_read;
}

static void
tandem_guarded_input_init (TandemGuardedInput *self)
{
}

static void
tandem_guarded_output_class_init (TandemGuardedOutputClass *klass)
{
  G_OUTPUT_STREAM_CLASS (klass)->write_fn = tandem_guarded_output_write;
}

static void
tandem_guarded_output_init (TandemGuardedOutput *self)
{
}

/* --- the stream --- */

static GInputStream *
tandem_guarded_stream_get_input_stream (GIOStream *stream)
{
  return TANDEM_GUARDED_STREAM (stream)->input;
}

static GOutputStream *
tandem_guarded_stream_get_output_stream (GIOStream *stream)
{
  return TANDEM_GUARDED_STREAM (stream)->output;
}

static void
tandem_guarded_stream_finalize (GObject *object)
{
  TandemGuardedStream *self = TANDEM_GUARDED_STREAM (object);

  g_clear_object (&self->input);
  g_clear_object (&self->output);
  g_clear_pointer (&self->ahead, g_byte_array_unref);
  g_clear_object (&self->socket);
  G_OBJECT_CLASS (tandem_guarded_stream_parent_class)->finalize (object);
}

static void
tandem_guarded_stream_class_init (TandemGuardedStreamClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_guarded_stream_finalize;
  G_IO_STREAM_CLASS (klass)->get_input_stream = tandem_guarded_stream_get_input_stream;
  G_IO_STREAM_CLASS (klass)->get_output_stream = tandem_guarded_stream_get_output_stream;
}

static void
tandem_guarded_stream_init (TandemGuardedStream *self)
{
}

/**
 * tandem_guarded_stream_new: (skip)
 * @socket: a connected socket; whoever else has it closes it
 * @max_bytes: how many bytes are read before tandem_guarded_stream_trust(); 0: any number
 *
 * Returns: (transfer full): the stream
 */
TandemGuardedStream *
tandem_guarded_stream_new (GSocket *socket, guint64 max_bytes)
{
  TandemGuardedStream *self = g_object_new (TANDEM_TYPE_GUARDED_STREAM, NULL);

  self->socket = g_object_ref (socket);
  self->max_bytes = max_bytes;
  self->input = g_object_new (TANDEM_TYPE_GUARDED_INPUT, NULL);
  TANDEM_GUARDED_INPUT (self->input)->stream = self;
  self->output = g_object_new (TANDEM_TYPE_GUARDED_OUTPUT, NULL);
  TANDEM_GUARDED_OUTPUT (self->output)->stream = self;
  return self;
}

/* When blocking calls give up with %G_IO_ERROR_TIMED_OUT, in monotonic microseconds. */
void
tandem_guarded_stream_set_deadline (TandemGuardedStream *self, gint64 deadline)
{
  self->deadline = deadline;
}

/* The peer is authenticated: neither bytes nor time are limited any more. */
void
tandem_guarded_stream_trust (TandemGuardedStream *self)
{
  self->trusted = TRUE;
  self->deadline = 0;
}

/* Whether the limit of bytes ended the handshake. */
gboolean
tandem_guarded_stream_is_exhausted (TandemGuardedStream *self)
{
  return !self->trusted && self->max_bytes > 0 && self->n_received >= self->max_bytes;
}

static gsize
record_size (TandemGuardedStream *self)
{
  return RECORD_HEADER + (self->first[3] << 8 | self->first[4]);
}

/* What is known of the first bytes without reading any. */
TandemFirstBytes
tandem_guarded_stream_get_first (TandemGuardedStream *self)
{
  const guint8 *first = self->first;

  if (self->n_first == 0)
    return TANDEM_FIRST_BYTES_MORE;
  if (memcmp (first, MAGIC, MIN (self->n_first, strlen (MAGIC))) == 0)
    return self->n_first < strlen (MAGIC) ? TANDEM_FIRST_BYTES_MORE : TANDEM_FIRST_BYTES_FRAME;
  if (first[0] != RECORD_HANDSHAKE || (self->n_first > 1 && first[1] != 3))
    return TANDEM_FIRST_BYTES_OTHER;
  if (self->n_first < RECORD_HEADER)
    return TANDEM_FIRST_BYTES_MORE;
  if (record_size (self) > RECORD_HEADER + RECORD_MAX)
    return TANDEM_FIRST_BYTES_OTHER;
  return self->n_received < record_size (self) ? TANDEM_FIRST_BYTES_MORE : TANDEM_FIRST_BYTES_TLS;
}

/**
 * tandem_guarded_stream_look: (skip)
 * @self: a stream that TLS did not read from yet
 *
 * Reads what is there, up to the end of the first record; TLS gets it later.
 *
 * Returns: what it is
 */
TandemFirstBytes
tandem_guarded_stream_look (TandemGuardedStream *self)
{
  TandemFirstBytes what;

  if (self->ahead == NULL)
    self->ahead = g_byte_array_new ();
  while ((what = tandem_guarded_stream_get_first (self)) == TANDEM_FIRST_BYTES_MORE) {
    gsize have = self->ahead->len;
    gsize want = have < RECORD_HEADER ? RECORD_HEADER : record_size (self);
    g_autoptr (GError) error = NULL;
    gssize n;

    g_byte_array_set_size (self->ahead, want);
    n = receive (self, self->ahead->data + have, want - have, &error);
    g_byte_array_set_size (self->ahead, have + MAX (n, 0));
    if (n < 0 && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
      return TANDEM_FIRST_BYTES_MORE;
    if (n <= 0)
      return TANDEM_FIRST_BYTES_OTHER;
  }
  return what;
}
