/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib.h>
#include <math.h>
#include <string.h>

#include "nn/tandem-kernels.h"
#include "nn/tandem-linear.h"
#include "nn/tandem-reference.h"

static const char *const isas[] = { "avx512", "avx2", "generic" };

static float *
random_floats (GRand *rand, gsize n, double scale)
{
  float *x = g_new (float, n);
  gsize i;

  for (i = 0; i < n; i++)
    x[i] = (float) (g_rand_double_range (rand, -1.0, 1.0) * scale);
  return x;
}

/* Normalised mean squared error: 0 is equal, 1 is no relation. */
static double
nmse (const float *x, const float *reference, gsize n)
{
  double error = 0.0, power = 1e-30;
  gsize i;

  for (i = 0; i < n; i++) {
    error += ((double) x[i] - reference[i]) * ((double) x[i] - reference[i]);
    power += (double) reference[i] * reference[i];
  }
  return error / power;
}

static const TandemKernels *
kernels_or_skip (gconstpointer isa)
{
  const TandemKernels *kernels = tandem_kernels_lookup (isa);

  if (kernels == NULL)
    g_test_skip ("this processor does not have these instructions");
  return kernels;
}

static void
test_attention (gconstpointer isa)
{
  const TandemKernels *kernels = kernels_or_skip (isa);
  const guint lengths[] = { 1, 2, 3, 11, 12, 13, 31, 32, 33, 64, 100, 129, 257, 512 };
  const guint heads[][2] = { { 2, 64 }, { 12, 32 }, { 3, 20 }, { 1, 7 }, { 2, 48 } };
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  guint i, j;

  if (kernels == NULL)
    return;
  for (i = 0; i < G_N_ELEMENTS (heads); i++) {
    for (j = 0; j < G_N_ELEMENTS (lengths); j++) {
      guint length = lengths[j], width = heads[i][0] * heads[i][1];
      g_autofree float *qkv = random_floats (rand, (gsize) length * 3 * width, 2.0);
      g_autofree float *out = g_new (float, (gsize) length * width);
      g_autofree float *expected = g_new (float, (gsize) length * width);
      g_autofree float *scratch = g_new (float, tandem_attention_scratch (length, heads[i][1]));

      tandem_reference_attention (qkv, qkv + width, qkv + 2 * width, 3 * width, length,
                                  heads[i][0], heads[i][1], expected);
      kernels->attention (qkv, qkv + width, qkv + 2 * width, 3 * width, length, heads[i][0],
                          heads[i][1], out, scratch);
      g_assert_cmpfloat (nmse (out, expected, (gsize) length * width), <, 1e-12);
    }
  }
}

/* Scores of hundreds, as a badly scaled model makes them: no overflow. */
static void
test_attention_large_scores (gconstpointer isa)
{
  const TandemKernels *kernels = kernels_or_skip (isa);
  g_autoptr (GRand) rand = g_rand_new_with_seed (2);
  guint length = 70, width = 64;
  g_autofree float *qkv = random_floats (rand, (gsize) length * 3 * width, 40.0);
  g_autofree float *out = g_new (float, (gsize) length * width);
  g_autofree float *expected = g_new (float, (gsize) length * width);
  g_autofree float *scratch = g_new (float, tandem_attention_scratch (length, width));

  if (kernels == NULL)
    return;
  tandem_reference_attention (qkv, qkv + width, qkv + 2 * width, 3 * width, length, 1, width,
                              expected);
  kernels->attention (qkv, qkv + width, qkv + 2 * width, 3 * width, length, 1, width, out,
                      scratch);
  g_assert_cmpfloat (nmse (out, expected, (gsize) length * width), <, 1e-7);
}

/* The folded form equals projecting keys and values of every row. */
static void
test_first_row_attention (gconstpointer isa)
{
  const TandemKernels *kernels = kernels_or_skip (isa);
  const guint shapes[][3] = { { 2, 64, 37 }, { 12, 32, 200 }, { 3, 20, 1 }, { 1, 7, 512 } };
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  guint i;

  if (kernels == NULL)
    return;
  for (i = 0; i < G_N_ELEMENTS (shapes); i++) {
    guint heads = shapes[i][0], size = shapes[i][1], length = shapes[i][2];
    guint width = heads * size;
    gsize n = (gsize) length * width;
    g_autofree float *x = random_floats (rand, n, 1.0);
    g_autofree float *wk = random_floats (rand, (gsize) width * width, 0.3);
    g_autofree float *wv = random_floats (rand, (gsize) width * width, 0.3);
    g_autofree float *bk = random_floats (rand, width, 1.0);
    g_autofree float *bv = random_floats (rand, width, 1.0);
    g_autofree float *q = random_floats (rand, width, 1.0);
    g_autofree float *queries = g_new0 (float, n);
    g_autofree float *keys = g_new (float, n);
    g_autofree float *values = g_new (float, n);
    g_autofree float *expected = g_new (float, n);
    g_autofree float *out = g_new (float, width);
    g_autofree float *scratch =
        g_new (float, tandem_first_row_attention_scratch (length, width, heads));

    memcpy (queries, q, width * sizeof (float));
    tandem_reference_linear (x, length, width, width, wk, bk, keys);
    tandem_reference_linear (x, length, width, width, wv, bv, values);
    tandem_reference_attention (queries, keys, values, width, length, heads, size, expected);
    kernels->first_row_attention (x, length, width, heads, width / heads, q, wk, wv, bv, out, scratch);
    g_assert_cmpfloat (nmse (out, expected, width), <, 1e-11);
  }
}

static void
test_layer_norm (gconstpointer isa)
{
  const TandemKernels *kernels = kernels_or_skip (isa);
  const guint widths[] = { 1, 5, 16, 100, 128, 384, 1023 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (4);
  guint i;

  if (kernels == NULL)
    return;
  for (i = 0; i < G_N_ELEMENTS (widths); i++) {
    guint width = widths[i], rows = 5;
    gsize n = (gsize) rows * width;
    g_autofree float *x = random_floats (rand, n, 3.0);
    g_autofree float *r = random_floats (rand, n, 3.0);
    g_autofree float *gamma = random_floats (rand, width, 1.0);
    g_autofree float *beta = random_floats (rand, width, 1.0);
    g_autofree float *expected = g_new (float, n);

    tandem_reference_add_layer_norm (x, r, rows, width, gamma, beta, 1e-12, expected);
    kernels->add_layer_norm (x, r, rows, width, gamma, beta, 1e-12f, x);
    g_assert_cmpfloat (nmse (x, expected, n), <, 1e-11);
  }
}

static void
test_embed (gconstpointer isa)
{
  const TandemKernels *kernels = kernels_or_skip (isa);
  const gint32 ids[] = { 3, 0, 2, 3 };
  /* Halves of both kinds that stand for the same numbers. */
  const guint16 f16[4] = { 0x3c00, 0xb800, 0x4200, 0x0001 };
  const float plain[4] = { 1.0f, -0.5f, 3.0f, 0x1p-24f };
  const guint16 bf16[4] = { 0x3f80, 0xbf00, 0x4040, 0x3380 };
  guint width, dtype;

  if (kernels == NULL)
    return;
  for (width = 5; width <= 37; width += 16) {
    g_autofree float *words = g_new (float, 4 * width);
    g_autofree guint16 *halves = g_new (guint16, 4 * width);
    g_autofree float *positions = g_new0 (float, 4 * width);
    g_autofree float *gamma = g_new (float, width);
    g_autofree float *beta = g_new0 (float, width);
    g_autofree float *rows = g_new (float, 4 * width);
    g_autofree float *expected = g_new (float, 4 * width);
    guint i;

    for (dtype = TANDEM_ROWS_F32; dtype <= TANDEM_ROWS_BF16; dtype++) {
      for (i = 0; i < 4 * width; i++) {
        words[i] = plain[(i * 7 + i / 5) % 4];
        halves[i] = (dtype == TANDEM_ROWS_F16 ? f16 : bf16)[(i * 7 + i / 5) % 4];
        positions[i] = (float) i * 0.01f;
      }
      for (i = 0; i < width; i++)
        gamma[i] = 1.5f;
      for (i = 0; i < 4; i++)
        memcpy (expected + i * width, words + ids[i] * width, width * sizeof (float));
      tandem_reference_add_layer_norm (expected, positions, 4, width, gamma, beta, 1e-5,
                                       expected);
      kernels->embed (ids, 4, width, dtype == TANDEM_ROWS_F32 ? (gpointer) words : halves, dtype,
                      positions, gamma, beta, 1e-5f, rows);
      g_assert_cmpfloat (nmse (rows, expected, 4 * width), <, 1e-11);
    }
  }
}

static void
test_activations (gconstpointer isa)
{
  const TandemKernels *kernels = kernels_or_skip (isa);
  const guint n = 24001;
  g_autofree float *x = g_new (float, n);
  g_autofree float *y = g_new (float, n);
  guint i;

  if (kernels == NULL)
    return;
  for (i = 0; i < n; i++)
    x[i] = ((float) i - 12000.0f) / 1000.0f;

  memcpy (y, x, n * sizeof (float));
  kernels->gelu_erf (y, n);
  for (i = 0; i < n; i++)
    g_assert_cmpfloat (fabs (y[i] - tandem_reference_gelu_erf (x[i])), <,
                       4e-7 + 2e-7 * fabs (x[i]));
  memcpy (y, x, n * sizeof (float));
  kernels->gelu_tanh (y, n);
  for (i = 0; i < n; i++)
    g_assert_cmpfloat (fabs (y[i] - tandem_reference_gelu_tanh (x[i])), <,
                       4e-7 + 3e-7 * fabs (x[i]));
  memcpy (y, x, n * sizeof (float));
  kernels->tanh (y, n);
  for (i = 0; i < n; i++)
    g_assert_cmpfloat (fabs (y[i] - tanh (x[i])), <, 4e-7);
  memcpy (y, x, n * sizeof (float));
  kernels->relu (y, n);
  for (i = 0; i < n; i++)
    g_assert_cmpfloat (y[i], ==, MAX (x[i], 0.0f));
}

static void
test_to_bf16 (gconstpointer isa)
{
  const TandemKernels *kernels = kernels_or_skip (isa);
  /* Exact, rounded down, a tie to even both ways, rounded up. */
  const guint32 bits[] = { 0x3f800000, 0x3f804000, 0x3f808000, 0x3f818000, 0x3f80c000 };
  const guint16 expected[] = { 0x3f80, 0x3f80, 0x3f80, 0x3f82, 0x3f81 };
  float x[5];
  guint16 out[5];

  if (kernels == NULL)
    return;
  memcpy (x, bits, sizeof x);
  kernels->to_bf16 (x, 5, out);
  g_assert_cmpmem (out, sizeof out, expected, sizeof expected);
}

static void
check_linear (TandemLinearPrecision precision, double limit)
{
  const guint shapes[][2] = { { 128, 384 }, { 512, 128 }, { 384, 1536 }, { 7, 3 }, { 100, 2 } };
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemLinearWorkspace) ws = tandem_linear_workspace_new (&error);
  guint i;

  g_assert_no_error (error);
  for (i = 0; i < G_N_ELEMENTS (shapes); i++) {
    guint n_in = shapes[i][0], n_out = shapes[i][1], rows = 300, r;
    g_autofree float *x = random_floats (rand, (gsize) rows * n_in, 1.0);
    g_autofree float *w = random_floats (rand, (gsize) n_out * n_in, 0.1);
    g_autofree float *b = random_floats (rand, n_out, 0.1);
    g_autofree float *expected = g_new (float, (gsize) rows * n_out);
    g_autofree float *out = g_new (float, (gsize) rows * n_out);
    g_autofree float *part = g_new (float, (gsize) rows * n_out);
    g_autoptr (TandemLinear) linear = tandem_linear_new (w, b, n_in, n_out, precision, &error);

    g_assert_no_error (error);
    tandem_reference_linear (x, rows, n_in, n_out, w, b, expected);
    g_assert_true (tandem_linear_forward (linear, x, rows, out, ws, &error));
    g_assert_no_error (error);
    g_assert_cmpfloat (nmse (out, expected, (gsize) rows * n_out), <, limit);

    /* The bits of a row do not depend on how many rows come with it. */
    for (r = 1; r < rows; r = r * 2 + (r & 1)) {
      g_assert_true (tandem_linear_forward (linear, x, r, part, ws, &error));
      g_assert_cmpmem (part, (gsize) r * n_out * sizeof (float), out,
                       (gsize) r * n_out * sizeof (float));
      g_assert_true (tandem_linear_forward (linear, x + (gsize) (rows - r) * n_in, r, part, ws,
                                            &error));
      g_assert_cmpmem (part, (gsize) r * n_out * sizeof (float), out + (gsize) (rows - r) * n_out,
                       (gsize) r * n_out * sizeof (float));
    }
  }
}

static void
test_linear_f32 (void)
{
  check_linear (TANDEM_LINEAR_F32, 1e-12);
}

static void
test_linear_bf16 (void)
{
  if (!tandem_linear_supports (TANDEM_LINEAR_BF16)) {
    g_test_skip ("this processor does not multiply bfloat16");
    return;
  }
  check_linear (TANDEM_LINEAR_BF16, 1e-4);
}

/* Every instruction set writes what single bits say, and not more. */
static void
test_expand (gconstpointer isa)
{
  const TandemKernels *kernels = tandem_kernels_lookup (isa);
  guint n, round, i;

  if (kernels == NULL) {
    g_test_skip ("not on this processor");
    return;
  }
  for (n = 1; n <= 70; n++) {
    for (round = 0; round < 8; round++) {
      guint8 mask[9];
      guint16 halves[70], half_out[71];
      float floats[70], float_out[71];
      guint n_values = 0;

      for (i = 0; i < sizeof mask; i++)
        mask[i] = round == 0 ? 0xff : round == 1 ? 0 : g_test_rand_int ();
      for (i = 0; i < n; i++)
        n_values += mask[i / 8] >> (i % 8) & 1;
      {
        /* As large as they are: what is read behind them is found by AddressSanitizer. */
        guint16 *h = g_new (guint16, n_values);
        float *f = g_new (float, n_values);
        guint k = 0;

        for (i = 0; i < n_values; i++) {
          h[i] = halves[i] = 1 + i;
          f[i] = floats[i] = 1.0f + i;
        }
        half_out[n] = 7;
        float_out[n] = 7;
        kernels->expand (mask, n, h, 2, half_out);
        kernels->expand (mask, n, f, 4, float_out);
        for (i = 0; i < n; i++) {
          gboolean set = mask[i / 8] >> (i % 8) & 1;

          g_assert_cmpuint (half_out[i], ==, set ? halves[k] : 0);
          g_assert_true (float_out[i] == (set ? floats[k] : 0));
          k += set;
        }
        g_assert_cmpuint (half_out[n], ==, 7);
        g_assert_true (float_out[n] == 7);
        g_free (h);
        g_free (f);
      }
    }
  }
}

int
main (int argc, char **argv)
{
  guint i;

  g_test_init (&argc, &argv, NULL);
  for (i = 0; i < G_N_ELEMENTS (isas); i++) {
    const struct
    {
      const char *name;
      GTestDataFunc func;
    } tests[] = {
      { "attention", test_attention },
      { "attention-large-scores", test_attention_large_scores },
      { "first-row-attention", test_first_row_attention },
      { "layer-norm", test_layer_norm },
      { "embed", test_embed },
      { "expand", test_expand },
      { "activations", test_activations },
      { "to-bf16", test_to_bf16 },
    };
    guint t;

    for (t = 0; t < G_N_ELEMENTS (tests); t++) {
      g_autofree char *path = g_strdup_printf ("/nn/%s/%s", isas[i], tests[t].name);

      g_test_add_data_func (path, isas[i], tests[t].func);
    }
  }
  g_test_add_func ("/nn/linear/f32", test_linear_f32);
  g_test_add_func ("/nn/linear/bf16", test_linear_bf16);
  return g_test_run ();
}
