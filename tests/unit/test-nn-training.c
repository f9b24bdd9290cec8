/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each operation of training against a plain one in double precision, and its gradients against
 * central differences of that one's forward pass. For the instruction set that TANDEM_ISA says. */

#include "nn-training-check.h"

#include "nn/tandem-reference-training.h"

static void
test_gemm (void)
{
  const gsize sizes[][3] = { { 1, 1, 1 }, { 7, 130, 13 }, { 130, 7, 513 }, { 1, 64, 37 },
                             { 33, 1, 130 }, { 5, 3, 0 }, { 0, 3, 5 } };
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  guint i, form;

  for (i = 0; i < G_N_ELEMENTS (sizes); i++) {
    for (form = 0; form < 8; form++) {
      gsize m = sizes[i][0], n = sizes[i][1], k = sizes[i][2], r, c, j;
      gboolean ta = form & 1, tb = form & 2, add = (form & 4) != 0;
      gsize a_stride = (ta ? m : k) + 3, b_stride = (tb ? k : n) + 2, c_stride = n + 1;
      g_autofree double *a = random_doubles (rand, (ta ? k : m) * a_stride, 1.0);
      g_autofree double *b = random_doubles (rand, (tb ? n : k) * b_stride, 1.0);
      g_autofree double *expected = g_new0 (double, m * c_stride + 1);
      g_autofree float *fa = to_floats (a, (ta ? k : m) * a_stride);
      g_autofree float *fb = to_floats (b, (tb ? n : k) * b_stride);
      g_autofree float *out = add ? repeat_float (3.0f, m * c_stride) : nan_floats (m * c_stride);
      g_autoptr (GError) error = NULL;

      for (r = 0; r < m; r++)
        for (c = 0; c < n; c++)
          for (j = 0; j < k; j++)
            expected[r * c_stride + c] += (ta ? a[j * a_stride + r] : a[r * a_stride + j]) *
                (tb ? b[c * b_stride + j] : b[j * b_stride + c]);
      g_assert_true (tandem_gemm (ta, tb, m, n, k, fa, a_stride, fb, b_stride, add ? 1.0f : 0.0f,
                                  out, c_stride, &error));
      g_assert_no_error (error);
      for (r = 0; r < m; r++) {
        /* Between the rows nothing is written. */
        g_assert_true (add ? out[r * c_stride + n] == 3.0f : isnan (out[r * c_stride + n]));
        out[r * c_stride + n] = add ? 3.0f : 0.0f;
      }
      assert_close (out, expected, m * c_stride, add ? 3.0 : 0.0, 2e-6);
    }
  }
}

static void
test_gemm_error (void)
{
  float x[6] = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_false (tandem_gemm (FALSE, FALSE, 2, 3, 3, x, 1, x, 3, 0.0f, x, 3, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "[2, 3] by [3, 3]"));
}

typedef struct
{
  gsize n_rows;
  guint n_in;
  guint n_out;
  double *x;
  double *weight;
  double *bias;
  double *d_y;
  double *out;
} Linear;

static double
linear_loss (gconstpointer data)
{
  const Linear *l = data;

  tandem_reference_linear_forward (l->x, l->n_rows, l->weight, l->bias, l->n_in, l->n_out, l->out);
  return weighted_sum (l->out, l->d_y, l->n_rows * l->n_out);
}

static void
test_linear (void)
{
  const guint sizes[][3] = { { 1, 1, 1 }, { 2, 7, 130 }, { 37, 130, 7 }, { 513, 16, 3 },
                             { 2100, 5, 9 }, { 130, 128, 64 } };
  g_autoptr (GRand) rand = g_rand_new_with_seed (2);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (sizes); i++) {
    gsize rows = sizes[i][0];
    guint n_in = sizes[i][1], n_out = sizes[i][2];
    g_autofree double *x = random_doubles (rand, rows * n_in, 1.0);
    g_autofree double *w = random_doubles (rand, (gsize) n_in * n_out, 1.0);
    g_autofree double *b = random_doubles (rand, n_out, 1.0);
    g_autofree double *d_y = random_doubles (rand, rows * n_out, 1.0);
    g_autofree double *out = g_new (double, rows * n_out);
    g_autofree double *d_x = g_new (double, rows * n_in);
    g_autofree double *d_w = g_new (double, (gsize) n_in * n_out);
    g_autofree double *d_b = g_new (double, n_out);
    g_autofree float *fx = to_floats (x, rows * n_in), *fw = to_floats (w, (gsize) n_in * n_out);
    g_autofree float *fb = to_floats (b, n_out), *fd_y = to_floats (d_y, rows * n_out);
    g_autofree float *fout = nan_floats (rows * n_out), *fd_x = nan_floats (rows * n_in);
    g_autofree float *fd_w = repeat_float (2.0f, (gsize) n_in * n_out);
    g_autofree float *fd_b = repeat_float (-2.0f, n_out);
    Linear linear = { rows, n_in, n_out, x, w, b, d_y, out };
    g_autoptr (GError) error = NULL;

    tandem_reference_linear_forward (x, rows, w, b, n_in, n_out, out);
    g_assert_true (tandem_linear_train_forward (fx, rows, fw, fb, n_in, n_out, fout, &error));
    assert_close (fout, out, rows * n_out, 0.0, 1e-6);

    tandem_reference_linear_backward (x, rows, w, n_in, n_out, d_y, d_x, d_w, d_b);
    g_assert_true (tandem_linear_train_backward (fx, rows, fw, n_in, n_out, fd_y, fd_x, FALSE,
                                                 fd_w, fd_b, &error));
    assert_close (fd_x, d_x, rows * n_in, 0.0, 2e-6);
    assert_close (fd_w, d_w, (gsize) n_in * n_out, 2.0, 1e-5);
    assert_close (fd_b, d_b, n_out, -2.0, 1e-5);
    assert_gradient ("x", linear_loss, &linear, x, rows * n_in, fd_x, 0.0);
    assert_gradient ("weight", linear_loss, &linear, w, (gsize) n_in * n_out, fd_w, 2.0);
    assert_gradient ("bias", linear_loss, &linear, b, n_out, fd_b, -2.0);

    /* Twice the gradient of x, and that of the rest thrown away. */
    g_assert_true (tandem_linear_train_backward (fx, rows, fw, n_in, n_out, fd_y, fd_x, TRUE,
                                                 fd_w, NULL, &error));
    tandem_scale (0.5f, rows * n_in, fd_x);
    assert_close (fd_x, d_x, rows * n_in, 0.0, 2e-6);
    g_assert_true (tandem_linear_train_backward (fx, rows, fw, n_in, n_out, fd_y, NULL, FALSE,
                                                 fd_w, NULL, &error));
    g_assert_no_error (error);
  }
}

/* The bits of gradients do not depend on where in memory the numbers lie. */
static void
test_linear_repeats (void)
{
  const gsize rows = 1500, n_in = 37, n_out = 50;
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  g_autofree double *x = random_doubles (rand, rows * n_in, 1.0);
  g_autofree double *w = random_doubles (rand, n_in * n_out, 1.0);
  g_autofree double *d_y = random_doubles (rand, rows * n_out, 1.0);
  g_autofree float *first = NULL;
  guint shift;

  for (shift = 0; shift < 4; shift++) {
    g_autofree float *fx = g_new0 (float, rows * n_in + shift);
    g_autofree float *fw = to_floats (w, n_in * n_out);
    g_autofree float *fd_y = g_new0 (float, rows * n_out + shift);
    /* Gradients of weight, bias and x, one after the other. */
    gsize n = n_out * n_in + n_out + rows * n_in, i;
    g_autofree float *d = g_new0 (float, n + shift);

    for (i = 0; i < rows * n_in; i++)
      fx[shift + i] = (float) x[i];
    for (i = 0; i < rows * n_out; i++)
      fd_y[shift + i] = (float) d_y[i];
    g_assert_true (tandem_linear_train_backward (fx + shift, rows, fw, n_in, n_out, fd_y + shift,
                                                 d + shift + n_out * n_in + n_out, FALSE,
                                                 d + shift, d + shift + n_out * n_in, NULL));
    if (shift == 0)
      first = g_memdup2 (d, n * sizeof (float));
    g_assert_cmpmem (first, n * sizeof (float), d + shift, n * sizeof (float));
  }
}

typedef struct
{
  guint n_rows;
  guint width;
  double *x;
  double *gamma;
  double *beta;
  double *d_y;
  double *out;
} Norm;

#define EPS 1e-3

static double
norm_loss (gconstpointer data)
{
  const Norm *n = data;

  tandem_reference_layer_norm_forward (n->x, n->n_rows, n->width, n->gamma, n->beta, (float) EPS,
                                       n->out);
  return weighted_sum (n->out, n->d_y, (gsize) n->n_rows * n->width);
}

static void
test_layer_norm (void)
{
  const guint widths[] = { 1, 2, 7, 16, 37, 128, 130, 513 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (widths); i++) {
    guint width = widths[i], rows = 5;
    gsize n = (gsize) rows * width;
    g_autofree double *x = random_doubles (rand, n, 3.0), *d_y = random_doubles (rand, n, 1.0);
    g_autofree double *gamma = random_doubles (rand, width, 1.0);
    g_autofree double *beta = random_doubles (rand, width, 1.0);
    g_autofree double *out = g_new (double, n), *d_x = g_new (double, n);
    g_autofree double *d_gamma = g_new (double, width), *d_beta = g_new (double, width);
    g_autofree float *fx = to_floats (x, n), *fd = to_floats (d_y, n);
    g_autofree float *fgamma = to_floats (gamma, width), *fbeta = to_floats (beta, width);
    g_autofree float *normalised = nan_floats (n), *inverse = nan_floats (rows);
    g_autofree float *fd_gamma = repeat_float (1.0f, width);
    g_autofree float *fd_beta = repeat_float (-1.0f, width);
    Norm norm = { rows, width, x, gamma, beta, d_y, out };

    tandem_reference_layer_norm_forward (x, rows, width, gamma, beta, (float) EPS, out);
    tandem_layer_norm_train_forward (fx, rows, width, fgamma, fbeta, (float) EPS, normalised,
                                     inverse, fx);
    assert_close (fx, out, n, 0.0, 2e-6);

    tandem_reference_layer_norm_backward (x, rows, width, gamma, (float) EPS, d_y, d_x, d_gamma,
                                          d_beta);
    tandem_layer_norm_train_backward (fd, normalised, inverse, rows, width, fgamma, fd, fd_gamma,
                                      fd_beta);
    /* Of one column or two the gradient is next to nothing beside its terms, which are up to
     * one over the square root of eps. */
    if (width > 2) {
      assert_close (fd, d_x, n, 0.0, 5e-6);
      assert_gradient ("x", norm_loss, &norm, x, n, fd, 0.0);
    } else {
      for (gsize j = 0; j < n; j++)
        g_assert_cmpfloat (fabs (fd[j] - d_x[j]), <, 1e-5);
    }
    assert_close (fd_gamma, d_gamma, width, 1.0, 2e-6);
    assert_close (fd_beta, d_beta, width, -1.0, 2e-6);
    assert_gradient ("gamma", norm_loss, &norm, gamma, width, fd_gamma, 1.0);
    assert_gradient ("beta", norm_loss, &norm, beta, width, fd_beta, -1.0);
  }
}

/* All of -20 to 20, and what lies far beyond. */
static void
test_nonlinearity (void)
{
  const gsize n = 40007;
  g_autofree float *x = g_new (float, n), *out = g_new (float, n), *d = g_new (float, n);
  g_autofree float *ones = repeat_float (1.0f, n);
  const float far[] = { 50.0f, -50.0f, 1e20f, -1e20f, 3e38f, -3e38f };
  TandemNonlinearity f;
  gsize i;

  for (i = 0; i < n; i++)
    x[i] = ((float) i - 20003.0f) * 1e-3f;
  memcpy (x, far, sizeof far);
  for (f = 0; f <= TANDEM_NONLINEARITY_TANH; f++) {
    tandem_nonlinearity_forward (f, x, n, out);
    tandem_nonlinearity_backward (f, x, ones, n, d);
    for (i = 0; i < n; i++) {
      double y = tandem_reference_nonlinearity (f, x[i]), error = fabs (out[i] - y);
      double slope = tandem_reference_nonlinearity_derivative (f, x[i]), h = 1e-4;

      if (i >= G_N_ELEMENTS (far))
        g_assert_cmpfloat (error, <=, fmax (1e-6, 1.2e-7 * fabs (x[i])));
      if (fabs (x[i]) > 1e3)
        slope = x[i] < 0.0f || f == TANDEM_NONLINEARITY_TANH ? 0.0 : 1.0;
      g_assert_cmpfloat (fabs (d[i] - slope), <=, 1e-6);
      if (fabs (x[i]) < 1e3 && !(f == TANDEM_NONLINEARITY_RELU && fabs (x[i]) < 2 * h)) {
        double difference = (tandem_reference_nonlinearity (f, x[i] + h) -
                             tandem_reference_nonlinearity (f, x[i] - h)) / (2.0 * h);

        g_assert_cmpfloat (fabs (d[i] - difference), <=, 2e-6);
      }
    }
    /* In place, in pieces, and times what comes from above. */
    memcpy (out, x, n * sizeof (float));
    tandem_nonlinearity_forward (f, out, 7, out);
    tandem_nonlinearity_forward (f, out + 7, n - 7, out + 7);
    memcpy (ones, x, n * sizeof (float));
    for (i = 0; i < n; i++)
      ones[i] = 0.5f;
    tandem_nonlinearity_backward (f, x, ones, n, ones);
    for (i = 0; i < n; i++) {
      g_assert_cmpfloat (fabs (ones[i] - 0.5 * d[i]), <=, 1e-7);
      ones[i] = 1.0f;
    }
    x[0] = NAN;
    tandem_nonlinearity_forward (f, x, 20, out);
    g_assert_true (isnan (out[0]));
    tandem_nonlinearity_forward (f, x, 1, out);
    g_assert_true (isnan (out[0]));
    x[0] = far[0];
  }
}

static void
test_embed (void)
{
  const guint widths[] = { 1, 7, 130 };
  const gint32 ids[] = { 3, 0, 3, 4, 3 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (4);
  guint i, r, c, n_rows = G_N_ELEMENTS (ids), n_words = 5;

  for (i = 0; i < G_N_ELEMENTS (widths); i++) {
    guint width = widths[i];
    g_autofree double *words = random_doubles (rand, (gsize) n_words * width, 1.0);
    g_autofree double *positions = random_doubles (rand, (gsize) n_rows * width, 1.0);
    g_autofree double *type = random_doubles (rand, width, 1.0);
    g_autofree double *d_out = random_doubles (rand, (gsize) n_rows * width, 1.0);
    g_autofree double *d_words = g_new0 (double, (gsize) n_words * width);
    g_autofree double *d_type = g_new0 (double, width);
    g_autofree double *expected = g_new (double, (gsize) n_rows * width);
    g_autofree float *fwords = to_floats (words, (gsize) n_words * width);
    g_autofree float *fpositions = to_floats (positions, (gsize) n_rows * width);
    g_autofree float *ftype = to_floats (type, width);
    g_autofree float *fd_out = to_floats (d_out, (gsize) n_rows * width);
    g_autofree float *out = nan_floats ((gsize) n_rows * width);
    g_autofree float *fd_words = repeat_float (1.0f, (gsize) n_words * width);
    g_autofree float *fd_positions = repeat_float (2.0f, (gsize) n_rows * width);
    g_autofree float *fd_type = repeat_float (3.0f, width);

    for (r = 0; r < n_rows; r++) {
      for (c = 0; c < width; c++) {
        gsize at = (gsize) r * width + c;

        expected[at] = words[(gsize) ids[r] * width + c] + positions[at] + type[c];
        d_words[(gsize) ids[r] * width + c] += d_out[at];
        d_type[c] += d_out[at];
      }
    }
    tandem_embed_train_forward (ids, n_rows, width, fwords, fpositions, ftype, out);
    assert_close (out, expected, (gsize) n_rows * width, 0.0, 3e-7);
    tandem_embed_train_backward (ids, n_rows, width, fd_out, fd_words, fd_positions, fd_type);
    assert_close (fd_words, d_words, (gsize) n_words * width, 1.0, 5e-7);
    assert_close (fd_positions, d_out, (gsize) n_rows * width, 2.0, 5e-7);
    assert_close (fd_type, d_type, width, 3.0, 5e-7);
  }
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
  g_test_add_func ("/nn/training/gemm", test_gemm);
  g_test_add_func ("/nn/training/gemm/error", test_gemm_error);
  g_test_add_func ("/nn/training/linear", test_linear);
  g_test_add_func ("/nn/training/linear/repeats", test_linear_repeats);
  g_test_add_func ("/nn/training/layer-norm", test_layer_norm);
  g_test_add_func ("/nn/training/nonlinearity", test_nonlinearity);
  g_test_add_func ("/nn/training/embed", test_embed);
  return g_test_run ();
}
