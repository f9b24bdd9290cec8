/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Vocabularies without entries that a corpus does not use: the corpus is encoded alike. */

#include "tandem-test-sparse.h"

#include <string.h>

/* Marks what the texts use, and makes the vocabulary of that and of what is always needed. */
static TandemModel *
prune (TandemModel *model, GPtrArray *texts, const char *folder)
{
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, NULL);
  g_autofree guint8 *used = g_malloc0 (tandem_tokenizer_get_size (tokenizer));
  g_autoptr (TandemTokenizer) smaller = NULL;
  g_autofree char *config = NULL;
  g_autoptr (GHashTable) tensors = NULL;
  g_autoptr (TandemMasks) masks = NULL;
  g_autoptr (GError) error = NULL;
  TandemModel *pruned;
  guint i;

  for (i = 0; i < texts->len; i++)
    tandem_tokenizer_mark_used (tokenizer, g_ptr_array_index (texts, i), -1, used);
  tandem_prune_vocabulary (model, used, &smaller, &config, &tensors, &masks, &error);
  g_assert_no_error (error);
  tandem_model_export_sparse (model, config, tensors, masks, smaller, NULL, TANDEM_DTYPE_F32,
                              folder, TANDEM_MODEL_EXPORT_REPLACE | TANDEM_MODEL_EXPORT_KEEP_DTYPES,
                              NULL, &error);
  g_assert_no_error (error);
  pruned = tandem_model_open (folder, NULL, &error);
  g_assert_no_error (error);
  return pruned;
}

/* The same entries in the same order, whatever their numbers. */
static void
assert_same_tokens (TandemTokenizer *before, TandemTokenizer *after, const char *text)
{
  g_autofree gint32 *left = NULL;
  g_autofree gint32 *right = NULL;
  gsize n = tandem_tokenizer_encode (before, text, -1, 0, &left, NULL);
  gsize m = tandem_tokenizer_encode (after, text, -1, 0, &right, NULL);
  gsize i;

  g_assert_cmpuint (n, ==, m);
  for (i = 0; i < n; i++)
    g_assert_cmpstr (tandem_tokenizer_get_token (before, left[i]), ==,
                     tandem_tokenizer_get_token (after, right[i]));
}

static char *
make_word (GRand *rand, const char *alphabet, guint longest)
{
  guint n = g_rand_int_range (rand, 1, longest + 1), i;
  char *word = g_malloc0 (n + 1);

  for (i = 0; i < n; i++)
    word[i] = alphabet[g_rand_int_range (rand, 0, strlen (alphabet))];
  return word;
}

/* A vocabulary over few letters, one of which does not stand alone: many words are [UNK] after some
 * of their beginning was found, which a smaller vocabulary must not mend. */
static void
write_vocabulary (GRand *rand, const char *folder, guint n)
{
  static const char *const special[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
  g_autofree char *path = g_build_filename (folder, "vocab.txt", NULL);
  g_autoptr (GHashTable) known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GString) text = g_string_new (NULL);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (special); i++)
    g_string_append_printf (text, "%s\n", special[i]);
  while (g_hash_table_size (known) < n - G_N_ELEMENTS (special)) {
    g_autofree char *word = make_word (rand, "abcd", 4);
    char *token = g_strconcat (g_rand_boolean (rand) ? "##" : "", word, NULL);

    if (g_str_equal (word, "d") || g_hash_table_contains (known, token)) {
      g_free (token);
      continue;
    }
    g_string_append_printf (text, "%s\n", token);
    g_hash_table_add (known, token);
  }
  g_assert_true (g_file_set_contents (path, text->str, -1, NULL));
}

static void
test_random (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  guint round, i, k;

  for (round = 0; round < 20; round++) {
    char *folder = tandem_test_make_folder ();
    g_autofree char *target = g_build_filename (folder, "pruned", NULL);
    g_autoptr (GPtrArray) texts = g_ptr_array_new_with_free_func (g_free);
    g_autoptr (TandemModel) model = NULL;
    g_autoptr (TandemModel) pruned = NULL;
    g_autoptr (TandemTokenizer) before = NULL;
    g_autoptr (TandemTokenizer) after = NULL;

    spec.seed = round + 1;
    tandem_test_model_write (&spec, folder);
    write_vocabulary (rand, folder, spec.vocab_size);
    model = tandem_model_open (folder, NULL, NULL);
    for (i = 0; i < 5; i++) {
      g_autoptr (GString) text = g_string_new (NULL);

      for (k = 0; k < 8; k++) {
        g_autofree char *word = make_word (rand, "abcd", 9);

        g_string_append_printf (text, "%s ", word);
      }
      g_ptr_array_add (texts, g_strdup (text->str));
    }
    pruned = prune (model, texts, target);
    before = tandem_model_get_tokenizer (model, NULL);
    after = tandem_model_get_tokenizer (pruned, NULL);
    g_assert_cmpuint (tandem_tokenizer_get_size (after), <, tandem_tokenizer_get_size (before));
    for (i = 0; i < texts->len; i++)
      assert_same_tokens (before, after, g_ptr_array_index (texts, i));
    tandem_test_remove_folder (folder);
  }
}

static float *
classify (TandemModel *model, const char *text)
{
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, NULL);
  g_autofree gint32 *ids = NULL;
  const TandemModelConfig *config = tandem_model_get_config (model);
  guint32 offsets[] = { 0, 0 };
  float *logits = g_new (float, config->n_classes);
  g_autoptr (TandemBertStage) stage = tandem_bert_stage_new (
      model, 0, config->n_layers - 1, TANDEM_PRECISION_F32, 1, TANDEM_BERT_STAGE_NONE, NULL);

  offsets[1] = tandem_tokenizer_encode (tokenizer, text, -1, 64, &ids, NULL);
  g_assert_true (tandem_bert_stage_forward_tokens (stage, ids, 1, offsets, logits, NULL, NULL));
  return logits;
}

/* Random numbers in the shape of the default model, which may be quantized, with its vocabulary. */
static TandemModel *
make_model (const char *shape, const char *folder)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemModel) model = tandem_model_open (shape, NULL, &error);
  g_autoptr (GHashTable) tensors = NULL;
  TandemModel *made;

  g_assert_no_error (error);
  tensors = tandem_model_init_random (tandem_model_get_config_text (model),
                                      TANDEM_MODEL_INIT_CLASSIFIER, 2, 1, &error);
  g_assert_no_error (error);
  tandem_model_export (model, NULL, tensors, NULL, TANDEM_DTYPE_F32, folder,
                       TANDEM_MODEL_EXPORT_NONE, NULL, &error);
  g_assert_no_error (error);
  made = tandem_model_open (folder, NULL, &error);
  g_assert_no_error (error);
  return made;
}

/* A real vocabulary over this project's documents. */
static void
test_real_text (void)
{
  static const char *const names[] = { "README.md", "docs/architecture.md", "docs/training.md",
                                       "docs/elements.md" };
  const char *source = g_getenv ("TANDEM_SOURCE_ROOT");
  g_autofree char *folder = NULL;
  char *target = tandem_test_make_folder ();
  g_autofree char *inner = g_build_filename (target, "pruned", NULL);
  g_autofree char *whole = g_build_filename (target, "whole", NULL);
  g_autoptr (GPtrArray) texts = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (TandemModel) pruned = NULL;
  g_autoptr (TandemTokenizer) before = NULL;
  g_autoptr (TandemTokenizer) after = NULL;
  g_autofree gint32 *unknown = NULL;
  gsize n, i;

  g_assert_nonnull (source);
  folder = g_build_filename (source, "pipelines", "models", "tinybert-imdb", NULL);
  model = make_model (folder, whole);
  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (source, names[i], NULL);
    char *text;

    g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
    g_ptr_array_add (texts, text);
  }
  pruned = prune (model, texts, inner);
  before = tandem_model_get_tokenizer (model, NULL);
  after = tandem_model_get_tokenizer (pruned, NULL);
  g_assert_cmpuint (tandem_tokenizer_get_size (after), <, tandem_tokenizer_get_size (before));
  g_assert_cmpint (tandem_tokenizer_get_flags (after), ==, tandem_tokenizer_get_flags (before));
  for (i = 0; i < texts->len; i++) {
    g_autofree float *left = classify (model, g_ptr_array_index (texts, i));
    g_autofree float *right = classify (pruned, g_ptr_array_index (texts, i));

    assert_same_tokens (before, after, g_ptr_array_index (texts, i));
    g_assert_cmpmem (left, 2 * sizeof *left, right, 2 * sizeof *right);
  }
  /* A word that nobody wrote is not [UNK]. */
  n = tandem_tokenizer_encode (after, "zyxwvutq", -1, 0, &unknown, NULL);
  for (i = 0; i < n; i++)
    g_assert_cmpstr (tandem_tokenizer_get_token (after, unknown[i]), !=, "[UNK]");
  tandem_test_assert_splits (pruned, target);
  tandem_test_remove_folder (target);
}

/* Masks follow the rows. */
static void
test_masks (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();
  g_autofree char *sparse_folder = g_build_filename (folder, "sparse", NULL);
  g_autofree char *target = g_build_filename (folder, "pruned", NULL);
  g_autoptr (GPtrArray) texts = g_ptr_array_new ();
  g_autoptr (TandemMasks) masks = NULL;
  g_autoptr (TandemMasks) after = NULL;
  g_autoptr (GHashTable) tensors = NULL;
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (TandemModel) sparse = NULL;
  g_autoptr (TandemModel) pruned = NULL;
  const guint8 *old, *bits;
  guint64 n, i;

  tandem_test_model_write (&spec, folder);
  model = tandem_model_open (folder, NULL, NULL);
  tensors = tandem_test_prune (model, 0.5, &masks);
  sparse = tandem_test_export (model, NULL, tensors, masks, sparse_folder);
  g_ptr_array_add (texts, (gpointer) "a word60 b word99");
  pruned = prune (sparse, texts, target);
  after = tandem_masks_new_from_model (pruned);
  old = tandem_masks_get (masks, "embeddings.word_embeddings.weight", NULL);
  bits = tandem_masks_get (after, "embeddings.word_embeddings.weight", &n);
  /* Special tokens, characters, and two words. */
  g_assert_cmpuint (n, ==, 59 * 16);
  for (i = 0; i < n; i++) {
    guint64 row = i / 16, from = (row == 57 ? 60 : row == 58 ? 99 : row) * 16 + i % 16;

    g_assert_cmpint (bits[i / 8] >> (i % 8) & 1, ==, old[from / 8] >> (from % 8) & 1);
  }
  tandem_test_remove_folder (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/prune/vocabulary/random", test_random);
  g_test_add_func ("/prune/vocabulary/real-text", test_real_text);
  g_test_add_func ("/prune/vocabulary/masks", test_masks);
  return g_test_run ();
}
