/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All that pruning and quantizing make, one after the other: each opens, is cut at each boundary
 * and gives the same bits as the whole, and a sequence's result does not depend on the others. */

#include "tandem-test-sparse.h"

#include <string.h>

typedef enum
{
  NOTHING,
  MAGNITUDE_TENSOR,
  MAGNITUDE_GLOBAL,
  HEADS,
  NEURONS,
  LAYERS,
  VOCABULARY,
  N_PRUNINGS,
} Pruning;

static const char *const prunings[N_PRUNINGS] = {
  "nothing", "magnitude-tensor", "magnitude-global", "heads", "neurons", "layers", "vocabulary",
};

static const struct
{
  const char *name;
  TandemQuantizeFormat format;
} formats[] = {
  { "int8", TANDEM_QUANTIZE_INT8 },
  { "int8-weights", TANDEM_QUANTIZE_INT8_WEIGHTS },
  { "bf16", TANDEM_QUANTIZE_BF16 },
  { "f16", TANDEM_QUANTIZE_F16 },
};

typedef struct
{
  char *folder;
  TandemModel *source;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *source = NULL;

  /* Wide enough that linear layers are blocks of every instruction set, and what is left over. */
  spec.n_layers = 3;
  spec.hidden_size = 48;
  spec.n_heads = 4;
  spec.intermediate_size = 70;
  fixture->folder = tandem_test_make_folder ();
  source = g_build_filename (fixture->folder, "source", NULL);
  tandem_test_model_write (&spec, source);
  fixture->source = tandem_model_open (source, NULL, NULL);
  g_assert_nonnull (fixture->source);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_object_unref (fixture->source);
  tandem_test_remove_folder (fixture->folder);
}

static TandemModel *
prune_magnitude (Fixture *fixture, TandemPruneScope scope, double sparsity, const char *folder)
{
  g_autoptr (GHashTable) tensors = tandem_prune_get_tensors (fixture->source, NULL);
  g_autoptr (TandemMasks) masks = tandem_prune_magnitude (
      tensors, TANDEM_PRUNE_LINEAR | TANDEM_PRUNE_EMBEDDINGS, scope, sparsity, NULL);
  g_autoptr (GHashTable) pruned = tandem_masks_apply (masks, tensors, NULL);

  return tandem_test_export (fixture->source, NULL, pruned, masks, folder);
}

static TandemModel *
prune_structure (Fixture *fixture, Pruning pruning, const char *folder)
{
  g_autoptr (TandemStructure) structure = tandem_structure_new (fixture->source, NULL);
  g_autoptr (GHashTable) tensors = NULL;
  g_autoptr (TandemMasks) masks = NULL;
  g_autofree char *config = NULL;
  g_autoptr (GError) error = NULL;

  if (pruning == HEADS)
    tandem_structure_prune_heads (structure, 0.4, TANDEM_PRUNE_SCOPE_GLOBAL, &error);
  else if (pruning == NEURONS)
    tandem_structure_prune_neurons (structure, 0.5, TANDEM_PRUNE_SCOPE_GLOBAL, &error);
  else
    tandem_structure_prune_layers (structure, 0.34, &error);
  g_assert_no_error (error);
  tensors = tandem_structure_apply (structure, &config, &masks, &error);
  g_assert_no_error (error);
  return tandem_test_export (fixture->source, config, tensors, masks, folder);
}

static TandemModel *
prune_vocabulary (Fixture *fixture, const char *folder)
{
  g_autoptr (TandemTokenizer) before = tandem_model_get_tokenizer (fixture->source, NULL);
  g_autofree guint8 *used = g_malloc0 (tandem_tokenizer_get_size (before));
  g_autoptr (TandemTokenizer) tokenizer = NULL;
  g_autoptr (GHashTable) tensors = NULL;
  g_autoptr (TandemMasks) masks = NULL;
  g_autofree char *config = NULL;
  g_autoptr (GError) error = NULL;

  tandem_tokenizer_mark_used (before, "word60 word99 a b", 17, used);
  tandem_prune_vocabulary (fixture->source, used, &tokenizer, &config, &tensors, &masks, &error);
  g_assert_no_error (error);
  tandem_model_export_sparse (fixture->source, config, tensors, masks, tokenizer, NULL,
                              TANDEM_DTYPE_F32, folder, TANDEM_MODEL_EXPORT_KEEP_DTYPES, NULL,
                              &error);
  g_assert_no_error (error);
  return tandem_model_open (folder, NULL, NULL);
}

static TandemModel *
prune (Fixture *fixture, Pruning pruning)
{
  g_autofree char *folder = g_build_filename (fixture->folder, prunings[pruning], NULL);

  switch (pruning) {
    case MAGNITUDE_TENSOR:
      return prune_magnitude (fixture, TANDEM_PRUNE_SCOPE_TENSOR, 0.5, folder);
    case MAGNITUDE_GLOBAL:
      return prune_magnitude (fixture, TANDEM_PRUNE_SCOPE_GLOBAL, 0.85, folder);
    case HEADS:
    case NEURONS:
    case LAYERS:
      return prune_structure (fixture, pruning, folder);
    case VOCABULARY:
      return prune_vocabulary (fixture, folder);
    default:
      return g_object_ref (fixture->source);
  }
}

/* Each of a few sequences alone, and with others on two threads. */
static void
assert_alone (TandemModel *model)
{
  const guint32 offsets[] = { 0, 31, 32, 40, 72, 90 };
  const guint n = G_N_ELEMENTS (offsets) - 1;
  const TandemModelConfig *config = tandem_model_get_config (model);
  gint32 ids[90];
  float together[2][10], alone[2];
  guint i, threads;

  for (i = 0; i < G_N_ELEMENTS (ids); i++)
    ids[i] = (i * 29 + 3) % config->vocab_size;
  for (threads = 1; threads <= 2; threads++) {
    g_autoptr (TandemBertStage) stage =
        tandem_bert_stage_new (model, 0, config->n_layers - 1, TANDEM_PRECISION_F32, threads,
                               TANDEM_BERT_STAGE_NONE, NULL);

    g_assert_true (tandem_bert_stage_forward_tokens (stage, ids, n, offsets,
                                                     together[threads - 1], NULL, NULL));
    for (i = 0; i < n; i++) {
      const guint32 own[] = { 0, offsets[i + 1] - offsets[i] };

      g_assert_true (tandem_bert_stage_forward_tokens (stage, ids + offsets[i], 1, own, alone,
                                                       NULL, NULL));
      g_assert_cmpmem (alone, sizeof alone, together[0] + 2 * i, sizeof alone);
    }
  }
  g_assert_cmpmem (together[0], sizeof together[0], together[1], sizeof together[1]);
}

/* How many matrices a stage of the whole model leaves the zeros out of. */
static guint
count_sparse (TandemModel *model)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  g_autoptr (TandemBertStage) stage =
      tandem_bert_stage_new (model, 0, config->n_layers - 1, TANDEM_PRECISION_F32, 1,
                             TANDEM_BERT_STAGE_NONE, NULL);
  g_auto (GStrv) names = tandem_bert_stage_list_sparse (stage);

  return g_strv_length (names);
}

static guint64
get_size (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInfo) info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE,
                                                  G_FILE_QUERY_INFO_NONE, NULL, NULL);

  g_assert_nonnull (info);
  return g_file_info_get_size (info);
}

static void
test_products (Fixture *fixture, gconstpointer data)
{
  Pruning pruning = GPOINTER_TO_UINT (data);
  gboolean is_sparse = pruning == MAGNITUDE_TENSOR || pruning == MAGNITUDE_GLOBAL;
  g_autoptr (TandemModel) model = prune (fixture, pruning);
  guint f;

  tandem_test_assert_splits (model, fixture->folder);
  assert_alone (model);
  g_assert_true ((count_sparse (model) > 0) == is_sparse);
  for (f = 0; f < G_N_ELEMENTS (formats); f++) {
    g_autofree char *folder = g_build_filename (fixture->folder, formats[f].name, NULL);
    g_autoptr (TandemModel) made = NULL;
    g_autoptr (GError) error = NULL;

    tandem_quantize_model (model, formats[f].format, NULL, folder, TANDEM_MODEL_EXPORT_NONE, NULL,
                           &error);
    g_assert_no_error (error);
    made = tandem_model_open (folder, NULL, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (get_size (folder), <, get_size (tandem_model_get_path (model)));
    tandem_test_assert_splits (made, fixture->folder);
    assert_alone (made);
    /* What is not int8 has the zeros that it had. */
    if (is_sparse && formats[f].format != TANDEM_QUANTIZE_INT8 &&
        formats[f].format != TANDEM_QUANTIZE_INT8_WEIGHTS)
      g_assert_cmpuint (count_sparse (made), ==, count_sparse (model));
  }
}

/* Most of these matrices are smaller without zeros than as int8: they stay so. */
static void
test_stays_sparse (Fixture *fixture, gconstpointer data)
{
  g_autofree char *pruned = g_build_filename (fixture->folder, "pruned", NULL);
  g_autofree char *folder = g_build_filename (fixture->folder, "int8", NULL);
  g_autoptr (TandemModel) model =
      prune_magnitude (fixture, TANDEM_PRUNE_SCOPE_TENSOR, 0.9, pruned);
  g_auto (GStrv) names = tandem_quantize_list_tensors (model);
  g_autoptr (TandemModel) made = NULL;
  g_autoptr (TandemSparseTensor) words = NULL;

  g_assert_true (g_strv_contains ((const char *const *) names,
                                  "embeddings.position_embeddings.weight"));
  g_assert_cmpuint (g_strv_length (names), ==, 1);
  g_assert_true (tandem_quantize_model (model, TANDEM_QUANTIZE_INT8, NULL, folder,
                                        TANDEM_MODEL_EXPORT_NONE, NULL, NULL));
  made = tandem_model_open (folder, NULL, NULL);
  words = tandem_model_get_sparse_tensor (made, "embeddings.word_embeddings.weight");
  g_assert_nonnull (words);
  g_assert_cmpuint (count_sparse (made), ==, count_sparse (model));
  tandem_test_assert_splits (made, fixture->folder);
}

/* Half pruned and then int8: a mask and the values that are left, and the bits of the same stored
 * dense. */
static void
test_sparse_int8 (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GHashTable) tensors = tandem_prune_get_tensors (fixture->source, NULL);
  g_autoptr (TandemMasks) kept = NULL, masks = tandem_prune_magnitude (
      tensors, TANDEM_PRUNE_LINEAR | TANDEM_PRUNE_EMBEDDINGS, TANDEM_PRUNE_SCOPE_TENSOR, 0.5, NULL);
  g_autoptr (GHashTable) pruned = tandem_masks_apply (masks, tensors, NULL);
  g_autofree float *dense = NULL;
  g_autofree float *left = NULL;
  guint64 sizes[2], n_elements, n_kept;
  gsize n_bytes;
  guint i;

  for (i = 0; i < 2; i++) {
    g_autofree char *from = g_build_filename (fixture->folder, i == 0 ? "dense" : "sparse", NULL);
    g_autofree char *folder = g_strconcat (from, "-int8", NULL);
    g_autoptr (TandemModel) model =
        tandem_test_export (fixture->source, NULL, pruned, i == 0 ? NULL : masks, from);
    g_autoptr (TandemModel) made = NULL;
    g_autoptr (TandemSparseTensor) words = NULL;
    g_autoptr (GError) error = NULL;

    tandem_quantize_model (model, TANDEM_QUANTIZE_INT8, NULL, folder, TANDEM_MODEL_EXPORT_NONE,
                           NULL, &error);
    g_assert_no_error (error);
    made = tandem_model_open (folder, NULL, &error);
    g_assert_no_error (error);
    words = tandem_model_get_sparse_tensor (made, "embeddings.word_embeddings.weight");
    g_assert_true ((words != NULL) == (i == 1));
    g_assert_true (words == NULL ||
                   tandem_sparse_tensor_get_dtype (words) == TANDEM_DTYPE_I8);
    sizes[i] = get_size (folder);
    *(i == 0 ? &dense : &left) = tandem_test_run (made, 0, NULL);
    tandem_test_assert_splits (made, fixture->folder);
    assert_alone (made);
    g_assert_cmpfloat_with_epsilon (tandem_model_get_zeros (made), i == 1 ? 0.49 : 0, 0.02);
    if (i == 1)
      kept = tandem_masks_new_from_model (made);
  }
  n_bytes = 3 * tandem_model_get_config (fixture->source)->n_classes * sizeof (float);
  g_assert_cmpmem (dense, n_bytes, left, n_bytes);
  g_assert_cmpuint (5 * sizes[1], <, 4 * sizes[0]);
  tandem_masks_count (masks, &sizes[0], &sizes[1]);
  tandem_masks_count (kept, &n_elements, &n_kept);
  g_assert_cmpuint (n_elements, >, 0);
  g_assert_cmpuint (n_elements - n_kept, <=, sizes[0] - sizes[1]);
}

int
main (int argc, char **argv)
{
  guint i;

  g_test_init (&argc, &argv, NULL);
  for (i = 0; i < N_PRUNINGS; i++) {
    g_autofree char *path = g_strdup_printf ("/slim/products/%s", prunings[i]);

    g_test_add (path, Fixture, GUINT_TO_POINTER (i), set_up, test_products, tear_down);
  }
  g_test_add ("/slim/products/sparse-int8", Fixture, NULL, set_up, test_sparse_int8, tear_down);
  g_test_add ("/slim/products/stays-sparse", Fixture, NULL, set_up, test_stays_sparse, tear_down);
  return g_test_run ();
}
