/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#define TANDEM_AVAHI_LIBRARY_IMPLEMENTATION
#include "tandem-avahi-library.h"

#include <gmodule.h>

TandemAvahiLibrary tandem_avahi_library;

/* Set once, before anybody calls the library. */
static const char *problem;

typedef struct
{
  const char *name;
  gsize place;                  /* in the table */
} Symbol;

#define SYMBOL(name) { #name, G_STRUCT_OFFSET (TandemAvahiLibrary, name) },

static void
load (const char *file, const Symbol *symbols, guint n_symbols)
{
  GModule *module = g_module_open (file, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  guint i;

  if (module == NULL && problem == NULL)
    problem = g_intern_string (g_module_error ());
  for (i = 0; module != NULL && i < n_symbols; i++) {
    gpointer *place = G_STRUCT_MEMBER_P (&tandem_avahi_library, symbols[i].place);

    if (!g_module_symbol (module, symbols[i].name, place) && problem == NULL)
      problem = g_intern_string (g_module_error ());
  }
}

/**
 * tandem_avahi_library_load: (skip)
 *
 * Returns: whether Avahi's functions can be called
 */
gboolean
tandem_avahi_library_load (void)
{
  static const Symbol common[] = { TANDEM_AVAHI_COMMON (SYMBOL) };
  static const Symbol client[] = { TANDEM_AVAHI_CLIENT (SYMBOL) };
  static const Symbol glib[] = { TANDEM_AVAHI_GLIB (SYMBOL) };
  static gsize done = 0;

  if (g_once_init_enter (&done)) {
    load ("libavahi-common.so.3", common, G_N_ELEMENTS (common));
    load ("libavahi-client.so.3", client, G_N_ELEMENTS (client));
    load ("libavahi-glib.so.1", glib, G_N_ELEMENTS (glib));
    g_once_init_leave (&done, 1);
  }
  return problem == NULL;
}

/**
 * tandem_avahi_library_strerror: (skip)
 * @error: an error of Avahi, or %TANDEM_AVAHI_ERR_LIBRARY
 *
 * Returns: what it means
 */
const char *
tandem_avahi_library_strerror (int error)
{
  return problem != NULL ? problem : tandem_avahi_library.avahi_strerror (error);
}
