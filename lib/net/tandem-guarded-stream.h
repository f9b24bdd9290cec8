/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: a socket as TLS sees it. Until the peer is authenticated its bytes are counted and the
 * time is limited, so that whatever TLS does with a stranger's bytes has an end; and the first
 * bytes can be looked at before TLS gets them. */

#include <gio/gio.h>

G_BEGIN_DECLS

#define TANDEM_TYPE_GUARDED_STREAM (tandem_guarded_stream_get_type ())
G_DECLARE_FINAL_TYPE (TandemGuardedStream, tandem_guarded_stream, TANDEM, GUARDED_STREAM, GIOStream)

/* What the first bytes of a peer are. */
typedef enum
{
  TANDEM_FIRST_BYTES_MORE,      /* too few to say */
  TANDEM_FIRST_BYTES_TLS,       /* a whole first record of a handshake */
  TANDEM_FIRST_BYTES_FRAME,     /* a frame in clear */
  TANDEM_FIRST_BYTES_OTHER,     /* nothing of ours, or the end */
} TandemFirstBytes;

TandemGuardedStream *tandem_guarded_stream_new (GSocket *socket, guint64 max_bytes);
void tandem_guarded_stream_set_deadline (TandemGuardedStream *self, gint64 deadline);
void tandem_guarded_stream_trust (TandemGuardedStream *self);
TandemFirstBytes tandem_guarded_stream_look (TandemGuardedStream *self);
TandemFirstBytes tandem_guarded_stream_get_first (TandemGuardedStream *self);
gboolean tandem_guarded_stream_is_exhausted (TandemGuardedStream *self);

G_END_DECLS
