/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "tandem-test-model.h"

typedef struct
{
  char *folder;
  char *source;                 /* a model's folder in it */
  char *target;                 /* where nothing is yet */
  TandemModel *model;
  GHashTable *tensors;          /* those of the model */
} Fixture;

static GHashTable *
list_tensors (TandemModel *model)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                               (GDestroyNotify) tandem_tensor_unref);
  g_auto (GStrv) names = tandem_model_list_tensors (model);
  guint i;

  for (i = 0; names[i] != NULL; i++)
    g_hash_table_insert (tensors, g_strdup (names[i]),
                         tandem_model_get_tensor (model, names[i], NULL));
  return tensors;
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autoptr (GError) error = NULL;

  if (data != NULL)
    spec = *(const TandemTestModel *) data;
  fixture->folder = tandem_test_make_folder ();
  fixture->source = g_build_filename (fixture->folder, "source", NULL);
  fixture->target = g_build_filename (fixture->folder, "a", "b", "target", NULL);
  tandem_test_model_write (&spec, fixture->source);
  fixture->model = tandem_model_open (fixture->source, NULL, &error);
  g_assert_no_error (error);
  fixture->tensors = list_tensors (fixture->model);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_hash_table_unref (fixture->tensors);
  g_object_unref (fixture->model);
  g_free (fixture->source);
  g_free (fixture->target);
  tandem_test_remove_folder (fixture->folder);
}

static gboolean
export (Fixture *fixture, TandemDtype dtype, TandemModelExportFlags flags, GError **error)
{
  return tandem_model_export (fixture->model, NULL, fixture->tensors, NULL, dtype,
                              fixture->target, flags, NULL, error);
}

static void
assert_same_values (TandemModel *model, GHashTable *tensors)
{
  g_auto (GStrv) names = tandem_model_list_tensors (model);
  guint i;

  g_assert_cmpuint (g_strv_length (names), ==, g_hash_table_size (tensors));
  for (i = 0; names[i] != NULL; i++) {
    g_autoptr (TandemTensor) found = tandem_model_get_tensor (model, names[i], NULL);
    TandemTensor *expected = g_hash_table_lookup (tensors, names[i]);
    guint64 n = tandem_tensor_get_n_elements (found);
    g_autofree float *a = g_new (float, n);
    g_autofree float *b = g_new (float, n);

    g_assert_nonnull (expected);
    g_assert_true (tandem_tensor_copy_f32 (found, 0, n, a));
    g_assert_true (tandem_tensor_copy_f32 (expected, 0, n, b));
    g_assert_cmpmem (a, n * sizeof *a, b, n * sizeof *b);
  }
}

/* The weights of test models are the same in all element types. */
static void
check_round (Fixture *fixture, TandemDtype dtype)
{
  g_autofree char *stage_path = g_build_filename (fixture->folder, "stage.safetensors", NULL);
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (TandemModel) stage = NULL;
  g_autoptr (TandemTokenizer) before = tandem_model_get_tokenizer (fixture->model, NULL);
  g_autoptr (TandemTokenizer) after = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemTensor) tensor = NULL;
  guint n_layers = tandem_model_get_config (fixture->model)->n_layers;

  export (fixture, dtype, TANDEM_MODEL_EXPORT_NONE, &error);
  g_assert_no_error (error);
  model = tandem_model_open (fixture->target, NULL, &error);
  g_assert_no_error (error);
  assert_same_values (model, fixture->tensors);
  tensor = tandem_model_get_tensor (model, "classifier.weight", NULL);
  g_assert_cmpint (tandem_tensor_get_dtype (tensor), ==, (int) dtype);
  g_assert_cmpstrv (tandem_model_get_config (model)->labels,
                    tandem_model_get_config (fixture->model)->labels);
  after = tandem_model_get_tokenizer (model, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (tandem_tokenizer_get_fingerprint (after), ==,
                   tandem_tokenizer_get_fingerprint (before));
  if (dtype == TANDEM_DTYPE_F32)
    g_assert_cmpstr (tandem_model_get_fingerprint (model), ==,
                     tandem_model_get_fingerprint (fixture->model));

  tandem_model_write_stage (model, 0, n_layers - 1, stage_path, NULL, &error);
  g_assert_no_error (error);
  stage = tandem_model_open (stage_path, NULL, &error);
  g_assert_no_error (error);
  assert_same_values (stage, fixture->tensors);
}

static void
test_f32 (Fixture *fixture, gconstpointer data)
{
  check_round (fixture, TANDEM_DTYPE_F32);
}

static void
test_f16 (Fixture *fixture, gconstpointer data)
{
  check_round (fixture, TANDEM_DTYPE_F16);
}

/* A stage file has neither tokenizer.json nor a folder to take files from. */
static void
test_from_stage (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = g_build_filename (fixture->folder, "whole.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  guint n_layers = tandem_model_get_config (fixture->model)->n_layers;

  tandem_model_write_stage (fixture->model, 0, n_layers - 1, path, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&fixture->model);
  fixture->model = tandem_model_open (path, NULL, &error);
  g_assert_no_error (error);
  check_round (fixture, TANDEM_DTYPE_F32);
}

static void
put_value (Fixture *fixture, const char *name, guint64 rows, float value)
{
  g_autofree float *values = g_new0 (float, rows);
  g_autoptr (GBytes) bytes = NULL;

  values[rows - 1] = value;
  bytes = g_bytes_new (values, rows * sizeof *values);
  g_hash_table_replace (fixture->tensors, g_strdup (name),
                        tandem_tensor_new (TANDEM_DTYPE_F32, 1, &rows, bytes, NULL));
}

/* Each float16 there is survives, and what lies between goes to the nearest, even ones first. */
static void
test_rounding (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    float value, rounded;
  } cases[] = {
    { 1.0f + 0x1p-11f, 1.0f }, { 1.0f + 0x1.8p-10f, 1.0f + 0x1p-9f },
    { 1.0f + 0x1.001p-11f, 1.0f + 0x1p-10f }, { -65504.0f, -65504.0f },
    { 65519.99f, 65504.0f }, { 0x1p-24f, 0x1p-24f }, { 0x1p-25f, 0.0f },
    { 0x1.8p-24f, 0x1p-23f }, { -0x1.1p-25f, -0x1p-24f }, { 0x1.ff8p-15f, 0x1.ff8p-15f },
    { 0x1.ffcp-15f, 0x1p-14f }, { -0.0f, -0.0f }, { 0x1p-14f, 0x1p-14f },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (TandemModel) model = NULL;
    g_autoptr (TandemTensor) tensor = NULL;
    g_autoptr (GError) error = NULL;
    float value;

    put_value (fixture, "pooler.dense.bias", 16, cases[i].value);
    export (fixture, TANDEM_DTYPE_F16, TANDEM_MODEL_EXPORT_NONE, &error);
    g_assert_no_error (error);
    model = tandem_model_open (fixture->target, NULL, &error);
    g_assert_no_error (error);
    tensor = tandem_model_get_tensor (model, "pooler.dense.bias", NULL);
    g_assert_true (tandem_tensor_copy_f32 (tensor, 15, 1, &value));
    g_test_message ("%a becomes %a", cases[i].value, value);
    g_assert_cmpmem (&value, sizeof value, &cases[i].rounded, sizeof value);
  }
}

static void
assert_train_error (gboolean ok, GError **error, TandemTrainError code, const char *part)
{
  g_assert_false (ok);
  g_assert_error (*error, TANDEM_TRAIN_ERROR, (int) code);
  if (strstr ((*error)->message, part) == NULL)
    g_error ("\"%s\" lacks \"%s\"", (*error)->message, part);
  g_clear_error (error);
}

static void
test_refused (Fixture *fixture, gconstpointer data)
{
  const char *const three[] = { "a", "b", "c", NULL }, *const twice[] = { "a", "a", NULL };
  g_autoptr (GError) error = NULL;

  put_value (fixture, "pooler.dense.bias", 16, 65520.0f);
  assert_train_error (export (fixture, TANDEM_DTYPE_F16, 0, &error), &error,
                      TANDEM_TRAIN_ERROR_TENSOR, "element 15 of tensor \"pooler.dense.bias\"");
  put_value (fixture, "pooler.dense.bias", 16, NAN);
  assert_train_error (export (fixture, TANDEM_DTYPE_F32, 0, &error), &error,
                      TANDEM_TRAIN_ERROR_NOT_FINITE, "element 15 of tensor \"pooler.dense.bias\"");
  put_value (fixture, "pooler.dense.bias", 17, 0.0f);
  assert_train_error (export (fixture, TANDEM_DTYPE_F32, 0, &error), &error,
                      TANDEM_TRAIN_ERROR_TENSOR, "\"pooler.dense.bias\" has 17 elements");
  g_hash_table_remove (fixture->tensors, "pooler.dense.bias");
  assert_train_error (export (fixture, TANDEM_DTYPE_F32, 0, &error), &error,
                      TANDEM_TRAIN_ERROR_TENSOR, "\"pooler.dense.bias\" is missing");
  put_value (fixture, "pooler.dense.bias", 16, 0.0f);
  put_value (fixture, "momentum", 1, 0.0f);
  assert_train_error (export (fixture, TANDEM_DTYPE_F32, 0, &error), &error,
                      TANDEM_TRAIN_ERROR_TENSOR, "\"momentum\" is none of a model");
  g_hash_table_remove (fixture->tensors, "momentum");

  assert_train_error (tandem_model_export (fixture->model, NULL, fixture->tensors, three,
                                           TANDEM_DTYPE_F32, fixture->target, 0, NULL, &error),
                      &error, TANDEM_TRAIN_ERROR_LABEL, "3 labels for a classifier of 2");
  assert_train_error (tandem_model_export (fixture->model, NULL, fixture->tensors, twice,
                                           TANDEM_DTYPE_F32, fixture->target, 0, NULL, &error),
                      &error, TANDEM_TRAIN_ERROR_LABEL, "two classes have the label \"a\"");
  g_assert_false (g_file_test (fixture->target, G_FILE_TEST_EXISTS));
}

static void
put_file (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, "mine", -1, NULL));
}

static void
assert_nothing_beside (Fixture *fixture)
{
  g_autofree char *parent = g_path_get_dirname (fixture->target);
  g_autoptr (GDir) dir = g_dir_open (parent, 0, NULL);

  g_assert_cmpstr (g_dir_read_name (dir), ==, "target");
  g_assert_null (g_dir_read_name (dir));
}

static void
test_replacing (Fixture *fixture, gconstpointer data)
{
  g_autofree char *inner = g_build_filename (fixture->target, "folder", NULL);
  g_autofree char *file = g_build_filename (fixture->folder, "file", NULL);
  g_autofree char *note = g_build_filename (fixture->target, "note.txt", NULL);
  g_autoptr (GError) error = NULL;

  /* An empty folder, then an earlier export. */
  g_assert_cmpint (g_mkdir_with_parents (fixture->target, 0700), ==, 0);
  g_assert_true (tandem_model_export_check (fixture->target, 0, &error));
  g_assert_true (export (fixture, TANDEM_DTYPE_F32, 0, &error));
  g_assert_true (export (fixture, TANDEM_DTYPE_F16, 0, &error));
  g_assert_true (tandem_model_export_check (fixture->target, 0, &error));
  assert_nothing_beside (fixture);

  /* Somebody's note in it. */
  put_file (fixture->target, "note.txt");
  assert_train_error (tandem_model_export_check (fixture->target, 0, &error), &error,
                      TANDEM_TRAIN_ERROR_EXISTS, "\"note.txt\"");
  assert_train_error (export (fixture, TANDEM_DTYPE_F32, 0, &error), &error,
                      TANDEM_TRAIN_ERROR_EXISTS, "\"note.txt\"");
  g_assert_true (export (fixture, TANDEM_DTYPE_F32, TANDEM_MODEL_EXPORT_REPLACE, &error));
  g_assert_false (g_file_test (note, G_FILE_TEST_EXISTS));

  /* A folder in it is never removed. */
  put_file (inner, "deep.txt");
  assert_train_error (export (fixture, TANDEM_DTYPE_F32, TANDEM_MODEL_EXPORT_REPLACE, &error),
                      &error, TANDEM_TRAIN_ERROR_EXISTS, "holds the folder \"folder\"");
  g_assert_true (g_file_test (inner, G_FILE_TEST_IS_DIR));
  assert_nothing_beside (fixture);

  /* A model that somebody else wrote. */
  assert_train_error (tandem_model_export_check (fixture->source, 0, &error), &error,
                      TANDEM_TRAIN_ERROR_EXISTS, "not one that Tandem exported");

  /* A file. */
  put_file (fixture->folder, "file");
  g_assert_false (tandem_model_export_check (file, TANDEM_MODEL_EXPORT_REPLACE, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY);
}

static void
test_link (Fixture *fixture, gconstpointer data)
{
  g_autofree char *link = g_build_filename (fixture->folder, "link", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (link);
  g_autoptr (GError) error = NULL;

  g_assert_true (export (fixture, TANDEM_DTYPE_F32, 0, &error));
  g_assert_true (g_file_make_symbolic_link (file, fixture->target, NULL, &error));
  g_assert_true (tandem_model_export (fixture->model, NULL, fixture->tensors, NULL,
                                      TANDEM_DTYPE_F16, link, 0, NULL, &error));
  g_assert_true (g_file_test (link, G_FILE_TEST_IS_SYMLINK));
  assert_nothing_beside (fixture);
}

static void
test_labels (Fixture *fixture, gconstpointer data)
{
  const char *const labels[] = { "bad", "g\"\xc3\xb6\"od", NULL };
  g_autofree char *plain = g_strdup (tandem_model_get_config_text (fixture->model));
  g_autofree char *config = NULL;
  g_autofree char *path = g_build_filename (fixture->target, "config.json", NULL);
  g_autofree char *text = NULL;
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (GError) error = NULL;

  *strrchr (plain, '}') = ',';
  config = g_strconcat (plain, " \"num_labels\": 2, \"_name_or_path\": "
                        "\"/somewhere\", \"torch_dtype\": \"bfloat16\", \"dtype\": \"bfloat16\"}", NULL);
  tandem_model_export (fixture->model, config, fixture->tensors, labels, TANDEM_DTYPE_F32,
                       fixture->target, 0, NULL, &error);
  g_assert_no_error (error);
  model = tandem_model_open (fixture->target, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstrv (tandem_model_get_config (model)->labels, labels);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_null (strstr (text, "somewhere"));
  g_assert_null (strstr (text, "num_labels"));
  g_assert_null (strstr (text, "bfloat16"));
  g_assert_nonnull (strstr (text, "\"torch_dtype\" : \"float32\""));
  g_assert_nonnull (strstr (text, "\"BertForSequenceClassification\""));
}

static void
test_cancelled (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *parent = g_path_get_dirname (fixture->target);

  g_cancellable_cancel (cancellable);
  g_assert_false (tandem_model_export (fixture->model, NULL, fixture->tensors, NULL,
                                       TANDEM_DTYPE_F32, fixture->target, 0, cancellable,
                                       &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (g_rmdir (parent), ==, 0);
}

int
main (int argc, char **argv)
{
  TandemTestModel albert = TANDEM_TEST_MODEL_INIT;

  albert.albert = TRUE;
  albert.embedding_size = 8;
  albert.n_groups = 1;

  g_test_init (&argc, &argv, NULL);
#define ADD(name, f, spec) \
  g_test_add ("/train/export/" name, Fixture, spec, set_up, f, tear_down)
  ADD ("f32", test_f32, NULL);
  ADD ("f16", test_f16, NULL);
  ADD ("albert", test_f32, &albert);
  ADD ("from-stage", test_from_stage, NULL);
  ADD ("rounding", test_rounding, NULL);
  ADD ("refused", test_refused, NULL);
  ADD ("replacing", test_replacing, NULL);
  ADD ("link", test_link, NULL);
  ADD ("labels", test_labels, NULL);
  ADD ("cancelled", test_cancelled, NULL);
#undef ADD
  return g_test_run ();
}
