/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The report of tandem inspect for programs. */

#include "config.h"

#include <json-glib/json-glib.h>

#include "tandem-inspect-report.h"

static void
build_config (JsonBuilder *json, TandemModel *model)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  const struct
  {
    const char *name;
    guint value;
  } sizes[] = {
    { "num_hidden_layers", config->n_layers },
    { "num_hidden_groups", config->n_groups },
    { "hidden_size", config->hidden_size },
    { "embedding_size", config->embedding_size },
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
  json_builder_set_member_name (json, "model_type");
  json_builder_add_string_value (json, config->type == TANDEM_MODEL_ALBERT ? "albert" : "bert");
  for (i = 0; i < G_N_ELEMENTS (sizes); i++) {
    json_builder_set_member_name (json, sizes[i].name);
    json_builder_add_int_value (json, sizes[i].value);
  }
  json_builder_set_member_name (json, "layer_heads");
  json_builder_begin_array (json);
  for (i = 0; i < config->n_layers; i++)
    json_builder_add_int_value (json, tandem_model_get_n_heads (model, i));
  json_builder_end_array (json);
  json_builder_set_member_name (json, "layer_intermediate_sizes");
  json_builder_begin_array (json);
  for (i = 0; i < config->n_layers; i++)
    json_builder_add_int_value (json, tandem_model_get_intermediate_size (model, i));
  json_builder_end_array (json);
  json_builder_set_member_name (json, "hidden_act");
  json_builder_add_string_value (json, tandem_inspect_get_activation_name (config->activation));
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
build_quantization (JsonBuilder *json, TandemQuantization quantization)
{
  json_builder_set_member_name (json, "quantization");
  if (quantization == TANDEM_QUANTIZATION_NONE) {
    json_builder_add_null_value (json);
    return;
  }
  json_builder_begin_object (json);
  json_builder_set_member_name (json, "weights");
  json_builder_add_string_value (json, "int8");
  json_builder_set_member_name (json, "activations");
  json_builder_add_string_value (json,
                                 quantization == TANDEM_QUANTIZATION_INT8 ? "int8" : "float");
  json_builder_set_member_name (json, "runs_int8");
  json_builder_add_boolean_value (json, quantization == TANDEM_QUANTIZATION_INT8 &&
                                            tandem_int8_is_used ());
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
build_model (JsonBuilder *json, const TandemInspectReport *report)
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
  build_config (json, report->model);
  build_quantization (json, tandem_model_get_quantization (report->model));
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
    json_builder_set_member_name (json, "nonzero");
    json_builder_add_int_value (json, part->n_kept);
    json_builder_set_member_name (json, "flops");
    json_builder_add_int_value (json, part->n_flops);
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
}

static void
build_rows (JsonBuilder *json, const TandemInspectReport *report)
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
    if (report->model != NULL) {
      json_builder_set_member_name (json, "nonzero");
      json_builder_add_int_value (json, row->n_kept);
      json_builder_set_member_name (json, "flops");
      json_builder_add_int_value (json, row->n_flops);
      json_builder_set_member_name (json, "sparse");
      json_builder_add_boolean_value (json, row->is_sparse);
      json_builder_set_member_name (json, "runs_sparse");
      json_builder_add_boolean_value (json, row->runs_sparse);
    }
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
}

void
tandem_inspect_print_json (const TandemInspectReport *report, guint64 n_elements, guint64 n_bytes)
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
