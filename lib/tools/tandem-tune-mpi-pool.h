/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-tune-mpi.h"

G_BEGIN_DECLS

#define TUNE_TYPE_MPI_POOL (tune_mpi_pool_get_type ())

/* The processes of all ranks, as rank 0 sees them: an evaluator for one search. */
G_DECLARE_FINAL_TYPE (TuneMpiPool, tune_mpi_pool, TUNE, MPI_POOL, GObject)

/* @own: the processes of rank 0, of which each rank has as many. @mpi outlives it. */
TuneMpiPool *tune_mpi_pool_new (TuneMpi *mpi, TandemEvaluator *own);

G_END_DECLS
