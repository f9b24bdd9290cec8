/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem quantize: makes a model with fewer bits a weight. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>

#include "tandem-command.h"
#include "tandem-quantize-guard.h"

#define DEFAULT_MAX_LOSS 0.2

typedef struct
{
  char *weights;
  char *activations;
  char **data;
  char *output;
  double max_loss;
  gboolean force;
  gboolean as_json;
} Options;

static void
options_clear (Options *self)
{
  g_free (self->weights);
  g_free (self->activations);
  g_strfreev (self->data);
  g_free (self->output);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* Returns what is wrong with the options, or NULL. */
static const char *
choose_format (const Options *options, TandemQuantizeFormat *format)
{
  const char *weights = options->weights != NULL ? options->weights : "int8";
  const char *activations = options->activations;

  if (activations != NULL && !g_str_equal (activations, "int8") &&
      !g_str_equal (activations, "float"))
    return _("--activations is int8 or float");
  if (g_str_equal (weights, "int8")) {
    *format = g_strcmp0 (activations, "float") == 0 ? TANDEM_QUANTIZE_INT8_WEIGHTS
                                                    : TANDEM_QUANTIZE_INT8;
    return NULL;
  }
  if (g_strcmp0 (activations, "int8") == 0)
    return _("--activations int8 needs --weights int8");
  *format = g_str_equal (weights, "bf16") ? TANDEM_QUANTIZE_BF16 : TANDEM_QUANTIZE_F16;
  return g_str_equal (weights, "bf16") || g_str_equal (weights, "f16")
    ? NULL : _("--weights is int8, bf16 or f16");
}

/* The weights of the model as they are stored, without what else is in its folder. */
static guint64
count_bytes (TandemModel *model)
{
  g_auto (GStrv) names = tandem_model_list_tensors (model);
  guint64 sum = 0;
  guint i;

  for (i = 0; names[i] != NULL; i++) {
    g_autoptr (TandemSparseTensor) sparse = tandem_model_get_sparse_tensor (model, names[i]);
    g_autoptr (TandemTensor) tensor = sparse == NULL ? tandem_model_get_tensor (model, names[i], NULL)
                                                     : NULL;
    gsize size = 0;

    if (tensor != NULL)
      tandem_tensor_get_data (tensor, &size);
    sum += sparse != NULL ? tandem_sparse_tensor_get_n_bytes (sparse) : size;
  }
  return sum;
}

static double
to_percent (const QuantizeResult *result)
{
  return 100.0 * result->n_correct / result->n;
}

static void
print_text (const Options *options, guint64 before, guint64 after, const QuantizeOutcome *outcome)
{
  g_autofree char *size_before = g_format_size (before);
  g_autofree char *size_after = g_format_size (after);
  guint i;

  g_print (_("%s: weights of %s, %s before\n"), options->output, size_after, size_before);
  if (outcome->kept == NULL) {
    g_print (_("accuracy was not measured; --data gives reviews to measure it on\n"));
    return;
  }
  g_print (_("%.2f %% of %u reviews are right, with floats %.2f %%\n"),
           to_percent (&outcome->after), outcome->after.n, to_percent (&outcome->before));
  for (i = 0; i + 1 < outcome->kept->len; i++)
    g_print (_("not quantized: %s\n"), (const char *) g_ptr_array_index (outcome->kept, i));
}

static void
add_number (JsonBuilder *json, const char *name, gint64 value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_int_value (json, value);
}

static void
print_json (const Options *options, TandemModel *made, guint64 before, guint64 after,
            const QuantizeOutcome *outcome)
{
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;
  g_autofree char *display = g_filename_display_name (options->output);
  guint i;

  json_builder_begin_object (json);
  json_builder_set_member_name (json, "path");
  json_builder_add_string_value (json, display);
  json_builder_set_member_name (json, "fingerprint");
  json_builder_add_string_value (json, tandem_model_get_fingerprint (made));
  add_number (json, "bytes_before", before);
  add_number (json, "bytes", after);
  if (outcome->kept != NULL) {
    add_number (json, "reviews", outcome->after.n);
    json_builder_set_member_name (json, "accuracy_before");
    json_builder_add_double_value (json, to_percent (&outcome->before) / 100.0);
    json_builder_set_member_name (json, "accuracy");
    json_builder_add_double_value (json, to_percent (&outcome->after) / 100.0);
    json_builder_set_member_name (json, "not_quantized");
    json_builder_begin_array (json);
    for (i = 0; i + 1 < outcome->kept->len; i++)
      json_builder_add_string_value (json, g_ptr_array_index (outcome->kept, i));
    json_builder_end_array (json);
  }
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  text = json_to_string (root, TRUE);
  g_print ("%s\n", text);
}

static gboolean
quantize (const Options *options, const char *path, TandemQuantizeFormat format,
          GCancellable *cancellable, GError **error)
{
  TandemModelExportFlags flags =
      options->force ? TANDEM_MODEL_EXPORT_REPLACE : TANDEM_MODEL_EXPORT_NONE;
  g_autoptr (TandemModel) model = tandem_model_open (path, cancellable, error);
  g_autoptr (TandemModel) made = NULL;
  g_auto (QuantizeOutcome) outcome = { 0 };
  QuantizeTask task = { model, format, options->max_loss };

  if (model == NULL || !tandem_model_export_check (options->output, flags, error) ||
      (options->data != NULL &&
       !quantize_guard (&task, options->data, &outcome, cancellable, error)) ||
      !tandem_quantize_model (model, format, outcome.kept != NULL
                              ? (const char *const *) outcome.kept->pdata : NULL,
                              options->output, flags, cancellable, error))
    return FALSE;
  made = tandem_model_open (options->output, cancellable, error);
  if (made == NULL)
    return FALSE;
  if (options->as_json)
    print_json (options, made, count_bytes (model), count_bytes (made), &outcome);
  else
    print_text (options, count_bytes (model), count_bytes (made), &outcome);
  return TRUE;
}

static int
run (char **args)
{
  g_auto (Options) options = { .max_loss = DEFAULT_MAX_LOSS };
  const GOptionEntry entries[] = {
    { "output", 'o', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.output,
      N_("Folder for the model, made where it is not there"), N_("FOLDER") },
    { "weights", 'w', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.weights,
      N_("What weights are stored as [int8]"), "int8|bf16|f16" },
    { "activations", 'a', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.activations,
      N_("What int8 weights are multiplied with, where the processor gains by int8 [int8]"),
      "int8|float" },
    { "data", 'd', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME_ARRAY, &options.data,
      N_("Labelled reviews to measure accuracy on; may be given again"), N_("PATH") },
    { "max-loss", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_DOUBLE, &options.max_loss,
      N_("Points of accuracy that may be lost; tensors stay as they are until it is no more [0.2]"),
      N_("POINTS") },
    { "force", 'f', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.force,
      N_("Replace a model that is there already"), NULL },
    { "json", 'j', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.as_json,
      N_("Print JSON, for programs"), NULL },
    { NULL },
  };
  g_auto (GStrv) rest = g_strdupv (args);
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (GError) error = NULL;
  TandemQuantizeFormat format;
  const char *wrong;

  if (!tandem_command_parse (&tandem_command_quantize, N_("MODEL"),
                             N_("MODEL is a Hugging Face folder. What comes in to a linear layer "
                                "is rounded row by\nrow while the model runs, so that no text is "
                                "needed to calibrate it."), entries, &rest))
    return TANDEM_EXIT_USAGE;
  if (rest[1] == NULL || rest[2] != NULL)
    return tandem_command_usage (_("one MODEL is needed"));
  if (options.output == NULL)
    return tandem_command_usage (_("--output is needed: the folder for the model"));
  wrong = choose_format (&options, &format);
  if (wrong != NULL)
    return tandem_command_usage ("%s", wrong);
  if (!(options.max_loss >= 0.0 && options.max_loss <= 100.0))
    return tandem_command_usage (_("--max-loss goes from 0 to 100"));

  cancellable = tandem_command_catch_signals ();
  if (!quantize (&options, rest[1], format, cancellable, &error))
    return tandem_command_failed (error);
  return TANDEM_EXIT_OK;
}

const TandemCommand tandem_command_quantize = {
  .name = "quantize",
  .summary = N_("Make a model with fewer bits a weight"),
  .run = run,
};
