/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "tensor/tandem-sparse-tensor.h"
#include "tensor/tandem-tensor.h"
#include "text/tandem-tokenizer.h"

G_BEGIN_DECLS

#define TANDEM_MODEL_ERROR (tandem_model_error_quark ())

/**
 * TandemModelError:
 * @TANDEM_MODEL_ERROR_CONFIG: the configuration is missing, malformed or unsupported
 * @TANDEM_MODEL_ERROR_TENSOR: a tensor is missing or has another shape than the
 *   configuration says
 * @TANDEM_MODEL_ERROR_LAYERS: the file does not hold the layers asked for
 * @TANDEM_MODEL_ERROR_CLASSIFIER: the model has no classifier
 * @TANDEM_MODEL_ERROR_VOCABULARY: the vocabulary is missing or does not fit
 * @TANDEM_MODEL_ERROR_VERSION: the stage file is of a later version
 *
 * What can be wrong with a model.
 */
typedef enum
{
  TANDEM_MODEL_ERROR_CONFIG,
  TANDEM_MODEL_ERROR_TENSOR,
  TANDEM_MODEL_ERROR_LAYERS,
  TANDEM_MODEL_ERROR_CLASSIFIER,
  TANDEM_MODEL_ERROR_VOCABULARY,
  TANDEM_MODEL_ERROR_VERSION,
} TandemModelError;

TANDEM_API
GQuark tandem_model_error_quark (void);

/**
 * TandemModelType:
 * @TANDEM_MODEL_BERT: Devlin et al. 2018; every layer has weights of its own
 * @TANDEM_MODEL_ALBERT: Lan et al. 2020; groups of layers share their weights, and
 *   narrow embeddings are projected to the width of the layers
 *
 * The architecture of a model.
 */
typedef enum
{
  TANDEM_MODEL_BERT,
  TANDEM_MODEL_ALBERT,
} TandemModelType;

/**
 * TandemActivation:
 * @TANDEM_ACTIVATION_GELU: x times the normal distribution function (Hendrycks
 *   and Gimpel 2016), through erf
 * @TANDEM_ACTIVATION_GELU_TANH: its approximation through tanh ("gelu_new",
 *   "gelu_pytorch_tanh")
 * @TANDEM_ACTIVATION_RELU: max(x, 0)
 *
 * The function between the two linear layers of the feed-forward block.
 */
typedef enum
{
  TANDEM_ACTIVATION_GELU,
  TANDEM_ACTIVATION_GELU_TANH,
  TANDEM_ACTIVATION_RELU,
} TandemActivation;

/**
 * TandemQuantization:
 * @TANDEM_QUANTIZATION_NONE: every tensor is of a floating-point type
 * @TANDEM_QUANTIZATION_WEIGHTS: some weights are int8 with a scale for each row; linear layers
 *   compute with floats that are made of them
 * @TANDEM_QUANTIZATION_INT8: the same, and linear layers round the rows that come in to int8, too,
 *   where the processor gains by it
 *
 * How the weights of a model are stored and what its linear layers are meant to compute with.
 */
typedef enum
{
  TANDEM_QUANTIZATION_NONE,
  TANDEM_QUANTIZATION_WEIGHTS,
  TANDEM_QUANTIZATION_INT8,
} TandemQuantization;

typedef struct _TandemModelConfig TandemModelConfig;

/**
 * TandemModelConfig:
 * @type: the architecture
 * @n_layers: encoder layers
 * @n_groups: how many of the layers have weights of their own: all of a BERT; layers of
 *   one group share them
 * @hidden_size: width of the rows between layers, in elements
 * @embedding_size: width of the embeddings, in elements: @hidden_size in a BERT
 * @n_heads: attention heads of a layer that none were removed from; divides @hidden_size, and the
 *   quotient is the width of a head in every layer
 * @intermediate_size: width inside the feed-forward block, of the layer where it is largest
 * @layer_heads: (array) (nullable): the heads of each layer, where some were removed
 *   ("pruned_heads"); %NULL: @n_heads everywhere
 * @layer_intermediate_sizes: (array) (nullable): the width inside the feed-forward block of each
 *   layer ("tandem_intermediate_sizes"); %NULL: @intermediate_size everywhere
 * @vocab_size: rows of the word embeddings
 * @max_positions: rows of the position embeddings: the longest sequence
 * @n_types: rows of the token type embeddings
 * @activation: the function of the feed-forward block
 * @layer_norm_eps: added to the variance in layer normalisation
 * @n_classes: rows of the classifier
 * @labels: (array zero-terminated=1) (nullable): @n_classes names as id2label says,
 *   or %NULL when the configuration names none
 *
 * The shape of a model.
 */
struct _TandemModelConfig
{
  TandemModelType type;
  guint n_layers;
  guint n_groups;
  guint hidden_size;
  guint embedding_size;
  guint n_heads;
  guint intermediate_size;
  guint *layer_heads;
  guint *layer_intermediate_sizes;
  guint vocab_size;
  guint max_positions;
  guint n_types;
  TandemActivation activation;
  double layer_norm_eps;
  guint n_classes;
  char **labels;
};

#define TANDEM_TYPE_MODEL (tandem_model_get_type ())

/**
 * TandemModel:
 *
 * The files of a model: a Hugging Face folder or a stage file. Immutable once
 * opened; any thread may read it.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemModel, tandem_model, TANDEM, MODEL, GObject)

TANDEM_API
TandemModel *tandem_model_open (const char *path, GCancellable *cancellable, GError **error);

TANDEM_API
const char *tandem_model_get_path (TandemModel *self);

TANDEM_API
const TandemModelConfig *tandem_model_get_config (TandemModel *self);

TANDEM_API
guint tandem_model_get_n_heads (TandemModel *self, guint layer);

TANDEM_API
guint tandem_model_get_intermediate_size (TandemModel *self, guint layer);

TANDEM_API
const char *tandem_model_get_config_text (TandemModel *self);

TANDEM_API
const char *tandem_model_get_fingerprint (TandemModel *self);

TANDEM_API
gboolean tandem_model_is_stage (TandemModel *self);

TANDEM_API
void tandem_model_get_layers (TandemModel *self, guint *first, guint *last);

TANDEM_API
gboolean tandem_model_has_classifier (TandemModel *self);

TANDEM_API
TandemQuantization tandem_model_get_quantization (TandemModel *self);

TANDEM_API
TandemTokenizer *tandem_model_get_tokenizer (TandemModel *self, GError **error);

TANDEM_API
TandemTensor *tandem_model_get_tensor (TandemModel *self, const char *name, GError **error);

TANDEM_API
TandemSparseTensor *tandem_model_get_sparse_tensor (TandemModel *self, const char *name);

TANDEM_API
double tandem_model_get_zeros (TandemModel *self);

TANDEM_API
char **tandem_model_list_tensors (TandemModel *self);

TANDEM_API
char **tandem_model_list_layer_tensors (TandemModel *self, guint first, guint last);

TANDEM_API
gboolean tandem_model_parse_layers (const char *text, guint n_layers, guint *first, guint *last,
                                    GError **error);

TANDEM_API
gboolean tandem_model_write_stage (TandemModel *self, guint first, guint last, const char *path,
                                   GCancellable *cancellable, GError **error);

G_END_DECLS
