/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tandem-model-private.h"
#include "base/tandem-json-private.h"

/* Configurations are a few kilobytes; indices of large models some hundred. */
#define MAX_TEXT (16 << 20)

/* Returns the text of a small file. Reads regular files alone: a named pipe would block. */
char *
tandem_model_read_text (const char *path, gsize *length, GError **error)
{
  g_autofree char *display = g_filename_display_name (path);
  g_autofree char *text = NULL;
  struct stat st;
  gsize done = 0;
  int fd = g_open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);

  if (fd < 0 || fstat (fd, &st) != 0) {
    int saved = errno;

    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved), "%s: %s", display,
                 g_strerror (saved));
    if (fd >= 0)
      close (fd);
    return NULL;
  }
  if (!S_ISREG (st.st_mode) || st.st_size > MAX_TEXT) {
    if (S_ISREG (st.st_mode))
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                   "%s: %" G_GINT64_FORMAT " bytes, at most %d are read", display,
                   (gint64) st.st_size, MAX_TEXT);
    else
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE, "%s: not a regular file",
                   display);
    close (fd);
    return NULL;
  }
  text = g_malloc (st.st_size + 1);
  while (done < (gsize) st.st_size) {
    gssize n = read (fd, text + done, st.st_size - done);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      int saved = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved), "%s: %s", display,
                   g_strerror (saved));
      close (fd);
      return NULL;
    }
    if (n == 0)
      break;
    done += n;
  }
  close (fd);
  text[done] = '\0';
  if (!g_utf8_validate_len (text, done, NULL)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: not UTF-8 text", display);
    return NULL;
  }
  if (length != NULL)
    *length = done;
  return g_steal_pointer (&text);
}

/* Returns a JsonObject. Callers include json-glib; this header's readers need not. */
gpointer
tandem_model_parse_json (const char *text, const char *file, GError **error)
{
  g_autoptr (GError) inner = NULL;
  g_autoptr (JsonNode) root = tandem_json_parse_object (text, &inner);

  if (root == NULL) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG, "%s: %s", file,
                 inner->message);
    return NULL;
  }
  return json_node_dup_object (root);
}
