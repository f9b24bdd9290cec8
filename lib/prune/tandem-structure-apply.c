/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tensors and the configuration of a model without what was removed. */

#include "config.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "model/tandem-model-private.h"
#include "prune/tandem-structure-private.h"

/* Which rows and columns of a tensor go with what. */
typedef enum
{
  ALL,
  HEADS,
  NEURONS,
} Side;

static const struct
{
  const char *part;
  Side rows, columns;
} parts[] = {
  { "attention.self.query.weight", HEADS, ALL },
  { "attention.self.query.bias", HEADS, ALL },
  { "attention.self.key.weight", HEADS, ALL },
  { "attention.self.key.bias", HEADS, ALL },
  { "attention.self.value.weight", HEADS, ALL },
  { "attention.self.value.bias", HEADS, ALL },
  { "attention.output.dense.weight", ALL, HEADS },
  { "intermediate.dense.weight", NEURONS, ALL },
  { "intermediate.dense.bias", NEURONS, ALL },
  { "output.dense.weight", ALL, NEURONS },
};

static gboolean
is_kept (const TandemStructure *self, const TandemStructureLayer *layer, Side side, guint64 i)
{
  return side == ALL || (side == HEADS ? layer->heads[i / self->head_size] : layer->neurons[i]);
}

static guint64
count (const TandemStructure *self, const TandemStructureLayer *layer, Side side, guint64 n)
{
  guint64 sum = 0, i;

  for (i = 0; i < n; i++)
    sum += is_kept (self, layer, side, i);
  return sum;
}

/* Returns a tensor without the rows and columns that go. */
static TandemTensor *
slice (const TandemStructure *self, const TandemStructureLayer *layer, Side rows, Side columns,
       const TandemTensor *tensor)
{
  gsize size = tandem_dtype_get_size (tandem_tensor_get_dtype (tensor));
  guint n_dims = tandem_tensor_get_n_dims (tensor);
  guint64 n_rows = tandem_tensor_get_dim (tensor, 0);
  guint64 n_columns = n_dims == 2 ? tandem_tensor_get_dim (tensor, 1) : 1;
  guint64 shape[] = { count (self, layer, rows, n_rows), count (self, layer, columns, n_columns) };
  gsize length = shape[0] * shape[1] * size;
  const guint8 *from = tandem_tensor_get_data (tensor, NULL);
  guint8 *data = g_malloc (length), *to = data;
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, length);
  guint64 i, k;

  for (i = 0; i < n_rows; i++) {
    if (!is_kept (self, layer, rows, i))
      continue;
    for (k = 0; k < n_columns; k++) {
      if (!is_kept (self, layer, columns, k))
        continue;
      memcpy (to, from + (i * n_columns + k) * size, size);
      to += size;
    }
  }
  return tandem_tensor_new (tandem_tensor_get_dtype (tensor), n_dims, shape, bytes, NULL);
}

/* A mask as a tensor with a byte for each element, and back. */
static TandemTensor *
unpack (const guint8 *bits, const TandemTensor *like)
{
  guint64 n = tandem_tensor_get_n_elements (like), shape[TANDEM_TENSOR_MAX_DIMS], i;
  guint8 *data = g_malloc (n);
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, n);
  guint dim;

  for (i = 0; i < n; i++)
    data[i] = bits[i >> 3] >> (i & 7) & 1;
  for (dim = 0; dim < tandem_tensor_get_n_dims (like); dim++)
    shape[dim] = tandem_tensor_get_dim (like, dim);
  return tandem_tensor_new (TANDEM_DTYPE_U8, dim, shape, bytes, NULL);
}

static void
add_mask (TandemMasks *masks, const char *name, const TandemTensor *unpacked)
{
  guint64 n = tandem_tensor_get_n_elements (unpacked), i;
  const guint8 *data = tandem_tensor_get_data (unpacked, NULL);
  g_autofree guint8 *bits = g_malloc0 ((n + 7) / 8);

  for (i = 0; i < n; i++)
    bits[i >> 3] |= data[i] << (i & 7);
  tandem_masks_add (masks, name, bits, n);
}

/* Finds out of which layer a tensor is, and which of its rows and columns may go. */
static gboolean
parse_name (const char *name, guint64 *layer, const char **part, Side *rows, Side *columns)
{
  static const char prefix[] = "encoder.layer.";
  char *end;
  guint i;

  *rows = *columns = ALL;
  if (!g_str_has_prefix (name, prefix))
    return FALSE;
  *layer = g_ascii_strtoull (name + strlen (prefix), &end, 10);
  *part = end + 1;
  for (i = 0; i < G_N_ELEMENTS (parts); i++) {
    if (g_str_equal (*part, parts[i].part)) {
      *rows = parts[i].rows;
      *columns = parts[i].columns;
    }
  }
  return TRUE;
}

/* The number that a layer has when those before it that go are not counted. */
static guint
get_new_index (const TandemStructure *self, guint layer)
{
  guint n = 0, i;

  for (i = 0; i < layer; i++)
    n += self->layers[i].is_kept;
  return n;
}

/**
 * tandem_structure_apply:
 * @self: a structure
 * @config_text: (out) (transfer full): the text of the configuration that goes with the tensors
 * @masks: (out) (transfer full): the masks of those tensors that the model stores sparse
 * @error: return location for a #TandemModelError
 *
 * Makes the tensors of the smaller model. Where all layers keep as many neurons the configuration is
 * one that transformers knows; where they differ, "tandem_intermediate_sizes" says how. Removed
 * heads are in "pruned_heads", counted as in the model that no head was removed from.
 *
 * Returns: (transfer full) (element-type utf8 TandemTensor): the tensors by canonical name, in the
 *   types that they have, for tandem_model_export_sparse(); or %NULL with @error set
 */
GHashTable *
tandem_structure_apply (const TandemStructure *self, char **config_text, TandemMasks **masks,
                        GError **error)
{
  g_autoptr (GHashTable) tensors = tandem_prune_get_tensors (self->model, error);
  g_autoptr (TandemMasks) before = NULL;
  g_autoptr (TandemMasks) after = tandem_masks_new ();
  g_autoptr (GHashTable) out = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                                      (GDestroyNotify) tandem_tensor_unref);
  GHashTableIter iter;
  gpointer key, value;

  if (tensors == NULL)
    return NULL;
  before = tandem_masks_new_from_model (self->model);
  g_hash_table_iter_init (&iter, tensors);
  while (g_hash_table_iter_next (&iter, &key, &value)) {
    const guint8 *bits = tandem_masks_get (before, key, NULL);
    g_autofree char *name = NULL;
    TandemStructureLayer all = { .is_kept = TRUE };
    const TandemStructureLayer *layer = &all;
    const char *part;
    Side rows, columns;
    guint64 index;

    if (parse_name (key, &index, &part, &rows, &columns)) {
      layer = &self->layers[index];
      name = g_strdup_printf ("encoder.layer.%u.%s", get_new_index (self, (guint) index), part);
    } else {
      name = g_strdup (key);
    }
    if (!layer->is_kept)
      continue;
    g_hash_table_insert (out, g_strdup (name), slice (self, layer, rows, columns, value));
    if (bits != NULL) {
      g_autoptr (TandemTensor) whole = unpack (bits, value);
      g_autoptr (TandemTensor) sliced = slice (self, layer, rows, columns, whole);

      add_mask (after, name, sliced);
    }
  }
  *config_text = tandem_structure_make_config (self, error);
  if (*config_text == NULL)
    return NULL;
  *masks = g_steal_pointer (&after);
  return g_steal_pointer (&out);
}

/* Adds the heads that a layer lacks, by their numbers in a layer that lacks none. */
static void
add_pruned_heads (const TandemStructureLayer *layer, guint index, guint n_original,
                  JsonArray *before, JsonObject *pruned)
{
  g_autofree guint8 *gone = g_new0 (guint8, n_original);
  g_autofree char *key = g_strdup_printf ("%u", index);
  JsonArray *list = json_array_new ();
  guint i, head = 0;

  for (i = 0; before != NULL && i < json_array_get_length (before); i++)
    gone[json_array_get_int_element (before, i)] = TRUE;
  for (i = 0; i < n_original; i++) {
    if (!gone[i] && layer->heads[head++])
      continue;
    json_array_add_int_element (list, i);
  }
  if (json_array_get_length (list) > 0)
    json_object_set_array_member (pruned, key, list);
  else
    json_array_unref (list);
}

static void
set_sizes (const TandemStructure *self, JsonObject *object)
{
  JsonArray *sizes = json_array_new ();
  guint most = 0, least = G_MAXUINT, i;

  for (i = 0; i < self->n_layers; i++) {
    const TandemStructureLayer *layer = &self->layers[i];
    guint n = tandem_structure_count_kept (layer->neurons, layer->n_neurons);

    if (!layer->is_kept)
      continue;
    json_array_add_int_element (sizes, n);
    most = MAX (most, n);
    least = MIN (least, n);
  }
  json_object_set_int_member (object, "intermediate_size", most);
  if (json_object_has_member (object, "tandem_intermediate_sizes"))
    json_object_remove_member (object, "tandem_intermediate_sizes");
  if (least < most)
    json_object_set_array_member (object, "tandem_intermediate_sizes", sizes);
  else
    json_array_unref (sizes);
}

char *
tandem_structure_make_config (const TandemStructure *self, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (self->model);
  g_autoptr (JsonObject) object =
      tandem_model_parse_json (tandem_model_get_config_text (self->model),
                               tandem_model_get_path (self->model), error);
  g_autoptr (JsonNode) root = NULL;
  JsonObject *pruned, *before = NULL;
  guint n_layers, i;

  if (object == NULL)
    return NULL;
  tandem_structure_count (self, &n_layers, NULL, NULL);
  json_object_set_int_member (object, "num_hidden_layers", n_layers);
  if (json_object_has_member (object, "pruned_heads") &&
      JSON_NODE_HOLDS_OBJECT (json_object_get_member (object, "pruned_heads")))
    before = json_object_get_object_member (object, "pruned_heads");
  pruned = json_object_new ();
  for (i = 0; i < self->n_layers; i++) {
    g_autofree char *key = g_strdup_printf ("%u", i);

    if (self->layers[i].is_kept)
      add_pruned_heads (&self->layers[i], get_new_index (self, i), config->n_heads,
                        before != NULL && json_object_has_member (before, key)
                          ? json_object_get_array_member (before, key) : NULL, pruned);
  }
  json_object_set_object_member (object, "pruned_heads", pruned);
  set_sizes (self, object);
  root = json_node_init_object (json_node_alloc (), object);
  return json_to_string (root, TRUE);
}
