/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-classifier.h"

G_BEGIN_DECLS

typedef enum
{
  TANDEM_SVM_LINEAR,            /* of liblinear, which takes any number of rows */
  TANDEM_SVM_RBF,               /* exp (-gamma |x - y|^2); this and the next: of libsvm, in time
                                 * that grows with the square of the rows */
  TANDEM_SVM_POLY,              /* (gamma x . y + coef0)^degree */
  TANDEM_SVM_SIGMOID,           /* tanh (gamma x . y + coef0) */
} TandemSvmKernel;

#define TANDEM_TYPE_SVM_KERNEL (tandem_svm_kernel_get_type ())

GType tandem_svm_kernel_get_type (void);

#define TANDEM_TYPE_SVM_CLASSIFIER (tandem_svm_classifier_get_type ())

/* A support vector machine over n-grams or standardised numbers. Linear: one against the rest
 * (Fan, Chang, Hsieh, Wang and Lin 2008, JMLR 9); others: one against one, and the class that
 * most of these machines are for, the sums of what they say deciding where several have as many
 * (Chang and Lin 2011, ACM TIST 2). Scores of two classes are what the machine says, with either
 * sign, or for logistic regression half of it. */
G_DECLARE_FINAL_TYPE (TandemSvmClassifier, tandem_svm_classifier, TANDEM, SVM_CLASSIFIER, GObject)

G_END_DECLS
