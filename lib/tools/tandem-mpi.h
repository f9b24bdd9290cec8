/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a module that speaks MPI does: texts from rank to rank. All calls come from the thread that
 * began. What goes wrong between ranks ends all of them, as MPI has it. */
#pragma once

#include <gmodule.h>

G_BEGIN_DECLS

typedef struct
{
  /* Says which of how many ranks this is. */
  gboolean (*begin) (guint *rank, guint *n_ranks);

  /* Does not wait; ranks get texts of another one in the order in which it sent them. */
  void (*send) (guint rank, guint kind, const char *text, gsize size);

  /* Does not wait: FALSE where nothing came. text: (transfer full), with a zero behind it */
  gboolean (*receive) (guint *rank, guint *kind, char **text, gsize *size);

  /* Waits until what was sent has arrived, and for all ranks. */
  void (*end) (void);

  /* Ends all ranks that can be reached, and this process, at once. */
  void (*abort) (int status);
} TandemMpi;

/* The only symbol of the module. */
G_MODULE_EXPORT
const TandemMpi *tandem_mpi_get (void);

G_END_DECLS
