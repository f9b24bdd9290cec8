/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <gst/gst.h>
#include <tandem.h>

#include "gstbertstage.h"

static gboolean
plugin_init (GstPlugin *plugin)
{
  tandem_init ();
  return GST_ELEMENT_REGISTER (bertstage, plugin);
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, tandembert,
                   "BERT models split over devices", plugin_init, PACKAGE_VERSION, "LGPL",
                   PACKAGE_NAME, PACKAGE_ORIGIN)
