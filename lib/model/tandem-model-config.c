/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "tandem-model-private.h"

/* Far beyond any model of these kinds; they keep products of sizes away from overflow. */
#define MAX_LAYERS 4096
#define MAX_WIDTH (1 << 20)
#define MAX_ROWS (1 << 26)
#define MAX_CLASSES (1 << 16)

typedef struct
{
  JsonObject *object;
  const char *file;
  GError **error;
} Reader;

static gboolean G_GNUC_PRINTF (2, 3)
fail (Reader *reader, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (reader->error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG, "%s: %s",
               reader->file, what);
  return FALSE;
}

/* A key that holds null counts as absent, as transformers writes it. */
static JsonNode *
lookup (Reader *reader, const char *key)
{
  JsonNode *node = json_object_get_member (reader->object, key);

  return node != NULL && !JSON_NODE_HOLDS_NULL (node) ? node : NULL;
}

/* Reads a number from 1 to @max; leaves @value as it is when the key is absent
 * and @required is not set. */
static gboolean
read_size (Reader *reader, const char *key, gboolean required, guint max, guint *value)
{
  JsonNode *node = lookup (reader, key);
  gint64 number;

  if (node == NULL)
    return !required || fail (reader, "\"%s\" is missing", key);
  if (json_node_get_value_type (node) != G_TYPE_INT64)
    return fail (reader, "\"%s\" is not a whole number", key);
  number = json_node_get_int (node);
  if (number < 1 || number > max)
    return fail (reader, "\"%s\" is %" G_GINT64_FORMAT "; 1 to %u are possible", key, number,
                 max);
  *value = number;
  return TRUE;
}

static gboolean
read_string (Reader *reader, const char *key, const char **value)
{
  JsonNode *node = lookup (reader, key);

  *value = NULL;
  if (node == NULL)
    return TRUE;
  if (json_node_get_value_type (node) != G_TYPE_STRING)
    return fail (reader, "\"%s\" is not a string", key);
  *value = json_node_get_string (node);
  return TRUE;
}

static gboolean
read_type (Reader *reader, TandemModelType *type)
{
  const char *name;

  if (!read_string (reader, "model_type", &name))
    return FALSE;
  /* The first configurations of BERT name no type. */
  if (name == NULL || g_str_equal (name, "bert"))
    *type = TANDEM_MODEL_BERT;
  else if (g_str_equal (name, "albert"))
    *type = TANDEM_MODEL_ALBERT;
  else
    return fail (reader, "a model of type \"%s\"; \"bert\" and \"albert\" are supported", name);
  return TRUE;
}

/* What the configuration must not ask for. */
static gboolean
check_features (Reader *reader)
{
  const char *positions;
  JsonNode *node;
  guint i;
  static const char *const refused[] = { "is_decoder", "add_cross_attention" };

  if (!read_string (reader, "position_embedding_type", &positions))
    return FALSE;
  if (positions != NULL && !g_str_equal (positions, "absolute"))
    return fail (reader, "position embeddings of type \"%s\"; only \"absolute\" ones are "
                 "supported", positions);
  for (i = 0; i < G_N_ELEMENTS (refused); i++) {
    node = lookup (reader, refused[i]);
    if (node == NULL)
      continue;
    if (json_node_get_value_type (node) != G_TYPE_BOOLEAN)
      return fail (reader, "\"%s\" is neither true nor false", refused[i]);
    if (json_node_get_boolean (node))
      return fail (reader, "\"%s\" is true; only encoders are supported", refused[i]);
  }
  return TRUE;
}

/* The names and formulas of transformers/activations.py: the tanh ones differ
 * there only in how they are computed. */
static gboolean
read_activation (Reader *reader, TandemModelType type, TandemActivation *activation)
{
  static const struct
  {
    const char *name;
    TandemActivation activation;
  } known[] = {
    { "gelu", TANDEM_ACTIVATION_GELU },
    { "gelu_python", TANDEM_ACTIVATION_GELU },
    { "gelu_new", TANDEM_ACTIVATION_GELU_TANH },
    { "gelu_pytorch_tanh", TANDEM_ACTIVATION_GELU_TANH },
    { "gelu_python_tanh", TANDEM_ACTIVATION_GELU_TANH },
    { "gelu_fast", TANDEM_ACTIVATION_GELU_TANH },
    { "gelu_accurate", TANDEM_ACTIVATION_GELU_TANH },
    { "relu", TANDEM_ACTIVATION_RELU },
  };
  const char *name;
  guint i;

  if (!read_string (reader, "hidden_act", &name))
    return FALSE;
  if (name == NULL)
    name = type == TANDEM_MODEL_ALBERT ? "gelu_new" : "gelu";
  for (i = 0; i < G_N_ELEMENTS (known); i++) {
    if (g_str_equal (name, known[i].name)) {
      *activation = known[i].activation;
      return TRUE;
    }
  }
  return fail (reader, "\"hidden_act\" is \"%s\"; gelu, gelu_new, gelu_pytorch_tanh, gelu_fast "
               "and relu are supported", name);
}

static gboolean
read_eps (Reader *reader, double *eps)
{
  JsonNode *node = lookup (reader, "layer_norm_eps");

  *eps = 1e-12;
  if (node == NULL)
    return TRUE;
  if (json_node_get_value_type (node) != G_TYPE_DOUBLE &&
      json_node_get_value_type (node) != G_TYPE_INT64)
    return fail (reader, "\"layer_norm_eps\" is not a number");
  *eps = json_node_get_double (node);
  if (!isfinite (*eps) || *eps < 0 || *eps > 1)
    return fail (reader, "\"layer_norm_eps\" is %g; 0 to 1 are possible", *eps);
  return TRUE;
}

/* The number of classes is that of the labels; without labels it is num_labels,
 * and 2 without that, as in transformers. */
static gboolean
read_labels (Reader *reader, TandemModelConfig *config)
{
  JsonNode *node = lookup (reader, "id2label");
  JsonObject *map;
  guint n_named = 0, n, i;

  if (!read_size (reader, "num_labels", FALSE, MAX_CLASSES, &n_named))
    return FALSE;
  config->n_classes = n_named > 0 ? n_named : 2;
  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return fail (reader, "\"id2label\" is not an object");
  map = json_node_get_object (node);
  n = json_object_get_size (map);
  if (n == 0)
    return TRUE;
  if (n > MAX_CLASSES)
    return fail (reader, "\"id2label\" names %u classes; at most %d are possible", n,
                 MAX_CLASSES);
  if (n_named > 0 && n_named != n)
    return fail (reader, "\"num_labels\" is %u, but \"id2label\" names %u", n_named, n);

  config->labels = g_new0 (char *, n + 1);
  for (i = 0; i < n; i++) {
    g_autofree char *key = g_strdup_printf ("%u", i);
    JsonNode *label = json_object_get_member (map, key);

    if (label == NULL)
      return fail (reader, "\"id2label\" names %u classes, but lacks \"%s\"", n, key);
    if (json_node_get_value_type (label) != G_TYPE_STRING)
      return fail (reader, "label %s of \"id2label\" is not a string", key);
    config->labels[i] = json_node_dup_string (label);
  }
  config->n_classes = n;
  return TRUE;
}

/* Reads what an ALBERT shares; a BERT shares nothing, and its embeddings are as wide as
 * its layers. */
static gboolean
read_sharing (Reader *reader, TandemModelConfig *config)
{
  guint n_inner = 1;

  config->n_groups = config->n_layers;
  config->embedding_size = config->hidden_size;
  if (config->type == TANDEM_MODEL_BERT)
    return TRUE;
  config->n_groups = 1;
  if (!read_size (reader, "embedding_size", TRUE, MAX_WIDTH, &config->embedding_size) ||
      !read_size (reader, "num_hidden_groups", FALSE, MAX_LAYERS, &config->n_groups) ||
      !read_size (reader, "inner_group_num", FALSE, MAX_LAYERS, &n_inner))
    return FALSE;
  if (config->n_groups > config->n_layers)
    return fail (reader, "\"num_hidden_groups\" is %u, more than the %u of "
                 "\"num_hidden_layers\"", config->n_groups, config->n_layers);
  if (n_inner != 1)
    return fail (reader, "\"inner_group_num\" is %u; only 1 is supported", n_inner);
  return TRUE;
}

/* Reads a configuration; what it says is range-checked. @config is all zeros before, and
 * for tandem_model_config_clear() afterwards, whatever the outcome. */
gboolean
tandem_model_config_parse (TandemModelConfig *config, const char *text, const char *file,
                           GError **error)
{
  g_autoptr (JsonObject) object = tandem_model_parse_json (text, file, error);
  Reader reader = { object, file, error };

  if (object == NULL)
    return FALSE;
  config->n_types = 2;
  if (!read_type (&reader, &config->type) || !check_features (&reader) ||
      !read_size (&reader, "num_hidden_layers", TRUE, MAX_LAYERS, &config->n_layers) ||
      !read_size (&reader, "hidden_size", TRUE, MAX_WIDTH, &config->hidden_size) ||
      !read_size (&reader, "num_attention_heads", TRUE, MAX_WIDTH, &config->n_heads) ||
      !read_size (&reader, "intermediate_size", TRUE, MAX_WIDTH, &config->intermediate_size) ||
      !read_size (&reader, "vocab_size", TRUE, MAX_ROWS, &config->vocab_size) ||
      !read_size (&reader, "max_position_embeddings", TRUE, MAX_ROWS, &config->max_positions) ||
      !read_size (&reader, "type_vocab_size", FALSE, MAX_ROWS, &config->n_types) ||
      !read_sharing (&reader, config) ||
      !read_activation (&reader, config->type, &config->activation) ||
      !read_eps (&reader, &config->layer_norm_eps) || !read_labels (&reader, config))
    return FALSE;
  if (config->hidden_size % config->n_heads != 0)
    return fail (&reader, "\"hidden_size\" %u is not divisible by \"num_attention_heads\" %u",
                 config->hidden_size, config->n_heads);
  return tandem_model_config_parse_layers (config, object, file, error);
}

/* Reads a config.json, or that of the folder @path, without asking for weights beside it.
 * @text, where not NULL, is set to what stands there. @config as for
 * tandem_model_config_parse(). */
gboolean
tandem_model_config_load (TandemModelConfig *config, const char *path, char **text,
                          GError **error)
{
  g_autofree char *file = g_file_test (path, G_FILE_TEST_IS_DIR)
      ? g_build_filename (path, TANDEM_MODEL_CONFIG_FILE, NULL) : g_strdup (path);
  g_autofree char *display = g_filename_display_name (file);
  g_autofree char *contents = NULL;
  g_autoptr (GError) inner = NULL;

  contents = tandem_model_read_text (file, NULL, &inner);
  if (contents == NULL) {
    if (g_error_matches (inner, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
      g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
                   "%s: there is no such file; a model folder holds config.json, "
                   "model.safetensors and vocab.txt", display);
    else
      g_set_error_literal (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG, inner->message);
    return FALSE;
  }
  if (!tandem_model_config_parse (config, contents, display, error))
    return FALSE;
  if (text != NULL)
    *text = g_steal_pointer (&contents);
  return TRUE;
}

void
tandem_model_config_clear (TandemModelConfig *config)
{
  g_clear_pointer (&config->labels, g_strfreev);
  g_clear_pointer (&config->layer_heads, g_free);
  g_clear_pointer (&config->layer_intermediate_sizes, g_free);
}

/* Returns what of the configuration changes results, in the form that the
 * fingerprint takes: one line a value, labels with their length in bytes. */
char *
tandem_model_config_to_canonical (const TandemModelConfig *config)
{
  static const char *const activations[] = {
    [TANDEM_ACTIVATION_GELU] = "gelu",
    [TANDEM_ACTIVATION_GELU_TANH] = "gelu_tanh",
    [TANDEM_ACTIVATION_RELU] = "relu",
  };
  GString *text = g_string_new ("tandem model 1\n");
  char eps[G_ASCII_DTOSTR_BUF_SIZE];
  guint i;

  g_string_append_printf (text,
                          "num_hidden_layers %u\nhidden_size %u\nnum_attention_heads %u\n"
                          "intermediate_size %u\nvocab_size %u\nmax_position_embeddings %u\n"
                          "type_vocab_size %u\nhidden_act %s\nlayer_norm_eps %s\nclasses %u\n",
                          config->n_layers, config->hidden_size, config->n_heads,
                          config->intermediate_size, config->vocab_size, config->max_positions,
                          config->n_types, activations[config->activation],
                          g_ascii_dtostr (eps, sizeof eps, config->layer_norm_eps),
                          config->n_classes);
  /* A BERT's text is what it was before there was another type. */
  if (config->type == TANDEM_MODEL_ALBERT)
    g_string_append_printf (text, "model_type albert\nembedding_size %u\n"
                            "num_hidden_groups %u\n", config->embedding_size,
                            config->n_groups);
  tandem_model_config_append_layers (config, text);
  for (i = 0; config->labels != NULL && config->labels[i] != NULL; i++)
    g_string_append_printf (text, "label %" G_GSIZE_FORMAT " %s\n", strlen (config->labels[i]),
                            config->labels[i]);
  return g_string_free (text, FALSE);
}
