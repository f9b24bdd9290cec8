/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Depending on the processor oneDNN sums in another order for some numbers of
 * rows, and then a row's bits would depend on its batch-mates. So the blocks
 * are tried once for each shape, and only those that agree are used. */

#include "config.h"

#include "nn/tandem-linear-private.h"

#include <string.h>

#include "tensor/tandem-memory.h"

/* Results compared before a block counts as agreeing. */
#define MIN_COMPARED 4096

/* Every row of a block gets the same input: are the results the same bits, and
 * those of the reference? An empty reference is set to them first. */
static gboolean
block_agrees (const TandemLinear *self, guint block, const float *x, float *out,
              float *reference, gboolean first, TandemLinearWorkspace *ws)
{
  guint r;

  if (!tandem_linear_run_block (self, block, x, out, ws, NULL))
    return FALSE;
  if (first)
    memcpy (reference, out, self->n_out * sizeof (float));
  for (r = 0; r < tandem_linear_block_rows[block]; r++)
    if (memcmp (out + (gsize) r * self->n_out, reference, self->n_out * sizeof (float)) != 0)
      return FALSE;
  return TRUE;
}

/* Starts from the largest block whose rows agree among themselves. A block of
 * one row always does, so that something is always found. */
static guint
try_blocks (const TandemLinear *self, guint base, guint n_probes, TandemLinearWorkspace *ws)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  g_autofree float *row = g_new (float, self->n_in);
  g_autoptr (TandemFloats) x =
      tandem_memory_new ((gsize) tandem_linear_block_rows[0] * self->n_in, sizeof (float));
  g_autoptr (TandemFloats) out =
      tandem_memory_new ((gsize) tandem_linear_block_rows[0] * self->n_out, sizeof (float));
  g_autofree float *reference = g_new (float, self->n_out);
  guint usable = (1u << TANDEM_LINEAR_N_BLOCKS) - (1u << base), probe, block, i;

  for (probe = 0; probe < n_probes; probe++) {
    for (i = 0; i < self->n_in; i++)
      row[i] = (float) g_rand_double_range (rand, -1.0, 1.0);
    for (i = 0; i < tandem_linear_block_rows[0]; i++)
      memcpy (x + (gsize) i * self->n_in, row, self->n_in * sizeof (float));
    for (block = base; block < TANDEM_LINEAR_N_BLOCKS; block++)
      if ((usable & (1u << block)) != 0 &&
          !block_agrees (self, block, x, out, reference, block == base, ws))
        usable &= ~(1u << block);
    if ((usable & (1u << base)) == 0)
      return 0;
  }
  return usable;
}

gboolean
tandem_linear_find_usable_blocks (TandemLinear *self, GError **error)
{
  static GMutex lock;
  static GHashTable *known;     /* shape -> usable blocks; protected by lock */
  guint64 shape = tandem_linear_shape (self->n_in, self->n_out, self->precision);
  guint n_probes = CLAMP (MIN_COMPARED / self->n_out, 1, 64);
  g_autoptr (TandemLinearWorkspace) ws = tandem_linear_workspace_new (error);
  gpointer value;
  guint base;

  if (ws == NULL)
    return FALSE;
  g_mutex_lock (&lock);
  if (known == NULL)
    known = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  if (g_hash_table_lookup_extended (known, &shape, NULL, &value)) {
    self->usable = GPOINTER_TO_UINT (value);
  } else {
    for (base = 0; self->usable == 0 && base < TANDEM_LINEAR_N_BLOCKS; base++)
      self->usable = try_blocks (self, base, n_probes, ws);
    g_hash_table_insert (known, g_memdup2 (&shape, sizeof shape),
                         GUINT_TO_POINTER (self->usable));
  }
  g_mutex_unlock (&lock);
  if (self->usable == 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                 "oneDNN could not multiply by a matrix of %u x %u", self->n_in, self->n_out);
  return self->usable != 0;
}
