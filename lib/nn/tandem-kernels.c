/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "nn/tandem-kernels.h"

#include <string.h>

extern const TandemKernels tandem_kernels_generic;
#ifdef TANDEM_HAVE_X86
extern const TandemKernels tandem_kernels_avx2;
extern const TandemKernels tandem_kernels_avx512;
#endif

/* The widest register block of any table: its columns, and rows of padding. */
#define MAX_BLOCK_COLUMNS 32
#define MAX_BLOCK_ROWS 12

const TandemKernels *
tandem_kernels_lookup (const char *name)
{
#ifdef TANDEM_HAVE_X86
  if (strcmp (name, "avx512") == 0 && __builtin_cpu_supports ("avx512f") &&
      __builtin_cpu_supports ("avx512bw") && __builtin_cpu_supports ("avx512vl") &&
      __builtin_cpu_supports ("avx512dq"))
    return &tandem_kernels_avx512;
  /* Every processor with AVX2 and FMA has F16C too. */
  if (strcmp (name, "avx2") == 0 && __builtin_cpu_supports ("avx2") &&
      __builtin_cpu_supports ("fma"))
    return &tandem_kernels_avx2;
#endif
  if (strcmp (name, "generic") == 0)
    return &tandem_kernels_generic;
  return NULL;
}

const TandemKernels *
tandem_kernels_get (void)
{
  static const char *const names[] = { "avx512", "avx2", "generic" };
  static gsize chosen = 0;

  if (g_once_init_enter (&chosen)) {
    const char *wanted = g_getenv ("TANDEM_ISA");
    const TandemKernels *kernels = wanted != NULL ? tandem_kernels_lookup (wanted) : NULL;
    guint i;

    if (wanted != NULL && kernels == NULL)
      g_warning ("TANDEM_ISA=%s is not to be had on this processor", wanted);
    for (i = 0; kernels == NULL; i++)
      kernels = tandem_kernels_lookup (names[i]);
    g_once_init_leave (&chosen, (gsize) kernels);
  }
  return (const TandemKernels *) chosen;
}

static gsize
round_up (gsize n, gsize multiple)
{
  return (n + multiple - 1) / multiple * multiple;
}

gsize
tandem_attention_scratch (guint max_length, guint head_size)
{
  gsize keys = round_up (max_length, MAX_BLOCK_COLUMNS);
  gsize columns = round_up (head_size, MAX_BLOCK_COLUMNS);

  /* Packed keys and values, the scores of a block of rows, a padded block of
   * queries and one of outputs. */
  return keys * head_size + columns * max_length + MAX_BLOCK_ROWS * keys +
      MAX_BLOCK_ROWS * head_size + MAX_BLOCK_ROWS * MAX_BLOCK_COLUMNS;
}

gsize
tandem_first_row_attention_scratch (guint max_length, guint width, guint n_heads)
{
  return (gsize) n_heads * round_up (max_length, MAX_BLOCK_COLUMNS) + 2 * (gsize) width;
}
