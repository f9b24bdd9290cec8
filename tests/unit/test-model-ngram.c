/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "tandem-ngram-fit.h"
#include "tandem.h"

static const struct
{
  const char *text;
  gint32 label;
} corpus[] = {
  { "a good film", 1 }, { "good good fun", 1 }, { "not bad, good", 1 }, { "a fine film", 1 },
  { "a bad film", 0 }, { "bad and boring", 0 }, { "not good, bad", 0 }, { "boring film", 0 },
  { "", 0 },
};
#define N_TEXTS G_N_ELEMENTS (corpus)

static const char *const words[] = { "a", "good", "film", "fun", "not", "bad", ",", "fine", "and",
                                     "boring" };

typedef struct
{
  GBytes *texts[N_TEXTS];
  gint32 labels[N_TEXTS];
} Corpus;

static void
corpus_init (Corpus *self)
{
  guint i;

  for (i = 0; i < N_TEXTS; i++) {
    self->texts[i] = g_bytes_new_static (corpus[i].text, strlen (corpus[i].text));
    self->labels[i] = corpus[i].label;
  }
}

static void
corpus_clear (Corpus *self)
{
  guint i;

  for (i = 0; i < N_TEXTS; i++)
    g_bytes_unref (self->texts[i]);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Corpus, corpus_clear)

static guint64
hash_word (const char *word)
{
  g_autoptr (GArray) hashes = tandem_ngram_hash_text (word, -1, 1);

  g_assert_cmpuint (hashes->len, ==, 1);
  return g_array_index (hashes, guint64, 0);
}

static gboolean
has (const char *text, gssize length, guint order, const char *ngram)
{
  g_autoptr (GArray) hashes = tandem_ngram_hash_text (text, length, order);
  g_autoptr (GArray) all = tandem_ngram_hash_text (ngram, -1, order);
  guint i, k, n_found = 0;

  for (i = 0; i < all->len; i++)
    for (k = 0; k < hashes->len; k++)
      n_found += g_array_index (all, guint64, i) == g_array_index (hashes, guint64, k);
  return n_found == all->len;
}

static void
test_hashes (void)
{
  g_autoptr (GArray) hashes = tandem_ngram_hash_text ("One two, one TWO", -1, 3);
  g_autoptr (GArray) none = tandem_ngram_hash_text (" \t\n<br />", -1, 3);
  g_autoptr (GArray) empty = tandem_ngram_hash_text (NULL, 0, 8);
  guint i;

  /* one, two, ",", "one two", "two ,", ", one", "one two ,", "two , one", ", one two" */
  g_assert_cmpuint (hashes->len, ==, 9);
  for (i = 1; i < hashes->len; i++)
    g_assert_cmpuint (g_array_index (hashes, guint64, i - 1), <, g_array_index (hashes, guint64, i));
  g_assert_cmpuint (none->len, ==, 0);
  g_assert_cmpuint (empty->len, ==, 0);

  g_assert_true (has ("One two, one TWO", -1, 3, "two , one"));
  g_assert_false (has ("One two, one TWO", -1, 3, "one ,"));
  g_assert_true (has ("well<br /><br/>done", -1, 2, "well done"));
  g_assert_true (has ("\xc3\x89tude", -1, 1, "\xc3\xa9tude"));
  g_assert_true (has ("good film", 4, 1, "good"));
  g_assert_false (has ("good film", 4, 1, "film"));
  g_assert_false (has ("a b", -1, 2, "b a"));
  g_assert_true (has ("a\xff", -1, 1, "a\xef\xbf\xbd"));
}

/* As they come, and as often. */
static void
test_words (void)
{
  static const char *const expected[] = { "one", "two", ",", "one", "a" };
  g_autoptr (GArray) hashes = tandem_ngram_hash_words ("One two,<br />ONE\na", -1);
  g_autoptr (GArray) part = tandem_ngram_hash_words ("one two", 3);
  g_autoptr (GArray) none = tandem_ngram_hash_words (NULL, 0);
  guint i;

  g_assert_cmpuint (hashes->len, ==, G_N_ELEMENTS (expected));
  for (i = 0; i < hashes->len; i++)
    g_assert_cmpuint (g_array_index (hashes, guint64, i), ==, hash_word (expected[i]));
  g_assert_cmpuint (part->len, ==, 1);
  g_assert_cmpuint (none->len, ==, 0);
}

static TandemSafetensors *
save_and_open (TandemNgramClassifier *classifier, const char *path)
{
  g_autoptr (GError) error = NULL;
  TandemSafetensors *file;

  g_assert_true (tandem_ngram_classifier_save (classifier, path, NULL, &error));
  g_assert_no_error (error);
  file = tandem_safetensors_open (path, &error);
  g_assert_no_error (error);
  return file;
}

static const float *
get_floats (TandemSafetensors *file, const char *name, TandemTensor **tensor)
{
  *tensor = tandem_safetensors_get_tensor (file, name, NULL);
  g_assert_nonnull (*tensor);
  return g_bytes_get_data (tandem_tensor_get_bytes (*tensor), NULL);
}

/* How many texts of a class have a word, and the length of a text's features, counted naively. */
static guint
count (const char *word, int label)
{
  guint n = 0, i;

  for (i = 0; i < N_TEXTS; i++)
    n += corpus[i].label == label && *corpus[i].text != '\0' &&
        has (corpus[i].text, -1, 1, word);
  return n;
}

/* Values are what the paper says, and the weights a minimum: there each is what the errors of
 * all texts pull at it. */
static void
test_fit (gconstpointer data)
{
  const TandemNgramWeighting weighting = GPOINTER_TO_INT (data);
  const TandemNgramOptions options = { 1, 1, weighting, TANDEM_NGRAM_LOGISTIC, 1, 2.0 };
  g_autofree char *folder = g_dir_make_tmp ("tandem-ngram-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "x.ngrams", NULL);
  g_auto (Corpus) texts = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemNgramClassifier) classifier = NULL;
  g_autoptr (TandemSafetensors) file = NULL;
  g_autoptr (TandemTensor) hash_tensor = NULL, value_tensor = NULL, weight_tensor = NULL;
  const guint64 *hashes;
  const float *values, *weights;
  double sums[2] = { G_N_ELEMENTS (words), G_N_ELEMENTS (words) };
  guint i, j, k;

  corpus_init (&texts);
  classifier = tandem_ngram_fit (texts.texts, texts.labels, N_TEXTS, &options, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tandem_ngram_classifier_get_n_features (classifier), ==, G_N_ELEMENTS (words));
  file = save_and_open (classifier, path);
  hashes = (const guint64 *) (gconstpointer) get_floats (file, "hashes", &hash_tensor);
  values = get_floats (file, "values", &value_tensor);
  weights = get_floats (file, "weights", &weight_tensor);

  for (i = 0; i < G_N_ELEMENTS (words); i++)
    for (k = 0; k < 2; k++)
      sums[k] += count (words[i], k);
  for (i = 0; i < G_N_ELEMENTS (words); i++) {
    double zeros = count (words[i], 0), ones = count (words[i], 1), pull = 0.0;
    double expected = weighting == TANDEM_NGRAM_NB
      ? log ((ones + 1) / sums[1] / ((zeros + 1) / sums[0]))
      : weighting == TANDEM_NGRAM_TFIDF ? log (N_TEXTS / (zeros + ones)) + 1 : 1;

    for (j = 0; j < G_N_ELEMENTS (words) && hashes[j] != hash_word (words[i]); j++)
      ;
    g_assert_cmpuint (j, <, G_N_ELEMENTS (words));
    g_assert_cmpfloat_with_epsilon (values[j], expected, 1e-5);

    for (k = 0; k < N_TEXTS; k++) {
      double score = tandem_ngram_classifier_score (classifier, corpus[k].text, -1), squares = 0.0;
      guint l;

      if (*corpus[k].text == '\0' || !has (corpus[k].text, -1, 1, words[i]))
        continue;
      for (l = 0; l < G_N_ELEMENTS (words); l++) {
        g_autoptr (GArray) own = tandem_ngram_hash_text (corpus[k].text, -1, 1);
        guint m;

        for (m = 0; m < own->len; m++)
          if (g_array_index (own, guint64, m) == hashes[l])
            squares += values[l] * values[l];
      }
      pull += (corpus[k].label - 1.0 / (1.0 + exp (-score))) * values[j] / sqrt (squares);
    }
    g_assert_cmpfloat_with_epsilon (weights[j], options.cost * pull, 0.05);
  }
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_round_trip (void)
{
  const TandemNgramOptions options = { 2, 1, TANDEM_NGRAM_NB, TANDEM_NGRAM_SQUARED_HINGE, 3, 1.5 };
  g_autofree char *folder = g_dir_make_tmp ("tandem-ngram-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "x.ngrams", NULL);
  g_auto (Corpus) texts = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemNgramClassifier) classifier = NULL, again = NULL;
  g_autofree char *fingerprint = NULL, *fingerprint_again = NULL;
  const TandemNgramOptions *read;
  guint i;

  corpus_init (&texts);
  classifier = tandem_ngram_fit (texts.texts, texts.labels, N_TEXTS, &options, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (tandem_ngram_classifier_save (classifier, path, NULL, &error));
  again = tandem_ngram_classifier_load (path, &error);
  g_assert_no_error (error);
  read = tandem_ngram_classifier_get_options (again);
  g_assert_cmpuint (read->order, ==, 2);
  g_assert_cmpuint (read->min_texts, ==, 1);
  g_assert_cmpuint (read->n_folds, ==, 3);
  g_assert_cmpint (read->weighting, ==, TANDEM_NGRAM_NB);
  g_assert_cmpint (read->loss, ==, TANDEM_NGRAM_SQUARED_HINGE);
  g_assert_cmpfloat (read->cost, ==, 1.5);
  fingerprint = tandem_ngram_classifier_dup_fingerprint (classifier);
  fingerprint_again = tandem_ngram_classifier_dup_fingerprint (again);
  g_assert_cmpstr (fingerprint, ==, fingerprint_again);
  for (i = 0; i < N_TEXTS; i++) {
    double score = tandem_ngram_classifier_score (classifier, corpus[i].text, -1);

    g_assert_cmpfloat (score, ==, tandem_ngram_classifier_score (again, corpus[i].text, -1));
  }
  g_unlink (path);
  g_rmdir (folder);
}

/* Words that only one text has tell the model that learned from it all, and the others nothing: a
 * text's own judgement does not know its label. */
static void
test_folds (void)
{
  enum { N = 60 };
  TandemNgramOptions options = { 1, 1, TANDEM_NGRAM_NB, TANDEM_NGRAM_LOGISTIC, 1, 10.0 };
  GBytes *texts[N];
  gint32 labels[N];
  g_autoptr (GError) error = NULL;
  guint i, n_right[2];

  for (i = 0; i < N; i++) {
    char *text = g_strdup_printf ("w%u x%u y%u", i, i, i);

    texts[i] = g_bytes_new_take (text, strlen (text));
    labels[i] = g_test_rand_int_range (0, 2);
  }
  labels[0] = labels[20] = labels[40] = 0;
  labels[10] = labels[30] = labels[50] = 1;
  for (options.n_folds = 1; options.n_folds <= 3; options.n_folds += 2) {
    g_autoptr (TandemNgramClassifier) classifier =
        tandem_ngram_fit (texts, labels, N, &options, NULL, &error);

    g_assert_no_error (error);
    n_right[0] = n_right[1] = 0;
    for (i = 0; i < N; i++) {
      const char *text = g_bytes_get_data (texts[i], NULL);
      g_autofree char *other = g_strconcat (text, " ", NULL);

      n_right[0] += (tandem_ngram_classifier_score (classifier, text, -1) > 0) == labels[i];
      n_right[1] += (tandem_ngram_classifier_score (classifier, other, -1) > 0) == labels[i];
    }
    /* As another text, with the same words, it is judged by the mean of all models. */
    g_assert_cmpuint (n_right[1], ==, N);
    if (options.n_folds == 1)
      g_assert_cmpuint (n_right[0], ==, N);
    else
      g_assert_cmpuint (n_right[0], <, N * 3 / 4);
  }
  for (i = 0; i < N; i++)
    g_bytes_unref (texts[i]);
}

static void
test_bad_data (void)
{
  g_auto (Corpus) texts = { 0 };
  g_autoptr (GError) error = NULL;
  TandemNgramOptions options = { 1, 1, TANDEM_NGRAM_NB, TANDEM_NGRAM_LOGISTIC, 1, 1.0 };
  const gint32 all_ones[N_TEXTS] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
  const gint32 unknown[N_TEXTS] = { 1, 0, -1 };
  const struct
  {
    TandemNgramOptions options;
    const gint32 *labels;
  } bad[] = {
    { options, all_ones }, { options, unknown },
    { { 0, 1, TANDEM_NGRAM_NB, TANDEM_NGRAM_LOGISTIC, 1, 1.0 }, NULL },
    { { 9, 1, TANDEM_NGRAM_NB, TANDEM_NGRAM_LOGISTIC, 1, 1.0 }, NULL },
    { { 1, 1, TANDEM_NGRAM_NB, TANDEM_NGRAM_LOGISTIC, 1, 0.0 }, NULL },
    { { 1, 1, TANDEM_NGRAM_NB, TANDEM_NGRAM_LOGISTIC, 1, (double) NAN }, NULL },
    { { 1, 1, TANDEM_NGRAM_NB, TANDEM_NGRAM_LOGISTIC, 0, 1.0 }, NULL },
    { { 1, 1, TANDEM_NGRAM_NB, TANDEM_NGRAM_LOGISTIC, 33, 1.0 }, NULL },
    { { 1, 100, TANDEM_NGRAM_NB, TANDEM_NGRAM_LOGISTIC, 1, 1.0 }, NULL },
  };
  guint i;

  corpus_init (&texts);
  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_assert_null (tandem_ngram_fit (texts.texts, bad[i].labels != NULL ? bad[i].labels : texts.labels,
                                     N_TEXTS, &bad[i].options, NULL, &error));
    g_assert_error (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_DATA);
    g_clear_error (&error);
  }
}

static void
assert_refused (const char *path)
{
  g_autoptr (GError) error = NULL;
  TandemNgramClassifier *classifier = tandem_ngram_classifier_load (path, &error);

  g_assert_null (classifier);
  g_assert_error (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_FILE);
  g_assert_nonnull (strstr (error->message, "bad.ngrams"));
}

/* Files that are well-formed safetensors and wrong classifiers. */
static void
test_bad_files (void)
{
  static const struct
  {
    const char *key;
    const char *value;
  } changes[] = {
    { "tandem.ngrams", "2" }, { "tandem.order", "0" }, { "tandem.order", "9" },
    { "tandem.weighting", "gold" }, { "tandem.loss", "" }, { "tandem.min-texts", "-1" },
    { "tandem.folds", "0" }, { "tandem.folds", "2" }, { "tandem.folds", "33" },
  };
  static const guint64 hashes[] = { 1, 3, 2 };
  static const float numbers[] = { 1, 2, NAN };
  g_autofree char *folder = g_dir_make_tmp ("tandem-ngram-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "bad.ngrams", NULL);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (changes) + 3; i++) {
    g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
    g_autoptr (GHashTable) tensors = g_hash_table_new_full (
        g_str_hash, g_str_equal, NULL, (GDestroyNotify) tandem_tensor_unref);
    static const char *const names[] = { "hashes", "values", "weights", "bias" };
    guint k;

    g_hash_table_insert (metadata, (gpointer) "tandem.ngrams", (gpointer) "1");
    g_hash_table_insert (metadata, (gpointer) "tandem.order", (gpointer) "1");
    g_hash_table_insert (metadata, (gpointer) "tandem.min-texts", (gpointer) "1");
    g_hash_table_insert (metadata, (gpointer) "tandem.weighting", (gpointer) "nb");
    g_hash_table_insert (metadata, (gpointer) "tandem.loss", (gpointer) "logistic");
    g_hash_table_insert (metadata, (gpointer) "tandem.cost", (gpointer) "1");
    g_hash_table_insert (metadata, (gpointer) "tandem.folds", (gpointer) "1");
    if (i < G_N_ELEMENTS (changes))
      g_hash_table_insert (metadata, (gpointer) changes[i].key, (gpointer) changes[i].value);
    for (k = 0; k < G_N_ELEMENTS (names); k++) {
      /* Out of order, not a number, or one value too few. */
      gboolean wrong = i >= G_N_ELEMENTS (changes) && i - G_N_ELEMENTS (changes) == k;
      guint64 n = k == 3 ? 1 : wrong && k == 2 ? 1 : 2;
      gconstpointer data = k == 0 ? (gconstpointer) (hashes + wrong)
                                  : (gconstpointer) (numbers + (wrong && k == 1));
      g_autoptr (GBytes) bytes = g_bytes_new_static (data, n * (k == 0 ? 8 : 4));

      g_hash_table_insert (tensors, (gpointer) names[k],
                           tandem_tensor_new (k == 0 ? TANDEM_DTYPE_I64 : TANDEM_DTYPE_F32, 1, &n,
                                              bytes, NULL));
    }
    g_assert_true (tandem_safetensors_write (path, metadata, tensors, NULL, NULL));
    assert_refused (path);
  }
  g_unlink (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ngram/hashes", test_hashes);
  g_test_add_func ("/ngram/words", test_words);
  g_test_add_data_func ("/ngram/fit/nb", GINT_TO_POINTER (TANDEM_NGRAM_NB), test_fit);
  g_test_add_data_func ("/ngram/fit/tfidf", GINT_TO_POINTER (TANDEM_NGRAM_TFIDF), test_fit);
  g_test_add_data_func ("/ngram/fit/binary", GINT_TO_POINTER (TANDEM_NGRAM_BINARY), test_fit);
  g_test_add_func ("/ngram/folds", test_folds);
  g_test_add_func ("/ngram/round-trip", test_round_trip);
  g_test_add_func ("/ngram/bad-data", test_bad_data);
  g_test_add_func ("/ngram/bad-files", test_bad_files);
  return g_test_run ();
}
