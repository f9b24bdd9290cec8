/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: which of the candidates a sender tries next, and why not the others. It knows no
 * network and no clock; it belongs to one thread. */

#include "net/tandem-candidate.h"

G_BEGIN_DECLS

typedef struct _TandemPeerSearch TandemPeerSearch;

/* Called when a candidate is refused for the first time, or for another reason than before. */
typedef void (*TandemPeerSearchFunc) (TandemCandidate *candidate, const GError *reason,
                                      gpointer user_data);

TandemPeerSearch *tandem_peer_search_new (TandemPeerSearchFunc refused, gpointer user_data);
void tandem_peer_search_free (TandemPeerSearch *search);
TandemCandidate *tandem_peer_search_choose (TandemPeerSearch *search, GPtrArray *candidates,
                                            const TandemStreamInfo *stream, gint64 now,
                                            gint64 *wake);
void tandem_peer_search_fail (TandemPeerSearch *search, TandemCandidate *candidate,
                              const GError *reason, gint64 now);
void tandem_peer_search_keep (TandemPeerSearch *search, TandemCandidate *candidate);
char *tandem_peer_search_explain (TandemPeerSearch *search, GPtrArray *candidates);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemPeerSearch, tandem_peer_search_free)

G_END_DECLS
