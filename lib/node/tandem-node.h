/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "net/tandem-cluster-key.h"
#include "node/tandem-node-error.h"

G_BEGIN_DECLS

/**
 * TANDEM_NODE_DEFAULT_PORT:
 *
 * The TCP port on which a node usually listens.
 */
#define TANDEM_NODE_DEFAULT_PORT 10301

/**
 * TANDEM_NODE_DEFAULT_CACHE_LIMIT:
 *
 * How many bytes of stage files a node keeps when nothing else is said.
 */
#define TANDEM_NODE_DEFAULT_CACHE_LIMIT (G_GUINT64_CONSTANT (4) << 30)

/**
 * TANDEM_NODE_SERVICE_TYPE:
 *
 * The DNS-SD service type under which nodes are announced.
 */
#define TANDEM_NODE_SERVICE_TYPE "_tandem-node._tcp"

#define TANDEM_TYPE_NODE (tandem_node_get_type ())

/**
 * TandemNode:
 *
 * The service of a device that runs stages for others: they ask what it can do, have it measure a
 * model of some shape, send it stage files, and have it build pipelines, over one TCP port. It is
 * what `tandem node` runs, and an application can have one in its own main loop.
 *
 * A node works in the thread-default context that it was made in and never blocks it: files are
 * read and written, models measured and pipelines started in other threads. It needs gst_init() and
 * the elements `tcpactsrc`, `bertstage` and `tcpactsink`.
 *
 * Beyond loopback a node listens only with a cluster key: whoever has the key may use the device.
 * Pipelines belong to the connection over which they were asked for, and end with it.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemNode, tandem_node, TANDEM, NODE, GObject)

TANDEM_API
TandemNode *tandem_node_new (void);

TANDEM_API
gboolean tandem_node_start (TandemNode *self, GError **error);

TANDEM_API
void tandem_node_stop_async (TandemNode *self, GAsyncReadyCallback callback, gpointer user_data);

TANDEM_API
gboolean tandem_node_stop_finish (TandemNode *self, GAsyncResult *result, GError **error);

TANDEM_API
guint16 tandem_node_get_port (TandemNode *self);

G_END_DECLS
