/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tokenizers as JSON: tokenizer.json and tokenizer_config.json. */

#include "config.h"

#include "tandem-tokenizer-json-private.h"

#include <string.h>

#include "base/tandem-json-private.h"
#include "tandem-word-trie-private.h"
#include "tensor/tandem-json-scanner.h"

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

char *
tandem_tokenizer_read_file (const char *path, gsize limit, gsize *length, GError **error)
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

/* The vocabulary of a tokenizer.json while it is read. */
typedef struct
{
  GByteArray *text;             /* all entries, each with a zero byte behind it */
  GArray *starts;               /* of Start, in the order of the file */
} Entries;

typedef struct
{
  guint64 id;
  guint32 offset;
} Start;

static void
entries_clear (Entries *entries)
{
  g_clear_pointer (&entries->text, g_byte_array_unref);
  g_clear_pointer (&entries->starts, g_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Entries, entries_clear)

static gboolean
scan_entries (TandemScanner *scanner, Entries *entries)
{
  if (entries->text != NULL)
    return tandem_scanner_fail (scanner, "a second model.vocab");
  entries->text = g_byte_array_new ();
  entries->starts = g_array_new (FALSE, FALSE, sizeof (Start));
  if (!tandem_scanner_expect (scanner, '{'))
    return FALSE;
  if (tandem_scanner_accept (scanner, '}'))
    return TRUE;
  do {
    g_autofree char *entry = tandem_scanner_string (scanner);
    Start start = { 0, entries->text->len };

    if (entry == NULL || !tandem_scanner_expect (scanner, ':') ||
        !tandem_scanner_number (scanner, &start.id))
      return FALSE;
    if (strpbrk (entry, "\r\n") != NULL)
      return tandem_scanner_fail (scanner, "entry %" G_GUINT64_FORMAT " of model.vocab has more "
                                  "than one line", start.id);
    g_array_append_val (entries->starts, start);
    g_byte_array_append (entries->text, (const guint8 *) entry, strlen (entry) + 1);
    if (entries->text->len > TANDEM_WORD_TRIE_MAX_BYTES)
      return tandem_scanner_fail (scanner, "model.vocab has more than %u bytes",
                                  TANDEM_WORD_TRIE_MAX_BYTES);
  } while (tandem_scanner_accept (scanner, ','));
  return tandem_scanner_expect (scanner, '}');
}

/* Walks through an object and hands the value of @name to @scan, others to nobody. */
static gboolean
scan_member (TandemScanner *scanner, const char *name,
             gboolean (*scan) (TandemScanner *scanner, gpointer data), gpointer data)
{
  if (!tandem_scanner_expect (scanner, '{'))
    return FALSE;
  if (tandem_scanner_accept (scanner, '}'))
    return TRUE;
  do {
    g_autofree char *key = tandem_scanner_string (scanner);

    if (key == NULL || !tandem_scanner_expect (scanner, ':') ||
        !(g_str_equal (key, name) ? scan (scanner, data) : tandem_scanner_skip_value (scanner)))
      return FALSE;
  } while (tandem_scanner_accept (scanner, ','));
  return tandem_scanner_expect (scanner, '}');
}

/* Leaves an empty object where the vocabulary was: the text is ours to write to. */
static gboolean
scan_vocabulary (TandemScanner *scanner, gpointer data)
{
  char *start;

  tandem_scanner_skip_space (scanner);
  start = (char *) scanner->next;
  if (scanner->next < scanner->end && *start != '{')
    return tandem_scanner_skip_value (scanner);
  if (!scan_entries (scanner, data))
    return FALSE;
  memset (start + 1, ' ', scanner->next - start - 2);
  return TRUE;
}

static gboolean
scan_model (TandemScanner *scanner, gpointer data)
{
  tandem_scanner_skip_space (scanner);
  if (scanner->next < scanner->end && *scanner->next != '{')
    return tandem_scanner_skip_value (scanner);
  return scan_member (scanner, "vocab", scan_vocabulary, data);
}

/* Gives the entries in the order of their ids, one a line. */
static GBytes *
sort_entries (const char *path, const Entries *entries, GError **error)
{
  guint n = entries->starts->len, i;
  g_autofree const char **sorted = g_new0 (const char *, (gsize) n + 1);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  for (i = 0; i < n; i++) {
    const Start *start = &g_array_index (entries->starts, Start, i);
    const char *entry = (const char *) entries->text->data + start->offset;

    if (start->id >= n || sorted[start->id] != NULL) {
      fail (error, TANDEM_TOKENIZER_ERROR_VOCABULARY, path,
            "the %u entries of model.vocab are not numbered from 0 to %u: \"%s\" is %"
            G_GUINT64_FORMAT, n, n - 1, entry, start->id);
      return NULL;
    }
    sorted[start->id] = entry;
  }
  for (i = 0; i < n; i++) {
    g_byte_array_append (bytes, (const guint8 *) sorted[i], strlen (sorted[i]));
    g_byte_array_append (bytes, (const guint8 *) "\n", 1);
  }
  return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}

/* Takes the vocabulary out of @text, which json-glib would keep in memory for as long
 * as the process lives: it never forgets the name of a member. */
static gboolean
cut_vocabulary (const char *path, char *text, gsize length, Entries *entries, GError **error)
{
  g_autoptr (GError) inner = NULL;
  TandemScanner scanner = {
    .start = text, .next = text, .end = text + length, .file = path, .what = "the JSON",
    .error = &inner
  };

  if (scan_member (&scanner, "model", scan_model, entries))
    return TRUE;
  g_set_error_literal (error, TANDEM_TOKENIZER_ERROR, TANDEM_TOKENIZER_ERROR_VOCABULARY,
                       inner->message);
  return FALSE;
}

/* Parses a file that holds a JSON object; what goes to entries is not in it. */
static JsonNode *
read_json (const char *path, Entries *entries, GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) local = NULL;
  JsonNode *root;
  gsize length;

  text = tandem_tokenizer_read_file (path, MAX_JSON_BYTES, &length, error);
  if (text == NULL)
    return NULL;
  if (!g_utf8_validate_len (text, length, NULL)) {
    fail (error, TANDEM_TOKENIZER_ERROR_VOCABULARY, path, "the file is not UTF-8");
    return NULL;
  }
  if (entries != NULL && !cut_vocabulary (path, text, strlen (text), entries, error))
    return NULL;
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

/* Which end of a text that is too long goes: "left" or "right". */
static gboolean
apply_side (const char *path, JsonObject *object, const char *name, const char *left,
            const char *right, TandemTokenizerFlags *flags, GError **error)
{
  const char *side = get_string (object, name);

  if (object == NULL || !json_object_has_member (object, name))
    return TRUE;
  if (g_strcmp0 (side, left) == 0)
    *flags |= TANDEM_TOKENIZER_CUT_START;
  else if (g_strcmp0 (side, right) == 0)
    *flags &= ~TANDEM_TOKENIZER_CUT_START;
  else
    return fail (error, TANDEM_TOKENIZER_ERROR_UNSUPPORTED, path,
                 "%s is \"%s\"; \"%s\" or \"%s\" is supported", name,
                 side != NULL ? side : "no text", left, right);
  return TRUE;
}

gboolean
tandem_tokenizer_apply_config (const char *folder, TandemTokenizerFlags *flags, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "tokenizer_config.json", NULL);
  g_autoptr (JsonNode) root = NULL;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  root = read_json (path, NULL, error);
  if (root == NULL)
    return FALSE;
  apply_flags (json_node_get_object (root), "do_lower_case", "tokenize_chinese_chars", flags);
  return apply_side (path, json_node_get_object (root), "truncation_side", "left", "right", flags,
                     error);
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

GBytes *
tandem_tokenizer_load_json (const char *path, TandemTokenizerFlags *flags, GError **error)
{
  g_auto (Entries) entries = { NULL };
  g_autoptr (JsonNode) node = read_json (path, &entries, error);
  JsonObject *root, *model, *normalizer, *pre_tokenizer;
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
      !check_added_tokens (path, root, error) ||
      !apply_side (path, get_object (root, "truncation"), "direction", "Left", "Right", flags,
                   error))
    return NULL;
  longest = json_object_get_member (model, "max_input_chars_per_word");
  if (longest != NULL &&
      (json_node_get_value_type (longest) != G_TYPE_INT64 || json_node_get_int (longest) != 100)) {
    fail (error, TANDEM_TOKENIZER_ERROR_UNSUPPORTED, path,
          "model.max_input_chars_per_word is not 100");
    return NULL;
  }
  if (entries.text == NULL) {
    fail (error, TANDEM_TOKENIZER_ERROR_VOCABULARY, path, "model.vocab is missing");
    return NULL;
  }
  apply_flags (normalizer, "lowercase", "handle_chinese_chars", flags);
  return sort_entries (path, &entries, error);
}
