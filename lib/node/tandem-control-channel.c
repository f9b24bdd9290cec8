/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-control-channel.h"

#include <glib/gi18n-lib.h>

#include "base/tandem-source-private.h"

/* A peer that sends and does not read is not worth more memory. */
#define MAX_OUT (4 * 1024 * 1024)
/* Reads before others have their turn: with TLS no more than 16 KiB each. */
#define MAX_READS 64

struct _TandemControlChannel
{
  guint ref_count;
  TandemLink *link;
  GMainContext *context;
  const TandemControlFuncs *funcs;
  gpointer user_data;
  TandemControlDecoder *decoder;
  GByteArray *out;
  gsize out_offset;             /* of it, that went */
  GSource *in_source, *out_source;      /* (nullable) */
  GError *failure;              /* (nullable): why it is to be closed */
  gint64 last_read;             /* monotonic */
  gboolean started, paused, closed;
};

static void schedule_read (TandemControlChannel *self, gboolean now);

TandemControlChannel *
tandem_control_channel_new (TandemLink *link, GMainContext *context,
                            const TandemControlFuncs *funcs, gpointer user_data)
{
  TandemControlChannel *self = g_new0 (TandemControlChannel, 1);

  self->ref_count = 1;
  self->link = tandem_link_ref (link);
  self->context = g_main_context_ref (context);
  self->funcs = funcs;
  self->user_data = user_data;
  self->decoder = tandem_control_decoder_new ();
  self->out = g_byte_array_new ();
  return self;
}

TandemControlChannel *
tandem_control_channel_ref (TandemControlChannel *self)
{
  self->ref_count++;
  return self;
}

void
tandem_control_channel_unref (TandemControlChannel *self)
{
  if (--self->ref_count > 0)
    return;
  tandem_control_channel_close (self);
  tandem_control_decoder_free (self->decoder);
  g_byte_array_unref (self->out);
  g_clear_error (&self->failure);
  tandem_link_unref (self->link);
  g_main_context_unref (self->context);
  g_free (self);
}

static void
stop (TandemControlChannel *self)
{
  self->closed = TRUE;
  tandem_clear_source (&self->in_source);
  tandem_clear_source (&self->out_source);
}

/* Ends the connection; what is still to be written is lost. Nobody is called any more. */
void
tandem_control_channel_close (TandemControlChannel *self)
{
  stop (self);
  tandem_link_shutdown (self->link);
}

/* The owner may have a last word for the peer. */
static void
end (TandemControlChannel *self, const GError *error)
{
  if (self->closed)
    return;
  stop (self);
  self->funcs->closed (self, error, self->user_data);
}

/* --- reading --- */

static void
deliver (TandemControlChannel *self, TandemControlStatus status)
{
  switch (status) {
    case TANDEM_CONTROL_PREAMBLE:
      self->funcs->ready (self, self->user_data);
      break;
    case TANDEM_CONTROL_JSON:
      self->funcs->message (self, tandem_control_decoder_get_object (self->decoder),
                            self->user_data);
      break;
    case TANDEM_CONTROL_DATA: {
      g_autoptr (GBytes) bytes = tandem_control_decoder_take_data (self->decoder);

      self->funcs->data (self, bytes, self->user_data);
      break;
    }
    default:
      break;
  }
}

/* Returns whether there may be more to read at once. */
static gboolean
read_once (TandemControlChannel *self)
{
  g_autoptr (GError) error = NULL;
  TandemControlStatus status;
  gsize size;
  guint8 *space = tandem_control_decoder_get_space (self->decoder, &size);
  gssize n = tandem_link_read_bytes (self->link, space, size, &error);

  if (n < 0 && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    return FALSE;
  if (n == 0 && !tandem_control_decoder_is_idle (self->decoder))
    g_set_error (&error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
                 _("%s closed the connection in the middle of a message"),
                 tandem_link_get_peer (self->link));
  if (n <= 0) {
    end (self, error);
    return FALSE;
  }
  self->last_read = g_get_monotonic_time ();
  status = tandem_control_decoder_advance (self->decoder, n, &error);
  if (status == TANDEM_CONTROL_ERROR)
    end (self, error);
  else
    deliver (self, status);
  return TRUE;
}

static gboolean
on_read (gpointer data)
{
  g_autoptr (TandemControlChannel) self = tandem_control_channel_ref (data);
  gboolean more = TRUE;
  guint i;

  tandem_clear_source (&self->in_source);
  if (self->failure != NULL) {
    end (self, self->failure);
    return G_SOURCE_REMOVE;
  }
  for (i = 0; i < MAX_READS && more && !self->paused && !self->closed; i++)
    more = read_once (self);
  if (!self->paused && !self->closed)
    schedule_read (self, more);
  return G_SOURCE_REMOVE;
}

static gboolean
on_readable (GSocket *socket, GIOCondition condition, gpointer data)
{
  return on_read (data);
}

/* TLS may hold bytes that the socket no longer has: only who got nothing waits for the socket. */
static void
schedule_read (TandemControlChannel *self, gboolean now)
{
  tandem_clear_source (&self->in_source);
  if (now) {
    self->in_source = g_idle_source_new ();
    g_source_set_priority (self->in_source, G_PRIORITY_DEFAULT);
    g_source_set_callback (self->in_source, on_read, self, NULL);
  } else {
    self->in_source =
        g_socket_create_source (tandem_link_get_socket (self->link), G_IO_IN, NULL);
    g_source_set_callback (self->in_source, G_SOURCE_FUNC (on_readable), self, NULL);
  }
  g_source_attach (self->in_source, self->context);
}

/* While it is paused nothing is read, so that the peer has to wait. */
void
tandem_control_channel_set_paused (TandemControlChannel *self, gboolean paused)
{
  if (self->paused == paused)
    return;
  self->paused = paused;
  if (self->closed || !self->started)
    return;
  if (paused && self->failure == NULL)
    tandem_clear_source (&self->in_source);
  else if (!paused)
    schedule_read (self, TRUE);
}

void
tandem_control_channel_set_max_data (TandemControlChannel *self, gsize max_data)
{
  tandem_control_decoder_set_max_data (self->decoder, max_data);
}

gint64
tandem_control_channel_get_last_read (TandemControlChannel *self)
{
  return self->last_read;
}

TandemLink *
tandem_control_channel_get_link (TandemControlChannel *self)
{
  return self->link;
}

/* --- writing --- */

/* The owner learns of it later, not in the middle of what it does. */
static void
fail_later (TandemControlChannel *self, GError *error)
{
  if (self->failure == NULL)
    self->failure = error;
  else
    g_error_free (error);
  schedule_read (self, TRUE);
}

static gboolean on_writable (GSocket *socket, GIOCondition condition, gpointer data);

static gboolean
is_done (TandemControlChannel *self)
{
  return self->out_offset == self->out->len && !tandem_link_has_pending (self->link);
}

static void
flush (TandemControlChannel *self)
{
  g_autoptr (GError) error = NULL;
  gsize written = 1;

  while (!is_done (self) && written > 0) {
    GOutputVector vector = { self->out->data + self->out_offset,
                             self->out->len - self->out_offset };

    if (!tandem_link_write (self->link, &vector, vector.size > 0 ? 1 : 0, &written, &error)) {
      fail_later (self, g_steal_pointer (&error));
      return;
    }
    self->out_offset += written;
  }
  if (self->out_offset == self->out->len) {
    g_byte_array_set_size (self->out, 0);
    self->out_offset = 0;
  }
  if (is_done (self) || self->out_source != NULL)
    return;
  self->out_source = g_socket_create_source (tandem_link_get_socket (self->link), G_IO_OUT, NULL);
  g_source_set_callback (self->out_source, G_SOURCE_FUNC (on_writable), self, NULL);
  g_source_attach (self->out_source, self->context);
}

static gboolean
on_writable (GSocket *socket, GIOCondition condition, gpointer data)
{
  g_autoptr (TandemControlChannel) self = tandem_control_channel_ref (data);

  tandem_clear_source (&self->out_source);
  flush (self);
  if (is_done (self) && !self->closed && self->failure == NULL && self->funcs->drained != NULL)
    self->funcs->drained (self, self->user_data);
  return G_SOURCE_REMOVE;
}

/* Room for what is to be written, or the end. */
static gboolean
check_out (TandemControlChannel *self)
{
  if (self->closed || self->failure != NULL)
    return FALSE;
  if (self->out->len - self->out_offset <= MAX_OUT)
    return TRUE;
  fail_later (self, g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                                 _("%s does not read what it is sent"),
                                 tandem_link_get_peer (self->link)));
  return FALSE;
}

void
tandem_control_channel_send (TandemControlChannel *self, JsonBuilder *json)
{
  g_autoptr (JsonNode) root = json_builder_get_root (json);

  if (!check_out (self))
    return;
  /* Whoever makes messages bounds what is in them. */
  if (!tandem_control_append_json (self->out, root))
    g_return_if_reached ();
  if (self->out_source == NULL)
    flush (self);
}

/* The funcs' drained() is called when it has gone, never from here. */
void
tandem_control_channel_send_data (TandemControlChannel *self, GBytes *bytes)
{
  gsize size;
  const void *data = g_bytes_get_data (bytes, &size);

  if (!check_out (self))
    return;
  tandem_control_append_data (self->out, data, size);
  if (self->out_source != NULL)
    return;
  self->out_source = g_socket_create_source (tandem_link_get_socket (self->link), G_IO_OUT, NULL);
  g_source_set_callback (self->out_source, G_SOURCE_FUNC (on_writable), self, NULL);
  g_source_attach (self->out_source, self->context);
}

/* The connection is ready, with the handshake done where there is one: says the preamble. */
void
tandem_control_channel_start (TandemControlChannel *self)
{
  self->started = TRUE;
  self->last_read = g_get_monotonic_time ();
  tandem_control_append_preamble (self->out);
  flush (self);
  if (self->failure == NULL && !self->paused)
    schedule_read (self, FALSE);
}
