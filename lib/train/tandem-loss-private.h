/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* tandem-loss.c: both set an error where there is something wrong, and return FALSE. */
gboolean tandem_loss_fail_row (const char *what, gsize row, GError **error);
gboolean tandem_loss_check_labels (const gint32 *labels, gsize n_rows, guint n_classes,
                                   GError **error);

/* tandem-loss-rows.c, compiled once for each instruction set. */
typedef struct
{
  /* The highest of n numbers, and with highest its index, the first of several; NaN when some
   * number is not finite. */
  float (*max) (const float *x, gsize n, gsize *highest);

  /* x = exp (x - max); returns the sum. */
  double (*exp) (float *x, gsize n, float max);
} TandemLossRows;

/* The table for an instruction set, named as in tandem-kernels.h, that this processor has. */
const TandemLossRows *tandem_loss_rows_lookup (const char *name);

G_END_DECLS
