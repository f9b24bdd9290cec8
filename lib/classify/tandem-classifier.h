/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What learns to tell classes apart. What is to be tuned are GObject properties, whose specs say
 * their ranges; a classifier is of one thread at a time. */
#pragma once

#include "tandem-dataset.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_CLASSIFIER (tandem_classifier_get_type ())

G_DECLARE_INTERFACE (TandemClassifier, tandem_classifier, TANDEM, CLASSIFIER, GObject)

/* Where a loss is needed: p the softmax of a row's scores, y 1 for its class and else 0, C classes.
 *   cross-entropy: -log p[class];  mse: sum (p - y)^2 / C;  mse-cross-entropy: their sum */
typedef enum
{
  TANDEM_CLASSIFIER_CROSS_ENTROPY,
  TANDEM_CLASSIFIER_MSE,
  TANDEM_CLASSIFIER_MSE_CROSS_ENTROPY,
} TandemClassifierLoss;

#define TANDEM_TYPE_CLASSIFIER_LOSS (tandem_classifier_loss_get_type ())

GType tandem_classifier_loss_get_type (void);

/* Methods may assume what the functions below promise. */
struct _TandemClassifierInterface
{
  GTypeInterface parent;

  gboolean (*fit) (TandemClassifier *self, TandemDataset *data, const guint *rows, guint n_rows,
                   GCancellable *cancellable, GError **error);
  gboolean (*predict) (TandemClassifier *self, TandemDataset *data, const guint *rows,
                       guint n_rows, float *scores, GCancellable *cancellable, GError **error);
  guint (*get_n_classes) (TandemClassifier *self);
  guint64 (*get_size) (TandemClassifier *self);
  gboolean (*get_cost) (TandemClassifier *self, TandemDataset *data, const guint *rows,
                        guint n_rows, double *cost, GError **error);

  /* one file of tensors, whose keys are static ... */
  gboolean (*write_tensors) (TandemClassifier *self, GHashTable *tensors, GHashTable *metadata,
                             GError **error);
  gboolean (*read_tensors) (TandemClassifier *self, TandemSafetensors *file, GError **error);
  /* ... or a folder */
  gboolean (*save_folder) (TandemClassifier *self, const char *path, GCancellable *cancellable,
                           GError **error);

  /* NULL: the classifier is not a function of a vector */
  gboolean (*prepare) (TandemClassifier *self, TandemDataset *data, const guint *rows,
                       guint n_rows, GCancellable *cancellable, GError **error);
  gsize (*get_n_parameters) (TandemClassifier *self);
  float *(*get_parameters) (TandemClassifier *self);
  gboolean (*add_gradient) (TandemClassifier *self, TandemDataset *data, const guint *rows,
                            guint n_rows, double *loss, float *gradient, GError **error);
};

/* One of the kinds: TANDEM_CLASSIFY_ERROR_OPTION for others. */
TandemClassifier *tandem_classifier_new (const char *kind, GError **error);

/* The kinds, which NULL ends. */
const char *const *tandem_classifier_list_kinds (void);

/* Sets a property from text, as files and command lines have it. TANDEM_CLASSIFY_ERROR_OPTION,
 * with its range, where there is no such one or it does not take the value. */
gboolean tandem_classifier_set_option (TandemClassifier *self, const char *name, const char *text,
                                       GError **error);

/* Learns from @rows of @data, of which each is labelled, anew. The same data, properties and
 * seed give the same classifier on the same kind of processor. @cancellable is looked at between
 * steps; a solver of libsvm or liblinear runs to its end. */
gboolean tandem_classifier_fit (TandemClassifier *self, TandemDataset *data, const guint *rows,
                                guint n_rows, GCancellable *cancellable, GError **error);

/* scores: [n_rows, n_classes]; the class with the highest one is the judgement, and their softmax
 * stands for probabilities. */
gboolean tandem_classifier_predict (TandemClassifier *self, TandemDataset *data, const guint *rows,
                                    guint n_rows, float *scores, GCancellable *cancellable,
                                    GError **error);

/* 0 before it learned. */
guint tandem_classifier_get_n_classes (TandemClassifier *self);

/* Bytes of the model: weights, and what words or columns it has them for. */
guint64 tandem_classifier_get_size (TandemClassifier *self);

/* Multiplications with additions that judging a row takes, without finding its words: the mean
 * over @rows. */
gboolean tandem_classifier_get_cost (TandemClassifier *self, TandemDataset *data, const guint *rows,
                                     guint n_rows, double *cost, GError **error);

/* Writes a safetensors file, which replaces another when it is complete, or a folder; and reads it.
 * TANDEM_CLASSIFY_ERROR_FILE, or what tandem_safetensors_open() gives. */
gboolean tandem_classifier_save (TandemClassifier *self, const char *path,
                                 GCancellable *cancellable, GError **error);
TandemClassifier *tandem_classifier_load (const char *path, GCancellable *cancellable,
                                          GError **error);

/* Whether the rest is there: whether the classifier is a function of a vector of weights. */
gboolean tandem_classifier_has_parameters (TandemClassifier *self);

/* Chooses words or columns as fitting does, and random weights, and learns nothing more. */
gboolean tandem_classifier_prepare (TandemClassifier *self, TandemDataset *data, const guint *rows,
                                    guint n_rows, GCancellable *cancellable, GError **error);

gsize tandem_classifier_get_n_parameters (TandemClassifier *self);

/* (transfer none): all weights, [n_parameters], to be read and written. */
float *tandem_classifier_get_parameters (TandemClassifier *self);

/* The mean loss over @rows, without dropout, and unless @gradient is NULL its gradient,
 * [n_parameters], which is set. */
gboolean tandem_classifier_get_loss (TandemClassifier *self, TandemDataset *data, const guint *rows,
                                     guint n_rows, double *loss, float *gradient, GError **error);

/* For who implements it. */

/* The loss of one row, divided by @n; unless NULL, d_scores is set to its gradient. */
double tandem_classifier_loss_of_row (TandemClassifierLoss kind, const float *scores,
                                      guint n_classes, gint32 label, guint n, float *d_scores);

/* A copy of @data into a table of tensors. */
gboolean tandem_classifier_put_tensor (GHashTable *tensors, const char *name, TandemDtype dtype,
                                       gsize n_rows, gsize n, gconstpointer data, GError **error);

/* (transfer full): what a tensor of a file holds: @n numbers, or, where it is 0, 1 to 2^31 - 1,
 * of which n_read says how many (unless NULL); floats are finite. */
gpointer tandem_classifier_take_tensor (TandemSafetensors *file, const char *name,
                                        TandemDtype dtype, gsize n, gsize *n_read, GError **error);

/* A number of the metadata, from @least to @most. */
gboolean tandem_classifier_take_number (TandemSafetensors *file, const char *key, guint64 least,
                                        guint64 most, guint64 *number, GError **error);

/* Sets TANDEM_CLASSIFY_ERROR_FILE and returns FALSE. */
gboolean tandem_classifier_fail_file (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

G_END_DECLS
