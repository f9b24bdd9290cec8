/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The log of a search: a line of JSON for each evaluation. Not a part of the public API. */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

/* Opens a log to append to. Lines of evaluations that the optimizer does not know, because the
 * process died before it saved its state, are removed: they come again. */
GOutputStream *tandem_tuning_log_open (const char *path, TandemOptimizer *optimizer,
                                       GCancellable *cancellable, GError **error);

G_END_DECLS
