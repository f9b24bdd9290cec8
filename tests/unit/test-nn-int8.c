/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Linear layers of int8 against plain loops: the same bits on every instruction set. */

#include <float.h>
#include <glib.h>
#include <math.h>
#include <string.h>

#include "nn/tandem-int8.h"
#include "nn/tandem-kernels.h"
#include "nn/tandem-linear.h"
#include "tensor/tandem-memory.h"

static const char *const isas[] = { "avx512vnni", "avx2", "generic" };

typedef struct
{
  guint n_rows, n_in, n_out;
  float *x, *scales, *bias;
  gint8 *weight;
} Problem;

static void
problem_init (Problem *self, GRand *rand, guint n_rows, guint n_in, guint n_out)
{
  gsize i;

  *self = (Problem) { n_rows, n_in, n_out };
  self->x = g_new (float, (gsize) n_rows * n_in);
  self->weight = g_new (gint8, (gsize) n_in * n_out);
  self->scales = g_new (float, n_out);
  self->bias = g_new (float, n_out);
  for (i = 0; i < (gsize) n_rows * n_in; i++)
    self->x[i] = (float) g_rand_double_range (rand, -3.0, 3.0);
  for (i = 0; i < (gsize) n_in * n_out; i++)
    self->weight[i] = (gint8) g_rand_int_range (rand, -128, 128);
  for (i = 0; i < n_out; i++) {
    self->scales[i] = (float) g_rand_double_range (rand, 0.0, 0.01);
    self->bias[i] = (float) g_rand_double_range (rand, -1.0, 1.0);
  }
}

static void
problem_clear (Problem *self)
{
  g_free (self->x);
  g_free (self->weight);
  g_free (self->scales);
  g_free (self->bias);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Problem, problem_clear)

/* As the header says; volatile keeps compilers from fusing. */
static void
compute_reference (const Problem *p, float *out)
{
  g_autofree gint64 *q = g_new (gint64, p->n_in);
  guint r, i, j;

  for (r = 0; r < p->n_rows; r++) {
    const float *row = p->x + (gsize) r * p->n_in;
    float largest = 0.0f, scale, inverse;
    gboolean finite = TRUE;

    for (i = 0; i < p->n_in; i++) {
      finite = finite && isfinite (row[i]);
      largest = MAX (largest, fabsf (row[i]));
    }
    scale = finite ? largest / 127 : NAN;
    inverse = scale >= FLT_MIN ? 1.0f / scale : 0.0f;
    for (i = 0; i < p->n_in; i++) {
      volatile float steps = row[i] * inverse;

      q[i] = finite ? lrint (steps) : 0;
    }
    for (j = 0; j < p->n_out; j++) {
      gint64 sum = 0;
      volatile float both = p->scales[j] * scale, product;

      for (i = 0; i < p->n_in; i++)
        sum += q[i] * p->weight[(gsize) j * p->n_in + i];
      g_assert_cmpint (ABS (sum), <=, G_MAXINT32);
      product = (float) sum * both;
      out[(gsize) r * p->n_out + j] = product + p->bias[j];
    }
  }
}

static void
assert_same_bits (const float *found, const float *expected, gsize n)
{
  gsize i;

  for (i = 0; i < n; i++)
    if (isnan (expected[i]))
      g_assert_true (isnan (found[i]));
    else
      g_assert_cmpmem (found + i, sizeof (float), expected + i, sizeof (float));
}

static void
check (const char *isa, const Problem *p)
{
  const TandemInt8Kernels *kernels = tandem_int8_kernels_lookup (isa);
  gsize n = (gsize) p->n_rows * p->n_out;
  g_autofree float *found = g_new (float, n);
  g_autofree float *expected = g_new (float, n);
  g_autoptr (TandemInt8Linear) linear = NULL;
  g_autoptr (TandemFloats) scratch = NULL;

  if (kernels == NULL) {
    g_test_skip ("this processor does not have these instructions");
    return;
  }
  g_assert_cmpstr (kernels->name, ==, isa);
  linear = tandem_int8_linear_new (kernels, p->weight, p->scales, p->bias, p->n_in, p->n_out);
  scratch = tandem_memory_new (1, tandem_int8_linear_get_scratch (linear));
  tandem_int8_linear_forward (linear, p->x, p->n_rows, found, scratch);
  compute_reference (p, expected);
  assert_same_bits (found, expected, n);
}

static void
test_shapes (gconstpointer isa)
{
  const guint shapes[][3] = {
    { 1, 1, 1 }, { 7, 3, 5 }, { 5, 4, 16 }, { 13, 17, 33 }, { 6, 64, 64 }, { 48, 31, 65 },
    { 49, 128, 128 }, { 100, 128, 384 }, { 3, 130, 72 }, { 97, 63, 129 }, { 2, 512, 127 },
  };
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (shapes); i++) {
    g_auto (Problem) p = { 0 };

    problem_init (&p, rand, shapes[i][0], shapes[i][1], shapes[i][2]);
    check (isa, &p);
  }
}

/* All products as large as they can be, of both signs. */
static void
test_extremes (gconstpointer isa)
{
  const gint8 weights[] = { -128, -127, 127, 0 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (2);
  guint w, i;

  for (w = 0; w < G_N_ELEMENTS (weights); w++) {
    g_auto (Problem) p = { 0 };

    problem_init (&p, rand, 7, 3072, 35);
    memset (p.weight, weights[w], (gsize) p.n_in * p.n_out);
    for (i = 0; i < p.n_in * p.n_rows; i++)
      p.x[i] = (i / p.n_in) % 2 == 0 ? 3.4e38f : -3.4e38f;
    check (isa, &p);
  }
}

static void
test_most_inputs (gconstpointer isa)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  g_auto (Problem) p = { 0 };

  problem_init (&p, rand, 2, TANDEM_INT8_MAX_INPUTS, 3);
  memset (p.weight, -128, (gsize) p.n_in * p.n_out);
  for (guint i = 0; i < p.n_in * p.n_rows; i++)
    p.x[i] = i < p.n_in ? -1.0f : 1.0f;
  check (isa, &p);
}

/* Rows of zeros give the bias; a number that is not finite gives NaN in its row alone; numbers too
 * small for a scale count as zero; ties go to even. */
static void
test_odd_rows (gconstpointer isa)
{
  const float odd[] = { 0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, 1e-38f, 3e38f };
  const guint widths[] = { 9, 64, 83 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (4);
  guint w, r, i;

  for (w = 0; w < G_N_ELEMENTS (widths); w++) {
    g_auto (Problem) p = { 0 };

    problem_init (&p, rand, 3 * G_N_ELEMENTS (odd), widths[w], 40);
    for (r = 0; r < G_N_ELEMENTS (odd); r++) {
      float *row = p.x + (gsize) 3 * r * p.n_in;

      /* A row full of it, one with it at the end, and one of halves. */
      for (i = 0; i < p.n_in; i++) {
        row[i] = odd[r];
        row[2 * p.n_in + i] = (i % 2 == 0 ? 0.5f : -1.5f) + (float) (i % 100);
      }
      row[2 * p.n_in - 1] = odd[r];
      row[2 * p.n_in] = 127.0f;
    }
    check (isa, &p);
  }
}

/* A row alone has the bits that it has among others, through the interface that layers use. */
static void
test_rows_alone (void)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  g_autoptr (TandemLinear) linear = NULL;
  g_autoptr (TandemLinearWorkspace) ws = tandem_linear_workspace_new (NULL);
  g_auto (Problem) p = { 0 };
  g_autofree float *all = NULL;
  g_autofree float *alone = NULL;
  guint r;

  if (!tandem_linear_gains_by_int8 (96)) {
    g_test_skip ("this processor runs int8 in floats");
    return;
  }
  problem_init (&p, rand, 101, 96, 80);
  all = g_new (float, p.n_rows * p.n_out);
  alone = g_new (float, p.n_out);
  linear = tandem_linear_new_int8 (p.weight, p.scales, p.bias, p.n_in, p.n_out);
  g_assert_true (tandem_linear_is_int8 (linear));
  g_assert_true (tandem_linear_forward (linear, p.x, p.n_rows, all, ws, NULL));
  for (r = 0; r < p.n_rows; r++) {
    g_assert_true (tandem_linear_forward (linear, p.x + r * p.n_in, 1, alone, ws, NULL));
    g_assert_cmpmem (alone, p.n_out * sizeof (float), all + r * p.n_out,
                     p.n_out * sizeof (float));
  }
  g_assert_false (tandem_linear_gains_by_int8 (TANDEM_INT8_MAX_INPUTS + 1));
}

static void
test_embed (gconstpointer isa)
{
  const TandemKernels *kernels =
      tandem_kernels_lookup (g_str_equal (isa, "avx512vnni") ? "avx512" : isa);
  const guint widths[] = { 128, 7, 37 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (6);
  guint w, i;

  if (kernels == NULL) {
    g_test_skip ("this processor does not have these instructions");
    return;
  }
  for (w = 0; w < G_N_ELEMENTS (widths); w++) {
    guint width = widths[w];
    const gint32 ids[] = { 3, 0, 9, 3 };
    g_auto (Problem) p = { 0 };
    g_autofree float *words = g_new (float, 10 * width);
    g_autofree float *found = g_new (float, 4 * width);
    g_autofree float *expected = g_new (float, 4 * width);

    /* "Outputs" are words here, and the rows positions. */
    problem_init (&p, rand, 4, width, 10);
    for (i = 0; i < 10 * width; i++)
      words[i] = p.weight[i] * p.scales[i / width];
    kernels->embed_int8 (ids, 4, width, p.weight, p.scales, p.x, p.x, p.x + width, 1e-6f, found);
    kernels->embed (ids, 4, width, words, TANDEM_ROWS_F32, p.x, p.x, p.x + width, 1e-6f, expected);
    for (i = 0; i < 4 * width; i++)
      g_assert_cmpfloat_with_epsilon (found[i], expected[i], 1e-4);
  }
}

int
main (int argc, char **argv)
{
  const struct
  {
    const char *name;
    GTestDataFunc func;
  } tests[] = {
    { "shapes", test_shapes }, { "extremes", test_extremes },
    { "most-inputs", test_most_inputs }, { "odd-rows", test_odd_rows }, { "embed", test_embed },
  };
  guint i, t;

  g_test_init (&argc, &argv, NULL);
  for (t = 0; t < G_N_ELEMENTS (tests); t++)
    for (i = 0; i < G_N_ELEMENTS (isas); i++) {
      g_autofree char *path = g_strdup_printf ("/nn/int8/%s/%s", tests[t].name, isas[i]);

      g_test_add_data_func (path, isas[i], tests[t].func);
    }
  g_test_add_func ("/nn/int8/rows-alone", test_rows_alone);
  return g_test_run ();
}
