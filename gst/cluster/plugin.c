/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "gstbertbin.h"
#include "tandem.h"

static gboolean
plugin_init (GstPlugin *plugin)
{
  tandem_init ();
  return GST_ELEMENT_REGISTER (bertbin, plugin);
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, tandemcluster,
                   "Models that run on the devices of a network", plugin_init, PACKAGE_VERSION,
                   "LGPL", PACKAGE_NAME, PACKAGE_ORIGIN)
