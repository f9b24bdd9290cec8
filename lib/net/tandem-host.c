/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-host.h"

#include <net/if.h>
#include <string.h>

/* Returns (transfer full) (nullable) the address without its port, with the interface where it is
 * valid on one link only; an IPv4 address that came in as IPv6 is IPv4. */
char *
tandem_host_from_address (GSocketAddress *socket_address)
{
  static const guint8 mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
  g_autoptr (GInetAddress) plain = NULL;
  g_autofree char *text = NULL;
  GInetSocketAddress *inet;
  GInetAddress *address;
  const guint8 *bytes;
  char name[IF_NAMESIZE];

  if (!G_IS_INET_SOCKET_ADDRESS (socket_address))
    return NULL;
  inet = G_INET_SOCKET_ADDRESS (socket_address);
  address = g_inet_socket_address_get_address (inet);
  bytes = g_inet_address_to_bytes (address);
  if (g_inet_address_get_family (address) == G_SOCKET_FAMILY_IPV6 &&
      memcmp (bytes, mapped, sizeof mapped) == 0)
    address = plain = g_inet_address_new_from_bytes (bytes + 12, G_SOCKET_FAMILY_IPV4);
  text = g_inet_address_to_string (address);
  if (g_inet_address_get_is_link_local (address) &&
      if_indextoname (g_inet_socket_address_get_scope_id (inet), name) != NULL)
    return g_strdup_printf ("%s%%%s", text, name);
  return g_steal_pointer (&text);
}
