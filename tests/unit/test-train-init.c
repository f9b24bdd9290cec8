/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <math.h>
#include <string.h>

#include "tandem-test-model.h"
#include "train/tandem-train-components.h"

#define CONFIG \
  "{\"model_type\": \"bert\", \"hidden_size\": 16, \"num_hidden_layers\": %u, " \
  "\"num_attention_heads\": 2, \"intermediate_size\": 32, \"vocab_size\": 100, " \
  "\"max_position_embeddings\": 32, \"initializer_range\": 0.5}"

static float *
get_values (GHashTable *tensors, const char *name, guint64 *n)
{
  const TandemTensor *tensor = g_hash_table_lookup (tensors, name);
  float *values;

  g_assert_nonnull (tensor);
  *n = tandem_tensor_get_n_elements (tensor);
  values = g_new (float, *n);
  g_assert_true (tandem_tensor_copy_f32 (tensor, 0, *n, values));
  return values;
}

static void
assert_equal (GHashTable *a, GHashTable *b, const char *name, gboolean equal)
{
  g_assert_nonnull (g_hash_table_lookup (a, name));
  g_assert_cmpint (g_bytes_equal (tandem_tensor_get_bytes (g_hash_table_lookup (a, name)),
                                  tandem_tensor_get_bytes (g_hash_table_lookup (b, name))),
                   ==, equal);
}

static void
assert_constant (GHashTable *tensors, const char *name, float value)
{
  guint64 n, i;
  g_autofree float *values = get_values (tensors, name, &n);

  for (i = 0; i < n; i++)
    g_assert_cmpfloat (values[i], ==, value);
}

static void
test_random (void)
{
  g_autofree char *config = g_strdup_printf (CONFIG, 2);
  g_autofree char *deeper = g_strdup_printf (CONFIG, 3);
  g_autoptr (GHashTable) a = tandem_model_init_random (config, TANDEM_MODEL_INIT_CLASSIFIER, 5, 1,
                                                       NULL);
  g_autoptr (GHashTable) b = tandem_model_init_random (deeper, TANDEM_MODEL_INIT_MASKED_LM, 0, 1,
                                                       NULL);
  g_autoptr (GHashTable) c = tandem_model_init_random (config, TANDEM_MODEL_INIT_NONE, 0, 2, NULL);
  g_autofree float *words = NULL;
  double squares = 0;
  guint64 n, i;

  g_assert_nonnull (a);
  g_assert_cmpuint (g_hash_table_size (a), ==, 5 + 2 * 16 + 4);
  g_assert_cmpuint (g_hash_table_size (b), ==, 5 + 3 * 16 + 5);
  g_assert_cmpuint (g_hash_table_size (c), ==, 5 + 2 * 16);
  assert_equal (a, b, "encoder.layer.1.output.dense.weight", TRUE);
  assert_equal (a, c, "encoder.layer.1.output.dense.weight", FALSE);
  assert_equal (b, b, "cls.predictions.transform.dense.weight", TRUE);
  g_assert_cmpuint (tandem_tensor_get_dim (g_hash_table_lookup (a, "classifier.weight"), 0), ==,
                    5);
  assert_constant (a, "encoder.layer.0.output.dense.bias", 0.0f);
  assert_constant (a, "encoder.layer.0.output.LayerNorm.weight", 1.0f);
  assert_constant (a, "encoder.layer.0.output.LayerNorm.bias", 0.0f);
  assert_constant (b, "cls.predictions.transform.LayerNorm.weight", 1.0f);
  assert_constant (b, "cls.predictions.bias", 0.0f);

  words = get_values (a, "embeddings.word_embeddings.weight", &n);
  g_assert_cmpuint (n, ==, 1600);
  for (i = 0; i < 16; i++)
    g_assert_cmpfloat (words[i], ==, 0.0f);
  for (; i < n; i++)
    squares += words[i] * words[i];
  g_assert_cmpfloat_with_epsilon (sqrt (squares / (n - 16)), 0.5, 0.05);
}

/* What seed 1 gives: no machine and no later version may give anything else. */
static void
test_random_bits (void)
{
  g_autofree char *config = g_strdup_printf (CONFIG, 1);
  g_autoptr (GHashTable) tensors = tandem_model_init_random (config, TANDEM_MODEL_INIT_CLASSIFIER,
                                                             0, 1, NULL);
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (GList) names = g_list_sort (g_hash_table_get_keys (tensors), (GCompareFunc) strcmp);
  GList *l;

  for (l = names; l != NULL; l = l->next) {
    gsize size;
    const guchar *data = tandem_tensor_get_data (g_hash_table_lookup (tensors, l->data), &size);

    g_checksum_update (checksum, data, size);
  }
  g_assert_cmpstr (g_checksum_get_string (checksum), ==, "beb46a8ae7a7a782192e30ef69009b88f4060ab75ceee79bf824fc28026604f5");
}

static void
test_bad_config (void)
{
  static const char *const bad[] = {
    "{", "{\"hidden_size\": 16}", "\"initializer_range\": -1", "\"initializer_range\": 2",
    "\"initializer_range\": \"x\"", "\"initializer_range\": {}", "\"pad_token_id\": []",
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autofree char *start = g_strdup_printf (CONFIG, 1);
    g_autofree char *config = NULL;
    g_autoptr (GHashTable) tensors = NULL;
    g_autoptr (GError) error = NULL;

    *strstr (start, "\"initializer") = '\0';
    config = bad[i][0] == '{' ? g_strdup (bad[i]) : g_strconcat (start, bad[i], "}", NULL);
    tensors = tandem_model_init_random (config, 0, 0, 1, &error);
    g_assert_null (tensors);
    g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG);
  }
}

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

  spec.no_classifier = data != NULL;
  spec.no_pooler = data != NULL;
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

static void
assert_as_source (Fixture *fixture, GHashTable *tensors, const char *name)
{
  g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (fixture->model, name, NULL);

  g_assert_nonnull (tensor);
  g_assert_true (g_bytes_equal (tandem_tensor_get_bytes (tensor), tandem_tensor_get_bytes (
                                  g_hash_table_lookup (tensors, name))));
}

static void
test_classifier (Fixture *fixture, gconstpointer data)
{
  const char *const labels[] = { "bad", "middling", "good", NULL };
  g_autofree char *target = g_build_filename (fixture->folder, "out", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) tensors =
      tandem_model_init_from (fixture->model, NULL, TANDEM_MODEL_INIT_CLASSIFIER, 3, 1, &error);
  g_auto (GStrv) names = tandem_model_list_tensors (fixture->model);
  g_autoptr (TandemModel) model = NULL;
  guint i;

  g_assert_no_error (error);
  g_assert_false (tandem_model_has_classifier (fixture->model));
  g_assert_cmpuint (g_hash_table_size (tensors), ==, g_strv_length (names) + 4);
  for (i = 0; names[i] != NULL; i++)
    assert_as_source (fixture, tensors, names[i]);

  tandem_model_export (fixture->model, NULL, tensors, labels, TANDEM_DTYPE_F32, target, 0, NULL,
                       &error);
  g_assert_no_error (error);
  model = tandem_model_open (target, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (tandem_model_has_classifier (model));
  g_assert_cmpstrv (tandem_model_get_config (model)->labels, labels);
}

static void
test_fewer_layers (Fixture *fixture, gconstpointer data)
{
  g_autofree char *config = g_strdup_printf (CONFIG, 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) tensors =
      tandem_model_init_from (fixture->model, config, TANDEM_MODEL_INIT_CLASSIFIER, 0, 1, &error);
  g_autoptr (GHashTable) random =
      tandem_model_init_random (config, TANDEM_MODEL_INIT_CLASSIFIER, 3, 1, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_hash_table_size (tensors), ==, 5 + 16 + 4);
  assert_as_source (fixture, tensors, "encoder.layer.0.output.dense.weight");
  assert_as_source (fixture, tensors, "pooler.dense.weight");
  assert_as_source (fixture, tensors, "classifier.weight");

  /* A classifier of another size is new. */
  g_hash_table_unref (tensors);
  tensors = tandem_model_init_from (fixture->model, config, TANDEM_MODEL_INIT_CLASSIFIER, 3, 1,
                                    &error);
  g_assert_no_error (error);
  assert_as_source (fixture, tensors, "pooler.dense.weight");
  assert_equal (tensors, random, "classifier.weight", TRUE);
}

static double
get_distance (const float *x, guint width, guint a, guint b)
{
  double sum = 0;
  guint i;

  for (i = 0; i < width; i++)
    sum += pow ((double) x[a * width + i] - x[b * width + i], 2);
  return sum;
}

static void
test_narrower (Fixture *fixture, gconstpointer data)
{
  static const char *const config =
      "{\"hidden_size\": 8, \"num_hidden_layers\": 1, \"num_attention_heads\": 2, "
      "\"intermediate_size\": 16, \"vocab_size\": 100, \"max_position_embeddings\": 20}";
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) tensors =
      tandem_model_init_from (fixture->model, config, TANDEM_MODEL_INIT_CLASSIFIER, 2, 1, &error);
  g_autoptr (GHashTable) again =
      tandem_model_init_from (fixture->model, config, TANDEM_MODEL_INIT_CLASSIFIER, 2, 1, NULL);
  g_autoptr (TandemTensor) wide_tensor =
      tandem_model_get_tensor (fixture->model, "embeddings.word_embeddings.weight", NULL);
  g_autofree float *wide = g_new (float, 1600);
  g_autofree float *words = NULL;
  g_autofree float *positions = NULL;
  guint64 n;
  guint a, b;

  g_assert_no_error (error);
  g_assert_true (tandem_tensor_copy_f32 (wide_tensor, 0, 1600, wide));
  words = get_values (tensors, "embeddings.word_embeddings.weight", &n);
  g_assert_cmpuint (n, ==, 800);
  positions = get_values (tensors, "embeddings.position_embeddings.weight", &n);
  g_assert_cmpuint (n, ==, 160);
  /* A projection shortens. */
  for (a = 0; a < 100; a++)
    for (b = 0; b < a; b++)
      g_assert_cmpfloat (get_distance (words, 8, a, b), <=,
                         get_distance (wide, 16, a, b) * (1 + 1e-5));
  assert_equal (tensors, again, "embeddings.word_embeddings.weight", TRUE);
  assert_constant (tensors, "embeddings.LayerNorm.weight", 1.0f);
}

static void
test_refused (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *from, *to, *part;
  } cases[] = {
    { "\"hidden_size\": 16", "\"hidden_size\": 32", "has embeddings of width 16" },
    { "\"vocab_size\": 100", "\"vocab_size\": 99", "vocabulary of 100 entries" },
    { "embeddings\": 32", "embeddings\": 33", "has 32 positions" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *plain = g_strdup_printf (CONFIG, 1);
    g_autoptr (GString) config = g_string_new (plain);
    g_autoptr (GError) error = NULL;

    g_assert_cmpuint (g_string_replace (config, cases[i].from, cases[i].to, 0), ==, 1);
    g_assert_null (tandem_model_init_from (fixture->model, config->str, 0, 0, 1, &error));
    g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG);
    g_assert_nonnull (strstr (error->message, cases[i].part));
  }
}

/* Data whose axes are known: rotated, with standard deviations 5, 4, 3, 2, 1 and a mean. */
static void
test_components (void)
{
  enum { ROWS = 2001, WIDTH = 5 };
  g_autoptr (GRand) random = g_rand_new_with_seed (5);
  g_autofree float *x = g_new (float, ROWS * WIDTH);
  g_autofree double *axes = NULL;
  double found[WIDTH] = { 0 }, mean[WIDTH] = { 0 };
  guint r, i, j, k;

  for (r = 0; r < ROWS; r++) {
    double z[WIDTH];

    for (i = 0; i < WIDTH; i++)
      z[i] = (WIDTH - i) * sqrt (3) * g_rand_double_range (random, -1, 1);
    /* A rotation in two planes, that mixes all but the last. */
    x[r * WIDTH + 0] = 7 + 0.6 * z[0] - 0.8 * z[1];
    x[r * WIDTH + 1] = -3 + 0.8 * z[0] + 0.6 * z[1];
    x[r * WIDTH + 2] = 0.28 * z[2] - 0.96 * z[3];
    x[r * WIDTH + 3] = 0.96 * z[2] + 0.28 * z[3];
    x[r * WIDTH + 4] = z[4];
  }
  axes = tandem_components_new (x, ROWS, WIDTH, WIDTH);
  for (i = 0; i < WIDTH; i++) {
    double largest = 0;

    for (j = 0; j < WIDTH; j++) {
      double product = 0;

      for (k = 0; k < WIDTH; k++)
        product += axes[i * WIDTH + k] * axes[j * WIDTH + k];
      g_assert_cmpfloat_with_epsilon (product, i == j ? 1.0 : 0.0, 1e-12);
      if (fabs (axes[i * WIDTH + j]) > fabs (largest))
        largest = axes[i * WIDTH + j];
    }
    g_assert_cmpfloat (largest, >, 0);
  }
  g_assert_cmpfloat_with_epsilon (axes[0], 0.6, 0.15);
  g_assert_cmpfloat_with_epsilon (axes[1], 0.8, 0.15);
  g_assert_cmpfloat_with_epsilon (axes[2 * WIDTH + 3], 0.96, 0.15);

  /* Along the axes nothing is correlated, and variances fall. */
  for (r = 0; r < ROWS; r++)
    for (i = 0; i < WIDTH; i++)
      mean[i] += x[r * WIDTH + i] / ROWS;
  for (i = 0; i < WIDTH; i++) {
    for (j = 0; j <= i; j++) {
      double sum = 0;

      for (r = 0; r < ROWS; r++) {
        double a = 0, b = 0;

        for (k = 0; k < WIDTH; k++) {
          a += axes[i * WIDTH + k] * (x[r * WIDTH + k] - mean[k]);
          b += axes[j * WIDTH + k] * (x[r * WIDTH + k] - mean[k]);
        }
        sum += a * b / ROWS;
      }
      if (i == j)
        found[i] = sum;
      else
        g_assert_cmpfloat_with_epsilon (sum, 0.0, 1e-9);
    }
    g_assert_cmpfloat_with_epsilon (sqrt (found[i]), WIDTH - i, 0.2);
  }
}

/* Fewer directions than components: the rest are orthonormal all the same. */
static void
test_components_of_few (void)
{
  const float x[] = { 1, 2, 2, 2, 4, 4, 0, 0, 0 };
  g_autofree double *axes = tandem_components_new (x, 3, 3, 3);
  g_autofree double *none = tandem_components_new (x + 6, 1, 3, 2);
  float out[3];
  guint i, j, k;

  for (i = 0; i < 3; i++) {
    g_assert_cmpfloat_with_epsilon (axes[i], (i == 0 ? 1.0 : 2.0) / 3.0, 1e-12);
    for (j = 0; j < 3; j++) {
      double product = 0;

      for (k = 0; k < 3; k++)
        product += axes[i * 3 + k] * axes[j * 3 + k];
      g_assert_cmpfloat_with_epsilon (product, i == j ? 1.0 : 0.0, 1e-12);
    }
  }
  tandem_components_project (axes, 1, 3, x, 3, out);
  g_assert_cmpfloat_with_epsilon (out[0], 3.0f, 1e-6);
  g_assert_cmpfloat_with_epsilon (out[1], 6.0f, 1e-6);
  g_assert_cmpfloat (none[0], ==, 1.0);
  g_assert_cmpfloat (none[4], ==, 1.0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/train/init/random", test_random);
  g_test_add_func ("/train/init/random-bits", test_random_bits);
  g_test_add_func ("/train/init/bad-config", test_bad_config);
#define ADD(name, f, bare) g_test_add ("/train/init/" name, Fixture, bare, set_up, f, tear_down)
  ADD ("classifier", test_classifier, "without");
  ADD ("fewer-layers", test_fewer_layers, NULL);
  ADD ("narrower", test_narrower, NULL);
  ADD ("refused", test_refused, NULL);
#undef ADD
  g_test_add_func ("/train/components/axes", test_components);
  g_test_add_func ("/train/components/few", test_components_of_few);
  return g_test_run ();
}
