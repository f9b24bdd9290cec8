/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stage in training, without a pipeline: versions of weights, state, and what it refuses.
 * Gradients are compared with PyTorch's in tests/python/check-train.py. */

#include <math.h>
#include <string.h>
#include <tandem.h>

#include "tandem-test-model.h"

#define N 3
#define N_ROWS 10
#define N_LOGITS (N * 2)

static const gint32 ids[N_ROWS] = { 2, 7, 9, 11, 3, 2, 50, 3, 2, 3 };
static const guint32 offsets[] = { 0, 5, 8, 10 };
static const guint64 sequences[] = { 4, 5, 6 };
static const gint32 labels[] = { 1, 0, 0 };

static char *folder;
static TandemModel *model;

static TandemTrainStage *
new_stage (double dropout)
{
  const TandemTrainOptions options = { dropout, dropout, dropout, 3, FALSE, FALSE };
  g_autoptr (GError) error = NULL;
  TandemTrainStage *stage = tandem_train_stage_new (model, 0, 1, &options, &error);

  g_assert_no_error (error);
  return stage;
}

/* Runs a micro-batch forward; gives the gradient of its loss. */
static double
forward (TandemTrainStage *stage, guint64 micro_batch, float *gradient)
{
  float logits[N_LOGITS];
  TandemLoss loss = { 0 };
  g_autoptr (GError) error = NULL;

  tandem_train_stage_forward (stage, micro_batch, ids, N, offsets, sequences, logits, &error);
  g_assert_no_error (error);
  g_assert_true (tandem_loss_cross_entropy (&loss, logits, N, 2, labels, 0.0, gradient, NULL));
  return loss.sum;
}

static void
backward (TandemTrainStage *stage, guint64 micro_batch, const float *gradient)
{
  g_autoptr (GError) error = NULL;

  tandem_train_stage_backward (stage, micro_batch, gradient, N_LOGITS, NULL, &error);
  g_assert_no_error (error);
}

static void
update (TandemTrainStage *stage, guint64 step)
{
  const TandemTrainUpdate adamw = { step, 1e-2, 0.9, 0.999, 1e-8, 0.01, 1.0 / N };

  tandem_train_stage_update (stage, &adamw);
}

static guint
count_differences (GHashTable *a, GHashTable *b)
{
  GHashTableIter iter;
  gpointer name, tensor;
  guint n = 0;

  g_assert_cmpuint (g_hash_table_size (a), ==, g_hash_table_size (b));
  g_hash_table_iter_init (&iter, a);
  while (g_hash_table_iter_next (&iter, &name, &tensor))
    n += !g_bytes_equal (tandem_tensor_get_bytes (tensor),
                         tandem_tensor_get_bytes (g_hash_table_lookup (b, name)));
  return n;
}

static void
test_learns (void)
{
  g_autoptr (TandemTrainStage) stage = new_stage (0.1);
  float gradient[N_LOGITS];
  double first = 0.0, last = 0.0;
  guint64 step;

  for (step = 1; step <= 60; step++) {
    last = forward (stage, step, gradient);
    if (step == 1)
      first = last;
    backward (stage, step, gradient);
    g_assert_cmpfloat (tandem_train_stage_add_squared_norm (stage, 0.0), >, 0.0);
    update (stage, step);
    g_assert_cmpfloat (tandem_train_stage_add_squared_norm (stage, 0.0), ==, 0.0);
  }
  g_assert_cmpfloat (last, <, first / 10);
}

/* The backward pass sees the weights of its forward pass, whatever came in between (PipeDream's
 * weight stashing), but for word embeddings, which it does not need. */
static void
test_versions (void)
{
  g_autoptr (TandemTrainStage) still = new_stage (0.1);
  g_autoptr (TandemTrainStage) moving = new_stage (0.1);
  g_autoptr (GHashTable) expected = NULL;
  g_autoptr (GHashTable) got = NULL;
  float first[N_LOGITS], second[N_LOGITS], other[N_LOGITS];

  forward (still, 0, first);
  backward (still, 0, first);
  expected = tandem_train_stage_get_gradients (still);

  forward (moving, 0, first);
  forward (moving, 1, second);
  g_assert_cmpuint (tandem_train_stage_get_n_versions (moving), ==, 1);
  backward (moving, 1, second);
  update (moving, 1);
  g_assert_cmpuint (tandem_train_stage_get_n_versions (moving), ==, 2);
  forward (moving, 2, other);
  g_assert_false (memcmp (other, second, sizeof other) == 0);
  g_assert_cmpuint (tandem_train_stage_get_n_in_flight (moving), ==, 2);
  backward (moving, 0, first);
  g_assert_cmpuint (tandem_train_stage_get_n_versions (moving), ==, 1);
  got = tandem_train_stage_get_gradients (moving);
  g_assert_cmpuint (count_differences (expected, got), ==, 0);

  backward (moving, 2, other);
  g_assert_cmpuint (tandem_train_stage_get_n_in_flight (moving), ==, 0);
}

/* Gradients of micro-batches add up, in the order of their backward passes. */
static void
test_accumulates (void)
{
  g_autoptr (TandemTrainStage) together = new_stage (0.0);
  g_autoptr (TandemTrainStage) apart = new_stage (0.0);
  g_autoptr (GHashTable) a = NULL;
  g_autoptr (GHashTable) b = NULL;
  float gradient[N_LOGITS], again[N_LOGITS];

  forward (together, 0, gradient);
  forward (together, 1, again);
  backward (together, 0, gradient);
  backward (together, 1, again);
  forward (apart, 0, gradient);
  backward (apart, 0, gradient);
  forward (apart, 1, again);
  backward (apart, 1, again);
  a = tandem_train_stage_get_gradients (together);
  b = tandem_train_stage_get_gradients (apart);
  g_assert_cmpuint (count_differences (a, b), ==, 0);
}

static void
test_state (void)
{
  g_autoptr (TandemTrainStage) a = new_stage (0.1);
  g_autoptr (TandemTrainStage) b = new_stage (0.1);
  g_autoptr (GHashTable) state = NULL;
  g_autoptr (GHashTable) first = NULL;
  g_autoptr (GHashTable) second = NULL;
  g_autoptr (GHashTable) before = tandem_train_stage_get_state (b);
  g_autoptr (GError) error = NULL;
  float gradient[N_LOGITS];

  forward (a, 0, gradient);
  backward (a, 0, gradient);
  update (a, 1);
  state = tandem_train_stage_get_state (a);

  /* One tensor is missing: nothing changes. */
  g_hash_table_remove (state, "adamw.v.classifier.bias");
  g_assert_false (tandem_train_stage_set_state (b, state, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR);
  g_assert_nonnull (strstr (error->message, "adamw.v.classifier.bias"));
  g_clear_error (&error);
  first = tandem_train_stage_get_state (b);
  g_assert_cmpuint (count_differences (before, first), ==, 0);
  g_clear_pointer (&first, g_hash_table_unref);
  g_clear_pointer (&state, g_hash_table_unref);

  state = tandem_train_stage_get_state (a);
  tandem_train_stage_set_state (b, state, &error);
  g_assert_no_error (error);
  forward (a, 1, gradient);
  backward (a, 1, gradient);
  update (a, 2);
  forward (b, 1, gradient);
  backward (b, 1, gradient);
  update (b, 2);
  first = tandem_train_stage_get_state (a);
  second = tandem_train_stage_get_state (b);
  g_assert_cmpuint (count_differences (first, second), ==, 0);
  g_assert_cmpuint (count_differences (first, state), >, 0);
}

static void
test_refusals (void)
{
  static const guint32 empty[] = { 0, 5, 5, 10 };
  static const guint32 longer[] = { 0, 40 };
  g_autoptr (TandemTrainStage) stage = new_stage (0.0);
  const TandemTrainOptions bad = { 1.0, 0.1, 0.1, 0, FALSE, FALSE },
                           plain = { 0.0, 0.0, 0.0, 0, FALSE, FALSE };
  g_autoptr (GError) error = NULL;
  gint32 many[40] = { 0 };
  float logits[N_LOGITS], gradient[N_LOGITS];

  g_assert_null (tandem_train_stage_new (model, 0, 2, &plain, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS);
  g_clear_error (&error);
  g_assert_null (tandem_train_stage_new (model, 0, 1, &bad, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG);
  g_clear_error (&error);

  g_assert_false (tandem_train_stage_forward (stage, 0, ids, N, empty, sequences, logits, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);
  g_assert_false (tandem_train_stage_forward (stage, 0, many, 1, longer, sequences, logits,
                                              &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);
  many[3] = 100;
  g_assert_false (tandem_train_stage_forward (stage, 0, many, 1, offsets, sequences, logits,
                                              &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);

  g_assert_false (tandem_train_stage_backward (stage, 9, logits, N_LOGITS, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);
  forward (stage, 1, gradient);
  g_assert_false (tandem_train_stage_backward (stage, 1, gradient, N_LOGITS - 1, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);
  forward (stage, 2, gradient);
  gradient[1] = NAN;
  g_assert_false (tandem_train_stage_backward (stage, 2, gradient, N_LOGITS, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_nonnull (strstr (error->message, "micro-batch 2"));
  g_clear_error (&error);

  forward (stage, 3, gradient);
  tandem_train_stage_forget (stage);
  g_assert_cmpuint (tandem_train_stage_get_n_in_flight (stage), ==, 0);
  g_assert_cmpfloat (tandem_train_stage_add_squared_norm (stage, 0.0), ==, 0.0);
}

int
main (int argc, char **argv)
{
  TandemTestModel shape = TANDEM_TEST_MODEL_INIT;
  g_autoptr (GError) error = NULL;
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = tandem_test_make_folder ();
  tandem_test_model_write (&shape, folder);
  model = tandem_model_open (folder, NULL, &error);
  g_assert_no_error (error);

  g_test_add_func ("/train-stage/learns", test_learns);
  g_test_add_func ("/train-stage/versions", test_versions);
  g_test_add_func ("/train-stage/accumulates", test_accumulates);
  g_test_add_func ("/train-stage/state", test_state);
  g_test_add_func ("/train-stage/refusals", test_refusals);
  result = g_test_run ();
  g_object_unref (model);
  tandem_test_remove_folder (folder);
  return result;
}
