/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "net/tandem-service-info.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_CANDIDATE (tandem_candidate_get_type ())

/**
 * TandemCandidate:
 *
 * A stage on the local network that may be connected to, under all the addresses at which it was
 * seen: of several interfaces, of IPv4 and IPv6, and from a list. It does not change; what is seen
 * later is in a new one. It is a #GSocketConnectable.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemCandidate, tandem_candidate, TANDEM, CANDIDATE, GObject)

TANDEM_API
const char *tandem_candidate_get_key (TandemCandidate *candidate);

TANDEM_API
const char *tandem_candidate_get_name (TandemCandidate *candidate);

TANDEM_API
char *tandem_candidate_get_host (TandemCandidate *candidate);

TANDEM_API
guint16 tandem_candidate_get_port (TandemCandidate *candidate);

TANDEM_API
guint tandem_candidate_get_n_addresses (TandemCandidate *candidate);

TANDEM_API
gboolean tandem_candidate_is_listed (TandemCandidate *candidate);

TANDEM_API
const TandemServiceInfo *tandem_candidate_get_service (TandemCandidate *candidate);

TANDEM_API
const GError *tandem_candidate_get_problem (TandemCandidate *candidate);

G_END_DECLS
