/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to the library: how a port is opened that strangers can reach. */

#include <gio/gio.h>

#include "net/tandem-cluster-key.h"

G_BEGIN_DECLS

GSocket *tandem_listen (const char *address, guint16 port, TandemClusterKey **key,
                        gboolean insecure, guint16 *bound_port, GError **error);

G_END_DECLS
