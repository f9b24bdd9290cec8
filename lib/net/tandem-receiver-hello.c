/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a receiver thinks of a HELLO: whether it takes the stream, and which one it is. */

#include "config.h"

#include "tandem-receiver-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "net/tandem-acceptance.h"
#include "net/tandem-net-private.h"

/* Whether HELLO is that of a sender whose stream this device takes. */
gboolean
tandem_receiver_check_hello (TandemReceiver *self, const TandemHello *hello, GError **error)
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
gboolean
tandem_receiver_choose_stream_locked (TandemReceiver *self, const TandemHello *hello,
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
