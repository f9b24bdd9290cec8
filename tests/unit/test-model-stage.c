/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <string.h>

#include "tandem-test-model.h"

typedef struct
{
  char *folder;
  TandemModel *model;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autoptr (GError) error = NULL;

  spec.n_layers = 4;
  if (data != NULL)
    spec = *(const TandemTestModel *) data;
  fixture->folder = tandem_test_make_folder ();
  tandem_test_model_write (&spec, fixture->folder);
  fixture->model = tandem_model_open (fixture->folder, NULL, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_object_unref (fixture->model);
  tandem_test_remove_folder (fixture->folder);
}

static char *
write_stage (TandemModel *model, const char *folder, guint first, guint last)
{
  g_autofree char *name = g_strdup_printf ("stage-%u-%u.safetensors", first, last);
  char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;

  tandem_model_write_stage (model, first, last, path, NULL, &error);
  g_assert_no_error (error);
  return path;
}

static void
assert_same_tensors (TandemModel *whole, TandemModel *stage, guint first, guint last)
{
  g_auto (GStrv) expected = tandem_model_list_layer_tensors (whole, first, last);
  g_auto (GStrv) found = tandem_model_list_tensors (stage);
  guint i;

  g_assert_cmpstrv (found, expected);
  for (i = 0; expected[i] != NULL; i++) {
    g_autoptr (TandemTensor) left = tandem_model_get_tensor (whole, expected[i], NULL);
    g_autoptr (TandemTensor) right = tandem_model_get_tensor (stage, expected[i], NULL);

    g_assert_cmpint (tandem_tensor_get_dtype (left), ==, tandem_tensor_get_dtype (right));
    g_assert_true (g_bytes_equal (tandem_tensor_get_bytes (left),
                                  tandem_tensor_get_bytes (right)));
  }
}

static void
check_stage (Fixture *fixture, guint first, guint last)
{
  g_autofree char *path = write_stage (fixture->model, fixture->folder, first, last);
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemModel) stage = tandem_model_open (path, NULL, &error);
  g_autoptr (TandemTokenizer) tokenizer = NULL;
  guint n_layers = tandem_model_get_config (fixture->model)->n_layers, a, b;

  g_assert_no_error (error);
  g_assert_true (tandem_model_is_stage (stage));
  tandem_model_get_layers (stage, &a, &b);
  g_assert_cmpuint (a, ==, first);
  g_assert_cmpuint (b, ==, last);
  g_assert_cmpstr (tandem_model_get_fingerprint (stage), ==,
                   tandem_model_get_fingerprint (fixture->model));
  g_assert_cmpstr (tandem_model_get_config_text (stage), ==,
                   tandem_model_get_config_text (fixture->model));
  g_assert_cmpuint (tandem_model_get_config (stage)->n_layers, ==, n_layers);
  g_assert_true (tandem_model_has_classifier (stage) == (last == n_layers - 1));
  assert_same_tensors (fixture->model, stage, first, last);

  tokenizer = tandem_model_get_tokenizer (stage, &error);
  if (first == 0) {
    g_autoptr (TandemTokenizer) expected = tandem_model_get_tokenizer (fixture->model, NULL);

    g_assert_no_error (error);
    g_assert_cmpuint (tandem_tokenizer_get_size (tokenizer), ==, 100);
    g_assert_cmpint (tandem_tokenizer_get_flags (tokenizer), ==,
                     tandem_tokenizer_get_flags (expected));
  } else {
    g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VOCABULARY);
  }
}

static void
test_every_boundary (Fixture *fixture, gconstpointer data)
{
  guint n_layers = tandem_model_get_config (fixture->model)->n_layers, first, last;

  for (first = 0; first < n_layers; first++)
    for (last = first; last < n_layers; last++)
      check_stage (fixture, first, last);
}

/* A stage cut from a stage, and from the model stored otherwise, is the same file. */
static void
test_same_bytes (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  char *other = tandem_test_make_folder ();
  g_autofree char *direct = write_stage (fixture->model, fixture->folder, 0, 1);
  g_autofree char *larger = write_stage (fixture->model, fixture->folder, 0, 2);
  g_autofree char *indirect = NULL, *stored = NULL;
  g_autofree char *first = NULL, *second = NULL, *third = NULL;
  g_autoptr (TandemModel) stage = tandem_model_open (larger, NULL, NULL);
  g_autoptr (TandemModel) model = NULL;
  gsize size[3];

  spec.n_layers = 4;
  spec.plain_names = TRUE;
  spec.old_names = TRUE;
  spec.n_shards = 2;
  tandem_test_model_write (&spec, other);
  model = tandem_model_open (other, NULL, NULL);
  g_assert_true (g_file_get_contents (direct, &first, &size[0], NULL));
  indirect = write_stage (stage, other, 0, 1);
  g_assert_true (g_file_get_contents (indirect, &second, &size[1], NULL));
  stored = write_stage (model, other, 0, 1);
  g_assert_true (g_file_get_contents (stored, &third, &size[2], NULL));
  g_assert_cmpmem (first, size[0], second, size[1]);
  g_assert_cmpmem (first, size[0], third, size[2]);
  tandem_test_remove_folder (other);
}

static void
test_names (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = write_stage (fixture->model, fixture->folder, 3, 3);
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, NULL);
  g_auto (GStrv) names = tandem_safetensors_list_tensors (file);

  g_assert_true (g_strv_contains ((const char *const *) names, "classifier.weight"));
  g_assert_true (g_strv_contains ((const char *const *) names, "bert.pooler.dense.bias"));
  g_assert_true (g_strv_contains ((const char *const *) names,
                                  "bert.encoder.layer.3.output.LayerNorm.weight"));
  g_assert_cmpstr (tandem_safetensors_get_metadata (file, "tandem.version"), ==, "1");
  g_assert_cmpstr (tandem_safetensors_get_metadata (file, "tandem.layers"), ==, "3-3");
  g_assert_cmpstr (tandem_safetensors_get_metadata (file, "format"), ==, "pt");
}

static void
test_wrong_layers (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = write_stage (fixture->model, fixture->folder, 1, 2);
  g_autofree char *out = g_build_filename (fixture->folder, "out", NULL);
  g_autoptr (TandemModel) stage = tandem_model_open (path, NULL, NULL);
  const guint wrong[][2] = { { 0, 1 }, { 2, 3 }, { 2, 1 }, { 0, 3 }, { 7, 8 } };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_false (tandem_model_write_stage (stage, wrong[i][0], wrong[i][1], out, NULL,
                                              &error));
    g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS);
    g_assert_false (g_file_test (out, G_FILE_TEST_EXISTS));
  }
}

/* Whatever bit of a stage file turns over, in its header or its data, is noticed. */
static void
test_damage (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = write_stage (fixture->model, fixture->folder, 0, 0);
  g_autofree char *text = NULL;
  gsize size, i;
  guint n = 0;

  g_assert_true (g_file_get_contents (path, &text, &size, NULL));
  for (i = 8; i < size; i += 13) {
    g_autoptr (TandemModel) stage = NULL;
    g_autoptr (GError) error = NULL;

    /* Spaces after the header's end are not part of what it says. */
    if (text[i] == ' ')
      continue;
    text[i] ^= 1;
    g_assert_true (g_file_set_contents_full (path, text, size, G_FILE_SET_CONTENTS_NONE, 0600,
                                             NULL));
    stage = tandem_model_open (path, NULL, &error);
    if (stage != NULL)
      g_error ("byte %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " was not missed", i, size);
    text[i] ^= 1;
    n++;
  }
  g_assert_cmpuint (n, >, 500);
}

static GHashTable *
read_stage (const char *path, GHashTable **metadata)
{
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, NULL);
  g_auto (GStrv) names = tandem_safetensors_list_tensors (file);
  g_auto (GStrv) keys = tandem_safetensors_list_metadata (file);
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                               (GDestroyNotify) tandem_tensor_unref);
  guint i;

  *metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (i = 0; keys[i] != NULL; i++)
    g_hash_table_insert (*metadata, g_strdup (keys[i]),
                         g_strdup (tandem_safetensors_get_metadata (file, keys[i])));
  for (i = 0; names[i] != NULL; i++)
    g_hash_table_insert (tensors, g_strdup (names[i]),
                         tandem_safetensors_get_tensor (file, names[i], NULL));
  return tensors;
}

static void
test_metadata (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *key;
    const char *value;          /* NULL: removed */
    int code;
  } changes[] = {
    { "tandem.version", "3", TANDEM_MODEL_ERROR_VERSION },
    { "tandem.version", "0", TANDEM_MODEL_ERROR_CONFIG },
    { "tandem.version", "1.0", TANDEM_MODEL_ERROR_CONFIG },
    { "tandem.version", "", TANDEM_MODEL_ERROR_CONFIG },
    { "tandem.model", NULL, TANDEM_MODEL_ERROR_CONFIG },
    { "tandem.model", "abc", TANDEM_MODEL_ERROR_CONFIG },
    { "tandem.model", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
      TANDEM_MODEL_ERROR_TENSOR },
    { "tandem.layers", NULL, TANDEM_MODEL_ERROR_CONFIG },
    { "tandem.layers", "9-9", TANDEM_MODEL_ERROR_LAYERS },
    { "tandem.layers", "0-1", TANDEM_MODEL_ERROR_TENSOR },
    { "tandem.config", NULL, TANDEM_MODEL_ERROR_CONFIG },
    { "tandem.config", "{}", TANDEM_MODEL_ERROR_CONFIG },
    { "tandem.stage", NULL, TANDEM_MODEL_ERROR_CONFIG },
    { "tandem.stage", "abc", TANDEM_MODEL_ERROR_TENSOR },
    { "tandem.tokenizer", "read-minds", TANDEM_MODEL_ERROR_TENSOR },
    { "tandem.other", "added", TANDEM_MODEL_ERROR_TENSOR },
  };
  g_autofree char *path = write_stage (fixture->model, fixture->folder, 0, 0);
  g_autofree char *changed = g_build_filename (fixture->folder, "changed.safetensors", NULL);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (changes); i++) {
    g_autoptr (GHashTable) metadata = NULL;
    g_autoptr (GHashTable) tensors = read_stage (path, &metadata);
    g_autoptr (GError) error = NULL;

    if (changes[i].value != NULL)
      g_hash_table_insert (metadata, g_strdup (changes[i].key), g_strdup (changes[i].value));
    else
      g_hash_table_remove (metadata, changes[i].key);
    g_assert_true (tandem_safetensors_write (changed, metadata, tensors, NULL, NULL));
    g_assert_null (tandem_model_open (changed, NULL, &error));
    g_test_message ("%s", error->message);
    if (!g_error_matches (error, TANDEM_MODEL_ERROR, changes[i].code))
      g_error ("%s=%s: %d: %s", changes[i].key, changes[i].value, error->code, error->message);
  }
}

/* A stage file that another program read and wrote again is still whole. */
static void
test_rewritten (Fixture *fixture, gconstpointer data)
{
  static const char script[] =
    "import sys\n"
    "try:\n"
    "    from safetensors import safe_open\n"
    "    from safetensors.numpy import save_file\n"
    "except ImportError:\n"
    "    sys.exit(77)\n"
    "with safe_open(sys.argv[1], 'np') as f:\n"
    "    save_file({k: f.get_tensor(k) for k in f.keys()}, sys.argv[2], f.metadata())\n";
  const char *python = g_getenv ("TANDEM_TEST_PYTHON");
  g_autofree char *path = write_stage (fixture->model, fixture->folder, 0, 1);
  g_autofree char *again = g_build_filename (fixture->folder, "again.safetensors", NULL);
  const char *argv[] = { python, "-c", script, path, again, NULL };
  g_autoptr (TandemModel) stage = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  if (python == NULL) {
    g_test_skip ("TANDEM_TEST_PYTHON names no Python with safetensors");
    return;
  }
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status,
                &error);
  g_assert_no_error (error);
  g_spawn_check_wait_status (status, &error);
  if (g_error_matches (error, G_SPAWN_EXIT_ERROR, 77)) {
    g_test_skip ("the Python has no safetensors");
    return;
  }
  g_assert_no_error (error);
  stage = tandem_model_open (again, NULL, &error);
  g_assert_no_error (error);
  assert_same_tensors (fixture->model, stage, 0, 1);
}

static void
test_without_vocabulary (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = write_stage (fixture->model, fixture->folder, 0, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemModel) stage = tandem_model_open (path, NULL, &error);

  g_assert_no_error (error);
  g_assert_null (tandem_model_get_tokenizer (stage, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VOCABULARY);
}

static void
test_cancelled (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = g_build_filename (fixture->folder, "out", NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_cancellable_cancel (cancellable);
  g_assert_false (tandem_model_write_stage (fixture->model, 0, 0, path, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

int
main (int argc, char **argv)
{
  static const TandemTestModel half = {
    .n_layers = 3, .hidden_size = 24, .n_heads = 3, .intermediate_size = 40, .vocab_size = 100,
    .max_positions = 16, .n_types = 1, .activation = "relu", .dtype = TANDEM_DTYPE_BF16,
    .seed = 5,
  };
  static const TandemTestModel bare = {
    .n_layers = 1, .hidden_size = 8, .n_heads = 1, .intermediate_size = 8, .vocab_size = 10,
    .max_positions = 4, .n_types = 1, .activation = "gelu", .dtype = TANDEM_DTYPE_F16,
    .no_vocabulary = TRUE, .no_classifier = TRUE, .no_pooler = TRUE, .seed = 5,
  };

  g_test_init (&argc, &argv, NULL);
#define add(path, spec, test) g_test_add (path, Fixture, spec, set_up, test, tear_down)
  add ("/stage/every-boundary", NULL, test_every_boundary);
  add ("/stage/every-boundary-bf16", &half, test_every_boundary);
  add ("/stage/same-bytes", NULL, test_same_bytes);
  add ("/stage/names", NULL, test_names);
  add ("/stage/wrong-layers", NULL, test_wrong_layers);
  add ("/stage/damage", NULL, test_damage);
  add ("/stage/metadata", NULL, test_metadata);
  add ("/stage/rewritten", NULL, test_rewritten);
  add ("/stage/without-vocabulary", &bare, test_without_vocabulary);
  add ("/stage/cancelled", NULL, test_cancelled);
  return g_test_run ();
}
