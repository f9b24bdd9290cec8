/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: devices that somebody wrote down. */

#include <gio/gio.h>

G_BEGIN_DECLS

/* More are refused. */
#define TANDEM_PEERS_MAX 256

/* Where such lists are: a property, an environment variable, a file in tandem/ of the user's
 * configuration folder; and the port where none is named. */
typedef struct
{
  const char *property, *environment, *file;
  guint16 port;
} TandemPeerLists;

extern const TandemPeerLists tandem_peer_lists_of_stages;

gboolean tandem_peers_parse (const char *text, const char *source, guint16 port, GPtrArray *peers,
                             GError **error);
gboolean tandem_peers_read_file (const char *path, guint16 port, GPtrArray *peers, GError **error);
GPtrArray *tandem_peers_collect (const TandemPeerLists *lists, const char *property,
                                 GError **error);

G_END_DECLS
