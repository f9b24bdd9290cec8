/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-tune-mpi.h"

G_BEGIN_DECLS

/* The two kinds of search. */
gboolean tune_run_weights (const TuneOptions *options, GCancellable *cancellable, GError **error);
/* mpi: the other ranks, or NULL where this process was not started by mpirun. */
gboolean tune_run_search (const TuneOptions *options, TuneMpi *mpi, GCancellable *cancellable,
                          GError **error);

/* (transfer full): processes that evaluate, each one this program. */
TandemWorkerPool *tune_make_pool (const TuneOptions *options);

/* Evaluates what comes on standard input until it ends. */
gboolean tune_run_worker (const TuneOptions *options, GCancellable *cancellable, GError **error);

G_END_DECLS
