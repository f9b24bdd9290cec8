/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The report of tandem inspect for people. */

#include "config.h"

#include <glib/gi18n-lib.h>

#include "tandem-command.h"
#include "tandem-inspect-report.h"

const char *
tandem_inspect_get_activation_name (TandemActivation activation)
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

/* What is in the file, and what a stage here makes of it. */
static void
print_quantization (TandemQuantization quantization)
{
  if (quantization == TANDEM_QUANTIZATION_WEIGHTS)
    print_line (_("Quantization"), _("int8 weights, float activations"));
  else if (quantization == TANDEM_QUANTIZATION_INT8)
    print_line (_("Quantization"),
                tandem_int8_is_used () ? _("int8 weights and activations, so run on this processor")
                : _("int8 weights and activations; this processor runs them in floats"));
}

/* Where layers differ: "heads 2, feed-forward 256" of each. */
static void
print_layer_sizes (TandemModel *model)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  guint i;

  for (i = 0; i < config->n_layers; i++) {
    g_autofree char *label = g_strdup_printf (_("Layer %u"), i);

    print_value (label, _("%u heads, feed-forward %u"), tandem_model_get_n_heads (model, i),
                 tandem_model_get_intermediate_size (model, i));
  }
}

static void
print_model (const TandemInspectReport *report)
{
  const TandemModelConfig *config = tandem_model_get_config (report->model);
  guint first, last;

  tandem_model_get_layers (report->model, &first, &last);
  print_line (_("Kind"), tandem_model_is_stage (report->model) ? _("stage file") : _("model"));
  print_line (_("Fingerprint"), tandem_model_get_fingerprint (report->model));
  print_value (_("Layers"), _("%u to %u of %u"), first, last, config->n_layers);
  print_value (_("Width"), _("%u, %u heads, feed-forward %u"), config->hidden_size,
               config->n_heads, config->intermediate_size);
  if (config->layer_heads != NULL || config->layer_intermediate_sizes != NULL)
    print_layer_sizes (report->model);
  if (config->type == TANDEM_MODEL_ALBERT)
    print_value (_("Weights shared"), _("groups of layers: %u, width of embeddings: %u"),
                 config->n_groups, config->embedding_size);
  print_line (_("Activation"), tandem_inspect_get_activation_name (config->activation));
  print_value (_("Positions"), "%u", config->max_positions);
  if (tandem_model_has_classifier (report->model))
    print_value (_("Classifier"), _("%u classes"), config->n_classes);
  else
    print_line (_("Classifier"), _("none"));
  if (config->labels != NULL) {
    g_autofree char *labels = g_strjoinv (", ", config->labels);

    print_line (_("Labels"), labels);
  }
  print_quantization (tandem_model_get_quantization (report->model));
  if (report->tokenizer != NULL) {
    g_autofree char *how = get_tokenizer_text (tandem_tokenizer_get_flags (report->tokenizer));

    print_value (_("Vocabulary"), _("%u entries, %s"),
                 tandem_tokenizer_get_size (report->tokenizer), how);
  } else {
    print_line (_("Vocabulary"), report->no_tokenizer);
  }
}

/* In percent. */
static double
get_sparsity (guint64 n_elements, guint64 n_kept)
{
  return n_elements > 0 ? 100.0 * (double) (n_elements - n_kept) / (double) n_elements : 0;
}

static void
print_parts (const TandemInspectReport *report)
{
  guint i;

  for (i = 0; i < report->parts->len; i++) {
    const Part *part = g_ptr_array_index (report->parts, i);
    g_autofree char *size = g_format_size (part->n_bytes);

    g_print ("  %-14s %12" G_GUINT64_FORMAT "  %-10s %5.1f %% %12" G_GUINT64_FORMAT "\n",
             part->name, part->n_elements, size,
             get_sparsity (part->n_elements, part->n_kept), part->n_flops);
  }
}

static void
print_rows (const TandemInspectReport *report)
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
    g_print ("  %-*s  %-4s  %-14s %12" G_GUINT64_FORMAT, width, name, dtype, shape->str,
             row->n_bytes);
    if (report->model != NULL)
      g_print (" %5.1f %%%s%s", get_sparsity (row->n_elements, row->n_kept),
               row->is_sparse ? _(" sparse") : "",
               row->runs_sparse ? _(", zeros left out on this processor") : "");
    g_print ("\n");
  }
}

void
tandem_inspect_print_text (const TandemInspectReport *report, guint64 n_elements, guint64 n_bytes)
{
  g_autofree char *size = g_format_size (n_bytes);

  print_line (_("Path"), report->path);
  if (report->model != NULL)
    print_model (report);
  else
    print_line (_("Kind"), _("safetensors file"));
  print_value (_("Parameters"), "%" G_GUINT64_FORMAT ", %s", n_elements, size);
  if (report->parts->len > 0) {
    g_print ("\n%s\n", _("Parts: parameters, size, share that is zero, operations a row in linear "
                         "layers"));
    print_parts (report);
  }
  g_print ("\n%s\n", report->model != NULL ? _("Tensors: type, shape, bytes, share that is zero")
                                             : _("Tensors: type, shape, bytes"));
  print_rows (report);
}
