/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "net/tandem-candidate.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_DISCOVERY (tandem_discovery_get_type ())

/**
 * TandemDiscovery:
 *
 * Which stages there are on the local network: those that are written down, and those that
 * announce themselves as %TANDEM_SERVICE_TYPE by mDNS, through the system's Avahi daemon.
 *
 * A stage that says goodbye disappears at once, one whose device dies only after minutes: being
 * listed does not mean being alive. Only a connection tells.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemDiscovery, tandem_discovery, TANDEM, DISCOVERY, GObject)

TANDEM_API
TandemDiscovery *tandem_discovery_new (const char *peers, GError **error);

TANDEM_API
void tandem_discovery_start (TandemDiscovery *discovery);

TANDEM_API
void tandem_discovery_stop (TandemDiscovery *discovery);

TANDEM_API
GPtrArray *tandem_discovery_get_candidates (TandemDiscovery *discovery);

TANDEM_API
GError *tandem_discovery_get_problem (TandemDiscovery *discovery);

G_END_DECLS
