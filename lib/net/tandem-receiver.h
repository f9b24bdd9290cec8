/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include <gst/gst.h>

#include "tandem-export.h"
#include "net/tandem-cluster-key.h"
#include "net/tandem-net-error.h"
#include "stream/tandem-caps.h"
#include "stream/tandem-training-events.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_RECEIVER (tandem_receiver_get_type ())

/**
 * TandemReceiver:
 *
 * Listens, serves one stream of micro-batches at a time, and acknowledges each
 * when the consumer downstream completes the receipt that it carries.
 *
 * One thread receives; a thread of the receiver's own answers strangers, says
 * HELLO and writes what could not be written at once. Receipts may be
 * completed, and gradients sent, in any thread.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemReceiver, tandem_receiver, TANDEM, RECEIVER, GObject)

/**
 * TandemReceiverOptions:
 * @address: address or name of the interface to listen on
 * @port: its TCP port; 0: any free one
 * @key: (nullable): the cluster key that every sender has to have, with TLS; %NULL: that of this
 *   device beyond loopback, none on loopback
 * @insecure: listen without a key beyond loopback, although nothing protects the connection
 * @keep_listening: serve one stream after the other, and outlive bad ones
 * @window: micro-batches that may be unacknowledged, at least 1
 * @max_payload: the largest micro-batch, in bytes; twice as much may be unacknowledged
 * @max_pending: connections that may be open before their HELLO; bounds what
 *   strangers can take. When one more comes, another one goes: an old one of the address that
 *   has most of them
 * @max_handshake_bytes: bytes that a connection may send before it has shown the key; 0: any number
 * @handshake_timeout: milliseconds that a connection has to show the key and say HELLO
 * @timeout: milliseconds that a sender in mid-stream may be away, or silent in
 *   the middle of a frame; 0: for ever
 *
 * How to listen.
 */
typedef struct
{
  const char *address;
  guint16 port;
  TandemClusterKey *key;
  gboolean insecure;
  gboolean keep_listening;
  guint window;
  guint max_payload;
  guint max_pending;
  guint max_handshake_bytes;
  guint handshake_timeout;
  guint timeout;
} TandemReceiverOptions;

/**
 * TandemReceiverRefusedFunc:
 * @receiver: the receiver
 * @error: who was refused, and why
 * @user_data: what was given to tandem_receiver_set_refused_func()
 *
 * Called in the receiver's own thread when a device was refused that has not the
 * cluster key of this one, at most once a second.
 */
typedef void (*TandemReceiverRefusedFunc) (TandemReceiver *receiver, const GError *error,
                                           gpointer user_data);

/**
 * TandemReceived:
 * @TANDEM_RECEIVED_ERROR: nothing more will come; see the error
 * @TANDEM_RECEIVED_STREAM: a stream begins
 * @TANDEM_RECEIVED_CAPS: see tandem_receiver_get_stream()
 * @TANDEM_RECEIVED_SEGMENT: see tandem_receiver_get_segment()
 * @TANDEM_RECEIVED_BUFFER: a micro-batch
 * @TANDEM_RECEIVED_FLUSH: what came before is no longer wanted
 * @TANDEM_RECEIVED_EOS: the stream is complete
 * @TANDEM_RECEIVED_ABANDONED: the stream will not be completed, or one was
 *   refused; see the error; another one may come
 * @TANDEM_RECEIVED_EVENT: an event of training; see tandem_receiver_take_event()
 *
 * What tandem_receiver_receive() returns.
 */
typedef enum
{
  TANDEM_RECEIVED_ERROR,
  TANDEM_RECEIVED_STREAM,
  TANDEM_RECEIVED_CAPS,
  TANDEM_RECEIVED_SEGMENT,
  TANDEM_RECEIVED_BUFFER,
  TANDEM_RECEIVED_FLUSH,
  TANDEM_RECEIVED_EOS,
  TANDEM_RECEIVED_ABANDONED,
  TANDEM_RECEIVED_EVENT,
} TandemReceived;

TANDEM_API
TandemReceiver *tandem_receiver_new (const TandemReceiverOptions *options);

TANDEM_API
void tandem_receiver_set_refused_func (TandemReceiver *receiver,
                                       TandemReceiverRefusedFunc refused, gpointer user_data);

TANDEM_API
gboolean tandem_receiver_listen (TandemReceiver *receiver, GError **error);

TANDEM_API
guint16 tandem_receiver_get_port (TandemReceiver *receiver);

TANDEM_API
GInetAddress *tandem_receiver_get_address (TandemReceiver *receiver);

TANDEM_API
void tandem_receiver_accept (TandemReceiver *receiver, GstCaps *accepted, guint last_layer);

TANDEM_API
TandemReceived tandem_receiver_receive (TandemReceiver *receiver, GstBuffer **buffer,
                                        GCancellable *cancellable, GError **error);

TANDEM_API
const TandemStreamInfo *tandem_receiver_get_stream (TandemReceiver *receiver);

TANDEM_API
const GstSegment *tandem_receiver_get_segment (TandemReceiver *receiver);

TANDEM_API
GstEvent *tandem_receiver_take_event (TandemReceiver *receiver);

TANDEM_API
gboolean tandem_receiver_send_gradient (TandemReceiver *receiver, const TandemGradientInfo *info,
                                        GstBuffer *rows, GCancellable *cancellable,
                                        GError **error);

TANDEM_API
void tandem_receiver_refuse (TandemReceiver *receiver, const GError *reason);

TANDEM_API
void tandem_receiver_close (TandemReceiver *receiver);

G_END_DECLS
