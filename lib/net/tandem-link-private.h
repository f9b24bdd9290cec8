/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to tandem-link*.c. */

#include "net/tandem-cluster-key.h"
#include "net/tandem-link.h"
#include "stream/tandem-row-pool.h"

G_BEGIN_DECLS

#define TANDEM_LINK_STAGING 4096
/* The most that one record of TLS holds (RFC 8446, 5.1). */
#define TANDEM_LINK_RECORD 16384

struct _TandemLink
{
  gatomicrefcount ref_count;
  GSocketConnection *connection;
  GSocket *socket;
  GPollableInputStream *input;
  GPollableOutputStream *output;
  char *peer;

  /* TLS, NULL without: set before anybody reads or writes */
  TandemClusterKey *key;
  TandemGuardedStream *guarded; /* under TLS */
  GTlsConnection *tls;
  gboolean is_server;
  GError *reason;               /* why the peer's key is not taken; during the handshake only */

  /* writer only */
  guint8 *record;               /* TANDEM_LINK_RECORD bytes, with TLS */
  gsize n_pending;              /* of it, taken and not gone */

  /* reader only */
  TandemFrameDecoder *decoder;
  gboolean has_stream;
  TandemStreamInfo stream;      /* the caps in force on this connection */
  GstBuffer *buffer;            /* the micro-batch, or gradient, that comes in */
  GError *refusal;              /* why it is not taken, if its checksum is true */
  TandemLinkGradientFunc gradient_func;
  gpointer gradient_data;
  guint64 n_read;
  TandemRowPool *rows;
  GstMemory *memory;
  GstMapInfo map;
  gsize staged_from, staged_to;
  guint8 staging[TANDEM_LINK_STAGING];
};

/* tandem-link-tls.c */
void tandem_link_explain_read_error (TandemLink *self, const GError *local, GError **error);

G_END_DECLS
