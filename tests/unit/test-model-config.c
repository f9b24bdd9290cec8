/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What config.json says, and the layers that users name. */

#include "tandem.h"

#include <string.h>

#include "tandem-test-model.h"

#define OK -1

static void
test_activations (void)
{
  static const struct
  {
    const char *name;
    int activation;
  } activations[] = {
    { "gelu", TANDEM_ACTIVATION_GELU },
    { "gelu_new", TANDEM_ACTIVATION_GELU_TANH },
    { "gelu_pytorch_tanh", TANDEM_ACTIVATION_GELU_TANH },
    { "gelu_fast", TANDEM_ACTIVATION_GELU_TANH },
    { "relu", TANDEM_ACTIVATION_RELU },
    { "quick_gelu", -1 },
    { "silu", -1 },
    { "", -1 },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (activations); i++) {
    TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
    char *folder = tandem_test_make_folder ();
    g_autoptr (TandemModel) model = NULL;
    g_autoptr (GError) error = NULL;

    spec.activation = activations[i].name;
    tandem_test_model_write (&spec, folder);
    model = tandem_model_open (folder, NULL, &error);
    if (activations[i].activation < 0)
      g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG);
    else
      g_assert_cmpint (tandem_model_get_config (model)->activation, ==,
                       activations[i].activation);
    tandem_test_remove_folder (folder);
  }
}

#define REQUIRED "\"num_hidden_layers\": 2, \"hidden_size\": 16, \"num_attention_heads\": 2, " \
  "\"intermediate_size\": 32, \"vocab_size\": 100, \"max_position_embeddings\": 32"

static const struct
{
  const char *name;
  const char *text;
  int code;
  const char *message;          /* that stands in it */
} configs[] = {
  { "y_first_kind", "{" REQUIRED "}", OK },
  { "y_two_labels_by_default", "{" REQUIRED ", \"id2label\": {}, \"num_labels\": 2}", OK },
  { "y_nulls", "{" REQUIRED ", \"id2label\": null, \"is_decoder\": null}", OK },
  { "n_empty", "", TANDEM_MODEL_ERROR_CONFIG, "object" },
  { "n_not_json", "hidden_size = 2", TANDEM_MODEL_ERROR_CONFIG, "JSON" },
  { "n_array", "[]", TANDEM_MODEL_ERROR_CONFIG, "object" },
  { "n_comment", "{/*\"*/" REQUIRED "}", TANDEM_MODEL_ERROR_CONFIG, "JSON" },
  { "n_not_utf8", "{\"\xff\": 1, " REQUIRED "}", TANDEM_MODEL_ERROR_CONFIG, "UTF-8" },
  { "n_roberta", "{\"model_type\": \"roberta\", " REQUIRED "}", TANDEM_MODEL_ERROR_CONFIG,
    "\"roberta\"" },
  { "n_relative", "{\"position_embedding_type\": \"relative_key\", " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "relative_key" },
  { "n_decoder", "{\"is_decoder\": true, " REQUIRED "}", TANDEM_MODEL_ERROR_CONFIG, "encoders" },
  { "y_none_pruned", "{\"pruned_heads\": {\"1\": []}, \"tandem_intermediate_sizes\": [32, 32], "
    REQUIRED "}", OK },
  { "n_pruned", "{\"pruned_heads\": {\"0\": [1]}, " REQUIRED "}", TANDEM_MODEL_ERROR_TENSOR,
    "[8, 16]" },
  { "n_pruned_all", "{\"pruned_heads\": {\"0\": [1, 0]}, " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "no head" },
  { "n_pruned_twice", "{\"pruned_heads\": {\"0\": [1, 1]}, " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "one twice" },
  { "n_pruned_head", "{\"pruned_heads\": {\"0\": [2]}, " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "none of its 2 heads" },
  { "n_pruned_text", "{\"pruned_heads\": {\"0\": [\"1\"]}, " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "none of its 2 heads" },
  { "n_pruned_number", "{\"pruned_heads\": {\"0\": 1}, " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "list" },
  { "n_pruned_list", "{\"pruned_heads\": [1], " REQUIRED "}", TANDEM_MODEL_ERROR_CONFIG,
    "object" },
  { "n_pruned_layer", "{\"pruned_heads\": {\"2\": [1]}, " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "\"2\" of 2" },
  { "n_pruned_layer_twice", "{\"pruned_heads\": {\"1\": [0], \"01\": [1]}, " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "\"01\" of 2" },
  { "n_sizes_object", "{\"tandem_intermediate_sizes\": {}, " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "list of 2 numbers" },
  { "n_sizes_fewer", "{\"tandem_intermediate_sizes\": [32], " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "list of 2 numbers" },
  { "n_sizes_zero", "{\"tandem_intermediate_sizes\": [32, 0], " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "layer 1 is not 1 to 32" },
  { "n_sizes_larger", "{\"tandem_intermediate_sizes\": [33, 32], " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "layer 0 is not 1 to 32" },
  { "n_sizes_other", "{\"tandem_intermediate_sizes\": [32, 31], " REQUIRED "}",
    TANDEM_MODEL_ERROR_TENSOR, "[31, 16]" },
  { "n_missing", "{\"num_hidden_layers\": 2}", TANDEM_MODEL_ERROR_CONFIG, "\"hidden_size\"" },
  { "n_no_layers", "{\"num_hidden_layers\": 0}", TANDEM_MODEL_ERROR_CONFIG, "1 to" },
  { "n_negative", "{\"num_hidden_layers\": -1}", TANDEM_MODEL_ERROR_CONFIG, "-1" },
  { "n_huge", "{\"num_hidden_layers\": 4294967298}", TANDEM_MODEL_ERROR_CONFIG, "4294967298" },
  { "n_fraction", "{\"num_hidden_layers\": 2.5}", TANDEM_MODEL_ERROR_CONFIG, "whole" },
  { "n_string", "{\"num_hidden_layers\": \"2\"}", TANDEM_MODEL_ERROR_CONFIG, "whole" },
  { "n_list", "{\"num_hidden_layers\": [2]}", TANDEM_MODEL_ERROR_CONFIG, "whole" },
  { "n_not_divisible", "{\"num_hidden_layers\": 2, \"hidden_size\": 16, "
    "\"num_attention_heads\": 3, \"intermediate_size\": 32, \"vocab_size\": 100, "
    "\"max_position_embeddings\": 32}", TANDEM_MODEL_ERROR_CONFIG, "divisible" },
  { "n_eps", "{\"layer_norm_eps\": -1, " REQUIRED "}", TANDEM_MODEL_ERROR_CONFIG, "-1" },
  { "n_label_gap", "{\"id2label\": {\"0\": \"a\", \"2\": \"b\"}, " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "\"1\"" },
  { "n_label_number", "{\"id2label\": {\"0\": 1, \"1\": 2}, " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "string" },
  { "n_label_count", "{\"id2label\": {\"0\": \"a\"}, \"num_labels\": 2, " REQUIRED "}",
    TANDEM_MODEL_ERROR_CONFIG, "num_labels" },
  { "n_three_classes", "{\"num_labels\": 3, " REQUIRED "}", TANDEM_MODEL_ERROR_TENSOR,
    "classifier.weight" },
  { "n_wider", "{\"num_hidden_layers\": 2, \"hidden_size\": 32, \"num_attention_heads\": 2, "
    "\"intermediate_size\": 32, \"vocab_size\": 100, \"max_position_embeddings\": 32}",
    TANDEM_MODEL_ERROR_TENSOR, "[100, 16]" },
  { "n_more_layers", "{\"num_hidden_layers\": 3, \"hidden_size\": 16, "
    "\"num_attention_heads\": 2, \"intermediate_size\": 32, \"vocab_size\": 100, "
    "\"max_position_embeddings\": 32}", TANDEM_MODEL_ERROR_TENSOR, "encoder.layer.2." },
};

static void
test_configs (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "config.json", NULL);
  guint i;

  tandem_test_model_write (&spec, folder);
  for (i = 0; i < G_N_ELEMENTS (configs); i++) {
    g_autoptr (TandemModel) model = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (g_file_set_contents (path, configs[i].text, -1, NULL));
    model = tandem_model_open (folder, NULL, &error);
    if (configs[i].code == OK) {
      g_assert_no_error (error);
      g_assert_cmpuint (tandem_model_get_config (model)->n_classes, ==, 2);
      g_assert_null (tandem_model_get_config (model)->labels);
      continue;
    }
    if (error == NULL)
      g_error ("%s was accepted", configs[i].name);
    g_test_message ("%s", error->message);
    if (!g_error_matches (error, TANDEM_MODEL_ERROR, configs[i].code) ||
        strstr (error->message, configs[i].message) == NULL)
      g_error ("%s: %d: %s", configs[i].name, error->code, error->message);
  }
  tandem_test_remove_folder (folder);
}

static void
test_deep_config (void)
{
  static const char *const openings[] = { "{\"a\": [", "{\"a\": /*\"*/ [", "{'\"': [" };
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "config.json", NULL);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (openings); i++) {
    g_autofree char *brackets = g_strnfill (1000000, '[');
    g_autofree char *text = g_strconcat (openings[i], brackets, NULL);
    g_autoptr (GError) error = NULL;

    g_assert_true (g_file_set_contents (path, text, -1, NULL));
    g_assert_null (tandem_model_open (folder, NULL, &error));
    g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG);
  }
  tandem_test_remove_folder (folder);
}

static void
test_parse_layers (void)
{
  static const struct
  {
    const char *text;
    int first, last;            /* -1: refused */
  } ranges[] = {
    { NULL, 0, 2 }, { "", 0, 2 }, { "0", 0, 0 }, { "2", 2, 2 }, { "0-0", 0, 0 }, { "0-2", 0, 2 },
    { "1-", 1, 2 }, { "2-2", 2, 2 }, { "3", -1 }, { "3-", -1 }, { "0-3", -1 }, { "2-1", -1 },
    { "-1", -1 }, { "-", -1 }, { "a", -1 }, { "0-a", -1 }, { "0-1x", -1 }, { "0 ", -1 },
    { " 0", -1 }, { "0,1", -1 }, { "1--", -1 }, { "99999999999999999999", -1 }, { "+1", -1 },
  };
  guint i, first, last;

  for (i = 0; i < G_N_ELEMENTS (ranges); i++) {
    g_autoptr (GError) error = NULL;

    if (tandem_model_parse_layers (ranges[i].text, 3, &first, &last, &error)) {
      g_assert_cmpint (first, ==, ranges[i].first);
      g_assert_cmpint (last, ==, ranges[i].last);
    } else {
      g_assert_cmpint (ranges[i].first, ==, -1);
      g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS);
    }
  }
  {
    g_autoptr (GError) error = NULL;

    tandem_model_parse_layers ("2-", 2, &first, &last, &error);
    g_assert_cmpstr (error->message, ==,
                     "the model has layers 0 to 1; layers=2- asks for layer 2");
  }
}

int
main (int argc, char **argv)
{
  char *cache = tandem_test_make_folder ();
  int status;

  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/model/activations", test_activations);
  g_test_add_func ("/model/configs", test_configs);
  g_test_add_func ("/model/deep-config", test_deep_config);
  g_test_add_func ("/model/parse-layers", test_parse_layers);
  status = g_test_run ();
  tandem_test_remove_folder (cache);
  return status;
}
