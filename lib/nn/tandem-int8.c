/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "nn/tandem-int8.h"

#include <string.h>

#include "nn/tandem-kernels.h"
#include "tensor/tandem-memory.h"

#ifdef TANDEM_HAVE_INT8
extern const TandemInt8Kernels tandem_int8_kernels_generic;
extern const TandemInt8Kernels tandem_int8_kernels_avx2;
extern const TandemInt8Kernels tandem_int8_kernels_avx512vnni;
#endif

/* Rows that are rounded, and then multiplied while they are in the first-level cache. */
#define ROWS 48

struct _TandemInt8Linear
{
  const TandemInt8Kernels *kernels;
  guint n_in;
  guint n_out;
  gpointer packed;
  float *scales;
  float *bias;
};

const TandemInt8Kernels *
tandem_int8_kernels_lookup (const char *name)
{
#ifdef TANDEM_HAVE_INT8
  if (strcmp (name, "avx512vnni") == 0 && tandem_kernels_lookup ("avx512") != NULL &&
      __builtin_cpu_supports ("avx512vnni"))
    return &tandem_int8_kernels_avx512vnni;
  if (strcmp (name, "avx2") == 0 && tandem_kernels_lookup ("avx2") != NULL)
    return &tandem_int8_kernels_avx2;
  if (strcmp (name, "generic") == 0)
    return &tandem_int8_kernels_generic;
#endif
  return NULL;
}

const TandemInt8Kernels *
tandem_int8_kernels_get (void)
{
  const char *isa = tandem_kernels_get ()->name;

  return tandem_int8_kernels_lookup (strcmp (isa, "avx512") == 0 ? "avx512vnni" : isa);
}

TandemInt8Linear *
tandem_int8_linear_new (const TandemInt8Kernels *kernels, const gint8 *weight,
                        const float *scales, const float *bias, guint n_in, guint n_out)
{
  TandemInt8Linear *self = g_new0 (TandemInt8Linear, 1);

  g_assert (n_in <= TANDEM_INT8_MAX_INPUTS);
  self->kernels = kernels;
  self->n_in = n_in;
  self->n_out = n_out;
  self->packed = tandem_memory_new (1, kernels->get_packed_size (n_in, n_out));
  kernels->pack (weight, n_in, n_out, self->packed);
  self->scales = g_memdup2 (scales, n_out * sizeof (float));
  self->bias = g_memdup2 (bias, n_out * sizeof (float));
  return self;
}

void
tandem_int8_linear_free (TandemInt8Linear *self)
{
  if (self == NULL)
    return;
  tandem_memory_free (self->packed);
  g_free (self->scales);
  g_free (self->bias);
  g_free (self);
}

gsize
tandem_int8_linear_get_scratch (const TandemInt8Linear *self)
{
  return ROWS * (self->kernels->get_row_size (self->n_in) + sizeof (float));
}

void
tandem_int8_linear_forward (const TandemInt8Linear *self, const float *x, gsize n_rows,
                            float *out, gpointer scratch)
{
  const TandemInt8Kernels *kernels = self->kernels;
  float *row_scales = scratch;
  gpointer rounded = row_scales + ROWS;

  while (n_rows > 0) {
    gsize n = MIN (n_rows, ROWS);

    kernels->round_rows (x, n, self->n_in, rounded, row_scales);
    kernels->multiply (rounded, row_scales, n, self->n_in, self->packed, self->scales, self->bias,
                       self->n_out, out);
    x += n * self->n_in;
    out += n * self->n_out;
    n_rows -= n;
  }
}
