/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Layers of a BERT that are smaller than its others: heads that were removed, as transformers writes
 * them, and feed-forward blocks of other widths, for which it has no name:
 *
 *   "pruned_heads": { "0": [1, 3] }             heads 1 and 3 of layer 0 are gone
 *   "tandem_intermediate_sizes": [256, 512]     one width a layer */

#include "config.h"

#include <json-glib/json-glib.h>

#include "tandem-model-private.h"

#define HEADS "pruned_heads"
#define SIZES "tandem_intermediate_sizes"

static gboolean G_GNUC_PRINTF (3, 4)
fail (const char *file, GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG, "%s: %s", file, what);
  return FALSE;
}

static JsonNode *
lookup (JsonObject *object, const char *key)
{
  JsonNode *node = json_object_get_member (object, key);

  return node != NULL && !JSON_NODE_HOLDS_NULL (node) ? node : NULL;
}

/* Reads which heads of a layer are gone. */
static gboolean
remove_heads (TandemModelConfig *config, guint64 layer, JsonNode *node, const char *file,
              GError **error)
{
  g_autofree guint8 *gone = g_new0 (guint8, config->n_heads);
  JsonArray *list;
  guint i;

  if (!JSON_NODE_HOLDS_ARRAY (node))
    return fail (file, error, "\"" HEADS "\" of layer %" G_GUINT64_FORMAT " is not a list", layer);
  list = json_node_get_array (node);
  for (i = 0; i < json_array_get_length (list); i++) {
    JsonNode *item = json_array_get_element (list, i);
    gint64 head = json_node_get_value_type (item) == G_TYPE_INT64 ? json_node_get_int (item) : -1;

    if (head < 0 || head >= config->n_heads || gone[head])
      return fail (file, error, "\"" HEADS "\" of layer %" G_GUINT64_FORMAT " names what is none "
                   "of its %u heads, or one twice", layer, config->n_heads);
    gone[head] = TRUE;
    config->layer_heads[layer]--;
  }
  if (config->layer_heads[layer] == 0)
    return fail (file, error, "\"" HEADS "\" leaves layer %" G_GUINT64_FORMAT " no head", layer);
  return TRUE;
}

static gboolean
parse_heads (TandemModelConfig *config, JsonObject *object, const char *file, GError **error)
{
  JsonNode *node = lookup (object, HEADS);
  gboolean any = FALSE;
  JsonObjectIter iter;
  const char *key;
  guint64 layer;

  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return fail (file, error, "\"" HEADS "\" is not an object");
  if (json_object_get_size (json_node_get_object (node)) == 0)
    return TRUE;
  if (config->type != TANDEM_MODEL_BERT)
    return fail (file, error, "\"" HEADS "\" names removed heads, which are not supported where "
                 "layers share weights");
  config->layer_heads = g_new (guint, config->n_layers);
  for (layer = 0; layer < config->n_layers; layer++)
    config->layer_heads[layer] = config->n_heads;
  json_object_iter_init (&iter, json_node_get_object (node));
  while (json_object_iter_next (&iter, &key, &node)) {
    g_autofree char *plain = NULL;

    if (!g_ascii_string_to_unsigned (key, 10, 0, config->n_layers - 1, &layer, NULL))
      return fail (file, error, "\"" HEADS "\" names layer \"%s\" of %u", key, config->n_layers);
    /* "00" would be a second name of layer 0. */
    plain = g_strdup_printf ("%" G_GUINT64_FORMAT, layer);
    if (!g_str_equal (plain, key))
      return fail (file, error, "\"" HEADS "\" names layer \"%s\" of %u", key, config->n_layers);
    if (!remove_heads (config, layer, node, file, error))
      return FALSE;
    any = any || config->layer_heads[layer] < config->n_heads;
  }
  if (!any)
    g_clear_pointer (&config->layer_heads, g_free);
  return TRUE;
}

static gboolean
parse_sizes (TandemModelConfig *config, JsonObject *object, const char *file, GError **error)
{
  JsonNode *node = lookup (object, SIZES);
  gboolean any = FALSE;
  JsonArray *list;
  guint i;

  if (node == NULL)
    return TRUE;
  if (config->type != TANDEM_MODEL_BERT)
    return fail (file, error, "\"" SIZES "\" is not supported where layers share weights");
  if (!JSON_NODE_HOLDS_ARRAY (node) ||
      json_array_get_length (json_node_get_array (node)) != config->n_layers)
    return fail (file, error, "\"" SIZES "\" is not a list of %u numbers, one a layer",
                 config->n_layers);
  list = json_node_get_array (node);
  config->layer_intermediate_sizes = g_new (guint, config->n_layers);
  for (i = 0; i < config->n_layers; i++) {
    JsonNode *item = json_array_get_element (list, i);
    gint64 size = json_node_get_value_type (item) == G_TYPE_INT64 ? json_node_get_int (item) : 0;

    if (size < 1 || size > config->intermediate_size)
      return fail (file, error, "\"" SIZES "\" of layer %u is not 1 to %u, the "
                   "\"intermediate_size\"", i, config->intermediate_size);
    config->layer_intermediate_sizes[i] = size;
    any = any || size < config->intermediate_size;
  }
  if (!any)
    g_clear_pointer (&config->layer_intermediate_sizes, g_free);
  return TRUE;
}

/* Reads what is not the same in all layers; the rest of @config is there. @object: JsonObject. */
gboolean
tandem_model_config_parse_layers (TandemModelConfig *config, gpointer object, const char *file,
                                  GError **error)
{
  return parse_heads (config, object, file, error) && parse_sizes (config, object, file, error);
}

static void
append (GString *text, const char *name, const guint *sizes, guint n)
{
  guint i;

  if (sizes == NULL)
    return;
  g_string_append_printf (text, "%s", name);
  for (i = 0; i < n; i++)
    g_string_append_printf (text, " %u", sizes[i]);
  g_string_append_c (text, '\n');
}

/* Which heads are gone does not change results, how many are left does. */
void
tandem_model_config_append_layers (const TandemModelConfig *config, GString *text)
{
  append (text, "layer_heads", config->layer_heads, config->n_layers);
  append (text, "layer_intermediate_sizes", config->layer_intermediate_sizes, config->n_layers);
}

guint
tandem_model_config_get_heads (const TandemModelConfig *config, guint layer)
{
  return config->layer_heads != NULL ? config->layer_heads[layer] : config->n_heads;
}

guint
tandem_model_config_get_intermediate (const TandemModelConfig *config, guint layer)
{
  return config->layer_intermediate_sizes != NULL ? config->layer_intermediate_sizes[layer]
                                                  : config->intermediate_size;
}
