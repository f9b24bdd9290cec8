/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by the files of the element alone. */

#include "gsttcpact.h"
#include "gsttcpactsink.h"
#include "net/tandem-sender.h"
#include "tcpact-rows.h"

G_BEGIN_DECLS

struct _GstTcpactSink
{
  GstBaseSink parent;

  /* object lock; read at start */
  char *host;
  guint port;
  char *key;                    /* (nullable) */
  gboolean insecure;
  TandemRowFormat wire_format;
  guint window;
  guint64 window_bytes;
  guint reconnect_timeout;
  guint max_payload;
  char *peers;
  guint discovery_timeout;

  /* object lock */
  GCancellable *cancellable;

  /* set in start, gone in stop */
  TandemClusterKey *cluster_key;        /* (nullable) */

  /* set by the streaming thread when the first event comes, replaced after an EOS; gone in stop */
  TandemSender *sender;
  gint failed;                  /* atomic: the error was posted */
  TandemDiscovery *discovery;   /* set in start, gone in stop; NULL: host says where to */

  /* streaming thread only */
  gboolean finished;            /* the sender's stream is complete */
  gboolean has_stream;
  TandemStreamInfo info;        /* of what is sent */
  gboolean encodes;             /* what comes has rows in float32, what is sent has not */
  TandemRowPool *rows;
  GstEvent *training;           /* (nullable): what the stages agree on */
};

/* gsttcpactsink-properties.c */
void gst_tcpact_sink_install_properties (GObjectClass *klass);
void gst_tcpact_sink_clear_properties (GstTcpactSink *self);

G_END_DECLS
