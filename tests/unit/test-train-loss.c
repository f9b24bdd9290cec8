/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <math.h>

#define ROWS 5
#define CLASSES 4

static float logits[ROWS * CLASSES], teacher[ROWS * CLASSES];
static const gint32 labels[ROWS] = { 0, 3, -1, 1, 2 };

static void
fill (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (7);
  guint i;

  for (i = 0; i < ROWS * CLASSES; i++) {
    logits[i] = g_rand_double_range (random, -3, 3);
    teacher[i] = g_rand_double_range (random, -3, 3);
  }
}

typedef double (*LossFunc) (const float *x, float *gradient);

/* Central differences of the sum against the gradient. */
static void
assert_gradient (LossFunc f)
{
  float x[ROWS * CLASSES], gradient[ROWS * CLASSES];
  guint i;

  memcpy (x, logits, sizeof x);
  f (x, gradient);
  for (i = 0; i < ROWS * CLASSES; i++) {
    float step = 1e-2f, before = x[i], up, down;
    double difference;

    x[i] = up = before + step;
    difference = f (x, NULL);
    x[i] = down = before - step;
    difference = (difference - f (x, NULL)) / ((double) up - down);
    x[i] = before;
    g_assert_cmpfloat_with_epsilon (difference, gradient[i], 1e-4);
  }
}

static double
smoothed (const float *x, float *gradient)
{
  TandemLoss loss = { 0 };
  g_autoptr (GError) error = NULL;

  tandem_loss_cross_entropy (&loss, x, ROWS, CLASSES, labels, 0.1, gradient, &error);
  g_assert_no_error (error);
  return loss.sum;
}

static double
distilled (const float *x, float *gradient)
{
  TandemLoss loss = { 0 };
  g_autoptr (GError) error = NULL;

  tandem_loss_distillation (&loss, x, teacher, ROWS, CLASSES, labels, 0.1, 0.3, 2.0, gradient,
                            &error);
  g_assert_no_error (error);
  return loss.sum;
}

static double
hidden (const float *x, float *gradient)
{
  TandemLoss loss = { 0 };
  g_autoptr (GError) error = NULL;

  tandem_loss_hidden (&loss, x, teacher, ROWS, CLASSES, 0.5, gradient, &error);
  g_assert_no_error (error);
  return loss.sum;
}

static void
test_gradient (gconstpointer f)
{
  fill ();
  assert_gradient ((LossFunc) f);
}

static void
test_by_hand (void)
{
  const float x[] = { 0, 0, 100, 0 };
  const gint32 y[] = { 1, 0 };
  TandemLoss loss = { 0 };
  float gradient[4];

  g_assert_true (tandem_loss_cross_entropy (&loss, x, 2, 2, y, 0.0, gradient, NULL));
  g_assert_cmpfloat_with_epsilon (loss.sum, G_LN2, 1e-15);
  g_assert_cmpuint (loss.n_rows, ==, 2);
  g_assert_cmpuint (loss.n_labelled, ==, 2);
  /* Of equal logits the first is the highest. */
  g_assert_cmpuint (loss.n_correct, ==, 1);
  g_assert_cmpfloat (gradient[0], ==, 0.5f);
  g_assert_cmpfloat (gradient[1], ==, -0.5f);
  g_assert_cmpfloat_with_epsilon (gradient[2], 0.0f, 1e-30);

  /* A second call adds. */
  g_assert_true (tandem_loss_cross_entropy (&loss, x, 1, 2, y, 0.0, NULL, NULL));
  g_assert_cmpfloat_with_epsilon (loss.sum, 2 * G_LN2, 1e-15);
  g_assert_cmpuint (loss.n_rows, ==, 3);
}

static void
test_ignored (void)
{
  const float x[] = { 1, 2, NAN, 3, 5, 4 };
  const gint32 y[] = { 1, -1, 0 };
  float gradient[] = { 9, 9, 9, 9, 9, 9 };
  TandemLoss loss = { 0 }, soft = { 0 };
  const gint32 none[ROWS] = { -1, -1, -1, -1, -1 };
  g_autoptr (GError) error = NULL;

  tandem_loss_cross_entropy (&loss, x, 3, 2, y, 0.0, gradient, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (loss.n_rows, ==, 2);
  g_assert_cmpuint (loss.n_correct, ==, 2);
  g_assert_cmpfloat (gradient[2], ==, 0.0f);
  g_assert_cmpfloat (gradient[3], ==, 0.0f);
  g_assert_cmpfloat (gradient[5], !=, 9.0f);

  /* A teacher teaches without labels. */
  fill ();
  tandem_loss_distillation (&soft, logits, teacher, ROWS, CLASSES, none, 0.0, 0.5, 2.0, NULL,
                            &error);
  g_assert_no_error (error);
  g_assert_cmpuint (soft.n_rows, ==, ROWS);
  g_assert_cmpuint (soft.n_labelled, ==, 0);
  g_assert_cmpfloat (soft.sum, >, 0.0);
}

static void
test_distillation_ends (void)
{
  TandemLoss soft = { 0 }, hard = { 0 }, plain = { 0 };
  float a[ROWS * CLASSES], b[ROWS * CLASSES];
  guint i;

  fill ();
  /* The student that equals its teacher has nothing to learn. */
  g_assert_true (tandem_loss_distillation (&soft, teacher, teacher, ROWS, CLASSES, labels, 0.0,
                                           0.0, 3.0, a, NULL));
  g_assert_cmpfloat_with_epsilon (soft.sum, 0.0, 1e-12);
  for (i = 0; i < ROWS * CLASSES; i++)
    g_assert_cmpfloat (fabsf (a[i]), <, 1e-7f);

  g_assert_true (tandem_loss_distillation (&hard, logits, teacher, ROWS, CLASSES, labels, 0.1,
                                           1.0, 3.0, a, NULL));
  g_assert_true (tandem_loss_cross_entropy (&plain, logits, ROWS, CLASSES, labels, 0.1, b, NULL));
  g_assert_cmpfloat_with_epsilon (hard.sum, plain.sum, 1e-12);
  g_assert_cmpuint (hard.n_correct, ==, plain.n_correct);
  for (i = 0; i < ROWS * CLASSES; i++)
    g_assert_cmpfloat (a[i], ==, b[i]);
}

static void
assert_error (gboolean ok, const GError *error, TandemTrainError code, const char *pattern,
              const TandemLoss *loss)
{
  g_assert_false (ok);
  g_assert_error (error, TANDEM_TRAIN_ERROR, (int) code);
  g_assert_true (g_pattern_match_simple (pattern, error->message));
  g_assert_cmpuint (loss->n_rows, ==, 11);
  g_assert_cmpfloat (loss->sum, ==, 2.5);
}

static void
test_errors (void)
{
  static const float bad[] = { NAN, INFINITY, -INFINITY };
  TandemLoss loss = { .sum = 2.5, .n_rows = 11 };
  gint32 wrong[ROWS] = { 0, 1, CLASSES, 0, 0 };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    gboolean ok;

    fill ();
    logits[3 * CLASSES + 1] = bad[i];
    ok = tandem_loss_cross_entropy (&loss, logits, ROWS, CLASSES, labels, 0.0, NULL, &error);
    assert_error (ok, error, TANDEM_TRAIN_ERROR_NOT_FINITE, "the logits of row 3 *", &loss);
    g_clear_error (&error);
    ok = tandem_loss_distillation (&loss, teacher, logits, ROWS, CLASSES, labels, 0.0, 0.5, 1.0,
                                   NULL, &error);
    assert_error (ok, error, TANDEM_TRAIN_ERROR_NOT_FINITE, "the teacher's logits of row 3 *",
                  &loss);
    g_clear_error (&error);
    ok = tandem_loss_hidden (&loss, logits, teacher, ROWS, CLASSES, 1.0, NULL, &error);
    assert_error (ok, error, TANDEM_TRAIN_ERROR_NOT_FINITE, "hidden states of row 3 *", &loss);
    g_clear_error (&error);

    ok = tandem_loss_cross_entropy (&loss, teacher, ROWS, CLASSES, wrong, 0.0, NULL, &error);
    assert_error (ok, error, TANDEM_TRAIN_ERROR_LABEL, "row 2 has the label 4;*", &loss);
  }
  wrong[2] = -2;
  g_assert_false (tandem_loss_cross_entropy (&loss, teacher, ROWS, CLASSES, wrong, 0.0, NULL,
                                             NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/train/loss/by-hand", test_by_hand);
  g_test_add_func ("/train/loss/ignored", test_ignored);
  g_test_add_func ("/train/loss/distillation-ends", test_distillation_ends);
  g_test_add_func ("/train/loss/errors", test_errors);
  g_test_add_data_func ("/train/loss/gradient/cross-entropy", (gconstpointer) smoothed,
                        test_gradient);
  g_test_add_data_func ("/train/loss/gradient/distillation", (gconstpointer) distilled,
                        test_gradient);
  g_test_add_data_func ("/train/loss/gradient/hidden", (gconstpointer) hidden, test_gradient);
  return g_test_run ();
}
