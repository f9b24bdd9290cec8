/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The weights of new models: random, or from another model. */

#include "config.h"

#include "tandem-model-init.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "model/tandem-model-private.h"
#include "tandem-train-components.h"
#include "tandem-train-error.h"
#include "base/tandem-random-private.h"
#include "tensor/tandem-memory.h"

typedef struct
{
  TandemModelConfig config;
  double deviation;             /* initializer_range */
  gint64 padding;               /* pad_token_id, whose row is 0; -1: none of the vocabulary */
  guint64 seed;
  GPtrArray *specs;             /* what the model consists of */
  GHashTable *tensors;          /* canonical name -> TandemTensor */
} Maker;

static void
maker_clear (Maker *maker)
{
  tandem_model_config_clear (&maker->config);
  g_clear_pointer (&maker->specs, g_ptr_array_unref);
  g_clear_pointer (&maker->tensors, g_hash_table_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Maker, maker_clear)

static void
spec_free (gpointer data)
{
  TandemModelSpec *spec = data;

  g_free (spec->name);
  g_free (spec);
}

static void
add_spec (GPtrArray *specs, const char *name, guint64 rows, guint64 columns)
{
  TandemModelSpec *spec = g_new0 (TandemModelSpec, 1);

  spec->name = g_strdup (name);
  spec->shape[0] = rows;
  spec->shape[1] = columns;
  spec->n_dims = columns > 0 ? 2 : 1;
  g_ptr_array_add (specs, spec);
}

/* The decoder's weight is that of the word embeddings. */
static void
add_masked_lm (GPtrArray *specs, const TandemModelConfig *config)
{
  guint width = config->embedding_size;

  add_spec (specs, "cls.predictions.transform.dense.weight", width, config->hidden_size);
  add_spec (specs, "cls.predictions.transform.dense.bias", width, 0);
  add_spec (specs, "cls.predictions.transform.LayerNorm.weight", width, 0);
  add_spec (specs, "cls.predictions.transform.LayerNorm.bias", width, 0);
  add_spec (specs, "cls.predictions.bias", config->vocab_size, 0);
}

static gboolean G_GNUC_PRINTF (2, 3)
fail (GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG, what);
  return FALSE;
}

/* Returns a number of the configuration, or the other one where it says none or null. */
static gboolean
read_number (JsonObject *object, const char *key, double otherwise, double *value, GError **error)
{
  JsonNode *node = json_object_get_member (object, key);
  GType type = node != NULL ? json_node_get_value_type (node) : G_TYPE_INVALID;

  *value = otherwise;
  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;
  if (type != G_TYPE_DOUBLE && type != G_TYPE_INT64)
    return fail (error, "%s: \"%s\" is not a number", TANDEM_MODEL_CONFIG_FILE, key);
  *value = json_node_get_double (node);
  return TRUE;
}

static gboolean
read_config (Maker *maker, const char *text, GError **error)
{
  g_autoptr (JsonObject) object = NULL;
  double padding;

  if (!tandem_model_config_parse (&maker->config, text, TANDEM_MODEL_CONFIG_FILE, error))
    return FALSE;
  object = tandem_model_parse_json (text, TANDEM_MODEL_CONFIG_FILE, error);
  if (object == NULL ||
      !read_number (object, "initializer_range", 0.02, &maker->deviation, error) ||
      !read_number (object, "pad_token_id", 0, &padding, error))
    return FALSE;
  if (!isfinite (maker->deviation) || maker->deviation < 0.0 || maker->deviation > 1.0)
    return fail (error, "%s: \"initializer_range\" is %g; 0 to 1 are possible",
                 TANDEM_MODEL_CONFIG_FILE, maker->deviation);
  maker->padding = padding >= 0.0 && padding < maker->config.vocab_size ? (gint64) padding : -1;
  return TRUE;
}

static gboolean
maker_init (Maker *maker, const char *config_text, TandemModelInitFlags flags, guint n_classes,
            guint64 seed, GError **error)
{
  gboolean classifier = (flags & TANDEM_MODEL_INIT_CLASSIFIER) != 0;
  g_autoptr (GPtrArray) specs = NULL;
  guint i;

  if (!read_config (maker, config_text, error))
    return FALSE;
  if (n_classes > 0)
    maker->config.n_classes = n_classes;
  maker->seed = seed;
  maker->tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                          (GDestroyNotify) tandem_tensor_unref);
  maker->specs = g_ptr_array_new_with_free_func (spec_free);
  specs = tandem_model_list_specs (&maker->config, 0, maker->config.n_layers - 1, classifier,
                                   classifier);
  for (i = 0; i < specs->len; i++) {
    const TandemModelSpec *spec = g_ptr_array_index (specs, i);

    add_spec (maker->specs, spec->name, spec->shape[0], spec->n_dims > 1 ? spec->shape[1] : 0);
  }
  if (flags & TANDEM_MODEL_INIT_MASKED_LM)
    add_masked_lm (maker->specs, &maker->config);
  return TRUE;
}

/* Takes the values. */
static void
add_values (Maker *maker, const TandemModelSpec *spec, float *values, gsize n)
{
  g_autoptr (GBytes) bytes = g_bytes_new_with_free_func (values, n * sizeof *values,
                                                         tandem_memory_free, values);

  g_hash_table_insert (maker->tensors, g_strdup (spec->name),
                       tandem_tensor_new (TANDEM_DTYPE_F32, spec->n_dims, spec->shape, bytes,
                                          NULL));
}

/* As _init_weights() of BertPreTrainedModel; each tensor has a stream of its own. */
static void
add_random (Maker *maker, const TandemModelSpec *spec)
{
  gsize n = spec->shape[0] * (spec->n_dims > 1 ? spec->shape[1] : 1), i;
  float *values = tandem_memory_new (n, sizeof *values);
  float constant = g_str_has_suffix (spec->name, "LayerNorm.weight") ? 1.0f : 0.0f;

  if (spec->n_dims > 1)
    tandem_random_normal (tandem_random_key (maker->seed, tandem_random_hash (spec->name)),
                          maker->deviation, n, values);
  else
    for (i = 0; i < n; i++)
      values[i] = constant;
  if (g_str_has_suffix (spec->name, ".word_embeddings.weight") && maker->padding >= 0)
    memset (values + maker->padding * spec->shape[1], 0, spec->shape[1] * sizeof *values);
  add_values (maker, spec, values, n);
}

static void
add_rest (Maker *maker)
{
  guint i;

  for (i = 0; i < maker->specs->len; i++) {
    const TandemModelSpec *spec = g_ptr_array_index (maker->specs, i);

    if (!g_hash_table_contains (maker->tensors, spec->name))
      add_random (maker, spec);
  }
}

/**
 * tandem_model_init_random:
 * @config_text: the text of a config.json
 * @flags: which parts the model has
 * @n_classes: classes of the classifier; 0: as many as the configuration says
 * @seed: any number; the same one gives the same weights on every machine
 * @error: return location for a #TandemModelError
 *
 * Makes random weights as BERT does (Devlin et al. 2018; _init_weights() in transformers):
 * matrices and embeddings of a normal distribution around 0 with the standard deviation
 * "initializer_range" of the configuration, 0.02 without; biases and the embedding of padding 0;
 * the factors of layer norms 1. The numbers of a tensor depend on @seed and its name alone.
 *
 * Returns: (transfer full) (element-type utf8 TandemTensor): float32 tensors by canonical name,
 *   for tandem_model_create(), or %NULL with @error set
 */
GHashTable *
tandem_model_init_random (const char *config_text, TandemModelInitFlags flags, guint n_classes,
                          guint64 seed, GError **error)
{
  g_auto (Maker) maker = { 0 };

  g_return_val_if_fail (config_text != NULL, NULL);

  if (!maker_init (&maker, config_text, flags, n_classes, seed, error))
    return NULL;
  add_rest (&maker);
  return g_steal_pointer (&maker.tensors);
}

/* All elements, as floats; quantized ones as those that they stand for. */
static float *
load (TandemModel *source, const char *name, GError **error)
{
  g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (source, name, error);
  g_autoptr (TandemFloats) values = NULL;

  if (tensor == NULL)
    return NULL;
  values = tandem_memory_new (tandem_tensor_get_n_elements (tensor), sizeof *values);
  return tandem_model_copy_f32 (source, name, values, error) ? g_steal_pointer (&values) : NULL;
}

/* Takes over what has the same width; of positions the first ones, as many as there are. */
static gboolean
copy_tensors (Maker *maker, TandemModel *source, GError **error)
{
  guint i;

  for (i = 0; i < maker->specs->len; i++) {
    const TandemModelSpec *spec = g_ptr_array_index (maker->specs, i);
    gboolean positions = g_str_has_suffix (spec->name, ".position_embeddings.weight");
    guint64 n = spec->shape[0] * (spec->n_dims > 1 ? spec->shape[1] : 1);
    g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (source, spec->name, NULL);
    float *values;

    if (tensor == NULL || tandem_tensor_get_n_dims (tensor) != spec->n_dims ||
        (spec->n_dims > 1 && tandem_tensor_get_dim (tensor, 1) != spec->shape[1]) ||
        (positions ? tandem_tensor_get_dim (tensor, 0) < spec->shape[0]
                   : tandem_tensor_get_dim (tensor, 0) != spec->shape[0]))
      continue;
    values = load (source, spec->name, error);
    if (values == NULL)
      return FALSE;
    add_values (maker, spec, values, n);
  }
  return TRUE;
}

static gboolean
is_as_wide (const TandemModelConfig *old, const TandemModelConfig *new)
{
  return old->type == new->type && old->hidden_size == new->hidden_size &&
         old->embedding_size == new->embedding_size;
}

/* Every row of the three embeddings, projected by the same matrix: so is their sum. */
static gboolean
project_embeddings (Maker *maker, TandemModel *source, GError **error)
{
  static const char *const names[] = {
    "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight",
    "embeddings.token_type_embeddings.weight"
  };
  guint width = source->config.embedding_size, narrow = maker->config.embedding_size, i;
  g_autofree double *components = NULL;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    guint n_rows = (guint[]) { maker->config.vocab_size, maker->config.max_positions,
                               maker->config.n_types }[i];
    TandemModelSpec spec = { (char *) names[i], 2, { n_rows, narrow } };
    g_autoptr (TandemFloats) wide = load (source, names[i], error);
    float *out;

    if (wide == NULL)
      return FALSE;
    if (components == NULL)
      components = tandem_components_new (wide, n_rows, width, narrow);
    out = tandem_memory_new ((gsize) n_rows * narrow, sizeof *out);
    tandem_components_project (components, narrow, width, wide, n_rows, out);
    add_values (maker, &spec, out, (gsize) n_rows * narrow);
  }
  return TRUE;
}

static gboolean
check_source (const Maker *maker, TandemModel *source, GError **error)
{
  const TandemModelConfig *old = &source->config, *new = &maker->config;

  if (source->first != 0 || source->last != old->n_layers - 1)
    return fail (error, "%s: holds layers %u-%u of %u; a new model is made from a whole one",
                 source->display_path, source->first, source->last, old->n_layers);
  if (new->embedding_size > old->embedding_size)
    return fail (error, "%s: has embeddings of width %u; a wider model (%u) cannot be made from "
                 "it", source->display_path, old->embedding_size, new->embedding_size);
  if (new->vocab_size != old->vocab_size)
    return fail (error, "%s: has a vocabulary of %u entries, the configuration says %u",
                 source->display_path, old->vocab_size, new->vocab_size);
  if (new->max_positions > old->max_positions || new->n_types > old->n_types)
    return fail (error, "%s: has %u positions and %u token types; %u and %u cannot be made from "
                 "them", source->display_path, old->max_positions, old->n_types,
                 new->max_positions, new->n_types);
  return TRUE;
}

/**
 * tandem_model_init_from:
 * @source: a whole model
 * @config_text: (nullable): the text of the new model's config.json, with the same vocabulary,
 *   not wider and without more positions; %NULL: that of @source
 * @flags: which parts the new model has
 * @n_classes: classes of its classifier; 0: as many as the configuration says
 * @seed: for what is made at random
 * @error: return location for a #TandemModelError or an error of reading @source
 *
 * Makes the weights of a model from another one.
 *
 * Where both are equally wide each tensor of the same name and shape is taken over, so that a
 * model may get a new classifier, or have fewer layers (the first ones). For a narrower model the
 * embeddings are projected onto the principal components of the word embeddings (the
 * eigenvectors of their covariance; Pearson 1901; for word vectors Raunak, Gupta and Metze 2019),
 * not centred, so that the sum of word, position and type is projected as it is; its layers are
 * random. Whatever else is missing is random as in tandem_model_init_random(). Projecting takes
 * seconds: in the cube of the width.
 *
 * Returns: (transfer full) (element-type utf8 TandemTensor): float32 tensors by canonical name,
 *   for tandem_model_export() on @source, or %NULL with @error set
 */
GHashTable *
tandem_model_init_from (TandemModel *source, const char *config_text, TandemModelInitFlags flags,
                        guint n_classes, guint64 seed, GError **error)
{
  g_auto (Maker) maker = { 0 };

  g_return_val_if_fail (TANDEM_IS_MODEL (source), NULL);

  if (!maker_init (&maker, config_text != NULL ? config_text : source->config_text, flags,
                   n_classes, seed, error) ||
      !check_source (&maker, source, error))
    return NULL;
  if (is_as_wide (&source->config, &maker.config) ? !copy_tensors (&maker, source, error)
                                                  : !project_embeddings (&maker, source, error))
    return NULL;
  add_rest (&maker);
  return g_steal_pointer (&maker.tensors);
}
