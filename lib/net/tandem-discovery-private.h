/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: nodes are found as stages are, by another type, other lists and another record. */

#include "net/tandem-discovery.h"

G_BEGIN_DECLS

#define TANDEM_DISCOVERY_NODE_TYPE "_tandem-node._tcp"
#define TANDEM_DISCOVERY_NODE_PORT 10301

/* nodes: (nullable): a list as "host:port,host:port", or "@" and the name of a file with one; NULL:
 * TANDEM_NODES and the file tandem/nodes in the user's configuration folder. */
TandemDiscovery *tandem_discovery_new_for_nodes (const char *nodes, GError **error);

/* Whether a candidate, by its key, showed that it is what it says: then it keeps its place however many
 * others are announced. In any thread. */
void tandem_discovery_keep (TandemDiscovery *discovery, const char *key, gboolean keep);

/* Whether mDNS had time to find who is there, or there is none. In any thread. */
gboolean tandem_discovery_is_settled (TandemDiscovery *discovery);

G_END_DECLS
