/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The receiver's own thread: it accepts connections and writes what the others could not write at
 * once. */

#include "config.h"

#include "tandem-receiver-private.h"

#define GST_CAT_DEFAULT tandem_net_debug

static gboolean
on_listener_readable (GSocket *listener, GIOCondition condition, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = g_socket_accept (listener, NULL, &error);

  if (socket != NULL)
    tandem_receiver_greet (data, socket);
  else
    GST_DEBUG ("accept: %s", error->message);
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
  tandem_receiver_forget_clients (self);
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

void
tandem_receiver_service_start (TandemReceiver *self)
{
  self->pending = g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_receiver_client_unref);
  self->handshakes = tandem_handshakes_new ();
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
  g_clear_pointer (&self->handshakes, tandem_handshakes_free);
  g_clear_pointer (&self->loop, g_main_loop_unref);
}
