/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "net/tandem-cluster-key.h"
#include "node/tandem-node-error.h"
#include "node/tandem-node-info.h"
#include "place/tandem-profile.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_NODE_CLIENT (tandem_node_client_get_type ())

/**
 * TandemNodeClient:
 *
 * A connection to a #TandemNode, over which its device is asked for what it can do and set to work.
 * Stages that were built over it stop when it ends.
 *
 * It works in the thread-default context of the thread in which it was made, where callbacks and
 * signals come, too; no other thread may use it. While it is open it pings the node now and then,
 * so that either side notices when the other one has gone.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemNodeClient, tandem_node_client, TANDEM, NODE_CLIENT, GObject)

TANDEM_API
void tandem_node_client_connect_async (const char *host, guint16 port, TandemClusterKey *key,
                                       gboolean insecure, GCancellable *cancellable,
                                       GAsyncReadyCallback callback, gpointer user_data);

TANDEM_API
void tandem_node_client_connect_to_async (GSocketConnectable *to, TandemClusterKey *key,
                                          gboolean insecure, GCancellable *cancellable,
                                          GAsyncReadyCallback callback, gpointer user_data);

TANDEM_API
TandemNodeClient *tandem_node_client_connect_finish (GAsyncResult *result, GError **error);

TANDEM_API
void tandem_node_client_close (TandemNodeClient *self);

TANDEM_API
gboolean tandem_node_client_is_open (TandemNodeClient *self);

TANDEM_API
const char *tandem_node_client_get_address (TandemNodeClient *self);

TANDEM_API
guint16 tandem_node_client_get_port (TandemNodeClient *self);

TANDEM_API
char *tandem_node_client_dup_local_address (TandemNodeClient *self);

TANDEM_API
gboolean tandem_node_client_is_occupied (TandemNodeClient *self);

TANDEM_API
void tandem_node_client_ping_async (TandemNodeClient *self, GCancellable *cancellable,
                                    GAsyncReadyCallback callback, gpointer user_data);

TANDEM_API
gboolean tandem_node_client_ping_finish (TandemNodeClient *self, GAsyncResult *result,
                                         GError **error);

TANDEM_API
void tandem_node_client_describe_async (TandemNodeClient *self, GCancellable *cancellable,
                                        GAsyncReadyCallback callback, gpointer user_data);

TANDEM_API
TandemNodeInfo *tandem_node_client_describe_finish (TandemNodeClient *self, GAsyncResult *result,
                                                    GError **error);

TANDEM_API
void tandem_node_client_measure_link_async (TandemNodeClient *self, GCancellable *cancellable,
                                            GAsyncReadyCallback callback, gpointer user_data);

TANDEM_API
gboolean tandem_node_client_measure_link_finish (TandemNodeClient *self, GAsyncResult *result,
                                                 TandemNetworkLink *out, TandemNetworkLink *in,
                                                 GError **error);

TANDEM_API
void tandem_node_client_measure_async (TandemNodeClient *self, const char *host, guint16 port,
                                       GCancellable *cancellable, GAsyncReadyCallback callback,
                                       gpointer user_data);

TANDEM_API
gboolean tandem_node_client_measure_finish (TandemNodeClient *self, GAsyncResult *result,
                                            TandemNetworkLink *out, TandemNetworkLink *in,
                                            GError **error);

TANDEM_API
void tandem_node_client_reach_async (TandemNodeClient *self, const char *host, guint16 port,
                                     GCancellable *cancellable, GAsyncReadyCallback callback,
                                     gpointer user_data);

TANDEM_API
gboolean tandem_node_client_reach_finish (TandemNodeClient *self, GAsyncResult *result,
                                          GError **error);

TANDEM_API
void tandem_node_client_profile_async (TandemNodeClient *self, const char *config_text,
                                       TandemQuantization quantization, double zeros,
                                       TandemPrecision precision, guint n_threads, double seconds,
                                       GCancellable *cancellable, GAsyncReadyCallback callback,
                                       gpointer user_data);

TANDEM_API
TandemProfile *tandem_node_client_profile_finish (TandemNodeClient *self, GAsyncResult *result,
                                                  GError **error);

TANDEM_API
void tandem_node_client_have_async (TandemNodeClient *self, const char *digest,
                                    GCancellable *cancellable, GAsyncReadyCallback callback,
                                    gpointer user_data);

TANDEM_API
gboolean tandem_node_client_have_finish (TandemNodeClient *self, GAsyncResult *result,
                                         gboolean *complete, guint64 *bytes, GError **error);

TANDEM_API
void tandem_node_client_put_async (TandemNodeClient *self, const char *path,
                                   GCancellable *cancellable, GFileProgressCallback progress,
                                   gpointer progress_data, GAsyncReadyCallback callback,
                                   gpointer user_data);

TANDEM_API
char *tandem_node_client_put_finish (TandemNodeClient *self, GAsyncResult *result,
                                     GError **error);

TANDEM_API
void tandem_node_client_build_async (TandemNodeClient *self, const char *digest,
                                     guint first_layer, guint last_layer,
                                     TandemPrecision precision, guint n_threads,
                                     const TandemBatchShape *shape, TandemWireFormats format,
                                     const char *next_host, guint16 next_port,
                                     GCancellable *cancellable, GAsyncReadyCallback callback,
                                     gpointer user_data);

TANDEM_API
gboolean tandem_node_client_build_finish (TandemNodeClient *self, GAsyncResult *result,
                                          guint *stage, guint16 *port, guint64 *memory,
                                          GError **error);

TANDEM_API
void tandem_node_client_stop_async (TandemNodeClient *self, guint stage,
                                    GCancellable *cancellable, GAsyncReadyCallback callback,
                                    gpointer user_data);

TANDEM_API
gboolean tandem_node_client_stop_finish (TandemNodeClient *self, GAsyncResult *result,
                                         GError **error);

G_END_DECLS
