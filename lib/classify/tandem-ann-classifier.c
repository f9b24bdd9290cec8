/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-ann-classifier.h"

#include <math.h>
#include <string.h>

#include "tandem-enums.h"
#include "tandem-features.h"

#define MAX_UNITS 4096
#define MAX_LAYERS 3

/* Of the first weights of texts, whose vectors have length 1. */
#define TEXT_DEVIATION 0.1

struct _TandemAnnClassifier
{
  TandemNetwork parent;

  guint hidden[2];              /* 0: no such layer */
  TandemFeatureOptions options;

  /* what it was made with, whatever the properties say now */
  guint n_layers;
  guint widths[MAX_LAYERS];
  TandemFeatures *features;
  TandemFeatureRows *rows;      /* of the data that is open */

  /* the forward pass: inputs of all rows, and of each layer what goes into its units and what
   * comes out of them: [n_rows, units]; the last layer has the scores in units_in */
  GArray *columns;              /* guint32 */
  GArray *values;               /* float */
  GArray *offsets;              /* guint */
  guint n_rows;
  guint64 step;
  float *units_in[MAX_LAYERS];
  float *units_out[MAX_LAYERS];
  gsize capacity;               /* rows that these have room for */
};

enum
{
  PROP_HIDDEN_1 = 1,
  PROP_HIDDEN_2,
  PROP_NGRAMS,
  PROP_MIN_TEXTS,
  PROP_MAX_FEATURES,
  PROP_WEIGHTING,
};

G_DEFINE_FINAL_TYPE (TandemAnnClassifier, tandem_ann_classifier, TANDEM_TYPE_NETWORK)

static const char *const weight_names[] = { "input.weight", "layer-2.weight", "layer-3.weight" };
static const char *const bias_names[] = { "input.bias", "layer-2.bias", "layer-3.bias" };

static void
free_units (TandemAnnClassifier *self)
{
  guint i;

  for (i = 0; i < MAX_LAYERS; i++) {
    g_clear_pointer (&self->units_in[i], g_free);
    g_clear_pointer (&self->units_out[i], g_free);
  }
  self->capacity = 0;
}

static void
tandem_ann_classifier_finalize (GObject *object)
{
  TandemAnnClassifier *self = TANDEM_ANN_CLASSIFIER (object);

  free_units (self);
  g_clear_pointer (&self->rows, tandem_feature_rows_free);
  g_clear_pointer (&self->features, tandem_features_free);
  g_array_unref (self->columns);
  g_array_unref (self->values);
  g_array_unref (self->offsets);
  G_OBJECT_CLASS (tandem_ann_classifier_parent_class)->finalize (object);
}

static void
tandem_ann_classifier_set_property (GObject *object, guint id, const GValue *value,
                                    GParamSpec *spec)
{
  TandemAnnClassifier *self = TANDEM_ANN_CLASSIFIER (object);

  switch (id) {
    case PROP_HIDDEN_1:
    case PROP_HIDDEN_2:
      self->hidden[id - PROP_HIDDEN_1] = g_value_get_uint (value);
      break;
    case PROP_NGRAMS:
      self->options.order = g_value_get_uint (value);
      break;
    case PROP_MIN_TEXTS:
      self->options.min_texts = g_value_get_uint (value);
      break;
    case PROP_MAX_FEATURES:
      self->options.max_features = g_value_get_uint (value);
      break;
    case PROP_WEIGHTING:
      self->options.weighting = g_value_get_enum (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
      break;
  }
}

static void
tandem_ann_classifier_get_property (GObject *object, guint id, GValue *value, GParamSpec *spec)
{
  TandemAnnClassifier *self = TANDEM_ANN_CLASSIFIER (object);

  switch (id) {
    case PROP_HIDDEN_1:
    case PROP_HIDDEN_2:
      g_value_set_uint (value, self->hidden[id - PROP_HIDDEN_1]);
      break;
    case PROP_NGRAMS:
      g_value_set_uint (value, self->options.order);
      break;
    case PROP_MIN_TEXTS:
      g_value_set_uint (value, self->options.min_texts);
      break;
    case PROP_MAX_FEATURES:
      g_value_set_uint (value, self->options.max_features);
      break;
    case PROP_WEIGHTING:
      g_value_set_enum (value, self->options.weighting);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
      break;
  }
}

static gboolean
tandem_ann_classifier_choose (TandemNetwork *network, TandemDataset *data, const guint *rows,
                              guint n_rows, GCancellable *cancellable, GError **error)
{
  TandemAnnClassifier *self = TANDEM_ANN_CLASSIFIER (network);

  g_clear_pointer (&self->rows, tandem_feature_rows_free);
  g_clear_pointer (&self->features, tandem_features_free);
  self->features = tandem_features_new (&self->options, data, rows, n_rows, cancellable, error);
  return self->features != NULL;
}

static void
tandem_ann_classifier_add_blocks (TandemNetwork *network, guint n_classes)
{
  TandemAnnClassifier *self = TANDEM_ANN_CLASSIFIER (network);
  guint n_in = self->features->n, i;

  free_units (self);
  self->n_layers = 0;
  for (i = 0; i < G_N_ELEMENTS (self->hidden) && self->hidden[i] > 0; i++)
    self->widths[self->n_layers++] = self->hidden[i];
  self->widths[self->n_layers++] = n_classes;
  for (i = 0; i < self->n_layers; i++) {
    guint n_out = self->widths[i];
    /* He et al. 2015, equation 10. */
    double deviation = i == 0 && self->features->is_text ? TEXT_DEVIATION : sqrt (2.0 / n_in);

    if (i == 0)
      tandem_network_add_block (network, weight_names[i], n_in, n_out, deviation);
    else
      tandem_network_add_block (network, weight_names[i], n_out, n_in, deviation);
    tandem_network_add_block (network, bias_names[i], 0, n_out, 0.0);
    n_in = n_out;
  }
}

static gboolean
tandem_ann_classifier_open (TandemNetwork *network, TandemDataset *data, GCancellable *cancellable,
                            GError **error)
{
  TandemAnnClassifier *self = TANDEM_ANN_CLASSIFIER (network);

  g_clear_pointer (&self->rows, tandem_feature_rows_free);
  self->rows = tandem_feature_rows_new (self->features, data, cancellable, error);
  return self->rows != NULL;
}

static void
need_room (TandemAnnClassifier *self, guint n_rows)
{
  guint i;

  if (n_rows <= self->capacity)
    return;
  free_units (self);
  for (i = 0; i < self->n_layers; i++) {
    self->units_in[i] = g_new (float, (gsize) n_rows * self->widths[i]);
    self->units_out[i] = g_new (float, (gsize) n_rows * self->widths[i]);
  }
  self->capacity = n_rows;
}

/* The inputs of all rows, without those that are dropped. */
static void
collect_inputs (TandemAnnClassifier *self, const guint *rows, guint n_rows, guint64 step)
{
  TandemNetwork *network = TANDEM_NETWORK (self);
  const float scale = tandem_network_get_input_scale (network, step);
  guint n = 0, i, k, n_row, end;

  g_array_set_size (self->offsets, n_rows + 1);
  g_array_index (self->offsets, guint, 0) = 0;
  for (i = 0; i < n_rows; i++) {
    guint32 *columns;
    float *values;

    g_array_set_size (self->columns, n + self->rows->max_row);
    g_array_set_size (self->values, n + self->rows->max_row);
    columns = &g_array_index (self->columns, guint32, n);
    values = &g_array_index (self->values, float, n);
    n_row = tandem_feature_rows_get (self->rows, rows[i], columns, values);
    for (k = 0, end = 0; k < n_row; k++) {
      if (tandem_network_drops_input (network, step, i, columns[k]))
        continue;
      columns[end] = columns[k];
      values[end++] = values[k] * scale;
    }
    n += end;
    g_array_index (self->offsets, guint, i + 1) = n;
  }
}

/* out[i, :] = bias + the rows of the table of its inputs, each by its value. */
static void
sum_inputs (TandemAnnClassifier *self, guint n_rows, guint width, float *out)
{
  const float *table = tandem_network_get_weights (TANDEM_NETWORK (self), 0);
  const float *bias = tandem_network_get_weights (TANDEM_NETWORK (self), 1);
  guint i, k, u;

  for (i = 0; i < n_rows; i++, out += width) {
    const guint end = g_array_index (self->offsets, guint, i + 1);

    memcpy (out, bias, width * sizeof (float));
    for (k = g_array_index (self->offsets, guint, i); k < end; k++) {
      const float *row = table + (gsize) g_array_index (self->columns, guint32, k) * width;
      const float value = g_array_index (self->values, float, k);

      for (u = 0; u < width; u++)
        out[u] += value * row[u];
    }
  }
}

static gboolean
tandem_ann_classifier_forward (TandemNetwork *network, const guint *rows, guint n_rows,
                               guint64 step, float *scores, GError **error)
{
  TandemAnnClassifier *self = TANDEM_ANN_CLASSIFIER (network);
  const guint n_layers = self->n_layers;
  guint i, width = self->widths[0];

  need_room (self, n_rows);
  self->n_rows = n_rows;
  self->step = step;
  collect_inputs (self, rows, n_rows, step);
  sum_inputs (self, n_rows, width, self->units_in[0]);
  for (i = 0; i + 1 < n_layers; i++) {
    TandemDropout dropout = tandem_network_get_dropout (network, i, step);
    guint next = self->widths[i + 1];

    tandem_nonlinearity_forward (TANDEM_NONLINEARITY_RELU, self->units_in[i],
                                 (gsize) n_rows * width, self->units_out[i]);
    tandem_dropout (&dropout, 0, 0, n_rows, width, self->units_out[i]);
    if (!tandem_linear_train_forward (self->units_out[i], n_rows,
                                      tandem_network_get_weights (network, 2 * i + 2),
                                      tandem_network_get_weights (network, 2 * i + 3), width, next,
                                      self->units_in[i + 1], error))
      return FALSE;
    width = next;
  }
  memcpy (scores, self->units_in[n_layers - 1], (gsize) n_rows * width * sizeof (float));
  return TRUE;
}

static void
add_input_gradient (TandemAnnClassifier *self, guint width, const float *d_out)
{
  TandemNetwork *network = TANDEM_NETWORK (self);
  float *table = tandem_network_get_gradient (network, 0);
  float *bias = tandem_network_get_gradient (network, 1);
  guint i, k, u;

  for (i = 0; i < self->n_rows; i++, d_out += width) {
    const guint end = g_array_index (self->offsets, guint, i + 1);

    for (u = 0; u < width; u++)
      bias[u] += d_out[u];
    for (k = g_array_index (self->offsets, guint, i); k < end; k++) {
      const guint32 column = g_array_index (self->columns, guint32, k);
      const float value = g_array_index (self->values, float, k);
      float *row = table + (gsize) column * width;

      tandem_network_touch (network, column);
      for (u = 0; u < width; u++)
        row[u] += value * d_out[u];
    }
  }
}

static gboolean
tandem_ann_classifier_backward (TandemNetwork *network, const float *d_scores, GError **error)
{
  TandemAnnClassifier *self = TANDEM_ANN_CLASSIFIER (network);
  const float *d_out = d_scores;
  guint i;

  for (i = self->n_layers - 1; i > 0; i--) {
    TandemDropout dropout = tandem_network_get_dropout (network, i - 1, self->step);
    guint width = self->widths[i - 1];
    float *x = self->units_in[i - 1], *y = self->units_out[i - 1];
    g_autofree float *d_y = g_new (float, (gsize) self->n_rows * width);

    if (!tandem_linear_train_backward (y, self->n_rows,
                                       tandem_network_get_weights (network, 2 * i), width,
                                       self->widths[i], d_out, d_y, FALSE,
                                       tandem_network_get_gradient (network, 2 * i),
                                       tandem_network_get_gradient (network, 2 * i + 1), error))
      return FALSE;
    tandem_dropout (&dropout, 0, 0, self->n_rows, width, d_y);
    /* What comes out of the units is not needed any more. */
    tandem_nonlinearity_backward (TANDEM_NONLINEARITY_RELU, x, d_y, (gsize) self->n_rows * width,
                                  y);
    d_out = y;
  }
  add_input_gradient (self, self->widths[0], d_out);
  return TRUE;
}

static double
tandem_ann_classifier_get_cost (TandemNetwork *network, guint row)
{
  TandemAnnClassifier *self = TANDEM_ANN_CLASSIFIER (network);
  double cost;
  guint i;

  collect_inputs (self, &row, 1, 0);
  cost = (double) g_array_index (self->offsets, guint, 1) * self->widths[0];
  for (i = 1; i < self->n_layers; i++)
    cost += (double) self->widths[i - 1] * self->widths[i];
  return cost;
}

static guint64
tandem_ann_classifier_get_chosen_size (TandemNetwork *network)
{
  TandemAnnClassifier *self = TANDEM_ANN_CLASSIFIER (network);

  return self->features != NULL ? tandem_features_get_size (self->features) : 0;
}

static gboolean
tandem_ann_classifier_write_chosen (TandemNetwork *network, GHashTable *tensors,
                                    GHashTable *metadata, GError **error)
{
  return tandem_features_write (TANDEM_ANN_CLASSIFIER (network)->features, tensors, metadata,
                                error);
}

static gboolean
tandem_ann_classifier_read_chosen (TandemNetwork *network, TandemSafetensors *file, GError **error)
{
  TandemAnnClassifier *self = TANDEM_ANN_CLASSIFIER (network);

  self->features = tandem_features_read (file, error);
  return self->features != NULL;
}

static void
tandem_ann_classifier_class_init (TandemAnnClassifierClass *klass)
{
  GObjectClass *object = G_OBJECT_CLASS (klass);
  TandemNetworkClass *network = TANDEM_NETWORK_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  object->finalize = tandem_ann_classifier_finalize;
  object->set_property = tandem_ann_classifier_set_property;
  object->get_property = tandem_ann_classifier_get_property;
  network->choose = tandem_ann_classifier_choose;
  network->add_blocks = tandem_ann_classifier_add_blocks;
  network->open = tandem_ann_classifier_open;
  network->forward = tandem_ann_classifier_forward;
  network->backward = tandem_ann_classifier_backward;
  network->get_cost = tandem_ann_classifier_get_cost;
  network->get_chosen_size = tandem_ann_classifier_get_chosen_size;
  network->write_chosen = tandem_ann_classifier_write_chosen;
  network->read_chosen = tandem_ann_classifier_read_chosen;
  g_object_class_install_property (object, PROP_HIDDEN_1, g_param_spec_uint (
    "hidden-1", NULL, "Units of the first hidden layer; 0: none", 0, MAX_UNITS, 32, flags));
  g_object_class_install_property (object, PROP_HIDDEN_2, g_param_spec_uint (
    "hidden-2", NULL, "Units of the second hidden layer; 0: none", 0, MAX_UNITS, 0, flags));
  g_object_class_install_property (object, PROP_NGRAMS, g_param_spec_uint (
    "ngrams", NULL, "Words of the longest phrases", 1, TANDEM_NGRAM_MAX_ORDER, 2, flags));
  g_object_class_install_property (object, PROP_MIN_TEXTS, g_param_spec_uint (
    "min-texts", NULL, "Phrases that fewer texts have are left out", 1, G_MAXUINT, 3, flags));
  g_object_class_install_property (object, PROP_MAX_FEATURES, g_param_spec_uint (
    "max-features", NULL, "The most frequent phrases, so many; 0: all", 0, G_MAXINT32, 50000,
    flags));
  g_object_class_install_property (object, PROP_WEIGHTING, g_param_spec_enum (
    "weighting", NULL, "What a phrase counts", TANDEM_TYPE_NGRAM_WEIGHTING, TANDEM_NGRAM_NB,
    flags));
}

static void
tandem_ann_classifier_init (TandemAnnClassifier *self)
{
  self->columns = g_array_new (FALSE, FALSE, sizeof (guint32));
  self->values = g_array_new (FALSE, FALSE, sizeof (float));
  self->offsets = g_array_new (FALSE, FALSE, sizeof (guint));
}
