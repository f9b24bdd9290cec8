/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Linear layers on oneDNN: the one place that knows its API. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* What the products of a linear layer are computed from; sums are always
 * 32-bit floats. */
typedef enum
{
  TANDEM_LINEAR_F32,
  TANDEM_LINEAR_BF16,
} TandemLinearPrecision;

typedef struct _TandemLinear TandemLinear;

/* What one thread needs to run linear layers. */
typedef struct _TandemLinearWorkspace TandemLinearWorkspace;

/* Whether this processor has instructions for it. */
gboolean tandem_linear_supports (TandemLinearPrecision precision);

/* y = x W' + b. weight: [n_out, n_in] row-major, copied to the layout that the
 * machine likes best; bias: [n_out]. Where it gains, zeros are left out, as tandem-sparse.h says. */
TandemLinear *tandem_linear_new (const float *weight, const float *bias, guint n_in, guint n_out,
                                 TandemLinearPrecision precision, GError **error);

/* Whether layers of int8 are faster than those of floats on this processor, and exact for so many
 * inputs. */
gboolean tandem_linear_gains_by_int8 (guint n_in);

/* The same from int8 weights, where output j is to be multiplied by scales[j]; rows that come in
 * are rounded, too, as tandem-int8.h says. */
TandemLinear *tandem_linear_new_int8 (const gint8 *weight, const float *scales, const float *bias,
                                      guint n_in, guint n_out);

gboolean tandem_linear_is_int8 (const TandemLinear *linear);

/* Whether a float32 layer of @n weights, of which @n_kept are not zero, leaves zeros out. */
gboolean tandem_linear_gains_by_zeros (guint64 n_kept, guint64 n);

/* Whether it leaves zeros out. */
gboolean tandem_linear_is_sparse (const TandemLinear *linear);

void tandem_linear_free (TandemLinear *linear);

/* x: [n_rows, n_in]; out: [n_rows, n_out]. Each row of the result depends on
 * that row of x alone, to the bit. Several threads may run one layer, each with
 * its own workspace. */
gboolean tandem_linear_forward (const TandemLinear *linear, const float *x, gsize n_rows,
                                float *out, TandemLinearWorkspace *workspace, GError **error);

/* To be called in each thread before it runs a layer: oneDNN's teams of threads
 * collapse when another process has a core, so parallelism comes from stages
 * and workers instead. */
void tandem_linear_use_one_thread (void);

TandemLinearWorkspace *tandem_linear_workspace_new (GError **error);

void tandem_linear_workspace_free (TandemLinearWorkspace *workspace);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemLinear, tandem_linear_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemLinearWorkspace, tandem_linear_workspace_free)

G_END_DECLS
