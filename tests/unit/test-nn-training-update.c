/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Dropout, and what an update of the weights takes. For the instruction set that TANDEM_ISA
 * says. */

#include "nn-training-check.h"

#include "nn/tandem-reference-training.h"

/* From the known answers that the authors of Philox publish with it. */
static void
test_philox (void)
{
  const guint32 counters[][4] = { { 0, 0, 0, 0 },
                                  { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
                                  { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 } };
  const guint32 keys[][2] = { { 0, 0 }, { 0xffffffff, 0xffffffff }, { 0xa4093822, 0x299f31d0 } };
  const guint32 answers[][4] = { { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
                                 { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
                                 { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } };
  guint32 out[4];
  guint i, j;

  for (i = 0; i < G_N_ELEMENTS (counters); i++) {
    tandem_reference_philox (counters[i], keys[i], out);
    for (j = 0; j < 4; j++)
      g_assert_cmphex (out[j], ==, answers[i][j]);
  }
}

/* The first known answer, read off the fast path: a number is the largest rate that keeps its
 * column. */
static void
test_known_answer (void)
{
  const guint32 numbers[][2] = { { 0, 0xe8d5 }, { 1, 0xc58d }, { 16, 0x6627 }, { 17, 0xe169 },
                                 { 32, 0xac4c }, { 33, 0xdbd8 }, { 48, 0xbc57 }, { 49, 0x9b00 } };
  TandemDropout dropout = { 0 };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (numbers); i++) {
    g_autofree float *x = repeat_float (1.0f, 64);

    dropout.rate = (float) numbers[i][1] / 65536.0f;
    tandem_dropout (&dropout, 0, 0, 1, 64, x);
    g_assert_cmpfloat (x[numbers[i][0]], >, 1.0f);
    dropout.rate = (float) (numbers[i][1] + 1) / 65536.0f;
    tandem_dropout (&dropout, 0, 0, 1, 64, x);
    g_assert_cmpfloat (x[numbers[i][0]], ==, 0.0f);
  }
}

/* The bits are those of the plain code, so they are the same for each instruction set. */
static void
test_dropout_bits (void)
{
  const TandemDropout dropouts[] = {
    { 0, 0, 0, 0.5f },
    { 0x0123456789abcdef, 0xfedcba9876543210, 9, 0.1f },
    { G_MAXUINT64, G_MAXUINT64, G_MAXUINT32, 0.3f },
    { 1, 2, 3, 0.99999f },
  };
  const guint widths[] = { 1, 7, 37, 64, 128, 130, 513 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (21);
  guint i, j, k, r;

  for (i = 0; i < G_N_ELEMENTS (dropouts); i++) {
    for (j = 0; j < G_N_ELEMENTS (widths); j++) {
      guint width = widths[j], head = 11 * i, first = 70000 * i, n_rows = 5;
      gsize n = (gsize) n_rows * width;
      g_autofree double *x = random_doubles (rand, n, 2.0);
      g_autofree float *whole = to_floats (x, n), *pieces = to_floats (x, n);

      tandem_dropout (&dropouts[i], head, first, n_rows, width, whole);
      for (r = 0; r < n_rows; r++) {
        for (k = 0; k < width; k++) {
          gsize at = (gsize) r * width + k;
          double factor = tandem_reference_dropout (&dropouts[i], head, first + r, k);
          float expected = factor == 0.0 ? 0.0f : (float) x[at] * (float) factor;

          g_assert_true (memcmp (whole + at, &expected, sizeof expected) == 0);
        }
      }
      tandem_dropout (&dropouts[i], head, first, 2, width, pieces);
      tandem_dropout (&dropouts[i], head, first + 2, n_rows - 2, width, pieces + 2 * width);
      g_assert_cmpmem (whole, n * sizeof (float), pieces, n * sizeof (float));
    }
  }
}

static void
test_dropout_nothing (void)
{
  float x[] = { 1.0f, -0.0f, NAN, INFINITY, 1e-45f };
  float same[G_N_ELEMENTS (x)];
  TandemDropout dropout = { 1, 2, 3, 0.0f };

  memcpy (same, x, sizeof x);
  tandem_dropout (&dropout, 0, 0, 1, G_N_ELEMENTS (x), x);
  g_assert_cmpmem (x, sizeof x, same, sizeof same);
  /* Rounded to nothing. */
  dropout.rate = 1e-6f;
  tandem_dropout (&dropout, 0, 0, 1, G_N_ELEMENTS (x), x);
  g_assert_cmpmem (x, sizeof x, same, sizeof same);
  /* What is dropped is 0, even what is not a number. */
  dropout.rate = 0.9999999f;
  tandem_dropout (&dropout, 0, 0, 1, G_N_ELEMENTS (x), x);
  g_assert_cmpfloat (x[2], ==, 0.0f);
  g_assert_cmpfloat (x[3], ==, 0.0f);
}

/* The share of what is dropped, alone and with the neighbour in each direction: as if drawn
 * independently, to five standard deviations. */
static void
test_dropout_statistics (void)
{
  const guint rows = 1000, width = 1000;
  const double rates[] = { 0.1, 0.5 };
  guint i, r, c, k;

  for (i = 0; i < G_N_ELEMENTS (rates); i++) {
    double rate = rates[i], n = (double) rows * width, counts[5] = { 0 }, mean = 0.0;
    TandemDropout dropout = { 42, 5, 1, (float) rate };
    g_autofree float *x = repeat_float (1.0f, (gsize) rows * width);
    g_autofree float *other[3] = { NULL };

    tandem_dropout (&dropout, 0, 0, rows, width, x);
    for (k = 0; k < 3; k++) {
      TandemDropout next = dropout;

      other[k] = repeat_float (1.0f, (gsize) rows * width);
      if (k == 1)
        next.sequence++;
      if (k == 2)
        next.site++;
      tandem_dropout (&next, k == 0, 0, rows, width, other[k]);
    }
    for (r = 1; r < rows; r++) {
      for (c = 1; c < width; c++) {
        gsize at = (gsize) r * width + c;
        gboolean dropped = x[at] == 0.0f;

        mean += x[at];
        counts[0] += dropped;
        counts[1] += dropped && (x[at - 1] == 0.0f);
        counts[2] += dropped && (x[at - width] == 0.0f);
        counts[3] += dropped && (other[0][at] == 0.0f);
        counts[4] += dropped && (other[1][at] == 0.0f) && (other[2][at] == 0.0f);
      }
    }
    n = (double) (rows - 1) * (width - 1);
    for (k = 0; k < G_N_ELEMENTS (counts); k++) {
      double p = k == 0 ? rate : k == 4 ? rate * rate * rate : rate * rate;

      g_assert_cmpfloat (fabs (counts[k] / n - p), <, 5.0 * sqrt (p * (1.0 - p) / n));
    }
    g_assert_cmpfloat (fabs (mean / n - 1.0), <, 5.0 * sqrt (rate / (1.0 - rate) / n));
    for (k = 0; k < 3; k++)
      g_free (g_steal_pointer (&other[k]));
  }
}

static void
test_sums (void)
{
  const gsize sizes[] = { 0, 1, 7, 16, 37, 130, 513 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (22);
  guint i, half;
  gsize j;

  for (i = 0; i < G_N_ELEMENTS (sizes); i++) {
    gsize n = sizes[i];
    g_autofree double *x = random_doubles (rand, n, 3.0), *y = random_doubles (rand, n, 1.0);
    g_autofree float *fx = to_floats (x, n), *fy = to_floats (y, n);
    double sums[16] = { 0 }, direct = 5.0, sum;

    /* The order that makes it the same for each instruction set: 16 sums, then halves. */
    for (j = 0; j < n; j++) {
      sums[j % 16] += x[j] * x[j];
      direct += x[j] * x[j];
    }
    for (half = 8; half > 0; half /= 2)
      for (j = 0; j < half; j++)
        sums[j] += sums[j + half];
    sum = tandem_add_squares (fx, n, 5.0);
    g_assert_cmpfloat (sum, ==, 5.0 + sums[0]);
    g_assert_cmpfloat (fabs (sum - direct), <=, 1e-13 * direct);

    tandem_add (fx, n, fy);
    tandem_scale (-0.5f, n, fy);
    for (j = 0; j < n; j++)
      g_assert_cmpfloat (fy[j], ==, ((float) y[j] + (float) x[j]) * -0.5f);
  }
}

static void
test_adamw (void)
{
  const gsize sizes[] = { 1, 7, 130, 513 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (23);
  guint i, t;

  for (i = 0; i < G_N_ELEMENTS (sizes); i++) {
    gsize n = sizes[i];
    g_autofree double *w = random_doubles (rand, n, 1.0);
    g_autofree double *m = g_new0 (double, n), *v = g_new0 (double, n);
    g_autofree float *fw = to_floats (w, n), *fm = g_new0 (float, n), *fv = g_new0 (float, n);

    for (t = 1; t <= 20; t++) {
      g_autofree double *g = random_doubles (rand, n, 0.1);
      g_autofree float *fg = to_floats (g, n);
      TandemAdamWStep step = { .rate = 1e-2f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f,
                               .decay = i % 2 == 0 ? 0.1f : 0.0f, .scale = 0.5f, .t = t };

      tandem_reference_adamw (&step, n, g, m, v, w);
      tandem_adamw (&step, n, fg, fm, fv, fw);
      assert_close (fm, m, n, 0.0, 2e-5);
      assert_close (fv, v, n, 0.0, 1e-5);
      assert_close (fw, w, n, 0.0, 2e-6);
    }
  }
}

/* A weight that gets no more gradient: its first moment ends as 0 and not as a number so small
 * that it slows every step. */
static void
test_adamw_decay (void)
{
  TandemAdamWStep step = { .rate = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f,
                           .scale = 1.0f };
  float gradient[17] = { 0 }, m[17], v[17], w[17] = { 0 };
  guint i;

  for (i = 0; i < 17; i++) {
    m[i] = i % 2 == 0 ? 1e-6f : -1e-6f;
    v[i] = 1e-20f;
  }
  for (step.t = 1; step.t <= 1000; step.t++)
    tandem_adamw (&step, 17, gradient, m, v, w);
  for (i = 0; i < 17; i++) {
    g_assert_cmpfloat (m[i], ==, 0.0f);
    g_assert_cmpfloat (v[i], >, 0.0f);
  }
  gradient[3] = NAN;
  tandem_adamw (&step, 17, gradient, m, v, w);
  g_assert_true (isnan (w[3]) && isnan (m[3]) && isnan (v[3]));
  g_assert_false (isnan (w[2]));
}

int
main (int argc, char **argv)
{
  const char *isa = g_getenv ("TANDEM_ISA");

  if (isa != NULL && tandem_kernels_lookup (isa) == NULL) {
    g_print ("1..0 # SKIP this processor does not have %s\n", isa);
    return 0;
  }
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nn/training/philox", test_philox);
  g_test_add_func ("/nn/training/dropout/known-answer", test_known_answer);
  g_test_add_func ("/nn/training/dropout/bits", test_dropout_bits);
  g_test_add_func ("/nn/training/dropout/nothing", test_dropout_nothing);
  g_test_add_func ("/nn/training/dropout/statistics", test_dropout_statistics);
  g_test_add_func ("/nn/training/sums", test_sums);
  g_test_add_func ("/nn/training/adamw", test_adamw);
  g_test_add_func ("/nn/training/adamw/decay", test_adamw_decay);
  return g_test_run ();
}
