/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tokens a second on one thread, without a limit on the length of a text.
 *
 * bench-tokenizer VOCABULARY TEXTS [SECONDS]: TEXTS is a file of one text a line. Prints
 * one line, "TOKENS SECONDS", of the best of several passes, so that bench-tokenizer.py can
 * interleave it with the reference. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tandem.h"

static gsize
encode_lines (TandemTokenizer *tokenizer, const char *text, gsize length, GArray *ids)
{
  const char *end = text + length;
  gsize n = 0;

  while (text < end) {
    const char *stop = memchr (text, '\n', end - text);

    if (stop == NULL)
      stop = end;
    g_array_set_size (ids, 0);
    n += tandem_tokenizer_encode_into (tokenizer, text, stop - text, 0, ids, NULL);
    text = stop + 1;
  }
  return n;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemTokenizer) tokenizer = NULL;
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autofree char *text = NULL;
  double seconds = argc > 3 ? g_ascii_strtod (argv[3], NULL) : 1.0;
  double best = G_MAXDOUBLE;
  gint64 begin = g_get_monotonic_time ();
  gsize length, n = 0;

  if (argc < 3) {
    fprintf (stderr, "usage: bench-tokenizer VOCABULARY TEXTS [SECONDS]\n");
    return 2;
  }
  tokenizer = tandem_tokenizer_new_from_path (argv[1], &error);
  if (tokenizer == NULL || !g_file_get_contents (argv[2], &text, &length, &error)) {
    fprintf (stderr, "%s\n", error->message);
    return 1;
  }
  do {
    gint64 start = g_get_monotonic_time ();

    n = encode_lines (tokenizer, text, length, ids);
    best = MIN (best, (g_get_monotonic_time () - start) / (double) G_USEC_PER_SEC);
  } while (g_get_monotonic_time () - begin < seconds * G_USEC_PER_SEC);
  printf ("%" G_GSIZE_FORMAT " %.6f\n", n, best);
  return 0;
}
