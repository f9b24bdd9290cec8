/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-listener.h"

#include <glib/gi18n-lib.h>

/* The system keeps so many until we have looked at those before them: whoever finds no room there
 * tries again only after a second. */
#define BACKLOG 128

static GInetAddress *
find_address (const char *name, GError **error)
{
  GInetAddress *address = g_inet_address_new_from_string (name);
  g_autoptr (GResolver) resolver = NULL;
  GList *found;

  if (address != NULL)
    return address;
  resolver = g_resolver_get_default ();
  found = g_resolver_lookup_by_name (resolver, name, NULL, error);
  if (found == NULL)
    return NULL;
  address = g_object_ref (found->data);
  g_resolver_free_addresses (found);
  return address;
}

/* Beyond loopback there is a key, or somebody said that there is to be none. */
static gboolean
choose_key (const char *name, GInetAddress *address, TandemClusterKey **key, gboolean insecure,
            GError **error)
{
  g_autoptr (GError) local = NULL;

  if (*key != NULL && insecure) {
    g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_INSECURE,
                         _("A key and insecure=true exclude each other."));
    return FALSE;
  }
  if (*key == NULL && !insecure && !g_inet_address_get_is_loopback (address)) {
    *key = tandem_cluster_key_load_default (&local);
    if (*key == NULL) {
      g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_INSECURE,
                   _("%s can be reached by other machines and nothing protects the connection. %s "
                     "(Or listen on 127.0.0.1, or set insecure=true on a network whose every "
                     "machine you trust.)"), name, local->message);
      return FALSE;
    }
  }
  return *key == NULL || tandem_cluster_key_check_validity (*key, error);
}

/**
 * tandem_listen: (skip)
 * @address: an address, or a name that has one
 * @port: the TCP port; 0: any free one
 * @key: (inout) (nullable): the cluster key; beyond loopback the default one is loaded when
 *   there is none
 * @insecure: whether to do without a key beyond loopback
 * @bound_port: (out): the port
 * @error: return location for %TANDEM_NET_ERROR_INSECURE, %TANDEM_NET_ERROR_KEY when
 *   the cluster key has expired, or an error of #GIOErrorEnum or #GResolverError
 *
 * Returns: (transfer full): a socket that listens and does not block, or %NULL
 */
GSocket *
tandem_listen (const char *address, guint16 port, TandemClusterKey **key, gboolean insecure,
               guint16 *bound_port, GError **error)
{
  g_autoptr (GInetAddress) inet = find_address (address, error);
  g_autoptr (GSocketAddress) wanted = NULL;
  g_autoptr (GSocketAddress) bound = NULL;
  g_autoptr (GSocket) socket = NULL;

  if (inet == NULL || !choose_key (address, inet, key, insecure, error))
    return NULL;
  socket = g_socket_new (g_inet_address_get_family (inet), G_SOCKET_TYPE_STREAM,
                         G_SOCKET_PROTOCOL_TCP, error);
  if (socket == NULL)
    return NULL;
  wanted = g_inet_socket_address_new (inet, port);
  g_socket_set_blocking (socket, FALSE);
  g_socket_set_listen_backlog (socket, BACKLOG);
  if (!g_socket_bind (socket, wanted, TRUE, error) || !g_socket_listen (socket, error) ||
      (bound = g_socket_get_local_address (socket, error)) == NULL)
    return NULL;
  *bound_port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound));
  return g_steal_pointer (&socket);
}
