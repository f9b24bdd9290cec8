/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Texts as sets of n-grams, each known by a 64-bit hash: with some million different ones, two
 * that share a hash are to be expected once in a million corpora.
 *
 * Words are runs of letters, digits and marks in lower case; each mark of punctuation is a word of
 * its own, and "<br />", which film reviews are full of, is white space. */

#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "model/tandem-ngram-classifier.h"
#include "text/tandem-unicode-private.h"

#define FNV_OFFSET G_GUINT64_CONSTANT (0xcbf29ce484222325)
#define FNV_PRIME G_GUINT64_CONSTANT (0x100000001b3)

/* Fowler-Noll-Vo 1a, over the code points' bytes. */
static inline guint64
hash_char (guint64 hash, gunichar c)
{
  do {
    hash = (hash ^ (c & 0xff)) * FNV_PRIME;
    c >>= 8;
  } while (c != 0);
  return hash;
}

/* The finaliser of splitmix64 (Steele, Lea and Flood 2014). */
static inline guint64
mix (guint64 x)
{
  x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return x ^ (x >> 31);
}

typedef struct
{
  GArray *hashes;
  guint order;
  guint64 last[TANDEM_NGRAM_MAX_ORDER]; /* the newest word first */
  guint n_last;
  guint64 word;
  gboolean in_word;
} Collector;

static void
end_word (Collector *self)
{
  guint64 hash = 0;
  guint i;

  if (!self->in_word)
    return;
  memmove (self->last + 1, self->last, (TANDEM_NGRAM_MAX_ORDER - 1) * sizeof *self->last);
  self->last[0] = self->word;
  self->n_last = MIN (self->n_last + 1, self->order);
  for (i = 0; i < self->n_last; i++) {
    hash = mix (hash * FNV_PRIME + self->last[i]);
    g_array_append_val (self->hashes, hash);
  }
  self->word = FNV_OFFSET;
  self->in_word = FALSE;
}

static inline void
put (Collector *self, gunichar c)
{
  self->word = hash_char (self->word, c);
  self->in_word = TRUE;
}

/* The length of a line break of HTML at @p, or 0. */
static guint
get_break (const guint8 *p, const guint8 *end)
{
  static const char *const breaks[] = { "<br />", "<br/>", "<br>" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (breaks); i++) {
    gsize length = strlen (breaks[i]);

    if ((gsize) (end - p) >= length && memcmp (p, breaks[i], length) == 0)
      return length;
  }
  return 0;
}

/* Adds the n-grams of a text, as they come. */
static void
collect (GArray *hashes, const char *text, gssize length, guint order)
{
  const guint8 *p = (const guint8 *) text;
  const guint8 *end = length == 0 ? p : p + (length < 0 ? strlen (text) : (gsize) length);
  Collector self = { .hashes = hashes, .order = order, .word = FNV_OFFSET };

  while (p < end) {
    guint skip = *p == '<' ? get_break (p, end) : 0;
    gunichar c;

    if (skip > 0) {
      end_word (&self);
      p += skip;
      continue;
    }
    p += tandem_unicode_decode (p, end, &c) & ~TANDEM_UNICODE_INVALID;
    if (tandem_unicode_is_space (c) || tandem_unicode_is_control (c)) {
      end_word (&self);
    } else if (tandem_unicode_is_punctuation (c)) {
      end_word (&self);
      put (&self, c);
      end_word (&self);
    } else {
      put (&self, tandem_unicode_lower (c));
    }
  }
  end_word (&self);
}

static int
compare (const void *a, const void *b)
{
  guint64 x = *(const guint64 *) a, y = *(const guint64 *) b;

  return (x > y) - (x < y);
}

/**
 * tandem_ngram_hash_text:
 * @text: UTF-8 text
 * @length: bytes of @text, or -1 when a zero byte ends it
 * @order: words of the longest n-grams, 1 to %TANDEM_NGRAM_MAX_ORDER
 *
 * Finds the n-grams of a text: what a #TandemNgramClassifier knows it by. Bytes that are not
 * UTF-8 count as U+FFFD. Any thread may call this.
 *
 * Returns: (transfer full) (element-type guint64): the hash of each n-gram of 1 to @order words,
 *   each once and ascending
 */
GArray *
tandem_ngram_hash_text (const char *text, gssize length, guint order)
{
  GArray *hashes = g_array_new (FALSE, FALSE, sizeof (guint64));
  guint64 *all;
  gsize n = 0, i;

  g_return_val_if_fail (text != NULL || length == 0, hashes);
  g_return_val_if_fail (order >= 1 && order <= TANDEM_NGRAM_MAX_ORDER, hashes);

  collect (hashes, text, length, order);
  all = (guint64 *) (gpointer) hashes->data;
  if (hashes->len > 0)
    qsort (all, hashes->len, sizeof *all, compare);
  for (i = 0; i < hashes->len; i++)
    if (n == 0 || all[n - 1] != all[i])
      all[n++] = all[i];
  g_array_set_size (hashes, n);
  return hashes;
}

/**
 * tandem_ngram_hash_words:
 * @text: UTF-8 text
 * @length: bytes of @text, or -1 when a zero byte ends it
 *
 * Finds the words of a text in their order, as tandem_ngram_hash_text() sees them. Any thread may
 * call this.
 *
 * Returns: (transfer full) (element-type guint64): the hash of each word
 */
GArray *
tandem_ngram_hash_words (const char *text, gssize length)
{
  GArray *hashes = g_array_new (FALSE, FALSE, sizeof (guint64));

  g_return_val_if_fail (text != NULL || length == 0, hashes);

  collect (hashes, text, length, 1);
  return hashes;
}

/**
 * tandem_ngram_identify_text:
 * @text: a text
 * @length: bytes of @text, or -1 when a zero byte ends it
 *
 * Gives a text a number by which a #TandemNgramClassifier knows again what it learned from.
 *
 * Returns: a 64-bit hash of the bytes
 */
guint64
tandem_ngram_identify_text (const char *text, gssize length)
{
  guint64 hash = FNV_OFFSET;
  gsize n, i;

  g_return_val_if_fail (text != NULL || length == 0, 0);

  n = length < 0 ? strlen (text) : (gsize) length;
  for (i = 0; i < n; i++)
    hash = (hash ^ (guint8) text[i]) * FNV_PRIME;
  return mix (hash);
}
