/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem inspect: shows what a model, a stage file or any safetensors file holds. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem.h"

typedef struct
{
  char *name;
  char *dtype;
  guint n_dims;
  guint64 shape[TANDEM_TENSOR_MAX_DIMS];
  guint64 n_elements;
  guint64 n_bytes;
} Row;

/* Rows of one layer, of the embeddings, or of what follows the last layer. */
typedef struct
{
  char *name;
  guint64 n_elements;
  guint64 n_bytes;
} Part;

typedef struct
{
  TandemModel *model;           /* or, for a file that is no model, */
  TandemSafetensors *file;
  char *path;
  GPtrArray *rows;
  GPtrArray *parts;
  TandemTokenizer *tokenizer;   /* or NULL */
  char *no_tokenizer;           /* why */
} Report;

static void
row_free (gpointer data)
{
  Row *row = data;

  g_free (row->name);
  g_free (row->dtype);
  g_free (row);
}

static void
part_free (gpointer data)
{
  Part *part = data;

  g_free (part->name);
  g_free (part);
}

static void
report_clear (Report *report)
{
  g_clear_object (&report->model);
  g_clear_object (&report->file);
  g_clear_object (&report->tokenizer);
  g_clear_pointer (&report->rows, g_ptr_array_unref);
  g_clear_pointer (&report->parts, g_ptr_array_unref);
  g_free (report->no_tokenizer);
  g_free (report->path);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Report, report_clear)

static Row *
add_row (Report *report, const char *name, const char *dtype, guint n_dims, const guint64 *shape,
         guint64 n_bytes)
{
  Row *row = g_new0 (Row, 1);
  guint i;

  row->name = g_strdup (name);
  row->dtype = g_strdup (dtype);
  row->n_dims = n_dims;
  row->n_elements = 1;
  for (i = 0; i < n_dims; i++) {
    row->shape[i] = shape[i];
    row->n_elements *= shape[i];
  }
  row->n_bytes = n_bytes;
  g_ptr_array_add (report->rows, row);
  return row;
}

static char *
get_part_name (const char *tensor)
{
  if (g_str_has_prefix (tensor, "embeddings."))
    return g_strdup ("embeddings");
  if (g_str_has_prefix (tensor, "encoder.layer."))
    return g_strdup_printf ("layer %" G_GUINT64_FORMAT,
                            g_ascii_strtoull (tensor + strlen ("encoder.layer."), NULL, 10));
  return g_strdup (g_str_has_prefix (tensor, "pooler.") ? "pooler" : "classifier");
}

/* The rows of a part follow one another. */
static void
add_to_part (Report *report, const Row *row)
{
  g_autofree char *name = get_part_name (row->name);
  Part *part = report->parts->len > 0
                 ? g_ptr_array_index (report->parts, report->parts->len - 1) : NULL;

  if (part == NULL || !g_str_equal (part->name, name)) {
    part = g_new0 (Part, 1);
    part->name = g_steal_pointer (&name);
    g_ptr_array_add (report->parts, part);
  }
  part->n_elements += row->n_elements;
  part->n_bytes += row->n_bytes;
}

static gboolean
collect_model (Report *report, GError **error)
{
  g_auto (GStrv) names = tandem_model_list_tensors (report->model);
  g_autoptr (GError) inner = NULL;
  guint i, dim;

  for (i = 0; names[i] != NULL; i++) {
    g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (report->model, names[i], error);
    guint64 shape[TANDEM_TENSOR_MAX_DIMS];
    gsize size;

    if (tensor == NULL)
      return FALSE;
    for (dim = 0; dim < tandem_tensor_get_n_dims (tensor); dim++)
      shape[dim] = tandem_tensor_get_dim (tensor, dim);
    tandem_tensor_get_data (tensor, &size);
    add_to_part (report, add_row (report, names[i],
                                  tandem_dtype_to_string (tandem_tensor_get_dtype (tensor)),
                                  dim, shape, size));
  }
  report->tokenizer = tandem_model_get_tokenizer (report->model, &inner);
  if (report->tokenizer == NULL)
    report->no_tokenizer = g_strdup (inner->message);
  return TRUE;
}

static void
collect_file (Report *report)
{
  g_auto (GStrv) names = tandem_safetensors_list_tensors (report->file);
  guint i;

  for (i = 0; names[i] != NULL; i++) {
    const char *dtype;
    const guint64 *shape;
    guint64 size;
    guint n_dims;

    tandem_safetensors_get_info (report->file, names[i], &dtype, &n_dims, &shape, &size);
    add_row (report, names[i], dtype, n_dims, shape, size);
  }
}

/* Whether @path is a safetensors file that belongs to no model. */
static gboolean
is_plain_file (const char *path)
{
  g_autoptr (TandemSafetensors) file = NULL;
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *config = g_build_filename (folder, "config.json", NULL);

  if (g_file_test (path, G_FILE_TEST_IS_DIR) || g_file_test (config, G_FILE_TEST_EXISTS))
    return FALSE;
  file = tandem_safetensors_open (path, NULL);
  return file != NULL && tandem_safetensors_get_metadata (file, "tandem.version") == NULL;
}

static gboolean
collect (Report *report, const char *path, GCancellable *cancellable, GError **error)
{
  report->path = g_filename_display_name (path);
  report->rows = g_ptr_array_new_with_free_func (row_free);
  report->parts = g_ptr_array_new_with_free_func (part_free);
  if (is_plain_file (path)) {
    report->file = tandem_safetensors_open (path, error);
    if (report->file == NULL)
      return FALSE;
    collect_file (report);
    return TRUE;
  }
  report->model = tandem_model_open (path, cancellable, error);
  return report->model != NULL && collect_model (report, error);
}

static const char *
get_activation_name (TandemActivation activation)
{
  switch (activation) {
    case TANDEM_ACTIVATION_GELU:
      return "gelu";
    case TANDEM_ACTIVATION_GELU_TANH:
      return "gelu_tanh";
    case TANDEM_ACTIVATION_RELU:
      return "relu";
  }
  return "";
}

static char *
get_tokenizer_text (TandemTokenizerFlags flags)
{
  GString *text = g_string_new (flags & TANDEM_TOKENIZER_LOWER_CASE ? _("lower case") : _("cased"));

  if (flags & TANDEM_TOKENIZER_STRIP_ACCENTS)
    g_string_append_printf (text, ", %s", _("accents removed"));
  return g_string_free (text, FALSE);
}

static void
print_line (const char *label, const char *value)
{
  /* Padded by what is seen: printf() counts bytes. */
  int width = MAX (0, 14 - (int) g_utf8_strlen (label, -1));
  g_autofree char *printable = tandem_command_printable (value);

  g_print ("%s%*s  %s\n", label, width, "", printable);
}

static void G_GNUC_PRINTF (2, 3)
print_value (const char *label, const char *format, ...)
{
  g_autofree char *value = NULL;
  va_list args;

  va_start (args, format);
  value = g_strdup_vprintf (format, args);
  va_end (args);
  print_line (label, value);
}

static void
print_model (const Report *report)
{
  const TandemModelConfig *config = tandem_model_get_config (report->model);
  guint first, last;

  tandem_model_get_layers (report->model, &first, &last);
  print_line (_("Kind"), tandem_model_is_stage (report->model) ? _("stage file") : _("model"));
  print_line (_("Fingerprint"), tandem_model_get_fingerprint (report->model));
  print_value (_("Layers"), _("%u to %u of %u"), first, last, config->n_layers);
  print_value (_("Width"), _("%u, %u heads, feed-forward %u"), config->hidden_size,
               config->n_heads, config->intermediate_size);
  print_line (_("Activation"), get_activation_name (config->activation));
  print_value (_("Positions"), "%u", config->max_positions);
  if (tandem_model_has_classifier (report->model))
    print_value (_("Classifier"), _("%u classes"), config->n_classes);
  else
    print_line (_("Classifier"), _("none"));
  if (config->labels != NULL) {
    g_autofree char *labels = g_strjoinv (", ", config->labels);

    print_line (_("Labels"), labels);
  }
  if (report->tokenizer != NULL) {
    g_autofree char *how = get_tokenizer_text (tandem_tokenizer_get_flags (report->tokenizer));

    print_value (_("Vocabulary"), _("%u entries, %s"),
                 tandem_tokenizer_get_size (report->tokenizer), how);
  } else {
    print_line (_("Vocabulary"), report->no_tokenizer);
  }
}

static void
print_parts (const Report *report)
{
  guint i;

  for (i = 0; i < report->parts->len; i++) {
    const Part *part = g_ptr_array_index (report->parts, i);
    g_autofree char *size = g_format_size (part->n_bytes);

    g_print ("  %-14s %12" G_GUINT64_FORMAT "  %s\n", part->name, part->n_elements, size);
  }
}

static void
print_rows (const Report *report)
{
  int width = 0;
  guint i, dim;

  for (i = 0; i < report->rows->len; i++) {
    const Row *row = g_ptr_array_index (report->rows, i);

    width = MAX (width, (int) g_utf8_strlen (row->name, 100));
  }
  for (i = 0; i < report->rows->len; i++) {
    const Row *row = g_ptr_array_index (report->rows, i);
    g_autofree char *name = tandem_command_printable (row->name);
    g_autofree char *dtype = tandem_command_printable (row->dtype);
    g_autoptr (GString) shape = g_string_new ("[");

    for (dim = 0; dim < row->n_dims; dim++)
      g_string_append_printf (shape, "%s%" G_GUINT64_FORMAT, dim > 0 ? ", " : "",
                              row->shape[dim]);
    g_string_append_c (shape, ']');
    g_print ("  %-*s  %-4s  %-14s %12" G_GUINT64_FORMAT "\n", width, name, dtype,
             shape->str, row->n_bytes);
  }
}

static void
print_text (const Report *report, guint64 n_elements, guint64 n_bytes)
{
  g_autofree char *size = g_format_size (n_bytes);

  print_line (_("Path"), report->path);
  if (report->model != NULL)
    print_model (report);
  else
    print_line (_("Kind"), _("safetensors file"));
  print_value (_("Parameters"), "%" G_GUINT64_FORMAT ", %s", n_elements, size);
  if (report->parts->len > 0) {
    g_print ("\n%s\n", _("Parts: parameters, size"));
    print_parts (report);
  }
  g_print ("\n%s\n", _("Tensors: type, shape, bytes"));
  print_rows (report);
}

static void
build_config (JsonBuilder *json, const TandemModelConfig *config)
{
  const struct
  {
    const char *name;
    guint value;
  } sizes[] = {
    { "num_hidden_layers", config->n_layers },
    { "hidden_size", config->hidden_size },
    { "num_attention_heads", config->n_heads },
    { "intermediate_size", config->intermediate_size },
    { "vocab_size", config->vocab_size },
    { "max_position_embeddings", config->max_positions },
    { "type_vocab_size", config->n_types },
    { "classes", config->n_classes },
  };
  guint i;

  json_builder_set_member_name (json, "config");
  json_builder_begin_object (json);
  for (i = 0; i < G_N_ELEMENTS (sizes); i++) {
    json_builder_set_member_name (json, sizes[i].name);
    json_builder_add_int_value (json, sizes[i].value);
  }
  json_builder_set_member_name (json, "hidden_act");
  json_builder_add_string_value (json, get_activation_name (config->activation));
  json_builder_set_member_name (json, "layer_norm_eps");
  json_builder_add_double_value (json, config->layer_norm_eps);
  json_builder_set_member_name (json, "labels");
  json_builder_begin_array (json);
  for (i = 0; config->labels != NULL && config->labels[i] != NULL; i++)
    json_builder_add_string_value (json, config->labels[i]);
  json_builder_end_array (json);
  json_builder_end_object (json);
}

static void
build_vocabulary (JsonBuilder *json, TandemTokenizer *tokenizer)
{
  TandemTokenizerFlags flags;

  json_builder_set_member_name (json, "vocabulary");
  if (tokenizer == NULL) {
    json_builder_add_null_value (json);
    return;
  }
  flags = tandem_tokenizer_get_flags (tokenizer);
  json_builder_begin_object (json);
  json_builder_set_member_name (json, "entries");
  json_builder_add_int_value (json, tandem_tokenizer_get_size (tokenizer));
  json_builder_set_member_name (json, "lower_case");
  json_builder_add_boolean_value (json, (flags & TANDEM_TOKENIZER_LOWER_CASE) != 0);
  json_builder_set_member_name (json, "strip_accents");
  json_builder_add_boolean_value (json, (flags & TANDEM_TOKENIZER_STRIP_ACCENTS) != 0);
  json_builder_end_object (json);
}

static void
build_model (JsonBuilder *json, const Report *report)
{
  guint first, last, i;

  tandem_model_get_layers (report->model, &first, &last);
  json_builder_set_member_name (json, "fingerprint");
  json_builder_add_string_value (json, tandem_model_get_fingerprint (report->model));
  json_builder_set_member_name (json, "first_layer");
  json_builder_add_int_value (json, first);
  json_builder_set_member_name (json, "last_layer");
  json_builder_add_int_value (json, last);
  json_builder_set_member_name (json, "classifier");
  json_builder_add_boolean_value (json, tandem_model_has_classifier (report->model));
  build_config (json, tandem_model_get_config (report->model));
  build_vocabulary (json, report->tokenizer);
  json_builder_set_member_name (json, "parts");
  json_builder_begin_array (json);
  for (i = 0; i < report->parts->len; i++) {
    const Part *part = g_ptr_array_index (report->parts, i);

    json_builder_begin_object (json);
    json_builder_set_member_name (json, "name");
    json_builder_add_string_value (json, part->name);
    json_builder_set_member_name (json, "parameters");
    json_builder_add_int_value (json, part->n_elements);
    json_builder_set_member_name (json, "bytes");
    json_builder_add_int_value (json, part->n_bytes);
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
}

static void
build_rows (JsonBuilder *json, const Report *report)
{
  guint i, dim;

  json_builder_set_member_name (json, "tensors");
  json_builder_begin_array (json);
  for (i = 0; i < report->rows->len; i++) {
    const Row *row = g_ptr_array_index (report->rows, i);

    json_builder_begin_object (json);
    json_builder_set_member_name (json, "name");
    json_builder_add_string_value (json, row->name);
    json_builder_set_member_name (json, "dtype");
    json_builder_add_string_value (json, row->dtype);
    json_builder_set_member_name (json, "shape");
    json_builder_begin_array (json);
    for (dim = 0; dim < row->n_dims; dim++)
      json_builder_add_int_value (json, row->shape[dim]);
    json_builder_end_array (json);
    json_builder_set_member_name (json, "bytes");
    json_builder_add_int_value (json, row->n_bytes);
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
}

static void
print_json (const Report *report, guint64 n_elements, guint64 n_bytes)
{
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;

  json_builder_begin_object (json);
  json_builder_set_member_name (json, "path");
  json_builder_add_string_value (json, report->path);
  json_builder_set_member_name (json, "kind");
  json_builder_add_string_value (json, report->model == NULL ? "safetensors"
                                       : tandem_model_is_stage (report->model) ? "stage" : "model");
  json_builder_set_member_name (json, "parameters");
  json_builder_add_int_value (json, n_elements);
  json_builder_set_member_name (json, "bytes");
  json_builder_add_int_value (json, n_bytes);
  if (report->model != NULL)
    build_model (json, report);
  build_rows (json, report);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  text = json_to_string (root, TRUE);
  g_print ("%s\n", text);
}

static int
run (char **args)
{
  gboolean as_json = FALSE;
  const GOptionEntry entries[] = {
    { "json", 'j', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &as_json,
      N_("Print JSON, for programs"), NULL },
    { NULL },
  };
  g_auto (GStrv) rest = g_strdupv (args);
  g_auto (Report) report = { NULL };
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (GError) error = NULL;
  guint64 n_elements = 0, n_bytes = 0;
  guint i;

  if (!tandem_command_parse (&tandem_command_inspect, N_("FILE"),
                             N_("FILE is a Hugging Face folder, a stage file or any safetensors "
                                "file."),
                             entries, &rest))
    return TANDEM_EXIT_USAGE;
  if (rest[1] == NULL || rest[2] != NULL)
    return tandem_command_usage (_("one FILE is needed"));

  cancellable = tandem_command_catch_signals ();
  if (!collect (&report, rest[1], cancellable, &error))
    return tandem_command_failed (error);
  for (i = 0; i < report.rows->len; i++) {
    const Row *row = g_ptr_array_index (report.rows, i);

    n_elements += row->n_elements;
    n_bytes += row->n_bytes;
  }
  if (as_json)
    print_json (&report, n_elements, n_bytes);
  else
    print_text (&report, n_elements, n_bytes);
  return TANDEM_EXIT_OK;
}

const TandemCommand tandem_command_inspect = {
  .name = "inspect",
  .summary = N_("Show what a model or a stage file holds"),
  .run = run,
};
