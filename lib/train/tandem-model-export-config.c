/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <json-glib/json-glib.h>

#include "tandem-model-export-private.h"
#include "tandem-train-error.h"

#define MASKED_LM "cls.predictions."

static gboolean
has_prefix (GHashTable *tensors, const char *prefix)
{
  GHashTableIter iter;
  gpointer name;

  g_hash_table_iter_init (&iter, tensors);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    if (g_str_has_prefix (name, prefix))
      return TRUE;
  return FALSE;
}

static char *
to_text (JsonObject *object)
{
  g_autoptr (JsonNode) root = json_node_init_object (json_node_alloc (), object);
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autofree char *text = NULL;

  json_generator_set_root (generator, root);
  json_generator_set_pretty (generator, TRUE);
  text = json_generator_to_data (generator, NULL);
  return g_strconcat (text, "\n", NULL);
}

/* The labels of the classifier: those given, else those of the configuration where it has as
 * many, else the names that transformers makes up. */
static char **
list_labels (const char *const *labels, guint n, const TandemModelConfig *config, GError **error)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();
  guint n_given = labels != NULL ? g_strv_length ((char **) labels) : 0, i;

  if (labels != NULL && n_given != n) {
    g_set_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_LABEL,
                 "%u labels for a classifier of %u classes", n_given, n);
    return NULL;
  }
  if (labels == NULL && config->labels != NULL && config->n_classes == n)
    labels = (const char *const *) config->labels;
  for (i = 0; i < n; i++) {
    g_autofree char *name = labels != NULL ? g_strdup (labels[i])
                                           : g_strdup_printf ("LABEL_%u", i);

    g_strv_builder_add (names, name);
  }
  return g_strv_builder_end (names);
}

static gboolean
set_labels (JsonObject *object, char **labels, GError **error)
{
  g_autoptr (JsonObject) to_label = json_object_new (), to_id = json_object_new ();
  guint i;

  for (i = 0; labels[i] != NULL; i++) {
    g_autofree char *id = g_strdup_printf ("%u", i);

    if (json_object_has_member (to_id, labels[i])) {
      g_set_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_LABEL,
                   "two classes have the label \"%s\"", labels[i]);
      return FALSE;
    }
    json_object_set_string_member (to_label, id, labels[i]);
    json_object_set_int_member (to_id, labels[i], i);
  }
  json_object_set_object_member (object, "id2label", g_steal_pointer (&to_label));
  json_object_set_object_member (object, "label2id", g_steal_pointer (&to_id));
  json_object_set_string_member (object, "problem_type", "single_label_classification");
  return TRUE;
}

char *
tandem_export_make_config (const char *config_text, GHashTable *tensors,
                           const char *const *labels, TandemDtype dtype, GError **error)
{
  g_auto (TandemModelConfig) config = { 0 };
  g_autoptr (JsonObject) object = NULL;
  const TandemTensor *classifier = g_hash_table_lookup (tensors, "classifier.weight");
  /* What id2label says; a name on the machine where the source was made; later versions' name
   * of torch_dtype, which all read. */
  static const char *const outdated[] = { "num_labels", "_name_or_path", "dtype" };
  const char *type, *head = "Model";
  g_autofree char *architecture = NULL;
  g_autoptr (JsonArray) architectures = NULL;
  guint i;

  /* What passes here holds values of the types that are asked for below. */
  if (!tandem_model_config_parse (&config, config_text, TANDEM_MODEL_CONFIG_FILE, error))
    return NULL;
  object = tandem_model_parse_json (config_text, TANDEM_MODEL_CONFIG_FILE, error);
  if (object == NULL)
    return NULL;
  if (classifier != NULL && tandem_tensor_get_n_dims (classifier) > 0) {
    g_auto (GStrv) names = list_labels (labels, tandem_tensor_get_dim (classifier, 0), &config,
                                        error);

    if (names == NULL || !set_labels (object, names, error))
      return NULL;
    head = "ForSequenceClassification";
  } else if (has_prefix (tensors, MASKED_LM)) {
    head = "ForMaskedLM";
  }
  for (i = 0; i < G_N_ELEMENTS (outdated); i++)
    if (json_object_has_member (object, outdated[i]))
      json_object_remove_member (object, outdated[i]);

  type = json_object_get_string_member_with_default (object, "model_type", "bert");
  architecture = g_strconcat (type, head, NULL);
  architecture[0] = g_ascii_toupper (architecture[0]);
  architectures = json_array_new ();
  json_array_add_string_element (architectures, architecture);
  json_object_set_string_member (object, "model_type", type);
  json_object_set_array_member (object, "architectures", g_steal_pointer (&architectures));
  json_object_set_string_member (object, "torch_dtype",
                                 dtype == TANDEM_DTYPE_F16 ? "float16"
                                 : dtype == TANDEM_DTYPE_BF16 ? "bfloat16" : "float32");
  return to_text (object);
}

char *
tandem_export_make_tokenizer_config (TandemTokenizerFlags flags, guint max_positions)
{
  g_autoptr (JsonObject) object = json_object_new ();

  json_object_set_boolean_member (object, "clean_text",
                                  (flags & TANDEM_TOKENIZER_CLEAN_TEXT) != 0);
  json_object_set_string_member (object, "cls_token", "[CLS]");
  json_object_set_boolean_member (object, "do_basic_tokenize", TRUE);
  json_object_set_boolean_member (object, "do_lower_case",
                                  (flags & TANDEM_TOKENIZER_LOWER_CASE) != 0);
  json_object_set_string_member (object, "mask_token", "[MASK]");
  json_object_set_int_member (object, "model_max_length", max_positions);
  json_object_set_string_member (object, "pad_token", "[PAD]");
  json_object_set_string_member (object, "sep_token", "[SEP]");
  json_object_set_boolean_member (object, "strip_accents",
                                  (flags & TANDEM_TOKENIZER_STRIP_ACCENTS) != 0);
  json_object_set_boolean_member (object, "tokenize_chinese_chars",
                                  (flags & TANDEM_TOKENIZER_SPLIT_CJK) != 0);
  json_object_set_string_member (object, "tokenizer_class", "BertTokenizer");
  json_object_set_string_member (object, "truncation_side",
                                 flags & TANDEM_TOKENIZER_CUT_START ? "left" : "right");
  json_object_set_string_member (object, "unk_token", "[UNK]");
  return to_text (object);
}
