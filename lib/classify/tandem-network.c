/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-network-private.h"

#include <math.h>
#include <string.h>

#include "base/tandem-random-private.h"
#include "tensor/tandem-memory.h"

enum
{
  PROP_EPOCHS = 1,
  PROP_BATCH_SIZE,
  PROP_LEARNING_RATE,
  PROP_WEIGHT_DECAY,
  PROP_DROPOUT,
  PROP_INPUT_DROPOUT,
  PROP_SEED,
  PROP_LOSS,
};

static void tandem_network_classifier_init (TandemClassifierInterface *iface);

G_DEFINE_ABSTRACT_TYPE_WITH_CODE (TandemNetwork, tandem_network, G_TYPE_OBJECT,
  G_ADD_PRIVATE (TandemNetwork)
  G_IMPLEMENT_INTERFACE (TANDEM_TYPE_CLASSIFIER, tandem_network_classifier_init))

TandemNetworkPrivate *
tandem_network_get_private (TandemNetwork *self)
{
  return tandem_network_get_instance_private (self);
}

#define PRIVATE(self) tandem_network_get_private (TANDEM_NETWORK (self))

void
tandem_network_forget (TandemNetworkPrivate *priv)
{
  tandem_network_forget_gradient (priv);
  g_clear_pointer (&priv->weights, tandem_memory_free);
  g_array_set_size (priv->blocks, 0);
  priv->n = 0;
  priv->n_classes = 0;
  g_clear_object (&priv->data);
}

static void
tandem_network_finalize (GObject *object)
{
  TandemNetworkPrivate *priv = PRIVATE (object);

  tandem_network_forget (priv);
  g_array_unref (priv->blocks);
  g_array_unref (priv->touched);
  G_OBJECT_CLASS (tandem_network_parent_class)->finalize (object);
}

static void
tandem_network_set_property (GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
  TandemNetworkPrivate *priv = PRIVATE (object);

  switch (id) {
    case PROP_EPOCHS:
      priv->epochs = g_value_get_uint (value);
      break;
    case PROP_BATCH_SIZE:
      priv->batch_size = g_value_get_uint (value);
      break;
    case PROP_LEARNING_RATE:
      priv->learning_rate = g_value_get_double (value);
      break;
    case PROP_WEIGHT_DECAY:
      priv->weight_decay = g_value_get_double (value);
      break;
    case PROP_DROPOUT:
      priv->dropout = g_value_get_double (value);
      break;
    case PROP_INPUT_DROPOUT:
      priv->input_dropout = g_value_get_double (value);
      break;
    case PROP_SEED:
      priv->seed = g_value_get_uint64 (value);
      break;
    case PROP_LOSS:
      priv->loss = g_value_get_enum (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
      break;
  }
}

static void
tandem_network_get_property (GObject *object, guint id, GValue *value, GParamSpec *spec)
{
  TandemNetworkPrivate *priv = PRIVATE (object);

  switch (id) {
    case PROP_EPOCHS:
      g_value_set_uint (value, priv->epochs);
      break;
    case PROP_BATCH_SIZE:
      g_value_set_uint (value, priv->batch_size);
      break;
    case PROP_LEARNING_RATE:
      g_value_set_double (value, priv->learning_rate);
      break;
    case PROP_WEIGHT_DECAY:
      g_value_set_double (value, priv->weight_decay);
      break;
    case PROP_DROPOUT:
      g_value_set_double (value, priv->dropout);
      break;
    case PROP_INPUT_DROPOUT:
      g_value_set_double (value, priv->input_dropout);
      break;
    case PROP_SEED:
      g_value_set_uint64 (value, priv->seed);
      break;
    case PROP_LOSS:
      g_value_set_enum (value, priv->loss);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
      break;
  }
}

static void
tandem_network_class_init (TandemNetworkClass *klass)
{
  GObjectClass *object = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  object->finalize = tandem_network_finalize;
  object->set_property = tandem_network_set_property;
  object->get_property = tandem_network_get_property;
  g_object_class_install_property (object, PROP_EPOCHS, g_param_spec_uint (
    "epochs", NULL, "How often it learns from each row", 1, 100000, 3, flags));
  g_object_class_install_property (object, PROP_BATCH_SIZE, g_param_spec_uint (
    "batch-size", NULL, "Rows that a step learns from", 1, 4096, 32, flags));
  g_object_class_install_property (object, PROP_LEARNING_RATE, g_param_spec_double (
    "learning-rate", NULL, "Of the first step; it falls to 0 in a straight line", 1e-8, 10.0, 2e-3,
    flags));
  g_object_class_install_property (object, PROP_WEIGHT_DECAY, g_param_spec_double (
    "weight-decay", NULL, "Decoupled decay of matrices", 0.0, 10.0, 0.01, flags));
  g_object_class_install_property (object, PROP_DROPOUT, g_param_spec_double (
    "dropout", NULL, "Share of hidden units that a step drops", 0.0, 0.95, 0.5, flags));
  g_object_class_install_property (object, PROP_INPUT_DROPOUT, g_param_spec_double (
    "input-dropout", NULL, "Share of words or numbers that a step drops", 0.0, 0.95, 0.3, flags));
  g_object_class_install_property (object, PROP_SEED, g_param_spec_uint64 (
    "seed", NULL, "Of weights, order and dropout", 0, G_MAXUINT64, 1, flags));
  g_object_class_install_property (object, PROP_LOSS, g_param_spec_enum (
    "loss", NULL, "What is minimised", TANDEM_TYPE_CLASSIFIER_LOSS,
    TANDEM_CLASSIFIER_CROSS_ENTROPY, flags));
}

static void
tandem_network_init (TandemNetwork *self)
{
  TandemNetworkPrivate *priv = PRIVATE (self);

  priv->blocks = g_array_new (FALSE, FALSE, sizeof (TandemNetworkBlock));
  priv->touched = g_array_new (FALSE, FALSE, sizeof (guint32));
}

void
tandem_network_add_block (TandemNetwork *self, const char *name, gsize n_rows, gsize n_columns,
                          double deviation)
{
  TandemNetworkPrivate *priv = PRIVATE (self);
  TandemNetworkBlock block = { name, priv->n, n_rows, n_columns, deviation };

  g_array_append_val (priv->blocks, block);
  priv->n += MAX (n_rows, 1) * n_columns;
}

TandemNetworkBlock *
tandem_network_get_block (TandemNetworkPrivate *priv, guint i)
{
  return &g_array_index (priv->blocks, TandemNetworkBlock, i);
}

float *
tandem_network_get_weights (TandemNetwork *self, guint block)
{
  TandemNetworkPrivate *priv = PRIVATE (self);

  return priv->weights + tandem_network_get_block (priv, block)->offset;
}

float *
tandem_network_get_gradient (TandemNetwork *self, guint block)
{
  TandemNetworkPrivate *priv = PRIVATE (self);

  return priv->gradient + tandem_network_get_block (priv, block)->offset;
}

void
tandem_network_touch (TandemNetwork *self, guint32 row)
{
  TandemNetworkPrivate *priv = PRIVATE (self);

  if (priv->is_touched[row])
    return;
  priv->is_touched[row] = TRUE;
  g_array_append_val (priv->touched, row);
}

guint
tandem_network_get_n_classes (TandemNetwork *self)
{
  return PRIVATE (self)->n_classes;
}

TandemDropout
tandem_network_get_dropout (TandemNetwork *self, guint site, guint64 step)
{
  TandemNetworkPrivate *priv = PRIVATE (self);

  return (TandemDropout) { priv->seed, step, site, step > 0 ? (float) priv->dropout : 0.0f };
}

gboolean
tandem_network_drops_input (TandemNetwork *self, guint64 step, guint row, guint number)
{
  TandemNetworkPrivate *priv = PRIVATE (self);

  return step > 0 && priv->input_dropout > 0.0 &&
      tandem_random_uniform (tandem_random_key (priv->seed, step), ((guint64) row << 32) + number) <
      priv->input_dropout;
}

float
tandem_network_get_input_scale (TandemNetwork *self, guint64 step)
{
  return step > 0 ? (float) (1.0 / (1.0 - PRIVATE (self)->input_dropout)) : 1.0f;
}

float *
tandem_network_new_zeros (gsize n)
{
  float *zeros = tandem_memory_new (n, sizeof (float));

  memset (zeros, 0, n * sizeof (float));
  return zeros;
}

static gboolean
list_blocks (TandemNetwork *self, guint n_classes, GError **error)
{
  TandemNetworkPrivate *priv = PRIVATE (self);

  TANDEM_NETWORK_GET_CLASS (self)->add_blocks (self, n_classes);
  if (priv->n > TANDEM_NETWORK_MAX_PARAMETERS) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "%" G_GSIZE_FORMAT " weights; %d are taken: give fewer words or smaller layers",
                 priv->n, TANDEM_NETWORK_MAX_PARAMETERS);
    return FALSE;
  }
  return TRUE;
}

static void
allocate (TandemNetworkPrivate *priv, guint n_classes)
{
  priv->weights = tandem_network_new_zeros (priv->n);
  priv->n_classes = n_classes;
}

gboolean
tandem_network_open_data (TandemNetwork *self, TandemDataset *data, GCancellable *cancellable,
                          GError **error)
{
  TandemNetworkPrivate *priv = PRIVATE (self);

  if (priv->data == data)
    return TRUE;
  g_clear_object (&priv->data);
  if (!TANDEM_NETWORK_GET_CLASS (self)->open (self, data, cancellable, error))
    return FALSE;
  priv->data = g_object_ref (data);
  return TRUE;
}

gboolean
tandem_network_prepare (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                        guint n_rows, GCancellable *cancellable, GError **error)
{
  TandemNetwork *self = TANDEM_NETWORK (classifier);
  TandemNetworkPrivate *priv = PRIVATE (self);
  guint i;

  tandem_network_forget (priv);
  if (!TANDEM_NETWORK_GET_CLASS (self)->choose (self, data, rows, n_rows, cancellable, error) ||
      !list_blocks (self, tandem_dataset_get_n_classes (data), error) ||
      !tandem_network_open_data (self, data, cancellable, error)) {
    tandem_network_forget (priv);
    return FALSE;
  }
  allocate (priv, tandem_dataset_get_n_classes (data));
  for (i = 0; i < priv->blocks->len; i++) {
    TandemNetworkBlock *block = tandem_network_get_block (priv, i);

    if (block->deviation > 0.0)
      tandem_random_normal (tandem_random_key (priv->seed, tandem_random_hash (block->name)),
                            block->deviation, MAX (block->n_rows, 1) * block->n_columns,
                            priv->weights + block->offset);
  }
  return TRUE;
}

static gboolean
tandem_network_predict (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                        guint n_rows, float *scores, GCancellable *cancellable, GError **error)
{
  TandemNetwork *self = TANDEM_NETWORK (classifier);
  guint n_classes = PRIVATE (self)->n_classes, first;

  if (!tandem_network_open_data (self, data, cancellable, error))
    return FALSE;
  for (first = 0; first < n_rows; first += TANDEM_NETWORK_PREDICT_BATCH) {
    guint n = MIN (TANDEM_NETWORK_PREDICT_BATCH, n_rows - first);

    if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
        !TANDEM_NETWORK_GET_CLASS (self)->forward (self, rows + first, n, 0,
                                                   scores + (gsize) first * n_classes, error))
      return FALSE;
  }
  return TRUE;
}

static guint
tandem_network_get_class_count (TandemClassifier *classifier)
{
  return PRIVATE (classifier)->n_classes;
}

static guint64
tandem_network_get_size (TandemClassifier *classifier)
{
  return PRIVATE (classifier)->n * sizeof (float) +
      TANDEM_NETWORK_GET_CLASS (classifier)->get_chosen_size (TANDEM_NETWORK (classifier));
}

static gboolean
tandem_network_get_cost (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                         guint n_rows, double *cost, GError **error)
{
  TandemNetwork *self = TANDEM_NETWORK (classifier);
  guint i;

  *cost = 0.0;
  if (!tandem_network_open_data (self, data, NULL, error))
    return FALSE;
  for (i = 0; i < n_rows; i++)
    *cost += TANDEM_NETWORK_GET_CLASS (self)->get_cost (self, rows[i]) / n_rows;
  return TRUE;
}

static gboolean
tandem_network_write (TandemClassifier *classifier, GHashTable *tensors, GHashTable *metadata,
                      GError **error)
{
  TandemNetwork *self = TANDEM_NETWORK (classifier);
  TandemNetworkPrivate *priv = PRIVATE (self);
  guint i;

  for (i = 0; i < priv->blocks->len; i++) {
    TandemNetworkBlock *block = tandem_network_get_block (priv, i);

    if (!tandem_classifier_put_tensor (tensors, block->name, TANDEM_DTYPE_F32, block->n_rows,
                                       block->n_columns, priv->weights + block->offset, error))
      return FALSE;
  }
  return TANDEM_NETWORK_GET_CLASS (self)->write_chosen (self, tensors, metadata, error);
}

/* Before memory is taken for what a file says that there is. */
static gboolean
check_tensors (TandemNetworkPrivate *priv, TandemSafetensors *file, GError **error)
{
  guint i;

  for (i = 0; i < priv->blocks->len; i++) {
    TandemNetworkBlock *block = tandem_network_get_block (priv, i);
    guint64 size = (guint64) MAX (block->n_rows, 1) * block->n_columns * sizeof (float), there;

    if (!tandem_safetensors_get_info (file, block->name, NULL, NULL, NULL, &there) ||
        there != size)
      return tandem_classifier_fail_file (error, "the tensor \"%s\" is missing or of another size",
                                          block->name);
  }
  return TRUE;
}

static gboolean
tandem_network_read (TandemClassifier *classifier, TandemSafetensors *file, GError **error)
{
  TandemNetwork *self = TANDEM_NETWORK (classifier);
  TandemNetworkPrivate *priv = PRIVATE (self);
  guint64 n_classes;
  guint i;

  tandem_network_forget (priv);
  if (!tandem_classifier_take_number (file, "tandem.classes", 2, TANDEM_DATASET_MAX_CLASSES,
                                      &n_classes, error) ||
      !TANDEM_NETWORK_GET_CLASS (self)->read_chosen (self, file, error) ||
      !list_blocks (self, n_classes, error) || !check_tensors (priv, file, error))
    return FALSE;
  allocate (priv, n_classes);
  for (i = 0; i < priv->blocks->len; i++) {
    TandemNetworkBlock *block = tandem_network_get_block (priv, i);
    gsize n = MAX (block->n_rows, 1) * block->n_columns;
    g_autofree float *numbers = tandem_classifier_take_tensor (file, block->name, TANDEM_DTYPE_F32,
                                                               n, NULL, error);

    if (numbers == NULL)
      return FALSE;
    memcpy (priv->weights + block->offset, numbers, n * sizeof (float));
  }
  return TRUE;
}

static gsize
tandem_network_get_n_parameters (TandemClassifier *classifier)
{
  return PRIVATE (classifier)->n;
}

static float *
tandem_network_get_parameters (TandemClassifier *classifier)
{
  return PRIVATE (classifier)->weights;
}

static void
tandem_network_classifier_init (TandemClassifierInterface *iface)
{
  iface->fit = tandem_network_fit;
  iface->predict = tandem_network_predict;
  iface->get_n_classes = tandem_network_get_class_count;
  iface->get_size = tandem_network_get_size;
  iface->get_cost = tandem_network_get_cost;
  iface->write_tensors = tandem_network_write;
  iface->read_tensors = tandem_network_read;
  iface->prepare = tandem_network_prepare;
  iface->get_n_parameters = tandem_network_get_n_parameters;
  iface->get_parameters = tandem_network_get_parameters;
  iface->add_gradient = tandem_network_add_gradient;
}
