/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by the files of the element alone. */

#include "gsttcpact.h"
#include "gsttcpactsrc.h"
#include "net/tandem-receiver.h"
#include "tcpact-rows.h"

G_BEGIN_DECLS

struct _GstTcpactSrc
{
  GstPushSrc parent;

  /* object lock; read at start */
  char *address;
  char *key;                    /* (nullable) */
  char *device_name;
  gboolean advertise;
  TandemReceiverOptions options;

  /* object lock */
  GCancellable *cancellable;
  guint current_port;

  /* set in start, gone in stop; with the object lock, other threads send gradients */
  TandemReceiver *receiver;
  gint failed;                  /* atomic: the error was posted */

  /* streaming thread; gone in stop */
  TandemAdvertiser *advertiser;

  /* streaming thread only */
  gboolean accepting;
  guint n_streams;
  guint group_id;               /* of the stream that is pushed; 0: none */
  gboolean decodes;             /* rows come in another format than float32 */
  TandemRowPool *rows;
};

/* gsttcpactsrc-properties.c */
void gst_tcpact_src_install_properties (GObjectClass *klass);
void gst_tcpact_src_clear_properties (GstTcpactSrc *self);
void gst_tcpact_src_set_current_port (GstTcpactSrc *self, guint port);

G_END_DECLS
