/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: devices that somebody wrote down. */

#include <gio/gio.h>

G_BEGIN_DECLS

/* More are refused. */
#define TANDEM_PEERS_MAX 256

gboolean tandem_peers_parse (const char *text, const char *source, GPtrArray *peers,
                             GError **error);
GPtrArray *tandem_peers_collect (const char *property, GError **error);

G_END_DECLS
