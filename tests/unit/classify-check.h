/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tests of classifiers share. */
#pragma once

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "tandem-classifier.h"

static inline guint *
list_rows (guint n)
{
  guint *rows = g_new (guint, n), i;

  for (i = 0; i < n; i++)
    rows[i] = i;
  return rows;
}

static inline void
set_options (TandemClassifier *classifier, const char *const *options)
{
  g_autoptr (GError) error = NULL;

  for (; *options != NULL; options += 2) {
    tandem_classifier_set_option (classifier, options[0], options[1], &error);
    g_assert_no_error (error);
  }
}

static inline TandemClassifier *
make_classifier (const char *kind, const char *const *options)
{
  g_autoptr (GError) error = NULL;
  TandemClassifier *classifier = tandem_classifier_new (kind, &error);

  g_assert_no_error (error);
  set_options (classifier, options);
  return classifier;
}

/* Rows of numbers, normally distributed or so, with classes in turn. */
static inline TandemDataset *
make_numbers (guint n, guint width, guint n_classes)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (7);
  g_autofree float *values = g_new (float, n * width);
  g_autofree gint32 *labels = g_new (gint32, n);
  g_autoptr (GError) error = NULL;
  TandemDataset *data;
  guint i;

  for (i = 0; i < n * width; i++)
    values[i] = g_rand_double_range (random, -1, 1) + g_rand_double_range (random, -1, 1);
  for (i = 0; i < n; i++)
    labels[i] = i % n_classes;
  data = tandem_dataset_new_rows (values, n, width, labels, n_classes, &error);
  g_assert_no_error (error);
  return data;
}

/* Reviews of some words, of which some tell the class. */
static inline TandemDataset *
make_reviews (guint n)
{
  static const char *const words[] = { "the", "film", "and", "plot", "of", "actor", "scene" };
  static const char *const telling[2][4] = { { "bad", "boring", "dull", "awful" },
                                             { "good", "fine", "superb", "fun" } };
  g_autoptr (GRand) random = g_rand_new_with_seed (3);
  g_autofree GBytes **texts = g_new (GBytes *, n);
  g_autofree gint32 *labels = g_new (gint32, n);
  g_autoptr (GError) error = NULL;
  TandemDataset *data;
  guint i, k;

  for (i = 0; i < n; i++) {
    GString *text = g_string_new (NULL);
    guint length = g_rand_int_range (random, 3, 12);

    labels[i] = g_rand_int_range (random, 0, 2);
    for (k = 0; k < length; k++)
      g_string_append_printf (text, "%s ", words[g_rand_int_range (random, 0, 7)]);
    g_string_append (text, telling[labels[i]][g_rand_int_range (random, 0, 4)]);
    texts[i] = g_string_free_to_bytes (text);
  }
  data = tandem_dataset_new_texts (texts, labels, n, 2, &error);
  g_assert_no_error (error);
  for (i = 0; i < n; i++)
    g_bytes_unref (texts[i]);
  return data;
}

static inline float *
predict (TandemClassifier *classifier, TandemDataset *data)
{
  guint n = tandem_dataset_get_n_rows (data);
  g_autofree guint *rows = list_rows (n);
  float *scores = g_new (float, n * tandem_classifier_get_n_classes (classifier));
  g_autoptr (GError) error = NULL;

  tandem_classifier_predict (classifier, data, rows, n, scores, NULL, &error);
  g_assert_no_error (error);
  return scores;
}

static inline double
get_accuracy (TandemClassifier *classifier, TandemDataset *data)
{
  guint n = tandem_dataset_get_n_rows (data), i, k, n_right = 0;
  guint n_classes = tandem_classifier_get_n_classes (classifier);
  g_autofree float *scores = predict (classifier, data);

  for (i = 0; i < n; i++) {
    guint best = 0;

    for (k = 1; k < n_classes; k++)
      if (scores[i * n_classes + k] > scores[i * n_classes + best])
        best = k;
    n_right += best == (guint) tandem_dataset_get_labels (data)[i];
  }
  return (double) n_right / n;
}

static inline void
fit_all (TandemClassifier *classifier, TandemDataset *data)
{
  guint n = tandem_dataset_get_n_rows (data);
  g_autofree guint *rows = list_rows (n);
  g_autoptr (GError) error = NULL;

  tandem_classifier_fit (classifier, data, rows, n, NULL, &error);
  g_assert_no_error (error);
}

static inline gboolean
is_near (double difference, double gradient)
{
  return fabs (difference - gradient) <= 2e-4 + 0.01 * fabs (gradient);
}

/* The gradient of all weights, which are made larger by a factor, beside central differences of
 * the loss. Where a unit switches, or another word becomes the highest, the difference on one
 * side of it is right; where both sides do that, nothing is: a few may. */
static inline void
check_gradient (TandemClassifier *classifier, TandemDataset *data, float factor)
{
  const double step = 1.0 / 1024;
  guint n_rows = tandem_dataset_get_n_rows (data), n_wrong = 0, n_checked = 0;
  g_autofree guint *rows = list_rows (n_rows);
  g_autoptr (GError) error = NULL;
  gsize n, i;
  float *weights;
  g_autofree float *gradient = NULL;
  double loss, above, below;

  tandem_classifier_prepare (classifier, data, rows, n_rows, NULL, &error);
  g_assert_no_error (error);
  n = tandem_classifier_get_n_parameters (classifier);
  weights = tandem_classifier_get_parameters (classifier);
  gradient = g_new (float, n);
  /* Biases, too, shall be something. */
  for (i = 0; i < n; i++)
    weights[i] = factor * (weights[i] + 0.02f * (float) ((int) (i * 7 % 5) - 2));
  tandem_classifier_get_loss (classifier, data, rows, n_rows, &loss, gradient, &error);
  g_assert_no_error (error);
  for (i = 0; i < n; i++) {
    const float kept = weights[i];

    weights[i] = kept + (float) step;
    g_assert_true (tandem_classifier_get_loss (classifier, data, rows, n_rows, &above, NULL, NULL));
    weights[i] = kept - (float) step;
    g_assert_true (tandem_classifier_get_loss (classifier, data, rows, n_rows, &below, NULL, NULL));
    weights[i] = kept;
    n_checked += fabs (gradient[i]) > 1e-4;
    n_wrong += !is_near ((above - below) / (2 * step), gradient[i]) &&
        !is_near ((above - loss) / step, gradient[i]) &&
        !is_near ((loss - below) / step, gradient[i]);
  }
  g_test_message ("%u of %" G_GSIZE_FORMAT " weights have a gradient, %u differ", n_checked, n,
                  n_wrong);
  g_assert_cmpuint (n_checked, >, n / 4);
  g_assert_cmpuint (n_wrong, <=, n / 50);
}

/* A file of it gives the same scores, and is the same as one that is made from it. */
static inline void
check_round_trip (TandemClassifier *classifier, TandemDataset *data)
{
  g_autofree char *folder = g_dir_make_tmp ("tandem-classify-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "one", NULL);
  g_autofree char *second_path = g_build_filename (folder, "two", NULL);
  g_autofree char *first = NULL, *second = NULL;
  g_autofree float *before = predict (classifier, data), *after = NULL;
  g_autoptr (TandemClassifier) again = NULL;
  g_autoptr (GError) error = NULL;
  gsize n_first, n_second;
  guint n = tandem_dataset_get_n_rows (data) * tandem_classifier_get_n_classes (classifier);

  tandem_classifier_save (classifier, path, NULL, &error);
  g_assert_no_error (error);
  again = tandem_classifier_load (path, NULL, &error);
  g_assert_no_error (error);
  after = predict (again, data);
  g_assert_cmpmem (before, n * sizeof (float), after, n * sizeof (float));
  g_assert_cmpuint (tandem_classifier_get_size (classifier), ==,
                    tandem_classifier_get_size (again));
  tandem_classifier_save (again, second_path, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (path, &first, &n_first, NULL));
  g_assert_true (g_file_get_contents (second_path, &second, &n_second, NULL));
  g_assert_cmpmem (first, n_first, second, n_second);
  g_unlink (path);
  g_unlink (second_path);
  g_rmdir (folder);
}
