/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "net/tandem-net-error.h"

G_BEGIN_DECLS

/**
 * TANDEM_CLUSTER_KEY_DEFAULT_DAYS:
 *
 * How many days a new cluster key is valid when nothing else is said.
 */
#define TANDEM_CLUSTER_KEY_DEFAULT_DAYS 730

/**
 * TANDEM_CLUSTER_KEY_MAX_DAYS:
 *
 * The most days that a cluster key can be valid.
 */
#define TANDEM_CLUSTER_KEY_MAX_DAYS 36500

#define TANDEM_TYPE_CLUSTER_KEY (tandem_cluster_key_get_type ())

/**
 * TandemClusterKey:
 *
 * The secret that the devices of a cluster share: a private key with a certificate signed by
 * itself, in one file of which each device has a copy. Who has the file is a member of the
 * cluster, and nobody else is.
 *
 * Both sides of a connection show the same certificate, prove that they have its private key
 * (TLS 1.3, RFC 8446), and accept exactly that certificate. An object does not change; any thread
 * may use it.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemClusterKey, tandem_cluster_key, TANDEM, CLUSTER_KEY, GObject)

TANDEM_API
char *tandem_cluster_key_get_default_path (void);

TANDEM_API
gboolean tandem_cluster_key_create (const char *path, const char *name, GDateTime *expiry,
                                    GError **error);

TANDEM_API
TandemClusterKey *tandem_cluster_key_load (const char *path, GError **error);

TANDEM_API
TandemClusterKey *tandem_cluster_key_load_default (GError **error);

TANDEM_API
const char *tandem_cluster_key_get_path (TandemClusterKey *key);

TANDEM_API
const char *tandem_cluster_key_get_name (TandemClusterKey *key);

TANDEM_API
const char *tandem_cluster_key_get_fingerprint (TandemClusterKey *key);

TANDEM_API
GDateTime *tandem_cluster_key_get_expiry (TandemClusterKey *key);

TANDEM_API
gboolean tandem_cluster_key_check_validity (TandemClusterKey *key, GError **error);

TANDEM_API
GTlsCertificate *tandem_cluster_key_get_certificate (TandemClusterKey *key);

G_END_DECLS
