/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <glib/gstdio.h>
#include <string.h>
#include <utime.h>

#include "tandem-test-model.h"

#define OK -1

static TandemModel *
open_model (const char *path)
{
  g_autoptr (GError) error = NULL;
  TandemModel *model = tandem_model_open (path, NULL, &error);

  g_assert_no_error (error);
  return model;
}

static char *
get_fingerprint (const TandemTestModel *spec)
{
  char *folder = tandem_test_make_folder ();
  g_autoptr (TandemModel) model = NULL;
  char *fingerprint;

  tandem_test_model_write (spec, folder);
  model = open_model (folder);
  fingerprint = g_strdup (tandem_model_get_fingerprint (model));
  g_assert_cmpuint (strlen (fingerprint), ==, 64);
  tandem_test_remove_folder (folder);
  return fingerprint;
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

/* Everything that stores the same model otherwise leaves values and fingerprint. */
static void
test_same_model (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *fingerprint = get_fingerprint (&spec);
  g_autofree char *plain = NULL, *old = NULL, *shards = NULL, *extra = NULL, *fast = NULL;

  spec.plain_names = TRUE;
  plain = get_fingerprint (&spec);
  g_assert_cmpstr (plain, ==, fingerprint);
  spec.old_names = TRUE;
  old = get_fingerprint (&spec);
  g_assert_cmpstr (old, ==, fingerprint);
  spec.n_shards = 3;
  spec.no_vocabulary = TRUE;
  shards = get_fingerprint (&spec);
  g_assert_cmpstr (shards, ==, fingerprint);
  spec.extra_config = "\"architectures\": [\"BertForSequenceClassification\"], "
                      "\"hidden_dropout_prob\": 0.3, \"pruned_heads\": {}, \"id2labels\": null, ";
  extra = get_fingerprint (&spec);
  g_assert_cmpstr (extra, ==, fingerprint);
  spec.activation = "gelu_python";
  fast = get_fingerprint (&spec);
  g_assert_cmpstr (fast, ==, fingerprint);
}

static void
assert_differs (const TandemTestModel *spec, const char *fingerprint)
{
  g_autofree char *other = get_fingerprint (spec);

  g_assert_cmpstr (other, !=, fingerprint);
}

static void
test_other_model (void)
{
  static const char *const labels[] = { "negative", "positiv", NULL };
  static const char *const swapped[] = { "positive", "negative", NULL };
  const TandemTestModel base = TANDEM_TEST_MODEL_INIT;
  g_autofree char *fingerprint = get_fingerprint (&base);
  TandemTestModel spec = base;

  spec.seed = 2;
  assert_differs (&spec, fingerprint);
  spec = base;
  spec.labels = labels;
  assert_differs (&spec, fingerprint);
  spec.labels = swapped;
  assert_differs (&spec, fingerprint);
  spec = base;
  spec.activation = "relu";
  assert_differs (&spec, fingerprint);
  spec.activation = "gelu_new";
  assert_differs (&spec, fingerprint);
  spec = base;
  spec.n_heads = 4;
  assert_differs (&spec, fingerprint);
  spec = base;
  spec.dtype = TANDEM_DTYPE_F16;
  assert_differs (&spec, fingerprint);
  spec.dtype = TANDEM_DTYPE_BF16;
  assert_differs (&spec, fingerprint);
  spec = base;
  spec.no_classifier = TRUE;
  assert_differs (&spec, fingerprint);
}

/* One bit of one weight, in a file of the same size. */
static void
test_one_bit (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autofree char *text = NULL, *before = NULL, *after = NULL;
  g_autoptr (TandemModel) model = NULL;
  gsize size;

  tandem_test_model_write (&spec, folder);
  model = open_model (folder);
  before = g_strdup (tandem_model_get_fingerprint (model));
  g_clear_object (&model);
  g_assert_true (g_file_get_contents (path, &text, &size, NULL));
  text[size - 1] ^= 1;
  g_assert_true (g_file_set_contents (path, text, size, NULL));
  model = open_model (folder);
  after = g_strdup (tandem_model_get_fingerprint (model));
  g_assert_cmpstr (before, !=, after);
  tandem_test_remove_folder (folder);
}

/* An independent computation of what docs and comments promise. */
static void
test_fingerprint_reference (void)
{
  static const char script[] =
    "import hashlib, json, struct, sys\n"
    "folder = sys.argv[1]\n"
    "data = open(folder + '/model.safetensors', 'rb').read()\n"
    "n = struct.unpack('<Q', data[:8])[0]\n"
    "header = json.loads(data[8:8 + n])\n"
    "text = '''tandem model 1\n"
    "num_hidden_layers 2\n"
    "hidden_size 16\n"
    "num_attention_heads 2\n"
    "intermediate_size 32\n"
    "vocab_size 100\n"
    "max_position_embeddings 32\n"
    "type_vocab_size 2\n"
    "hidden_act gelu\n"
    "layer_norm_eps 9.9999999999999998e-13\n"
    "classes 2\n"
    "label 8 negative\n"
    "label 8 positive\n"
    "'''\n"
    "sum = hashlib.sha256(text.encode())\n"
    "canonical = {k[5:] if k.startswith('bert.') else k: v for k, v in header.items()}\n"
    "for name in sorted(canonical):\n"
    "    t = canonical[name]\n"
    "    shape = ','.join(map(str, t['shape']))\n"
    "    sum.update(f\"tensor {name} {t['dtype']} [{shape}]\\n\".encode())\n"
    "    sum.update(data[8 + n + t['data_offsets'][0]:8 + n + t['data_offsets'][1]])\n"
    "print(sum.hexdigest(), end='')\n";
  const char *python = g_getenv ("TANDEM_TEST_PYTHON");
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder;
  const char *argv[] = { python, "-c", script, NULL, NULL };
  g_autoptr (TandemModel) model = NULL;
  g_autofree char *output = NULL;
  g_autoptr (GError) error = NULL;

  if (python == NULL) {
    g_test_skip ("TANDEM_TEST_PYTHON names no Python");
    return;
  }
  folder = tandem_test_make_folder ();
  tandem_test_model_write (&spec, folder);
  model = open_model (folder);
  argv[3] = folder;
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &output, NULL, NULL,
                &error);
  g_assert_no_error (error);
  g_assert_cmpstr (output, ==, tandem_model_get_fingerprint (model));
  tandem_test_remove_folder (folder);
}

static guint
count_cached (void)
{
  g_autofree char *path = g_build_filename (g_get_user_cache_dir (), "tandem", "fingerprints",
                                            NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* What was hashed is kept once the file is old enough, and only believed while
 * the file is the same. */
static void
test_cache (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autofree char *cache = g_build_filename (g_get_user_cache_dir (), "tandem", "fingerprints",
                                             NULL);
  g_autofree char *first = NULL, *name = NULL, *entry = NULL, *text = NULL;
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (GDir) dir = NULL;
  char *planted = g_strnfill (64, 'a');

  tandem_test_model_write (&spec, folder);
  tandem_test_remove_folder (g_strdup (cache));
  model = open_model (folder);
  first = g_strdup (tandem_model_get_fingerprint (model));
  g_clear_object (&model);
  g_assert_cmpuint (count_cached (), ==, 0);

  g_usleep (3100000);
  model = open_model (folder);
  g_assert_cmpstr (tandem_model_get_fingerprint (model), ==, first);
  g_clear_object (&model);
  g_assert_cmpuint (count_cached (), ==, 1);

  /* That it is read shows when something else stands there. */
  dir = g_dir_open (cache, 0, NULL);
  name = g_strdup (g_dir_read_name (dir));
  entry = g_build_filename (cache, name, NULL);
  text = g_strconcat (planted, "\n", NULL);
  g_assert_true (g_file_set_contents (entry, text, -1, NULL));
  model = open_model (folder);
  g_assert_cmpstr (tandem_model_get_fingerprint (model), ==, planted);
  g_clear_object (&model);
  g_assert_true (g_file_set_contents (entry, "rubbish", -1, NULL));
  model = open_model (folder);
  g_assert_cmpstr (tandem_model_get_fingerprint (model), ==, first);
  g_clear_object (&model);

  g_assert_true (g_file_set_contents (entry, text, -1, NULL));
  g_assert_cmpint (g_utime (path, NULL), ==, 0);
  model = open_model (folder);
  g_assert_cmpstr (tandem_model_get_fingerprint (model), ==, first);
  g_unlink (entry);
  g_free (planted);
  tandem_test_remove_folder (folder);
}

static void
test_dtypes_are_exact (void)
{
  const TandemDtype dtypes[] = { TANDEM_DTYPE_F32, TANDEM_DTYPE_F16, TANDEM_DTYPE_BF16 };
  static const char *const names[] = { "embeddings.LayerNorm.weight",
                                       "encoder.layer.0.output.dense.weight" };
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  float values[3][2][16];
  guint i, t;

  for (i = 0; i < G_N_ELEMENTS (dtypes); i++) {
    char *folder = tandem_test_make_folder ();
    g_autoptr (TandemModel) model = NULL;

    spec.dtype = dtypes[i];
    tandem_test_model_write (&spec, folder);
    model = open_model (folder);
    for (t = 0; t < 2; t++) {
      g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (model, names[t], NULL);

      g_assert_cmpint (tandem_tensor_get_dtype (tensor), ==, dtypes[i]);
      g_assert_true (tandem_tensor_copy_f32 (tensor, 0, 16, values[i][t]));
    }
    tandem_test_remove_folder (folder);
  }
  g_assert_cmpmem (values[0], sizeof values[0], values[1], sizeof values[1]);
  g_assert_cmpmem (values[0], sizeof values[0], values[2], sizeof values[2]);
}

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
  { "n_pruned", "{\"pruned_heads\": {\"0\": [1]}, " REQUIRED "}", TANDEM_MODEL_ERROR_CONFIG,
    "pruned_heads" },
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
  g_test_add_func ("/model/folder", test_folder);
  g_test_add_func ("/model/same-model", test_same_model);
  g_test_add_func ("/model/other-model", test_other_model);
  g_test_add_func ("/model/one-bit", test_one_bit);
  g_test_add_func ("/model/fingerprint-reference", test_fingerprint_reference);
  g_test_add_func ("/model/cache", test_cache);
  g_test_add_func ("/model/dtypes-are-exact", test_dtypes_are_exact);
  g_test_add_func ("/model/activations", test_activations);
  g_test_add_func ("/model/configs", test_configs);
  g_test_add_func ("/model/deep-config", test_deep_config);
  g_test_add_func ("/model/missing-files", test_missing_files);
  g_test_add_func ("/model/single-file", test_single_file);
  g_test_add_func ("/model/no-classifier", test_no_classifier);
  g_test_add_func ("/model/large-vocabulary", test_large_vocabulary);
  g_test_add_func ("/model/bad-shards", test_bad_shards);
  g_test_add_func ("/model/same-tensor-twice", test_same_tensor_twice);
  g_test_add_func ("/model/cancelled", test_cancelled);
  g_test_add_func ("/model/parse-layers", test_parse_layers);
  status = g_test_run ();
  tandem_test_remove_folder (cache);
  return status;
}
