/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * plugin-tandemtext:
 *
 * Text in, tokens out: where a stream of reviews begins.
 */

#include "config.h"

#include <gst/gst.h>

#include "tandem.h"

#include "gsttandemtext.h"

static gboolean
plugin_init (GstPlugin *plugin)
{
  gboolean ok = FALSE;

  tandem_init ();
  ok |= GST_ELEMENT_REGISTER (lineparse, plugin);
  ok |= GST_ELEMENT_REGISTER (reviewsrc, plugin);
  ok |= GST_ELEMENT_REGISTER (tokenize, plugin);
  return ok;
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, tandemtext,
                   "Reads reviews and turns them into tokens", plugin_init, PACKAGE_VERSION,
                   "LGPL", PACKAGE_NAME, PACKAGE_ORIGIN)
