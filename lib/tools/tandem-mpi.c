/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The module that speaks MPI. */

#include "config.h"

#include <gmodule.h>
#include <mpi.h>

#include "tandem-mpi.h"

/* What was not taken yet. */
typedef struct
{
  MPI_Request request;
  char *text;
} Sending;

static GArray *sending;         /* Sending */

/* Forgets what was taken; waits for it when it must. */
static void
forget_sent (gboolean wait)
{
  guint i;

  for (i = sending->len; i-- > 0;) {
    Sending *one = &g_array_index (sending, Sending, i);
    int is_done = 1;

    if (wait)
      MPI_Wait (&one->request, MPI_STATUS_IGNORE);
    else
      MPI_Test (&one->request, &is_done, MPI_STATUS_IGNORE);
    if (!is_done)
      continue;
    g_free (one->text);
    g_array_remove_index_fast (sending, i);
  }
}

static gboolean
begin (guint *rank, guint *n_ranks)
{
  int level, number, size;

  if (MPI_Init_thread (NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS ||
      level < MPI_THREAD_FUNNELED)
    return FALSE;
  MPI_Comm_rank (MPI_COMM_WORLD, &number);
  MPI_Comm_size (MPI_COMM_WORLD, &size);
  sending = g_array_new (FALSE, FALSE, sizeof (Sending));
  *rank = number;
  *n_ranks = size;
  return TRUE;
}

static void
send_text (guint rank, guint kind, const char *text, gsize size)
{
  Sending one = { .text = g_memdup2 (text, size) };

  g_return_if_fail (size <= G_MAXINT);
  MPI_Isend (one.text, (int) size, MPI_BYTE, (int) rank, (int) kind, MPI_COMM_WORLD, &one.request);
  g_array_append_val (sending, one);
}

static gboolean
receive (guint *rank, guint *kind, char **text, gsize *size)
{
  MPI_Status status;
  int is_there, n;

  forget_sent (FALSE);
  MPI_Iprobe (MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &is_there, &status);
  if (!is_there)
    return FALSE;
  MPI_Get_count (&status, MPI_BYTE, &n);
  *text = g_malloc ((gsize) n + 1);
  MPI_Recv (*text, n, MPI_BYTE, status.MPI_SOURCE, status.MPI_TAG, MPI_COMM_WORLD,
            MPI_STATUS_IGNORE);
  (*text)[n] = '\0';
  *size = n;
  *rank = status.MPI_SOURCE;
  *kind = status.MPI_TAG;
  return TRUE;
}

static void
end (void)
{
  forget_sent (TRUE);
  g_clear_pointer (&sending, g_array_unref);
  MPI_Finalize ();
}

static void
abort_all (int status)
{
  MPI_Abort (MPI_COMM_WORLD, status);
}

const TandemMpi *
tandem_mpi_get (void)
{
  static const TandemMpi mpi = { begin, send_text, receive, end, abort_all };

  return &mpi;
}
