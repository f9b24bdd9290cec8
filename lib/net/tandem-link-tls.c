/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* TLS 1.3 on a link. Both sides show the certificate of the cluster key and prove that they have
 * its private key; each accepts that certificate and no other.
 *
 * The receiver refuses another certificate in the handshake: its peer gets an alert and nothing
 * else. The sender finishes the handshake with whatever certificate comes, and says nothing
 * before it compared it: so each side has seen the other's certificate and can name it. */

#include "config.h"

#include "tandem-link-private.h"

#include <glib/gi18n-lib.h>

#include "net/tandem-cluster-key-private.h"

#define GST_CAT_DEFAULT tandem_net_debug

/* --- who the peer is --- */

static gboolean
check_certificate (TandemLink *self, GTlsCertificate *theirs, GError **error)
{
  GTlsCertificate *ours = tandem_cluster_key_get_certificate (self->key);
  g_autofree char *our_name = tandem_certificate_describe (ours);
  g_autofree char *their_name = NULL;

  if (theirs == NULL) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("The device at %s has no cluster key; this device has %s."), self->peer,
                 our_name);
    return FALSE;
  }
  if (g_tls_certificate_is_same (ours, theirs))
    return tandem_cluster_key_check_validity (self->key, error);
  their_name = tandem_certificate_describe (theirs);
  if (tandem_certificate_has_expired (theirs))
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("The device at %s has another cluster key, %s, which has expired; this device "
                   "has %s. Copy the key file of one to the other."), self->peer, their_name,
                 our_name);
  else
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("The device at %s has another cluster key, %s; this device has %s. Copy the key "
                   "file of one to the other."), self->peer, their_name, our_name);
  return FALSE;
}

/* In the thread that wants the handshake. */
static gboolean
on_accept_certificate (GTlsConnection *connection, GTlsCertificate *certificate,
                       GTlsCertificateFlags flags, gpointer user_data)
{
  TandemLink *self = user_data;

  g_clear_error (&self->reason);
  return !self->is_server || check_certificate (self, certificate, &self->reason);
}

static const char *
describe_version (GTlsProtocolVersion version)
{
  switch (version) {
    case G_TLS_PROTOCOL_VERSION_TLS_1_0:
      return "TLS 1.0";
    case G_TLS_PROTOCOL_VERSION_TLS_1_1:
      return "TLS 1.1";
    case G_TLS_PROTOCOL_VERSION_TLS_1_2:
      return "TLS 1.2";
    default:
      return "?";
  }
}

/* The handshake succeeded: whether it is one that we wanted. */
static gboolean
check_session (TandemLink *self, GError **error)
{
  GTlsProtocolVersion version = g_tls_connection_get_protocol_version (self->tls);

  if (version != G_TLS_PROTOCOL_VERSION_TLS_1_3) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("The device at %s speaks %s; TLS 1.3 is needed."), self->peer,
                 describe_version (version));
    return FALSE;
  }
  if (!check_certificate (self, g_tls_connection_get_peer_certificate (self->tls), error))
    return FALSE;
  tandem_guarded_stream_trust (self->guarded);
  return TRUE;
}

/* --- the handshake --- */

/* What a handshake that failed was about. */
static void
explain (TandemLink *self, const GError *local, GError **error)
{
  g_autofree char *ours =
      tandem_certificate_describe (tandem_cluster_key_get_certificate (self->key));

  if (self->reason != NULL)
    g_propagate_error (error, g_steal_pointer (&self->reason));
  else if (g_error_matches (local, G_TLS_ERROR, G_TLS_ERROR_CERTIFICATE_REQUIRED))
    check_certificate (self, NULL, error);
  else if (tandem_guarded_stream_get_first (self->guarded) == TANDEM_FIRST_BYTES_FRAME)
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_INSECURE,
                 _("The device at %s does not protect its connections; this device has the "
                   "cluster key %s. Give both the key, or neither."), self->peer, ours);
  else if (tandem_guarded_stream_is_exhausted (self->guarded))
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
                 _("The device at %s sent too much before it had shown its cluster key."),
                 self->peer);
  else if (g_error_matches (local, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                 _("The device at %s did not show its cluster key in time."), self->peer);
  else
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
                 _("The device at %s ended the handshake, in which this device showed the cluster "
                   "key %s: %s"), self->peer, ours, local->message);
}

static gboolean
finish (TandemLink *self, gboolean shaken, const GError *local, GError **error)
{
  if (shaken && check_session (self, error))
    return TRUE;
  if (!shaken)
    explain (self, local, error);
  tandem_link_leave_tls (self);
  return FALSE;
}

/**
 * tandem_link_leave_tls: (skip)
 * @link: a link with TLS, whose handshake failed or will not be
 *
 * What is read and written from now on goes in clear: what still comes is thrown away, and a peer
 * that does not speak TLS can be told so.
 */
void
tandem_link_leave_tls (TandemLink *link)
{
  GIOStream *base = G_IO_STREAM (link->guarded);

  link->input = G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (base));
  link->output = G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (base));
}

static void
on_cancelled (GCancellable *cancellable, gpointer user_data)
{
  tandem_link_shutdown (user_data);
}

/**
 * tandem_link_handshake: (skip)
 * @link: a link with TLS that nobody reads or writes yet
 * @timeout_us: the longest that it may take, in microseconds
 * @cancellable: (nullable): ends the connection
 * @error: return location for %TANDEM_NET_ERROR_KEY when the keys are not the same or have expired,
 *   %TANDEM_NET_ERROR_INSECURE when the peer has none, %TANDEM_NET_ERROR_TOO_LARGE,
 *   %TANDEM_NET_ERROR_TIMEOUT, %TANDEM_NET_ERROR_CLOSED or %G_IO_ERROR_CANCELLED
 *
 * Waits until both sides have proved that they have the key.
 *
 * Returns: whether they have
 */
gboolean
tandem_link_handshake (TandemLink *link, gint64 timeout_us, GCancellable *cancellable,
                       GError **error)
{
  g_autoptr (GError) local = NULL;
  gulong handler = 0;
  gboolean shaken;

  tandem_guarded_stream_set_deadline (link->guarded, g_get_monotonic_time () + timeout_us);
  /* GIO would return from a cancelled handshake while its thread still uses the socket. */
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), link, NULL);
  shaken = g_tls_connection_handshake (link->tls, NULL, &local);
  g_cancellable_disconnect (cancellable, handler);
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  return finish (link, shaken, local, error);
}

/**
 * tandem_link_handshake_async: (skip)
 * @link: a link with TLS that nobody reads or writes yet
 * @timeout_us: the longest that it may take, in microseconds
 * @callback: called in the thread's default context
 * @user_data: for @callback
 *
 * Begins what tandem_link_handshake() waits for. It takes one of GIO's threads meanwhile;
 * tandem_link_shutdown() ends it.
 */
void
tandem_link_handshake_async (TandemLink *link, gint64 timeout_us, GAsyncReadyCallback callback,
                             gpointer user_data)
{
  tandem_guarded_stream_set_deadline (link->guarded, g_get_monotonic_time () + timeout_us);
  g_tls_connection_handshake_async (link->tls, G_PRIORITY_DEFAULT, NULL, callback, user_data);
}

/**
 * tandem_link_handshake_finish: (skip)
 * @link: the link
 * @result: what the callback got
 * @error: return location, as of tandem_link_handshake()
 *
 * Returns: whether both sides have the key
 */
gboolean
tandem_link_handshake_finish (TandemLink *link, GAsyncResult *result, GError **error)
{
  g_autoptr (GError) local = NULL;
  gboolean shaken = g_tls_connection_handshake_finish (link->tls, result, &local);

  return finish (link, shaken, local, error);
}

/* --- the link --- */

/**
 * tandem_link_new_tls: (skip)
 * @connection: an open connection
 * @key: the key that both sides have
 * @is_server: whether the peer connected to us
 * @max_bytes: how many bytes the peer may send before it has proved that it has @key; 0: any number
 * @limits: what is taken until HELLO negotiated more
 * @error: return location for %TANDEM_NET_ERROR_KEY
 *
 * Returns: (transfer full): a link whose handshake is to be done, or %NULL when TLS cannot
 *   begin
 */
TandemLink *
tandem_link_new_tls (GSocketConnection *connection, TandemClusterKey *key, gboolean is_server,
                     guint64 max_bytes, const TandemFrameLimits *limits, GError **error)
{
  g_autoptr (TandemLink) self = tandem_link_new (connection, limits);
  g_autoptr (GError) local = NULL;
  GIOStream *base;

  self->key = g_object_ref (key);
  self->is_server = is_server;
  self->record = g_malloc (TANDEM_LINK_RECORD);
  self->guarded = tandem_guarded_stream_new (self->socket, max_bytes);
  base = G_IO_STREAM (self->guarded);
  if (is_server)
    self->tls = (GTlsConnection *) g_tls_server_connection_new (
        base, tandem_cluster_key_get_certificate (key), &local);
  else
    self->tls = (GTlsConnection *) g_tls_client_connection_new (base, NULL, &local);
  if (self->tls == NULL) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY, _("TLS cannot begin: %s"),
                 local->message);
    return NULL;
  }
  g_tls_connection_set_certificate (self->tls, tandem_cluster_key_get_certificate (key));
  /* No authority is asked: one certificate is right. */
  g_tls_connection_set_database (self->tls, NULL);
  /* Frames say where a stream ends; a connection that is cut is none that ended. */
  g_tls_connection_set_require_close_notify (self->tls, FALSE);
  if (is_server)
    g_object_set (self->tls, "authentication-mode", G_TLS_AUTHENTICATION_REQUIRED, NULL);
  /* A resumed session shows no certificate. */
  if (g_object_class_find_property (G_OBJECT_GET_CLASS (self->tls), "session-resumption-enabled"))
    g_object_set (self->tls, "session-resumption-enabled", FALSE, NULL);
  g_signal_connect (self->tls, "accept-certificate", G_CALLBACK (on_accept_certificate), self);
  self->input =
      G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (G_IO_STREAM (self->tls)));
  self->output =
      G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (G_IO_STREAM (self->tls)));
  return g_steal_pointer (&self);
}

/**
 * tandem_link_is_protected: (skip)
 * @link: a link
 *
 * Returns: whether it has TLS
 */
gboolean
tandem_link_is_protected (TandemLink *link)
{
  return link->tls != NULL;
}

/**
 * tandem_link_look: (skip)
 * @link: a link with TLS before its handshake
 *
 * Reads the first record of the peer, as far as it is there, without giving it to TLS.
 *
 * Returns: what it is
 */
TandemFirstBytes
tandem_link_look (TandemLink *link)
{
  return tandem_guarded_stream_look (link->guarded);
}

/* With TLS 1.3 the sender's handshake is over before the receiver has seen the sender's
 * certificate: the refusal is the first thing that the sender reads. */
void
tandem_link_explain_read_error (TandemLink *self, const GError *local, GError **error)
{
  g_autofree char *ours = NULL;

  if (self->tls == NULL || self->is_server || self->n_read > 0 || local->domain != G_TLS_ERROR) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
                 "the connection to %s broke: %s", self->peer, local->message);
    return;
  }
  ours = tandem_certificate_describe (tandem_cluster_key_get_certificate (self->key));
  /* Perhaps only a byte was spoiled: another attempt may help. */
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
               _("The device at %s refused the cluster key %s, though it has the same one: by its "
                 "clock the key may have expired (%s)."), self->peer, ours, local->message);
}
