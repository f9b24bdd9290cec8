/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-init.h"

#include <glib/gi18n-lib.h>

#include "stream/tandem-batch-meta.h"

/**
 * tandem_init:
 *
 * Binds the message catalogue and registers the types that others look up by
 * name. Elements and tools call it; an application that calls library
 * functions directly should call it once after `gst_init()`. Calling it again,
 * from any thread, does nothing.
 *
 * The environment variable `TANDEM_LOCALEDIR` names another folder of
 * translations, for a build that is not installed.
 */
void
tandem_init (void)
{
  static gsize once = 0;

  if (g_once_init_enter (&once)) {
    const char *dir = g_getenv ("TANDEM_LOCALEDIR");

    bindtextdomain (GETTEXT_PACKAGE, dir != NULL ? dir : LOCALEDIR);
    bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
    tandem_batch_meta_get_info ();
    g_once_init_leave (&once, 1);
  }
}

/**
 * tandem_version:
 *
 * Returns: (transfer none): the version of the library, as "0.1.0"
 */
const char *
tandem_version (void)
{
  return PACKAGE_VERSION;
}
