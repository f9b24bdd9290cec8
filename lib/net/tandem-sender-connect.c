/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How the sender gets a connection: it says HELLO, waits for the answer, and finds out from it what
 * has to go over the new connection again. */

#include "config.h"

#include "tandem-sender-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "net/tandem-net-private.h"

#define HANDSHAKE_TIMEOUT_US (5 * G_USEC_PER_SEC)
/* Of a receiver that has not shown the key: its certificate has less than 1 kB. */
#define MAX_HANDSHAKE_BYTES (64 * 1024)
/* Others wait to be tried. */
#define SEARCH_TIMEOUT_S 2

static void
fill_hello (TandemSender *self, TandemHello *hello)
{
  TandemSenderItem *first;

  memset (hello, 0, sizeof *hello);
  hello->role = TANDEM_ROLE_SENDER;
  hello->features = TANDEM_FRAME_FEATURE_TRAINING;
  hello->max_payload = self->max_payload;
  hello->max_sequences = TANDEM_FRAME_MAX_SEQUENCES;
  memcpy (hello->stream_id, self->stream_id, sizeof hello->stream_id);
  hello->kind = TANDEM_FRAME_ANY_KIND;
  hello->searching = self->discovery != NULL;

  g_mutex_lock (&self->lock);
  if (self->trains)
    hello->features_required = TANDEM_FRAME_FEATURE_TRAINING;
  first = g_queue_peek_head (&self->items);
  hello->resume = first != NULL ? first->sequence : self->next_sequence;
  if (self->caps != NULL) {
    hello->kind = self->info.kind;
    hello->formats = 1u << self->info.format;
    hello->first_layer = self->info.layer;
    hello->width = self->info.width;
    hello->classes = self->info.classes;
    memcpy (hello->fingerprint, self->info.fingerprint, sizeof hello->fingerprint);
  }
  g_mutex_unlock (&self->lock);
}

static gboolean
wait_for_hello (TandemSender *self, TandemLink *link, TandemHello *hello, GError **error)
{
  gint64 end = g_get_monotonic_time () + HANDSHAKE_TIMEOUT_US;

  for (;;) {
    const TandemFrame *frame;

    switch (tandem_link_read (link, &frame, error)) {
      case TANDEM_LINK_FRAME:
        if (frame->type == TANDEM_FRAME_HELLO)
          return tandem_frame_parse_hello (frame, hello, error);
        if (frame->type == TANDEM_FRAME_ERROR) {
          g_autoptr (GError) told = tandem_frame_parse_error (frame);

          g_set_error (error, TANDEM_NET_ERROR, told->code, _("The device at %s:%u refused: %s"),
                       self->host, self->port, told->message);
          return FALSE;
        }
        g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                     _("The device at %s:%u does not begin with HELLO."), self->host, self->port);
        return FALSE;
      case TANDEM_LINK_AGAIN:
        if (!tandem_link_wait (link, G_IO_IN, MAX (end - g_get_monotonic_time (), 0),
                               self->cancellable, error))
          return FALSE;
        break;
      case TANDEM_LINK_CLOSED:
        g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
                     "%s closed the connection before HELLO", tandem_link_get_peer (link));
        return FALSE;
      case TANDEM_LINK_BROKEN:
        return FALSE;
    }
  }
}

/* Everything up to the receiver's resume point is there; what comes after it goes again. */
static gboolean
adopt_link (TandemSender *self, TandemLink *link, const TandemHello *hello, GError **error)
{
  TandemFrameLimits limits = {
    .max_header = TANDEM_FRAME_MAX_CONTROL_HEADER, .max_payload = 0, .max_sequences = 1,
  };
  TandemSenderItem *first;
  GList *l;

  if (hello->role != TANDEM_ROLE_RECEIVER) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                 _("The device at %s:%u sends, it does not receive."), self->host, self->port);
    return FALSE;
  }
  if ((hello->features_required & ~TANDEM_FRAME_FEATURE_TRAINING) != 0) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_VERSION,
                 _("The device at %s:%u needs features (%#x) that this version does not have."),
                 self->host, self->port,
                 hello->features_required & ~TANDEM_FRAME_FEATURE_TRAINING);
    return FALSE;
  }
  /* A gradient has float32 for what may have been a byte. */
  limits.max_payload = MIN (hello->max_payload, self->max_payload);
  limits.max_payload = MIN (limits.max_payload, G_MAXUINT32 / 4) * 4;
  tandem_link_set_limits (link, &limits);
  tandem_link_set_gradient_func (link, tandem_sender_check_gradient, self);

  g_mutex_lock (&self->lock);
  first = g_queue_peek_head (&self->items);
  if (hello->resume >= self->next_sequence ||
      (first != NULL && hello->resume + 1 < first->sequence)) {
    g_autofree char *number = tandem_net_number_to_string (hello->resume);

    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                 _("The device at %s:%u has another idea of this stream: it wants to go on after "
                   "micro-batch %s."), self->host, self->port, number);
    g_mutex_unlock (&self->lock);
    return FALSE;
  }
  for (l = self->items.head; l != NULL; l = l->next) {
    TandemSenderItem *item = l->data;

    if (item->sequence > hello->resume)
      break;
    item->begun = TRUE;
  }
  self->link = tandem_link_ref (link);
  self->unsent = l;
  self->offset = 0;
  self->blocked = FALSE;
  g_byte_array_set_size (self->control, 0);
  g_clear_pointer (&self->caps_sent, g_bytes_unref);
  g_clear_pointer (&self->segment_sent, g_bytes_unref);
  self->frames_sent = self->bytes_sent = 0;
  self->credit_frames = hello->credit_frames;
  self->credit_bytes = hello->credit_bytes;
  self->link_max_payload = MIN (self->max_payload, hello->max_payload);
  self->link_features = hello->features;
  self->link_max_sequences = MIN (TANDEM_FRAME_MAX_SEQUENCES, hello->max_sequences);
  if (first == NULL)
    self->lost_since = 0;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

static gboolean
is_loopback (GSocketConnection *connection)
{
  g_autoptr (GSocketAddress) remote = g_socket_connection_get_remote_address (connection, NULL);

  return G_IS_INET_SOCKET_ADDRESS (remote) &&
      g_inet_address_get_is_loopback (
          g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (remote)));
}

/* Beyond loopback there is a key, or somebody said that there is to be none. */
static gboolean
choose_key (TandemSender *self, GSocketConnection *connection, GError **error)
{
  g_autoptr (GError) local = NULL;

  if (self->key == NULL && !self->insecure && !is_loopback (connection)) {
    self->key = tandem_cluster_key_load_default (&local);
    if (self->key == NULL) {
      g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_INSECURE,
                   _("%s is another machine and nothing protects the connection. %s (Or set "
                     "insecure=true on a network whose every machine you trust.)"), self->host,
                   local->message);
      return FALSE;
    }
  }
  return self->key == NULL || tandem_cluster_key_check_validity (self->key, error);
}

/* The connection as far as HELLO: with a key both sides have shown it. */
static TandemLink *
make_link (TandemSender *self, GSocketConnection *connection, GError **error)
{
  const TandemFrameLimits limits = {
    .max_header = TANDEM_FRAME_MAX_CONTROL_HEADER, .max_payload = 0, .max_sequences = 1,
  };
  g_autoptr (TandemLink) link = NULL;

  if (!choose_key (self, connection, error))
    return NULL;
  if (self->key == NULL)
    return tandem_link_new (connection, &limits);
  link = tandem_link_new_tls (connection, self->key, FALSE, MAX_HANDSHAKE_BYTES, &limits, error);
  if (link == NULL ||
      !tandem_link_handshake (link, HANDSHAKE_TIMEOUT_US, self->cancellable, error))
    return NULL;
  return g_steal_pointer (&link);
}

TandemLink *
tandem_sender_open_link (TandemSender *self, guint *keepalive, GError **error)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (TandemLink) link = NULL;
  TandemHello hello;

  g_socket_client_set_enable_proxy (client, FALSE);
  if (self->discovery != NULL) {
    g_socket_client_set_timeout (client, SEARCH_TIMEOUT_S);
    connection = g_socket_client_connect (client, G_SOCKET_CONNECTABLE (self->candidate),
                                          self->cancellable, error);
  } else {
    g_socket_client_set_timeout (client, 1 + self->reconnect_timeout / 1000);
    connection = g_socket_client_connect_to_host (client, self->host, self->port,
                                                  self->cancellable, error);
  }
  if (connection == NULL)
    return NULL;
  link = make_link (self, connection, error);
  if (link == NULL)
    return NULL;
  fill_hello (self, &hello);
  tandem_frame_append_hello (bytes, &hello);
  if (!tandem_link_write_all (link, bytes, HANDSHAKE_TIMEOUT_US, self->cancellable, error) ||
      !wait_for_hello (self, link, &hello, error) || !adopt_link (self, link, &hello, error))
    return NULL;
  *keepalive = hello.keepalive;
  return g_steal_pointer (&link);
}
