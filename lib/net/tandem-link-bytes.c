/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A link that carries something else than frames of the wire format. */

#include "config.h"

#include "tandem-link-private.h"

/**
 * tandem_link_read_bytes: (skip)
 * @link: a link on which tandem_link_read() is not used; reader only
 * @buffer: (array length=size): where to put them
 * @size: how many at the most
 * @error: return location for a #TandemNetError, or %G_IO_ERROR_WOULD_BLOCK when nothing is there
 *
 * Returns: how many bytes came; 0 when the peer has ended, -1 with @error set
 */
gssize
tandem_link_read_bytes (TandemLink *link, void *buffer, gsize size, GError **error)
{
  g_autoptr (GError) local = NULL;
  gssize n = g_pollable_input_stream_read_nonblocking (link->input, buffer, size, NULL, &local);

  if (n > 0)
    link->n_read += n;
  if (n >= 0)
    return n;
  if (g_error_matches (local, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    g_propagate_error (error, g_steal_pointer (&local));
  else
    tandem_link_explain_read_error (link, local, error);
  return -1;
}
