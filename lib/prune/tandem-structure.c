/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is removed as a whole: the heads, neurons and layers whose weights have the smallest L1 norm
 * (Li et al. 2017, section 3.1, there for the filters of a convolution). */

#include "config.h"

#include "prune/tandem-structure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/tandem-model-private.h"
#include "prune/tandem-structure-private.h"

G_DEFINE_BOXED_TYPE (TandemStructure, tandem_structure, tandem_structure_copy,
                     tandem_structure_free)

guint
tandem_structure_count_kept (const guint8 *kept, guint n)
{
  guint sum = 0, i;

  for (i = 0; i < n; i++)
    sum += kept[i];
  return sum;
}

/* Adds the magnitudes of a matrix to sums, one for each @group of its rows, or of its columns.
 * Returns their mean. */
static double
add_norms (TandemModel *model, guint layer, const char *part, gboolean columns, guint group,
           double *sums, GError **error)
{
  g_autofree char *name = g_strdup_printf ("encoder.layer.%u.%s", layer, part);
  g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (model, name, error);
  g_autofree float *data = NULL;
  guint64 n_rows, n_columns, i, k;
  double sum = 0;

  if (tensor == NULL)
    return -1;
  n_rows = tandem_tensor_get_dim (tensor, 0);
  n_columns = tandem_tensor_get_n_dims (tensor) == 2 ? tandem_tensor_get_dim (tensor, 1) : 1;
  data = g_new (float, n_rows * n_columns);
  tandem_tensor_copy_f32 (tensor, 0, n_rows * n_columns, data);
  for (i = 0; i < n_rows; i++) {
    for (k = 0; k < n_columns; k++) {
      double magnitude = fabs (data[i * n_columns + k]);

      sums[(columns ? k : i) / group] += magnitude;
      sum += magnitude;
    }
  }
  return sum / (double) (n_rows * n_columns);
}

static gboolean
measure_layer (TandemStructure *self, guint index, GError **error)
{
  TandemStructureLayer *layer = &self->layers[index];
  const struct
  {
    const char *part;
    gboolean columns;
    guint group;
    double *sums;
  } parts[] = {
    { "attention.self.query.weight", FALSE, self->head_size, layer->head_norms },
    { "attention.self.key.weight", FALSE, self->head_size, layer->head_norms },
    { "attention.self.value.weight", FALSE, self->head_size, layer->head_norms },
    { "attention.output.dense.weight", TRUE, self->head_size, layer->head_norms },
    { "intermediate.dense.weight", FALSE, 1, layer->neuron_norms },
    { "output.dense.weight", TRUE, 1, layer->neuron_norms },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (parts); i++) {
    double mean = add_norms (self->model, index, parts[i].part, parts[i].columns, parts[i].group,
                             parts[i].sums, error);

    if (mean < 0)
      return FALSE;
    layer->norm += mean / G_N_ELEMENTS (parts);
  }
  return TRUE;
}

/**
 * tandem_structure_new:
 * @model: a BERT that holds all of its layers
 * @error: return location for %TANDEM_PRUNE_ERROR_MODEL when it is a stage file of a part, or an
 *   ALBERT, whose layers share weights, or a #TandemModelError
 *
 * Reads the weights of all layers, and keeps everything.
 *
 * Returns: (transfer full): a structure, or %NULL with @error set
 */
TandemStructure *
tandem_structure_new (TandemModel *model, GError **error)
{
  const TandemModelConfig *config;
  g_autoptr (TandemStructure) self = NULL;
  guint first, last, i;

  g_return_val_if_fail (TANDEM_IS_MODEL (model), NULL);

  config = tandem_model_get_config (model);
  tandem_model_get_layers (model, &first, &last);
  if (config->type != TANDEM_MODEL_BERT) {
    g_set_error (error, TANDEM_PRUNE_ERROR, TANDEM_PRUNE_ERROR_MODEL,
                 "%s: heads, neurons and layers can be removed from a BERT; the layers of this model "
                 "share their weights", tandem_model_get_path (model));
    return NULL;
  }
  if (first != 0 || last != config->n_layers - 1) {
    g_set_error (error, TANDEM_PRUNE_ERROR, TANDEM_PRUNE_ERROR_MODEL,
                 "%s: holds layers %u-%u of %u; only a whole model can be pruned",
                 tandem_model_get_path (model), first, last, config->n_layers);
    return NULL;
  }
  self = g_new0 (TandemStructure, 1);
  self->model = g_object_ref (model);
  self->head_size = config->hidden_size / config->n_heads;
  self->n_layers = config->n_layers;
  self->layers = g_new0 (TandemStructureLayer, self->n_layers);
  for (i = 0; i < self->n_layers; i++) {
    TandemStructureLayer *layer = &self->layers[i];

    layer->is_kept = TRUE;
    layer->n_heads = tandem_model_config_get_heads (config, i);
    layer->n_neurons = tandem_model_config_get_intermediate (config, i);
    layer->heads = g_malloc (layer->n_heads);
    layer->neurons = g_malloc (layer->n_neurons);
    memset (layer->heads, TRUE, layer->n_heads);
    memset (layer->neurons, TRUE, layer->n_neurons);
    layer->head_norms = g_new0 (double, layer->n_heads);
    layer->neuron_norms = g_new0 (double, layer->n_neurons);
    if (!measure_layer (self, i, error))
      return NULL;
  }
  return g_steal_pointer (&self);
}

/**
 * tandem_structure_copy:
 * @self: a structure
 *
 * Returns: (transfer full): a copy, which can be pruned further on its own
 */
TandemStructure *
tandem_structure_copy (const TandemStructure *self)
{
  TandemStructure *copy = g_new (TandemStructure, 1);
  guint i;

  *copy = *self;
  copy->model = g_object_ref (self->model);
  copy->layers = g_memdup2 (self->layers, self->n_layers * sizeof *self->layers);
  for (i = 0; i < self->n_layers; i++) {
    TandemStructureLayer *layer = &copy->layers[i];

    layer->heads = g_memdup2 (layer->heads, layer->n_heads);
    layer->neurons = g_memdup2 (layer->neurons, layer->n_neurons);
    layer->head_norms = g_memdup2 (layer->head_norms, layer->n_heads * sizeof (double));
    layer->neuron_norms = g_memdup2 (layer->neuron_norms, layer->n_neurons * sizeof (double));
  }
  return copy;
}

/**
 * tandem_structure_free:
 * @self: (transfer full) (nullable): a structure
 *
 * Frees it.
 */
void
tandem_structure_free (TandemStructure *self)
{
  guint i;

  if (self == NULL)
    return;
  for (i = 0; i < self->n_layers; i++) {
    g_free (self->layers[i].heads);
    g_free (self->layers[i].neurons);
    g_free (self->layers[i].head_norms);
    g_free (self->layers[i].neuron_norms);
  }
  g_object_unref (self->model);
  g_free (self->layers);
  g_free (self);
}

typedef struct
{
  double norm;
  guint layer, index;
} Unit;

static int
compare_units (const void *a, const void *b)
{
  const Unit *left = a, *right = b;

  if (left->norm != right->norm)
    return left->norm < right->norm ? -1 : 1;
  if (left->layer != right->layer)
    return left->layer < right->layer ? -1 : 1;
  return (left->index > right->index) - (left->index < right->index);
}

static gboolean
check_share (double share, GError **error)
{
  if (share >= 0 && share < 1)
    return TRUE;
  g_set_error (error, TANDEM_PRUNE_ERROR, TANDEM_PRUNE_ERROR_AMOUNT,
               "a share of %g cannot be removed; 0 to below 1 can, since one is left of each", share);
  return FALSE;
}

/* Removes those of smallest norm from the layers @first to @last; each keeps one at least. */
static void
drop_units (TandemStructure *self, gboolean heads, guint first, guint last, double share)
{
  g_autoptr (GArray) units = g_array_new (FALSE, FALSE, sizeof (Unit));
  guint count, i, l;

  for (l = first; l <= last; l++) {
    const TandemStructureLayer *layer = &self->layers[l];
    const guint8 *kept = heads ? layer->heads : layer->neurons;

    for (i = 0; i < (heads ? layer->n_heads : layer->n_neurons); i++) {
      Unit unit = { (heads ? layer->head_norms : layer->neuron_norms)[i], l, i };

      if (layer->is_kept && kept[i])
        g_array_append_val (units, unit);
    }
  }
  qsort (units->data, units->len, sizeof (Unit), compare_units);
  count = (guint) floor (share * units->len + 0.5);
  for (i = 0; i < units->len && count > 0; i++) {
    const Unit *unit = &g_array_index (units, Unit, i);
    TandemStructureLayer *layer = &self->layers[unit->layer];
    guint8 *kept = heads ? layer->heads : layer->neurons;

    if (tandem_structure_count_kept (kept, heads ? layer->n_heads : layer->n_neurons) == 1)
      continue;
    kept[unit->index] = FALSE;
    count--;
  }
}

static gboolean
prune_units (TandemStructure *self, gboolean heads, double share, TandemPruneScope scope,
             GError **error)
{
  guint l;

  if (!check_share (share, error))
    return FALSE;
  if (scope == TANDEM_PRUNE_SCOPE_GLOBAL)
    drop_units (self, heads, 0, self->n_layers - 1, share);
  for (l = 0; scope == TANDEM_PRUNE_SCOPE_TENSOR && l < self->n_layers; l++)
    drop_units (self, heads, l, l, share);
  return TRUE;
}

/**
 * tandem_structure_prune_heads:
 * @self: a structure
 * @share: the share of the heads that are kept so far which is to go, 0 to below 1; their number is
 *   rounded to the nearest
 * @scope: of each layer, or of all together
 * @error: return location for %TANDEM_PRUNE_ERROR_AMOUNT
 *
 * Removes the attention heads with the smallest sum of magnitudes, in query, key and value and in the
 * columns of the attention's output. Each layer keeps one at least.
 *
 * Returns: whether @share was possible
 */
gboolean
tandem_structure_prune_heads (TandemStructure *self, double share, TandemPruneScope scope,
                              GError **error)
{
  return prune_units (self, TRUE, share, scope, error);
}

/**
 * tandem_structure_prune_neurons:
 * @self: a structure
 * @share: the share of the neurons that are kept so far which is to go, 0 to below 1; their number
 *   is rounded to the nearest
 * @scope: of each layer, or of all together
 * @error: return location for %TANDEM_PRUNE_ERROR_AMOUNT
 *
 * Removes the neurons of the feed-forward blocks with the smallest sum of magnitudes, in the rows of
 * the first matrix and the columns of the second. Each layer keeps one at least.
 *
 * Returns: whether @share was possible
 */
gboolean
tandem_structure_prune_neurons (TandemStructure *self, double share, TandemPruneScope scope,
                                GError **error)
{
  return prune_units (self, FALSE, share, scope, error);
}

/**
 * tandem_structure_prune_layers:
 * @self: a structure
 * @share: the share of the layers that are kept so far which is to go, 0 to below 1; their number
 *   is rounded to the nearest
 * @error: return location for %TANDEM_PRUNE_ERROR_AMOUNT
 *
 * Removes the layers with the smallest mean magnitude. One is kept at least.
 *
 * Returns: whether @share was possible
 */
gboolean
tandem_structure_prune_layers (TandemStructure *self, double share, GError **error)
{
  g_autoptr (GArray) units = g_array_new (FALSE, FALSE, sizeof (Unit));
  guint count, i;

  if (!check_share (share, error))
    return FALSE;
  for (i = 0; i < self->n_layers; i++) {
    Unit unit = { self->layers[i].norm, i, 0 };

    if (self->layers[i].is_kept)
      g_array_append_val (units, unit);
  }
  qsort (units->data, units->len, sizeof (Unit), compare_units);
  count = MIN ((guint) floor (share * units->len + 0.5), units->len - 1);
  for (i = 0; i < count; i++)
    self->layers[g_array_index (units, Unit, i).layer].is_kept = FALSE;
  return TRUE;
}

/**
 * tandem_structure_count:
 * @self: a structure
 * @n_layers: (out) (optional): layers that are kept
 * @n_heads: (out) (optional): attention heads in them
 * @n_neurons: (out) (optional): neurons of their feed-forward blocks
 *
 * Counts what is kept.
 */
void
tandem_structure_count (const TandemStructure *self, guint *n_layers, guint *n_heads,
                        guint *n_neurons)
{
  guint layers = 0, heads = 0, neurons = 0, i;

  for (i = 0; i < self->n_layers; i++) {
    const TandemStructureLayer *layer = &self->layers[i];

    if (!layer->is_kept)
      continue;
    layers++;
    heads += tandem_structure_count_kept (layer->heads, layer->n_heads);
    neurons += tandem_structure_count_kept (layer->neurons, layer->n_neurons);
  }
  if (n_layers != NULL)
    *n_layers = layers;
  if (n_heads != NULL)
    *n_heads = heads;
  if (n_neurons != NULL)
    *n_neurons = neurons;
}
