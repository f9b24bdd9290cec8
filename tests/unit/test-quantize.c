/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Models with fewer bits a weight: what is written, what is read again, and what is refused. */

#include "tandem.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "tandem-test-model.h"

#define DENSE "encoder.layer.1.output.dense.weight"
#define WORDS "embeddings.word_embeddings.weight"

typedef struct
{
  char *folder;
  char *out;
  TandemModel *model;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *source = NULL;
  g_autoptr (GError) error = NULL;

  fixture->folder = tandem_test_make_folder ();
  source = g_build_filename (fixture->folder, "source", NULL);
  fixture->out = g_build_filename (fixture->folder, "out", NULL);
  tandem_test_model_write (&spec, source);
  fixture->model = tandem_model_open (source, NULL, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_object_unref (fixture->model);
  g_free (fixture->out);
  tandem_test_remove_folder (fixture->folder);
}

static TandemModel *
quantize (Fixture *fixture, TandemQuantizeFormat format, const char *const *kept)
{
  g_autoptr (GError) error = NULL;
  TandemModel *made;

  tandem_quantize_model (fixture->model, format, kept, fixture->out, TANDEM_MODEL_EXPORT_REPLACE,
                         NULL, &error);
  g_assert_no_error (error);
  made = tandem_model_open (fixture->out, NULL, &error);
  g_assert_no_error (error);
  return made;
}

static TandemDtype
get_dtype (TandemModel *model, const char *name)
{
  g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (model, name, NULL);

  g_assert_nonnull (tensor);
  return tandem_tensor_get_dtype (tensor);
}

static TandemTensor *
make_tensor (guint64 rows, guint64 columns, const float *values)
{
  guint64 shape[] = { rows, columns };
  g_autoptr (GBytes) bytes = g_bytes_new (values, rows * columns * sizeof (float));

  return tandem_tensor_new (TANDEM_DTYPE_F32, 2, shape, bytes, NULL);
}

static void
check_rows (gboolean half, TandemDtype dtype, float size)
{
  float values[5][7], found, scale;
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  g_autoptr (TandemTensor) tensor = NULL;
  g_autoptr (TandemTensor) scales = NULL;
  g_autoptr (TandemTensor) numbers = NULL;
  g_autoptr (GError) error = NULL;
  guint r, c;

  for (r = 0; r < 5; r++)
    for (c = 0; c < 7; c++)
      values[r][c] = r == 2 ? 0.0f : (float) g_rand_double_range (rand, -size, size) * (r + 1);
  tensor = make_tensor (5, 7, &values[0][0]);
  numbers = tandem_quantize_rows (tensor, half, &scales, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tandem_tensor_get_dtype (numbers), ==, TANDEM_DTYPE_I8);
  g_assert_cmpint (tandem_tensor_get_dtype (scales), ==, dtype);
  for (r = 0; r < 5; r++) {
    tandem_tensor_copy_f32 (scales, r, 1, &scale);
    g_assert_true (r == 2 ? scale == 0.0f : scale > 0.0f);
    for (c = 0; c < 7; c++) {
      tandem_tensor_copy_f32 (numbers, 7 * r + c, 1, &found);
      /* A scale that is rounded to half may cut the largest number by 127 half units. */
      g_assert_cmpfloat (fabsf (found * scale - values[r][c]), <=,
                         scale * (half ? 0.57f : 0.50001f));
    }
  }
}

static void
test_rows (void)
{
  check_rows (FALSE, TANDEM_DTYPE_F32, 1.0f);
  check_rows (TRUE, TANDEM_DTYPE_F16, 1.0f);
  /* Steps that half cannot say. */
  check_rows (TRUE, TANDEM_DTYPE_F32, 1e-4f);
  check_rows (TRUE, TANDEM_DTYPE_F32, 1e30f);
}

static void
test_bad_rows (void)
{
  float values[] = { 1.0f, NAN, 2.0f, 3.0f };
  guint64 n = 4;
  g_autoptr (TandemTensor) matrix = make_tensor (2, 2, values);
  g_autoptr (GBytes) bytes = g_bytes_new (values, sizeof values);
  g_autoptr (TandemTensor) vector = tandem_tensor_new (TANDEM_DTYPE_F32, 1, &n, bytes, NULL);
  g_autoptr (GError) error = NULL;
  TandemTensor *scales;

  g_assert_null (tandem_quantize_rows (matrix, FALSE, &scales, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR);
  g_assert_null (scales);
  g_clear_error (&error);
  g_assert_null (tandem_quantize_rows (vector, FALSE, &scales, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR);
}

static void
test_int8 (Fixture *fixture, gconstpointer data)
{
  const char *const kept[] = { DENSE, NULL };
  g_autoptr (TandemModel) made = quantize (fixture, TANDEM_QUANTIZE_INT8, kept);
  g_autoptr (TandemModel) weights = NULL;
  g_auto (GStrv) names = tandem_quantize_list_tensors (fixture->model);
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (made, NULL);
  guint i;

  g_assert_nonnull (tokenizer);
  g_assert_cmpint (tandem_model_get_quantization (made), ==, TANDEM_QUANTIZATION_INT8);
  g_assert_cmpint (tandem_model_get_quantization (fixture->model), ==, TANDEM_QUANTIZATION_NONE);
  g_assert_cmpstr (tandem_model_get_config_text (made), ==,
                   tandem_model_get_config_text (fixture->model));
  /* Two tables, six matrices a layer, the pooler. */
  g_assert_cmpuint (g_strv_length (names), ==, 2 + 2 * 6 + 1);
  for (i = 0; names[i] != NULL; i++)
    g_assert_cmpint (get_dtype (made, names[i]), ==,
                     g_str_equal (names[i], DENSE) ? TANDEM_DTYPE_F32 : TANDEM_DTYPE_I8);
  g_assert_cmpint (get_dtype (made, "classifier.weight"), ==, TANDEM_DTYPE_F32);
  g_assert_cmpint (get_dtype (made, WORDS ".scale"), ==, TANDEM_DTYPE_F16);

  /* What activations are rounded to is a part of what the model computes. */
  weights = quantize (fixture, TANDEM_QUANTIZE_INT8_WEIGHTS, kept);
  g_assert_cmpint (tandem_model_get_quantization (weights), ==, TANDEM_QUANTIZATION_WEIGHTS);
  g_assert_cmpstr (tandem_model_get_fingerprint (weights), !=, tandem_model_get_fingerprint (made));
  g_assert_cmpstr (tandem_model_get_fingerprint (weights), !=,
                   tandem_model_get_fingerprint (fixture->model));
}

static void
test_halves (Fixture *fixture, gconstpointer data)
{
  const TandemQuantizeFormat formats[] = { TANDEM_QUANTIZE_BF16, TANDEM_QUANTIZE_F16 };
  const TandemDtype dtypes[] = { TANDEM_DTYPE_BF16, TANDEM_DTYPE_F16 };
  const char *const types[] = { "\"bfloat16\"", "\"float16\"" };
  guint i, f, k;

  for (f = 0; f < G_N_ELEMENTS (formats); f++) {
    g_autoptr (TandemModel) made = quantize (fixture, formats[f], NULL);
    g_auto (GStrv) names = tandem_model_list_tensors (made);

    g_assert_cmpint (tandem_model_get_quantization (made), ==, TANDEM_QUANTIZATION_NONE);
    g_assert_nonnull (strstr (tandem_model_get_config_text (made), types[f]));
    for (i = 0; names[i] != NULL; i++) {
      g_autoptr (TandemTensor) before = tandem_model_get_tensor (fixture->model, names[i], NULL);
      g_autoptr (TandemTensor) after = tandem_model_get_tensor (made, names[i], NULL);

      g_assert_cmpint (tandem_tensor_get_dtype (after), ==, dtypes[f]);
      /* These weights have few enough bits to come through. */
      for (k = 0; k < tandem_tensor_get_n_elements (before); k++) {
        float left, right;

        tandem_tensor_copy_f32 (before, k, 1, &left);
        tandem_tensor_copy_f32 (after, k, 1, &right);
        g_assert_cmpfloat (left, ==, right);
      }
    }
  }
}

static void
assert_refused (Fixture *fixture, TandemModel *model, const char *const *kept, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *out = g_build_filename (fixture->folder, "refused", NULL);

  g_assert_false (tandem_quantize_model (model, TANDEM_QUANTIZE_INT8, kept, out,
                                         TANDEM_MODEL_EXPORT_NONE, NULL, &error));
  g_assert_nonnull (error);
  if (strstr (error->message, text) == NULL)
    g_error ("\"%s\" is not in: %s", text, error->message);
  g_assert_false (g_file_test (out, G_FILE_TEST_EXISTS));
}

static void
test_refusals (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemModel) made = quantize (fixture, TANDEM_QUANTIZE_INT8, NULL);
  g_autofree char *path = g_build_filename (fixture->folder, "stage.safetensors", NULL);
  const char *const unknown[] = { "encoder.layer.9.output.dense.weight", NULL };
  g_autoptr (TandemModel) stage = NULL;

  g_assert_true (tandem_model_write_stage (fixture->model, 0, 0, path, NULL, NULL));
  stage = tandem_model_open (path, NULL, NULL);
  assert_refused (fixture, made, NULL, "quantized already");
  assert_refused (fixture, stage, NULL, "stage file");
  assert_refused (fixture, fixture->model, unknown, "encoder.layer.9");
}

/* What is trained are the floats that int8 stands for. */
static void
test_training (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemModel) made = quantize (fixture, TANDEM_QUANTIZE_INT8, NULL);
  static const char *const names[] = { WORDS, DENSE };
  const TandemTrainOptions options = { .seed = 1 };
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemTrainStage) stage = tandem_train_stage_new (made, 0, 1, &options, &error);
  g_autoptr (GHashTable) tensors = NULL;
  guint i;

  g_assert_no_error (error);
  tensors = tandem_train_stage_get_tensors (stage);
  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *scale_name = g_strconcat (names[i], ".scale", NULL);
    g_autoptr (TandemTensor) numbers = tandem_model_get_tensor (made, names[i], NULL);
    g_autoptr (TandemTensor) scales = tandem_model_get_tensor (made, scale_name, NULL);
    const gint8 *number = tandem_tensor_get_data (numbers, NULL);
    const float *found =
        tandem_tensor_get_data (g_hash_table_lookup (tensors, names[i]), NULL);
    guint64 n = tandem_tensor_get_n_elements (numbers), k;

    for (k = 0; k < n; k++) {
      float scale;

      tandem_tensor_copy_f32 (scales, k / tandem_tensor_get_dim (numbers, 1), 1, &scale);
      g_assert_cmpfloat (found[k], ==, number[k] * scale);
    }
  }
}

/* The version says who can read a stage file. */
static void
test_stage_version (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemModel) made = quantize (fixture, TANDEM_QUANTIZE_INT8, NULL);
  TandemModel *models[] = { fixture->model, made };
  const char *const versions[] = { "1", "2" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (models); i++) {
    g_autofree char *path = g_build_filename (fixture->folder, "stage.safetensors", NULL);
    g_autoptr (TandemSafetensors) file = NULL;
    g_autoptr (TandemModel) stage = NULL;
    g_autoptr (GError) error = NULL;

    tandem_model_write_stage (models[i], 1, 1, path, NULL, &error);
    g_assert_no_error (error);
    file = tandem_safetensors_open (path, NULL);
    g_assert_cmpstr (tandem_safetensors_get_metadata (file, "tandem.version"), ==, versions[i]);
    stage = tandem_model_open (path, NULL, &error);
    g_assert_no_error (error);
    g_assert_cmpint (tandem_model_get_quantization (stage), ==,
                     tandem_model_get_quantization (models[i]));
    g_assert_cmpstr (tandem_model_get_fingerprint (stage), ==,
                     tandem_model_get_fingerprint (models[i]));
  }
}

/* What a file may hold that must be refused; tensors are the good file's but for one. */
typedef struct
{
  const char *metadata;         /* tandem.quantization, or NULL */
  const char *replaced;         /* a tensor of the file */
  TandemDtype dtype;
  guint64 rows;                 /* 0: it is missing */
  float value;                  /* of each element of F32 */
  const char *text;             /* in the message */
} Bad;

#define INT8 "weights=int8,activations=int8"
#define FILE_DENSE "bert." DENSE

static const Bad bad_files[] = {
  { NULL, FILE_DENSE ".scale", TANDEM_DTYPE_F32, 16, 1.0f, "tandem.quantization" },
  { "weights=int4", FILE_DENSE ".scale", TANDEM_DTYPE_F32, 16, 1.0f, "update Tandem" },
  { INT8, FILE_DENSE ".scale", TANDEM_DTYPE_F32, 0, 1.0f, "are missing" },
  { INT8, FILE_DENSE ".scale", TANDEM_DTYPE_F32, 15, 1.0f, "[16]" },
  { INT8, FILE_DENSE ".scale", TANDEM_DTYPE_F32, 17, 1.0f, "[16]" },
  { INT8, FILE_DENSE ".scale", TANDEM_DTYPE_F32, 16, NAN, "for row 0" },
  { INT8, FILE_DENSE ".scale", TANDEM_DTYPE_F32, 16, INFINITY, "for row 0" },
  { INT8, FILE_DENSE ".scale", TANDEM_DTYPE_F32, 16, -1.0f, "for row 0" },
  { INT8, FILE_DENSE ".scale", TANDEM_DTYPE_I32, 16, 0.0f, "F32 or F16" },
  { INT8, "bert.encoder.layer.1.output.dense.bias", TANDEM_DTYPE_I8, 16, 0.0f, "only matrices" },
};

static TandemTensor *
make_bad (const Bad *bad)
{
  gsize size = bad->rows * tandem_dtype_get_size (bad->dtype), i;
  guint8 *data = g_malloc0 (size);
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, size);

  for (i = 0; bad->dtype == TANDEM_DTYPE_F32 && i < bad->rows; i++)
    memcpy (data + 4 * i, &bad->value, sizeof bad->value);
  return tandem_tensor_new (bad->dtype, 1, &bad->rows, bytes, NULL);
}

static void
test_bad_file (Fixture *fixture, gconstpointer data)
{
  const Bad *bad = data;
  g_autoptr (TandemModel) made = quantize (fixture, TANDEM_QUANTIZE_INT8, NULL);
  g_autofree char *path = g_build_filename (fixture->out, "model.safetensors", NULL);
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, NULL);
  g_auto (GStrv) names = tandem_safetensors_list_tensors (file);
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                                          (GDestroyNotify) tandem_tensor_unref);
  g_autoptr (TandemModel) opened = NULL;
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; names[i] != NULL; i++)
    g_hash_table_insert (tensors, names[i], tandem_safetensors_get_tensor (file, names[i], NULL));
  if (bad->rows == 0)
    g_assert_true (g_hash_table_remove (tensors, bad->replaced));
  else
    g_hash_table_insert (tensors, (char *) bad->replaced, make_bad (bad));
  if (bad->metadata != NULL)
    g_hash_table_insert (metadata, (char *) "tandem.quantization", (char *) bad->metadata);
  g_assert_true (tandem_safetensors_write (path, metadata, tensors, NULL, NULL));

  opened = tandem_model_open (fixture->out, NULL, &error);
  g_assert_null (opened);
  g_assert_nonnull (error);
  g_assert_true (error->domain == TANDEM_MODEL_ERROR);
  if (strstr (error->message, bad->text) == NULL)
    g_error ("\"%s\" is not in: %s", bad->text, error->message);
}

int
main (int argc, char **argv)
{
  guint i;

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/quantize/rows", test_rows);
  g_test_add_func ("/quantize/bad-rows", test_bad_rows);
#define ADD(name, func) g_test_add (name, Fixture, NULL, set_up, func, tear_down)
  ADD ("/quantize/int8", test_int8);
  ADD ("/quantize/halves", test_halves);
  ADD ("/quantize/refusals", test_refusals);
  ADD ("/quantize/training", test_training);
  ADD ("/quantize/stage-version", test_stage_version);
  for (i = 0; i < G_N_ELEMENTS (bad_files); i++) {
    g_autofree char *path = g_strdup_printf ("/quantize/bad-file/%u", i);

    g_test_add (path, Fixture, &bad_files[i], set_up, test_bad_file, tear_down);
  }
  return g_test_run ();
}
