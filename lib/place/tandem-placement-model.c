/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the stages of a model take in memory, from its configuration. */

#include "config.h"

#include "model/tandem-model-private.h"
#include "nn/tandem-kernels.h"
#include "nn/tandem-linear.h"
#include "place/tandem-place-error.h"
#include "place/tandem-placement-private.h"

#define WORD_EMBEDDINGS "embeddings.word_embeddings.weight"

/* As many rows as a stage takes at once, at the most; see lib/model/tandem-bert-stage.c. */
#define GROUP_ROWS 512

/* Whether it is key or value of the last layer before the classifier, which are kept whole. */
static gboolean
is_moved (TandemModel *model, const char *name)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  static const char *const parts[] = { "attention.self.key.weight", "attention.self.value.weight" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (parts) && tandem_model_has_classifier (model); i++) {
    g_autofree char *moved =
        tandem_model_config_get_layer_name (config, config->n_layers - 1, parts[i]);

    if (g_str_equal (name, moved))
      return TRUE;
  }
  return FALSE;
}

/* What is left of a matrix whose zeros are left out, or 0 when it is not one. Each weight has the
 * number of its input with it, and groups of outputs are filled up. */
static guint64
get_sparse_size (TandemModel *model, const TandemModelSpec *spec)
{
  g_autoptr (TandemSparseTensor) sparse = tandem_model_get_sparse_tensor (model, spec->name);
  guint64 n, n_values;

  if (sparse == NULL)
    return 0;
  n = tandem_sparse_tensor_get_n_elements (sparse);
  n_values = tandem_sparse_tensor_get_n_values (sparse);
  return tandem_linear_gains_by_zeros (n_values, n) && !is_moved (model, spec->name)
    ? 6 * n_values + n / 16 : 0;
}

/* Word embeddings stay as the file has them. All else becomes 32-bit floats, but for the
 * matrices of linear layers that compute in bfloat16 or without zeros. Those of a quantized model
 * take less on many processors, as much on others. */
static guint64
get_size (TandemModel *model, const TandemModelSpec *spec, TandemPrecision precision)
{
  guint64 sparse_size;
  guint64 n = spec->shape[0] * (spec->n_dims > 1 ? spec->shape[1] : 1);

  if (g_str_equal (spec->name, WORD_EMBEDDINGS)) {
    g_autoptr (TandemSparseTensor) sparse = tandem_model_get_sparse_tensor (model, spec->name);
    g_autoptr (TandemTensor) tensor = NULL;

    /* Mask, values, and an index of a quarter of the mask. */
    if (sparse != NULL)
      return tandem_sparse_tensor_get_n_bytes (sparse) + n / 32;
    tensor = tandem_model_get_tensor (model, spec->name, NULL);
    /* Their scales become floats. */
    if (tensor != NULL && tandem_tensor_get_dtype (tensor) == TANDEM_DTYPE_I8)
      return n + 4 * spec->shape[0];
    return n * (tensor != NULL ? tandem_dtype_get_size (tandem_tensor_get_dtype (tensor)) : 4);
  }
  if (precision == TANDEM_PRECISION_BF16 && spec->n_dims == 2 &&
      !g_str_has_prefix (spec->name, "embeddings."))
    return 2 * n;
  sparse_size = precision == TANDEM_PRECISION_F32 ? get_sparse_size (model, spec) : 0;
  return sparse_size > 0 ? sparse_size : 4 * n;
}

static guint64
get_weights (TandemModel *model, TandemPrecision precision, guint first, guint last)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  gboolean classifies = tandem_model_has_classifier (model);
  g_autoptr (GPtrArray) specs =
      tandem_model_list_specs (config, first, last, classifies, classifies);
  guint64 sum = 0;
  guint i;

  for (i = 0; i < specs->len; i++)
    sum += get_size (model, g_ptr_array_index (specs, i), precision);
  /* Where layers share weights, the last one has its own query, key and value all the same. */
  if (classifies && last == config->n_layers - 1 && first < last &&
      tandem_model_config_get_group (config, last) ==
      tandem_model_config_get_group (config, last - 1))
    sum += (guint64) 3 * 4 * config->hidden_size * config->hidden_size;
  return sum;
}

/* Rows between layers, what attention projects of them and what it makes of that, and scores. */
static guint64
get_per_thread (const TandemModelConfig *config)
{
  guint64 rows = MAX (GROUP_ROWS, config->max_positions);
  guint64 scratch = MAX (tandem_attention_scratch (config->max_positions,
                                                   config->hidden_size / config->n_heads),
                         tandem_first_row_attention_scratch (config->max_positions,
                                                             config->hidden_size,
                                                             config->n_heads));

  return sizeof (float) * (rows * (2 * (guint64) config->hidden_size +
                                   MAX (3 * config->hidden_size, config->embedding_size)) +
                           scratch);
}

/**
 * tandem_placement_problem_new_for_model:
 * @model: a model, or a stage file of it
 * @precision: what its linear layers are to compute with
 * @shape: what micro-batches are like
 * @error: return location for a #TandemPlaceError
 *
 * Makes a problem without devices. The memory of stages is filled in: weights as a
 * #TandemBertStage holds them (word embeddings in the file's own precision, which the system may
 * take back), what each thread computes in, and the rows of a micro-batch that comes, one that
 * goes, and %TANDEM_PLACEMENT_WINDOW that were sent. The program itself and its libraries are not
 * counted.
 *
 * Returns: (transfer full): a new problem, or %NULL with @error set: too many layers, or a shape
 *   whose sequences are longer than the model takes
 */
TandemPlacementProblem *
tandem_placement_problem_new_for_model (TandemModel *model, TandemPrecision precision,
                                        const TandemBatchShape *shape, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  TandemPlacementProblem *self;
  guint first, last;

  if (shape->n_tokens > (guint64) shape->n_sequences * config->max_positions) {
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_MODEL,
                 "%s: %u sequences have %" G_GUINT64_FORMAT " tokens; one has %u at the most",
                 tandem_model_get_path (model), shape->n_sequences, shape->n_tokens,
                 config->max_positions);
    return NULL;
  }
  self = tandem_placement_problem_new (config->n_layers, config->hidden_size, config->n_classes,
                                       shape, error);
  if (self == NULL)
    return NULL;
  self->model = g_strdup (tandem_model_get_fingerprint (model));
  for (first = 0; first < config->n_layers; first++)
    for (last = first; last < config->n_layers; last++)
      tandem_placement_problem_set_stage_memory (self, first, last,
                                                 get_weights (model, precision, first, last));
  tandem_placement_problem_set_working_memory (
      self, get_per_thread (config),
      sizeof (float) * (2 + TANDEM_PLACEMENT_WINDOW) * shape->n_tokens * config->hidden_size);
  return self;
}
