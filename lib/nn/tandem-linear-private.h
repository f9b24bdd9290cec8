/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shared by the files of the linear layer alone. */
#pragma once

#include <dnnl.h>

#include "nn/tandem-int8.h"
#include "nn/tandem-linear.h"
#include "nn/tandem-sparse.h"

G_BEGIN_DECLS

/* oneDNN wants a primitive for each number of rows. Any number is a sum of
 * these; what is left below the smallest one over 1 is filled up with zeros. */
#define TANDEM_LINEAR_N_BLOCKS 5
extern const guint tandem_linear_block_rows[TANDEM_LINEAR_N_BLOCKS];

/* What all layers of one shape share; immutable. */
typedef struct
{
  guint64 shape;
  guint ref_count;              /* protected by the lock of the plans */
  dnnl_primitive_desc_t descs[TANDEM_LINEAR_N_BLOCKS];
  dnnl_primitive_t primitives[TANDEM_LINEAR_N_BLOCKS];
} TandemLinearPlan;

struct _TandemLinear
{
  guint n_in;
  guint n_out;
  TandemLinearPrecision precision;
  gpointer packed;
  dnnl_memory_t weight;
  dnnl_memory_t bias;
  float *bias_data;
  TandemLinearPlan *plan;
  TandemInt8Linear *int8;       /* does it all, where it is not NULL */
  TandemSparseLinear *sparse;   /* so does this */
  guint usable;                 /* bit i: block i agrees with the others */
};

/* A key for the shape of a layer. */
static inline guint64
tandem_linear_shape (guint n_in, guint n_out, TandemLinearPrecision precision)
{
  return ((guint64) precision << 62) | ((guint64) n_in << 31) | n_out;
}

/* The bits of blocks that give a row the same result wherever it stands. */
gboolean tandem_linear_find_usable_blocks (TandemLinear *linear, GError **error);

/* x and out: as many rows as the block has. */
gboolean tandem_linear_run_block (const TandemLinear *linear, guint block, const float *x,
                                  float *out, TandemLinearWorkspace *workspace, GError **error);

G_END_DECLS
