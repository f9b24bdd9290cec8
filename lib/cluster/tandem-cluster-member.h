/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib-object.h>

#include "tandem-export.h"
#include "node/tandem-node-client.h"
#include "node/tandem-node-info.h"
#include "place/tandem-profile.h"

G_BEGIN_DECLS

typedef struct _TandemClusterMember TandemClusterMember;

/**
 * TandemClusterMember:
 * @key: what tells it from all others: of an announcement, or the address as it was written down
 * @name: what people call it: by its own account when it has answered, until then that of the
 *   announcement, or "host:port"; printable
 * @host: the address at which it was reached, which other devices of the same network may use, or
 *   the first one that is known
 * @port: its TCP port
 * @n_addresses: how many addresses of it are known
 * @is_listed: whether somebody wrote it down
 * @is_usable: whether it has answered, and nothing is known that speaks against it
 * @info: (nullable): what it says about its device; %NULL until it has answered
 * @client: (nullable): a connection to it; %NULL when there is none. It may end at any time
 * @problem: (nullable): why it cannot be used, a sentence; %NULL also while nothing is known yet
 * @profile: (nullable): how fast it is with the model of the last tandem_cluster_prepare_async()
 *
 * A node as a #TandemCluster knew it at some time. It does not change.
 */
struct _TandemClusterMember
{
  char *key;
  char *name;
  char *host;
  guint16 port;
  guint n_addresses;
  gboolean is_listed;
  gboolean is_usable;
  TandemNodeInfo *info;
  TandemNodeClient *client;
  GError *problem;
  TandemProfile *profile;
};

#define TANDEM_TYPE_CLUSTER_MEMBER (tandem_cluster_member_get_type ())

TANDEM_API
GType tandem_cluster_member_get_type (void);

TANDEM_API
TandemClusterMember *tandem_cluster_member_copy (const TandemClusterMember *self);

TANDEM_API
void tandem_cluster_member_free (TandemClusterMember *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemClusterMember, tandem_cluster_member_free)

G_END_DECLS
