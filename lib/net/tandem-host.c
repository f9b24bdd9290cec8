/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-host.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
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

/* Returns (transfer full) (nullable): the interface that has this address. */
static char *
find_interface (const char *host)
{
  struct ifaddrs *all, *one;
  char *found = NULL;

  if (getifaddrs (&all) != 0)
    return NULL;
  for (one = all; one != NULL && found == NULL; one = one->ifa_next) {
    g_autoptr (GSocketAddress) address = NULL;
    g_autofree char *text = NULL;

    if (one->ifa_addr == NULL ||
        (one->ifa_addr->sa_family != AF_INET && one->ifa_addr->sa_family != AF_INET6))
      continue;
    address = g_socket_address_new_from_native (one->ifa_addr,
        one->ifa_addr->sa_family == AF_INET ? sizeof (struct sockaddr_in)
                                            : sizeof (struct sockaddr_in6));
    text = address != NULL ? tandem_host_from_address (address) : NULL;
    if (g_strcmp0 (text, host) == 0)
      found = g_strdup (one->ifa_name);
  }
  freeifaddrs (all);
  return found;
}

/* Returns (transfer full) a host that another device names over a connection, as it is to be used
 * here. What is valid on one link only is taken to be on the link of that connection, for what the
 * other device calls its interfaces means nothing here. */
char *
tandem_host_from_peer (const char *host, GSocket *socket)
{
  g_autofree char *plain = g_strndup (host, strcspn (host, "%"));
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (plain);
  g_autoptr (GSocketAddress) local = g_socket_get_local_address (socket, NULL);
  g_autofree char *here = NULL, *interface = NULL;

  if (address == NULL || g_inet_address_get_family (address) != G_SOCKET_FAMILY_IPV6 ||
      !g_inet_address_get_is_link_local (address) || !G_IS_INET_SOCKET_ADDRESS (local) ||
      g_inet_address_get_is_loopback (
          g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (local))))
    return g_strdup (host);
  here = tandem_host_from_address (local);
  interface = find_interface (here);
  return interface != NULL ? g_strdup_printf ("%s%%%s", plain, interface) : g_strdup (host);
}
