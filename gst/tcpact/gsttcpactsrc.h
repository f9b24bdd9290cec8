/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/base/gstpushsrc.h>

G_BEGIN_DECLS

#define GST_TYPE_TCPACT_SRC (gst_tcpact_src_get_type ())
G_DECLARE_FINAL_TYPE (GstTcpactSrc, gst_tcpact_src, GST, TCPACT_SRC, GstPushSrc)

G_END_DECLS
