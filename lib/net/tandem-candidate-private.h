/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: how candidates come to be. Exported for the tests only. */

#include "net/tandem-candidate.h"

G_BEGIN_DECLS

/* More addresses of one stage are not remembered. */
#define TANDEM_CANDIDATE_MAX_ADDRESSES 8

TANDEM_API
TandemCandidate *tandem_candidate_new (const char *key, const char *name,
                                       const TandemServiceInfo *service, const GError *problem);
void tandem_candidate_add_listed (TandemCandidate *candidate, GNetworkAddress *address);
TANDEM_API
void tandem_candidate_add_address (TandemCandidate *candidate, GInetSocketAddress *address);
gboolean tandem_candidate_is_same_address (GInetSocketAddress *a, GInetSocketAddress *b);

G_END_DECLS
