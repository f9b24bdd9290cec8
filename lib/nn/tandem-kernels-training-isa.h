/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shared by the files of training that are compiled once for each instruction set. */
#pragma once

#include "nn/tandem-kernels-isa.h"
#include "nn/tandem-kernels-training.h"
#include "nn/tandem-simd-rows.h"

void KERNEL (gelu_erf) (const float *x, gsize n, float *out);
void KERNEL (gelu_tanh) (const float *x, gsize n, float *out);
void KERNEL (relu) (const float *x, gsize n, float *out);
void KERNEL (tanh) (const float *x, gsize n, float *out);

void KERNEL (gelu_erf_backward) (const float *x, const float *d_y, gsize n, float *d_x);
void KERNEL (gelu_tanh_backward) (const float *x, const float *d_y, gsize n, float *d_x);
void KERNEL (relu_backward) (const float *x, const float *d_y, gsize n, float *d_x);
void KERNEL (tanh_backward) (const float *x, const float *d_y, gsize n, float *d_x);

void KERNEL (add) (const float *x, gsize n, float *y);
void KERNEL (scale) (float s, gsize n, float *y);
double KERNEL (add_squares) (const float *x, gsize n, double sum);
void KERNEL (adamw) (const TandemAdamWStep *step, gsize n, const float *gradient, float *m,
                     float *v, float *weight);
