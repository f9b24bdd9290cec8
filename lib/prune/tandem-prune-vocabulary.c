/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Vocabularies without what nobody writes. */

#include "config.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "model/tandem-model-private.h"
#include "prune/tandem-prune.h"

#define WORDS "embeddings.word_embeddings.weight"

/* What a text may need that nobody has seen yet: special tokens, and each character, so that a new
 * word falls apart into these at the worst. */
static gboolean
is_needed (const char *token)
{
  static const char *const special[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (special); i++)
    if (g_str_equal (token, special[i]))
      return TRUE;
  if (g_str_has_prefix (token, "##") && token[2] != '\0')
    token += 2;
  return g_utf8_strlen (token, -1) == 1;
}

/* Returns the vocabulary's text, and in @ids the old number of each entry that is left. */
static GBytes *
list_entries (TandemTokenizer *tokenizer, const guint8 *used, GArray *ids)
{
  GString *text = g_string_new (NULL);
  guint n = tandem_tokenizer_get_size (tokenizer), i;

  for (i = 0; i < n; i++) {
    const char *token = tandem_tokenizer_get_token (tokenizer, i);

    if (!used[i] && !is_needed (token))
      continue;
    g_string_append_printf (text, "%s\n", token);
    g_array_append_val (ids, i);
  }
  return g_string_free_to_bytes (text);
}

static TandemTensor *
pick_rows (const TandemTensor *tensor, const GArray *ids)
{
  guint64 shape[] = { ids->len, tandem_tensor_get_dim (tensor, 1) };
  gsize row = shape[1] * tandem_dtype_get_size (tandem_tensor_get_dtype (tensor));
  const guint8 *from = tandem_tensor_get_data (tensor, NULL);
  guint8 *data = g_malloc (ids->len * row);
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, ids->len * row);
  guint i;

  for (i = 0; i < ids->len; i++)
    memcpy (data + i * row, from + g_array_index (ids, guint, i) * row, row);
  return tandem_tensor_new (tandem_tensor_get_dtype (tensor), 2, shape, bytes, NULL);
}

static void
pick_mask_rows (TandemMasks *masks, const guint8 *bits, guint64 width, const GArray *ids)
{
  guint64 n = ids->len * width, k;
  g_autofree guint8 *picked = g_malloc0 ((n + 7) / 8);
  guint i;

  for (i = 0; i < ids->len; i++) {
    for (k = 0; k < width; k++) {
      guint64 from = g_array_index (ids, guint, i) * width + k, to = i * width + k;

      picked[to >> 3] |= (bits[from >> 3] >> (from & 7) & 1) << (to & 7);
    }
  }
  tandem_masks_add (masks, WORDS, picked, n);
}

static char *
make_config (TandemModel *model, const GArray *ids, GError **error)
{
  g_autoptr (JsonObject) object = tandem_model_parse_json (model->config_text, model->display_path,
                                                           error);
  g_autoptr (JsonNode) root = NULL;
  JsonNode *pad;
  guint i;

  if (object == NULL)
    return NULL;
  json_object_set_int_member (object, "vocab_size", ids->len);
  pad = json_object_get_member (object, "pad_token_id");
  if (pad != NULL && json_node_get_value_type (pad) == G_TYPE_INT64) {
    gint64 before = json_node_get_int (pad);

    for (i = 0; i < ids->len; i++) {
      if (g_array_index (ids, guint, i) == before) {
        json_object_set_int_member (object, "pad_token_id", i);
        break;
      }
    }
  }
  root = json_node_init_object (json_node_alloc (), object);
  return json_to_string (root, TRUE);
}

/**
 * tandem_prune_vocabulary: (skip)
 * @model: a model with a vocabulary
 * @used: (array): a byte for each entry, from tandem_tokenizer_mark_used() over a corpus
 * @tokenizer: (out) (transfer full): a tokenizer with what is left
 * @config_text: (out) (transfer full): the configuration that goes with it
 * @tensors: (out) (transfer full) (element-type utf8 TandemTensor): the tensors of the model, its
 *   word embeddings without the rows of entries that went
 * @masks: (out) (transfer full): the masks of those that it stores sparse
 * @error: return location for %TANDEM_PRUNE_ERROR_VOCABULARY when every entry is used, or a
 *   #TandemModelError
 *
 * Removes entries that were never used. Special tokens stay, and all single characters, so that words
 * that the corpus lacks can be written. On the corpus the model gives the same results, to the bit: ids
 * have other numbers, the rows that they choose are the same.
 *
 * Returns: whether there is a smaller model
 */
gboolean
tandem_prune_vocabulary (TandemModel *model, const guint8 *used, TandemTokenizer **tokenizer,
                         char **config_text, GHashTable **tensors, TandemMasks **masks,
                         GError **error)
{
  g_autoptr (TandemTokenizer) whole = tandem_model_get_tokenizer (model, error);
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (guint));
  g_autoptr (GBytes) vocabulary = NULL;
  g_autoptr (TandemTokenizer) smaller = NULL;
  g_autoptr (GHashTable) all = NULL;
  g_autoptr (TandemMasks) before = NULL;
  g_autofree char *config = NULL;
  g_auto (GStrv) names = NULL;
  guint i;

  if (whole == NULL)
    return FALSE;
  vocabulary = list_entries (whole, used, ids);
  if (ids->len == model->config.vocab_size) {
    g_set_error (error, TANDEM_PRUNE_ERROR, TANDEM_PRUNE_ERROR_VOCABULARY,
                 "%s: all %u entries of the vocabulary are used", model->display_path, ids->len);
    return FALSE;
  }
  smaller = tandem_tokenizer_new (vocabulary, tandem_tokenizer_get_flags (whole), error);
  all = smaller != NULL ? tandem_prune_get_tensors (model, error) : NULL;
  config = all != NULL ? make_config (model, ids, error) : NULL;
  if (config == NULL)
    return FALSE;
  before = tandem_masks_new_from_model (model);
  *masks = tandem_masks_new ();
  names = tandem_masks_list (before);
  for (i = 0; names[i] != NULL; i++) {
    guint64 n;
    const guint8 *bits = tandem_masks_get (before, names[i], &n);

    if (g_str_equal (names[i], WORDS))
      pick_mask_rows (*masks, bits, model->config.embedding_size, ids);
    else
      tandem_masks_add (*masks, names[i], bits, n);
  }
  g_hash_table_insert (all, g_strdup (WORDS),
                       pick_rows (g_hash_table_lookup (all, WORDS), ids));
  *tokenizer = g_steal_pointer (&smaller);
  *config_text = g_steal_pointer (&config);
  *tensors = g_steal_pointer (&all);
  return TRUE;
}
