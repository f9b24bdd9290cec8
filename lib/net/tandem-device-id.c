/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The id of the device is the same after a restart: a keyed hash of the machine id, which itself is
 * not to be shown to the network (see machine-id(5)). Machines that were cloned have the same one,
 * therefore each process has a random number, too. */

#include "config.h"

#include "tandem-device-id.h"

#include <string.h>

#define SALT "tandem device id 1"
#define ID_DIGITS 32

static char *
random_hex (gsize digits)
{
  GString *hex = g_string_new (NULL);

  while (hex->len < digits)
    g_string_append_printf (hex, "%08x", g_random_int ());
  return g_string_free (hex, FALSE);
}

static char *
read_machine_id (void)
{
  static const char *const paths[] = { "/etc/machine-id", "/var/lib/dbus/machine-id" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (paths); i++) {
    g_autofree char *text = NULL;

    if (g_file_get_contents (paths[i], &text, NULL, NULL) && strlen (g_strstrip (text)) == 32)
      return g_steal_pointer (&text);
  }
  return NULL;
}

/**
 * tandem_device_id_get: (skip)
 *
 * Returns: (transfer none): 32 hexadecimal digits; random for this process on a
 *   machine that has no id
 */
const char *
tandem_device_id_get (void)
{
  static char *id = NULL;

  if (g_once_init_enter (&id)) {
    g_autofree char *machine = read_machine_id ();
    char *hex = NULL;

    if (machine != NULL) {
      hex = g_compute_hmac_for_string (G_CHECKSUM_SHA256, (const guchar *) machine,
                                       strlen (machine), SALT, -1);
      hex[ID_DIGITS] = '\0';
    } else {
      hex = random_hex (ID_DIGITS);
    }
    g_once_init_leave (&id, hex);
  }
  return id;
}

/**
 * tandem_device_id_get_instance: (skip)
 *
 * Returns: (transfer none): 16 hexadecimal digits, random for this process
 */
const char *
tandem_device_id_get_instance (void)
{
  static char *instance = NULL;

  if (g_once_init_enter (&instance))
    g_once_init_leave (&instance, random_hex (16));
  return instance;
}
