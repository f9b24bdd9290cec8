/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Heads, neurons and layers that are removed: against the model in which they are zero. */

#include "tandem-test-sparse.h"

#include <math.h>
#include <string.h>

#define HEADS 4
#define WIDTH 32
#define HEAD_SIZE (WIDTH / HEADS)
#define NEURONS 24

typedef struct
{
  char *folder;
  TandemModel *model;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;

  spec.n_layers = 3;
  spec.hidden_size = WIDTH;
  spec.n_heads = HEADS;
  spec.intermediate_size = NEURONS;
  if (data != NULL)
    spec.dtype = GPOINTER_TO_INT (data);
  fixture->folder = tandem_test_make_folder ();
  tandem_test_model_write (&spec, fixture->folder);
  fixture->model = tandem_model_open (fixture->folder, NULL, NULL);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_object_unref (fixture->model);
  tandem_test_remove_folder (fixture->folder);
}

static TandemModel *
apply (Fixture *fixture, TandemStructure *structure, const char *name)
{
  g_autofree char *folder = g_build_filename (fixture->folder, name, NULL);
  g_autofree char *config = NULL;
  g_autoptr (TandemMasks) masks = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) tensors = tandem_structure_apply (structure, &config, &masks, &error);

  g_assert_no_error (error);
  return tandem_test_export (fixture->model, config, tensors, masks, folder);
}

/* The tensor with the given rows or columns times @factor. */
static void
scale (GHashTable *tensors, const char *name, guint first, guint count, gboolean columns,
       float factor)
{
  TandemTensor *tensor = g_hash_table_lookup (tensors, name);
  guint64 shape[] = {
    tandem_tensor_get_dim (tensor, 0),
    tandem_tensor_get_n_dims (tensor) == 2 ? tandem_tensor_get_dim (tensor, 1) : 1
  };
  gsize size, i, k;
  float *data = g_memdup2 (tandem_tensor_get_data (tensor, &size),
                           tandem_tensor_get_n_elements (tensor) * sizeof (float));
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, size);

  for (i = 0; i < shape[0]; i++)
    for (k = 0; k < shape[1]; k++)
      if ((columns ? k : i) >= first && (columns ? k : i) < first + count)
        data[i * shape[1] + k] *= factor;
  g_hash_table_insert (tensors, g_strdup (name),
                       tandem_tensor_new (TANDEM_DTYPE_F32, tandem_tensor_get_n_dims (tensor),
                                          shape, bytes, NULL));
}

static void
scale_head (GHashTable *tensors, guint layer, guint head, float factor)
{
  static const char *const parts[] = { "query.weight", "query.bias", "key.weight", "key.bias",
                                       "value.weight", "value.bias" };
  g_autofree char *output =
      g_strdup_printf ("encoder.layer.%u.attention.output.dense.weight", layer);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (parts); i++) {
    g_autofree char *name = g_strdup_printf ("encoder.layer.%u.attention.self.%s", layer, parts[i]);

    scale (tensors, name, head * HEAD_SIZE, HEAD_SIZE, FALSE, factor);
  }
  scale (tensors, output, head * HEAD_SIZE, HEAD_SIZE, TRUE, factor);
}

static void
scale_neuron (GHashTable *tensors, guint layer, guint neuron, float factor)
{
  g_autofree char *in = g_strdup_printf ("encoder.layer.%u.intermediate.dense.weight", layer);
  g_autofree char *bias = g_strdup_printf ("encoder.layer.%u.intermediate.dense.bias", layer);
  g_autofree char *out = g_strdup_printf ("encoder.layer.%u.output.dense.weight", layer);

  scale (tensors, in, neuron, 1, FALSE, factor);
  scale (tensors, bias, neuron, 1, FALSE, factor);
  scale (tensors, out, neuron, 1, TRUE, factor);
}

static void
assert_close (TandemModel *left, TandemModel *right)
{
  g_autofree float *a = tandem_test_run (left, 0, NULL);
  g_autofree float *b = tandem_test_run (right, 0, NULL);
  guint i;

  for (i = 0; i < 3 * 2; i++)
    g_assert_cmpfloat_with_epsilon (a[i], b[i], 1e-6);
}

/* What is zero has the smallest norm, and removing it changes nothing. */
static void
test_zero_units (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GHashTable) tensors = tandem_prune_get_tensors (fixture->model, NULL);
  g_autofree char *folder = g_build_filename (fixture->folder, "zeros", NULL);
  g_autoptr (TandemModel) zeros = NULL;
  g_autoptr (TandemModel) small = NULL;
  g_autoptr (TandemStructure) structure = NULL;
  g_autoptr (GError) error = NULL;
  guint layers, heads, neurons, i;

  scale_head (tensors, 0, 1, 0);
  scale_head (tensors, 0, 3, 0);
  scale_head (tensors, 2, 0, 0);
  for (i = 0; i < 9; i++)
    scale_neuron (tensors, i < 5 ? 1 : 2, i < 5 ? 4 * i : i, 0);
  zeros = tandem_test_export (fixture->model, NULL, tensors, NULL, folder);
  structure = tandem_structure_new (zeros, &error);
  g_assert_no_error (error);
  tandem_structure_prune_heads (structure, 3.0 / (3 * HEADS), TANDEM_PRUNE_SCOPE_GLOBAL, &error);
  g_assert_no_error (error);
  tandem_structure_prune_neurons (structure, 9.0 / (3 * NEURONS), TANDEM_PRUNE_SCOPE_GLOBAL, &error);
  g_assert_no_error (error);
  tandem_structure_count (structure, &layers, &heads, &neurons);
  g_assert_cmpuint (layers, ==, 3);
  g_assert_cmpuint (heads, ==, 3 * HEADS - 3);
  g_assert_cmpuint (neurons, ==, 3 * NEURONS - 9);
  small = apply (fixture, structure, "small");
  g_assert_cmpuint (tandem_model_get_n_heads (small, 0), ==, 2);
  g_assert_cmpuint (tandem_model_get_n_heads (small, 1), ==, 4);
  g_assert_cmpuint (tandem_model_get_n_heads (small, 2), ==, 3);
  g_assert_cmpuint (tandem_model_get_intermediate_size (small, 0), ==, NEURONS);
  g_assert_cmpuint (tandem_model_get_intermediate_size (small, 1), ==, NEURONS - 5);
  g_assert_cmpuint (tandem_model_get_intermediate_size (small, 2), ==, NEURONS - 4);
  assert_close (small, zeros);
  tandem_test_assert_splits (small, fixture->folder);
}

/* A second pass counts heads as the first one found them. */
static void
test_twice (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GHashTable) tensors = tandem_prune_get_tensors (fixture->model, NULL);
  g_autofree char *folder = g_build_filename (fixture->folder, "scaled", NULL);
  g_autoptr (TandemModel) scaled = NULL;
  g_autoptr (TandemModel) once = NULL;
  g_autoptr (TandemModel) twice = NULL;
  g_autoptr (TandemStructure) first = NULL;
  g_autoptr (TandemStructure) second = NULL;

  scale_head (tensors, 1, 1, 0.01f);
  scale_head (tensors, 1, 2, 0.1f);
  scaled = tandem_test_export (fixture->model, NULL, tensors, NULL, folder);
  first = tandem_structure_new (scaled, NULL);
  g_assert_true (tandem_structure_prune_heads (first, 1.0 / 12, TANDEM_PRUNE_SCOPE_GLOBAL, NULL));
  once = apply (fixture, first, "once");
  g_assert_nonnull (strstr (tandem_model_get_config_text (once), "pruned_heads"));
  second = tandem_structure_new (once, NULL);
  g_assert_true (tandem_structure_prune_heads (second, 1.0 / 11, TANDEM_PRUNE_SCOPE_GLOBAL, NULL));
  twice = apply (fixture, second, "twice");
  {
    g_autofree char *compact = g_strdup (tandem_model_get_config_text (twice));
    char *from, *to;

    for (from = to = compact; *from != '\0'; from++)
      if (!g_ascii_isspace (*from))
        *to++ = *from;
    *to = '\0';
    g_assert_nonnull (strstr (compact, "\"pruned_heads\":{\"1\":[1,2]}"));
  }
  g_assert_cmpuint (tandem_model_get_n_heads (twice, 1), ==, 2);
  tandem_test_assert_splits (twice, fixture->folder);
}

/* The same share of each layer makes a configuration without names of ours. */
static void
test_each_layer (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemStructure) structure = tandem_structure_new (fixture->model, NULL);
  g_autoptr (TandemModel) small = NULL;
  guint l;

  g_assert_true (tandem_structure_prune_neurons (structure, 0.5, TANDEM_PRUNE_SCOPE_TENSOR, NULL));
  g_assert_true (tandem_structure_prune_heads (structure, 0.5, TANDEM_PRUNE_SCOPE_TENSOR, NULL));
  small = apply (fixture, structure, "small");
  g_assert_null (strstr (tandem_model_get_config_text (small), "tandem_intermediate_sizes"));
  g_assert_cmpuint (tandem_model_get_config (small)->intermediate_size, ==, NEURONS / 2);
  for (l = 0; l < 3; l++)
    g_assert_cmpuint (tandem_model_get_n_heads (small, l), ==, HEADS / 2);
  tandem_test_assert_splits (small, fixture->folder);
}

/* A model without its middle layer is the first followed by the last. */
static void
test_layers (Fixture *fixture, gconstpointer data)
{
  static const char *const parts[] = {
    "attention.self.query.weight", "attention.self.key.weight", "attention.self.value.weight",
    "attention.output.dense.weight", "intermediate.dense.weight", "output.dense.weight",
  };
  g_autoptr (GHashTable) tensors = tandem_prune_get_tensors (fixture->model, NULL);
  g_autofree char *folder = g_build_filename (fixture->folder, "scaled", NULL);
  g_autoptr (TandemModel) scaled = NULL;
  g_autoptr (TandemModel) small = NULL;
  g_autoptr (TandemStructure) structure = NULL;
  g_auto (GStrv) names = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (parts); i++) {
    g_autofree char *name = g_strconcat ("encoder.layer.1.", parts[i], NULL);

    scale (tensors, name, 0, G_MAXUINT / 2, FALSE, 0.5f);
  }
  scaled = tandem_test_export (fixture->model, NULL, tensors, NULL, folder);
  structure = tandem_structure_new (scaled, NULL);
  g_assert_true (tandem_structure_prune_layers (structure, 1.0 / 3, NULL));
  small = apply (fixture, structure, "small");
  g_assert_cmpuint (tandem_model_get_config (small)->n_layers, ==, 2);
  names = tandem_model_list_layer_tensors (small, 1, 1);
  for (i = 0; names[i] != NULL; i++) {
    g_autofree char *old = g_strdup (names[i]);
    g_autoptr (TandemTensor) found = tandem_model_get_tensor (small, names[i], NULL);
    g_autoptr (TandemTensor) expected = NULL;

    if (g_str_has_prefix (old, "encoder.layer.1"))
      old[strlen ("encoder.layer.")] = '2';
    expected = tandem_model_get_tensor (scaled, old, NULL);
    g_assert_true (g_bytes_equal (tandem_tensor_get_bytes (found),
                                  tandem_tensor_get_bytes (expected)));
  }
  tandem_test_assert_splits (small, fixture->folder);
}

/* Masks go along with what they are for. */
static void
test_masks (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemMasks) masks = NULL;
  g_autoptr (GHashTable) tensors = tandem_test_prune (fixture->model, 0.5, &masks);
  g_autofree char *folder = g_build_filename (fixture->folder, "sparse", NULL);
  g_autoptr (TandemModel) sparse =
      tandem_test_export (fixture->model, NULL, tensors, masks, folder);
  g_autoptr (TandemStructure) structure = tandem_structure_new (sparse, NULL);
  g_autoptr (TandemModel) small = NULL;
  g_autoptr (TandemMasks) after = NULL;
  g_auto (GStrv) left = tandem_masks_list (masks);
  g_auto (GStrv) right = NULL;

  g_assert_true (tandem_structure_prune_neurons (structure, 0.3, TANDEM_PRUNE_SCOPE_GLOBAL, NULL));
  small = apply (fixture, structure, "small");
  after = tandem_masks_new_from_model (small);
  right = tandem_masks_list (after);
  g_assert_cmpstrv (left, right);
  tandem_test_assert_splits (small, fixture->folder);
}

static void
test_refused (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemStructure) structure = tandem_structure_new (fixture->model, NULL);
  g_autofree char *path = g_build_filename (fixture->folder, "stage.safetensors", NULL);
  g_autoptr (TandemModel) stage = NULL;
  g_autoptr (GError) error = NULL;
  guint layers, heads;

  g_assert_false (tandem_structure_prune_heads (structure, 1, TANDEM_PRUNE_SCOPE_TENSOR, &error));
  g_assert_error (error, TANDEM_PRUNE_ERROR, TANDEM_PRUNE_ERROR_AMOUNT);
  g_clear_error (&error);
  g_assert_true (tandem_structure_prune_heads (structure, 0.99, TANDEM_PRUNE_SCOPE_GLOBAL, NULL));
  g_assert_true (tandem_structure_prune_layers (structure, 0.99, NULL));
  tandem_structure_count (structure, &layers, &heads, NULL);
  g_assert_cmpuint (layers, ==, 1);
  g_assert_cmpuint (heads, ==, 1);
  tandem_model_write_stage (fixture->model, 0, 1, path, NULL, &error);
  g_assert_no_error (error);
  stage = tandem_model_open (path, NULL, NULL);
  g_assert_null (tandem_structure_new (stage, &error));
  g_assert_error (error, TANDEM_PRUNE_ERROR, TANDEM_PRUNE_ERROR_MODEL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) \
  g_test_add ("/prune/structure/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("zero-units", test_zero_units);
  ADD ("twice", test_twice);
  ADD ("each-layer", test_each_layer);
  ADD ("layers", test_layers);
  ADD ("masks", test_masks);
  ADD ("refused", test_refused);
  return g_test_run ();
}
