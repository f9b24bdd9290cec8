/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Profiles: what is fitted, kept and refused; and the memory of a model's stages. */

#include "tandem.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "place/tandem-profile-private.h"
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

  spec.n_layers = 3;
  spec.max_positions = 64;
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

static TandemProfile *
measure (TandemModel *model, guint n_threads)
{
  g_autoptr (GError) error = NULL;
  TandemProfile *profile = tandem_profile_measure (model, TANDEM_PRECISION_F32, n_threads, 0.01,
                                                   NULL, &error);

  g_assert_no_error (error);
  return profile;
}

static void
assert_same_cost (const TandemCost *a, const TandemCost *b)
{
  g_assert_cmpfloat (a->fixed, ==, b->fixed);
  g_assert_cmpfloat (a->per_sequence, ==, b->per_sequence);
  g_assert_cmpfloat (a->per_token, ==, b->per_token);
  g_assert_cmpfloat (a->per_square, ==, b->per_square);
}

static void
assert_same (const TandemProfile *a, const TandemProfile *b)
{
  guint i;

  g_assert_cmpstr (a->model, ==, b->model);
  g_assert_cmpstr (a->processor, ==, b->processor);
  g_assert_cmpstr (a->library, ==, b->library);
  g_assert_cmpuint (a->n_cores, ==, b->n_cores);
  g_assert_cmpuint (a->n_threads, ==, b->n_threads);
  g_assert_cmpuint (a->n_layers, ==, b->n_layers);
  g_assert_cmpuint (a->precision, ==, b->precision);
  g_assert_cmpfloat (a->load, ==, b->load);
  for (i = 0; i < TANDEM_PROFILE_N_PARTS; i++)
    assert_same_cost (&a->costs[i], &b->costs[i]);
  g_assert_cmpuint (a->n_samples, ==, b->n_samples);
  for (i = 0; i < a->n_samples; i++) {
    g_assert_cmpuint (a->samples[i].part, ==, b->samples[i].part);
    g_assert_cmpuint (a->samples[i].shape.n_squares, ==, b->samples[i].shape.n_squares);
    g_assert_cmpfloat (a->samples[i].seconds, ==, b->samples[i].seconds);
  }
}

static void
test_measure (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemProfile) profile = measure (fixture->model, 2);
  g_autoptr (TandemProfile) copy = tandem_profile_copy (profile);
  g_autoptr (TandemDevice) device = tandem_device_new ("here", 3);
  guint counts[TANDEM_PROFILE_N_PARTS] = { 0 }, i;

  g_assert_cmpstr (profile->model, ==, tandem_model_get_fingerprint (fixture->model));
  g_assert_cmpuint (profile->n_threads, ==, 2);
  g_assert_cmpfloat (profile->load, >=, 1);
  assert_same (profile, copy);
  for (i = 0; i < profile->n_samples; i++) {
    const TandemProfileSample *sample = &profile->samples[i];

    counts[sample->part]++;
    g_assert_cmpfloat (sample->seconds, >, 0);
    g_assert_cmpuint (sample->n_runs, >=, 3);
    /* None that the model does not take. */
    g_assert_cmpuint (sample->shape.n_tokens, <=, sample->shape.n_sequences * 64);
  }
  for (i = 0; i < TANDEM_PROFILE_N_PARTS; i++) {
    const TandemCost *cost = &profile->costs[i];

    g_assert_cmpuint (counts[i], >=, 4);
    g_assert_true (cost->fixed >= 0 && cost->per_sequence >= 0 && cost->per_token >= 0 &&
                   cost->per_square >= 0);
    g_assert_cmpfloat (cost->fixed + cost->per_sequence + cost->per_token + cost->per_square, >, 0);
  }

  profile->load = 2;
  tandem_profile_apply (profile, device);
  g_assert_cmpuint (device->n_threads, ==, 2);
  for (i = 0; i < 3; i++)
    g_assert_cmpfloat_with_epsilon (
        device->layers[i].per_token,
        2 * profile->costs[i < 2 ? TANDEM_PROFILE_LAYER : TANDEM_PROFILE_LAST_LAYER].per_token,
        1e-15);
}

/* A model of one layer is one part, and one that holds no classifier ends in rows. */
static void
test_other_models (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *folder = g_build_filename (fixture->folder, "one", NULL);
  g_autofree char *stage_path = g_build_filename (fixture->folder, "stage.safetensors", NULL);
  g_autoptr (TandemModel) one = NULL;
  g_autoptr (TandemModel) stage = NULL;
  g_autoptr (TandemModel) short_model = NULL;
  g_autoptr (TandemProfile) profile = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  spec.n_layers = 1;
  spec.no_classifier = TRUE;
  spec.no_vocabulary = TRUE;
  tandem_test_model_write (&spec, folder);
  one = tandem_model_open (folder, NULL, &error);
  g_assert_no_error (error);
  profile = measure (one, 1);
  g_assert_cmpfloat (profile->costs[TANDEM_PROFILE_EMBEDDINGS].per_token, ==, 0);
  g_assert_cmpfloat (profile->costs[TANDEM_PROFILE_TOKENIZE].per_token, ==, 0);
  g_assert_cmpuint (profile->samples[0].part, ==, TANDEM_PROFILE_LAST_LAYER);

  g_assert_true (tandem_model_write_stage (fixture->model, 0, 1, stage_path, NULL, &error));
  stage = tandem_model_open (stage_path, NULL, &error);
  g_assert_no_error (error);
  g_assert_null (tandem_profile_measure (stage, TANDEM_PRECISION_F32, 1, 0.01, NULL, &error));
  g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_MODEL);
  g_clear_error (&error);

  spec.n_layers = 2;
  spec.max_positions = 7;
  tandem_test_model_write (&spec, folder);
  short_model = tandem_model_open (folder, NULL, &error);
  g_assert_no_error (error);
  g_assert_null (tandem_profile_measure (short_model, TANDEM_PRECISION_F32, 1, 0.01, NULL, &error));
  g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_MODEL);
  g_clear_error (&error);

  g_cancellable_cancel (cancellable);
  g_assert_null (tandem_profile_measure (fixture->model, TANDEM_PRECISION_F32, 1, 0.01,
                                         cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* The only file in the cache of profiles. */
static char *
find_kept (void)
{
  g_autofree char *folder = g_build_filename (g_get_user_cache_dir (), "tandem", "profiles", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  g_assert_nonnull (dir);
  name = g_dir_read_name (dir);
  g_assert_nonnull (name);
  return g_build_filename (folder, name, NULL);
}

static void
test_cache (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemProfile) profile = measure (fixture->model, 1);
  g_autoptr (TandemProfile) loaded = NULL;
  g_autofree char *path = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (tandem_profile_load (fixture->model, TANDEM_PRECISION_F32, 1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);
  tandem_profile_store (profile, &error);
  g_assert_no_error (error);
  loaded = tandem_profile_load (fixture->model, TANDEM_PRECISION_F32, 1, &error);
  g_assert_no_error (error);
  assert_same (profile, loaded);
  /* Neither with other threads nor in another precision. */
  g_assert_null (tandem_profile_load (fixture->model, TANDEM_PRECISION_F32, 2, NULL));
  g_assert_null (tandem_profile_load (fixture->model, TANDEM_PRECISION_BF16, 1, NULL));

  /* What is in the file has to be what its name says. */
  path = find_kept ();
  g_free (profile->processor);
  profile->processor = g_strdup ("another one");
  text = tandem_profile_to_json (profile);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_null (tandem_profile_load (fixture->model, TANDEM_PRECISION_F32, 1, &error));
  g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_FILE);
}

static void
test_refused_files (Fixture *fixture, gconstpointer data)
{
  /* What is replaced in a good file, by what, and the member that the error names. */
  static const struct
  {
    const char *old, *new, *member;
  } wrong[] = {
    { "\"version\" : 1", "\"version\" : 2", "version" },
    { "\"layers\" : 3", "\"layers\" : 0", "layers" },
    { "\"layers\" : 3", "\"layers\" : 3, \"wings\" : 2", "wings" },
    { "\"threads\" : 1", "\"threads\" : 257", "threads" },
    { "\"precision\" : \"f32\"", "\"precision\" : \"f64\"", "precision" },
    { "\"load\" : ", "\"load\" : 0.5, \"was\" : ", "was" },
    { "\"part\" : \"layer\"", "\"part\" : \"legs\"", "samples[" },
    { "\"per_token\" : ", "\"per_token\" : -", "per_token" },
    { "\"fixed\" : ", "\"fixed\" : 1e5, \"f\" : ", "seconds.tokenize" },
    { "\"model\" : \"", "\"model\" : \"z", "model" },
    { "\"samples\" : [", "\"samples\" : [ 1,", "samples[0]" },
  };
  g_autoptr (TandemProfile) profile = measure (fixture->model, 1);
  g_autofree char *text = NULL;
  g_autofree char *path = g_build_filename (fixture->folder, "profile.json", NULL);
  guint i;

  for (i = 0; i < TANDEM_PROFILE_N_PARTS; i++)
    profile->costs[i].per_token = 1e-6;
  text = tandem_profile_to_json (profile);
  for (i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (GString) bad = g_string_new (text);
    g_autoptr (GError) error = NULL;

    g_assert_cmpuint (g_string_replace (bad, wrong[i].old, wrong[i].new, 1), ==, 1);
    g_assert_true (g_file_set_contents (path, bad->str, -1, NULL));
    g_assert_null (tandem_profile_read (path, &error));
    g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_FILE);
    if (!g_str_has_prefix (error->message, path) ||
        strstr (error->message, wrong[i].member) == NULL)
      g_error ("\"%s\" is not in: %s", wrong[i].member, error->message);
  }
  /* Cut anywhere it is no profile. */
  for (i = 0; i < strlen (text); i += 97) {
    g_assert_true (g_file_set_contents (path, text, i, NULL));
    g_assert_null (tandem_profile_read (path, NULL));
  }
}

static void
add_sample (TandemProfile *profile, TandemProfilePart part, guint n, guint length, double seconds)
{
  TandemProfileSample *sample = &profile->samples[profile->n_samples++];

  sample->part = part;
  tandem_batch_shape_init (&sample->shape, n, length);
  sample->seconds = seconds;
}

/* What was made of known costs gives these costs back; what would need a negative one does not. */
static void
test_fit (void)
{
  static const guint shapes[][2] = { { 1, 16 }, { 4, 8 }, { 1, 64 }, { 8, 16 }, { 1, 256 },
                                     { 4, 64 }, { 2, 512 } };
  const TandemCost truth[] = { { 1e-5, 2e-5, 3e-6, 4e-9 }, { 0, 0, 2e-6, 0 },
                               { 5e-5, 0, 0, 1e-8 } };
  TandemProfileSample samples[G_N_ELEMENTS (shapes)];
  guint i, k;

  for (i = 0; i < G_N_ELEMENTS (truth); i++) {
    TandemProfile profile = { .samples = samples };
    const TandemCost *found = &profile.costs[TANDEM_PROFILE_LAYER];

    for (k = 0; k < G_N_ELEMENTS (shapes); k++) {
      TandemBatchShape shape;

      tandem_batch_shape_init (&shape, shapes[k][0], shapes[k][1]);
      add_sample (&profile, TANDEM_PROFILE_LAYER, shapes[k][0], shapes[k][1],
                  tandem_cost_evaluate (&truth[i], &shape));
    }
    tandem_profile_fit (&profile, TANDEM_PROFILE_LAYER);
    g_assert_cmpfloat_with_epsilon (found->fixed, truth[i].fixed, 1e-9);
    g_assert_cmpfloat_with_epsilon (found->per_sequence, truth[i].per_sequence, 1e-9);
    g_assert_cmpfloat_with_epsilon (found->per_token, truth[i].per_token, 1e-11);
    g_assert_cmpfloat_with_epsilon (found->per_square, truth[i].per_square, 1e-14);
  }
  for (i = 0; i < 2; i++) {
    TandemProfile profile = { .samples = samples };
    const TandemCost *found = &profile.costs[TANDEM_PROFILE_LAYER];

    /* Less for more; and nothing at all. */
    for (k = 0; k < G_N_ELEMENTS (shapes); k++)
      add_sample (&profile, TANDEM_PROFILE_LAYER, shapes[k][0], shapes[k][1],
                  i == 0 ? 1e-3 / (k + 1) : 0);
    tandem_profile_fit (&profile, TANDEM_PROFILE_LAYER);
    g_assert_true (found->fixed >= 0 && found->per_sequence >= 0 && found->per_token >= 0 &&
                   found->per_square >= 0 && isfinite (found->fixed));
  }
}

static guint64
sum_tensors (TandemModel *model, guint first, guint last)
{
  g_auto (GStrv) names = tandem_model_list_layer_tensors (model, first, last);
  guint64 sum = 0;
  guint i;

  for (i = 0; names[i] != NULL; i++) {
    g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (model, names[i], NULL);
    gboolean words = strstr (names[i], "word_embeddings") != NULL;

    sum += tandem_tensor_get_n_elements (tensor) *
        (words ? tandem_dtype_get_size (tandem_tensor_get_dtype (tensor)) : 4);
  }
  return sum;
}

/* Between any two stages on one device only their weights differ. */
static void
check_memory (TandemModel *model, guint64 at_end)
{
  guint n = tandem_model_get_config (model)->n_layers, first, last;
  g_autoptr (TandemPlacementProblem) problem = NULL;
  g_autoptr (TandemDevice) device = tandem_device_new ("a", n);
  g_autoptr (TandemDevice) threads = tandem_device_new ("b", n);
  TandemBatchShape shape;
  g_autoptr (GError) error = NULL;
  guint64 base;

  tandem_batch_shape_init (&shape, 2, 16);
  problem = tandem_placement_problem_new_for_model (model, TANDEM_PRECISION_F32, &shape, &error);
  g_assert_no_error (error);
  threads->n_threads = 3;
  g_assert_true (tandem_placement_problem_add_device (problem, device, NULL));
  g_assert_true (tandem_placement_problem_add_device (problem, threads, NULL));
  base = tandem_placement_problem_get_memory (problem, 0, 1, 1) - sum_tensors (model, 1, 1);
  g_assert_cmpuint (base, >, 10 * 32 * 16 * 4);
  for (first = 0; first < n; first++)
    for (last = first; last < n; last++)
      g_assert_cmpuint (tandem_placement_problem_get_memory (problem, 0, first, last), ==,
                        base + sum_tensors (model, first, last) +
                        (last == n - 1 && first < last ? at_end : 0));
  g_assert_cmpuint (tandem_placement_problem_get_memory (problem, 1, 0, 0), >,
                    tandem_placement_problem_get_memory (problem, 0, 0, 0));
}

static void
test_memory (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *folder = g_build_filename (fixture->folder, "albert", NULL);
  g_autoptr (TandemModel) albert = NULL;
  TandemBatchShape shape;
  g_autoptr (GError) error = NULL;

  check_memory (fixture->model, 0);
  spec.albert = TRUE;
  spec.n_layers = 4;
  spec.n_groups = 2;
  spec.embedding_size = 10;
  spec.dtype = TANDEM_DTYPE_F16;
  tandem_test_model_write (&spec, folder);
  albert = tandem_model_open (folder, NULL, &error);
  g_assert_no_error (error);
  check_memory (albert, 3 * 4 * 16 * 16);

  tandem_batch_shape_init (&shape, 2, 65);
  g_assert_null (tandem_placement_problem_new_for_model (fixture->model, TANDEM_PRECISION_F32,
                                                         &shape, &error));
  g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_MODEL);
}

#define ADD(name, function) \
  g_test_add ("/place/profile/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  ADD ("measure", test_measure);
  ADD ("other-models", test_other_models);
  ADD ("cache", test_cache);
  ADD ("refused-files", test_refused_files);
  ADD ("memory", test_memory);
  g_test_add_func ("/place/profile/fit", test_fit);
  return g_test_run ();
}
