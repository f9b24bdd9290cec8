/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem quantize as a shell runs it, and what it does about a tensor that int8 spoils. */

#include "tandem.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>

#include "tandem-test-model.h"

#define WIDTH 16
#define CHANNEL 5
#define N_TEXTS 400
#define POOLER "bert.pooler.dense.weight"

typedef struct
{
  char *folder;
  char *temporary;              /* where the command puts what it tries */
  char *model;
  char *out;
  char *reviews;
  char *standard;               /* what the last run printed */
  char *errors;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;

  fixture->folder = tandem_test_make_folder ();
  fixture->temporary = g_build_filename (fixture->folder, "tmp", NULL);
  fixture->model = g_build_filename (fixture->folder, "tiny", NULL);
  fixture->out = g_build_filename (fixture->folder, "out", NULL);
  fixture->reviews = g_build_filename (fixture->folder, "reviews.tsv", NULL);
  g_mkdir (fixture->temporary, 0700);
  tandem_test_model_write (&spec, fixture->model);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_free (fixture->temporary);
  g_free (fixture->model);
  g_free (fixture->out);
  g_free (fixture->reviews);
  g_free (fixture->standard);
  g_free (fixture->errors);
  tandem_test_remove_folder (fixture->folder);
}

static GSubprocess *
start (Fixture *fixture, const char *const *args)
{
  g_autoptr (GSubprocessLauncher) launcher =
      g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  GSubprocess *process;
  guint i;

  g_ptr_array_add (argv, (char *) g_getenv ("TANDEM_TEST_TOOL"));
  g_ptr_array_add (argv, (char *) "quantize");
  for (i = 0; args[i] != NULL; i++)
    g_ptr_array_add (argv, (char *) args[i]);
  g_ptr_array_add (argv, NULL);
  g_subprocess_launcher_setenv (launcher, "TMPDIR", fixture->temporary, TRUE);
  process = g_subprocess_launcher_spawnv (launcher, (const char *const *) argv->pdata, &error);
  g_assert_no_error (error);
  return process;
}

static int
run (Fixture *fixture, const char *const *args)
{
  g_autoptr (GSubprocess) process = start (fixture, args);
  g_autoptr (GError) error = NULL;

  g_clear_pointer (&fixture->standard, g_free);
  g_clear_pointer (&fixture->errors, g_free);
  g_subprocess_communicate_utf8 (process, NULL, NULL, &fixture->standard, &fixture->errors,
                                 &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (process));
  return g_subprocess_get_exit_status (process);
}

#define RUN(fixture, ...) run (fixture, (const char *const[]) { __VA_ARGS__, NULL })

static void
assert_holds (const char *text, const char *part)
{
  if (strstr (text, part) == NULL)
    g_error ("\"%s\" is not in: %s", part, text);
}

static void
test_usage (Fixture *fixture, gconstpointer data)
{
  g_assert_cmpint (RUN (fixture, "--help"), ==, 0);
  assert_holds (fixture->standard, "--max-loss");
  g_assert_cmpint (RUN (fixture, fixture->model), ==, 2);
  assert_holds (fixture->errors, "--output");
  g_assert_cmpint (RUN (fixture, "-o", fixture->out), ==, 2);
  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "-w", "int4"), ==, 2);
  assert_holds (fixture->errors, "--weights");
  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "-a", "f32"), ==, 2);
  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "-w", "f16", "-a", "int8"),
                   ==, 2);
  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "--max-loss", "-1"), ==, 2);
  g_assert_cmpint (RUN (fixture, "/nowhere", "-o", fixture->out), ==, 1);
  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "-d", "/nowhere"), ==, 1);
  g_assert_false (g_file_test (fixture->out, G_FILE_TEST_EXISTS));
}

static void
test_formats (Fixture *fixture, gconstpointer data)
{
  const char *const weights[] = { "int8", "bf16", "f16" };
  g_autofree char *inside = g_build_filename (fixture->out, "notes", NULL);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (weights); i++) {
    g_autoptr (TandemModel) made = NULL;
    g_autoptr (GError) error = NULL;

    /* An earlier export is replaced without being asked. */
    g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "-w", weights[i]), ==, 0);
    assert_holds (fixture->standard, "accuracy was not measured");
    made = tandem_model_open (fixture->out, NULL, &error);
    g_assert_no_error (error);
    g_assert_true ((tandem_model_get_quantization (made) == TANDEM_QUANTIZATION_INT8) ==
                   (i == 0));
  }
  g_assert_true (g_file_set_contents (inside, "mine", -1, NULL));
  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out), ==, 1);
  assert_holds (fixture->errors, "notes");
  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "--force"), ==, 0);
  g_assert_cmpint (RUN (fixture, fixture->out, "-o", fixture->out), ==, 1);
  assert_holds (fixture->errors, "quantized already");
}

static TandemTensor *
copy_tensor (const TandemTensor *tensor, float **values)
{
  guint64 n = tandem_tensor_get_n_elements (tensor), shape[2] = { 0 };
  guint n_dims = tandem_tensor_get_n_dims (tensor), dim;
  g_autoptr (GBytes) bytes = NULL;

  *values = g_new (float, n);
  g_assert_true (tandem_tensor_copy_f32 (tensor, 0, n, *values));
  bytes = g_bytes_new_take (*values, n * sizeof (float));
  for (dim = 0; dim < n_dims; dim++)
    shape[dim] = tandem_tensor_get_dim (tensor, dim);
  return tandem_tensor_new (TANDEM_DTYPE_F32, n_dims, shape, bytes, NULL);
}

/* Gives back the values of a tensor, which may be changed until the file is written. */
static float *
make_writable (GHashTable *tensors, const char *name)
{
  float *values;
  TandemTensor *copy = copy_tensor (g_hash_table_lookup (tensors, name), &values);

  g_hash_table_insert (tensors, g_strdup (name), copy);
  return values;
}

/* Channel 5 of the last layer is always zero, so that the weights which the pooler has for it mean
 * nothing; in int8 they are all that is left of it. */
static void
plant_outlier (GHashTable *tensors)
{
  float *gamma = make_writable (tensors, "bert.encoder.layer.1.output.LayerNorm.weight");
  float *beta = make_writable (tensors, "bert.encoder.layer.1.output.LayerNorm.bias");
  float *pooler = make_writable (tensors, POOLER);
  guint i;

  gamma[CHANNEL] = beta[CHANNEL] = 0.0f;
  for (i = 0; i < WIDTH; i++)
    pooler[i * WIDTH + CHANNEL] = 3e4f;
}

static GHashTable *
read_weights (const char *path)
{
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, NULL);
  g_auto (GStrv) names = tandem_safetensors_list_tensors (file);
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                               (GDestroyNotify) tandem_tensor_unref);
  guint i;

  for (i = 0; names[i] != NULL; i++)
    g_hash_table_insert (tensors, g_strdup (names[i]),
                         tandem_safetensors_get_tensor (file, names[i], NULL));
  return tensors;
}

static int
compare_floats (gconstpointer a, gconstpointer b)
{
  float left = *(const float *) a, right = *(const float *) b;

  return (left > right) - (left < right);
}

/* How much more the model finds each text positive than negative. */
static void
judge (Fixture *fixture, char **texts, float *margins)
{
  g_autoptr (TandemModel) model = tandem_model_open (fixture->model, NULL, NULL);
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, NULL);
  g_autoptr (TandemBertStage) stage = tandem_bert_stage_new (model, 0, 1, TANDEM_PRECISION_F32, 1,
                                                             TANDEM_BERT_STAGE_NONE, NULL);
  guint i;

  for (i = 0; i < N_TEXTS; i++) {
    g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
    guint32 offsets[2] = { 0 };
    float logits[2];

    tandem_tokenizer_encode_into (tokenizer, texts[i], strlen (texts[i]), 32, ids, NULL);
    offsets[1] = ids->len;
    g_assert_true (tandem_bert_stage_forward_tokens (stage, (const gint32 *) (gpointer) ids->data,
                                                     1, offsets, logits, NULL, NULL));
    margins[i] = logits[1] - logits[0];
  }
}

/* Makes a model that tells made-up texts apart, and the texts with what it says of them; those
 * that it is least sure about are left out. */
static void
make_model (Fixture *fixture, gboolean outlier)
{
  g_autofree char *path = g_build_filename (fixture->model, "model.safetensors", NULL);
  g_autoptr (GHashTable) tensors = read_weights (path);
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  g_autoptr (GString) lines = g_string_new (NULL);
  g_autofree float *margins = g_new (float, N_TEXTS);
  g_autofree float *sorted = NULL;
  g_auto (GStrv) texts = g_new0 (char *, N_TEXTS + 1);
  guint i, k;

  for (i = 0; i < N_TEXTS; i++) {
    guint n = g_rand_int_range (rand, 4, 12);

    texts[i] = g_new0 (char, 2 * n + 1);
    for (k = 0; k < n; k++) {
      texts[i][2 * k] = 'a' + g_rand_int_range (rand, 0, 26);
      texts[i][2 * k + 1] = ' ';
    }
  }
  if (outlier)
    plant_outlier (tensors);
  g_assert_true (tandem_safetensors_write (path, NULL, tensors, NULL, NULL));
  judge (fixture, texts, margins);
  sorted = g_memdup2 (margins, N_TEXTS * sizeof (float));
  qsort (sorted, N_TEXTS, sizeof (float), compare_floats);
  make_writable (tensors, "classifier.bias")[1] -= sorted[N_TEXTS / 2];
  g_assert_true (tandem_safetensors_write (path, NULL, tensors, NULL, NULL));
  for (i = 0; i < N_TEXTS; i++)
    if (margins[i] < sorted[N_TEXTS / 4] || margins[i] > sorted[3 * N_TEXTS / 4])
      g_string_append_printf (lines, "%s\t%s\n", margins[i] > sorted[N_TEXTS / 2] ? "pos" : "neg",
                              texts[i]);
  g_assert_true (g_file_set_contents (fixture->reviews, lines->str, -1, NULL));
}

static JsonObject *
parse (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) root = json_from_string (fixture->standard, &error);

  g_assert_no_error (error);
  return json_node_dup_object (root);
}

static TandemDtype
get_dtype (Fixture *fixture, const char *name)
{
  g_autofree char *path = g_build_filename (fixture->out, "model.safetensors", NULL);
  g_autoptr (GHashTable) tensors = read_weights (path);

  return tandem_tensor_get_dtype (g_hash_table_lookup (tensors, name));
}

static void
assert_empty (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);

  g_assert_null (g_dir_read_name (dir));
}

static void
test_guard (Fixture *fixture, gconstpointer data)
{
  g_autoptr (JsonObject) careful = NULL;
  g_autoptr (JsonObject) careless = NULL;
  JsonArray *names;

  make_model (fixture, TRUE);
  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "-d", fixture->reviews,
                        "--max-loss", "2", "--json"), ==, 0);
  careful = parse (fixture);
  g_assert_cmpfloat (json_object_get_double_member (careful, "accuracy_before"), ==, 1.0);
  g_assert_cmpfloat (json_object_get_double_member (careful, "accuracy"), >=, 0.98);
  names = json_object_get_array_member (careful, "not_quantized");
  g_assert_cmpuint (json_array_get_length (names), ==, 1);
  g_assert_cmpstr (json_array_get_string_element (names, 0), ==, "pooler.dense.weight");
  g_assert_cmpint (get_dtype (fixture, POOLER), ==, TANDEM_DTYPE_F32);
  g_assert_cmpint (get_dtype (fixture, "bert.encoder.layer.1.output.dense.weight"), ==,
                   TANDEM_DTYPE_I8);
  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "-d", fixture->reviews,
                        "--max-loss", "2"), ==, 0);
  assert_holds (fixture->standard, "not quantized: pooler.dense.weight");

  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "-d", fixture->reviews,
                        "--max-loss", "100", "--json"), ==, 0);
  careless = parse (fixture);
  g_assert_cmpfloat (json_object_get_double_member (careless, "accuracy"), <, 0.9);
  g_assert_cmpint (get_dtype (fixture, POOLER), ==, TANDEM_DTYPE_I8);
  assert_empty (fixture->temporary);
}

static void
test_no_guard_needed (Fixture *fixture, gconstpointer data)
{
  g_autoptr (JsonObject) result = NULL;

  make_model (fixture, FALSE);
  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "-d", fixture->reviews,
                        "--max-loss", "2", "--json"), ==, 0);
  result = parse (fixture);
  g_assert_cmpfloat (json_object_get_double_member (result, "accuracy"), >=, 0.98);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (result,
                                                                         "not_quantized")), ==, 0);
  g_assert_cmpint (json_object_get_int_member (result, "bytes"), <,
                   json_object_get_int_member (result, "bytes_before") / 2);
}

static void
test_bad_reviews (Fixture *fixture, gconstpointer data)
{
  g_assert_true (g_file_set_contents (fixture->reviews, "unsup\ta b c\n", -1, NULL));
  g_assert_cmpint (RUN (fixture, fixture->model, "-o", fixture->out, "-d", fixture->reviews), ==,
                   1);
  g_assert_false (g_file_test (fixture->out, G_FILE_TEST_EXISTS));
  assert_empty (fixture->temporary);
}

/* A signal leaves a whole model or none, and nothing else. */
static void
test_interrupted (Fixture *fixture, gconstpointer data)
{
  const char *const args[] = { fixture->model, "-o", fixture->out, "-d", fixture->reviews,
                               "--max-loss", "2", NULL };
  guint delay;

  make_model (fixture, TRUE);
  for (delay = 5; delay <= 125; delay += 20) {
    g_autoptr (GSubprocess) process = start (fixture, args);
    gboolean exited;

    g_usleep (delay * 1000);
    g_subprocess_send_signal (process, SIGINT);
    g_assert_true (g_subprocess_wait (process, NULL, NULL));
    exited = g_subprocess_get_if_exited (process);
    if (exited && g_subprocess_get_exit_status (process) == 0) {
      g_autoptr (GError) error = NULL;
      g_autoptr (TandemModel) made = tandem_model_open (fixture->out, NULL, &error);

      g_assert_no_error (error);
      tandem_test_remove_folder (g_strdup (fixture->out));
    }
    g_assert_false (g_file_test (fixture->out, G_FILE_TEST_EXISTS));
    /* It has to clean up what it tried, where it was told and not killed. */
    if (exited)
      assert_empty (fixture->temporary);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (g_getenv ("TANDEM_TEST_TOOL") == NULL) {
    g_print ("Bail out! TANDEM_TEST_TOOL names no tandem command\n");
    return 1;
  }
#define ADD(path, test) g_test_add (path, Fixture, NULL, set_up, test, tear_down)
  ADD ("/quantize/command/usage", test_usage);
  ADD ("/quantize/command/formats", test_formats);
  ADD ("/quantize/command/guard", test_guard);
  ADD ("/quantize/command/no-guard-needed", test_no_guard_needed);
  ADD ("/quantize/command/bad-reviews", test_bad_reviews);
  ADD ("/quantize/command/interrupted", test_interrupted);
  return g_test_run ();
}
