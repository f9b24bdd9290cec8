/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tokenizers as they lie on disk: vocab.txt, tokenizer.json and tokenizer_config.json. */

#include "config.h"

#include "tandem-tokenizer.h"

#include <string.h>

#include "tandem-json-private.h"
#include "tandem-word-trie-private.h"

#define DEFAULT_FLAGS \
  (TANDEM_TOKENIZER_LOWER_CASE | TANDEM_TOKENIZER_STRIP_ACCENTS | TANDEM_TOKENIZER_SPLIT_CJK | \
   TANDEM_TOKENIZER_CLEAN_TEXT)

/* A tokenizer.json repeats each merge or entry with its number and often indented. */
#define MAX_JSON_BYTES (64 << 20)

static gboolean G_GNUC_PRINTF (4, 5)
fail (GError **error, TandemTokenizerError code, const char *path, const char *format, ...)
{
  va_list args;
  g_autofree char *what = NULL;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TANDEM_TOKENIZER_ERROR, code, "%s: %s", path, what);
  return FALSE;
}

static char *
read_file (const char *path, gsize limit, gsize *length, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInfo) info =
      g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE, G_FILE_QUERY_INFO_NONE, NULL,
                         error);
  char *contents = NULL;

  if (info == NULL)
    return NULL;
  if (g_file_info_get_size (info) > (goffset) limit) {
    fail (error, TANDEM_TOKENIZER_ERROR_VOCABULARY, path,
          "the file has %" G_GOFFSET_FORMAT " bytes; up to %" G_GSIZE_FORMAT " are read",
          g_file_info_get_size (info), limit);
    return NULL;
  }
  g_file_get_contents (path, &contents, length, error);
  return contents;
}

/* Parses a file that holds a JSON object. */
static JsonNode *
read_json (const char *path, GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) local = NULL;
  JsonNode *root;
  gsize length;

  text = read_file (path, MAX_JSON_BYTES, &length, error);
  if (text == NULL)
    return NULL;
  if (!g_utf8_validate_len (text, length, NULL)) {
    fail (error, TANDEM_TOKENIZER_ERROR_VOCABULARY, path, "the file is not UTF-8");
    return NULL;
  }
  root = tandem_json_parse_object (text, &local);
  if (root == NULL)
    fail (error, TANDEM_TOKENIZER_ERROR_VOCABULARY, path, "%s", local->message);
  return root;
}

static JsonObject *
get_object (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

static const char *
get_string (JsonObject *object, const char *name)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, name) : NULL;

  return node != NULL && json_node_get_value_type (node) == G_TYPE_STRING
      ? json_node_get_string (node) : NULL;
}

/* Changes @flag as the member @name says, if it is there and true or false. */
static gboolean
apply_flag (JsonObject *object, const char *name, TandemTokenizerFlags flag,
            TandemTokenizerFlags *flags)
{
  JsonNode *node = json_object_get_member (object, name);

  if (node == NULL || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    return FALSE;
  *flags = json_node_get_boolean (node) ? *flags | flag : *flags & ~flag;
  return TRUE;
}

/* Accents go with lower case unless a setting of their own says otherwise. */
static void
apply_flags (JsonObject *object, const char *lower_case, const char *split_cjk,
             TandemTokenizerFlags *flags)
{
  if (apply_flag (object, lower_case, TANDEM_TOKENIZER_LOWER_CASE, flags)) {
    if (*flags & TANDEM_TOKENIZER_LOWER_CASE)
      *flags |= TANDEM_TOKENIZER_STRIP_ACCENTS;
    else
      *flags &= ~TANDEM_TOKENIZER_STRIP_ACCENTS;
  }
  apply_flag (object, "strip_accents", TANDEM_TOKENIZER_STRIP_ACCENTS, flags);
  apply_flag (object, split_cjk, TANDEM_TOKENIZER_SPLIT_CJK, flags);
  apply_flag (object, "clean_text", TANDEM_TOKENIZER_CLEAN_TEXT, flags);
}

/* Reads tokenizer_config.json of @folder, where there is one. */
static gboolean
apply_config (const char *folder, TandemTokenizerFlags *flags, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "tokenizer_config.json", NULL);
  g_autoptr (JsonNode) root = NULL;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  root = read_json (path, error);
  if (root == NULL)
    return FALSE;
  apply_flags (json_node_get_object (root), "do_lower_case", "tokenize_chinese_chars", flags);
  return TRUE;
}

static gboolean
check_is (const char *path, JsonObject *object, const char *where, const char *name,
          const char *expected, GError **error)
{
  const char *value = get_string (object, name);

  if (g_strcmp0 (value, expected) == 0)
    return TRUE;
  return fail (error, TANDEM_TOKENIZER_ERROR_UNSUPPORTED, path,
               "%s.%s is \"%s\"; only \"%s\" is supported", where, name,
               value != NULL ? value : "missing", expected);
}

/* The entries that are matched before normalisation: only BERT's own, without options. */
static gboolean
check_added_tokens (const char *path, JsonObject *root, GError **error)
{
  static const char *const known[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", NULL };
  static const char *const options[] = { "single_word", "lstrip", "rstrip", "normalized" };
  JsonNode *node = json_object_get_member (root, "added_tokens");
  JsonArray *array;
  guint i, j;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    return TRUE;
  array = json_node_get_array (node);
  for (i = 0; i < json_array_get_length (array); i++) {
    JsonNode *item = json_array_get_element (array, i);
    JsonObject *token = JSON_NODE_HOLDS_OBJECT (item) ? json_node_get_object (item) : NULL;
    const char *content = get_string (token, "content");

    if (content == NULL || !g_strv_contains (known, content))
      return fail (error, TANDEM_TOKENIZER_ERROR_UNSUPPORTED, path,
                   "the added token \"%s\" is not supported; only BERT's own special tokens are",
                   content != NULL ? content : "");
    for (j = 0; j < G_N_ELEMENTS (options); j++) {
      TandemTokenizerFlags set = TANDEM_TOKENIZER_NONE;

      apply_flag (token, options[j], TANDEM_TOKENIZER_LOWER_CASE, &set);
      if (set != TANDEM_TOKENIZER_NONE)
        return fail (error, TANDEM_TOKENIZER_ERROR_UNSUPPORTED, path,
                     "the added token \"%s\" has the option %s, which is not supported", content,
                     options[j]);
    }
  }
  return TRUE;
}

/* Gives the entries of model.vocab in the order of their ids, one a line. */
static GBytes *
collect_vocabulary (const char *path, JsonObject *vocabulary, GError **error)
{
  guint n = json_object_get_size (vocabulary);
  g_autofree const char **entries = g_new0 (const char *, (gsize) n + 1);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  JsonObjectIter iter;
  const char *entry;
  JsonNode *node;
  guint i;

  json_object_iter_init (&iter, vocabulary);
  while (json_object_iter_next (&iter, &entry, &node)) {
    gint64 id = json_node_get_value_type (node) == G_TYPE_INT64 ? json_node_get_int (node) : -1;

    if (id < 0 || id >= n || entries[id] != NULL) {
      fail (error, TANDEM_TOKENIZER_ERROR_VOCABULARY, path,
            "the %u entries of model.vocab are not numbered from 0 to %u: \"%s\" is %"
            G_GINT64_FORMAT, n, n - 1, entry, id);
      return NULL;
    }
    if (strpbrk (entry, "\r\n") != NULL) {
      fail (error, TANDEM_TOKENIZER_ERROR_VOCABULARY, path,
            "entry %" G_GINT64_FORMAT " of model.vocab has more than one line", id);
      return NULL;
    }
    entries[id] = entry;
  }
  for (i = 0; i < n; i++) {
    g_byte_array_append (bytes, (const guint8 *) entries[i], strlen (entries[i]));
    g_byte_array_append (bytes, (const guint8 *) "\n", 1);
  }
  return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}

static GBytes *
load_json (const char *path, TandemTokenizerFlags *flags, GError **error)
{
  g_autoptr (JsonNode) node = read_json (path, error);
  JsonObject *root, *model, *normalizer, *pre_tokenizer, *vocabulary;
  JsonNode *longest;

  if (node == NULL)
    return NULL;
  root = json_node_get_object (node);
  model = get_object (root, "model");
  normalizer = get_object (root, "normalizer");
  pre_tokenizer = get_object (root, "pre_tokenizer");

  if (!check_is (path, model, "model", "type", "WordPiece", error) ||
      !check_is (path, model, "model", "unk_token", "[UNK]", error) ||
      !check_is (path, model, "model", "continuing_subword_prefix", "##", error) ||
      !check_is (path, normalizer, "normalizer", "type", "BertNormalizer", error) ||
      !check_is (path, pre_tokenizer, "pre_tokenizer", "type", "BertPreTokenizer", error) ||
      !check_added_tokens (path, root, error))
    return NULL;
  longest = json_object_get_member (model, "max_input_chars_per_word");
  if (longest != NULL &&
      (json_node_get_value_type (longest) != G_TYPE_INT64 || json_node_get_int (longest) != 100)) {
    fail (error, TANDEM_TOKENIZER_ERROR_UNSUPPORTED, path,
          "model.max_input_chars_per_word is not 100");
    return NULL;
  }
  vocabulary = get_object (model, "vocab");
  if (vocabulary == NULL) {
    fail (error, TANDEM_TOKENIZER_ERROR_VOCABULARY, path, "model.vocab is missing");
    return NULL;
  }
  apply_flags (normalizer, "lowercase", "handle_chinese_chars", flags);
  return collect_vocabulary (path, vocabulary, error);
}

static GBytes *
load_vocabulary (const char *path, GError **error)
{
  gsize length;
  char *contents = read_file (path, TANDEM_WORD_TRIE_MAX_BYTES, &length, error);

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
    vocabulary = load_json (file, &flags, error);
  else
    vocabulary = load_vocabulary (file, error);
  if (vocabulary == NULL || !apply_config (folder, &flags, error))
    return NULL;
  tokenizer = tandem_tokenizer_new (vocabulary, flags, error);
  if (tokenizer == NULL)
    g_prefix_error (error, "%s: ", file);
  return g_steal_pointer (&tokenizer);
}
