/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Hidden states of a teacher: their loss against one computed here from what stages that only run
 * give, gradients against finite differences, and what is refused. */

#include <math.h>
#include <string.h>
#include <tandem.h>

#include "tandem-test-model.h"

#define N 3
#define N_ROWS 10
#define WIDTH 16
#define WEIGHT 0.7
#define PROJECTION "distillation.projection.weight"

/* For finite differences: elements of each tensor, and how far they are moved. */
#define N_SAMPLES 12
#define STEP 4e-3f

static const gint32 ids[N_ROWS] = { 2, 7, 9, 11, 3, 2, 50, 3, 2, 3 };
static const guint32 offsets[] = { 0, 5, 8, 10 };
static const guint64 sequences[] = { 4, 5, 6 };

static char *folder;
static TandemModel *student, *same, *wide, *other;

static TandemModel *
make_model (const char *name, guint n_layers, guint width, guint vocab_size, guint32 seed)
{
  TandemTestModel shape = TANDEM_TEST_MODEL_INIT;
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;
  TandemModel *model;

  shape.n_layers = n_layers;
  shape.hidden_size = width;
  shape.vocab_size = vocab_size;
  shape.seed = seed;
  tandem_test_model_write (&shape, path);
  model = tandem_model_open (path, NULL, &error);
  g_assert_no_error (error);
  return model;
}

static TandemTrainStage *
new_stage (guint last, TandemModel *teacher, const char *layers, double dropout)
{
  const TandemTrainOptions options = {
    .hidden_dropout = dropout, .attention_dropout = dropout, .classifier_dropout = dropout,
    .seed = 3, .teacher = teacher, .teacher_layers = layers, .teacher_weight = WEIGHT
  };
  g_autoptr (GError) error = NULL;
  TandemTrainStage *stage = tandem_train_stage_new (student, 0, last, &options, &error);

  g_assert_no_error (error);
  return stage;
}

/* One micro-batch; the loss of what comes out is its product with fixed numbers. */
static double
run (TandemTrainStage *stage, double share)
{
  guint n = tandem_train_stage_gives_logits (stage) ? N * 2 : N_ROWS * WIDTH, i;
  g_autofree float *output = g_new (float, n), *gradient = g_new (float, n);
  g_autoptr (GError) error = NULL;
  double loss = 0.0;

  tandem_train_stage_forward (stage, 0, ids, N, offsets, sequences, output, &error);
  g_assert_no_error (error);
  for (i = 0; i < n; i++) {
    gradient[i] = (float) (share * sin (1.0 + i));
    loss += gradient[i] * (double) output[i];
  }
  tandem_train_stage_backward (stage, 0, gradient, n, NULL, &error);
  g_assert_no_error (error);
  return loss + tandem_train_stage_get_hidden_loss (stage);
}

/* The rows behind a layer. */
static float *
get_rows (TandemModel *model, guint layer)
{
  guint width = tandem_model_get_config (model)->hidden_size;
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemBertStage) stage =
      tandem_bert_stage_new (model, 0, layer, TANDEM_PRECISION_F32, 1, TANDEM_BERT_STAGE_HIDDEN,
                             &error);
  float *rows = g_new (float, N_ROWS * width);

  g_assert_no_error (error);
  tandem_bert_stage_forward_tokens (stage, ids, N, offsets, rows, NULL, &error);
  g_assert_no_error (error);
  return rows;
}

/* first_rows: of the last layer of a classifier only these exist. */
static double
get_expected_loss (guint layer, guint teacher_layer, gboolean first_rows)
{
  g_autofree float *h = get_rows (student, layer), *t = get_rows (same, teacher_layer);
  double sum = 0.0;
  guint i, j;

  for (i = 0; i < N; i++) {
    guint n = first_rows ? 1 : offsets[i + 1] - offsets[i];

    for (j = offsets[i] * WIDTH; j < (offsets[i] + n) * WIDTH; j++)
      sum += pow ((double) h[j] - t[j], 2) / (n * WIDTH);
  }
  return WEIGHT * sum;
}

static void
test_loss (void)
{
  const struct
  {
    guint last;
    const char *layers;
    double expected;
  } cases[] = {
    { 0, "0:2", get_expected_loss (0, 2, FALSE) },
    { 1, "0:1", get_expected_loss (0, 1, FALSE) },
    { 1, "1:3", get_expected_loss (1, 3, TRUE) },
    { 1, "0:0, 1:2", get_expected_loss (0, 0, FALSE) + get_expected_loss (1, 2, TRUE) },
    { 1, NULL, get_expected_loss (0, 1, FALSE) + get_expected_loss (1, 3, TRUE) },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (TandemTrainStage) stage = new_stage (cases[i].last, same, cases[i].layers, 0.0);
    double loss = run (stage, 0.0);

    g_assert_true (tandem_train_stage_has_teacher (stage));
    g_assert_cmpfloat (loss, >, 0.0);
    g_assert_cmpfloat_with_epsilon (loss / cases[i].expected, 1.0, 1e-4);
    /* A sum until the next update. */
    g_assert_cmpfloat_with_epsilon (run (stage, 0.0) / cases[i].expected, 2.0, 1e-4);
    tandem_train_stage_forget (stage);
    g_assert_cmpfloat (tandem_train_stage_get_hidden_loss (stage), ==, 0.0);
  }
}

/* The loss with one number moved. */
static double
run_moved (TandemTrainStage *stage, GHashTable *state, const char *name, gsize i, float by)
{
  TandemTensor *before = tandem_tensor_ref (g_hash_table_lookup (state, name));
  guint n_dims = tandem_tensor_get_n_dims (before), k;
  guint64 shape[2] = { 0 };
  gsize size;
  g_autofree float *data = g_memdup2 (g_bytes_get_data (tandem_tensor_get_bytes (before), &size),
                                      g_bytes_get_size (tandem_tensor_get_bytes (before)));
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  double loss;

  for (k = 0; k < n_dims; k++)
    shape[k] = tandem_tensor_get_dim (before, k);
  data[i] += by;
  bytes = g_bytes_new (data, size);
  g_hash_table_insert (state, g_strdup (name),
                       tandem_tensor_new (TANDEM_DTYPE_F32, n_dims, shape, bytes, NULL));
  tandem_train_stage_set_state (stage, state, &error);
  g_assert_no_error (error);
  loss = run (stage, 1.0);
  tandem_train_stage_forget (stage);
  g_hash_table_insert (state, g_strdup (name), before);
  return loss;
}

static void
test_gradients (void)
{
  const struct
  {
    guint last;
    TandemModel *teacher;
    const char *layers;
  } cases[] = { { 0, wide, "0:1" }, { 1, wide, NULL }, { 1, same, "0:0,1:3" }, { 0, same, "0:3" } };
  guint i, k;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (TandemTrainStage) stage =
        new_stage (cases[i].last, cases[i].teacher, cases[i].layers, 0.1);
    g_autoptr (GHashTable) state = tandem_train_stage_get_state (stage);
    g_autoptr (GHashTable) gradients = NULL;
    g_autoptr (GRand) rand = g_rand_new_with_seed (5);
    GHashTableIter iter;
    gpointer name, tensor;

    run (stage, 1.0);
    gradients = tandem_train_stage_get_gradients (stage);
    tandem_train_stage_forget (stage);
    g_assert_cmpint (g_hash_table_contains (gradients, PROJECTION), ==, cases[i].teacher == wide);
    g_hash_table_iter_init (&iter, gradients);
    while (g_hash_table_iter_next (&iter, &name, &tensor)) {
      gsize n = tandem_tensor_get_n_elements (tensor);
      const float *computed = tandem_tensor_get_data (tensor, NULL);
      double wrong = 0.0, all = 0.0;

      for (k = 0; k < N_SAMPLES; k++) {
        /* Of embeddings, rows that occur. */
        gsize place = strstr (name, "word_emb") != NULL
            ? (gsize) ids[k % N_ROWS] * WIDTH + g_rand_int_range (rand, 0, WIDTH)
            : (gsize) g_rand_int_range (rand, 0, strstr (name, "position_emb") != NULL ? 5 * WIDTH
                                                                                      : (int) n);
        double difference = (run_moved (stage, state, name, place, STEP) -
                             run_moved (stage, state, name, place, -STEP)) / (2 * STEP);

        wrong += pow (computed[place] - difference, 2);
        all += pow (difference, 2);
      }
      if (sqrt (wrong) > 0.01 * sqrt (all) + 1e-3)
        g_error ("case %u, %s: gradients are wrong by %g of %g", i, (const char *) name,
                 sqrt (wrong), sqrt (all));
    }
  }
}

/* What is learned, and what of it is the model's. */
static void
test_learns (void)
{
  g_autoptr (TandemTrainStage) stage = new_stage (1, wide, NULL, 0.1);
  g_autoptr (GHashTable) tensors = NULL, state = NULL;
  double first = 0.0, last = 0.0;
  guint64 step;

  for (step = 1; step <= 100; step++) {
    const TandemTrainUpdate adamw = { step, 1e-2, 0.9, 0.999, 1e-8, 0.01, 1.0 / N };

    last = run (stage, 0.0);
    if (step == 1)
      first = last;
    tandem_train_stage_update (stage, &adamw);
    g_assert_cmpfloat (tandem_train_stage_get_hidden_loss (stage), ==, 0.0);
  }
  g_assert_cmpfloat (last, <, first / 4);
  tensors = tandem_train_stage_get_tensors (stage);
  state = tandem_train_stage_get_state (stage);
  g_assert_false (g_hash_table_contains (tensors, PROJECTION));
  g_assert_true (g_hash_table_contains (state, PROJECTION));
  g_assert_true (g_hash_table_contains (state, "adamw.v." PROJECTION));
}

static void
test_refusals (void)
{
  const struct
  {
    guint first, last;
    TandemModel *teacher;
    const char *layers;
    gboolean masked_lm;
    int code;
  } cases[] = {
    { 0, 1, same, "0", FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 0, 1, same, "0:", FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 0, 1, same, "0:1,", FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 0, 1, same, "0:1:2", FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 0, 1, same, "a:1", FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 0, 1, same, "-1:1", FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 0, 1, same, "2:1", FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 0, 1, same, "0:4", FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 0, 1, same, "1:2,0:3", FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 0, 1, same, "0:2,1:2", FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 0, 1, other, NULL, FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 0, 1, other, "0:0", FALSE, G_IO_ERROR_INVALID_ARGUMENT },
    { 1, 1, same, "1:2", FALSE, G_IO_ERROR_NOT_SUPPORTED },
    { 0, 0, same, NULL, FALSE, G_IO_ERROR_NOT_SUPPORTED },
    { 0, 0, same, "1:2", FALSE, G_IO_ERROR_NOT_SUPPORTED },
    { 0, 1, same, NULL, TRUE, G_IO_ERROR_NOT_SUPPORTED },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    const TandemTrainOptions options = {
      .teacher = cases[i].teacher, .teacher_layers = cases[i].layers,
      .masked_lm = cases[i].masked_lm
    };
    g_autoptr (GError) error = NULL;

    g_assert_null (tandem_train_stage_new (student, cases[i].first, cases[i].last, &options,
                                           &error));
    g_assert_error (error, G_IO_ERROR, cases[i].code);
  }
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = tandem_test_make_folder ();
  student = make_model ("student", 2, WIDTH, 100, 1);
  same = make_model ("same", 4, WIDTH, 100, 2);
  wide = make_model ("wide", 3, 24, 100, 3);
  other = make_model ("other", 1, WIDTH, 90, 4);

  g_test_add_func ("/train-hidden/loss", test_loss);
  g_test_add_func ("/train-hidden/gradients", test_gradients);
  g_test_add_func ("/train-hidden/learns", test_learns);
  g_test_add_func ("/train-hidden/refusals", test_refusals);
  result = g_test_run ();
  g_object_unref (student);
  g_object_unref (same);
  g_object_unref (wide);
  g_object_unref (other);
  tandem_test_remove_folder (folder);
  return result;
}
