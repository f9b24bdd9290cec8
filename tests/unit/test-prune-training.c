/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Training of pruned models: masks are kept, and smaller layers learn what zeros would have left. */

#include "tandem-test-sparse.h"

#include <math.h>
#include <string.h>

#define N 3
#define N_ROWS 10
#define WIDTH 16

static const gint32 ids[N_ROWS] = { 2, 7, 9, 11, 3, 2, 50, 3, 2, 3 };
static const guint32 offsets[] = { 0, 5, 8, 10 };
static const guint64 sequences[] = { 4, 5, 6 };
static const gint32 labels[] = { 1, 0, 0 };

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

static TandemTrainStage *
new_stage (TandemModel *model, guint first, guint last, TandemMasks *masks)
{
  const TandemTrainOptions options = {
    .hidden_dropout = 0.1, .attention_dropout = 0.1, .classifier_dropout = 0.1, .seed = 3,
    .masks = masks
  };
  g_autoptr (GError) error = NULL;
  TandemTrainStage *stage = tandem_train_stage_new (model, first, last, &options, &error);

  g_assert_no_error (error);
  return stage;
}

/* One step of the stages behind each other, of which the first takes tokens. */
static void
step (TandemTrainStage **stages, guint n, guint64 number)
{
  TandemTrainUpdate update = {
    .step = number, .learning_rate = 0.05, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
    .weight_decay = 0.01, .scale = 1.0 / N
  };
  float rows[2][N_ROWS * WIDTH], gradient[N_ROWS * WIDTH];
  gconstpointer input = ids;
  TandemLoss loss = { 0 };
  gsize n_floats = N * 2;
  double squares = 0;
  guint i;

  for (i = 0; i < n; i++) {
    g_assert_true (tandem_train_stage_forward (stages[i], number, input, N, offsets, sequences,
                                               rows[i % 2], NULL));
    input = rows[i % 2];
  }
  g_assert_true (tandem_loss_cross_entropy (&loss, input, N, 2, labels, 0.0, gradient, NULL));
  for (i = n; i > 0; i--) {
    float *next = i > 1 ? rows[0] : NULL;

    g_assert_true (tandem_train_stage_backward (stages[i - 1], number, gradient, n_floats, next,
                                                NULL));
    if (next != NULL)
      memcpy (gradient, next, sizeof gradient);
    n_floats = N_ROWS * WIDTH;
  }
  for (i = n; i > 0; i--)
    squares = tandem_train_stage_add_squared_norm (stages[i - 1], squares);
  update.scale *= squares > 0 ? 1 / sqrt (squares) : 1;
  for (i = 0; i < n; i++)
    tandem_train_stage_update (stages[i], &update);
}

/* What is not kept is zero, and something else moved. */
static void
assert_kept (TandemMasks *masks, GHashTable *before, GHashTable *after)
{
  g_auto (GStrv) names = tandem_masks_list (masks);
  guint n_changed = 0, i;
  guint64 n, k;

  for (i = 0; names[i] != NULL; i++) {
    const guint8 *bits = tandem_masks_get (masks, names[i], &n);
    const float *old = tandem_tensor_get_data (g_hash_table_lookup (before, names[i]), NULL);
    const float *now = tandem_tensor_get_data (g_hash_table_lookup (after, names[i]), NULL);

    for (k = 0; k < n; k++) {
      if ((bits[k / 8] >> (k % 8) & 1) == 0)
        g_assert_true (now[k] == 0);
      else
        n_changed += old[k] != now[k];
    }
  }
  g_assert_cmpuint (n_changed, >, 500);
}

/* Masks of the files, and masks that are given; whole and split, which gives the same bits. */
static void
test_masks (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemMasks) masks = NULL;
  g_autoptr (GHashTable) tensors = tandem_test_prune (fixture->model, 0.7, &masks);
  g_autofree char *folder = g_build_filename (fixture->folder, "sparse", NULL);
  g_autoptr (TandemModel) sparse =
      tandem_test_export (fixture->model, NULL, tensors, masks, folder);
  g_autoptr (TandemTrainStage) from_file = new_stage (sparse, 0, 2, NULL);
  g_autoptr (TandemTrainStage) given = new_stage (fixture->model, 0, 2, masks);
  g_autoptr (TandemTrainStage) left = new_stage (sparse, 0, 0, NULL);
  g_autoptr (TandemTrainStage) right = new_stage (sparse, 1, 2, NULL);
  TandemTrainStage *split[] = { left, right };
  g_autoptr (GHashTable) a = NULL;
  g_autoptr (GHashTable) b = NULL;
  g_autoptr (GHashTable) c = NULL;
  g_autoptr (GHashTable) d = NULL;
  GHashTableIter iter;
  gpointer name, tensor;
  guint i;

  for (i = 1; i <= 3; i++) {
    step (&from_file, 1, i);
    step (&given, 1, i);
    step (split, 2, i);
  }
  a = tandem_train_stage_get_tensors (from_file);
  b = tandem_train_stage_get_tensors (given);
  c = tandem_train_stage_get_tensors (left);
  d = tandem_train_stage_get_tensors (right);
  assert_kept (masks, tensors, a);
  g_hash_table_iter_init (&iter, a);
  while (g_hash_table_iter_next (&iter, &name, &tensor)) {
    TandemTensor *other = g_hash_table_lookup (c, name);

    if (other == NULL)
      other = g_hash_table_lookup (d, name);
    g_assert_true (g_bytes_equal (tandem_tensor_get_bytes (tensor),
                                  tandem_tensor_get_bytes (g_hash_table_lookup (b, name))));
    g_assert_true (g_bytes_equal (tandem_tensor_get_bytes (tensor),
                                  tandem_tensor_get_bytes (other)));
  }
}

/* A checkpoint of before the pruning: what is not kept goes, moments included. */
static void
test_state (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemMasks) masks = NULL;
  g_autoptr (GHashTable) tensors = tandem_test_prune (fixture->model, 0.5, &masks);
  g_autoptr (TandemTrainStage) dense = new_stage (fixture->model, 0, 2, NULL);
  g_autoptr (TandemTrainStage) pruned = new_stage (fixture->model, 0, 2, masks);
  g_autoptr (GHashTable) state = NULL;
  g_autoptr (GHashTable) after = NULL;
  g_autoptr (GError) error = NULL;

  step (&dense, 1, 1);
  state = tandem_train_stage_get_state (dense);
  tandem_train_stage_set_state (pruned, state, &error);
  g_assert_no_error (error);
  step (&pruned, 1, 2);
  step (&pruned, 1, 3);
  after = tandem_train_stage_get_tensors (pruned);
  assert_kept (masks, tensors, after);
}

/* The gradients of a model without a head and a neuron are those of the model in which both are
 * zero, without the rows and columns of these. */
static void
test_structure (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GHashTable) tensors = tandem_prune_get_tensors (fixture->model, NULL);
  g_autoptr (TandemMasks) zero = tandem_masks_new ();
  g_autoptr (TandemMasks) none = NULL;
  g_autoptr (GHashTable) zeros = NULL;
  g_autofree char *zeros_folder = g_build_filename (fixture->folder, "zeros", NULL);
  g_autofree char *small_folder = g_build_filename (fixture->folder, "small", NULL);
  g_autofree char *config = NULL;
  g_autoptr (TandemModel) masked = NULL;
  g_autoptr (TandemModel) small = NULL;
  g_autoptr (TandemStructure) structure = NULL;
  g_autoptr (GHashTable) sliced = NULL;
  static const char *const parts[] = { "query", "key", "value" };
  guint i, k;

  /* Head 0 of layer 1, and neuron 3 of layer 2, are zero. */
  for (i = 0; i < G_N_ELEMENTS (parts); i++) {
    g_autofree char *weight = g_strdup_printf ("encoder.layer.1.attention.self.%s.weight", parts[i]);
    g_autofree char *bias = g_strdup_printf ("encoder.layer.1.attention.self.%s.bias", parts[i]);
    guint8 bits[WIDTH * WIDTH / 8], few[] = { 0, 0xff };

    memset (bits, 0, WIDTH * WIDTH / 16);
    memset (bits + WIDTH * WIDTH / 16, 0xff, WIDTH * WIDTH / 16);
    tandem_masks_add (zero, weight, bits, WIDTH * WIDTH);
    tandem_masks_add (zero, bias, few, WIDTH);
  }
  {
    guint8 columns[WIDTH * WIDTH / 8], rows[32 * WIDTH / 8], bias[4], out[32 * WIDTH / 8];

    for (k = 0; k < sizeof columns; k++)
      columns[k] = k % 2 ? 0xff : 0;
    memset (rows, 0xff, sizeof rows);
    memset (rows + 3 * WIDTH / 8, 0, WIDTH / 8);
    memset (bias, 0xff, sizeof bias);
    bias[0] = 0xf7;
    for (k = 0; k < sizeof out; k++)
      out[k] = k % 4 ? 0xff : 0xf7;
    tandem_masks_add (zero, "encoder.layer.1.attention.output.dense.weight", columns, WIDTH * WIDTH);
    tandem_masks_add (zero, "encoder.layer.2.intermediate.dense.weight", rows, 32 * WIDTH);
    tandem_masks_add (zero, "encoder.layer.2.intermediate.dense.bias", bias, 32);
    tandem_masks_add (zero, "encoder.layer.2.output.dense.weight", out, 32 * WIDTH);
  }
  zeros = tandem_masks_apply (zero, tensors, NULL);
  masked = tandem_test_export (fixture->model, NULL, zeros, NULL, zeros_folder);
  structure = tandem_structure_new (masked, NULL);
  g_assert_true (tandem_structure_prune_heads (structure, 1.0 / 6, TANDEM_PRUNE_SCOPE_GLOBAL, NULL));
  g_assert_true (tandem_structure_prune_neurons (structure, 1.0 / 96, TANDEM_PRUNE_SCOPE_GLOBAL,
                                                 NULL));
  sliced = tandem_structure_apply (structure, &config, &none, NULL);
  small = tandem_test_export (fixture->model, config, sliced, NULL, small_folder);
  g_assert_cmpuint (tandem_model_get_n_heads (small, 1), ==, 1);
  g_assert_cmpuint (tandem_model_get_intermediate_size (small, 2), ==, 31);

  {
    const TandemTrainOptions options = { .seed = 1 };
    g_autoptr (TandemTrainStage) a = tandem_train_stage_new (masked, 0, 2, &options, NULL);
    g_autoptr (TandemTrainStage) b = tandem_train_stage_new (small, 0, 2, &options, NULL);
    float logits[2][N * 2], gradient[N * 2];
    g_autoptr (GHashTable) of_masked = NULL;
    g_autoptr (GHashTable) of_small = NULL;
    GHashTableIter iter;
    gpointer name, tensor;
    TandemLoss loss = { 0 };

    g_assert_true (tandem_train_stage_forward (a, 0, ids, N, offsets, sequences, logits[0], NULL));
    g_assert_true (tandem_train_stage_forward (b, 0, ids, N, offsets, sequences, logits[1], NULL));
    for (i = 0; i < N * 2; i++)
      g_assert_cmpfloat_with_epsilon (logits[0][i], logits[1][i], 1e-5);
    tandem_loss_cross_entropy (&loss, logits[0], N, 2, labels, 0.0, gradient, NULL);
    g_assert_true (tandem_train_stage_backward (a, 0, gradient, N * 2, NULL, NULL));
    g_assert_true (tandem_train_stage_backward (b, 0, gradient, N * 2, NULL, NULL));
    of_masked = tandem_train_stage_get_gradients (a);
    of_small = tandem_train_stage_get_gradients (b);
    g_hash_table_iter_init (&iter, of_small);
    while (g_hash_table_iter_next (&iter, &name, &tensor)) {
      TandemTensor *other = g_hash_table_lookup (of_masked, name);
      const float *small_data = tandem_tensor_get_data (tensor, NULL);
      const float *whole = tandem_tensor_get_data (other, NULL);
      guint64 n = tandem_tensor_get_n_elements (other), at = 0, e;
      const guint8 *bits = tandem_masks_get (zero, name, NULL);

      for (e = 0; e < n; e++)
        if (bits == NULL || bits[e / 8] >> (e % 8) & 1)
          g_assert_cmpfloat_with_epsilon (small_data[at++], whole[e], 1e-4 + 1e-4 * fabsf (whole[e]));
      g_assert_cmpuint (at, ==, tandem_tensor_get_n_elements (tensor));
    }
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/prune/training/masks", Fixture, NULL, set_up, test_masks, tear_down);
  g_test_add ("/prune/training/state", Fixture, NULL, set_up, test_state, tear_down);
  g_test_add ("/prune/training/structure", Fixture, NULL, set_up, test_structure, tear_down);
  return g_test_run ();
}
