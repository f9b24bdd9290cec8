/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Transformers that are classifiers. */

#include "classify-check.h"
#include "tandem-bert-classifier.h"
#include "tandem-test-model.h"

/* Texts of few words that the model has, of which one tells the class. */
static TandemDataset *
make_texts (guint n)
{
  g_autofree GBytes **texts = g_new (GBytes *, n);
  g_autofree gint32 *labels = g_new (gint32, n);
  TandemDataset *data;
  guint i;

  for (i = 0; i < n; i++) {
    char *text;

    labels[i] = i % 3 == 0;
    text = g_strdup_printf ("word%u word%u word%u", 62 + i % 5, 60 + labels[i], 70 + i % 7);
    texts[i] = g_bytes_new_take (text, strlen (text));
  }
  data = tandem_dataset_new_texts (texts, labels, n, 2, NULL);
  for (i = 0; i < n; i++)
    g_bytes_unref (texts[i]);
  return data;
}

static TandemClassifier *
make_bert (const char *folder)
{
  const char *const options[] = { "model", folder, "epochs", "12", "learning-rate", "0.01",
                                  "dropout", "0.1", "batch-size", "8", "micro-batch", "3", NULL };

  return make_classifier ("bert", options);
}

static void
test_learns (gconstpointer albert)
{
  char *folder = tandem_test_make_folder ();
  g_autofree char *saved = g_build_filename (folder, "saved", NULL);
  g_autofree char *start = g_build_filename (folder, "start", NULL);
  TandemTestModel model = TANDEM_TEST_MODEL_INIT;
  g_autoptr (TandemDataset) data = make_texts (60);
  g_autoptr (TandemClassifier) bert = make_bert (start), same = make_bert (start), again = NULL;
  g_autofree float *scores = NULL, *scores_same = NULL, *scores_again = NULL;
  g_autoptr (GError) error = NULL;
  guint row = 0;
  double cost;

  model.albert = albert != NULL;
  model.embedding_size = 8;
  model.n_groups = 1;
  /* It begins without a classifier. */
  model.no_classifier = TRUE;
  tandem_test_model_write (&model, start);
  fit_all (bert, data);
  g_assert_cmpfloat (get_accuracy (bert, data), ==, 1.0);
  fit_all (same, data);
  scores = predict (bert, data);
  scores_same = predict (same, data);
  g_assert_cmpmem (scores, 120 * sizeof (float), scores_same, 120 * sizeof (float));

  tandem_classifier_save (bert, saved, NULL, &error);
  g_assert_no_error (error);
  again = tandem_classifier_load (saved, NULL, &error);
  g_assert_no_error (error);
  scores_again = predict (again, data);
  g_assert_cmpmem (scores, 120 * sizeof (float), scores_again, 120 * sizeof (float));
  g_assert_cmpuint (tandem_classifier_get_size (again), ==, tandem_classifier_get_size (bert));
  g_assert_cmpuint (tandem_classifier_get_size (again), >, 4 * 100 * 8);
  /* Of 5 tokens. */
  g_assert_true (tandem_classifier_get_cost (bert, data, &row, 1, &cost, NULL));
  g_assert_cmpfloat (cost, ==, 2 * (5 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 16 * 25));
  g_assert_false (tandem_classifier_has_parameters (bert));
  tandem_test_remove_folder (folder);
}

static void
test_refusals (void)
{
  char *folder = tandem_test_make_folder ();
  TandemTestModel model = TANDEM_TEST_MODEL_INIT;
  g_autoptr (TandemDataset) data = make_texts (6), numbers = make_numbers (6, 2, 2);
  g_autoptr (TandemClassifier) bert = make_bert (folder);
  g_autoptr (TandemClassifier) none = make_classifier ("bert", (const char *[]) { NULL });
  g_autofree guint *rows = list_rows (6);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  tandem_test_model_write (&model, folder);
  g_assert_false (tandem_classifier_fit (none, data, rows, 6, NULL, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION);
  g_clear_error (&error);
  g_assert_false (tandem_classifier_fit (bert, numbers, rows, 6, NULL, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA);
  g_clear_error (&error);
  g_cancellable_cancel (cancellable);
  g_assert_false (tandem_classifier_fit (bert, data, rows, 6, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  set_options (bert, (const char *[]) { "model", "/nowhere", NULL });
  g_assert_false (tandem_classifier_fit (bert, data, rows, 6, NULL, &error));
  g_assert_nonnull (error);
  g_assert_cmpuint (tandem_classifier_get_n_classes (bert), ==, 0);
  tandem_test_remove_folder (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/classify/bert/learns", NULL, test_learns);
  g_test_add_data_func ("/classify/bert/albert", "albert", test_learns);
  g_test_add_func ("/classify/bert/refusals", test_refusals);
  return g_test_run ();
}
