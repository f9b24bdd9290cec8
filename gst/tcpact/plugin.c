/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "gsttcpact.h"
#include "tandem.h"

static gboolean
plugin_init (GstPlugin *plugin)
{
  tandem_init ();
  return GST_ELEMENT_REGISTER (tcpactsink, plugin) & GST_ELEMENT_REGISTER (tcpactsrc, plugin);
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, tandemtcpact,
                   "Streams of activations over TCP", plugin_init, PACKAGE_VERSION, "LGPL",
                   PACKAGE_NAME, PACKAGE_ORIGIN)
