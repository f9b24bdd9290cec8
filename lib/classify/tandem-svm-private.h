/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The two solvers behind TandemSvmClassifier. */
#pragma once

#include "tandem-features.h"
#include "tandem-svm-classifier.h"

G_BEGIN_DECLS

typedef struct
{
  TandemSvmKernel kernel;
  TandemNgramLoss loss;         /* of the linear one */
  double cost;
  double gamma;
  double coef0;
  guint degree;
} TandemSvmOptions;

/* One row, as both libraries and prediction want it: ascending columns. */
typedef struct
{
  guint n;
  guint32 *columns;
  float *values;
} TandemSvmRow;

typedef struct _TandemSvmLinear TandemSvmLinear;
typedef struct _TandemSvmKernels TandemSvmKernels;

TandemSvmLinear *tandem_svm_linear_fit (const TandemSvmOptions *options,
                                        const TandemFeatureRows *rows, const guint *chosen,
                                        guint n_chosen, guint n_classes, GError **error);
void tandem_svm_linear_free (TandemSvmLinear *self);
void tandem_svm_linear_score (const TandemSvmLinear *self, const TandemSvmRow *row, float *scores);
guint64 tandem_svm_linear_get_size (const TandemSvmLinear *self);
double tandem_svm_linear_get_cost (const TandemSvmLinear *self, guint n);
gboolean tandem_svm_linear_write (const TandemSvmLinear *self, GHashTable *tensors,
                                  GError **error);
TandemSvmLinear *tandem_svm_linear_read (const TandemSvmOptions *options, TandemSafetensors *file,
                                         guint n_features, guint n_classes, GError **error);

TandemSvmKernels *tandem_svm_kernels_fit (const TandemSvmOptions *options,
                                          const TandemFeatureRows *rows, const guint *chosen,
                                          guint n_chosen, guint n_classes, GError **error);
void tandem_svm_kernels_free (TandemSvmKernels *self);
void tandem_svm_kernels_score (const TandemSvmKernels *self, const TandemSvmRow *row,
                               float *scores);
guint64 tandem_svm_kernels_get_size (const TandemSvmKernels *self);
double tandem_svm_kernels_get_cost (const TandemSvmKernels *self, guint n);
gboolean tandem_svm_kernels_write (const TandemSvmKernels *self, GHashTable *tensors,
                                   GError **error);
TandemSvmKernels *tandem_svm_kernels_read (const TandemSvmOptions *options,
                                           TandemSafetensors *file, guint n_features,
                                           guint n_classes, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemSvmLinear, tandem_svm_linear_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemSvmKernels, tandem_svm_kernels_free)

G_END_DECLS
