/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The receiver's own thread: it accepts connections, waits for each one's HELLO for a limited
 * time, answers, and writes what the others could not write at once. However many strangers
 * come and whatever they send, each has one small decoder, and there are few of them. */

#include "config.h"

#include "tandem-receiver-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "net/tandem-acceptance.h"
#include "net/tandem-net-private.h"

#define GST_CAT_DEFAULT tandem_net_debug

/* A connection before its HELLO, or one that was refused and reads its refusal. */
typedef struct
{
  TandemReceiver *receiver;
  TandemLink *link;
  GSource *readable, *timeout;
  gboolean refused;
} Client;

static void
client_free (gpointer data)
{
  Client *client = data;

  g_source_destroy (client->readable);
  g_source_unref (client->readable);
  g_source_destroy (client->timeout);
  g_source_unref (client->timeout);
  tandem_link_unref (client->link);
  g_free (client);
}

static gboolean
client_leave (Client *client)
{
  g_ptr_array_remove_fast (client->receiver->pending, client);
  return G_SOURCE_REMOVE;
}

/* The answer is small and the connection new: it fits into the socket's buffer or is not worth
 * waiting for. The client stays for a while to read it. */
static gboolean
client_refuse (Client *client, const GError *reason)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  GOutputVector vector;
  gsize written;

  GST_WARNING ("refused %s: %s", tandem_link_get_peer (client->link), reason->message);
  if (reason->domain != TANDEM_NET_ERROR || reason->code == TANDEM_NET_ERROR_CLOSED ||
      reason->code == TANDEM_NET_ERROR_NOT_TANDEM)
    return client_leave (client);
  tandem_frame_append_error (bytes,
                             reason->code < 100 ? reason->code : TANDEM_NET_ERROR_PROTOCOL,
                             reason->message);
  vector.buffer = bytes->data;
  vector.size = bytes->len;
  tandem_link_write (client->link, &vector, 1, &written, NULL);
  g_socket_shutdown (tandem_link_get_socket (client->link), FALSE, TRUE, NULL);
  client->refused = TRUE;
  return G_SOURCE_CONTINUE;
}

static gboolean
check_hello (TandemReceiver *self, const TandemHello *hello, GError **error)
{
  TandemStreamInfo info;

  if (hello->role != TANDEM_ROLE_SENDER || hello->resume == 0 ||
      hello->resume > TANDEM_FRAME_MAX_SEQUENCE_NUMBER) {
    g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                         _("this device receives; your HELLO is not that of a sender"));
    return FALSE;
  }
  if ((hello->features_required & ~TANDEM_FRAME_FEATURE_TRAINING) != 0) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_VERSION,
                 _("this device does not have the features (%#x) that you need"),
                 hello->features_required & ~TANDEM_FRAME_FEATURE_TRAINING);
    return FALSE;
  }
  if (!tandem_acceptance_info_from_hello (hello, &info))
    return TRUE;
  return tandem_acceptance_check (self->accepted, self->last_layer, &info, error);
}

/* Finds, or makes, the stream that the sender talks about. */
static gboolean
choose_stream_locked (TandemReceiver *self, const TandemHello *hello,
                      TandemReceiverStream **old, GError **error)
{
  TandemReceiverStream *stream = self->stream;

  if (stream != NULL && memcmp (stream->id, hello->stream_id, sizeof stream->id) == 0) {
    g_autofree char *last = NULL, *wanted = NULL;

    if (stream->trains) {
      g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_STOPPED,
                           _("training does not go on over another connection; resume from the "
                             "last checkpoint"));
      return FALSE;
    }
    if (hello->resume <= stream->received + 1)
      return TRUE;
    last = tandem_net_number_to_string (stream->received);
    wanted = tandem_net_number_to_string (hello->resume);
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                 _("this device has micro-batches up to %s, you want to go on with %s"), last,
                 wanted);
    return FALSE;
  }
  if (self->served || self->closing ||
      (stream != NULL && !tandem_receiver_stream_is_over (stream) &&
       (stream->delivered ||
        (self->link != NULL && !tandem_link_has_peer_left (self->link))))) {
    g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_BUSY,
                         self->served ? _("this device has served its one stream and ends")
                                      : _("this device is busy with another client"));
    return FALSE;
  }
  *old = stream;
  self->stream = tandem_receiver_stream_new (self, hello->stream_id);
  self->stream->received = hello->resume - 1;
  return TRUE;
}

static gboolean
client_hello (Client *client, const TandemFrame *frame)
{
  TandemReceiver *self = client->receiver;
  g_autoptr (TandemReceiverStream) old = NULL;
  g_autoptr (TandemLink) superseded = NULL;
  g_autoptr (GError) error = NULL;
  TandemHello hello;
  gboolean mismatch = FALSE;

  if (!tandem_frame_parse_hello (frame, &hello, &error))
    return client_refuse (client, error);
  mismatch = !check_hello (self, &hello, &error);

  g_mutex_lock (&self->lock);
  if (error == NULL && choose_stream_locked (self, &hello, &old, &error)) {
    superseded = tandem_receiver_steal_link_locked (self);
    if (superseded != NULL)
      tandem_link_shutdown (superseded);
    tandem_receiver_adopt_locked (self, client->link, &hello);
    GST_INFO ("serving %s from micro-batch %" G_GUINT64_FORMAT,
              tandem_link_get_peer (client->link), self->stream->received + 1);
  } else if (mismatch && !hello.searching && self->refusal == NULL && self->stream == NULL &&
             !self->served) {
    self->refusal = g_error_new (TANDEM_NET_ERROR, error->code, _("Refused the client at %s: %s"),
                                 tandem_link_get_peer (client->link), error->message);
  }
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  return error != NULL ? client_refuse (client, error) : client_leave (client);
}

static gboolean
on_client_readable (GSocket *socket, GIOCondition condition, gpointer data)
{
  Client *client = data;
  g_autoptr (GError) error = NULL;
  const TandemFrame *frame;

  if (client->refused)
    return tandem_link_drain (client->link) ? client_leave (client) : G_SOURCE_CONTINUE;
  switch (tandem_link_read (client->link, &frame, &error)) {
    case TANDEM_LINK_AGAIN:
      return G_SOURCE_CONTINUE;
    case TANDEM_LINK_CLOSED:
      GST_INFO ("%s left without a HELLO", tandem_link_get_peer (client->link));
      return client_leave (client);
    case TANDEM_LINK_BROKEN:
      return client_refuse (client, error);
    case TANDEM_LINK_FRAME:
      break;
  }
  if (frame->type == TANDEM_FRAME_HELLO)
    return client_hello (client, frame);
  error = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                       _("a connection begins with HELLO, not with a frame of type %u"),
                       frame->type);
  return client_refuse (client, error);
}

static gboolean
on_client_timeout (gpointer data)
{
  Client *client = data;

  if (!client->refused)
    GST_WARNING ("%s did not say HELLO within %u ms", tandem_link_get_peer (client->link),
                 client->receiver->options.handshake_timeout);
  return client_leave (client);
}

static gboolean
on_listener_readable (GSocket *listener, GIOCondition condition, gpointer data)
{
  const TandemFrameLimits limits = {
    .max_header = TANDEM_FRAME_MAX_CONTROL_HEADER, .max_payload = 0, .max_sequences = 1,
  };
  TandemReceiver *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = g_socket_accept (listener, NULL, &error);
  g_autoptr (GSocketConnection) connection = NULL;
  Client *client;

  if (socket == NULL) {
    GST_DEBUG ("accept: %s", error->message);
    return G_SOURCE_CONTINUE;
  }
  if (self->pending->len >= self->options.max_pending) {
    GST_WARNING ("closed a connection: %u others have not said HELLO yet", self->pending->len);
    return G_SOURCE_CONTINUE;
  }
  connection = g_socket_connection_factory_create_connection (socket);
  client = g_new0 (Client, 1);
  client->receiver = self;
  client->link = tandem_link_new (connection, &limits);
  client->readable = g_socket_create_source (socket, G_IO_IN, NULL);
  g_source_set_callback (client->readable, G_SOURCE_FUNC (on_client_readable), client, NULL);
  g_source_attach (client->readable, self->context);
  client->timeout = g_timeout_source_new (self->options.handshake_timeout);
  g_source_set_callback (client->timeout, on_client_timeout, client, NULL);
  g_source_attach (client->timeout, self->context);
  g_ptr_array_add (self->pending, client);
  return G_SOURCE_CONTINUE;
}

/* After EOS nobody else reads: the sender says DONE, or leaves. */
static gboolean
on_tail_readable (GSocket *socket, GIOCondition condition, gpointer data)
{
  TandemLink *link = data;
  TandemReceiver *self = g_object_get_data (G_OBJECT (socket), "tandem-receiver");
  g_autoptr (TandemLink) stolen = NULL;
  g_autoptr (GError) error = NULL;
  const TandemFrame *frame;
  TandemLinkStatus status;
  guint kind;

  do {
    status = tandem_link_read (link, &frame, &error);
    if (status == TANDEM_LINK_FRAME && frame->type == TANDEM_FRAME_EVENT &&
        tandem_frame_parse_event (frame, &kind, NULL) && kind == TANDEM_FRAME_EVENT_DONE) {
      g_mutex_lock (&self->lock);
      if (self->link == link)
        self->stream->done = TRUE;
      g_cond_broadcast (&self->cond);
      g_mutex_unlock (&self->lock);
    }
  } while (status == TANDEM_LINK_FRAME);
  if (status == TANDEM_LINK_AGAIN)
    return G_SOURCE_CONTINUE;

  g_mutex_lock (&self->lock);
  if (self->link == link)
    stolen = tandem_receiver_steal_link_locked (self);
  g_mutex_unlock (&self->lock);
  return G_SOURCE_REMOVE;
}

/**
 * tandem_receiver_service_watch_locked: (skip)
 * @self: a receiver that has a connection whose stream saw its EOS
 *
 * Gives the reading of the connection to the service thread.
 */
void
tandem_receiver_service_watch_locked (TandemReceiver *self)
{
  GSocket *socket = tandem_link_get_socket (self->link);
  g_autoptr (GSource) source = g_socket_create_source (socket, G_IO_IN, NULL);

  g_object_set_data (G_OBJECT (socket), "tandem-receiver", self);
  g_source_set_callback (source, G_SOURCE_FUNC (on_tail_readable), tandem_link_ref (self->link),
                         (GDestroyNotify) tandem_link_unref);
  g_source_attach (source, self->context);
}

static gboolean
on_keepalive (gpointer data)
{
  TandemReceiver *self = data;

  g_mutex_lock (&self->lock);
  if (self->link != NULL && self->out->len == 0 &&
      g_get_monotonic_time () - self->wrote > TANDEM_RECEIVER_KEEPALIVE_MS * 900) {
    tandem_frame_append_event (self->out, 0, TANDEM_FRAME_EVENT_KEEPALIVE);
    tandem_receiver_flush_out_locked (self);
  }
  g_mutex_unlock (&self->lock);
  return G_SOURCE_CONTINUE;
}

static gpointer
service_thread (gpointer data)
{
  TandemReceiver *self = data;
  g_autoptr (GSource) listening = g_socket_create_source (self->listener, G_IO_IN, NULL);
  g_autoptr (GSource) keepalive = g_timeout_source_new (TANDEM_RECEIVER_KEEPALIVE_MS);

  g_main_context_push_thread_default (self->context);
  g_source_set_callback (listening, G_SOURCE_FUNC (on_listener_readable), self, NULL);
  g_source_attach (listening, self->context);
  g_source_set_callback (keepalive, on_keepalive, self, NULL);
  g_source_attach (keepalive, self->context);
  g_main_loop_run (self->loop);
  g_source_destroy (listening);
  g_source_destroy (keepalive);
  g_ptr_array_set_size (self->pending, 0);
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

void
tandem_receiver_service_start (TandemReceiver *self)
{
  self->pending = g_ptr_array_new_with_free_func (client_free);
  self->loop = g_main_loop_new (self->context, FALSE);
  self->thread = g_thread_new ("tandem-receiver", service_thread, self);
}

static gboolean
quit (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

void
tandem_receiver_service_stop (TandemReceiver *self)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  if (self->thread == NULL)
    return;
  /* From within the loop: quitting before it runs would be forgotten. */
  g_source_set_callback (source, quit, self->loop, NULL);
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_attach (source, self->context);
  g_clear_pointer (&self->thread, g_thread_join);
  g_clear_pointer (&self->pending, g_ptr_array_unref);
  g_clear_pointer (&self->loop, g_main_loop_unref);
}
