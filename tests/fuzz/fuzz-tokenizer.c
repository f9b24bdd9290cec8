/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The first byte gives the flags and the longest length, the second what the rest is: text
 * for a vocabulary of ours, or a vocabulary up to the first zero byte and text after it. */

#include <stdint.h>
#include <string.h>

#include "tandem.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const char embedded[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n[\n]\n!\n#\na\nb\nan\nthe\n##a\n##b\n##an\n##ing\n"
    "\xc3\xa9\ne\n##e\n\xe4\xb8\xad\n\xcc\x81\n##\xcc\x81\n\xe1\x84\x80\n##\xe1\x85\xa1\n";

/* GLib takes a zero byte for invalid, Unicode does not. */
static gboolean
is_utf8 (const char *text, size_t size)
{
  const char *end = text + size;

  while (!g_utf8_validate_len (text, end - text, &text)) {
    if (*text != '\0')
      return FALSE;
    text++;
  }
  return TRUE;
}

static void
check (TandemTokenizer *tokenizer, const char *text, size_t size, guint max_length)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GArray) cut = g_array_new (FALSE, FALSE, sizeof (gint32));
  guint replaced, replaced_cut, i;
  gsize n = tandem_tokenizer_encode_into (tokenizer, text, size, 0, ids, &replaced);
  gsize n_cut = tandem_tokenizer_encode_into (tokenizer, text, size, max_length, cut,
                                              &replaced_cut);

  g_assert (n == ids->len && n >= 2);
  g_assert (replaced == replaced_cut && (replaced > 0) == !is_utf8 (text, size));
  for (i = 0; i < n; i++)
    g_assert (tandem_tokenizer_get_token (tokenizer, g_array_index (ids, gint32, i)) != NULL);
  /* Truncation keeps the first ids and the last one. */
  g_assert (n_cut == (max_length == 0 ? n : MIN (n, MAX (max_length, 2))));
  g_assert (memcmp (ids->data, cut->data, (n_cut - 1) * sizeof (gint32)) == 0);
  g_assert (g_array_index (ids, gint32, n - 1) == g_array_index (cut, gint32, n_cut - 1));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TandemTokenizer) tokenizer = NULL;
  g_autoptr (GBytes) vocabulary = NULL;
  const char *text;
  guint flags, max_length;

  if (size < 2)
    return 0;
  flags = data[0] & 15;
  max_length = data[0] >> 4;
  text = (const char *) data + 2;
  size -= 2;

  if (data[1] & 1) {
    const char *zero = memchr (text, '\0', size);
    size_t length = zero != NULL ? (size_t) (zero - text) : size;

    vocabulary = g_bytes_new_static (text, length);
    text += length;
    size -= length;
  } else {
    vocabulary = g_bytes_new_static (embedded, sizeof embedded - 1);
  }
  tokenizer = tandem_tokenizer_new (vocabulary, flags, NULL);
  if (tokenizer != NULL)
    check (tokenizer, text, size, max_length);
  return 0;
}
