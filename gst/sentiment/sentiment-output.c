/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A file or standard output that is written without ever losing half a line: what
 * a cancelled write left over goes out first with the next one. Not thread-safe: the
 * owner locks. */

#include "config.h"

#include "sentiment-output.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

struct _SentimentOutput
{
  char *name;                   /* for messages */
  int fd;
  gboolean close_fd;
  GString *pending;             /* not written yet */
};

/**
 * sentiment_output_open:
 * @location: (nullable): the name of a file, in GLib's file name encoding; %NULL,
 *   "" or "-" for standard output
 * @error: return location for a #GIOErrorEnum
 *
 * Creates the file, or empties the one that is there.
 *
 * Returns: (transfer full): the output, or %NULL
 */
SentimentOutput *
sentiment_output_open (const char *location, GError **error)
{
  SentimentOutput *self;
  gboolean is_stdout = location == NULL || *location == '\0' || g_str_equal (location, "-");
  int fd = STDOUT_FILENO;

  if (!is_stdout) {
    fd = g_open (location, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
      int saved = errno;

      g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (saved), g_strerror (saved));
      return NULL;
    }
  }
  self = g_new0 (SentimentOutput, 1);
  self->name = is_stdout ? g_strdup ("standard output") : g_filename_display_name (location);
  self->fd = fd;
  self->close_fd = !is_stdout;
  self->pending = g_string_new (NULL);
  return self;
}

/**
 * sentiment_output_close:
 * @self: (transfer full): an output
 * @error: return location for a #GFileError
 *
 * Closes a file, leaves standard output open, and releases @self in any case. What
 * was not written is given up.
 *
 * Returns: whether the system took everything that was written
 */
gboolean
sentiment_output_close (SentimentOutput *self, GError **error)
{
  gboolean ok = !self->close_fd || g_close (self->fd, error);

  g_string_free (self->pending, TRUE);
  g_free (self->name);
  g_free (self);
  return ok;
}

/**
 * sentiment_output_get_name:
 * @self: an output
 *
 * Returns: (transfer none): its name for messages, in UTF-8
 */
const char *
sentiment_output_get_name (SentimentOutput *self)
{
  return self->name;
}

/**
 * sentiment_output_get_pending:
 * @self: an output
 *
 * Returns: (transfer none): where to append what sentiment_output_write() is to write
 */
GString *
sentiment_output_get_pending (SentimentOutput *self)
{
  return self->pending;
}

/* A blocking pipe that poll() calls writable has room for PIPE_BUF bytes: a write of no more
 * returns at once, and a reader that stalls is waited for where it can be cancelled. */
static gboolean
wait_writable (SentimentOutput *self, GCancellable *cancellable, GError **error)
{
  GPollFD fds[2] = { { self->fd, G_IO_OUT, 0 }, { 0 } };
  gboolean cancellable_fd = g_cancellable_make_pollfd (cancellable, &fds[1]);
  int n;

  do {
    n = g_poll (fds, cancellable_fd ? 2 : 1, -1);
  } while (n < 0 && errno == EINTR);
  if (cancellable_fd)
    g_cancellable_release_fd (cancellable);
  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}

/**
 * sentiment_output_write:
 * @self: an output
 * @cancellable: (nullable): ends the wait for a reader that is slow
 * @error: return location for a #GIOErrorEnum
 *
 * Hands everything pending to the system. After %G_IO_ERROR_CANCELLED the rest
 * stays pending, for the next call.
 *
 * Returns: whether nothing is pending any more
 */
gboolean
sentiment_output_write (SentimentOutput *self, GCancellable *cancellable, GError **error)
{
  gsize done = 0;
  gboolean ok = TRUE;

  while (ok && done < self->pending->len) {
    gssize n;

    if (!wait_writable (self, cancellable, error)) {
      ok = FALSE;
      break;
    }
    n = write (self->fd, self->pending->str + done, MIN (self->pending->len - done, PIPE_BUF));
    if (n >= 0) {
      done += n;
    } else if (errno != EINTR && errno != EAGAIN) {
      int saved = errno;

      g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (saved), g_strerror (saved));
      ok = FALSE;
    }
  }
  g_string_erase (self->pending, 0, done);
  return ok;
}
