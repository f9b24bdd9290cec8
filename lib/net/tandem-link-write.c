/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is written to a link, in clear with one call to the system, with TLS record by record.
 *
 * TLS that cannot get rid of a record wants to be given the same bytes again. The owner's next
 * bytes may be others by then, acknowledgements before a gradient: so the link keeps the record and
 * has taken its bytes, and the owner comes back as long as something is pending. */

#include "config.h"

#include "tandem-link-private.h"

#include <string.h>

static gboolean
fail (TandemLink *self, const GError *local, GError **error)
{
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED, "the connection to %s broke: %s",
               self->peer, local->message);
  return FALSE;
}

/* Gives one record to TLS. What it does not take now is kept: all of it counts as written. */
static gboolean
write_record (TandemLink *self, const guint8 *data, gsize size, gsize *written, GError **error)
{
  g_autoptr (GError) local = NULL;
  gssize n = g_pollable_output_stream_write_nonblocking (self->output, data, size, NULL, &local);

  if (n >= 0) {
    *written += n;
    return TRUE;
  }
  if (!g_error_matches (local, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    return fail (self, local, error);
  if (data != self->record)
    memcpy (self->record, data, size);
  self->n_pending = size;
  *written += size;
  return TRUE;
}

static gboolean
write_pending (TandemLink *self, GError **error)
{
  while (self->n_pending > 0) {
    g_autoptr (GError) local = NULL;
    gssize n = g_pollable_output_stream_write_nonblocking (self->output, self->record,
                                                           self->n_pending, NULL, &local);

    if (n < 0 && g_error_matches (local, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
      return TRUE;
    if (n < 0)
      return fail (self, local, error);
    memmove (self->record, self->record + n, self->n_pending - n);
    self->n_pending -= n;
  }
  return TRUE;
}

/* Small pieces share a record; of a large one whole records are taken where they lie. */
static gboolean
write_protected (TandemLink *self, const GOutputVector *vectors, guint n_vectors, gsize *written,
                 GError **error)
{
  gsize skip = 0;               /* bytes of the first vector that are gone */

  if (!write_pending (self, error))
    return FALSE;
  while (n_vectors > 0 && self->n_pending == 0) {
    const guint8 *data = (const guint8 *) vectors->buffer + skip;
    gsize size = MIN (vectors->size - skip, TANDEM_LINK_RECORD), before = *written, left;
    guint i;

    if (size < TANDEM_LINK_RECORD) {
      memcpy (self->record, data, size);
      for (i = 1; i < n_vectors && size < TANDEM_LINK_RECORD; i++) {
        gsize n = MIN (vectors[i].size, TANDEM_LINK_RECORD - size);

        memcpy (self->record + size, vectors[i].buffer, n);
        size += n;
      }
      data = self->record;
    }
    if (size > 0 && !write_record (self, data, size, written, error))
      return FALSE;
    left = *written - before + skip;
    while (n_vectors > 0 && left >= vectors->size) {
      left -= vectors->size;
      vectors++;
      n_vectors--;
    }
    skip = left;
  }
  return TRUE;
}

/**
 * tandem_link_write: (skip)
 * @link: a link; writer only
 * @vectors: (array length=n_vectors): what to write, at once
 * @n_vectors: how many; 0 writes what is pending
 * @written: (out): how much was taken; 0 when nothing can be taken now. What
 *   was taken may still be pending, see tandem_link_has_pending()
 * @error: return location
 *
 * Returns: %FALSE when the connection broke
 */
gboolean
tandem_link_write (TandemLink *link, const GOutputVector *vectors, guint n_vectors,
                   gsize *written, GError **error)
{
  g_autoptr (GError) local = NULL;
  GPollableReturn ret;

  *written = 0;
  if (link->tls != NULL)
    return write_protected (link, vectors, n_vectors, written, error);
  if (n_vectors == 0)
    return TRUE;
  ret = g_pollable_output_stream_writev_nonblocking (link->output, vectors, n_vectors, written,
                                                     NULL, &local);
  if (ret != G_POLLABLE_RETURN_FAILED)
    return TRUE;
  return fail (link, local, error);
}

/**
 * tandem_link_has_pending: (skip)
 * @link: a link; writer only
 *
 * Returns: whether something that was taken has not gone yet: tandem_link_write() is to
 *   be called again when the connection takes bytes, even with nothing new to write
 */
gboolean
tandem_link_has_pending (TandemLink *link)
{
  return link->n_pending > 0;
}

/**
 * tandem_link_write_all: (skip)
 * @link: a link; writer only
 * @bytes: a few frames; emptied as they are written
 * @timeout_us: the longest wait, in microseconds
 * @cancellable: (nullable): ends the wait
 * @error: return location
 *
 * Returns: whether everything was written
 */
gboolean
tandem_link_write_all (TandemLink *link, GByteArray *bytes, gint64 timeout_us,
                       GCancellable *cancellable, GError **error)
{
  gint64 end = g_get_monotonic_time () + timeout_us;

  while (bytes->len > 0 || tandem_link_has_pending (link)) {
    GOutputVector vector = { bytes->data, bytes->len };
    gsize written;

    if (!tandem_link_write (link, &vector, bytes->len > 0 ? 1 : 0, &written, error))
      return FALSE;
    g_byte_array_remove_range (bytes, 0, written);
    if ((bytes->len > 0 || tandem_link_has_pending (link)) &&
        !tandem_link_wait (link, G_IO_OUT, MAX (end - g_get_monotonic_time (), 0), cancellable,
                           error))
      return FALSE;
  }
  return TRUE;
}

