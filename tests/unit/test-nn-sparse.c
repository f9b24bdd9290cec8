/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Products with sparse weights against plain loops, on every instruction set; and a row's bits,
 * which depend on that row alone. */

#include <glib.h>
#include <math.h>
#include <string.h>

#include "nn/tandem-kernels.h"
#include "nn/tandem-linear.h"
#include "nn/tandem-sparse.h"
#include "tensor/tandem-memory.h"

#define N_ROWS 150

static const char *const isas[] = { "avx512", "avx2", "generic" };

typedef struct
{
  guint n_in, n_out;
  float *x, *weight, *bias;
} Problem;

static void
problem_init (Problem *self, GRand *rand, guint n_in, guint n_out, double density)
{
  gsize i;

  *self = (Problem) { n_in, n_out };
  self->x = g_new (float, (gsize) N_ROWS * n_in);
  self->weight = g_new0 (float, (gsize) n_in * n_out);
  self->bias = g_new (float, n_out);
  for (i = 0; i < (gsize) N_ROWS * n_in; i++)
    self->x[i] = (float) g_rand_double_range (rand, -1, 1);
  for (i = 0; i < (gsize) n_in * n_out; i++)
    if (g_rand_double (rand) < density)
      self->weight[i] = (float) g_rand_double_range (rand, -1, 1);
  for (i = 0; i < n_out; i++)
    self->bias[i] = (float) g_rand_double_range (rand, -1, 1);
}

static void
problem_clear (Problem *self)
{
  g_free (self->x);
  g_free (self->weight);
  g_free (self->bias);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Problem, problem_clear)

static void
run (const TandemSparseLinear *linear, const Problem *problem, guint first, guint n, float *out)
{
  g_autoptr (TandemFloats) scratch =
      tandem_memory_new (1, tandem_sparse_linear_get_scratch (linear));

  tandem_sparse_linear_forward (linear, problem->x + (gsize) first * problem->n_in, n, out,
                                scratch);
}

/* The chain of operations that the header promises, fused or not. */
static float
multiply_row (const Problem *problem, guint row, guint output, gboolean is_fused)
{
  const float *x = problem->x + (gsize) row * problem->n_in;
  const float *weight = problem->weight + (gsize) output * problem->n_in;
  float sum = problem->bias[output];
  guint i;

  for (i = 0; i < problem->n_in; i++) {
    volatile float product = x[i] * weight[i];

    if (weight[i] != 0.0f)
      sum = is_fused ? fmaf (x[i], weight[i], sum) : sum + product;
  }
  return sum;
}

static void
check (const Problem *problem, const TandemSparseKernels *kernels)
{
  g_autoptr (TandemSparseLinear) linear = tandem_sparse_linear_new (
      kernels, problem->weight, problem->bias, problem->n_in, problem->n_out);
  gsize size = problem->n_out * sizeof (float);
  g_autofree float *out = g_new (float, (gsize) N_ROWS * problem->n_out);
  g_autofree float *part = g_new (float, (gsize) N_ROWS * problem->n_out);
#ifdef __FP_FAST_FMAF
  gboolean is_fused = TRUE;
#else
  gboolean is_fused = !g_str_equal (kernels->name, "generic");
#endif
  guint n, r, j;

  run (linear, problem, 0, N_ROWS, out);
  for (r = 0; r < N_ROWS; r++)
    for (j = 0; j < problem->n_out; j++)
      g_assert_cmpfloat (out[(gsize) r * problem->n_out + j], ==,
                         multiply_row (problem, r, j, is_fused));

  /* Any number of rows, from the start and to the end. */
  for (n = 1; n < N_ROWS; n += n < 20 ? 1 : 13) {
    memset (part, 0xff, N_ROWS * size);
    run (linear, problem, 0, n, part);
    g_assert_cmpmem (part, n * size, out, n * size);
    run (linear, problem, N_ROWS - n, n, part);
    g_assert_cmpmem (part, n * size, out + (gsize) (N_ROWS - n) * problem->n_out, n * size);
  }
}

static const TandemSparseKernels *
kernels_or_skip (const char *isa)
{
  const TandemSparseKernels *kernels = tandem_sparse_kernels_lookup (isa);

  if (kernels == NULL)
    g_test_skip ("not on this processor");
  else
    g_assert_cmpstr (kernels->name, ==, isa);
  return kernels;
}

static void
test_products (gconstpointer isa)
{
  static const guint shapes[][2] = {
    { 128, 128 }, { 300, 17 }, { 7, 33 }, { 1, 1 }, { 257, 5 }, { 130, 64 },
  };
  static const double densities[] = { 1, 0.5, 0.1, 0.01, 0 };
  const TandemSparseKernels *kernels = kernels_or_skip (isa);
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  guint s, d;

  for (s = 0; kernels != NULL && s < G_N_ELEMENTS (shapes); s++) {
    for (d = 0; d < G_N_ELEMENTS (densities); d++) {
      g_auto (Problem) problem = { 0 };

      problem_init (&problem, rand, shapes[s][0], shapes[s][1], densities[d]);
      check (&problem, kernels);
    }
  }
}

/* Outputs without weights, one that has all, and an input that nobody looks at. */
static void
test_uneven (gconstpointer isa)
{
  const TandemSparseKernels *kernels = kernels_or_skip (isa);
  g_autoptr (GRand) rand = g_rand_new_with_seed (2);
  g_auto (Problem) problem = { 0 };
  guint i, j;

  if (kernels == NULL)
    return;
  problem_init (&problem, rand, 200, 40, 0.2);
  for (i = 0; i < 200; i++) {
    problem.weight[i] = 0.0f;
    problem.weight[17 * 200 + i] = 0.25f;
    problem.weight[39 * 200 + i] = 0.0f;
  }
  for (j = 0; j < 40; j++)
    problem.weight[j * 200 + 131] = 0.0f;
  check (&problem, kernels);
}

/* Every other instruction set with fused multiplications gives the same bits. */
static void
test_same (void)
{
  const TandemSparseKernels *wide = tandem_sparse_kernels_lookup ("avx512");
  const TandemSparseKernels *narrow = tandem_sparse_kernels_lookup ("avx2");
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  g_auto (Problem) problem = { 0 };
  g_autoptr (TandemSparseLinear) one = NULL;
  g_autoptr (TandemSparseLinear) other = NULL;
  float out[2][N_ROWS * 50];

  if (wide == NULL || narrow == NULL) {
    g_test_skip ("not on this processor");
    return;
  }
  problem_init (&problem, rand, 300, 50, 0.3);
  one = tandem_sparse_linear_new (wide, problem.weight, problem.bias, 300, 50);
  other = tandem_sparse_linear_new (narrow, problem.weight, problem.bias, 300, 50);
  run (one, &problem, 0, N_ROWS, out[0]);
  run (other, &problem, 0, N_ROWS, out[1]);
  g_assert_cmpmem (out[0], sizeof out[0], out[1], sizeof out[1]);
}

/* Whatever runs sparse takes less memory than dense weights. */
static void
test_memory (gconstpointer isa)
{
  static const guint shapes[][2] = { { 128, 128 }, { 128, 512 }, { 512, 128 }, { 384, 1536 } };
  const TandemSparseKernels *kernels = kernels_or_skip (isa);
  g_autoptr (GRand) rand = g_rand_new_with_seed (4);
  guint s;

  for (s = 0; kernels != NULL && s < G_N_ELEMENTS (shapes); s++) {
    guint n_in = shapes[s][0], n_out = shapes[s][1];
    g_auto (Problem) problem = { 0 };
    g_autoptr (TandemSparseLinear) linear = NULL;

    problem_init (&problem, rand, n_in, n_out, kernels->most_dense);
    linear = tandem_sparse_linear_new (kernels, problem.weight, problem.bias, n_in, n_out);
    g_assert_cmpuint (tandem_sparse_linear_get_bytes (linear), <,
                      (gsize) n_in * n_out * sizeof (float));
  }
}

/* Linear layers choose by the share of zeros alone. */
static void
test_choice (void)
{
  static const double densities[] = { 1, 0.7, 0.5, 0.1, 0 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  g_autoptr (TandemLinearWorkspace) ws = tandem_linear_workspace_new (NULL);
  guint d;

  for (d = 0; d < G_N_ELEMENTS (densities); d++) {
    g_auto (Problem) problem = { 0 };
    g_autoptr (TandemLinear) linear = NULL;
    float out[N_ROWS * 96];
    guint r, j;

    problem_init (&problem, rand, 128, 96, densities[d]);
    linear = tandem_linear_new (problem.weight, problem.bias, 128, 96, TANDEM_LINEAR_F32, NULL);
    g_assert_true (tandem_linear_is_sparse (linear) == (densities[d] < 0.6));
    g_assert_true (tandem_linear_forward (linear, problem.x, N_ROWS, out, ws, NULL));
    for (r = 0; r < N_ROWS; r++)
      for (j = 0; j < 96; j++)
        g_assert_cmpfloat_with_epsilon (out[r * 96 + j], multiply_row (&problem, r, j, TRUE), 1e-4);
  }
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    GTestDataFunc run;
  } tests[] = {
    { "products", test_products }, { "uneven", test_uneven }, { "memory", test_memory },
  };
  guint i, t;

  g_test_init (&argc, &argv, NULL);
  tandem_linear_use_one_thread ();
  for (i = 0; i < G_N_ELEMENTS (isas); i++)
    for (t = 0; t < G_N_ELEMENTS (tests); t++) {
      g_autofree char *path = g_strdup_printf ("/nn/sparse/%s/%s", tests[t].name, isas[i]);

      g_test_add_data_func (path, isas[i], tests[t].run);
    }
  g_test_add_func ("/nn/sparse/same", test_same);
  g_test_add_func ("/nn/sparse/choice", test_choice);
  return g_test_run ();
}
