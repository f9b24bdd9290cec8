/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lists of devices, as "host:port,[2001:db8::1]:10300": the property, the environment and the
 * user's file are read by the same code, in this order. */

#include "config.h"

#include "tandem-peers.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "net/tandem-sender.h"

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
parse_one (const char *text)
{
  g_autoptr (GSocketConnectable) address =
      g_network_address_parse (text, TANDEM_NET_DEFAULT_PORT, NULL);
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
 * @text: "host:port" with commas or ends of lines between them; without a port it is
 *   %TANDEM_NET_DEFAULT_PORT. What follows # in a line is a remark
 * @source: where @text comes from, for the error
 * @peers: (element-type GNetworkAddress): where to append those that are not in it yet
 * @error: return location for %G_IO_ERROR_INVALID_ARGUMENT
 *
 * Returns: whether @text is a list
 */
gboolean
tandem_peers_parse (const char *text, const char *source, GPtrArray *peers, GError **error)
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
      peer = parse_one (items[j]);
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

static gboolean
read_file (GPtrArray *peers, GError **error)
{
  g_autofree char *path = g_build_filename (g_get_user_config_dir (), "tandem", "peers", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInputStream) stream = NULL;
  g_autoptr (GError) reason = NULL;
  g_autofree char *text = g_malloc (MAX_FILE + 1);
  gsize size;

  stream = g_file_read (file, NULL, &reason);
  if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    return TRUE;
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
  return tandem_peers_parse (text, path, peers, error);
}

/**
 * tandem_peers_collect: (skip)
 * @property: (nullable): a list
 * @error: return location for %G_IO_ERROR_INVALID_ARGUMENT, or why the file cannot be read
 *
 * Reads @property, then the environment variable `TANDEM_PEERS`, then the file `tandem/peers` in
 * the user's configuration folder.
 *
 * Returns: (transfer full) (element-type GNetworkAddress): all, each once
 */
GPtrArray *
tandem_peers_collect (const char *property, GError **error)
{
  g_autoptr (GPtrArray) peers = g_ptr_array_new_with_free_func (g_object_unref);
  const char *environment = g_getenv ("TANDEM_PEERS");

  if ((property != NULL && !tandem_peers_parse (property, "peers", peers, error)) ||
      (environment != NULL && !tandem_peers_parse (environment, "TANDEM_PEERS", peers, error)) ||
      !read_file (peers, error))
    return NULL;
  return g_steal_pointer (&peers);
}
