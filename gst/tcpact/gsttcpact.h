/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What both elements of the plugin share. */

#include <gst/gst.h>

#include "net/tandem-advertiser.h"
#include "net/tandem-cluster-key.h"
#include "net/tandem-sender.h"
#include "stream/tandem-caps.h"

G_BEGIN_DECLS

#define GST_TCPACT_CAPS \
  TANDEM_CAPS_TOKENS ";" TANDEM_CAPS_ACTIVATIONS ";" TANDEM_CAPS_LOGITS

#define GST_TCPACT_DEFAULT_MAX_PAYLOAD (64 * 1024 * 1024)

GST_ELEMENT_REGISTER_DECLARE (tcpactsink);
GST_ELEMENT_REGISTER_DECLARE (tcpactsrc);

gboolean gst_tcpact_load_key (const char *path, gboolean insecure, TandemClusterKey **key,
                              GError **error);
void gst_tcpact_post (GstElement *element, GstMessageType type, const GError *error,
                      const char *state);

/* gsttcpact-discovery.c */
void gst_tcpact_post_search (GstElement *element, TandemSearchState state,
                             TandemCandidate *candidate, guint n_candidates,
                             const GError *reason);
TandemAdvertiser *gst_tcpact_advertise (GstElement *element, const TandemServiceInfo *service,
                                        GInetAddress *address, guint port);

G_END_DECLS
