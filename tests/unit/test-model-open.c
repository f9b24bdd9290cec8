/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Model folders: which files are read, and which are refused. */

#include "tandem.h"

#include <glib/gstdio.h>
#include <string.h>

#include "tandem-test-model.h"

static TandemModel *
open_model (const char *path)
{
  g_autoptr (GError) error = NULL;
  TandemModel *model = tandem_model_open (path, NULL, &error);

  g_assert_no_error (error);
  return model;
}

static void
test_folder (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (TandemTensor) tensor = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) all = NULL;
  g_auto (GStrv) last_layer = NULL;
  const TandemModelConfig *config;
  guint first, last;

  tandem_test_model_write (&spec, folder);
  model = open_model (folder);
  g_assert_cmpstr (tandem_model_get_path (model), ==, folder);
  config = tandem_model_get_config (model);
  g_assert_cmpuint (config->n_layers, ==, 2);
  g_assert_cmpuint (config->hidden_size, ==, 16);
  g_assert_cmpuint (config->n_heads, ==, 2);
  g_assert_cmpuint (config->intermediate_size, ==, 32);
  g_assert_cmpuint (config->vocab_size, ==, 100);
  g_assert_cmpuint (config->max_positions, ==, 32);
  g_assert_cmpuint (config->n_types, ==, 2);
  g_assert_cmpint (config->activation, ==, TANDEM_ACTIVATION_GELU);
  g_assert_cmpfloat (config->layer_norm_eps, ==, 1e-12);
  g_assert_cmpuint (config->n_classes, ==, 2);
  g_assert_cmpstr (config->labels[1], ==, "positive");
  g_assert_null (config->labels[2]);
  g_assert_nonnull (strstr (tandem_model_get_config_text (model), "id2label"));
  g_assert_false (tandem_model_is_stage (model));
  g_assert_true (tandem_model_has_classifier (model));
  tandem_model_get_layers (model, &first, &last);
  g_assert_cmpuint (first, ==, 0);
  g_assert_cmpuint (last, ==, 1);

  all = tandem_model_list_tensors (model);
  g_assert_cmpuint (g_strv_length (all), ==, 5 + 2 * 16 + 2 + 2);
  last_layer = tandem_model_list_layer_tensors (model, 1, 1);
  g_assert_cmpuint (g_strv_length (last_layer), ==, 16 + 2 + 2);
  g_assert_true (g_strv_contains ((const char *const *) last_layer,
                                  "encoder.layer.1.output.LayerNorm.weight"));
  g_assert_true (g_strv_contains ((const char *const *) last_layer, "classifier.bias"));

  tensor = tandem_model_get_tensor (model, "encoder.layer.1.intermediate.dense.weight", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tandem_tensor_get_dim (tensor, 0), ==, 32);
  g_assert_cmpuint (tandem_tensor_get_dim (tensor, 1), ==, 16);
  g_assert_null (tandem_model_get_tensor (model, "encoder.layer.2.output.dense.bias", &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR);
  /* A tensor outlives its model, and the mapping the file. */
  g_clear_object (&model);
  tandem_test_remove_folder (folder);
  {
    float value[2];

    g_assert_true (tandem_tensor_copy_f32 (tensor, 0, 2, value));
    g_assert_cmpfloat (ABS (value[0]), <=, 1);
  }
}

static void
remove_file (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  g_assert_cmpint (g_unlink (path), ==, 0);
}

static void
test_missing_files (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();
  g_autofree char *pickled = g_build_filename (folder, "pytorch_model.bin", NULL);
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (GError) error = NULL;

  spec.no_vocabulary = TRUE;
  tandem_test_model_write (&spec, folder);
  model = open_model (folder);
  g_assert_null (tandem_model_get_tokenizer (model, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VOCABULARY);
  g_clear_error (&error);

  remove_file (folder, "model.safetensors");
  g_assert_null (tandem_model_open (folder, NULL, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR);
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (pickled, "", 0, NULL));
  g_assert_null (tandem_model_open (folder, NULL, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR);
  g_assert_nonnull (strstr (error->message, "save_pretrained"));
  g_clear_error (&error);
  remove_file (folder, "config.json");
  g_assert_null (tandem_model_open (folder, NULL, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG);
  g_clear_error (&error);
  tandem_test_remove_folder (folder);
}

static void
test_single_file (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (TandemModel) same = NULL;
  g_autoptr (TandemTokenizer) tokenizer = NULL;
  g_autoptr (GError) error = NULL;

  tandem_test_model_write (&spec, folder);
  model = open_model (folder);
  same = open_model (path);
  g_assert_cmpstr (tandem_model_get_fingerprint (model), ==, tandem_model_get_fingerprint (same));
  tokenizer = tandem_model_get_tokenizer (same, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tandem_tokenizer_get_size (tokenizer), ==, 100);

  remove_file (folder, "config.json");
  g_assert_null (tandem_model_open (path, NULL, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG);
  tandem_test_remove_folder (folder);
}

static void
test_no_classifier (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  guint i;

  for (i = 0; i < 2; i++) {
    char *folder = tandem_test_make_folder ();
    g_autoptr (TandemModel) model = NULL;
    g_auto (GStrv) names = NULL;

    /* A token classifier has a classifier and no pooler. */
    spec.no_classifier = i == 0;
    spec.no_pooler = i == 1;
    tandem_test_model_write (&spec, folder);
    model = open_model (folder);
    g_assert_false (tandem_model_has_classifier (model));
    names = tandem_model_list_tensors (model);
    g_assert_cmpuint (g_strv_length (names), ==, 5 + 2 * 16 + (i == 0 ? 2 : 0));
    tandem_test_remove_folder (folder);
  }
}

static void
test_large_vocabulary (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "vocab.txt", NULL);
  g_autofree char *text = NULL, *longer = NULL;
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (GError) error = NULL;

  tandem_test_model_write (&spec, folder);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  longer = g_strconcat (text, "onemore\n", NULL);
  g_assert_true (g_file_set_contents (path, longer, -1, NULL));
  model = open_model (folder);
  g_assert_null (tandem_model_get_tokenizer (model, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VOCABULARY);
  g_assert_nonnull (strstr (error->message, "101"));
  g_assert_nonnull (strstr (error->message, "100"));
  tandem_test_remove_folder (folder);
}

static void
test_bad_shards (void)
{
  static const char *const maps[] = {
    "{}", "{\"weight_map\": []}", "{\"weight_map\": {\"a\": 1}}",
    "{\"weight_map\": {\"a\": \"../model.safetensors\"}}", "{\"weight_map\": {\"a\": \"\"}}",
    "{\"weight_map\": {\"a\": \"absent.safetensors\"}}",
    "{\"weight_map\": {\"absent\": \"model-00001-of-00002.safetensors\"}}",
    "{\"weight_map\": {}}",
  };
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "model.safetensors.index.json", NULL);
  guint i;

  spec.n_shards = 2;
  tandem_test_model_write (&spec, folder);
  for (i = 0; i < G_N_ELEMENTS (maps); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_true (g_file_set_contents (path, maps[i], -1, NULL));
    g_assert_null (tandem_model_open (folder, NULL, &error));
    g_assert_nonnull (error);
    g_test_message ("%s", error->message);
  }
  tandem_test_remove_folder (folder);
}

static void
test_same_tensor_twice (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autoptr (TandemSafetensors) file = NULL;
  g_autoptr (GHashTable) tensors = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = NULL;
  guint i;

  tandem_test_model_write (&spec, folder);
  file = tandem_safetensors_open (path, NULL);
  tensors = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                   (GDestroyNotify) tandem_tensor_unref);
  names = tandem_safetensors_list_tensors (file);
  for (i = 0; names[i] != NULL; i++)
    g_hash_table_insert (tensors, names[i],
                         tandem_safetensors_get_tensor (file, names[i], NULL));
  g_hash_table_insert (tensors, (char *) "pooler.dense.bias",
                       tandem_safetensors_get_tensor (file, "bert.pooler.dense.bias", NULL));
  g_assert_true (tandem_safetensors_write (path, NULL, tensors, NULL, &error));
  g_assert_null (tandem_model_open (folder, NULL, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR);
  tandem_test_remove_folder (folder);
}

static void
test_cancelled (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  tandem_test_model_write (&spec, folder);
  g_cancellable_cancel (cancellable);
  g_assert_null (tandem_model_open (folder, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  tandem_test_remove_folder (folder);
}

int
main (int argc, char **argv)
{
  char *cache = tandem_test_make_folder ();
  int status;

  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/model/folder", test_folder);
  g_test_add_func ("/model/missing-files", test_missing_files);
  g_test_add_func ("/model/single-file", test_single_file);
  g_test_add_func ("/model/no-classifier", test_no_classifier);
  g_test_add_func ("/model/large-vocabulary", test_large_vocabulary);
  g_test_add_func ("/model/bad-shards", test_bad_shards);
  g_test_add_func ("/model/same-tensor-twice", test_same_tensor_twice);
  g_test_add_func ("/model/cancelled", test_cancelled);
  status = g_test_run ();
  tandem_test_remove_folder (cache);
  return status;
}
