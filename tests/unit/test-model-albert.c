/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ALBERT: its names, what its layers share, and its results against a plain forward pass
 * over the tensors as the file names them. */

#include "tandem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nn/tandem-reference.h"
#include "tandem-test-model.h"

#define ALBERT_INIT \
  { .n_layers = 4, .hidden_size = 24, .n_heads = 3, .intermediate_size = 40, .vocab_size = 100, \
    .max_positions = 40, .n_types = 2, .activation = "gelu_new", .dtype = TANDEM_DTYPE_F32, \
    .albert = TRUE, .embedding_size = 10, .n_groups = 1, .seed = 3 }

/* Sequences of several lengths, the longest among them. */
static const guint32 offsets[] = { 0, 5, 6, 46, 59 };
#define N_SEQUENCES (G_N_ELEMENTS (offsets) - 1)
#define N_ROWS 59

typedef struct
{
  char *folder;
  TandemModel *model;
  gint32 ids[N_ROWS];
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  const TandemTestModel standard = ALBERT_INIT;
  const TandemTestModel *spec = data != NULL ? data : &standard;
  g_autoptr (GError) error = NULL;
  guint i;

  fixture->folder = tandem_test_make_folder ();
  tandem_test_model_write (spec, fixture->folder);
  fixture->model = tandem_model_open (fixture->folder, NULL, &error);
  g_assert_no_error (error);
  for (i = 0; i < N_ROWS; i++)
    fixture->ids[i] = (i * 37 + 11) % spec->vocab_size;
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_clear_object (&fixture->model);
  tandem_test_remove_folder (fixture->folder);
}

static const TandemModelConfig *
get_config (Fixture *fixture)
{
  return tandem_model_get_config (fixture->model);
}

static guint
count_outputs (const TandemModelConfig *config, gboolean logits)
{
  return logits ? N_SEQUENCES * config->n_classes : N_ROWS * config->hidden_size;
}

/* Runs layers @first to @last of @model. */
static float *
run_stage (TandemModel *model, guint first, guint last, TandemPrecision precision,
           guint n_threads, TandemBertStageFlags flags, gconstpointer input)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemBertStage) stage =
      tandem_bert_stage_new (model, first, last, precision, n_threads, flags, &error);
  float *out;

  g_assert_no_error (error);
  out = g_new (float, count_outputs (tandem_model_get_config (model),
                                     tandem_bert_stage_gives_logits (stage)));
  if (first == 0)
    tandem_bert_stage_forward_tokens (stage, input, N_SEQUENCES, offsets, out, NULL, &error);
  else
    tandem_bert_stage_forward_rows (stage, input, N_SEQUENCES, offsets, out, NULL, &error);
  g_assert_no_error (error);
  return out;
}

/* The reference: tensors by the names of transformers, operations in double precision. */

static float *
load (TandemSafetensors *file, const char *prefix, const char *part)
{
  g_autofree char *name = g_strconcat (prefix, part, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemTensor) tensor = tandem_safetensors_get_tensor (file, name, &error);
  gsize n;
  float *out;

  g_assert_no_error (error);
  n = tandem_tensor_get_n_elements (tensor);
  out = g_new (float, n);
  g_assert_true (tandem_tensor_copy_f32 (tensor, 0, n, out));
  return out;
}

static float *
linear (TandemSafetensors *file, const char *prefix, const char *part, const float *x, guint rows,
        guint n_in, guint n_out)
{
  g_autofree char *name = g_strconcat (prefix, part, NULL);
  g_autofree float *weight = load (file, name, ".weight");
  g_autofree float *bias = load (file, name, ".bias");
  float *out = g_new (float, (gsize) rows * n_out);

  tandem_reference_linear (x, rows, n_in, n_out, weight, bias, out);
  return out;
}

static void
norm (TandemSafetensors *file, const char *prefix, const char *part, const float *x,
      const float *residual, guint rows, guint width, float *out)
{
  g_autofree char *name = g_strconcat (prefix, part, NULL);
  g_autofree float *gamma = load (file, name, ".weight");
  g_autofree float *beta = load (file, name, ".bias");

  tandem_reference_add_layer_norm (x, residual, rows, width, gamma, beta, 1e-12, out);
}

static float
activate (TandemActivation activation, float x)
{
  switch (activation) {
    case TANDEM_ACTIVATION_GELU:
      return tandem_reference_gelu_erf (x);
    case TANDEM_ACTIVATION_GELU_TANH:
      return tandem_reference_gelu_tanh (x);
    case TANDEM_ACTIVATION_RELU:
      break;
  }
  return MAX (x, 0);
}

static float *
reference_embeddings (TandemSafetensors *file, const TandemModelConfig *config, const gint32 *ids,
                      guint rows)
{
  const char *prefix = "albert.embeddings.";
  guint width = config->embedding_size, r, i;
  g_autofree float *words = load (file, prefix, "word_embeddings.weight");
  g_autofree float *positions = load (file, prefix, "position_embeddings.weight");
  g_autofree float *types = load (file, prefix, "token_type_embeddings.weight");
  g_autofree float *x = g_new (float, (gsize) rows * width);
  g_autofree float *zeros = g_new0 (float, (gsize) rows * width);

  for (r = 0; r < rows; r++)
    for (i = 0; i < width; i++)
      x[r * width + i] = words[ids[r] * width + i] + positions[r * width + i] + types[i];
  norm (file, prefix, "LayerNorm", x, zeros, rows, width, x);
  return linear (file, "albert.encoder.", "embedding_hidden_mapping_in", x, rows, width,
                 config->hidden_size);
}

static void
reference_layer (TandemSafetensors *file, const TandemModelConfig *config, guint group, float *x,
                 guint rows)
{
  guint hidden = config->hidden_size, wide = config->intermediate_size, i;
  g_autofree char *prefix =
      g_strdup_printf ("albert.encoder.albert_layer_groups.%u.albert_layers.0.", group);
  g_autofree float *query = linear (file, prefix, "attention.query", x, rows, hidden, hidden);
  g_autofree float *key = linear (file, prefix, "attention.key", x, rows, hidden, hidden);
  g_autofree float *value = linear (file, prefix, "attention.value", x, rows, hidden, hidden);
  g_autofree float *context = g_new (float, (gsize) rows * hidden);
  g_autofree float *dense = NULL, *inner = NULL, *outer = NULL;

  tandem_reference_attention (query, key, value, hidden, rows, config->n_heads,
                              hidden / config->n_heads, context);
  dense = linear (file, prefix, "attention.dense", context, rows, hidden, hidden);
  norm (file, prefix, "attention.LayerNorm", dense, x, rows, hidden, x);
  inner = linear (file, prefix, "ffn", x, rows, hidden, wide);
  for (i = 0; i < rows * wide; i++)
    inner[i] = activate (config->activation, inner[i]);
  outer = linear (file, prefix, "ffn_output", inner, rows, wide, hidden);
  norm (file, prefix, "full_layer_layer_norm", outer, x, rows, hidden, x);
}

/* groups: that of each layer. */
static float *
reference (Fixture *fixture, const guint *groups, gboolean logits)
{
  const TandemModelConfig *config = get_config (fixture);
  g_autofree char *path = g_build_filename (fixture->folder, "model.safetensors", NULL);
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, NULL);
  guint hidden = config->hidden_size, s, i;
  float *out = g_new (float, count_outputs (config, logits));

  for (s = 0; s < N_SEQUENCES; s++) {
    guint rows = offsets[s + 1] - offsets[s];
    g_autofree float *x = reference_embeddings (file, config, fixture->ids + offsets[s], rows);

    for (i = 0; i < config->n_layers; i++)
      reference_layer (file, config, groups[i], x, rows);
    if (logits) {
      g_autofree float *pooled = linear (file, "albert.", "pooler", x, 1, hidden, hidden);
      g_autofree float *scores = NULL;

      for (i = 0; i < hidden; i++)
        pooled[i] = tanh (pooled[i]);
      scores = linear (file, "", "classifier", pooled, 1, hidden, config->n_classes);
      memcpy (out + s * config->n_classes, scores, config->n_classes * sizeof (float));
    } else {
      memcpy (out + offsets[s] * hidden, x, (gsize) rows * hidden * sizeof (float));
    }
  }
  return out;
}

static void
check_forward (Fixture *fixture, const guint *groups, gboolean logits)
{
  const TandemModelConfig *config = get_config (fixture);
  g_autofree float *expected = reference (fixture, groups, logits);
  g_autofree float *found =
      run_stage (fixture->model, 0, config->n_layers - 1, TANDEM_PRECISION_F32, 1,
                 logits ? TANDEM_BERT_STAGE_NONE : TANDEM_BERT_STAGE_HIDDEN, fixture->ids);
  float worst = 0;
  guint i;

  for (i = 0; i < count_outputs (config, logits); i++) {
    g_assert_true (isfinite (found[i]));
    worst = MAX (worst, fabsf (found[i] - expected[i]));
  }
  g_test_message ("largest difference: %g", worst);
  g_assert_cmpfloat (worst, <, 2e-5);
}

/* With one group; with three for five layers, which do not divide evenly. */
static const guint one_group[] = { 0, 0, 0, 0 };
static const guint uneven_groups[] = { 0, 0, 1, 1, 2 };

static const TandemTestModel uneven = {
  .n_layers = 5, .hidden_size = 32, .n_heads = 4, .intermediate_size = 24, .vocab_size = 60,
  .max_positions = 40, .n_types = 1, .activation = "relu", .dtype = TANDEM_DTYPE_BF16,
  .albert = TRUE, .embedding_size = 120, .n_groups = 3, .seed = 8,
};

static void
test_forward (Fixture *fixture, gconstpointer data)
{
  const guint *groups = data == &uneven ? uneven_groups : one_group;

  check_forward (fixture, groups, TRUE);
  check_forward (fixture, groups, FALSE);
}

/* Every boundary, in one folder and in stage files, gives the bits of the whole. */
static void
check_splits (Fixture *fixture, TandemPrecision precision)
{
  const TandemModelConfig *config = get_config (fixture);
  guint last = config->n_layers - 1, cut, part;
  g_autofree float *whole = run_stage (fixture->model, 0, last, precision, 1,
                                       TANDEM_BERT_STAGE_NONE, fixture->ids);
  gsize size = count_outputs (config, TRUE) * sizeof (float);

  for (cut = 1; cut <= last; cut++) {
    const guint ranges[2][2] = { { 0, cut - 1 }, { cut, last } };
    TandemModel *files[2] = { NULL };
    g_autofree float *rows = NULL, *logits = NULL, *file_rows = NULL, *file_logits = NULL;

    rows = run_stage (fixture->model, 0, cut - 1, precision, 2, TANDEM_BERT_STAGE_NONE,
                      fixture->ids);
    logits = run_stage (fixture->model, cut, last, precision, 3, TANDEM_BERT_STAGE_NONE, rows);
    g_assert_cmpmem (logits, size, whole, size);

    for (part = 0; part < 2; part++) {
      g_autofree char *path = g_build_filename (fixture->folder, part ? "b" : "a", NULL);
      g_autoptr (GError) error = NULL;

      tandem_model_write_stage (fixture->model, ranges[part][0], ranges[part][1], path, NULL,
                                &error);
      g_assert_no_error (error);
      files[part] = tandem_model_open (path, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (tandem_model_get_fingerprint (files[part]), ==,
                       tandem_model_get_fingerprint (fixture->model));
    }
    file_rows = run_stage (files[0], 0, cut - 1, precision, 1, TANDEM_BERT_STAGE_NONE,
                           fixture->ids);
    file_logits = run_stage (files[1], cut, last, precision, 1, TANDEM_BERT_STAGE_NONE,
                             file_rows);
    g_assert_cmpmem (file_logits, size, whole, size);
    g_object_unref (files[0]);
    g_object_unref (files[1]);
  }
}

static void
test_splits (Fixture *fixture, gconstpointer data)
{
  check_splits (fixture, TANDEM_PRECISION_F32);
  if (tandem_precision_is_supported (TANDEM_PRECISION_BF16))
    check_splits (fixture, TANDEM_PRECISION_BF16);
}

static void
test_names (Fixture *fixture, gconstpointer data)
{
  const TandemModelConfig *config = get_config (fixture);
  g_auto (GStrv) all = tandem_model_list_tensors (fixture->model);
  g_auto (GStrv) middle = tandem_model_list_layer_tensors (fixture->model, 1, 2);
  g_auto (GStrv) last = tandem_model_list_layer_tensors (fixture->model, 4, 4);
  g_autoptr (TandemTensor) tensor = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (config->type, ==, TANDEM_MODEL_ALBERT);
  g_assert_cmpuint (config->n_layers, ==, 5);
  g_assert_cmpuint (config->n_groups, ==, 3);
  g_assert_cmpuint (config->hidden_size, ==, 32);
  g_assert_cmpuint (config->embedding_size, ==, 120);
  g_assert_cmpuint (g_strv_length (all), ==, 5 + 2 + 3 * 16 + 2 + 2);
  g_assert_cmpuint (g_strv_length (middle), ==, 2 * 16);
  g_assert_cmpuint (g_strv_length (last), ==, 16 + 2 + 2);
  g_assert_true (g_strv_contains ((const char *const *) all, "embeddings.projection.bias"));
  g_assert_true (g_strv_contains ((const char *const *) middle,
                                  "encoder.group.1.attention.self.key.weight"));
  g_assert_true (g_strv_contains ((const char *const *) last,
                                  "encoder.group.2.output.LayerNorm.bias"));
  g_assert_true (g_strv_contains ((const char *const *) last, "pooler.dense.weight"));
  tensor = tandem_model_get_tensor (fixture->model, "embeddings.projection.weight", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tandem_tensor_get_dim (tensor, 0), ==, 32);
  g_assert_cmpuint (tandem_tensor_get_dim (tensor, 1), ==, 120);
}

/* A stage file spells names as transformers does, and holds a group once. */
static void
test_stage_file (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = g_build_filename (fixture->folder, "stage", NULL);
  g_autofree char *again = g_build_filename (fixture->folder, "again", NULL);
  g_autofree char *first = NULL, *second = NULL;
  g_autoptr (TandemSafetensors) file = NULL;
  g_autoptr (TandemModel) stage = NULL;
  g_autoptr (TandemTokenizer) tokenizer = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = NULL;
  gsize size[2];

  tandem_model_write_stage (fixture->model, 0, 2, path, NULL, &error);
  g_assert_no_error (error);
  file = tandem_safetensors_open (path, &error);
  g_assert_no_error (error);
  names = tandem_safetensors_list_tensors (file);
  g_assert_cmpuint (g_strv_length (names), ==, 5 + 2 + 2 * 16 + 1);
  g_assert_true (g_strv_contains ((const char *const *) names,
                                  "albert.encoder.embedding_hidden_mapping_in.weight"));
  g_assert_true (g_strv_contains (
      (const char *const *) names,
      "albert.encoder.albert_layer_groups.1.albert_layers.0.full_layer_layer_norm.bias"));
  g_assert_false (g_strv_contains (
      (const char *const *) names,
      "albert.encoder.albert_layer_groups.2.albert_layers.0.ffn.weight"));
  stage = tandem_model_open (path, NULL, &error);
  g_assert_no_error (error);
  tokenizer = tandem_model_get_tokenizer (stage, &error);
  g_assert_no_error (error);
  tandem_model_write_stage (stage, 0, 2, again, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (path, &first, &size[0], NULL));
  g_assert_true (g_file_get_contents (again, &second, &size[1], NULL));
  g_assert_cmpmem (first, size[0], second, size[1]);
}

/* The same weights stored otherwise are the same model; other ones are not. */
static void
test_fingerprint (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = uneven;
  guint i;

  for (i = 0; i < 3; i++) {
    char *folder = tandem_test_make_folder ();
    g_autoptr (TandemModel) model = NULL;
    g_autoptr (GError) error = NULL;

    spec.plain_names = i == 0;
    spec.old_names = i == 0;
    spec.n_shards = i == 1 ? 3 : 1;
    spec.seed = i == 2 ? 1 : uneven.seed;
    tandem_test_model_write (&spec, folder);
    model = tandem_model_open (folder, NULL, &error);
    g_assert_no_error (error);
    g_assert_true (g_str_equal (tandem_model_get_fingerprint (model),
                                tandem_model_get_fingerprint (fixture->model)) == (i < 2));
    tandem_test_remove_folder (folder);
  }
}

static gsize
get_resident_bytes (void)
{
  g_autofree char *text = NULL;
  gulong total, resident;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  g_assert_cmpint (sscanf (text, "%lu %lu", &total, &resident), ==, 2);
  return (gsize) resident * sysconf (_SC_PAGESIZE);
}

static TandemBertStage *
measure_stage (TandemTestModel *spec, guint n_groups, gsize *growth)
{
  char *folder = tandem_test_make_folder ();
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (GError) error = NULL;
  TandemBertStage *stage;
  gsize before;

  spec->n_groups = n_groups;
  tandem_test_model_write (spec, folder);
  model = tandem_model_open (folder, NULL, &error);
  g_assert_no_error (error);
  before = get_resident_bytes ();
  stage = tandem_bert_stage_new (model, 0, spec->n_layers - 1, TANDEM_PRECISION_F32, 1,
                                 TANDEM_BERT_STAGE_NONE, &error);
  *growth = get_resident_bytes () - before;
  g_assert_no_error (error);
  tandem_test_remove_folder (folder);
  return stage;
}

/* Weights of a shared layer are in memory once, however often it runs. */
static void
test_memory (void)
{
  TandemTestModel spec = ALBERT_INIT;
  g_autoptr (TandemBertStage) shared = NULL;
  g_autoptr (TandemBertStage) separate = NULL;
  gsize small, large;

  spec.n_layers = 12;
  spec.hidden_size = 240;
  spec.intermediate_size = 960;
  shared = measure_stage (&spec, 1, &small);
  separate = measure_stage (&spec, 12, &large);
  g_test_message ("12 layers of 1 group: %" G_GSIZE_FORMAT " bytes, of 12: %" G_GSIZE_FORMAT,
                  small, large);
  g_assert_cmpuint (small * 2, <, large);
}

#define SIZES "\"num_hidden_layers\": 4, \"hidden_size\": 24, \"num_attention_heads\": 3, " \
  "\"intermediate_size\": 40, \"vocab_size\": 100, \"max_position_embeddings\": 40"

static const struct
{
  const char *text;
  const char *message;          /* that stands in the error; NULL: none */
} configs[] = {
  { "{\"model_type\": \"albert\", " SIZES ", \"embedding_size\": 10}", NULL },
  { "{\"model_type\": \"albert\", " SIZES ", \"embedding_size\": 10, \"num_hidden_groups\": null, "
    "\"inner_group_num\": 1, \"gap_size\": 0, \"net_structure_type\": 0}", NULL },
  { "{\"model_type\": \"albert\", " SIZES "}", "\"embedding_size\" is missing" },
  { "{\"model_type\": \"albert\", " SIZES ", \"embedding_size\": 0}", "\"embedding_size\" is 0" },
  { "{\"model_type\": \"albert\", " SIZES ", \"embedding_size\": 1e3}", "whole number" },
  { "{\"model_type\": \"albert\", " SIZES ", \"embedding_size\": 10, \"num_hidden_groups\": 0}",
    "\"num_hidden_groups\" is 0" },
  { "{\"model_type\": \"albert\", " SIZES ", \"embedding_size\": 10, \"num_hidden_groups\": 5}",
    "more than the 4" },
  { "{\"model_type\": \"albert\", " SIZES ", \"embedding_size\": 10, \"inner_group_num\": 2}",
    "only 1 is supported" },
  { "{\"model_type\": \"albert\", " SIZES ", \"embedding_size\": 10, \"num_hidden_groups\": 2}",
    "\"albert.encoder.albert_layer_groups.1." },
  { "{\"model_type\": \"albert\", " SIZES ", \"embedding_size\": 11}", "word_embeddings" },
  { "{\"model_type\": \"albert\", " SIZES ", \"embedding_size\": 10, "
    "\"position_embedding_type\": \"relative_key\"}", "absolute" },
  { "{\"model_type\": \"bert\", " SIZES "}", "word_embeddings" },
};

static void
test_configs (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = g_build_filename (fixture->folder, "config.json", NULL);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (configs); i++) {
    g_autoptr (TandemModel) model = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (g_file_set_contents (path, configs[i].text, -1, NULL));
    model = tandem_model_open (fixture->folder, NULL, &error);
    if (configs[i].message == NULL) {
      g_assert_no_error (error);
      g_assert_cmpuint (tandem_model_get_config (model)->n_groups, ==, 1);
      g_assert_cmpint (tandem_model_get_config (model)->activation, ==,
                       TANDEM_ACTIVATION_GELU_TANH);
      continue;
    }
    if (error == NULL)
      g_error ("%s was accepted", configs[i].text);
    g_test_message ("%s", error->message);
    if (error->domain != TANDEM_MODEL_ERROR ||
        strstr (error->message, configs[i].message) == NULL)
      g_error ("%s: %s", configs[i].text, error->message);
  }
}

/* ALBERT's own tokenizer is not supported, and the error says so. */
static void
test_no_vocabulary (Fixture *fixture, gconstpointer data)
{
  static const char unigram[] = "{\"version\": \"1.0\", \"added_tokens\": [], "
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": []}, "
    "\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0.5]]}}";
  g_autofree char *path = g_build_filename (fixture->folder, "tokenizer.json", NULL);
  guint i;

  for (i = 0; i < 2; i++) {
    g_autoptr (GError) error = NULL;

    if (i == 1)
      g_assert_true (g_file_set_contents (path, unigram, -1, NULL));
    g_assert_null (tandem_model_get_tokenizer (fixture->model, &error));
    g_test_message ("%s", error->message);
    g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VOCABULARY);
    g_assert_nonnull (strstr (error->message, "SentencePiece"));
  }
}

int
main (int argc, char **argv)
{
  static TandemTestModel bare = ALBERT_INIT;

  bare.no_vocabulary = TRUE;
  g_test_init (&argc, &argv, NULL);
#define add(path, spec, test) g_test_add (path, Fixture, spec, set_up, test, tear_down)
  add ("/albert/forward", NULL, test_forward);
  add ("/albert/forward-groups", &uneven, test_forward);
  add ("/albert/splits", NULL, test_splits);
  add ("/albert/splits-groups", &uneven, test_splits);
  add ("/albert/names", &uneven, test_names);
  add ("/albert/stage-file", &uneven, test_stage_file);
  add ("/albert/fingerprint", &uneven, test_fingerprint);
  add ("/albert/configs", NULL, test_configs);
  add ("/albert/no-vocabulary", &bare, test_no_vocabulary);
  g_test_add_func ("/albert/memory", test_memory);
  return g_test_run ();
}
