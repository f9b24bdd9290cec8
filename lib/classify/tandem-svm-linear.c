/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Linear machines, which liblinear finds. Tensors: svm.weight F32 [machines, features] and
 * svm.bias F32 [machines]; two classes have one machine, which is for class 1. */

#include "config.h"

#include <linear.h>

#include "tandem-svm-private.h"

/* Where the solver stops: the relative length of the gradient. */
#define TOLERANCE 0.01

/* Of a class that no row was of. */
#define NEVER (-1000.0f)

struct _TandemSvmLinear
{
  guint n_classes;
  guint n_machines;
  guint n_features;
  gboolean is_logistic;
  float *weights;               /* [n_machines, n_features] */
  float *biases;                /* [n_machines] */
};

static TandemSvmLinear *
make (const TandemSvmOptions *options, guint n_features, guint n_classes)
{
  TandemSvmLinear *self = g_new0 (TandemSvmLinear, 1);

  self->n_classes = n_classes;
  self->n_machines = n_classes == 2 ? 1 : n_classes;
  self->n_features = n_features;
  self->is_logistic = options->loss == TANDEM_NGRAM_LOGISTIC;
  return self;
}

void
tandem_svm_linear_free (TandemSvmLinear *self)
{
  g_free (self->weights);
  g_free (self->biases);
  g_free (self);
}

static void
be_quiet (const char *text)
{
}

/* Rows with a last feature for the bias; the nodes of all follow each other. */
static struct feature_node *
make_nodes (const TandemFeatureRows *rows, const guint *chosen, guint n_chosen,
            struct feature_node **starts)
{
  g_autofree guint32 *columns = g_new (guint32, MAX (rows->max_row, 1));
  g_autofree float *values = g_new (float, MAX (rows->max_row, 1));
  g_autofree gsize *offsets = g_new (gsize, n_chosen);
  GArray *nodes = g_array_new (FALSE, FALSE, sizeof (struct feature_node));
  struct feature_node *all;
  guint i, k, n;

  for (i = 0; i < n_chosen; i++) {
    offsets[i] = nodes->len;
    n = tandem_feature_rows_get (rows, chosen[i], columns, values);
    for (k = 0; k < n; k++) {
      struct feature_node node = { columns[k] + 1, values[k] };

      g_array_append_val (nodes, node);
    }
    g_array_append_vals (nodes, (struct feature_node[]) { { rows->features->n + 1, 1.0 },
                                                          { -1, 0.0 } }, 2);
  }
  all = (struct feature_node *) (gpointer) g_array_free (nodes, FALSE);
  for (i = 0; i < n_chosen; i++)
    starts[i] = all + offsets[i];
  return all;
}

/* Copies machine @from of the model; its weights are for the class that the first row has where
 * there are two. */
static void
copy_machine (TandemSvmLinear *self, const struct model *model, guint from, guint n_from,
              double sign, guint to)
{
  guint i;

  for (i = 0; i < self->n_features; i++)
    self->weights[(gsize) to * self->n_features + i] =
        (float) (sign * model->w[(gsize) i * n_from + from]);
  self->biases[to] = (float) (sign * model->w[(gsize) self->n_features * n_from + from]);
}

static void
take_model (TandemSvmLinear *self, const struct model *model)
{
  int i;

  self->weights = g_new0 (float, (gsize) self->n_machines * self->n_features);
  self->biases = g_new (float, self->n_machines);
  for (i = 0; i < (int) self->n_machines; i++)
    self->biases[i] = NEVER;
  if (self->n_machines == 1) {
    copy_machine (self, model, 0, 1, model->label[0] == 1 ? 1.0 : -1.0, 0);
  } else if (model->nr_class == 2) {
    copy_machine (self, model, 0, 1, 1.0, model->label[0]);
    copy_machine (self, model, 0, 1, -1.0, model->label[1]);
  } else {
    for (i = 0; i < model->nr_class; i++)
      copy_machine (self, model, i, model->nr_class, 1.0, model->label[i]);
  }
}

TandemSvmLinear *
tandem_svm_linear_fit (const TandemSvmOptions *options, const TandemFeatureRows *rows,
                       const guint *chosen, guint n_chosen, guint n_classes, GError **error)
{
  g_autofree struct feature_node **starts = g_new (struct feature_node *, n_chosen);
  g_autofree double *labels = g_new (double, n_chosen);
  const gint32 *all_labels = tandem_dataset_get_labels (rows->data);
  g_autofree struct feature_node *nodes = make_nodes (rows, chosen, n_chosen, starts);
  struct problem problem = { n_chosen, rows->features->n + 1, labels, starts, 1.0 };
  struct parameter parameter = {
    .solver_type = options->loss == TANDEM_NGRAM_LOGISTIC ? L2R_LR : L2R_L2LOSS_SVC,
    .eps = TOLERANCE, .C = options->cost
  };
  g_autoptr (TandemSvmLinear) self = make (options, rows->features->n, n_classes);
  struct model *model;
  const char *wrong;
  guint i;

  for (i = 0; i < n_chosen; i++)
    labels[i] = all_labels[chosen[i]];
  wrong = check_parameter (&problem, &parameter);
  if (wrong != NULL) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA, "liblinear: %s", wrong);
    return NULL;
  }
  set_print_string_function (be_quiet);
  model = train (&problem, &parameter);
  take_model (self, model);
  free_and_destroy_model (&model);
  return g_steal_pointer (&self);
}

void
tandem_svm_linear_score (const TandemSvmLinear *self, const TandemSvmRow *row, float *scores)
{
  guint i, k;

  for (i = 0; i < self->n_machines; i++) {
    const float *weights = self->weights + (gsize) i * self->n_features;
    double sum = self->biases[i];

    for (k = 0; k < row->n; k++)
      sum += (double) weights[row->columns[k]] * row->values[k];
    scores[i] = (float) sum;
  }
  if (self->n_machines == 1) {
    scores[1] = self->is_logistic ? scores[0] / 2.0f : scores[0];
    scores[0] = -scores[1];
  }
}

guint64
tandem_svm_linear_get_size (const TandemSvmLinear *self)
{
  return (guint64) self->n_machines * (self->n_features + 1) * sizeof (float);
}

double
tandem_svm_linear_get_cost (const TandemSvmLinear *self, guint n)
{
  return (double) self->n_machines * n;
}

gboolean
tandem_svm_linear_write (const TandemSvmLinear *self, GHashTable *tensors, GError **error)
{
  return tandem_classifier_put_tensor (tensors, "svm.weight", TANDEM_DTYPE_F32, self->n_machines,
                                       self->n_features, self->weights, error) &&
      tandem_classifier_put_tensor (tensors, "svm.bias", TANDEM_DTYPE_F32, 0, self->n_machines,
                                    self->biases, error);
}

TandemSvmLinear *
tandem_svm_linear_read (const TandemSvmOptions *options, TandemSafetensors *file,
                        guint n_features, guint n_classes, GError **error)
{
  g_autoptr (TandemSvmLinear) self = make (options, n_features, n_classes);

  self->weights = tandem_classifier_take_tensor (file, "svm.weight", TANDEM_DTYPE_F32,
                                                 (gsize) self->n_machines * n_features, NULL,
                                                 error);
  if (self->weights == NULL)
    return NULL;
  self->biases = tandem_classifier_take_tensor (file, "svm.bias", TANDEM_DTYPE_F32,
                                                self->n_machines, NULL, error);
  return self->biases != NULL ? g_steal_pointer (&self) : NULL;
}
