/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Measuring classifiers. */

#include "classify-check.h"
#include "tandem-assessment.h"

static void
test_holdout (void)
{
  g_autoptr (TandemDataset) data = make_reviews (200);
  g_autofree guint *rows = list_rows (200);
  g_autoptr (TandemAssessment) assessment = tandem_assessment_new ("svm", data, rows, 150,
                                                                   rows + 150, 50);
  const char *const options[] = { "cost", "10", NULL };
  g_autoptr (TandemClassifier) classifier = NULL, all = NULL;
  g_autofree float *scores = NULL;
  TandemMeasures measures, part;
  g_autoptr (GError) error = NULL;
  double n_right = 0, mse = 0;
  guint i;

  tandem_assessment_set (assessment, "ngrams", "1");
  tandem_assessment_set (assessment, "cost", "1");
  tandem_assessment_set_measures_time (assessment, TRUE);
  tandem_assessment_run (assessment, options, 1.0, &measures, &classifier, NULL, &error);
  g_assert_no_error (error);
  scores = predict (classifier, data);
  for (i = 150; i < 200; i++) {
    gint32 label = tandem_dataset_get_labels (data)[i];
    double p = 1 / (1 + exp (scores[2 * i] - scores[2 * i + 1]));

    n_right += (p > 0.5) == label;
    mse += (p - label) * (p - label) / 50;
  }
  g_assert_cmpfloat_with_epsilon (measures.values[TANDEM_MEASURE_ACCURACY], n_right / 50, 1e-9);
  g_assert_cmpfloat_with_epsilon (measures.values[TANDEM_MEASURE_MSE], mse, 1e-6);
  g_assert_cmpfloat (measures.values[TANDEM_MEASURE_MSE_CROSS_ENTROPY], >, mse);
  g_assert_cmpfloat (measures.values[TANDEM_MEASURE_BYTES], ==,
                     tandem_classifier_get_size (classifier));
  g_assert_cmpfloat (measures.values[TANDEM_MEASURE_MULTIPLY_ADDS], >, 3);
  g_assert_cmpfloat (measures.values[TANDEM_MEASURE_MILLISECONDS], >, 0);
  g_object_get (classifier, "cost", &mse, "ngrams", &i, NULL);
  g_assert_cmpfloat (mse, ==, 10);
  g_assert_cmpuint (i, ==, 1);

  /* From fewer rows come fewer words. */
  tandem_assessment_run (assessment, (const char *[]) { "min-texts", "1", NULL }, 1.0, &measures,
                         NULL, NULL, &error);
  tandem_assessment_run (assessment, (const char *[]) { "min-texts", "1", NULL }, 0.05, &part, NULL,
                         NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (part.values[TANDEM_MEASURE_BYTES], <, measures.values[TANDEM_MEASURE_BYTES]);
  all = tandem_assessment_fit_all (assessment, options, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (get_accuracy (all, data), ==, 1.0);
}

/* A row that is its own class by one column is told right where that column is there. */
static void
test_folds (void)
{
  enum { N = 60 };
  float values[N][3];
  gint32 labels[N];
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  g_autoptr (TandemDataset) data = NULL;
  g_autoptr (TandemAssessment) assessment = NULL;
  TandemMeasures measures;
  g_autoptr (GError) error = NULL;
  static const char *const kinds[] = { "ann", "svm" };
  guint i, k;

  for (i = 0; i < N; i++) {
    labels[i] = i % 2;
    for (k = 0; k < 3; k++)
      values[i][k] = (float) g_rand_double (random);
    values[i][1] += 2.0f * labels[i];
  }
  data = tandem_dataset_new_rows (values[0], N, 3, labels, 2, NULL);
  for (i = 0; i < G_N_ELEMENTS (kinds); i++) {
    g_clear_pointer (&assessment, tandem_assessment_free);
    assessment = tandem_assessment_new_folds (kinds[i], data, 5, 1);
    if (i == 0)
      tandem_assessment_set (assessment, "epochs", "60");
    tandem_assessment_run (assessment, (const char *[]) { "column-1", "0", NULL }, 1.0, &measures,
                           NULL, NULL, &error);
    g_assert_no_error (error);
    g_assert_cmpfloat_with_epsilon (measures.values[TANDEM_MEASURE_ACCURACY], 1.0, 0.05);
    tandem_assessment_run (assessment, (const char *[]) { "column-2", "0", NULL }, 1.0, &measures,
                           NULL, NULL, &error);
    g_assert_no_error (error);
    g_assert_cmpfloat (measures.values[TANDEM_MEASURE_ACCURACY], <, 0.8);
  }
  g_assert_false (tandem_assessment_run (assessment, (const char *[]) {
    "column-1", "0", "column-2", "0", "column-3", "0", NULL }, 1.0, &measures, NULL, NULL, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA);
  g_clear_error (&error);
  g_assert_false (tandem_assessment_run (assessment, (const char *[]) { "column-4", "1", NULL },
                                         1.0, &measures, NULL, NULL, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION);
  g_clear_error (&error);
  g_assert_false (tandem_assessment_run (assessment, (const char *[]) { "colour", "1", NULL }, 1.0,
                                         &measures, NULL, NULL, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION);
}

static void
test_names (void)
{
  TandemMeasure measure;
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; i < TANDEM_N_MEASURES; i++) {
    g_assert_true (tandem_measure_parse (tandem_measure_get_name (i), &measure, NULL));
    g_assert_cmpint (measure, ==, (int) i);
  }
  g_assert_cmpfloat (tandem_measure_to_cost (TANDEM_MEASURE_ACCURACY, 0.75), ==, 0.25);
  g_assert_cmpfloat (tandem_measure_to_cost (TANDEM_MEASURE_BYTES, 75), ==, 75);
  g_assert_false (tandem_measure_parse ("beauty", &measure, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/assessment/holdout", test_holdout);
  g_test_add_func ("/assessment/folds", test_folds);
  g_test_add_func ("/assessment/names", test_names);
  return g_test_run ();
}
