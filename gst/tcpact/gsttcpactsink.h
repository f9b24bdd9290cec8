/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/base/gstbasesink.h>

G_BEGIN_DECLS

#define GST_TYPE_TCPACT_SINK (gst_tcpact_sink_get_type ())
G_DECLARE_FINAL_TYPE (GstTcpactSink, gst_tcpact_sink, GST, TCPACT_SINK, GstBaseSink)

G_END_DECLS
