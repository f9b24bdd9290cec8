/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Machines with kernels, which libsvm finds and runs. Tensors, of s support vectors, k classes
 * that rows were of, and k (k - 1) / 2 machines: svm.offsets I64 [s + 1], svm.columns I32,
 * svm.values F64, the support vectors; svm.coefficients F64 [k - 1, s]; svm.rho F64 [machines];
 * svm.labels and svm.counts I32 [k]; svm.gamma F64 [1]. */

#include "config.h"

#include <libsvm/svm.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tandem-svm-private.h"

#define TOLERANCE 0.001
#define CACHE_MEGABYTES 100.0

/* Of a class that no row was of. */
#define NEVER (-1000.0f)

struct _TandemSvmKernels
{
  guint n_classes;
  struct svm_model model;       /* its arrays are the next ones */
  struct svm_node *nodes;
  struct svm_node **vectors;    /* [model.l] */
  double *coefficients;         /* [model.nr_class - 1, model.l] */
  double **coefficient_rows;
  double *rho;
  int *labels;
  int *counts;
  gsize n_nodes;                /* without those that end a vector */
};

void
tandem_svm_kernels_free (TandemSvmKernels *self)
{
  g_free (self->nodes);
  g_free (self->vectors);
  g_free (self->coefficients);
  g_free (self->coefficient_rows);
  g_free (self->rho);
  g_free (self->labels);
  g_free (self->counts);
  g_free (self);
}

static struct svm_parameter
make_parameter (const TandemSvmOptions *options, double gamma)
{
  static const int kernels[] = { LINEAR, RBF, POLY, SIGMOID };

  return (struct svm_parameter) {
    .svm_type = C_SVC, .kernel_type = kernels[options->kernel], .degree = (int) options->degree,
    .gamma = gamma, .coef0 = options->coef0, .cache_size = CACHE_MEGABYTES, .eps = TOLERANCE,
    .C = options->cost, .shrinking = 1
  };
}

static void
be_quiet (const char *text)
{
}

static struct svm_node *
make_nodes (const TandemFeatureRows *rows, const guint *chosen, guint n_chosen,
            struct svm_node **starts)
{
  g_autofree guint32 *columns = g_new (guint32, MAX (rows->max_row, 1));
  g_autofree float *values = g_new (float, MAX (rows->max_row, 1));
  g_autofree gsize *offsets = g_new (gsize, n_chosen);
  GArray *nodes = g_array_new (FALSE, FALSE, sizeof (struct svm_node));
  const struct svm_node end = { -1, 0.0 };
  struct svm_node *all;
  guint i, k, n;

  for (i = 0; i < n_chosen; i++) {
    offsets[i] = nodes->len;
    n = tandem_feature_rows_get (rows, chosen[i], columns, values);
    for (k = 0; k < n; k++) {
      struct svm_node node = { (int) columns[k] + 1, values[k] };

      g_array_append_val (nodes, node);
    }
    g_array_append_val (nodes, end);
  }
  all = (struct svm_node *) (gpointer) g_array_free (nodes, FALSE);
  for (i = 0; i < n_chosen; i++)
    starts[i] = all + offsets[i];
  return all;
}

static guint
get_length (const struct svm_node *vector)
{
  guint n = 0;

  while (vector[n].index != -1)
    n++;
  return n;
}

/* Points the model to the arrays, which are there. */
static void
connect_arrays (TandemSvmKernels *self)
{
  struct svm_model *model = &self->model;
  int i;

  self->coefficient_rows = g_new (double *, model->nr_class - 1);
  for (i = 0; i < model->nr_class - 1; i++)
    self->coefficient_rows[i] = self->coefficients + (gsize) i * model->l;
  model->SV = self->vectors;
  model->sv_coef = self->coefficient_rows;
  model->rho = self->rho;
  model->label = self->labels;
  model->nSV = self->counts;
}

static TandemSvmKernels *
copy_model (const struct svm_model *from, guint n_classes)
{
  TandemSvmKernels *self = g_new0 (TandemSvmKernels, 1);
  const gsize l = from->l, k = from->nr_class;
  struct svm_node *next;
  gsize i;

  self->n_classes = n_classes;
  self->model = (struct svm_model) { .param = from->param, .nr_class = from->nr_class,
                                     .l = from->l };
  for (i = 0; i < l; i++)
    self->n_nodes += get_length (from->SV[i]);
  self->nodes = next = g_new (struct svm_node, self->n_nodes + l);
  self->vectors = g_new (struct svm_node *, l);
  self->coefficients = g_new (double, (k - 1) * l);
  for (i = 0; i < l; i++) {
    guint n = get_length (from->SV[i]) + 1;

    memcpy (next, from->SV[i], n * sizeof *next);
    self->vectors[i] = next;
    next += n;
  }
  for (i = 0; i < k - 1; i++)
    memcpy (self->coefficients + i * l, from->sv_coef[i], l * sizeof (double));
  self->rho = g_memdup2 (from->rho, k * (k - 1) / 2 * sizeof (double));
  self->labels = g_memdup2 (from->label, k * sizeof (int));
  self->counts = g_memdup2 (from->nSV, k * sizeof (int));
  connect_arrays (self);
  return self;
}

TandemSvmKernels *
tandem_svm_kernels_fit (const TandemSvmOptions *options, const TandemFeatureRows *rows,
                        const guint *chosen, guint n_chosen, guint n_classes, GError **error)
{
  g_autofree struct svm_node **starts = g_new (struct svm_node *, n_chosen);
  g_autofree double *labels = g_new (double, n_chosen);
  const gint32 *all_labels = tandem_dataset_get_labels (rows->data);
  g_autofree struct svm_node *nodes = make_nodes (rows, chosen, n_chosen, starts);
  struct svm_problem problem = { (int) n_chosen, labels, starts };
  double gamma = options->gamma > 0.0 ? options->gamma
                                      : rows->features->is_text ? 1.0 : 1.0 / rows->features->n;
  struct svm_parameter parameter = make_parameter (options, gamma);
  TandemSvmKernels *self;
  struct svm_model *model;
  const char *wrong;
  guint i;

  for (i = 0; i < n_chosen; i++)
    labels[i] = all_labels[chosen[i]];
  wrong = svm_check_parameter (&problem, &parameter);
  if (wrong != NULL) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA, "libsvm: %s", wrong);
    return NULL;
  }
  svm_set_print_string_function (be_quiet);
  model = svm_train (&problem, &parameter);
  self = copy_model (model, n_classes);
  svm_free_and_destroy_model (&model);
  return self;
}

/* Of many machines, each of two classes, what a class gets: a vote for each that is for it, and
 * less than half a vote for how much they are. */
static void
count_votes (const TandemSvmKernels *self, const double *decisions, float *scores)
{
  const int k = self->model.nr_class;
  g_autofree double *sums = g_new0 (double, k);
  int i, j, at = 0;

  for (i = 0; i < k; i++)
    scores[self->labels[i]] = 0.0f;
  for (i = 0; i < k; i++)
    for (j = i + 1; j < k; j++, at++) {
      scores[self->labels[decisions[at] > 0.0 ? i : j]] += 1.0f;
      sums[i] += decisions[at];
      sums[j] -= decisions[at];
    }
  for (i = 0; i < k; i++)
    scores[self->labels[i]] += (float) (sums[i] / (3.0 * (fabs (sums[i]) + 1.0)));
}

void
tandem_svm_kernels_score (const TandemSvmKernels *self, const TandemSvmRow *row, float *scores)
{
  const int k = self->model.nr_class;
  g_autofree struct svm_node *nodes = g_new (struct svm_node, row->n + 1);
  g_autofree double *decisions = g_new (double, k * (k - 1) / 2);
  guint i;

  for (i = 0; i < row->n; i++)
    nodes[i] = (struct svm_node) { (int) row->columns[i] + 1, row->values[i] };
  nodes[i] = (struct svm_node) { -1, 0.0 };
  for (i = 0; i < self->n_classes; i++)
    scores[i] = NEVER;
  svm_predict_values (&self->model, nodes, decisions);
  if (k == 2) {
    scores[self->labels[0]] = (float) decisions[0];
    scores[self->labels[1]] = (float) -decisions[0];
  } else {
    count_votes (self, decisions, scores);
  }
}

guint64
tandem_svm_kernels_get_size (const TandemSvmKernels *self)
{
  const guint64 k = self->model.nr_class, l = self->model.l;

  return self->n_nodes * (sizeof (gint32) + sizeof (double)) +
      (l + 1) * sizeof (gint64) + ((k - 1) * l + k * (k - 1) / 2) * sizeof (double) +
      2 * k * sizeof (gint32);
}

double
tandem_svm_kernels_get_cost (const TandemSvmKernels *self, guint n)
{
  return (double) self->n_nodes + (double) (self->model.nr_class - 1) * self->model.l;
}

gboolean
tandem_svm_kernels_write (const TandemSvmKernels *self, GHashTable *tensors, GError **error)
{
  const gsize l = self->model.l, k = self->model.nr_class, n = self->n_nodes;
  g_autofree gint64 *offsets = g_new (gint64, l + 1);
  g_autofree gint32 *columns = g_new (gint32, MAX (n, 1));
  g_autofree double *values = g_new (double, MAX (n, 1));
  gsize i, at = 0;
  guint j;

  for (i = 0; i < l; i++) {
    offsets[i] = at;
    for (j = 0; self->vectors[i][j].index != -1; j++, at++) {
      columns[at] = self->vectors[i][j].index - 1;
      values[at] = self->vectors[i][j].value;
    }
  }
  offsets[l] = at;
  return tandem_classifier_put_tensor (tensors, "svm.offsets", TANDEM_DTYPE_I64, 0, l + 1, offsets,
                                       error) &&
      tandem_classifier_put_tensor (tensors, "svm.columns", TANDEM_DTYPE_I32, 0, n, columns,
                                    error) &&
      tandem_classifier_put_tensor (tensors, "svm.values", TANDEM_DTYPE_F64, 0, n, values, error) &&
      tandem_classifier_put_tensor (tensors, "svm.coefficients", TANDEM_DTYPE_F64, k - 1, l,
                                    self->coefficients, error) &&
      tandem_classifier_put_tensor (tensors, "svm.rho", TANDEM_DTYPE_F64, 0, k * (k - 1) / 2,
                                    self->rho, error) &&
      tandem_classifier_put_tensor (tensors, "svm.labels", TANDEM_DTYPE_I32, 0, k, self->labels,
                                    error) &&
      tandem_classifier_put_tensor (tensors, "svm.counts", TANDEM_DTYPE_I32, 0, k, self->counts,
                                    error) &&
      tandem_classifier_put_tensor (tensors, "svm.gamma", TANDEM_DTYPE_F64, 0, 1,
                                    &self->model.param.gamma, error);
}

/* Labels are different classes, and counts add up to all vectors. */
static gboolean
check_classes (TandemSvmKernels *self, GError **error)
{
  g_autofree guint8 *is_known = g_malloc0 (self->n_classes);
  gint64 sum = 0;
  int i;

  for (i = 0; i < self->model.nr_class; i++) {
    if (self->labels[i] < 0 || self->labels[i] >= (int) self->n_classes ||
        is_known[self->labels[i]]++ || self->counts[i] < 0)
      return tandem_classifier_fail_file (error, "the tensor \"svm.labels\" holds no classes");
    sum += self->counts[i];
  }
  return sum == self->model.l ||
      tandem_classifier_fail_file (error, "%d support vectors, of which the classes have %"
                                   G_GINT64_FORMAT, self->model.l, sum);
}

static gboolean
take_vectors (TandemSvmKernels *self, const gint64 *offsets, const gint32 *columns,
              const double *values, guint n_features, GError **error)
{
  const gsize l = self->model.l;
  gsize i, n = 0;
  gint64 k;

  self->nodes = g_new (struct svm_node, self->n_nodes + l);
  self->vectors = g_new (struct svm_node *, l);
  for (i = 0; i < l; i++) {
    self->vectors[i] = self->nodes + n;
    if (offsets[i] < 0 || offsets[i + 1] < offsets[i] ||
        offsets[i + 1] > (gint64) self->n_nodes)
      return tandem_classifier_fail_file (error, "the tensor \"svm.offsets\" is not in order");
    for (k = offsets[i]; k < offsets[i + 1]; k++) {
      if (columns[k] < 0 || columns[k] >= (gint64) n_features ||
          (k > offsets[i] && columns[k] <= columns[k - 1]))
        return tandem_classifier_fail_file (error, "the tensor \"svm.columns\" is not in order");
      self->nodes[n++] = (struct svm_node) { columns[k] + 1, values[k] };
    }
    self->nodes[n++] = (struct svm_node) { -1, 0.0 };
  }
  return (offsets[0] == 0 && offsets[l] == (gint64) self->n_nodes) ||
      tandem_classifier_fail_file (error, "the tensor \"svm.offsets\" is not in order");
}

TandemSvmKernels *
tandem_svm_kernels_read (const TandemSvmOptions *options, TandemSafetensors *file,
                         guint n_features, guint n_classes, GError **error)
{
  g_autoptr (TandemSvmKernels) self = g_new0 (TandemSvmKernels, 1);
  g_autofree gint64 *offsets = NULL;
  g_autofree gint32 *columns = NULL;
  g_autofree double *values = NULL, *gamma = NULL;
  gsize n_offsets, k, l;

  self->n_classes = n_classes;
  offsets = tandem_classifier_take_tensor (file, "svm.offsets", TANDEM_DTYPE_I64, 0, &n_offsets,
                                           error);
  if (offsets == NULL)
    return NULL;
  columns = tandem_classifier_take_tensor (file, "svm.columns", TANDEM_DTYPE_I32, 0,
                                           &self->n_nodes, error);
  if (columns == NULL)
    return NULL;
  values = tandem_classifier_take_tensor (file, "svm.values", TANDEM_DTYPE_F64, self->n_nodes, NULL,
                                          error);
  gamma = tandem_classifier_take_tensor (file, "svm.gamma", TANDEM_DTYPE_F64, 1, NULL,
                                         values != NULL ? error : NULL);
  if (values == NULL || gamma == NULL)
    return NULL;
  self->labels = tandem_classifier_take_tensor (file, "svm.labels", TANDEM_DTYPE_I32, 0, &k, error);
  if (self->labels == NULL)
    return NULL;
  l = n_offsets - 1;
  if (k < 2 || k > n_classes || l < 1) {
    tandem_classifier_fail_file (error, "%" G_GSIZE_FORMAT " classes and %" G_GSIZE_FORMAT
                                 " support vectors", k, l);
    return NULL;
  }
  self->model = (struct svm_model) { .param = make_parameter (options, *gamma),
                                     .nr_class = (int) k, .l = (int) l };
  self->counts = tandem_classifier_take_tensor (file, "svm.counts", TANDEM_DTYPE_I32, k, NULL,
                                                error);
  if (self->counts == NULL || !check_classes (self, error))
    return NULL;
  self->coefficients = tandem_classifier_take_tensor (file, "svm.coefficients", TANDEM_DTYPE_F64,
                                                      (k - 1) * l, NULL, error);
  if (self->coefficients == NULL)
    return NULL;
  self->rho = tandem_classifier_take_tensor (file, "svm.rho", TANDEM_DTYPE_F64, k * (k - 1) / 2,
                                             NULL, error);
  if (self->rho == NULL || !take_vectors (self, offsets, columns, values, n_features, error))
    return NULL;
  connect_arrays (self);
  return g_steal_pointer (&self);
}
