/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The vocabulary and its checks, and the object around them. How text becomes ids is
 * in tandem-tokenizer-encode.c, how files are read in tandem-tokenizer-files.c. */

#include "config.h"

#include "tandem-tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "tandem-tokenizer-private.h"
#include "tandem-unicode-private.h"

/**
 * TandemTokenizer:
 *
 * BERT's basic tokenization and WordPiece (Devlin et al. 2019, after Schuster and
 * Nakajima 2012): text to the ids of a vocabulary, equal to those of Hugging Face's
 * fast BertTokenizer.
 *
 * A tokenizer never changes once made; any number of threads may use it at once.
 */

G_DEFINE_QUARK (tandem-tokenizer-error-quark, tandem_tokenizer_error)

G_DEFINE_FINAL_TYPE (TandemTokenizer, tandem_tokenizer, G_TYPE_OBJECT)

static const char *const special_names[TANDEM_TOKENIZER_N_SPECIALS] = {
  [TANDEM_TOKENIZER_UNK] = "[UNK]", [TANDEM_TOKENIZER_CLS] = "[CLS]",
  [TANDEM_TOKENIZER_SEP] = "[SEP]", [TANDEM_TOKENIZER_PAD] = "[PAD]",
  [TANDEM_TOKENIZER_MASK] = "[MASK]",
};

static void
tandem_tokenizer_finalize (GObject *object)
{
  TandemTokenizer *self = TANDEM_TOKENIZER (object);

  tandem_word_trie_clear (&self->trie);
  g_free (self->tokens);
  g_free (self->storage);
  g_free (self->fingerprint);
  G_OBJECT_CLASS (tandem_tokenizer_parent_class)->finalize (object);
}

static void
tandem_tokenizer_class_init (TandemTokenizerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_tokenizer_finalize;
}

static void
tandem_tokenizer_init (TandemTokenizer *self)
{
}

/* Splits self->storage into lines, in place, and checks each. */
static gboolean
split_entries (TandemTokenizer *self, GError **error)
{
  char *line = self->storage;
  char *end = line + self->storage_size;
  g_autoptr (GPtrArray) tokens = g_ptr_array_new ();

  while (line < end) {
    char *stop = memchr (line, '\n', end - line);

    if (stop == NULL)
      stop = end;
    *stop = '\0';
    if (stop > line && stop[-1] == '\r')
      stop[-1] = '\0';
    if (memchr (line, '\0', stop - line) != NULL &&
        (const char *) memchr (line, '\0', stop - line) + 1 < stop) {
      g_set_error (error, TANDEM_TOKENIZER_ERROR, TANDEM_TOKENIZER_ERROR_VOCABULARY,
                   "entry %u of the vocabulary holds a zero byte", tokens->len);
      return FALSE;
    }
    if (strchr (line, '\r') != NULL || !g_utf8_validate (line, -1, NULL)) {
      g_set_error (error, TANDEM_TOKENIZER_ERROR, TANDEM_TOKENIZER_ERROR_VOCABULARY,
                   "entry %u of the vocabulary is not a line of UTF-8", tokens->len);
      return FALSE;
    }
    g_ptr_array_add (tokens, line);
    line = stop + 1;
  }

  self->size = tokens->len;
  self->tokens = (const char **) g_ptr_array_free (g_steal_pointer (&tokens), FALSE);
  return TRUE;
}

/* Where the entry @token belongs: words and what continues them have a trie each. */
static guint
get_root (const char **token)
{
  if (g_str_has_prefix (*token, "##") && (*token)[2] != '\0') {
    *token += 2;
    return TANDEM_TOKENIZER_CONTINUATION;
  }
  return TANDEM_TOKENIZER_INITIAL;
}

static gboolean
fill_trie (TandemTokenizer *self, TandemWordTrie *trie, GError **error)
{
  guint id;

  for (id = 0; id < self->size; id++) {
    const char *token = self->tokens[id];
    guint root = get_root (&token);

    if (*token == '\0')
      continue;
    if (!tandem_word_trie_insert (trie, root, (const guint8 *) token, strlen (token), id)) {
      g_set_error (error, TANDEM_TOKENIZER_ERROR, TANDEM_TOKENIZER_ERROR_VOCABULARY,
                   "the vocabulary holds \"%s\" twice, the second time as entry %u",
                   self->tokens[id], id);
      return FALSE;
    }
  }
  return TRUE;
}

static int
compare_tokens (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* How many nodes the trie will have, so that it is as small as the caches like it: each
 * entry adds what it does not share with the one before it in order. */
static gsize
count_nodes (TandemTokenizer *self)
{
  g_autofree const char **sorted = g_memdup2 (self->tokens, self->size * sizeof *sorted);
  gsize n = 0;
  guint i;

  qsort (sorted, self->size, sizeof *sorted, compare_tokens);
  for (i = 0; i < self->size; i++) {
    const char *token = sorted[i];
    const char *before = i > 0 ? sorted[i - 1] : "";

    while (*token != '\0' && *token == *before) {
      token++;
      before++;
    }
    n += strlen (token);
  }
  return n;
}

static gboolean
build_trie (TandemTokenizer *self, GError **error)
{
  tandem_word_trie_init (&self->trie, count_nodes (self));
  return fill_trie (self, &self->trie, error);
}

static gboolean
find_specials (TandemTokenizer *self, GError **error)
{
  guint i, id;

  for (i = 0; i < TANDEM_TOKENIZER_N_SPECIALS; i++) {
    self->specials[i].id = TANDEM_WORD_TRIE_NONE;
    self->specials[i].name = special_names[i];
    self->specials[i].length = strlen (special_names[i]);
  }
  for (id = 0; id < self->size; id++) {
    if (self->tokens[id][0] != '[')
      continue;
    for (i = 0; i < TANDEM_TOKENIZER_N_SPECIALS; i++) {
      if (g_str_equal (self->tokens[id], special_names[i]))
        self->specials[i].id = id;
    }
  }
  for (i = 0; i < TANDEM_TOKENIZER_N_REQUIRED; i++) {
    if (self->specials[i].id == TANDEM_WORD_TRIE_NONE) {
      g_set_error (error, TANDEM_TOKENIZER_ERROR, TANDEM_TOKENIZER_ERROR_MISSING_TOKEN,
                   "the vocabulary has %u entries but no %s: it is not one of BERT's", self->size,
                   special_names[i]);
      return FALSE;
    }
  }
  return TRUE;
}

static void
fill_ascii (TandemTokenizer *self)
{
  guint c;

  for (c = 0; c < 256; c++) {
    guint8 class = TANDEM_TOKENIZER_WORD;

    if (c >= 0x80)
      class = TANDEM_TOKENIZER_WIDE;
    else if ((self->flags & TANDEM_TOKENIZER_CLEAN_TEXT) && tandem_unicode_is_control (c))
      class = TANDEM_TOKENIZER_REMOVED;
    else if (tandem_unicode_is_space (c))
      class = TANDEM_TOKENIZER_SPACE;
    else if (tandem_unicode_is_punctuation (c))
      class = TANDEM_TOKENIZER_PUNCTUATION;
    self->classes[c] = class;
    self->lower[c] = c;
    if (self->flags & TANDEM_TOKENIZER_LOWER_CASE)
      self->lower[c] = g_ascii_tolower (c);
  }
}

static char *
compute_fingerprint (TandemTokenizer *self)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *head = g_strdup_printf ("tandem-wordpiece-1\n%u\n",
                                           (guint) (self->flags & ~TANDEM_TOKENIZER_CUT_START));
  guint id;

  g_checksum_update (checksum, (const guchar *) head, -1);
  for (id = 0; id < self->size; id++) {
    g_checksum_update (checksum, (const guchar *) self->tokens[id], strlen (self->tokens[id]));
    g_checksum_update (checksum, (const guchar *) "\n", 1);
  }
  return g_strdup (g_checksum_get_string (checksum));
}

/**
 * tandem_tokenizer_new:
 * @vocabulary: UTF-8 text, one entry a line in the order of their ids, as BERT's
 *   vocab.txt; lines end with LF or CRLF. At most 4 MiB
 * @flags: how text is treated before WordPiece
 * @error: return location for a #TandemTokenizerError
 *
 * Makes a tokenizer from a vocabulary in memory. Entries that begin with "##" continue
 * a word. An empty line takes an id that no text gets.
 *
 * Errors: %TANDEM_TOKENIZER_ERROR_MISSING_TOKEN without "[UNK]", "[CLS]" and "[SEP]";
 * %TANDEM_TOKENIZER_ERROR_VOCABULARY when the text is empty, too long, not UTF-8, or
 * holds an entry twice.
 *
 * Returns: (transfer full): the tokenizer, or %NULL on error
 */
TandemTokenizer *
tandem_tokenizer_new (GBytes *vocabulary, TandemTokenizerFlags flags, GError **error)
{
  g_autoptr (TandemTokenizer) self = NULL;
  gconstpointer data;
  gsize size;

  g_return_val_if_fail (vocabulary != NULL, NULL);

  data = g_bytes_get_data (vocabulary, &size);
  if (size == 0 || size > TANDEM_WORD_TRIE_MAX_BYTES) {
    g_set_error (error, TANDEM_TOKENIZER_ERROR, TANDEM_TOKENIZER_ERROR_VOCABULARY,
                 "the vocabulary has %" G_GSIZE_FORMAT " bytes; 1 to %u are taken", size,
                 TANDEM_WORD_TRIE_MAX_BYTES);
    return NULL;
  }

  self = g_object_new (TANDEM_TYPE_TOKENIZER, NULL);
  self->flags = flags;
  self->storage_size = size;
  self->storage = g_malloc (size + 1);
  memcpy (self->storage, data, size);
  if (!split_entries (self, error) || !build_trie (self, error) || !find_specials (self, error))
    return NULL;
  fill_ascii (self);
  self->fingerprint = compute_fingerprint (self);
  return g_steal_pointer (&self);
}

/**
 * tandem_tokenizer_get_flags:
 * @self: a tokenizer
 *
 * Returns: how text is treated before WordPiece
 */
TandemTokenizerFlags
tandem_tokenizer_get_flags (TandemTokenizer *self)
{
  g_return_val_if_fail (TANDEM_IS_TOKENIZER (self), TANDEM_TOKENIZER_NONE);
  return self->flags;
}

/**
 * tandem_tokenizer_get_size:
 * @self: a tokenizer
 *
 * Returns: how many entries the vocabulary has; ids are below it
 */
guint
tandem_tokenizer_get_size (TandemTokenizer *self)
{
  g_return_val_if_fail (TANDEM_IS_TOKENIZER (self), 0);
  return self->size;
}

/**
 * tandem_tokenizer_get_fingerprint:
 * @self: a tokenizer
 *
 * Two tokenizers with the same fingerprint give every text the same ids, though they may
 * leave out different ones when it is too long. It is the SHA-256 of the line
 * "tandem-wordpiece-1", a line with the flags but %TANDEM_TOKENIZER_CUT_START as a decimal
 * number, and the entries in the order of their ids, one a line; every line ends with LF.
 *
 * Returns: (transfer none): 64 hexadecimal digits
 */
const char *
tandem_tokenizer_get_fingerprint (TandemTokenizer *self)
{
  g_return_val_if_fail (TANDEM_IS_TOKENIZER (self), NULL);
  return self->fingerprint;
}

/**
 * tandem_tokenizer_get_vocabulary:
 * @self: a tokenizer
 *
 * Returns: (transfer full): the entries in the order of their ids, one a line, each
 *   line ended with LF: what tandem_tokenizer_new() takes
 */
GBytes *
tandem_tokenizer_get_vocabulary (TandemTokenizer *self)
{
  GByteArray *bytes;
  guint id;

  g_return_val_if_fail (TANDEM_IS_TOKENIZER (self), NULL);

  bytes = g_byte_array_sized_new (self->storage_size + 1);
  for (id = 0; id < self->size; id++) {
    g_byte_array_append (bytes, (const guint8 *) self->tokens[id], strlen (self->tokens[id]));
    g_byte_array_append (bytes, (const guint8 *) "\n", 1);
  }
  return g_byte_array_free_to_bytes (bytes);
}

/**
 * tandem_tokenizer_get_token:
 * @self: a tokenizer
 * @id: an id
 *
 * Returns: (transfer none) (nullable): the entry with that id, %NULL for an id that
 *   the vocabulary does not have
 */
const char *
tandem_tokenizer_get_token (TandemTokenizer *self, guint id)
{
  g_return_val_if_fail (TANDEM_IS_TOKENIZER (self), NULL);
  return id < self->size ? self->tokens[id] : NULL;
}
