/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Neural networks that are classifiers. */

#include "classify-check.h"

static const char *const ann_numbers[] = { "hidden-1", "5", "hidden-2", "4", NULL };
static const char *const ann_texts[] = { "hidden-1", "6", "min-texts", "1", "ngrams", "2",
                                         "weighting", "nb", NULL };

static const char *const cnn_texts[] = { "embedding-size", "3", "filters", "4", "widths", "2,3",
                                         "min-count", "2", "max-length", "6", NULL };

static void
test_gradient (gconstpointer loss)
{
  g_autoptr (TandemDataset) numbers = make_numbers (20, 4, 3), texts = make_reviews (12);
  g_autoptr (TandemClassifier) deep = make_classifier ("ann", ann_numbers);
  g_autoptr (TandemClassifier) flat = make_classifier ("ann", (const char *[]) { "hidden-1", "0",
                                                                                 NULL });
  g_autoptr (TandemClassifier) bag = make_classifier ("ann", ann_texts);
  g_autoptr (TandemClassifier) cnn = make_classifier ("cnn", cnn_texts);
  const char *const options[] = { "loss", loss, NULL };

  set_options (deep, options);
  set_options (flat, options);
  set_options (bag, options);
  set_options (cnn, options);
  check_gradient (deep, numbers, 1.0f);
  check_gradient (flat, numbers, 1.0f);
  check_gradient (bag, texts, 1.0f);
  check_gradient (cnn, texts, 3.0f);
}

/* The scores of two hidden layers, from the weights, in double precision. Each column has mean 0
 * and variance 1 over the rows that it learned from. */
static void
test_reference (void)
{
  enum { N = 16, WIDTH = 4, CLASSES = 3 };
  static const guint widths[] = { 5, 4, CLASSES };
  g_autoptr (TandemDataset) data = make_numbers (N, WIDTH, CLASSES);
  g_autoptr (TandemClassifier) ann = make_classifier ("ann", ann_numbers);
  g_autofree guint *rows = list_rows (N);
  g_autofree float *scores = NULL;
  const float *weights;
  double means[WIDTH] = { 0 }, deviations[WIDTH] = { 0 };
  guint row, layer, i, k;

  g_assert_true (tandem_classifier_prepare (ann, data, rows, N, NULL, NULL));
  scores = predict (ann, data);
  for (row = 0; row < N; row++)
    for (k = 0; k < WIDTH; k++)
      means[k] += tandem_dataset_get_row (data, row)[k] / N;
  for (row = 0; row < N; row++)
    for (k = 0; k < WIDTH; k++)
      deviations[k] += pow (tandem_dataset_get_row (data, row)[k] - means[k], 2) / N;
  for (row = 0; row < N; row++) {
    double x[8], y[8];
    guint n_in = WIDTH;

    weights = tandem_classifier_get_parameters (ann);
    for (k = 0; k < WIDTH; k++)
      x[k] = (tandem_dataset_get_row (data, row)[k] - means[k]) / sqrt (deviations[k]);
    for (layer = 0; layer < G_N_ELEMENTS (widths); layer++) {
      guint n_out = widths[layer];

      for (i = 0; i < n_out; i++) {
        y[i] = weights[n_in * n_out + i];
        for (k = 0; k < n_in; k++)
          y[i] += x[k] * (layer == 0 ? weights[k * n_out + i] : weights[i * n_in + k]);
      }
      for (i = 0; i < n_out; i++)
        x[i] = layer + 1 < G_N_ELEMENTS (widths) ? MAX (y[i], 0.0) : y[i];
      weights += n_in * n_out + n_out;
      n_in = n_out;
    }
    for (i = 0; i < CLASSES; i++)
      g_assert_cmpfloat_with_epsilon (scores[row * CLASSES + i], x[i], 1e-5);
  }
}

/* What comes of one text: words that are known are those of two occurrences, others share the last
 * row of the embeddings, and only the last 6 are read. */
static void
test_reference_words (void)
{
  enum { N = 30, E = 3, F = 4, MOST = 6 };
  g_autoptr (TandemDataset) data = make_reviews (N);
  g_autoptr (TandemClassifier) cnn = make_classifier ("cnn", cnn_texts);
  g_autofree guint *rows = list_rows (N);
  g_autofree float *scores = NULL;
  const TandemTerms *terms = tandem_dataset_get_words (data, NULL, NULL);
  g_autofree guint *counts = g_new0 (guint, terms->n_terms);
  g_autoptr (GArray) known = g_array_new (FALSE, FALSE, sizeof (guint64));
  const float *table, *weights;
  guint row, w, f, t, j, k, n_known;
  gsize at;

  g_assert_true (tandem_classifier_prepare (cnn, data, rows, N, NULL, NULL));
  scores = predict (cnn, data);
  for (at = 0; at < terms->offsets[N]; at++)
    counts[terms->terms[at]]++;
  for (t = 0; t < terms->n_terms; t++)
    if (counts[t] >= 2)
      g_array_append_val (known, terms->hashes[t]);
  n_known = known->len;
  g_assert_cmpuint (n_known, <=, terms->n_terms);
  table = tandem_classifier_get_parameters (cnn);
  for (row = 0; row < N; row++) {
    guint n = (guint) (terms->offsets[row + 1] - terms->offsets[row]), length = MIN (n, MOST);
    const guint32 *words = terms->terms + terms->offsets[row + 1] - length;
    double outputs[2 * F], sums[2] = { 0, 0 };

    weights = table + (n_known + 1) * E;
    for (w = 2; w <= 3; w++) {
      const float *bias = weights + F * w * E;

      for (f = 0; f < F; f++) {
        double best = -1e9;

        for (t = 0; t + w <= length; t++) {
          double value = bias[f];

          for (j = 0; j < w; j++) {
            guint id = 0;

            /* As many known hashes are below it. */
            for (k = 0; k < n_known; k++)
              id += g_array_index (known, guint64, k) < terms->hashes[words[t + j]];
            if (counts[words[t + j]] < 2)
              id = n_known;
            for (k = 0; k < E; k++)
              value += table[id * E + k] * weights[f * w * E + j * E + k];
          }
          best = MAX (best, value);
        }
        outputs[(w - 2) * F + f] = MAX (best, 0.0);
      }
      weights = bias + F;
    }
    for (k = 0; k < 2; k++)
      for (f = 0; f < 2 * F; f++)
        sums[k] += weights[k * 2 * F + f] * outputs[f];
    for (k = 0; k < 2; k++)
      g_assert_cmpfloat_with_epsilon (scores[2 * row + k], sums[k] + weights[4 * F + k], 1e-5);
  }
}

static void
test_losses (void)
{
  const float scores[] = { 1, 2, -1 };
  const double sum = exp (1) + exp (2) + exp (-1);
  const double p[] = { exp (1) / sum, exp (2) / sum, exp (-1) / sum };
  double mse = (p[0] * p[0] + (p[1] - 1) * (p[1] - 1) + p[2] * p[2]) / 3;

  g_assert_cmpfloat_with_epsilon (
      tandem_classifier_loss_of_row (TANDEM_CLASSIFIER_CROSS_ENTROPY, scores, 3, 1, 4, NULL),
      -log (p[1]) / 4, 1e-12);
  g_assert_cmpfloat_with_epsilon (
      tandem_classifier_loss_of_row (TANDEM_CLASSIFIER_MSE, scores, 3, 1, 1, NULL), mse, 1e-12);
  g_assert_cmpfloat_with_epsilon (
      tandem_classifier_loss_of_row (TANDEM_CLASSIFIER_MSE_CROSS_ENTROPY, scores, 3, 1, 1, NULL),
      mse - log (p[1]), 1e-12);
}

/* What no line divides, and reviews. */
static void
test_learns (void)
{
  static const float corners[] = { 0, 0, 0, 1, 1, 0, 1, 1 };
  static const gint32 labels[] = { 0, 1, 1, 0 };
  g_autoptr (TandemDataset) exclusive = tandem_dataset_new_rows (corners, 4, 2, labels, 2, NULL);
  g_autoptr (TandemDataset) reviews = make_reviews (200);
  g_autoptr (TandemClassifier) ann = make_classifier ("ann", (const char *[]) {
    "hidden-1", "16", "epochs", "300", "learning-rate", "0.02", "batch-size", "4", "dropout", "0",
    "weight-decay", "0", "input-dropout", "0", NULL });
  g_autoptr (TandemClassifier) bag = make_classifier ("ann", (const char *[]) {
    "hidden-1", "8", "epochs", "20", "learning-rate", "0.02", "input-dropout", "0.1", NULL });
  g_autoptr (TandemClassifier) cnn = make_classifier ("cnn", (const char *[]) {
    "embedding-size", "8", "filters", "8", "epochs", "20", "learning-rate", "0.02", "dropout",
    "0.2", NULL });

  fit_all (ann, exclusive);
  g_assert_cmpfloat (get_accuracy (ann, exclusive), ==, 1.0);
  fit_all (bag, reviews);
  g_assert_cmpfloat (get_accuracy (bag, reviews), ==, 1.0);
  fit_all (cnn, reviews);
  g_assert_cmpfloat (get_accuracy (cnn, reviews), ==, 1.0);
}

static void
test_seed (gconstpointer kind)
{
  static const char *const options[] = { "input-dropout", "0.2", "dropout", "0.5", NULL };
  g_autoptr (TandemDataset) data = make_reviews (60);
  g_autoptr (TandemClassifier) one = make_classifier (kind, options);
  g_autoptr (TandemClassifier) same = make_classifier (kind, options);
  g_autoptr (TandemClassifier) other = make_classifier (kind, options);
  gsize size;

  g_object_set (other, "seed", (guint64) 2, NULL);
  fit_all (one, data);
  fit_all (same, data);
  fit_all (other, data);
  size = tandem_classifier_get_n_parameters (one) * sizeof (float);
  g_assert_cmpmem (tandem_classifier_get_parameters (one), size,
                   tandem_classifier_get_parameters (same), size);
  g_assert_cmpint (memcmp (tandem_classifier_get_parameters (one),
                           tandem_classifier_get_parameters (other), size), !=, 0);
  /* Learning again begins anew. */
  fit_all (same, data);
  g_assert_cmpmem (tandem_classifier_get_parameters (one), size,
                   tandem_classifier_get_parameters (same), size);
}

static void
test_round_trip (void)
{
  g_autoptr (TandemDataset) numbers = make_numbers (20, 4, 3), texts = make_reviews (40);
  g_autoptr (TandemClassifier) deep = make_classifier ("ann", ann_numbers);
  g_autoptr (TandemClassifier) bag = make_classifier ("ann", ann_texts);
  g_autoptr (TandemClassifier) cnn = make_classifier ("cnn", cnn_texts);

  fit_all (cnn, texts);
  check_round_trip (cnn, texts);
  fit_all (deep, numbers);
  check_round_trip (deep, numbers);
  fit_all (bag, texts);
  check_round_trip (bag, texts);
}

static void
test_size_and_cost (void)
{
  g_autoptr (TandemDataset) data = make_numbers (20, 4, 3);
  g_autoptr (TandemClassifier) ann = make_classifier ("ann", ann_numbers);
  guint row = 3;
  double cost;

  fit_all (ann, data);
  g_assert_cmpuint (tandem_classifier_get_n_parameters (ann), ==, 64);
  g_assert_cmpuint (tandem_classifier_get_size (ann), ==, 4 * 64 + 2 * 4 * 4);
  g_assert_true (tandem_classifier_get_cost (ann, data, &row, 1, &cost, NULL));
  g_assert_cmpfloat (cost, ==, 4 * 5 + 5 * 4 + 4 * 3);
}

static void
test_refusals (void)
{
  g_autoptr (TandemDataset) numbers = make_numbers (20, 4, 3), texts = make_reviews (20);
  g_autoptr (TandemDataset) narrow = make_numbers (20, 3, 3);
  g_autoptr (TandemClassifier) ann = make_classifier ("ann", ann_numbers);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  const guint rows[] = { 0, 3, 6 };
  float scores[9];
  static const struct
  {
    const char *name;
    const char *value;
  } bad[] = {
    { "hidden-1", "-1" }, { "hidden-1", "5000" }, { "hidden-1", "1.5" }, { "hidden-1", "" },
    { "learning-rate", "nan" }, { "learning-rate", "0" }, { "learning-rate", "1e-3x" },
    { "loss", "hinge" }, { "dropout", "1" }, { "seed", "-1" }, { "colour", "red" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_assert_false (tandem_classifier_set_option (ann, bad[i].name, bad[i].value, &error));
    g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION);
    g_clear_error (&error);
  }
  g_assert_null (tandem_classifier_new ("oracle", &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION);
  g_clear_error (&error);

  /* All of class 0. */
  g_assert_false (tandem_classifier_fit (ann, numbers, rows, 3, NULL, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA);
  g_clear_error (&error);
  fit_all (ann, numbers);
  g_assert_false (tandem_classifier_predict (ann, narrow, rows, 3, scores, NULL, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA);
  g_clear_error (&error);
  g_assert_false (tandem_classifier_predict (ann, texts, rows, 3, scores, NULL, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA);
  g_clear_error (&error);

  g_cancellable_cancel (cancellable);
  g_assert_false (tandem_classifier_predict (ann, numbers, rows, 3, scores, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_false (tandem_classifier_fit (ann, numbers, (guint[]) { 0, 1 }, 2, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_cmpuint (tandem_classifier_get_n_classes (ann), ==, 0);

  set_options (ann, (const char *[]) { "learning-rate", "10", "epochs", "2000", "weight-decay",
                                       "10", NULL });
  g_assert_false (tandem_classifier_fit (ann, numbers, (guint[]) { 0, 1 }, 2, NULL, &error));
  g_assert_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DIVERGED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/network/gradient/cross-entropy", "cross-entropy", test_gradient);
  g_test_add_data_func ("/network/gradient/mse", "mse", test_gradient);
  g_test_add_data_func ("/network/gradient/both", "mse-cross-entropy", test_gradient);
  g_test_add_func ("/network/reference", test_reference);
  g_test_add_func ("/network/reference-words", test_reference_words);
  g_test_add_func ("/network/losses", test_losses);
  g_test_add_func ("/network/learns", test_learns);
  g_test_add_data_func ("/network/seed/ann", "ann", test_seed);
  g_test_add_data_func ("/network/seed/cnn", "cnn", test_seed);
  g_test_add_func ("/network/round-trip", test_round_trip);
  g_test_add_func ("/network/size-and-cost", test_size_and_cost);
  g_test_add_func ("/network/refusals", test_refusals);
  return g_test_run ();
}
