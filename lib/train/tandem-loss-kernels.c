/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <string.h>

#include "nn/tandem-kernels.h"
#include "tandem-loss-private.h"

extern const TandemLossRows tandem_loss_rows_generic;
#ifdef TANDEM_HAVE_X86
extern const TandemLossRows tandem_loss_rows_avx2;
extern const TandemLossRows tandem_loss_rows_avx512;
#endif

const TandemLossRows *
tandem_loss_rows_lookup (const char *name)
{
#ifdef TANDEM_HAVE_X86
  if (strcmp (name, "avx512") == 0)
    return &tandem_loss_rows_avx512;
  if (strcmp (name, "avx2") == 0)
    return &tandem_loss_rows_avx2;
#endif
  return &tandem_loss_rows_generic;
}
