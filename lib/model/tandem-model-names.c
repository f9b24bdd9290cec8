/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which tensors a model has, what they are called, and their shapes. */

#include "config.h"

#include <string.h>

#include "tandem-model-private.h"

/* The sizes that shapes consist of. */
typedef enum
{
  NONE,
  HIDDEN,
  ATTENTION,                    /* of all heads of a layer */
  EMBEDDING,
  INNER,
  VOCABULARY,
  POSITIONS,
  TYPES,
  CLASSES,
} Size;

typedef struct
{
  const char *name;
  Size shape[2];
} Template;

static const Template embeddings[] = {
  { "embeddings.word_embeddings.weight", { VOCABULARY, EMBEDDING } },
  { "embeddings.position_embeddings.weight", { POSITIONS, EMBEDDING } },
  { "embeddings.token_type_embeddings.weight", { TYPES, EMBEDDING } },
  { "embeddings.LayerNorm.weight", { EMBEDDING } },
  { "embeddings.LayerNorm.bias", { EMBEDDING } },
};

/* From the width of the embeddings to that of the layers. */
static const Template projection[] = {
  { "embeddings.projection.weight", { HIDDEN, EMBEDDING } },
  { "embeddings.projection.bias", { HIDDEN } },
};

static const Template layer[] = {
  { "attention.self.query.weight", { ATTENTION, HIDDEN } },
  { "attention.self.query.bias", { ATTENTION } },
  { "attention.self.key.weight", { ATTENTION, HIDDEN } },
  { "attention.self.key.bias", { ATTENTION } },
  { "attention.self.value.weight", { ATTENTION, HIDDEN } },
  { "attention.self.value.bias", { ATTENTION } },
  { "attention.output.dense.weight", { HIDDEN, ATTENTION } },
  { "attention.output.dense.bias", { HIDDEN } },
  { "attention.output.LayerNorm.weight", { HIDDEN } },
  { "attention.output.LayerNorm.bias", { HIDDEN } },
  { "intermediate.dense.weight", { INNER, HIDDEN } },
  { "intermediate.dense.bias", { INNER } },
  { "output.dense.weight", { HIDDEN, INNER } },
  { "output.dense.bias", { HIDDEN } },
  { "output.LayerNorm.weight", { HIDDEN } },
  { "output.LayerNorm.bias", { HIDDEN } },
};

static const Template pooler[] = {
  { "pooler.dense.weight", { HIDDEN, HIDDEN } },
  { "pooler.dense.bias", { HIDDEN } },
};

static const Template classifier[] = {
  { "classifier.weight", { CLASSES, HIDDEN } },
  { "classifier.bias", { CLASSES } },
};

/* index: of the layer that a shape is of. */
static guint64
get_size (const TandemModelConfig *config, guint index, Size size)
{
  switch (size) {
    case HIDDEN:
      return config->hidden_size;
    case ATTENTION:
      return (guint64) config->hidden_size / config->n_heads *
          tandem_model_config_get_heads (config, index);
    case EMBEDDING:
      return config->embedding_size;
    case INNER:
      return tandem_model_config_get_intermediate (config, index);
    case VOCABULARY:
      return config->vocab_size;
    case POSITIONS:
      return config->max_positions;
    case TYPES:
      return config->n_types;
    case CLASSES:
      return config->n_classes;
    case NONE:
      break;
  }
  return 0;
}

/* index: of the layer, where it is one of a layer. */
static void
add_specs (GPtrArray *specs, const TandemModelConfig *config, guint index,
           const Template *templates, guint n, const char *prefix)
{
  guint i, dim;

  for (i = 0; i < n; i++) {
    TandemModelSpec *spec = g_new0 (TandemModelSpec, 1);

    spec->name = g_strconcat (prefix, templates[i].name, NULL);
    for (dim = 0; dim < 2 && templates[i].shape[dim] != NONE; dim++)
      spec->shape[dim] = get_size (config, index, templates[i].shape[dim]);
    spec->n_dims = dim;
    g_ptr_array_add (specs, spec);
  }
}

static void
spec_free (gpointer data)
{
  TandemModelSpec *spec = data;

  g_free (spec->name);
  g_free (spec);
}

/* Returns what the stage of layers @first to @last needs: the embeddings go with
 * layer 0, pooler and classifier with the last layer. Weights that several of the
 * layers share come once. */
GPtrArray *
tandem_model_list_specs (const TandemModelConfig *config, guint first, guint last,
                         gboolean with_pooler, gboolean with_classifier)
{
  GPtrArray *specs = g_ptr_array_new_with_free_func (spec_free);
  guint i;

  if (first == 0)
    add_specs (specs, config, 0, embeddings, G_N_ELEMENTS (embeddings), "");
  if (first == 0 && config->type == TANDEM_MODEL_ALBERT)
    add_specs (specs, config, 0, projection, G_N_ELEMENTS (projection), "");
  for (i = first; i <= last; i++) {
    g_autofree char *prefix = tandem_model_config_get_layer_name (config, i, "");

    if (i > first && tandem_model_config_get_group (config, i) ==
                     tandem_model_config_get_group (config, i - 1))
      continue;
    add_specs (specs, config, i, layer, G_N_ELEMENTS (layer), prefix);
  }
  if (last == config->n_layers - 1 && with_pooler)
    add_specs (specs, config, 0, pooler, G_N_ELEMENTS (pooler), "");
  if (last == config->n_layers - 1 && with_classifier)
    add_specs (specs, config, 0, classifier, G_N_ELEMENTS (classifier), "");
  return specs;
}

static gboolean
fail_syntax (const char *text, GError **error)
{
  g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
               "layers=%s is not possible; write 0-1 for layers 0 and 1, 1- for layer 1 to the "
               "last, 0 for layer 0 alone", text);
  return FALSE;
}

static gboolean
parse_layer (const char **next, const char *text, guint n_layers, guint *value, GError **error)
{
  guint64 number;
  char *end;

  if (!g_ascii_isdigit (**next))
    return fail_syntax (text, error);
  number = g_ascii_strtoull (*next, &end, 10);
  if (number >= n_layers) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                 "the model has layers 0 to %u; layers=%s asks for layer %" G_GUINT64_FORMAT,
                 n_layers - 1, text, number);
    return FALSE;
  }
  *next = end;
  *value = number;
  return TRUE;
}

/**
 * tandem_model_parse_layers:
 * @text: (nullable): a range of layers: "0-1" for layers 0 and 1, "1-" for layer
 *   1 to the last, "0" for layer 0 alone; %NULL or "" for all
 * @n_layers: how many layers the model has, at least 1
 * @first: (out): the first layer
 * @last: (out): the last layer, itself included
 * @error: return location for %TANDEM_MODEL_ERROR_LAYERS
 *
 * Reads what the property `layers` and the option `--layers` take.
 *
 * Returns: whether @text is a range of layers that the model has
 */
gboolean
tandem_model_parse_layers (const char *text, guint n_layers, guint *first, guint *last,
                           GError **error)
{
  const char *next = text;

  g_return_val_if_fail (n_layers > 0, FALSE);

  *first = 0;
  *last = n_layers - 1;
  if (text == NULL || *text == '\0')
    return TRUE;
  if (!parse_layer (&next, text, n_layers, first, error))
    return FALSE;
  if (*next == '\0') {
    *last = *first;
    return TRUE;
  }
  if (*next++ != '-')
    return fail_syntax (text, error);
  if (*next == '\0')
    return TRUE;
  if (!parse_layer (&next, text, n_layers, last, error))
    return FALSE;
  if (*next != '\0')
    return fail_syntax (text, error);
  if (*first > *last) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                 "layers=%s ends before it begins", text);
    return FALSE;
  }
  return TRUE;
}
