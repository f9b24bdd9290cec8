/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-tune-options.h"

G_BEGIN_DECLS

/* The two kinds of search. */
gboolean tune_run_weights (const TuneOptions *options, GCancellable *cancellable, GError **error);
gboolean tune_run_search (const TuneOptions *options, GCancellable *cancellable, GError **error);

/* Evaluates what comes on standard input until it ends. */
gboolean tune_run_worker (const TuneOptions *options, GCancellable *cancellable, GError **error);

G_END_DECLS
