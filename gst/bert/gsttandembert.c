/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * plugin-tandembert:
 *
 * Micro-batches and the stages of BERT models.
 */

#include "config.h"

#include <gst/gst.h>

#include "tandem.h"

#include "gsttandembert.h"

static gboolean
plugin_init (GstPlugin *plugin)
{
  gboolean ok = FALSE;

  tandem_init ();
  ok |= GST_ELEMENT_REGISTER (bertstage, plugin);
  ok |= GST_ELEMENT_REGISTER (microbatch, plugin);
  return ok;
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, tandembert,
                   "BERT models split over devices", plugin_init, PACKAGE_VERSION, "LGPL",
                   PACKAGE_NAME, PACKAGE_ORIGIN)
