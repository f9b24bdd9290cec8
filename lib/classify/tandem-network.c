/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-network.h"

#include <math.h>
#include <string.h>

#include "tensor/tandem-memory.h"
#include "base/tandem-random-private.h"

/* AdamW's, as everybody has them (Kingma and Ba 2015). */
#define BETA1 0.9f
#define BETA2 0.999f
#define EPSILON 1e-8f

/* Rows that are judged together. */
#define PREDICT_BATCH 64

typedef struct
{
  const char *name;
  gsize offset;
  gsize n_rows, n_columns;      /* n_rows is 0 of biases */
  double deviation;
} Block;

typedef struct
{
  guint epochs;
  guint batch_size;
  double learning_rate;
  double weight_decay;
  double dropout;
  double input_dropout;
  guint64 seed;
  TandemClassifierLoss loss;

  guint n_classes;
  GArray *blocks;               /* of Block */
  gsize n;                      /* floats of all blocks, one after the other */
  float *weights;               /* [n] */
  float *gradient;              /* [n], all 0 between steps; NULL: not needed yet */
  float *m, *v;                 /* [n]: moments, while it learns */
  guint8 *is_touched;           /* of the table's rows, with gradient */
  GArray *touched;              /* guint32: those */

  TandemDataset *data;          /* that is open */
} TandemNetworkPrivate;

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

#define PRIVATE(self) \
  ((TandemNetworkPrivate *) tandem_network_get_instance_private (TANDEM_NETWORK (self)))

static void
forget_gradient (TandemNetworkPrivate *priv)
{
  g_clear_pointer (&priv->gradient, tandem_memory_free);
  g_clear_pointer (&priv->m, tandem_memory_free);
  g_clear_pointer (&priv->v, tandem_memory_free);
  g_clear_pointer (&priv->is_touched, g_free);
  g_array_set_size (priv->touched, 0);
}

static void
forget (TandemNetworkPrivate *priv)
{
  forget_gradient (priv);
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

  forget (priv);
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

  priv->blocks = g_array_new (FALSE, FALSE, sizeof (Block));
  priv->touched = g_array_new (FALSE, FALSE, sizeof (guint32));
}

void
tandem_network_add_block (TandemNetwork *self, const char *name, gsize n_rows, gsize n_columns,
                          double deviation)
{
  TandemNetworkPrivate *priv = PRIVATE (self);
  Block block = { name, priv->n, n_rows, n_columns, deviation };

  g_array_append_val (priv->blocks, block);
  priv->n += MAX (n_rows, 1) * n_columns;
}

static Block *
get_block (TandemNetworkPrivate *priv, guint i)
{
  return &g_array_index (priv->blocks, Block, i);
}

float *
tandem_network_get_weights (TandemNetwork *self, guint block)
{
  TandemNetworkPrivate *priv = PRIVATE (self);

  return priv->weights + get_block (priv, block)->offset;
}

float *
tandem_network_get_gradient (TandemNetwork *self, guint block)
{
  TandemNetworkPrivate *priv = PRIVATE (self);

  return priv->gradient + get_block (priv, block)->offset;
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

static float *
new_zeros (gsize n)
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
  priv->weights = new_zeros (priv->n);
  priv->n_classes = n_classes;
}

static gboolean
open_data (TandemNetwork *self, TandemDataset *data, GCancellable *cancellable, GError **error)
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

static gboolean
tandem_network_prepare (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                        guint n_rows, GCancellable *cancellable, GError **error)
{
  TandemNetwork *self = TANDEM_NETWORK (classifier);
  TandemNetworkPrivate *priv = PRIVATE (self);
  guint i;

  forget (priv);
  if (!TANDEM_NETWORK_GET_CLASS (self)->choose (self, data, rows, n_rows, cancellable, error) ||
      !list_blocks (self, tandem_dataset_get_n_classes (data), error) ||
      !open_data (self, data, cancellable, error)) {
    forget (priv);
    return FALSE;
  }
  allocate (priv, tandem_dataset_get_n_classes (data));
  for (i = 0; i < priv->blocks->len; i++) {
    Block *block = get_block (priv, i);

    if (block->deviation > 0.0)
      tandem_random_normal (tandem_random_key (priv->seed, tandem_random_hash (block->name)),
                            block->deviation, MAX (block->n_rows, 1) * block->n_columns,
                            priv->weights + block->offset);
  }
  return TRUE;
}

static void
need_gradient (TandemNetworkPrivate *priv)
{
  if (priv->gradient != NULL)
    return;
  priv->gradient = new_zeros (priv->n);
  priv->is_touched = g_malloc0 (MAX (get_block (priv, 0)->n_rows, 1));
}

/* Of the table only rows that were touched, which leaves their moments as they are in between. */
static void
update (TandemNetworkPrivate *priv, double rate, guint64 t)
{
  TandemAdamWStep step = { (float) rate, BETA1, BETA2, EPSILON, (float) priv->weight_decay, 1.0f,
                           t };
  Block *table = get_block (priv, 0);
  guint i;

  for (i = 0; i < priv->touched->len; i++) {
    guint32 row = g_array_index (priv->touched, guint32, i);
    gsize at = table->offset + row * table->n_columns;

    tandem_adamw (&step, table->n_columns, priv->gradient + at, priv->m + at, priv->v + at,
                  priv->weights + at);
  }
  for (i = 1; i < priv->blocks->len; i++) {
    Block *block = get_block (priv, i);
    gsize at = block->offset;

    step.decay = block->n_rows > 0 ? (float) priv->weight_decay : 0.0f;
    tandem_adamw (&step, MAX (block->n_rows, 1) * block->n_columns, priv->gradient + at,
                  priv->m + at, priv->v + at, priv->weights + at);
  }
}

static void
clear_gradient (TandemNetworkPrivate *priv)
{
  Block *table = get_block (priv, 0);
  gsize n_table = table->n_rows * table->n_columns;
  guint i;

  for (i = 0; i < priv->touched->len; i++) {
    guint32 row = g_array_index (priv->touched, guint32, i);

    memset (priv->gradient + row * table->n_columns, 0, table->n_columns * sizeof (float));
    priv->is_touched[row] = FALSE;
  }
  g_array_set_size (priv->touched, 0);
  memset (priv->gradient + n_table, 0, (priv->n - n_table) * sizeof (float));
}

/* Adds to *loss and to the gradient what a batch adds to a mean over @n rows. */
static gboolean
learn (TandemNetwork *self, const guint *rows, guint n_rows, guint n, guint64 step,
       gboolean with_gradient, double *loss, GError **error)
{
  TandemNetworkPrivate *priv = PRIVATE (self);
  const guint n_classes = priv->n_classes;
  g_autofree float *scores = g_new (float, (gsize) n_rows * n_classes);
  const gint32 *labels = tandem_dataset_get_labels (priv->data);
  guint i;

  if (!TANDEM_NETWORK_GET_CLASS (self)->forward (self, rows, n_rows, step, scores, error))
    return FALSE;
  for (i = 0; i < n_rows; i++) {
    float *row = scores + (gsize) i * n_classes;

    *loss += tandem_classifier_loss_of_row (priv->loss, row, n_classes, labels[rows[i]], n,
                                            with_gradient ? row : NULL);
  }
  if (!isfinite (*loss)) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DIVERGED,
                 "the loss is no number any more; give a smaller learning rate than %g",
                 priv->learning_rate);
    return FALSE;
  }
  return !with_gradient || TANDEM_NETWORK_GET_CLASS (self)->backward (self, scores, error);
}

static void
shuffle (guint *rows, guint n, guint64 seed, guint epoch)
{
  guint64 key = tandem_random_key (seed, tandem_random_hash ("order") + epoch);
  guint i;

  for (i = n; i > 1; i--) {
    guint k = (guint) (tandem_random_uniform (key, i) * i), last = rows[i - 1];

    rows[i - 1] = rows[k];
    rows[k] = last;
  }
}

static gboolean
run_epochs (TandemNetwork *self, const guint *rows, guint n_rows, GCancellable *cancellable,
            GError **error)
{
  TandemNetworkPrivate *priv = PRIVATE (self);
  g_autofree guint *order = g_memdup2 (rows, n_rows * sizeof *rows);
  const guint64 n_steps =
      (guint64) priv->epochs * ((n_rows + priv->batch_size - 1) / priv->batch_size);
  guint64 step = 0;
  guint epoch, first;

  for (epoch = 0; epoch < priv->epochs; epoch++) {
    shuffle (order, n_rows, priv->seed, epoch);
    for (first = 0; first < n_rows; first += priv->batch_size) {
      guint n = MIN (priv->batch_size, n_rows - first);
      double loss = 0.0;

      step++;
      if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
          !learn (self, order + first, n, n, step, TRUE, &loss, error))
        return FALSE;
      update (priv, tandem_schedule_get_rate (priv->learning_rate, 0, n_steps, FALSE, step - 1),
              step);
      clear_gradient (priv);
    }
  }
  return TRUE;
}

static gboolean
tandem_network_fit (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                    guint n_rows, GCancellable *cancellable, GError **error)
{
  TandemNetworkPrivate *priv = PRIVATE (classifier);
  gboolean ok;

  if (!tandem_network_prepare (classifier, data, rows, n_rows, cancellable, error))
    return FALSE;
  need_gradient (priv);
  priv->m = new_zeros (priv->n);
  priv->v = new_zeros (priv->n);
  ok = run_epochs (TANDEM_NETWORK (classifier), rows, n_rows, cancellable, error);
  forget_gradient (priv);
  if (!ok)
    forget (priv);
  return ok;
}

static gboolean
tandem_network_predict (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                        guint n_rows, float *scores, GCancellable *cancellable, GError **error)
{
  TandemNetwork *self = TANDEM_NETWORK (classifier);
  guint n_classes = PRIVATE (self)->n_classes, first;

  if (!open_data (self, data, cancellable, error))
    return FALSE;
  for (first = 0; first < n_rows; first += PREDICT_BATCH) {
    if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
        !TANDEM_NETWORK_GET_CLASS (self)->forward (self, rows + first,
                                                   MIN (PREDICT_BATCH, n_rows - first), 0,
                                                   scores + (gsize) first * n_classes, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
tandem_network_add_gradient (TandemClassifier *classifier, TandemDataset *data, const guint *rows,
                             guint n_rows, double *loss, float *gradient, GError **error)
{
  TandemNetwork *self = TANDEM_NETWORK (classifier);
  TandemNetworkPrivate *priv = PRIVATE (self);
  gboolean ok = TRUE;
  guint first;

  *loss = 0.0;
  if (tandem_dataset_get_n_classes (data) != priv->n_classes) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "the network knows %u classes, the data has %u", priv->n_classes,
                 tandem_dataset_get_n_classes (data));
    return FALSE;
  }
  if (!open_data (self, data, NULL, error))
    return FALSE;
  if (gradient != NULL)
    need_gradient (priv);
  for (first = 0; first < n_rows && ok; first += PREDICT_BATCH)
    ok = learn (self, rows + first, MIN (PREDICT_BATCH, n_rows - first), n_rows, 0,
                gradient != NULL, loss, error);
  if (gradient != NULL) {
    memcpy (gradient, priv->gradient, priv->n * sizeof (float));
    clear_gradient (priv);
  }
  return ok;
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
  if (!open_data (self, data, NULL, error))
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
    Block *block = get_block (priv, i);

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
    Block *block = get_block (priv, i);
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

  forget (priv);
  if (!tandem_classifier_take_number (file, "tandem.classes", 2, TANDEM_DATASET_MAX_CLASSES,
                                      &n_classes, error) ||
      !TANDEM_NETWORK_GET_CLASS (self)->read_chosen (self, file, error) ||
      !list_blocks (self, n_classes, error) || !check_tensors (priv, file, error))
    return FALSE;
  allocate (priv, n_classes);
  for (i = 0; i < priv->blocks->len; i++) {
    Block *block = get_block (priv, i);
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
