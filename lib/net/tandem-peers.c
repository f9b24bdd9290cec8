/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lists of devices, as "host:port,[2001:db8::1]:10300": the property, the environment and the
 * user's file are read by the same code, in this order. */

#include "config.h"

#include "tandem-peers.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "net/tandem-sender.h"

const TandemPeerLists tandem_peer_lists_of_stages = { "peers", "TANDEM_PEERS", "peers",
                                                      TANDEM_NET_DEFAULT_PORT };

#define MAX_FILE (64 * 1024)
#define MAX_HOST 253

static gboolean
is_known (GPtrArray *peers, GNetworkAddress *peer)
{
  guint i;

  for (i = 0; i < peers->len; i++) {
    GNetworkAddress *other = peers->pdata[i];

    if (g_network_address_get_port (other) == g_network_address_get_port (peer) &&
        g_ascii_strcasecmp (g_network_address_get_hostname (other),
                            g_network_address_get_hostname (peer)) == 0)
      return TRUE;
  }
  return FALSE;
}

static GNetworkAddress *
parse_one (const char *text, guint16 port)
{
  g_autoptr (GSocketConnectable) address = g_network_address_parse (text, port, NULL);
  const char *host;

  if (address == NULL)
    return NULL;
  host = g_network_address_get_hostname (G_NETWORK_ADDRESS (address));
  if (host[0] == '\0' || strlen (host) > MAX_HOST || strpbrk (host, " \t/@") != NULL ||
      g_network_address_get_port (G_NETWORK_ADDRESS (address)) == 0)
    return NULL;
  return G_NETWORK_ADDRESS (g_steal_pointer (&address));
}

/**
 * tandem_peers_parse: (skip)
 * @text: "host:port" with commas or ends of lines between them. What follows # in a line is a
 *   remark
 * @source: where @text comes from, for the error
 * @port: the port where none is named
 * @peers: (element-type GNetworkAddress): where to append those that are not in it yet
 * @error: return location for %G_IO_ERROR_INVALID_ARGUMENT
 *
 * Returns: whether @text is a list
 */
gboolean
tandem_peers_parse (const char *text, const char *source, guint16 port, GPtrArray *peers,
                    GError **error)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  guint i, j;

  for (i = 0; lines[i] != NULL; i++) {
    g_auto (GStrv) items = NULL;

    lines[i][strcspn (lines[i], "#")] = '\0';
    items = g_strsplit (lines[i], ",", -1);
    for (j = 0; items[j] != NULL; j++) {
      g_autoptr (GNetworkAddress) peer = NULL;

      if (g_strstrip (items[j])[0] == '\0')
        continue;
      peer = parse_one (items[j], port);
      if (peer == NULL) {
        g_autofree char *shown = g_utf8_make_valid (items[j], MIN (strlen (items[j]), 80));

        g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                     _("%s: \"%s\" is not an address as \"host:port\" or \"[IPv6]:port\"."),
                     source, shown);
        return FALSE;
      }
      if (is_known (peers, peer))
        continue;
      if (peers->len >= TANDEM_PEERS_MAX) {
        g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                     _("%s: more than %u devices are listed."), source, TANDEM_PEERS_MAX);
        return FALSE;
      }
      g_ptr_array_add (peers, g_steal_pointer (&peer));
    }
  }
  return TRUE;
}

/**
 * tandem_peers_read_file: (skip)
 * @path: the name of a file with a list
 * @port: the port where none is named
 * @peers: (element-type GNetworkAddress): where to append those that are not in it yet
 * @error: return location for %G_IO_ERROR_INVALID_ARGUMENT, %G_IO_ERROR_NOT_FOUND, or why the file
 *   cannot be read
 *
 * Returns: whether the file is a list
 */
gboolean
tandem_peers_read_file (const char *path, guint16 port, GPtrArray *peers, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInputStream) stream = NULL;
  g_autoptr (GError) reason = NULL;
  g_autofree char *text = g_malloc (MAX_FILE + 1);
  gsize size;

  stream = g_file_read (file, NULL, &reason);
  if (stream == NULL ||
      !g_input_stream_read_all (G_INPUT_STREAM (stream), text, MAX_FILE + 1, &size, NULL,
                                &reason)) {
    g_propagate_prefixed_error (error, g_steal_pointer (&reason), "%s: ", path);
    return FALSE;
  }
  if (size > MAX_FILE || memchr (text, 0, size) != NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 _("%s: not a list of devices, or longer than %u bytes."), path, MAX_FILE);
    return FALSE;
  }
  text[size] = '\0';
  return tandem_peers_parse (text, path, port, peers, error);
}

/**
 * tandem_peers_collect: (skip)
 * @lists: where lists are
 * @property: (nullable): a list
 * @error: return location for %G_IO_ERROR_INVALID_ARGUMENT, or why the file cannot be read
 *
 * Reads @property, then the environment variable, then the file in the user's configuration folder.
 *
 * Returns: (transfer full) (element-type GNetworkAddress): all, each once
 */
GPtrArray *
tandem_peers_collect (const TandemPeerLists *lists, const char *property, GError **error)
{
  g_autoptr (GPtrArray) peers = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *path = g_build_filename (g_get_user_config_dir (), "tandem", lists->file, NULL);
  const char *environment = g_getenv (lists->environment);
  g_autoptr (GError) reason = NULL;

  if ((property != NULL &&
       !tandem_peers_parse (property, lists->property, lists->port, peers, error)) ||
      (environment != NULL &&
       !tandem_peers_parse (environment, lists->environment, lists->port, peers, error)))
    return NULL;
  if (!tandem_peers_read_file (path, lists->port, peers, &reason) &&
      !g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)) {
    g_propagate_error (error, g_steal_pointer (&reason));
    return NULL;
  }
  return g_steal_pointer (&peers);
}
