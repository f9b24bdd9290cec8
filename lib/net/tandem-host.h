/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: addresses as others take them. */

#include <gio/gio.h>

G_BEGIN_DECLS

char *tandem_host_from_address (GSocketAddress *address);
char *tandem_host_from_peer (const char *host, GSocket *socket);

G_END_DECLS
