/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-svm-classifier.h"

#include "tandem-enums.h"
#include "tandem-svm-private.h"

/* Rows between two looks at whether to go on. */
#define CHECK_ROWS 64

struct _TandemSvmClassifier
{
  GObject parent;

  TandemSvmOptions options;
  TandemFeatureOptions feature_options;

  guint n_classes;
  TandemFeatures *features;
  TandemSvmLinear *linear;      /* either this */
  TandemSvmKernels *kernels;    /* or that */

  TandemFeatureRows *rows;      /* of the data that was judged last */
  TandemSvmRow row;             /* room for one of them */
};

enum
{
  PROP_KERNEL = 1,
  PROP_LOSS,
  PROP_COST,
  PROP_GAMMA,
  PROP_COEF0,
  PROP_DEGREE,
  PROP_NGRAMS,
  PROP_MIN_TEXTS,
  PROP_MAX_FEATURES,
  PROP_WEIGHTING,
};

static void tandem_svm_classifier_interface_init (TandemClassifierInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TandemSvmClassifier, tandem_svm_classifier, G_TYPE_OBJECT,
  G_IMPLEMENT_INTERFACE (TANDEM_TYPE_CLASSIFIER, tandem_svm_classifier_interface_init))

G_DEFINE_ENUM_TYPE (TandemSvmKernel, tandem_svm_kernel,
  G_DEFINE_ENUM_VALUE (TANDEM_SVM_LINEAR, "linear"),
  G_DEFINE_ENUM_VALUE (TANDEM_SVM_RBF, "rbf"),
  G_DEFINE_ENUM_VALUE (TANDEM_SVM_POLY, "poly"),
  G_DEFINE_ENUM_VALUE (TANDEM_SVM_SIGMOID, "sigmoid"))

static void
close_rows (TandemSvmClassifier *self)
{
  g_clear_pointer (&self->rows, tandem_feature_rows_free);
  g_clear_pointer (&self->row.columns, g_free);
  g_clear_pointer (&self->row.values, g_free);
}

static void
forget (TandemSvmClassifier *self)
{
  close_rows (self);
  g_clear_pointer (&self->linear, tandem_svm_linear_free);
  g_clear_pointer (&self->kernels, tandem_svm_kernels_free);
  g_clear_pointer (&self->features, tandem_features_free);
  self->n_classes = 0;
}

static void
tandem_svm_classifier_finalize (GObject *object)
{
  forget (TANDEM_SVM_CLASSIFIER (object));
  G_OBJECT_CLASS (tandem_svm_classifier_parent_class)->finalize (object);
}

static void
tandem_svm_classifier_set_property (GObject *object, guint id, const GValue *value,
                                    GParamSpec *spec)
{
  TandemSvmClassifier *self = TANDEM_SVM_CLASSIFIER (object);

  switch (id) {
    case PROP_KERNEL:
      self->options.kernel = g_value_get_enum (value);
      break;
    case PROP_LOSS:
      self->options.loss = g_value_get_enum (value);
      break;
    case PROP_COST:
      self->options.cost = g_value_get_double (value);
      break;
    case PROP_GAMMA:
      self->options.gamma = g_value_get_double (value);
      break;
    case PROP_COEF0:
      self->options.coef0 = g_value_get_double (value);
      break;
    case PROP_DEGREE:
      self->options.degree = g_value_get_uint (value);
      break;
    case PROP_NGRAMS:
      self->feature_options.order = g_value_get_uint (value);
      break;
    case PROP_MIN_TEXTS:
      self->feature_options.min_texts = g_value_get_uint (value);
      break;
    case PROP_MAX_FEATURES:
      self->feature_options.max_features = g_value_get_uint (value);
      break;
    case PROP_WEIGHTING:
      self->feature_options.weighting = g_value_get_enum (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
      break;
  }
}

static void
tandem_svm_classifier_get_property (GObject *object, guint id, GValue *value, GParamSpec *spec)
{
  TandemSvmClassifier *self = TANDEM_SVM_CLASSIFIER (object);

  switch (id) {
    case PROP_KERNEL:
      g_value_set_enum (value, self->options.kernel);
      break;
    case PROP_LOSS:
      g_value_set_enum (value, self->options.loss);
      break;
    case PROP_COST:
      g_value_set_double (value, self->options.cost);
      break;
    case PROP_GAMMA:
      g_value_set_double (value, self->options.gamma);
      break;
    case PROP_COEF0:
      g_value_set_double (value, self->options.coef0);
      break;
    case PROP_DEGREE:
      g_value_set_uint (value, self->options.degree);
      break;
    case PROP_NGRAMS:
      g_value_set_uint (value, self->feature_options.order);
      break;
    case PROP_MIN_TEXTS:
      g_value_set_uint (value, self->feature_options.min_texts);
      break;
    case PROP_MAX_FEATURES:
      g_value_set_uint (value, self->feature_options.max_features);
      break;
    case PROP_WEIGHTING:
      g_value_set_enum (value, self->feature_options.weighting);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
      break;
  }
}

static void
tandem_svm_classifier_class_init (TandemSvmClassifierClass *klass)
{
  GObjectClass *object = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  object->finalize = tandem_svm_classifier_finalize;
  object->set_property = tandem_svm_classifier_set_property;
  object->get_property = tandem_svm_classifier_get_property;
  g_object_class_install_property (object, PROP_KERNEL, g_param_spec_enum (
    "kernel", NULL, "How two rows are compared", TANDEM_TYPE_SVM_KERNEL, TANDEM_SVM_LINEAR, flags));
  g_object_class_install_property (object, PROP_LOSS, g_param_spec_enum (
    "loss", NULL, "What a linear machine minimises", TANDEM_TYPE_NGRAM_LOSS,
    TANDEM_NGRAM_SQUARED_HINGE, flags));
  g_object_class_install_property (object, PROP_COST, g_param_spec_double (
    "cost", NULL, "How much a wrong row costs against large weights", 1e-9, 1e9, 1.0, flags));
  g_object_class_install_property (object, PROP_GAMMA, g_param_spec_double (
    "gamma", NULL, "Of a kernel; 0: 1 of texts, and of numbers one over those in a row", 0.0, 1e9,
    0.0, flags));
  g_object_class_install_property (object, PROP_COEF0, g_param_spec_double (
    "coef0", NULL, "Of the kernels poly and sigmoid", -1e9, 1e9, 0.0, flags));
  g_object_class_install_property (object, PROP_DEGREE, g_param_spec_uint (
    "degree", NULL, "Of the kernel poly", 1, 10, 3, flags));
  g_object_class_install_property (object, PROP_NGRAMS, g_param_spec_uint (
    "ngrams", NULL, "Words of the longest phrases", 1, TANDEM_NGRAM_MAX_ORDER, 3, flags));
  g_object_class_install_property (object, PROP_MIN_TEXTS, g_param_spec_uint (
    "min-texts", NULL, "Phrases that fewer texts have are left out", 1, G_MAXUINT, 2, flags));
  g_object_class_install_property (object, PROP_MAX_FEATURES, g_param_spec_uint (
    "max-features", NULL, "The most frequent phrases, so many; 0: all", 0, G_MAXINT32, 0, flags));
  g_object_class_install_property (object, PROP_WEIGHTING, g_param_spec_enum (
    "weighting", NULL, "What a phrase counts", TANDEM_TYPE_NGRAM_WEIGHTING, TANDEM_NGRAM_NB,
    flags));
}

static void
tandem_svm_classifier_init (TandemSvmClassifier *self)
{
}

static gboolean
open_rows (TandemSvmClassifier *self, TandemDataset *data, GCancellable *cancellable,
           GError **error)
{
  if (self->rows != NULL && self->rows->data == data)
    return TRUE;
  close_rows (self);
  self->rows = tandem_feature_rows_new (self->features, data, cancellable, error);
  if (self->rows == NULL)
    return FALSE;
  self->row.columns = g_new (guint32, MAX (self->rows->max_row, 1));
  self->row.values = g_new (float, MAX (self->rows->max_row, 1));
  return TRUE;
}

static gboolean
tandem_svm_classifier_fit (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                           guint n_rows, GCancellable *cancellable, GError **error)
{
  TandemSvmClassifier *self = TANDEM_SVM_CLASSIFIER (classifier);
  const guint n_classes = tandem_dataset_get_n_classes (data);

  forget (self);
  self->features = tandem_features_new (&self->feature_options, data, rows, n_rows, cancellable,
                                        error);
  if (self->features == NULL || !open_rows (self, data, cancellable, error) ||
      g_cancellable_set_error_if_cancelled (cancellable, error)) {
    forget (self);
    return FALSE;
  }
  if (self->options.kernel == TANDEM_SVM_LINEAR)
    self->linear = tandem_svm_linear_fit (&self->options, self->rows, rows, n_rows, n_classes,
                                          error);
  else
    self->kernels = tandem_svm_kernels_fit (&self->options, self->rows, rows, n_rows, n_classes,
                                            error);
  if (self->linear == NULL && self->kernels == NULL) {
    forget (self);
    return FALSE;
  }
  self->n_classes = n_classes;
  return TRUE;
}

static gboolean
tandem_svm_classifier_predict (TandemClassifier *classifier, TandemDataset *data,
                               const guint *rows, guint n_rows, float *scores,
                               GCancellable *cancellable, GError **error)
{
  TandemSvmClassifier *self = TANDEM_SVM_CLASSIFIER (classifier);
  guint i;

  if (!open_rows (self, data, cancellable, error))
    return FALSE;
  for (i = 0; i < n_rows; i++, scores += self->n_classes) {
    if (i % CHECK_ROWS == 0 && g_cancellable_set_error_if_cancelled (cancellable, error))
      return FALSE;
    self->row.n = tandem_feature_rows_get (self->rows, rows[i], self->row.columns,
                                           self->row.values);
    if (self->linear != NULL)
      tandem_svm_linear_score (self->linear, &self->row, scores);
    else
      tandem_svm_kernels_score (self->kernels, &self->row, scores);
  }
  return TRUE;
}

static guint
tandem_svm_classifier_get_n_classes (TandemClassifier *classifier)
{
  return TANDEM_SVM_CLASSIFIER (classifier)->n_classes;
}

static guint64
tandem_svm_classifier_get_size (TandemClassifier *classifier)
{
  TandemSvmClassifier *self = TANDEM_SVM_CLASSIFIER (classifier);

  if (self->features == NULL)
    return 0;
  return tandem_features_get_size (self->features) +
      (self->linear != NULL ? tandem_svm_linear_get_size (self->linear)
                            : tandem_svm_kernels_get_size (self->kernels));
}

static gboolean
tandem_svm_classifier_get_cost (TandemClassifier *classifier, TandemDataset *data,
                                const guint *rows, guint n_rows, double *cost, GError **error)
{
  TandemSvmClassifier *self = TANDEM_SVM_CLASSIFIER (classifier);
  guint i;

  *cost = 0.0;
  if (!open_rows (self, data, NULL, error))
    return FALSE;
  for (i = 0; i < n_rows; i++) {
    guint n = tandem_feature_rows_get (self->rows, rows[i], self->row.columns, self->row.values);

    *cost += (self->linear != NULL ? tandem_svm_linear_get_cost (self->linear, n)
                                   : tandem_svm_kernels_get_cost (self->kernels, n)) / n_rows;
  }
  return TRUE;
}

static gboolean
tandem_svm_classifier_write (TandemClassifier *classifier, GHashTable *tensors,
                             GHashTable *metadata, GError **error)
{
  TandemSvmClassifier *self = TANDEM_SVM_CLASSIFIER (classifier);

  return tandem_features_write (self->features, tensors, metadata, error) &&
      (self->linear != NULL ? tandem_svm_linear_write (self->linear, tensors, error)
                            : tandem_svm_kernels_write (self->kernels, tensors, error));
}

static gboolean
tandem_svm_classifier_read (TandemClassifier *classifier, TandemSafetensors *file, GError **error)
{
  TandemSvmClassifier *self = TANDEM_SVM_CLASSIFIER (classifier);
  guint64 n_classes;

  if (!tandem_classifier_take_number (file, "tandem.classes", 2, TANDEM_DATASET_MAX_CLASSES,
                                      &n_classes, error))
    return FALSE;
  self->features = tandem_features_read (file, error);
  if (self->features == NULL)
    return FALSE;
  if (self->options.kernel == TANDEM_SVM_LINEAR)
    self->linear = tandem_svm_linear_read (&self->options, file, self->features->n, n_classes,
                                           error);
  else
    self->kernels = tandem_svm_kernels_read (&self->options, file, self->features->n, n_classes,
                                             error);
  self->n_classes = n_classes;
  return self->linear != NULL || self->kernels != NULL;
}

static void
tandem_svm_classifier_interface_init (TandemClassifierInterface *iface)
{
  iface->fit = tandem_svm_classifier_fit;
  iface->predict = tandem_svm_classifier_predict;
  iface->get_n_classes = tandem_svm_classifier_get_n_classes;
  iface->get_size = tandem_svm_classifier_get_size;
  iface->get_cost = tandem_svm_classifier_get_cost;
  iface->write_tensors = tandem_svm_classifier_write;
  iface->read_tensors = tandem_svm_classifier_read;
}
