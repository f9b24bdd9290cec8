/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <gst/gst.h>

#include "gstsentimentloss.h"
#include "gstsentimentsink.h"
#include "tandem-init.h"

static gboolean
plugin_init (GstPlugin *plugin)
{
  tandem_init ();
  return GST_ELEMENT_REGISTER (sentimentsink, plugin) &&
      GST_ELEMENT_REGISTER (sentimentloss, plugin);
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, tandemsentiment,
                   "What a split transformer says about a review", plugin_init, PACKAGE_VERSION,
                   "LGPL", PACKAGE_NAME, PACKAGE_ORIGIN)
