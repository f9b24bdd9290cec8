/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A search that mpirun started: rank 0 searches, and all ranks evaluate. */
#pragma once

#include "tandem-mpi.h"
#include "tandem-tune-objective.h"

G_BEGIN_DECLS

/* What ranks tell each other. */
enum
{
  TUNE_MPI_OPTIONS,             /* from rank 0: its arguments, a zero behind each */
  TUNE_MPI_READY,               /* what its data is known by, and behind a newline its host */
  TUNE_MPI_UNABLE,              /* why it cannot evaluate, and behind a newline its host */
  TUNE_MPI_REQUEST,             /* from rank 0: a trial's number, a space, and the trial as JSON */
  TUNE_MPI_ANSWER,              /* the number, a space, and the evaluation as JSON */
  TUNE_MPI_FAILURE,             /* the same, and why this candidate cannot be evaluated */
  TUNE_MPI_BROKEN,              /* the same, and why no other one can either */
  TUNE_MPI_ALIVE,               /* nothing: that it is there, each second once it is ready */
  TUNE_MPI_END                  /* from rank 0: there is no more to do; to it: the last text */
};

/* So many seconds without a text from a rank that evaluates, and it is taken for lost: MPI tells of a
 * process that dies, but for long of no machine that does. */
#define TUNE_MPI_SILENCE 20

/* As rank 0 sees it. */
typedef struct
{
  const TandemMpi *mpi;
  guint rank, n_ranks;
  char **hosts;                 /* [n_ranks]; NULL: not known yet */
  gboolean is_torn;             /* a rank is lost: nobody waits for it */
} TuneMpi;

/* Whether mpirun started this process. */
gboolean tune_mpi_is_launched (void);

/* Finds the other ranks. */
gboolean tune_mpi_begin (TuneMpi *self, GError **error);

/* Ends with them: at rank 0 says to all that there is no more to do. Where a rank is lost it ends the
 * process, too, with @status. */
void tune_mpi_end (TuneMpi *self, int status);

/* Rank 0 tells the others what is searched. */
void tune_mpi_send_options (TuneMpi *self, const TuneOptions *options);

/* Rank 0 waits until all others have read their data, which is to be the same as that of
 * @objective. */
gboolean tune_mpi_wait_until_ready (TuneMpi *self, TuneObjective *objective,
                                    GCancellable *cancellable, GError **error);

/* For each text that comes. It owns none of its arguments. */
typedef void (*TuneMpiFunc) (guint rank, guint kind, const char *text, gsize size, gpointer data);

/* A source that looks for texts, with shorter pauses where some came a moment ago: MPI has nothing
 * that a main loop could wait for. Attached to the thread-default main context; from there comes
 * @func. */
GSource *tune_mpi_watch (const TandemMpi *mpi, TuneMpiFunc func, gpointer data);

/* Returns what is behind the number that a text begins with, and a space; NULL where it does not
 * begin so. */
const char *tune_mpi_split (const char *text, guint64 *number);

/* All other ranks: evaluate what rank 0 asks for until it ends. Returns an exit status. */
int tune_mpi_serve (TuneMpi *self);

G_END_DECLS
