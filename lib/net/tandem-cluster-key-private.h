/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to lib/net: what is said about certificates, ours and those of peers. */

#include "net/tandem-cluster-key.h"

G_BEGIN_DECLS

#define TANDEM_CLUSTER_KEY_MAX_NAME 64

char *tandem_certificate_get_name (GTlsCertificate *certificate);
char *tandem_certificate_get_fingerprint (GTlsCertificate *certificate);
char *tandem_certificate_describe (GTlsCertificate *certificate);
gboolean tandem_certificate_has_expired (GTlsCertificate *certificate);

gboolean tandem_cluster_key_check_pair (const char *text, gsize size, GError **error);

G_END_DECLS
