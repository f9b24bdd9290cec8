/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Text to ids: one pass over the bytes that collects a normalised word at a time and
 * hands it to WordPiece. ASCII takes a table look-up a byte; everything else goes
 * through tandem-unicode.c, code point by code point. */

#include "config.h"

#include "tandem-tokenizer.h"

#include <string.h>

#include "tandem-tokenizer-private.h"
#include "tandem-unicode-private.h"

/* A longer word is [UNK], in code points. */
#define MAX_WORD_CHARS 100

/* Holds more than MAX_WORD_CHARS code points of any length, so that what does not fit
 * any more need not be kept to know that the word is too long. */
#define MAX_WORD_BYTES (4 * (MAX_WORD_CHARS + 1))

/* Ids that gather behind a window of the last ones before it moves: so moving is rare. */
#define MIN_SLACK 1024

typedef struct
{
  GArray *array;
  gint32 *ids;
  gsize n;
  gsize capacity;
  /* no more ids than this are wanted */
  gsize limit;
  /* where the text's ids begin, and how many of the last ones are kept; 0: the first ones,
   * until the limit */
  gsize first;
  gsize window;
  /* [vocabulary]: set where an entry was found, also in a word that is [UNK]; or NULL */
  guint8 *used;
} Output;

typedef struct
{
  guint8 bytes[MAX_WORD_BYTES];
  guint length;
  /* The run of combining characters at the end, for canonical ordering: where it
   * begins, and the length at which it ended; another length means that it is over. */
  guint run_start;
  guint run_end;
} Word;

static inline void
output_reserve (Output *output, gsize n)
{
  if (G_LIKELY (output->capacity - output->n >= n))
    return;
  output->capacity = MAX (output->capacity * 2, output->n + n);
  g_array_set_size (output->array, output->capacity);
  output->ids = (gint32 *) (gpointer) output->array->data;
}

/* Leaves out all but the last ids. */
static void
output_cut_start (Output *output)
{
  gsize n = output->n - output->first;

  if (n <= output->window)
    return;
  memmove (output->ids + output->first, output->ids + output->n - output->window,
           output->window * sizeof (gint32));
  output->n = output->first + output->window;
}

/* Whether more ids are wanted. */
static inline gboolean
output_has_room (Output *output)
{
  if (G_LIKELY (output->n < output->limit))
    return TRUE;
  if (output->window == 0)
    return FALSE;
  output_cut_start (output);
  return TRUE;
}

static guint
count_chars (const guint8 *bytes, guint length)
{
  guint n = 0, i;

  for (i = 0; i < length; i++)
    n += (bytes[i] & 0xC0) != 0x80;
  return n;
}

/* WordPiece: the longest entry that the word begins with, then the longest that
 * continues it, and so on; the whole word is [UNK] when that does not reach its end. */
static void
output_word (const TandemTokenizer *self, Output *output, const guint8 *word, guint length)
{
  const TandemWordTrie *trie = &self->trie;
  guint32 root = tandem_word_trie_root (trie, TANDEM_TOKENIZER_INITIAL);
  gsize start_n = output->n;
  guint start = 0;

  output_reserve (output, length);
  if (length > MAX_WORD_CHARS && count_chars (word, length) > MAX_WORD_CHARS)
    goto unknown;

  while (start < length) {
    guint32 node = root;
    gint32 best = TANDEM_WORD_TRIE_NONE;
    guint best_end = start;
    guint i;

    for (i = start; i < length; i++) {
      const TandemWordTrieSlot *slot = tandem_word_trie_next (trie, node, word[i]);

      if (slot == NULL)
        break;
      node = slot - trie->slots;
      if (slot->value != TANDEM_WORD_TRIE_NONE) {
        best = slot->value;
        best_end = i + 1;
      }
    }
    if (best == TANDEM_WORD_TRIE_NONE)
      goto unknown;
    output->ids[output->n++] = best;
    if (G_UNLIKELY (output->used != NULL))
      output->used[best] = TRUE;
    start = best_end;
    root = tandem_word_trie_root (trie, TANDEM_TOKENIZER_CONTINUATION);
  }
  return;

unknown:
  output->n = start_n;
  output->ids[output->n++] = self->specials[TANDEM_TOKENIZER_UNK].id;
}

static inline void
word_flush (const TandemTokenizer *self, Word *word, Output *output)
{
  if (word->length > 0)
    output_word (self, output, word->bytes, word->length);
  word->length = word->run_start = word->run_end = 0;
}

/* Appends @c at the end, or before combining characters of a higher class. */
static void
word_append (Word *word, gunichar c, guint class)
{
  guint8 bytes[6];
  guint n = g_unichar_to_utf8 (c, (char *) bytes);
  guint at = word->length;

  if (word->length + n > MAX_WORD_BYTES)
    return;
  if (class > 0) {
    if (word->run_end != word->length)
      word->run_start = word->length;
    while (at > word->run_start) {
      const char *previous = g_utf8_prev_char ((const char *) word->bytes + at);

      if (tandem_unicode_combining_class (g_utf8_get_char (previous)) <= class)
        break;
      at = (const guint8 *) previous - word->bytes;
    }
    memmove (word->bytes + at + n, word->bytes + at, word->length - at);
  }
  memcpy (word->bytes + at, bytes, n);
  word->length += n;
  if (class > 0)
    word->run_end = word->length;
}

/* Takes a code point that is decomposed and stripped already. */
static void
put_char (const TandemTokenizer *self, Word *word, Output *output, gunichar c, guint class)
{
  gboolean dotted = FALSE;

  if (self->flags & TANDEM_TOKENIZER_LOWER_CASE) {
    dotted = c == 0x130;
    c = tandem_unicode_lower (c);
  }
  if (tandem_unicode_is_space (c)) {
    word_flush (self, word, output);
  } else if (tandem_unicode_is_punctuation (c)) {
    word_flush (self, word, output);
    word_append (word, c, 0);
    word_flush (self, word, output);
  } else {
    word_append (word, c, class);
    if (dotted)
      word_append (word, 0x307, 0);
  }
}

static void
put_decomposed (const TandemTokenizer *self, Word *word, Output *output, gunichar c)
{
  gunichar parts[TANDEM_UNICODE_MAX_DECOMPOSITION];
  guint n, i;

  if (!(self->flags & TANDEM_TOKENIZER_STRIP_ACCENTS)) {
    put_char (self, word, output, c, 0);
    return;
  }
  n = tandem_unicode_decompose (c, parts);
  for (i = 0; i < n; i++) {
    guint class = tandem_unicode_combining_class (parts[i]);

    if (!tandem_unicode_is_nonspacing_mark (parts[i]))
      put_char (self, word, output, parts[i], class);
    else if (class == 0)
      /* Gone, but nothing is reordered across it. */
      word->run_end = G_MAXUINT;
  }
}

static void
put_wide (const TandemTokenizer *self, Word *word, Output *output, gunichar c)
{
  if (self->flags & TANDEM_TOKENIZER_CLEAN_TEXT) {
    if (c == 0xFFFD || tandem_unicode_is_control (c))
      return;
    if (tandem_unicode_is_space (c)) {
      word_flush (self, word, output);
      return;
    }
  }
  if ((self->flags & TANDEM_TOKENIZER_SPLIT_CJK) && tandem_unicode_is_cjk (c)) {
    word_flush (self, word, output);
    put_decomposed (self, word, output, c);
    word_flush (self, word, output);
  } else {
    put_decomposed (self, word, output, c);
  }
}

/* Encodes text without special tokens until its end or the limit; returns where it
 * stopped. */
static const guint8 *
encode_plain (const TandemTokenizer *self, Output *output, const guint8 *p, const guint8 *end,
              guint *n_replaced)
{
  Word word = { .length = 0 };

  while (p < end && output_has_room (output)) {
    switch (self->classes[*p]) {
      case TANDEM_TOKENIZER_WORD:
        do {
          if (G_LIKELY (word.length < MAX_WORD_BYTES))
            word.bytes[word.length++] = self->lower[*p];
          p++;
        } while (p < end && self->classes[*p] == TANDEM_TOKENIZER_WORD);
        break;
      case TANDEM_TOKENIZER_SPACE:
        word_flush (self, &word, output);
        p++;
        break;
      case TANDEM_TOKENIZER_PUNCTUATION:
        word_flush (self, &word, output);
        output_word (self, output, p, 1);
        p++;
        break;
      case TANDEM_TOKENIZER_REMOVED:
        p++;
        break;
      default:
      {
        gunichar c;
        guint n = tandem_unicode_decode (p, end, &c);

        *n_replaced += (n & TANDEM_UNICODE_INVALID) != 0;
        p += n & ~TANDEM_UNICODE_INVALID;
        put_wide (self, &word, output, c);
        break;
      }
    }
  }
  word_flush (self, &word, output);
  return p;
}

/* Finds the next special token that stands literally in the text; all of them begin
 * with "[" and none is the beginning of another. */
static const guint8 *
find_special (const TandemTokenizer *self, const guint8 *p, const guint8 *end, guint *which)
{
  while ((p = memchr (p, '[', end - p)) != NULL) {
    guint i;

    for (i = 0; i < TANDEM_TOKENIZER_N_SPECIALS; i++) {
      if (self->specials[i].id != TANDEM_WORD_TRIE_NONE &&
          (gsize) (end - p) >= self->specials[i].length &&
          memcmp (p, self->specials[i].name, self->specials[i].length) == 0) {
        *which = i;
        return p;
      }
    }
    p++;
  }
  return NULL;
}

static guint
count_replaced (const guint8 *p, const guint8 *end)
{
  guint n_replaced = 0;
  gunichar c;

  while (p < end) {
    guint n = tandem_unicode_decode (p, end, &c);

    n_replaced += (n & TANDEM_UNICODE_INVALID) != 0;
    p += n & ~TANDEM_UNICODE_INVALID;
  }
  return n_replaced;
}

static gsize
encode (TandemTokenizer *self, const char *text, gssize length, guint max_length, GArray *ids,
        guint8 *used, guint *n_replaced)
{
  const guint8 *p = (const guint8 *) text;
  const guint8 *end;
  Output output = { .array = ids, .used = used };
  guint replaced = 0;
  gsize before;

  end = length == 0 ? p : p + (length < 0 ? strlen (text) : (gsize) length);
  before = ids->len;
  output.n = output.capacity = before;
  output.limit = max_length == 0 ? G_MAXSIZE : before + MAX (max_length, 2) - 1;

  /* A guess that fits English; more is added where it does not. */
  output_reserve (&output, 2 + MIN ((gsize) (end - p) / 3, output.limit - before));
  output.ids[output.n++] = self->specials[TANDEM_TOKENIZER_CLS].id;

  output.first = output.n;
  if (max_length > 2 && (self->flags & TANDEM_TOKENIZER_CUT_START)) {
    output.window = max_length - 2;
    output.limit = output.first + 2 * output.window + MIN_SLACK;
  }

  while (p < end && output_has_room (&output)) {
    guint which = 0;
    const guint8 *special = find_special (self, p, end, &which);

    p = encode_plain (self, &output, p, special != NULL ? special : end, &replaced);
    if (p == special && output_has_room (&output)) {
      output_reserve (&output, 1);
      output.ids[output.n++] = self->specials[which].id;
      p += self->specials[which].length;
    }
  }
  if (n_replaced != NULL)
    *n_replaced = replaced + count_replaced (p, end);

  if (output.window > 0)
    output_cut_start (&output);
  output.n = MIN (output.n, output.limit);
  output_reserve (&output, 1);
  output.ids[output.n++] = self->specials[TANDEM_TOKENIZER_SEP].id;
  g_array_set_size (ids, output.n);
  return output.n - before;
}

/**
 * tandem_tokenizer_encode_into:
 * @self: a tokenizer
 * @text: (array length=length) (element-type guint8): UTF-8 text
 * @length: bytes of @text, at most %TANDEM_TOKENIZER_MAX_TEXT, or -1 when a zero byte
 *   ends it
 * @max_length: the most ids to give, with [CLS] and [SEP]; 0 for no limit. Below 2
 *   counts as 2
 * @ids: (element-type gint32): the array of #gint32 to append to
 * @n_replaced: (out) (optional): how often bytes that are not UTF-8 were taken as
 *   U+FFFD, in the whole text
 *
 * Appends [CLS], the ids of @text and [SEP]. What is too much for @max_length is left out at
 * the end of the text, or at its beginning with %TANDEM_TOKENIZER_CUT_START; [SEP] is not. The names of special tokens, such as "[SEP]", in @text become those tokens, as
 * in the reference.
 *
 * Each maximal part of a character that is not valid UTF-8 counts as one U+FFFD, which
 * cleaning then removes. Any thread may call this.
 *
 * Returns: how many ids were appended
 */
gsize
tandem_tokenizer_encode_into (TandemTokenizer *self, const char *text, gssize length,
                              guint max_length, GArray *ids, guint *n_replaced)
{
  g_return_val_if_fail (TANDEM_IS_TOKENIZER (self), 0);
  g_return_val_if_fail (text != NULL || length == 0, 0);
  g_return_val_if_fail (ids != NULL && g_array_get_element_size (ids) == sizeof (gint32), 0);
  g_return_val_if_fail (length <= TANDEM_TOKENIZER_MAX_TEXT, 0);

  return encode (self, text, length, max_length, ids, NULL, n_replaced);
}

/**
 * tandem_tokenizer_mark_used: (skip)
 * @self: a tokenizer
 * @text: (array length=length) (element-type guint8): UTF-8 text
 * @length: bytes of @text, at most %TANDEM_TOKENIZER_MAX_TEXT, or -1 when a zero byte ends it
 * @used: (array): a byte for each entry of the vocabulary
 *
 * Sets the bytes of all entries that are looked up successfully while all of @text is encoded: those
 * that come out, and those with which a word begins that is [UNK] in the end. A vocabulary with
 * these entries and any others of this one encodes @text alike, for the longest entry that fits is
 * the same at each place.
 */
void
tandem_tokenizer_mark_used (TandemTokenizer *self, const char *text, gssize length, guint8 *used)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));

  g_return_if_fail (TANDEM_IS_TOKENIZER (self));
  g_return_if_fail (text != NULL || length == 0);
  g_return_if_fail (length <= TANDEM_TOKENIZER_MAX_TEXT);
  g_return_if_fail (used != NULL);

  encode (self, text, length, 0, ids, used, NULL);
}

/**
 * tandem_tokenizer_encode: (skip)
 * @self: a tokenizer
 * @text: UTF-8 text
 * @length: bytes of @text, or -1 when a zero byte ends it
 * @max_length: as for tandem_tokenizer_encode_into()
 * @ids: (out): newly allocated ids; free with g_free()
 * @n_replaced: (out) (optional): as for tandem_tokenizer_encode_into()
 *
 * As tandem_tokenizer_encode_into(), into an array of its own.
 *
 * Returns: how many ids there are
 */
gsize
tandem_tokenizer_encode (TandemTokenizer *self, const char *text, gssize length, guint max_length,
                         gint32 **ids, guint *n_replaced)
{
  g_autoptr (GArray) array = g_array_new (FALSE, FALSE, sizeof (gint32));
  gsize n = tandem_tokenizer_encode_into (self, text, length, max_length, array, n_replaced);

  *ids = (gint32 *) (gpointer) g_array_free (g_steal_pointer (&array), FALSE);
  return n;
}
