/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Support vector machines, data sets and features. */

#include "classify-check.h"
#include "tandem-features.h"
#include "tandem-ngram-fit.h"

/* Two points, where the machine is known: it is 1 at one and -1 at the other. Of a linear one
 * that is x; of the kernel exp (-|x - y|^2) a (K (x, 1) - K (x, -1)) with a = 1 / (1 - exp
 * (-4)). */
static void
test_known (void)
{
  static const float points[] = { -1, 1, 0.5f, 0, 3 };
  static const gint32 labels[] = { 0, 1, -1, -1, -1 };
  g_autoptr (TandemDataset) data = tandem_dataset_new_rows (points, 5, 1, labels, 2, NULL);
  g_autoptr (TandemClassifier) linear = make_classifier ("svm", (const char *[]) {
    "kernel", "poly", "degree", "1", "gamma", "1", "cost", "1000", NULL });
  g_autoptr (TandemClassifier) rbf = make_classifier ("svm", (const char *[]) {
    "kernel", "rbf", "gamma", "1", "cost", "1000", NULL });
  g_autofree float *scores = NULL, *scores_rbf = NULL;
  guint i;

  g_assert_true (tandem_classifier_fit (linear, data, (guint[]) { 0, 1 }, 2, NULL, NULL));
  g_assert_true (tandem_classifier_fit (rbf, data, (guint[]) { 0, 1 }, 2, NULL, NULL));
  scores = predict (linear, data);
  scores_rbf = predict (rbf, data);
  for (i = 0; i < 5; i++) {
    double x = points[i];

    g_assert_cmpfloat_with_epsilon (scores[2 * i + 1], x, 2e-3);
    g_assert_cmpfloat (scores[2 * i], ==, -scores[2 * i + 1]);
    g_assert_cmpfloat_with_epsilon (scores_rbf[2 * i + 1],
                                    (exp (-(x - 1) * (x - 1)) - exp (-(x + 1) * (x + 1))) /
                                    (1 - exp (-4)), 2e-3);
  }
}

/* The solver that "tandem fit" has gives the same judgements. */
static void
test_like_fit (gconstpointer weighting_name)
{
  enum { N = 60 };
  g_autoptr (TandemDataset) data = make_reviews (N);
  const char *const options[] = { "ngrams", "2", "min-texts", "2", "weighting", weighting_name,
                                  "loss", "logistic", "cost", "3", NULL };
  g_autoptr (TandemClassifier) svm = make_classifier ("svm", options);
  g_autoptr (TandemNgramClassifier) fitted = NULL;
  g_autofree float *scores = NULL;
  TandemNgramOptions ngrams = { 2, 2, TANDEM_NGRAM_BINARY, TANDEM_NGRAM_LOGISTIC, 1, 3.0 };
  GBytes *texts[N];
  guint i;

  if (g_str_equal (weighting_name, "nb"))
    ngrams.weighting = TANDEM_NGRAM_NB;
  else if (g_str_equal (weighting_name, "tfidf"))
    ngrams.weighting = TANDEM_NGRAM_TFIDF;
  for (i = 0; i < N; i++)
    texts[i] = tandem_dataset_get_text (data, i);
  fitted = tandem_ngram_fit (texts, tandem_dataset_get_labels (data), N, &ngrams, NULL, NULL);
  fit_all (svm, data);
  scores = predict (svm, data);
  for (i = 0; i < N; i++) {
    gsize size;
    const char *text = g_bytes_get_data (texts[i], &size);

    g_assert_cmpfloat_with_epsilon (scores[2 * i + 1] - scores[2 * i],
                                    tandem_ngram_classifier_score (fitted, text, size), 1e-4);
  }
}

static void
test_kernels (void)
{
  static const float corners[] = { 0, 0, 0, 1, 1, 0, 1, 1 };
  static const gint32 labels[] = { 0, 1, 1, 0 };
  static const char *const kernels[] = { "linear", "rbf", "poly", "sigmoid" };
  g_autoptr (TandemDataset) exclusive = tandem_dataset_new_rows (corners, 4, 2, labels, 2, NULL);
  g_autoptr (TandemDataset) numbers = make_numbers (40, 6, 4), texts = make_reviews (40);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (kernels); i++) {
    const char *const options[] = { "kernel", kernels[i], "cost", "100", "degree", "2", "coef0",
                                    "1", "min-texts", "1", NULL };
    g_autoptr (TandemClassifier) svm = make_classifier ("svm", options);

    fit_all (svm, exclusive);
    if (i == 0)
      g_assert_cmpfloat (get_accuracy (svm, exclusive), <=, 0.75);
    else if (i < 3)
      g_assert_cmpfloat (get_accuracy (svm, exclusive), ==, 1.0);
    check_round_trip (svm, exclusive);
    fit_all (svm, numbers);
    if (i == 1)
      g_assert_cmpfloat (get_accuracy (svm, numbers), ==, 1.0);
    check_round_trip (svm, numbers);
    fit_all (svm, texts);
    check_round_trip (svm, texts);
  }
}

/* A class that no row is of is never the judgement, of two classes that are or of more. */
static void
test_absent_class (gconstpointer kernel)
{
  g_autoptr (TandemDataset) data = make_numbers (40, 3, 4);
  const guint rows[] = { 1, 2, 5, 6, 9, 10, 13, 14, 3, 7, 11 };
  const char *const options[] = { "kernel", kernel, NULL };
  g_autoptr (TandemClassifier) svm = make_classifier ("svm", options);
  guint n_rows, i, k;

  for (n_rows = 8; n_rows <= G_N_ELEMENTS (rows); n_rows += 3) {
    g_autofree float *scores = NULL;

    g_assert_true (tandem_classifier_fit (svm, data, rows, n_rows, NULL, NULL));
    g_assert_cmpuint (tandem_classifier_get_n_classes (svm), ==, 4);
    scores = predict (svm, data);
    for (i = 0; i < 40; i++)
      for (k = 1; k < 3; k++)
        g_assert_cmpfloat (scores[4 * i], <, scores[4 * i + k]);
    check_round_trip (svm, data);
  }
}

/* What is missing is the mean of the rows that were learned from, and a column that is always the
 * same counts nothing. */
static void
test_missing (void)
{
  const float values[] = { 1, 5, 3, 5, 2, 5, NAN, NAN, 100, 7 };
  static const gint32 labels[] = { 0, 1, 0, 1, 0 };
  g_autoptr (TandemDataset) data = tandem_dataset_new_rows (values, 5, 2, labels, 2, NULL);
  const guint learned[] = { 0, 1, 3 };
  TandemFeatureOptions options = { 1, 1, 0, TANDEM_NGRAM_BINARY };
  g_autoptr (TandemFeatures) features = tandem_features_new (&options, data, learned, 3, NULL,
                                                             NULL);
  g_autoptr (TandemFeatureRows) rows = tandem_feature_rows_new (features, data, NULL, NULL);
  guint32 columns[2];
  float numbers[2];

  g_assert_cmpuint (tandem_feature_rows_get (rows, 0, columns, numbers), ==, 1);
  g_assert_cmpuint (columns[0], ==, 0);
  g_assert_cmpfloat_with_epsilon (numbers[0], -1.0, 1e-6);
  g_assert_cmpuint (tandem_feature_rows_get (rows, 2, columns, numbers), ==, 0);
  g_assert_cmpuint (tandem_feature_rows_get (rows, 3, columns, numbers), ==, 0);
  g_assert_cmpuint (tandem_feature_rows_get (rows, 4, columns, numbers), ==, 1);
  g_assert_cmpfloat_with_epsilon (numbers[0], 98.0, 1e-4);
}

/* The most frequent n-grams, and nothing from rows that are held out. */
static void
test_choice (void)
{
  static const char *const contents[] = { "a b c", "a b d", "a e", "f f f f" };
  static const gint32 labels[] = { 0, 1, 0, 1 };
  GBytes *texts[4];
  g_autoptr (TandemDataset) data = NULL;
  const guint learned[] = { 0, 1, 2 };
  static const struct
  {
    TandemFeatureOptions options;
    guint n;
  } cases[] = {
    { { 1, 1, 0, TANDEM_NGRAM_NB }, 5 },
    { { 1, 2, 0, TANDEM_NGRAM_NB }, 2 },
    { { 1, 1, 1, TANDEM_NGRAM_NB }, 1 },
    { { 2, 1, 0, TANDEM_NGRAM_NB }, 9 },
  };
  guint i;

  for (i = 0; i < 4; i++)
    texts[i] = g_bytes_new_static (contents[i], strlen (contents[i]));
  data = tandem_dataset_new_texts (texts, labels, 4, 2, NULL);
  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (TandemFeatures) features = tandem_features_new (&cases[i].options, data, learned, 3,
                                                               NULL, NULL);

    g_assert_cmpuint (features->n, ==, cases[i].n);
    if (features->n == 1) {
      g_autoptr (GArray) hash = tandem_ngram_hash_words ("a", -1);

      g_assert_cmpuint (features->hashes[0], ==, g_array_index (hash, guint64, 0));
      g_assert_cmpfloat_with_epsilon (features->scales[0], 0.0, 0.7);
    }
  }
  for (i = 0; i < 4; i++)
    g_bytes_unref (texts[i]);
}

static void
test_folds (void)
{
  g_autoptr (TandemDataset) data = make_numbers (23, 1, 3);
  g_autofree guint8 *folds = tandem_dataset_make_folds (data, 5, 1);
  g_autofree guint8 *same = tandem_dataset_make_folds (data, 5, 1);
  g_autofree guint8 *other = tandem_dataset_make_folds (data, 5, 2);
  guint counts[5][3] = { { 0 } }, fold, label, i, n_all = 0;

  g_assert_cmpmem (folds, 23, same, 23);
  g_assert_cmpint (memcmp (folds, other, 23), !=, 0);
  for (i = 0; i < 23; i++)
    counts[folds[i]][tandem_dataset_get_labels (data)[i]]++;
  for (fold = 0; fold < 5; fold++) {
    guint n, n_others;
    g_autofree guint *rows = tandem_dataset_list_fold (data, folds, fold, FALSE, &n);
    g_autofree guint *others = tandem_dataset_list_fold (data, folds, fold, TRUE, &n_others);

    g_assert_cmpuint (n + n_others, ==, 23);
    n_all += n;
    for (label = 0; label < 3; label++) {
      g_assert_cmpuint (counts[fold][label], >=, 1);
      g_assert_cmpuint (counts[fold][label], <=, 2);
    }
  }
  g_assert_cmpuint (n_all, ==, 23);
}

static void
test_tables (void)
{
  g_autofree char *folder = g_dir_make_tmp ("tandem-classify-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "x.arff", NULL);
  g_autoptr (TandemDataTable) table = NULL;
  g_autoptr (TandemDataset) last = NULL, named = NULL, short_one = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_set_contents (path, "@attribute n real\n@attribute two {a,b}\n"
                                      "@attribute three {a,b,c}\n@attribute class {x,never,y}\n"
                                      "@data\n5,b,c,y\n3,a,?,x\n5,b,a,x\n", -1, NULL));
  table = tandem_data_table_read (path, NULL, NULL);
  last = tandem_dataset_new_table (table, NULL, NULL, NULL);
  g_assert_cmpuint (tandem_dataset_get_n_classes (last), ==, 2);
  g_assert_cmpstr (tandem_dataset_get_class_name (last, 1), ==, "y");
  g_assert_cmpuint (tandem_dataset_get_width (last), ==, 5);
  g_assert_cmpmem (tandem_dataset_get_row (last, 0), 20, ((float[]) { 5, 1, 0, 0, 1 }), 20);
  g_assert_true (isnan (tandem_dataset_get_row (last, 1)[3]));
  g_assert_cmpint (tandem_dataset_get_labels (last)[0], ==, 1);

  named = tandem_dataset_new_table (table, "n", (const char *[]) { "three", NULL }, NULL);
  g_assert_cmpuint (tandem_dataset_get_n_classes (named), ==, 2);
  g_assert_cmpstr (tandem_dataset_get_class_name (named, 0), ==, "3");
  g_assert_cmpuint (tandem_dataset_get_width (named), ==, 4);

  g_assert_null (tandem_dataset_new_table (table, "none", NULL, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA);
  g_clear_error (&error);
  g_assert_null (tandem_dataset_new_table (table, NULL, (const char *[]) { "none", NULL }, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA);
  g_clear_error (&error);
  /* One without a class. */
  g_assert_null (tandem_dataset_new_table (table, "three", NULL, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA);
  g_unlink (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/svm/known", test_known);
  g_test_add_data_func ("/svm/like-fit/binary", "binary", test_like_fit);
  g_test_add_data_func ("/svm/like-fit/tfidf", "tfidf", test_like_fit);
  g_test_add_data_func ("/svm/like-fit/nb", "nb", test_like_fit);
  g_test_add_func ("/svm/kernels", test_kernels);
  g_test_add_data_func ("/svm/absent-class/linear", "linear", test_absent_class);
  g_test_add_data_func ("/svm/absent-class/rbf", "rbf", test_absent_class);
  g_test_add_func ("/classify/missing", test_missing);
  g_test_add_func ("/classify/choice", test_choice);
  g_test_add_func ("/classify/folds", test_folds);
  g_test_add_func ("/classify/tables", test_tables);
  return g_test_run ();
}
