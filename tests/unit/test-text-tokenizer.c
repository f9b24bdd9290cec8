/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib/gstdio.h>
#include <string.h>

#include "tandem.h"

#define UNCASED \
  (TANDEM_TOKENIZER_LOWER_CASE | TANDEM_TOKENIZER_STRIP_ACCENTS | TANDEM_TOKENIZER_SPLIT_CJK | \
   TANDEM_TOKENIZER_CLEAN_TEXT)

static char *
data_path (const char *name)
{
  return g_test_build_filename (G_TEST_DIST, "unit", "data", name, NULL);
}

static char *
make_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("tandem-text-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

static char *
write_file (const char *folder, const char *name, const char *contents)
{
  char *path = g_build_filename (folder, name, NULL);

  g_assert_true (g_file_set_contents (path, contents, -1, NULL));
  return path;
}

static TandemTokenizer *
new_from_text (const char *text, gssize length, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (text, length < 0 ? strlen (text) : (gsize) length);

  return tandem_tokenizer_new (bytes, UNCASED, error);
}

static void
assert_ids (TandemTokenizer *tokenizer, const char *text, gssize length, guint max_length,
            const char *expected, guint expected_replaced)
{
  g_autofree gint32 *ids = NULL;
  g_autoptr (GString) actual = g_string_new (NULL);
  guint n_replaced;
  gsize n = tandem_tokenizer_encode (tokenizer, text, length, max_length, &ids, &n_replaced);
  gsize i;

  for (i = 0; i < n; i++)
    g_string_append_printf (actual, "%s%d", i > 0 ? " " : "", ids[i]);
  g_assert_cmpstr (actual->str, ==, expected);
  g_assert_cmpuint (n_replaced, ==, expected_replaced);
}

/* With TANDEM_TOKENIZER_CUT_START: [CLS], the last ids of the uncut text, [SEP]; also where the
 * text is much longer than what is kept. */
static void
test_cut_start (void)
{
  static const char vocabulary[] = "[UNK]\n[CLS]\n[SEP]\na\nb\n##b\n";
  g_autoptr (GBytes) bytes = g_bytes_new_static (vocabulary, strlen (vocabulary));
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemTokenizer) uncut = tandem_tokenizer_new (bytes, UNCASED, &error);
  g_autoptr (TandemTokenizer) tokenizer =
      tandem_tokenizer_new (bytes, UNCASED | TANDEM_TOKENIZER_CUT_START, &error);
  g_autoptr (GString) text = g_string_new (NULL);
  const guint lengths[] = { 3, 4, 17, 512, 1026, 1027, 4000 };
  guint i, k;

  g_assert_no_error (error);
  assert_ids (tokenizer, "a b ab", -1, 6, "1 3 4 3 5 2", 0);
  assert_ids (tokenizer, "a b ab", -1, 5, "1 4 3 5 2", 0);
  assert_ids (tokenizer, "a b ab", -1, 3, "1 5 2", 0);
  assert_ids (tokenizer, "a b ab", -1, 2, "1 2", 0);
  assert_ids (tokenizer, "a[SEP]b", -1, 4, "1 2 4 2", 0);
  assert_ids (tokenizer, "\xff a b", -1, 3, "1 4 2", 1);
  g_assert_cmpstr (tandem_tokenizer_get_fingerprint (tokenizer), ==,
                   tandem_tokenizer_get_fingerprint (uncut));

  for (i = 0; i < 5000; i++)
    g_string_append (text, i % 7 == 3 ? "[SEP]" : i % 3 == 0 ? "ab." : i % 5 == 0 ? " a " : "b ");
  for (k = 0; k < G_N_ELEMENTS (lengths); k++) {
    g_autofree gint32 *all = NULL;
    g_autofree gint32 *ids = NULL;
    gsize n_all = tandem_tokenizer_encode (uncut, text->str, -1, 0, &all, NULL);
    gsize n = tandem_tokenizer_encode (tokenizer, text->str, -1, lengths[k], &ids, NULL);

    g_assert_cmpuint (n_all, >, 5000);
    g_assert_cmpuint (n, ==, lengths[k]);
    g_assert_cmpint (ids[0], ==, 1);
    g_assert_cmpmem (ids + 1, (n - 1) * sizeof *ids, all + n_all - (n - 1),
                     (n - 1) * sizeof *ids);
  }
}

/* Ids from the reference, in tests/unit/data/text-awkward.txt. */
static void
test_reference (void)
{
  g_autofree char *vocabulary_path = data_path ("text-vocab.txt");
  g_autofree char *path = data_path ("text-awkward.txt");
  g_autofree char *vocabulary = NULL;
  g_autofree char *contents = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GBytes) bytes = NULL;
  gsize length;
  guint i;

  g_assert_true (g_file_get_contents (vocabulary_path, &vocabulary, &length, NULL));
  bytes = g_bytes_new (vocabulary, length);
  g_assert_true (g_file_get_contents (path, &contents, NULL, NULL));
  lines = g_strsplit (contents, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), >, 900);
  for (i = 0; lines[i][0] != '\0'; i++) {
    g_auto (GStrv) fields = g_strsplit (lines[i], " ", 4);
    g_autoptr (TandemTokenizer) tokenizer =
        tandem_tokenizer_new (bytes, g_ascii_strtoull (fields[0], NULL, 10), NULL);
    g_autoptr (GByteArray) text = g_byte_array_new ();
    const char *hex = g_str_equal (fields[2], "-") ? "" : fields[2];

    for (; *hex != '\0'; hex += 2) {
      guint8 byte = g_ascii_xdigit_value (hex[0]) << 4 | g_ascii_xdigit_value (hex[1]);

      g_byte_array_append (text, &byte, 1);
    }
    assert_ids (tokenizer, (const char *) text->data, text->len,
                g_ascii_strtoull (fields[1], NULL, 10), fields[3], 0);
  }
}

static void
test_truncation (void)
{
  g_autoptr (TandemTokenizer) tokenizer =
      new_from_text ("[UNK]\n[CLS]\n[SEP]\na\nb\n##b\n", -1, NULL);

  assert_ids (tokenizer, "a b ab", -1, 0, "1 3 4 3 5 2", 0);
  assert_ids (tokenizer, "a b ab", -1, 6, "1 3 4 3 5 2", 0);
  assert_ids (tokenizer, "a b ab", -1, 5, "1 3 4 3 2", 0);
  assert_ids (tokenizer, "a b ab", -1, 2, "1 2", 0);
  assert_ids (tokenizer, "a b ab", -1, 1, "1 2", 0);
  assert_ids (tokenizer, "a[SEP]b", -1, 4, "1 3 2 2", 0);
  assert_ids (tokenizer, "", -1, 0, "1 2", 0);
  assert_ids (tokenizer, NULL, 0, 0, "1 2", 0);
}

static void
test_invalid_utf8 (void)
{
  g_autoptr (TandemTokenizer) tokenizer = new_from_text ("[UNK]\n[CLS]\n[SEP]\na\n##a\n", -1, NULL);

  assert_ids (tokenizer, "a\xff" "a", -1, 0, "1 3 4 2", 1);
  /* A truncated character is one, bytes that begin none are one each. */
  assert_ids (tokenizer, "a \xf0\x9f\x98", -1, 0, "1 3 2", 1);
  assert_ids (tokenizer, "\xc0\x80 a", -1, 0, "1 3 2", 2);
  assert_ids (tokenizer, "\xed\xa0\x80", -1, 0, "1 2", 3);
  assert_ids (tokenizer, "\xe2\x82[SEP]", -1, 0, "1 2 2", 1);
  /* Counted beyond the truncation too. */
  assert_ids (tokenizer, "a a a \xff\xff", -1, 3, "1 3 2", 2);
}

static void
test_bad_vocabularies (void)
{
  static const struct
  {
    const char *text;
    gssize length;
    TandemTokenizerError code;
  } cases[] = {
    { "", 0, TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { "[UNK]\n[CLS]\n[SEP]\na\nb\na\n", -1, TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { "[UNK]\n[CLS]\n[SEP]\n##a\n##a\n", -1, TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { "[UNK]\n[CLS]\n[SEP]\n\xff\n", -1, TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { "[UNK]\n[CLS]\n[SEP]\na\0b\n", 21, TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { "[UNK]\n[CLS]\n[SEP]\na\rb\n", -1, TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { "[CLS]\n[SEP]\na\n", -1, TANDEM_TOKENIZER_ERROR_MISSING_TOKEN },
    { "[UNK]\n[SEP]\na\n", -1, TANDEM_TOKENIZER_ERROR_MISSING_TOKEN },
    { "[UNK]\n[CLS]\na\n", -1, TANDEM_TOKENIZER_ERROR_MISSING_TOKEN },
  };
  g_autofree char *huge = g_malloc (5 << 20);
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_assert_null (new_from_text (cases[i].text, cases[i].length, &error));
    g_assert_error (error, TANDEM_TOKENIZER_ERROR, (int) cases[i].code);
    g_clear_error (&error);
  }
  memset (huge, 'a', 5 << 20);
  g_assert_null (new_from_text (huge, 5 << 20, &error));
  g_assert_error (error, TANDEM_TOKENIZER_ERROR, TANDEM_TOKENIZER_ERROR_VOCABULARY);
}

static void
test_round_trip (void)
{
  g_autoptr (TandemTokenizer) first = new_from_text ("[UNK]\r\n[CLS]\r\n[SEP]\r\na\r\n\r\nb", -1, NULL);
  g_autoptr (GBytes) vocabulary = tandem_tokenizer_get_vocabulary (first);
  g_autoptr (TandemTokenizer) second = tandem_tokenizer_new (vocabulary, UNCASED, NULL);
  g_autoptr (TandemTokenizer) cased =
      tandem_tokenizer_new (vocabulary, TANDEM_TOKENIZER_CLEAN_TEXT, NULL);

  g_assert_cmpuint (tandem_tokenizer_get_size (second), ==, 6);
  g_assert_cmpstr (tandem_tokenizer_get_token (second, 5), ==, "b");
  g_assert_null (tandem_tokenizer_get_token (second, 6));
  g_assert_cmpstr (tandem_tokenizer_get_fingerprint (first), ==,
                   tandem_tokenizer_get_fingerprint (second));
  g_assert_cmpstr (tandem_tokenizer_get_fingerprint (first), !=,
                   tandem_tokenizer_get_fingerprint (cased));
}

#define JSON(normalizer, model, added) \
  "{\"added_tokens\": [" added "], \"normalizer\": " normalizer \
  ", \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, \"model\": " model "}"
#define NORMALIZER \
  "{\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": true," \
  " \"strip_accents\": null, \"lowercase\": false}"
#define MODEL(type, last) \
  "{\"type\": \"" type "\", \"unk_token\": \"[UNK]\", \"continuing_subword_prefix\": \"##\"," \
  " \"max_input_chars_per_word\": 100, \"vocab\": {\"[UNK]\": 0, \"[CLS]\": 1, \"a\": " last \
  ", \"[SEP]\": 2}}"

static void
test_files (void)
{
  static const struct
  {
    const char *json;
    TandemTokenizerError code;
  } bad[] = {
    { "", TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { "[", TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { "[]", TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { "{\"a\": \"\xff\"}", TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { "{}", TANDEM_TOKENIZER_ERROR_UNSUPPORTED },
    { JSON (NORMALIZER, MODEL ("BPE", "3"), ""), TANDEM_TOKENIZER_ERROR_UNSUPPORTED },
    { JSON ("null", MODEL ("WordPiece", "3"), ""), TANDEM_TOKENIZER_ERROR_UNSUPPORTED },
    { JSON (NORMALIZER, MODEL ("WordPiece", "3"), "{\"content\": \"<x>\"}"),
      TANDEM_TOKENIZER_ERROR_UNSUPPORTED },
    { JSON (NORMALIZER, MODEL ("WordPiece", "3"), "{\"content\": \"[SEP]\", \"lstrip\": true}"),
      TANDEM_TOKENIZER_ERROR_UNSUPPORTED },
    { JSON (NORMALIZER, MODEL ("WordPiece", "4"), ""), TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { JSON (NORMALIZER, MODEL ("WordPiece", "2"), ""), TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { JSON (NORMALIZER, MODEL ("WordPiece", "-3"), ""), TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { JSON (NORMALIZER, MODEL ("WordPiece", "\"3\""), ""), TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { JSON (NORMALIZER, MODEL ("WordPiece", "3, \"b\\n\": 4"), ""),
      TANDEM_TOKENIZER_ERROR_VOCABULARY },
    { JSON (NORMALIZER, MODEL ("WordPiece", "3}, \"vocab\": {\"b\": 0"), ""),
      TANDEM_TOKENIZER_ERROR_VOCABULARY },
  };
  g_autofree char *folder = make_folder ();
  g_autofree char *json = NULL;
  g_autofree char *config = NULL;
  g_autofree char *vocab = NULL;
  g_autofree char *deep = g_strnfill (1 << 20, '[');
  /* A quotation mark in a comment, which json-glib skips, would hide the depth. */
  g_autofree char *hidden = g_strconcat ("/*\"*/", deep, NULL);
  g_autoptr (TandemTokenizer) tokenizer = NULL;
  g_autoptr (GError) error = NULL;
  guint i;

  g_assert_null (tandem_tokenizer_new_from_path (folder, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);

  vocab = write_file (folder, "vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\n");
  tokenizer = tandem_tokenizer_new_from_path (folder, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tandem_tokenizer_get_flags (tokenizer), ==, UNCASED);
  g_clear_object (&tokenizer);

  json = write_file (folder, "tokenizer.json", JSON (NORMALIZER, MODEL ("WordPiece", "3"),
                     "{\"content\": \"[SEP]\", \"normalized\": false}"));
  tokenizer = tandem_tokenizer_new_from_path (folder, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tandem_tokenizer_get_flags (tokenizer), ==,
                   TANDEM_TOKENIZER_CLEAN_TEXT | TANDEM_TOKENIZER_SPLIT_CJK);
  assert_ids (tokenizer, "a A", -1, 0, "1 3 0 2", 0);
  g_clear_object (&tokenizer);

  g_assert_true (g_file_set_contents (json, JSON (NORMALIZER, MODEL ("WordPiece",
                                      "3, \"\\u00fc\\\"\\ud83d\\ude00\": 4"), ""), -1, NULL));
  tokenizer = tandem_tokenizer_new_from_path (folder, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (tandem_tokenizer_get_token (tokenizer, 4), ==, "\u00fc\"\U0001f600");
  g_clear_object (&tokenizer);

  config = write_file (folder, "tokenizer_config.json",
                       "{\"do_lower_case\": true, \"strip_accents\": false}");
  tokenizer = tandem_tokenizer_new_from_path (json, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tandem_tokenizer_get_flags (tokenizer), ==,
                   UNCASED & ~TANDEM_TOKENIZER_STRIP_ACCENTS);
  g_clear_object (&tokenizer);

  g_assert_true (g_file_set_contents (config, "{\"truncation_side\": \"left\"}", -1, NULL));
  tokenizer = tandem_tokenizer_new_from_path (json, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tandem_tokenizer_get_flags (tokenizer) & TANDEM_TOKENIZER_CUT_START, !=, 0);
  g_clear_object (&tokenizer);
  g_assert_true (g_file_set_contents (config, "{\"truncation_side\": \"up\"}", -1, NULL));
  g_assert_null (tandem_tokenizer_new_from_path (json, &error));
  g_assert_error (error, TANDEM_TOKENIZER_ERROR, TANDEM_TOKENIZER_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "truncation_side"));
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (config, "{}", -1, NULL));

  for (i = 0; i < G_N_ELEMENTS (bad) + 2; i++) {
    const char *contents =
        i < G_N_ELEMENTS (bad) ? bad[i].json : i == G_N_ELEMENTS (bad) ? deep : hidden;
    int code = i < G_N_ELEMENTS (bad) ? bad[i].code : TANDEM_TOKENIZER_ERROR_VOCABULARY;

    g_assert_true (g_file_set_contents (json, contents, -1, NULL));
    g_assert_null (tandem_tokenizer_new_from_path (json, &error));
    g_assert_error (error, TANDEM_TOKENIZER_ERROR, code);
    g_assert_nonnull (strstr (error->message, "tokenizer.json"));
    g_clear_error (&error);
  }
  g_unlink (json);
  g_unlink (config);
  g_unlink (vocab);
  g_rmdir (folder);
}

static gpointer
encode_often (gpointer data)
{
  guint i;

  for (i = 0; i < 2000; i++)
    assert_ids (data, "ab \xc3\xa9 a", -1, 0, "1 3 4 0 3 2", 0);
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (TandemTokenizer) tokenizer = new_from_text ("[UNK]\n[CLS]\n[SEP]\na\n##b\n", -1, NULL);
  GThread *threads[4];
  guint i;

  for (i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new (NULL, encode_often, tokenizer);
  for (i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tokenizer/reference", test_reference);
  g_test_add_func ("/tokenizer/truncation", test_truncation);
  g_test_add_func ("/tokenizer/cut-start", test_cut_start);
  g_test_add_func ("/tokenizer/invalid-utf8", test_invalid_utf8);
  g_test_add_func ("/tokenizer/bad-vocabularies", test_bad_vocabularies);
  g_test_add_func ("/tokenizer/round-trip", test_round_trip);
  g_test_add_func ("/tokenizer/files", test_files);
  g_test_add_func ("/tokenizer/threads", test_threads);
  return g_test_run ();
}
