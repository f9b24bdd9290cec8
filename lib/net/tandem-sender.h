/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include <gst/gst.h>

#include "tandem-export.h"
#include "net/tandem-cluster-key.h"
#include "net/tandem-discovery.h"
#include "net/tandem-net-error.h"
#include "stream/tandem-caps.h"
#include "stream/tandem-training-events.h"

G_BEGIN_DECLS

/**
 * TANDEM_NET_DEFAULT_PORT:
 *
 * The TCP port of a stage that listens.
 */
#define TANDEM_NET_DEFAULT_PORT 10300

#define TANDEM_TYPE_SENDER (tandem_sender_get_type ())

/**
 * TandemSender:
 *
 * Sends a stream of micro-batches to the device that runs the next stage, and
 * keeps each until that device, or one behind it, is done with it. A broken
 * connection is made again and what was not acknowledged goes over it again.
 *
 * One thread sends; a thread of the sender's own connects, reads what comes
 * back and sends again. Receipts are completed in that thread. In training a
 * third thread hands over the gradients that come back.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemSender, tandem_sender, TANDEM, SENDER, GObject)

/**
 * TandemSenderFunc:
 * @sender: the sender
 * @error: why it failed
 * @user_data: what was given to tandem_sender_start()
 *
 * Called once, in the sender's own thread, when the stream can no longer be
 * completed.
 */
typedef void (*TandemSenderFunc) (TandemSender *sender, const GError *error,
                                  gpointer user_data);

/**
 * TandemSenderGradientFunc:
 * @sender: the sender
 * @info: what goes with the gradient
 * @rows: (transfer none): rows of float32; of a micro-batch that was sent, and as many
 *   elements as that one has
 * @user_data: what was given to tandem_sender_start()
 *
 * Called for each gradient that comes back, in a thread of its own with no lock
 * held, one after the other. It may take its time: nothing else waits for it but
 * tandem_sender_stop().
 */
typedef void (*TandemSenderGradientFunc) (TandemSender *sender, const TandemGradientInfo *info,
                                          GstBuffer *rows, gpointer user_data);

/**
 * TandemSearchState:
 * @TANDEM_SEARCH_LOOKING: a search began, or there are other candidates than before
 * @TANDEM_SEARCH_REFUSED: a candidate does not do, or no longer
 * @TANDEM_SEARCH_CONNECTED: a candidate takes the stream
 *
 * What happens while a sender looks for a device.
 */
typedef enum
{
  TANDEM_SEARCH_LOOKING,
  TANDEM_SEARCH_REFUSED,
  TANDEM_SEARCH_CONNECTED,
} TandemSearchState;

/**
 * TandemSenderSearchFunc:
 * @sender: the sender
 * @state: what happened
 * @candidate: (nullable): whom it is about; %NULL when @state is %TANDEM_SEARCH_LOOKING
 * @n_candidates: how many candidates are known
 * @reason: (nullable): why @candidate does not do; when looking, why nothing is seen by mDNS
 * @user_data: what was given to tandem_sender_start()
 *
 * Called in the sender's own thread, with no lock held.
 */
typedef void (*TandemSenderSearchFunc) (TandemSender *sender, TandemSearchState state,
                                        TandemCandidate *candidate, guint n_candidates,
                                        const GError *reason, gpointer user_data);

TANDEM_API
TandemSender *tandem_sender_new (const char *host, guint16 port, guint window,
                                 guint64 window_bytes, guint reconnect_timeout,
                                 guint max_payload);

TANDEM_API
void tandem_sender_set_security (TandemSender *sender, TandemClusterKey *key, gboolean insecure);

TANDEM_API
void tandem_sender_set_gradient_func (TandemSender *sender, TandemSenderGradientFunc gradient);

TANDEM_API
void tandem_sender_set_discovery (TandemSender *sender, TandemDiscovery *discovery, guint timeout,
                                  TandemSenderSearchFunc func);

TANDEM_API
void tandem_sender_start (TandemSender *sender, TandemSenderFunc failed, gpointer user_data);

TANDEM_API
void tandem_sender_stop (TandemSender *sender);

TANDEM_API
void tandem_sender_set_stream (TandemSender *sender, const TandemStreamInfo *info);

TANDEM_API
void tandem_sender_set_segment (TandemSender *sender, const GstSegment *segment);

TANDEM_API
gboolean tandem_sender_has_room (TandemSender *sender);

TANDEM_API
gboolean tandem_sender_wait_for_room (TandemSender *sender, GCancellable *cancellable,
                                      GError **error);

TANDEM_API
gboolean tandem_sender_send (TandemSender *sender, GstBuffer *buffer, GCancellable *cancellable,
                             GError **error);

TANDEM_API
gboolean tandem_sender_send_event (TandemSender *sender, GstEvent *event, GError **error);

TANDEM_API
gboolean tandem_sender_finish (TandemSender *sender, GCancellable *cancellable, GError **error);

TANDEM_API
void tandem_sender_flush (TandemSender *sender);

TANDEM_API
guint tandem_sender_get_n_pending (TandemSender *sender);

G_END_DECLS
