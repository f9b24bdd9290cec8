/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

/**
 * TANDEM_NET_ERROR:
 *
 * Error domain of everything that crosses the network.
 */
#define TANDEM_NET_ERROR (tandem_net_error_quark ())

/**
 * TandemNetError:
 * @TANDEM_NET_ERROR_FAILED: any other reason
 * @TANDEM_NET_ERROR_VERSION: another major version of the wire format, or a
 *   feature that one side needs and the other does not have
 * @TANDEM_NET_ERROR_MODEL: another model or vocabulary
 * @TANDEM_NET_ERROR_LAYER: the layers of the two sides do not follow each other
 * @TANDEM_NET_ERROR_FORMAT: another kind of stream, row format or width
 * @TANDEM_NET_ERROR_BUSY: the device serves somebody else
 * @TANDEM_NET_ERROR_TOO_LARGE: more than the negotiated size
 * @TANDEM_NET_ERROR_INSECURE: an unprotected connection beyond loopback
 * @TANDEM_NET_ERROR_PROTOCOL: a frame that breaks the rules of the wire format
 * @TANDEM_NET_ERROR_STOPPED: the other pipeline was stopped in mid-stream
 * @TANDEM_NET_ERROR_DROPPED: the other device dropped a micro-batch unconsumed
 * @TANDEM_NET_ERROR_NOT_TANDEM: the bytes are not of this wire format at all
 * @TANDEM_NET_ERROR_CORRUPT: a checksum does not match
 * @TANDEM_NET_ERROR_CLOSED: the connection ended
 * @TANDEM_NET_ERROR_TIMEOUT: nothing came in time
 * @TANDEM_NET_ERROR_KEY: a cluster key that cannot be used, has expired, or is
 *   not that of the other device
 * @TANDEM_NET_ERROR_NO_DISCOVERY: mDNS cannot be used on this device
 * @TANDEM_NET_ERROR_NOT_FOUND: no device took the stream
 *
 * Why a connection failed. Values below 100 travel in ERROR frames and never
 * change; the others are local.
 */
typedef enum
{
  TANDEM_NET_ERROR_FAILED = 0,
  TANDEM_NET_ERROR_VERSION = 1,
  TANDEM_NET_ERROR_MODEL = 2,
  TANDEM_NET_ERROR_LAYER = 3,
  TANDEM_NET_ERROR_FORMAT = 4,
  TANDEM_NET_ERROR_BUSY = 5,
  TANDEM_NET_ERROR_TOO_LARGE = 6,
  TANDEM_NET_ERROR_INSECURE = 7,
  TANDEM_NET_ERROR_PROTOCOL = 8,
  TANDEM_NET_ERROR_STOPPED = 9,
  TANDEM_NET_ERROR_DROPPED = 10,
  TANDEM_NET_ERROR_NOT_TANDEM = 100,
  TANDEM_NET_ERROR_CORRUPT = 101,
  TANDEM_NET_ERROR_CLOSED = 102,
  TANDEM_NET_ERROR_TIMEOUT = 103,
  TANDEM_NET_ERROR_KEY = 104,
  TANDEM_NET_ERROR_NO_DISCOVERY = 105,
  TANDEM_NET_ERROR_NOT_FOUND = 106,
} TandemNetError;

TANDEM_API
GQuark tandem_net_error_quark (void);

G_END_DECLS
