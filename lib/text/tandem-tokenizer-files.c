/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tokenizers as they lie on disk: vocab.txt, tokenizer.json and tokenizer_config.json. */

#include "config.h"

#include "tandem-tokenizer.h"

#include "tandem-tokenizer-json-private.h"
#include "tandem-word-trie-private.h"

#define DEFAULT_FLAGS \
  (TANDEM_TOKENIZER_LOWER_CASE | TANDEM_TOKENIZER_STRIP_ACCENTS | TANDEM_TOKENIZER_SPLIT_CJK | \
   TANDEM_TOKENIZER_CLEAN_TEXT)

static GBytes *
load_vocabulary (const char *path, GError **error)
{
  gsize length;
  char *contents = tandem_tokenizer_read_file (path, TANDEM_WORD_TRIE_MAX_BYTES, &length, error);

  return contents != NULL ? g_bytes_new_take (contents, length) : NULL;
}

/**
 * tandem_tokenizer_new_from_path:
 * @path: (type filename): a Hugging Face model folder, a tokenizer.json or a vocab.txt
 * @error: return location for a #TandemTokenizerError or an error of reading files
 *
 * Reads a tokenizer. Of a folder, tokenizer.json is taken, or vocab.txt where that is
 * missing. A file named "*.json" is read as tokenizer.json, any other as vocab.txt. The
 * settings `do_lower_case`, `strip_accents` and `tokenize_chinese_chars` of a
 * tokenizer_config.json in the same folder have the last word; with neither, text is
 * lower-cased, cleaned, stripped of accents and split at ideographs, as for
 * bert-base-uncased.
 *
 * Errors: those of tandem_tokenizer_new(), and %TANDEM_TOKENIZER_ERROR_UNSUPPORTED for a
 * tokenizer.json that is not BERT's WordPiece.
 *
 * Returns: (transfer full): the tokenizer, or %NULL on error
 */
TandemTokenizer *
tandem_tokenizer_new_from_path (const char *path, GError **error)
{
  TandemTokenizerFlags flags = DEFAULT_FLAGS;
  g_autofree char *file = NULL;
  g_autofree char *folder = NULL;
  g_autoptr (GBytes) vocabulary = NULL;
  g_autoptr (TandemTokenizer) tokenizer = NULL;

  g_return_val_if_fail (path != NULL, NULL);

  if (g_file_test (path, G_FILE_TEST_IS_DIR)) {
    folder = g_strdup (path);
    file = g_build_filename (path, "tokenizer.json", NULL);
    if (!g_file_test (file, G_FILE_TEST_EXISTS)) {
      g_free (file);
      file = g_build_filename (path, "vocab.txt", NULL);
    }
    if (!g_file_test (file, G_FILE_TEST_EXISTS)) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                   "%s has neither tokenizer.json nor vocab.txt", path);
      return NULL;
    }
  } else {
    folder = g_path_get_dirname (path);
    file = g_strdup (path);
  }

  if (g_str_has_suffix (file, ".json"))
    vocabulary = tandem_tokenizer_load_json (file, &flags, error);
  else
    vocabulary = load_vocabulary (file, error);
  if (vocabulary == NULL || !tandem_tokenizer_apply_config (folder, &flags, error))
    return NULL;
  tokenizer = tandem_tokenizer_new (vocabulary, flags, error);
  if (tokenizer == NULL)
    g_prefix_error (error, "%s: ", file);
  return g_steal_pointer (&tokenizer);
}
