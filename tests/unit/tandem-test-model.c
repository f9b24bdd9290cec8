/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem-test-model.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

typedef struct
{
  const TandemTestModel *model;
  GRand *random;
  GPtrArray *names;             /* in the order of their making */
  GHashTable *tensors;
} Maker;

/* @value has at most 8 significant bits and an exponent that F16 has. */
static guint16
to_half (float value, TandemDtype dtype)
{
  guint32 bits, exponent;

  memcpy (&bits, &value, sizeof bits);
  if (dtype == TANDEM_DTYPE_BF16)
    return bits >> 16;
  exponent = (bits >> 23) & 0xff;
  if (exponent == 0)
    return 0;
  g_assert_cmpuint (exponent, >, 112);
  return (bits >> 16 & 0x8000) | (exponent - 112) << 10 | (bits >> 13 & 0x3ff);
}

static void
add_tensor (Maker *maker, const char *name, guint64 rows, guint64 columns, float centre,
            float scale)
{
  const TandemTestModel *model = maker->model;
  gboolean task_name = g_str_has_prefix (name, "classifier.");
  GString *file_name = g_string_new (model->plain_names || task_name ? ""
                                    : model->albert ? "albert." : "bert.");
  guint64 shape[2] = { rows, columns }, n = rows * MAX (columns, 1), i;
  gsize size = tandem_dtype_get_size (model->dtype);
  guint8 *data = g_malloc (n * size);
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, n * size);
  TandemTensor *tensor;

  for (i = 0; i < n; i++) {
    float value = centre + g_rand_int_range (maker->random, -63, 64) / 64.0f * scale;
    guint16 half = to_half (value, model->dtype);

    if (model->dtype == TANDEM_DTYPE_F32)
      memcpy (data + i * size, &value, size);
    else
      memcpy (data + i * size, &half, size);
  }
  tensor = tandem_tensor_new (model->dtype, columns > 0 ? 2 : 1, shape, bytes, NULL);
  g_assert_nonnull (tensor);

  g_string_append (file_name, name);
  if (model->old_names) {
    g_string_replace (file_name, "LayerNorm.weight", "LayerNorm.gamma", 0);
    g_string_replace (file_name, "LayerNorm.bias", "LayerNorm.beta", 0);
  }
  g_ptr_array_add (maker->names, g_strdup (file_name->str));
  g_hash_table_insert (maker->tensors, g_string_free (file_name, FALSE), tensor);
}

/* About one over the root of the inputs, as a power of two. */
static float
get_scale (guint inputs)
{
  return ldexpf (1.0f, -(int) (log2f (inputs) / 2));
}

static void
add_linear (Maker *maker, const char *prefix, guint outputs, guint inputs)
{
  g_autofree char *weight = g_strconcat (prefix, ".weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, ".bias", NULL);

  add_tensor (maker, weight, outputs, inputs, 0, get_scale (inputs));
  add_tensor (maker, bias, outputs, 0, 0, 0.25f);
}

static void
add_norm (Maker *maker, const char *name, guint width)
{
  g_autofree char *weight = g_strconcat (name, ".weight", NULL);
  g_autofree char *bias = g_strconcat (name, ".bias", NULL);

  add_tensor (maker, weight, width, 0, 1, 0.5f);
  add_tensor (maker, bias, width, 0, 0, 0.25f);
}

static guint
count_labels (const TandemTestModel *model)
{
  return model->labels != NULL ? g_strv_length ((char **) model->labels) : 2;
}

static void
add_layer (Maker *maker, guint layer)
{
  static const char *const projections[] = { "query", "key", "value" };
  const TandemTestModel *model = maker->model;
  g_autofree char *prefix = g_strdup_printf ("encoder.layer.%u.", layer);
  g_autofree char *attention_norm = g_strconcat (prefix, "attention.output.LayerNorm", NULL);
  g_autofree char *attention_dense = g_strconcat (prefix, "attention.output.dense", NULL);
  g_autofree char *intermediate = g_strconcat (prefix, "intermediate.dense", NULL);
  g_autofree char *output_norm = g_strconcat (prefix, "output.LayerNorm", NULL);
  g_autofree char *output_dense = g_strconcat (prefix, "output.dense", NULL);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (projections); i++) {
    g_autofree char *name = g_strconcat (prefix, "attention.self.", projections[i], NULL);

    add_linear (maker, name, model->hidden_size, model->hidden_size);
  }
  add_linear (maker, attention_dense, model->hidden_size, model->hidden_size);
  add_norm (maker, attention_norm, model->hidden_size);
  add_linear (maker, intermediate, model->intermediate_size, model->hidden_size);
  add_linear (maker, output_dense, model->hidden_size, model->intermediate_size);
  add_norm (maker, output_norm, model->hidden_size);
}

/* The modules of an ALBERT's group, in the order in which a layer uses them. */
static void
add_group (Maker *maker, guint group)
{
  const TandemTestModel *model = maker->model;
  guint hidden = model->hidden_size, wide = model->intermediate_size;
  const struct
  {
    const char *name;
    guint outputs;
    guint inputs;               /* 0: a layer norm */
  } modules[] = {
    { "attention.query", hidden, hidden }, { "attention.key", hidden, hidden },
    { "attention.value", hidden, hidden }, { "attention.dense", hidden, hidden },
    { "attention.LayerNorm", hidden, 0 }, { "ffn", wide, hidden }, { "ffn_output", hidden, wide },
    { "full_layer_layer_norm", hidden, 0 },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (modules); i++) {
    g_autofree char *name = g_strdup_printf ("encoder.albert_layer_groups.%u.albert_layers.0.%s",
                                             group, modules[i].name);

    if (modules[i].inputs > 0)
      add_linear (maker, name, modules[i].outputs, modules[i].inputs);
    else
      add_norm (maker, name, modules[i].outputs);
  }
}

static void
add_tensors (Maker *maker)
{
  const TandemTestModel *model = maker->model;
  guint width = model->albert ? model->embedding_size : model->hidden_size, i;

  add_tensor (maker, "embeddings.word_embeddings.weight", model->vocab_size, width, 0, 1);
  add_tensor (maker, "embeddings.position_embeddings.weight", model->max_positions, width, 0,
              0.5f);
  add_tensor (maker, "embeddings.token_type_embeddings.weight", model->n_types, width, 0, 0.5f);
  add_norm (maker, "embeddings.LayerNorm", width);
  if (model->albert) {
    add_linear (maker, "encoder.embedding_hidden_mapping_in", model->hidden_size, width);
    for (i = 0; i < model->n_groups; i++)
      add_group (maker, i);
  } else {
    for (i = 0; i < model->n_layers; i++)
      add_layer (maker, i);
  }
  if (!model->no_pooler)
    add_linear (maker, model->albert ? "pooler" : "pooler.dense", model->hidden_size,
                model->hidden_size);
  if (!model->no_classifier)
    add_linear (maker, "classifier", count_labels (model), model->hidden_size);
}

static void
write_text (const char *folder, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

static void
write_config (const TandemTestModel *model, const char *folder)
{
  static const char *const sentiments[] = { "negative", "positive", NULL };
  const char *const *labels = model->labels != NULL ? model->labels : sentiments;
  g_autoptr (GString) text = g_string_new ("{");
  guint i;

  if (!model->no_classifier) {
    g_string_append (text, "\"id2label\": {");
    for (i = 0; labels[i] != NULL; i++)
      g_string_append_printf (text, "%s\"%u\": \"%s\"", i > 0 ? ", " : "", i, labels[i]);
    g_string_append (text, "}, ");
  }
  if (model->extra_config != NULL)
    g_string_append (text, model->extra_config);
  if (model->albert)
    g_string_append_printf (text, "\"embedding_size\": %u, \"num_hidden_groups\": %u, "
                            "\"inner_group_num\": 1, \"classifier_dropout_prob\": 0.1, ",
                            model->embedding_size, model->n_groups);
  g_string_append_printf (text,
                          "\"model_type\": \"%s\", \"hidden_act\": \"%s\", \"hidden_size\": %u, "
                          "\"intermediate_size\": %u, \"layer_norm_eps\": 1e-12, "
                          "\"max_position_embeddings\": %u, \"num_attention_heads\": %u, "
                          "\"num_hidden_layers\": %u, \"type_vocab_size\": %u, "
                          "\"vocab_size\": %u}\n",
                          model->albert ? "albert" : "bert", model->activation,
                          model->hidden_size, model->intermediate_size,
                          model->max_positions, model->n_heads, model->n_layers, model->n_types,
                          model->vocab_size);
  write_text (folder, "config.json", text->str);
}

/* The special tokens, then letters, alone and continuing, as far as there is room:
 * every word of them can be tokenized. */
static void
write_vocabulary (const TandemTestModel *model, const char *folder)
{
  static const char *const special[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
  g_autoptr (GString) text = g_string_new (NULL);
  guint i;

  g_assert_cmpuint (model->vocab_size, >=, G_N_ELEMENTS (special));
  for (i = 0; i < model->vocab_size; i++) {
    if (i < 5)
      g_string_append_printf (text, "%s\n", special[i]);
    else if (i < 31)
      g_string_append_printf (text, "%c\n", 'a' + i - 5);
    else if (i < 57)
      g_string_append_printf (text, "##%c\n", 'a' + i - 31);
    else
      g_string_append_printf (text, "word%u\n", i);
  }
  write_text (folder, "vocab.txt", text->str);
}

static void
write_weights (const char *folder, const char *name, GHashTable *tensors)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;

  tandem_safetensors_write (path, NULL, tensors, NULL, &error);
  g_assert_no_error (error);
}

static void
write_shards (const Maker *maker, const char *folder)
{
  guint n_shards = maker->model->n_shards, shard, i;
  g_autoptr (GString) index = g_string_new ("{\"metadata\": {}, \"weight_map\": {");

  for (shard = 0; shard < n_shards; shard++) {
    g_autoptr (GHashTable) part = g_hash_table_new (g_str_hash, g_str_equal);
    g_autofree char *name = g_strdup_printf ("model-%05u-of-%05u.safetensors", shard + 1,
                                             n_shards);

    for (i = shard; i < maker->names->len; i += n_shards) {
      char *tensor = g_ptr_array_index (maker->names, i);

      g_hash_table_insert (part, tensor, g_hash_table_lookup (maker->tensors, tensor));
      g_string_append_printf (index, "%s\"%s\": \"%s\"", g_str_has_suffix (index->str, "{")
                                ? "" : ", ", tensor, name);
    }
    write_weights (folder, name, part);
  }
  g_string_append (index, "}}\n");
  write_text (folder, "model.safetensors.index.json", index->str);
}

void
tandem_test_model_write (const TandemTestModel *model, const char *folder)
{
  Maker maker = { model };

  maker.random = g_rand_new_with_seed (model->seed);
  maker.names = g_ptr_array_new_with_free_func (g_free);
  maker.tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                         (GDestroyNotify) tandem_tensor_unref);
  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  add_tensors (&maker);
  write_config (model, folder);
  if (!model->no_vocabulary)
    write_vocabulary (model, folder);
  if (model->n_shards > 1)
    write_shards (&maker, folder);
  else
    write_weights (folder, "model.safetensors", maker.tensors);
  g_rand_free (maker.random);
  g_ptr_array_unref (maker.names);
  g_hash_table_unref (maker.tensors);
}

char *
tandem_test_make_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("tandem-test-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

void
tandem_test_remove_folder (char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);

    if (g_file_test (path, G_FILE_TEST_IS_DIR) && !g_file_test (path, G_FILE_TEST_IS_SYMLINK))
      tandem_test_remove_folder (g_steal_pointer (&path));
    else
      g_unlink (path);
  }
  g_rmdir (folder);
  g_free (folder);
}
