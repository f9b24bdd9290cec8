/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Products with pruned weights beside oneDNN's with dense ones, on one thread, 256 rows at a time,
 * as a stage runs them. Both take turns; a figure is the median of the ratios of the turns, and
 * above 1 the sparse product is faster. Beside it is what its weights take of the memory of dense
 * ones. TANDEM_ISA and DNNL_MAX_CPU_ISA choose instructions. */

#include <glib.h>
#include <string.h>
#include <time.h>

#include "nn/tandem-kernels.h"
#include "nn/tandem-linear.h"
#include "nn/tandem-sparse.h"
#include "tensor/tandem-memory.h"

#define ROUNDS 9
#define SECONDS 0.004

static const guint shapes[][2] = {      /* inputs, outputs */
  { 128, 128 }, { 128, 512 }, { 512, 128 }, { 384, 384 }, { 384, 1536 },
};
static const double densities[] = { 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02 };
static const guint rows[] = { 256, 16, 1 };

typedef struct
{
  guint n_rows;
  float *x, *out;
  gpointer scratch;
  TandemLinear *dense;
  TandemLinearWorkspace *workspace;
  TandemSparseLinear *sparse;
} Contest;

static double
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

/* Seconds a product. */
static double
measure (Contest *self, gboolean is_sparse)
{
  double start = now (), end;
  guint n = 0, i;

  do {
    for (i = 0; i < 8; i++, n++) {
      if (is_sparse)
        tandem_sparse_linear_forward (self->sparse, self->x, self->n_rows, self->out,
                                      self->scratch);
      else
        g_assert_true (tandem_linear_forward (self->dense, self->x, self->n_rows, self->out,
                                              self->workspace, NULL));
    }
    end = now ();
  } while (end - start < SECONDS);
  return (end - start) / n;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  double one = *(const double *) a, other = *(const double *) b;

  return one < other ? -1 : one > other;
}

static float *
make_floats (GRand *rand, gsize n, double density)
{
  float *out = tandem_memory_new (n, sizeof (float));
  gsize i;

  for (i = 0; i < n; i++)
    out[i] = g_rand_double (rand) < density ? (float) g_rand_double_range (rand, -1, 1) : 0.0f;
  return out;
}

static void
run (GRand *rand, const TandemSparseKernels *kernels, guint n_rows, guint n_in, guint n_out,
     double density)
{
  gsize n = (gsize) n_in * n_out;
  g_autoptr (TandemFloats) x = make_floats (rand, (gsize) n_rows * n_in, 1);
  g_autoptr (TandemFloats) out = make_floats (rand, (gsize) n_rows * n_out, 0);
  g_autoptr (TandemFloats) weight = make_floats (rand, n, density);
  g_autoptr (TandemFloats) full = make_floats (rand, n, 1);
  g_autoptr (TandemFloats) bias = make_floats (rand, n_out, 1);
  g_autoptr (TandemSparseLinear) sparse =
      tandem_sparse_linear_new (kernels, weight, bias, n_in, n_out);
  g_autoptr (TandemLinear) dense =
      tandem_linear_new (full, bias, n_in, n_out, TANDEM_LINEAR_F32, NULL);
  g_autoptr (TandemLinearWorkspace) workspace = tandem_linear_workspace_new (NULL);
  g_autoptr (TandemFloats) scratch =
      tandem_memory_new (1, tandem_sparse_linear_get_scratch (sparse));
  Contest contest = { n_rows, x, out, scratch, dense, workspace, sparse };
  double ratios[ROUNDS];
  guint round;

  for (round = 0; round < ROUNDS; round++) {
    double seconds = measure (&contest, FALSE);

    ratios[round] = seconds / measure (&contest, TRUE);
  }
  qsort (ratios, ROUNDS, sizeof *ratios, compare);
  g_print (" %5.2f (%3.0f%%)", ratios[ROUNDS / 2],
           100.0 * (double) tandem_sparse_linear_get_bytes (sparse) /
           (double) ((n + n_out) * sizeof (float)));
}

int
main (void)
{
  const TandemSparseKernels *kernels = tandem_sparse_kernels_get ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  guint r, s, d;

  tandem_linear_use_one_thread ();
  g_print ("# %s\n", kernels->name);
  for (r = 0; r < G_N_ELEMENTS (rows); r++) {
    g_print ("# %u rows; weights that are left:\n# %-10s", rows[r], "");
    for (d = 0; d < G_N_ELEMENTS (densities); d++)
      g_print (" %7.0f %%   ", 100 * densities[d]);
    g_print ("\n");
    for (s = 0; s < G_N_ELEMENTS (shapes); s++) {
      g_autofree char *shape = g_strdup_printf ("%ux%u", shapes[s][0], shapes[s][1]);

      g_print ("%-12s", shape);
      for (d = 0; d < G_N_ELEMENTS (densities); d++)
        run (rand, kernels, rows[r], shapes[s][0], shapes[s][1], densities[d]);
      g_print ("\n");
    }
  }
  return 0;
}
