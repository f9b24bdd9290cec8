/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tandem prune says of the model that it made. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>

#include "tandem-prune-model.h"

static gboolean
get_file_size (const char *folder, guint64 *size, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInfo) info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE,
                                                  G_FILE_QUERY_INFO_NONE, NULL, error);

  *size = info != NULL ? g_file_info_get_size (info) : 0;
  return info != NULL;
}

/* Parameters of a model, and those that are not pruned. */
static gboolean
count (TandemModel *model, guint64 *n_elements, guint64 *n_kept, GError **error)
{
  g_auto (PrunedModel) whole = { .model = model };

  whole.masks = tandem_masks_new_from_model (model);
  whole.tensors = tandem_prune_get_tensors (model, error);
  if (whole.tensors == NULL)
    return FALSE;
  pruned_model_count (&whole, n_elements, n_kept);
  return TRUE;
}

static void
add_member (JsonBuilder *json, const char *name, gint64 value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_int_value (json, value);
}

static void
print_json (TandemModel *model, const char *method, double share, guint64 before, guint64 n,
            guint64 n_kept, guint64 size)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;

  json_builder_begin_object (json);
  json_builder_set_member_name (json, "output");
  json_builder_add_string_value (json, tandem_model_get_path (model));
  json_builder_set_member_name (json, "method");
  json_builder_add_string_value (json, method);
  json_builder_set_member_name (json, "share");
  json_builder_add_double_value (json, share);
  json_builder_set_member_name (json, "fingerprint");
  json_builder_add_string_value (json, tandem_model_get_fingerprint (model));
  add_member (json, "parameters_before", before);
  add_member (json, "parameters", n);
  add_member (json, "parameters_kept", n_kept);
  add_member (json, "bytes", size);
  add_member (json, "layers", config->n_layers);
  add_member (json, "vocabulary", config->vocab_size);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  text = json_to_string (root, TRUE);
  g_print ("%s\n", text);
}

gboolean
prune_report (TandemModel *source, const char *output, const char *method, double share,
              gboolean as_json, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemModel) model = tandem_model_open (output, cancellable, error);
  guint64 before, n, n_kept, size;
  g_autofree char *text = NULL;

  if (model == NULL || !count (source, &before, &n, error) ||
      !count (model, &n, &n_kept, error) || !get_file_size (output, &size, error))
    return FALSE;
  if (as_json) {
    print_json (model, method, share, before, n, n_kept, size);
    return TRUE;
  }
  text = g_format_size_full (size, G_FORMAT_SIZE_DEFAULT);
  g_print (_("Parameters  %.3f of %.3f million, %.1f %% of these not zero\n"), (double) n / 1e6,
           (double) before / 1e6, 100.0 * (double) n_kept / (double) n);
  g_print (_("File        %s\n"), text);
  return TRUE;
}
