/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <math.h>
#include <string.h>

/* Some vector lengths and a rest; more rows than a block of 16 MiB has. */
#define WIDTH 24
#define VOCABULARY 40003
#define ROWS 300

typedef struct
{
  float *x, *weight, *bias, *d_x, *d_weight, *d_bias;
  gint32 *labels;
  guint n_labelled;
} Fixture;

static float *
make (GRand *random, gsize n, double range)
{
  float *values = g_new (float, n);
  gsize i;

  for (i = 0; i < n; i++)
    values[i] = g_rand_double_range (random, -range, range);
  return values;
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (3);
  guint i;

  fixture->x = make (random, ROWS * WIDTH, 1.0);
  fixture->weight = make (random, VOCABULARY * WIDTH, 1.0);
  fixture->bias = make (random, VOCABULARY, 1.0);
  fixture->labels = g_new (gint32, ROWS);
  for (i = 0; i < ROWS; i++)
    fixture->labels[i] = i % 3 == 1 ? -1 : g_rand_int_range (random, 0, VOCABULARY);
  fixture->n_labelled = ROWS - ROWS / 3;
  fixture->d_x = g_new0 (float, ROWS * WIDTH);
  fixture->d_weight = g_new0 (float, VOCABULARY * WIDTH);
  fixture->d_bias = g_new0 (float, VOCABULARY);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_free (fixture->x);
  g_free (fixture->weight);
  g_free (fixture->bias);
  g_free (fixture->labels);
  g_free (fixture->d_x);
  g_free (fixture->d_weight);
  g_free (fixture->d_bias);
}

/* The same in double precision, a row at a time; gradients are added. */
static double
compute_reference (const Fixture *fixture, double *d_x, double *d_weight, double *d_bias,
                   guint *n_correct)
{
  g_autofree double *logits = g_new (double, VOCABULARY);
  double loss = 0;
  guint row, v, i;

  *n_correct = 0;
  for (row = 0; row < ROWS; row++) {
    const float *x = fixture->x + row * WIDTH;
    double sum = 0, max = -INFINITY;
    guint highest = 0;

    if (fixture->labels[row] < 0)
      continue;
    for (v = 0; v < VOCABULARY; v++) {
      logits[v] = fixture->bias[v];
      for (i = 0; i < WIDTH; i++)
        logits[v] += (double) x[i] * fixture->weight[v * WIDTH + i];
      if (logits[v] > max) {
        max = logits[v];
        highest = v;
      }
    }
    for (v = 0; v < VOCABULARY; v++)
      sum += exp (logits[v] - max);
    loss += log (sum) - (logits[fixture->labels[row]] - max);
    *n_correct += highest == (guint) fixture->labels[row];
    for (v = 0; v < VOCABULARY; v++) {
      double g = exp (logits[v] - max) / sum - (v == (guint) fixture->labels[row]);

      d_bias[v] += g;
      for (i = 0; i < WIDTH; i++) {
        d_x[row * WIDTH + i] += g * fixture->weight[v * WIDTH + i];
        d_weight[v * WIDTH + i] += g * x[i];
      }
    }
  }
  return loss;
}

static void
assert_close (const float *found, const double *expected, gsize n)
{
  double errors = 0, squares = 0;
  gsize i;

  for (i = 0; i < n; i++) {
    errors += (found[i] - expected[i]) * (found[i] - expected[i]);
    squares += expected[i] * expected[i];
  }
  g_assert_cmpfloat (squares, >, 0.0);
  g_assert_cmpfloat (errors / squares, <, 1e-11);
}

static void
test_reference (Fixture *fixture, gconstpointer data)
{
  g_autofree double *d_x = g_new0 (double, ROWS * WIDTH);
  g_autofree double *d_weight = g_new0 (double, VOCABULARY * WIDTH);
  g_autofree double *d_bias = g_new0 (double, VOCABULARY);
  TandemLoss loss = { 0 }, again = { 0 };
  g_autoptr (GError) error = NULL;
  double expected;
  guint n_correct, i;

  /* Some rows know the answer. */
  for (i = 0; i < ROWS; i += 30)
    fixture->bias[fixture->labels[i]] = 30;
  expected = compute_reference (fixture, d_x, d_weight, d_bias, &n_correct);
  g_assert_cmpuint (n_correct, >, 0);
  for (i = 0; i < ROWS * WIDTH; i++)
    fixture->d_x[i] = NAN;

  tandem_loss_vocabulary (&loss, fixture->x, ROWS, WIDTH, fixture->weight, fixture->bias,
                          VOCABULARY, fixture->labels, fixture->d_x, fixture->d_weight,
                          fixture->d_bias, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat_with_epsilon (loss.sum / expected, 1.0, 1e-6);
  g_assert_cmpuint (loss.n_correct, ==, n_correct);
  g_assert_cmpuint (loss.n_labelled, ==, fixture->n_labelled);
  g_assert_cmpuint (loss.n_rows, ==, fixture->n_labelled);
  assert_close (fixture->d_x, d_x, ROWS * WIDTH);
  assert_close (fixture->d_weight, d_weight, VOCABULARY * WIDTH);
  assert_close (fixture->d_bias, d_bias, VOCABULARY);

  /* Without gradients: the same loss. With them once more: twice the sum. */
  tandem_loss_vocabulary (&again, fixture->x, ROWS, WIDTH, fixture->weight, fixture->bias,
                          VOCABULARY, fixture->labels, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (again.sum, ==, loss.sum);
  tandem_loss_vocabulary (&again, fixture->x, ROWS, WIDTH, fixture->weight, fixture->bias,
                          VOCABULARY, fixture->labels, fixture->d_x, fixture->d_weight,
                          fixture->d_bias, &error);
  g_assert_no_error (error);
  for (i = 0; i < VOCABULARY; i++)
    d_bias[i] *= 2;
  assert_close (fixture->d_x, d_x, ROWS * WIDTH);
  assert_close (fixture->d_bias, d_bias, VOCABULARY);
}

static void
test_errors (Fixture *fixture, gconstpointer data)
{
  static const float bad[] = { NAN, INFINITY, -INFINITY };
  TandemLoss loss = { .sum = 1.0 };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    float before = fixture->x[200 * WIDTH];

    /* Row 199 has no label, so nobody looks at it. */
    fixture->x[199 * WIDTH] = bad[i];
    fixture->x[200 * WIDTH] = bad[i];
    g_assert_false (tandem_loss_vocabulary (&loss, fixture->x, ROWS, WIDTH, fixture->weight,
                                            fixture->bias, VOCABULARY, fixture->labels, NULL,
                                            NULL, NULL, &error));
    g_assert_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_NOT_FINITE);
    g_assert_nonnull (strstr (error->message, "row 200 "));
    fixture->x[200 * WIDTH] = before;
    g_clear_error (&error);
    g_assert_true (tandem_loss_vocabulary (&loss, fixture->x + 199 * WIDTH, 1, WIDTH,
                                           fixture->weight, fixture->bias, VOCABULARY,
                                           fixture->labels + 199, NULL, NULL, NULL, NULL));

    /* In the last column, which is in no whole vector. */
    fixture->bias[VOCABULARY - 1] = bad[i];
    g_assert_false (tandem_loss_vocabulary (&loss, fixture->x, 1, WIDTH, fixture->weight,
                                            fixture->bias, VOCABULARY, fixture->labels, NULL,
                                            NULL, NULL, &error));
    g_assert_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_NOT_FINITE);
    fixture->bias[VOCABULARY - 1] = 0;
    g_clear_error (&error);

    fixture->labels[5] = VOCABULARY;
    g_assert_false (tandem_loss_vocabulary (&loss, fixture->x, ROWS, WIDTH, fixture->weight,
                                            fixture->bias, VOCABULARY, fixture->labels, NULL,
                                            NULL, NULL, &error));
    g_assert_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_LABEL);
    fixture->labels[5] = 0;
  }
  g_assert_cmpfloat (loss.sum, ==, 1.0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/train/vocabulary/reference", Fixture, NULL, set_up, test_reference, tear_down);
  g_test_add ("/train/vocabulary/errors", Fixture, NULL, set_up, test_errors, tear_down);
  return g_test_run ();
}
