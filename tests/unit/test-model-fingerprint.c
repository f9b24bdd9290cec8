/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Fingerprints of models: the same for the same values, and for no others. */

#include "tandem.h"

#include <glib/gstdio.h>
#include <string.h>
#include <utime.h>

#include "tandem-test-model.h"

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

int
main (int argc, char **argv)
{
  char *cache = tandem_test_make_folder ();
  int status;

  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/model/same-model", test_same_model);
  g_test_add_func ("/model/other-model", test_other_model);
  g_test_add_func ("/model/one-bit", test_one_bit);
  g_test_add_func ("/model/fingerprint-reference", test_fingerprint_reference);
  g_test_add_func ("/model/cache", test_cache);
  g_test_add_func ("/model/dtypes-are-exact", test_dtypes_are_exact);
  status = g_test_run ();
  tandem_test_remove_folder (cache);
  return status;
}
