/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "cluster/tandem-cluster-member.h"
#include "model/tandem-model.h"
#include "net/tandem-cluster-key.h"
#include "place/tandem-placement-problem.h"

G_BEGIN_DECLS

/**
 * TANDEM_CLUSTER_MAX_MEMBERS:
 *
 * More nodes wait until one of these gives its place up: one that is gone, or that was announced and did
 * not show that it is a node of the cluster. Those that are listed come first, and keep their places.
 */
#define TANDEM_CLUSTER_MAX_MEMBERS 63

#define TANDEM_TYPE_CLUSTER (tandem_cluster_get_type ())

/**
 * TandemCluster:
 *
 * The nodes that this device can use: those that are listed, and those that announce themselves by
 * mDNS. It connects to each, keeps the connection, and tries again when it ends. It measures what
 * a planner has to know.
 *
 * An announcement decides whom to ask and nothing else; who has the cluster key says the rest. A
 * node that is seen several times, by several addresses, listed and announced, is one member. Two
 * nodes on one device are two members: they may have processors and memory of their own, as in
 * containers, and machines that were cloned look the same. Their profiles are measured one after
 * the other.
 *
 * A cluster lives in the thread-default context of the thread in which it was made, where signals
 * and callbacks come, too; no other thread may use it.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemCluster, tandem_cluster, TANDEM, CLUSTER, GObject)

TANDEM_API
TandemCluster *tandem_cluster_new (const char *nodes, TandemClusterKey *key, gboolean insecure,
                                   GError **error);

TANDEM_API
void tandem_cluster_start (TandemCluster *self);

TANDEM_API
void tandem_cluster_stop (TandemCluster *self);

TANDEM_API
GPtrArray *tandem_cluster_dup_members (TandemCluster *self);

TANDEM_API
GError *tandem_cluster_dup_problem (TandemCluster *self);

TANDEM_API
gboolean tandem_cluster_is_settled (TandemCluster *self);

TANDEM_API
void tandem_cluster_set_memory_limit (TandemCluster *self, guint64 bytes);

TANDEM_API
void tandem_cluster_prepare_async (TandemCluster *self, TandemModel *model,
                                   TandemPrecision precision, guint n_threads,
                                   GCancellable *cancellable, GAsyncReadyCallback callback,
                                   gpointer user_data);

TANDEM_API
gboolean tandem_cluster_prepare_finish (TandemCluster *self, GAsyncResult *result,
                                        GError **error);

TANDEM_API
gboolean tandem_cluster_get_link (TandemCluster *self, const char *from, const char *to,
                                  TandemNetworkLink *link);

TANDEM_API
TandemPlacementProblem *tandem_cluster_make_problem (TandemCluster *self, TandemModel *model,
                                                     TandemPrecision precision,
                                                     const TandemBatchShape *shape,
                                                     TandemWireFormats formats,
                                                     GPtrArray **members_of_devices,
                                                     GError **error);

G_END_DECLS
