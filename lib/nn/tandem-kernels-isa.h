/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For the files that are compiled once for each instruction set: TANDEM_ISA is
 * its name, and KERNEL (f) the name of f in that set. */
#pragma once

#include "nn/tandem-kernels.h"
#include "nn/tandem-simd.h"

#define KERNEL_PASTE(name, isa) tandem_##name##_##isa
#define KERNEL_EXPAND(name, isa) KERNEL_PASTE (name, isa)
#define KERNEL(name) KERNEL_EXPAND (name, TANDEM_ISA)
#define KERNEL_STRING_(isa) #isa
#define KERNEL_STRING(isa) KERNEL_STRING_ (isa)

void KERNEL (attention) (const float *query, const float *key, const float *value, gsize stride,
                         guint length, guint n_heads, guint head_size, float *out,
                         float *scratch);
void KERNEL (first_row_attention) (const float *x, guint length, guint width, guint n_heads,
                                   guint head_size, const float *query, const float *key,
                                   const float *value, const float *value_bias, float *out,
                                   float *scratch);

extern const TandemKernels KERNEL (kernels);
extern const TandemTrainingKernels KERNEL (training_kernels);
