/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem inspect: shows what a model, a stage file or any safetensors file holds. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem-inspect-report.h"

/* Behind the name of a quantized tensor. */
#define SCALE ".weight.scale"

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
report_clear (TandemInspectReport *report)
{
  g_clear_object (&report->model);
  g_clear_object (&report->file);
  g_clear_object (&report->tokenizer);
  g_clear_pointer (&report->rows, g_ptr_array_unref);
  g_clear_pointer (&report->parts, g_ptr_array_unref);
  g_free (report->no_tokenizer);
  g_free (report->path);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TandemInspectReport, report_clear)

static Row *
add_row (TandemInspectReport *report, const char *name, const char *dtype, guint n_dims, const guint64 *shape,
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
  row->n_bytes = row->n_dense_bytes = n_bytes;
  row->n_kept = row->n_elements;
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
  if (g_str_has_prefix (tensor, "encoder.group."))
    return g_strdup_printf ("group %" G_GUINT64_FORMAT,
                            g_ascii_strtoull (tensor + strlen ("encoder.group."), NULL, 10));
  return g_strdup (g_str_has_prefix (tensor, "pooler.") ? "pooler" : "classifier");
}

/* The rows of a part follow one another. */
static void
add_to_part (TandemInspectReport *report, const Row *row)
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
  part->n_kept += row->n_kept;
  part->n_bytes += row->n_bytes;
  part->n_flops += row->n_flops;
}

/* Elements with any bit but the sign. */
static guint64
count_kept (const TandemTensor *tensor)
{
  gsize size = tandem_dtype_get_size (tandem_tensor_get_dtype (tensor));
  const guint8 *data = tandem_tensor_get_data (tensor, NULL);
  guint64 n = tandem_tensor_get_n_elements (tensor), kept = 0, i;

  for (i = 0; i < n; i++, data += size) {
    guint32 word = 0;

    memcpy (&word, data, size);
    kept += (guint32) (word << (size == 2 ? 17 : 1)) != 0;
  }
  tandem_tensor_release_pages (tensor);
  return kept;
}

/* A multiplication and an addition for each element of a linear layer's matrix; embeddings are
 * looked up. */
static guint64
count_flops (const Row *row)
{
  if (row->n_dims != 2 || (g_str_has_prefix (row->name, "embeddings.") &&
                           !g_str_has_prefix (row->name, "embeddings.projection.")))
    return 0;
  return 2 * row->n_elements;
}

/* Which matrices are multiplied without their zeros here, a stage that runs them knows. It is not
 * opened where there are next to none. */
static gboolean
find_sparse (TandemInspectReport *report, GError **error)
{
  TandemBertStageFlags flags = TANDEM_BERT_STAGE_NONE;
  g_autoptr (TandemBertStage) stage = NULL;
  g_auto (GStrv) names = NULL;
  gboolean any = FALSE;
  guint first, last, i;

  for (i = 0; i < report->rows->len; i++) {
    const Row *row = g_ptr_array_index (report->rows, i);

    any = any || (row->n_flops > 0 && row->n_kept <= row->n_elements / 4 * 3);
  }
  if (!any)
    return TRUE;
  tandem_model_get_layers (report->model, &first, &last);
  if (!tandem_model_has_classifier (report->model))
    flags = TANDEM_BERT_STAGE_HIDDEN;
  stage = tandem_bert_stage_new (report->model, first, last, TANDEM_PRECISION_F32, 1, flags, error);
  if (stage == NULL)
    return FALSE;
  names = tandem_bert_stage_list_sparse (stage);
  for (i = 0; i < report->rows->len; i++) {
    Row *row = g_ptr_array_index (report->rows, i);

    row->runs_sparse = g_strv_contains ((const char *const *) names, row->name);
  }
  return TRUE;
}

static gboolean
collect_model (TandemInspectReport *report, GError **error)
{
  g_auto (GStrv) names = tandem_model_list_tensors (report->model);
  g_autoptr (GError) inner = NULL;
  guint first, i, dim;

  for (i = 0; names[i] != NULL; i++) {
    g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (report->model, names[i], error);
    g_autoptr (TandemSparseTensor) sparse =
        tandem_model_get_sparse_tensor (report->model, names[i]);
    guint64 shape[TANDEM_TENSOR_MAX_DIMS];
    gsize size;
    Row *row;

    if (tensor == NULL)
      return FALSE;
    for (dim = 0; dim < tandem_tensor_get_n_dims (tensor); dim++)
      shape[dim] = tandem_tensor_get_dim (tensor, dim);
    tandem_tensor_get_data (tensor, &size);
    row = add_row (report, names[i], tandem_dtype_to_string (tandem_tensor_get_dtype (tensor)),
                   dim, shape, size);
    row->n_kept = count_kept (tensor);
    row->n_flops = count_flops (row);
    row->is_sparse = sparse != NULL;
    if (sparse != NULL)
      row->n_bytes = tandem_sparse_tensor_get_n_bytes (sparse);
    /* They were never learned. */
    if (g_str_has_suffix (names[i], SCALE))
      row->n_elements = row->n_kept = 0;
    add_to_part (report, row);
  }
  if (!find_sparse (report, error))
    return FALSE;
  tandem_model_get_layers (report->model, &first, NULL);
  if (first > 0) {
    report->no_tokenizer = g_strdup (_("none; the stage file with layer 0 has it"));
    return TRUE;
  }
  report->tokenizer = tandem_model_get_tokenizer (report->model, &inner);
  if (report->tokenizer == NULL)
    report->no_tokenizer = g_strdup (inner->message);
  return TRUE;
}

static void
collect_file (TandemInspectReport *report)
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
collect (TandemInspectReport *report, const char *path, GCancellable *cancellable, GError **error)
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

static int
run (char **args)
{
  g_autofree char *svg = NULL;
  gboolean as_json = FALSE;
  const GOptionEntry entries[] = {
    { "json", 'j', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &as_json,
      N_("Print JSON, for programs"), NULL },
    { "svg", 's', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &svg,
      N_("Draw sizes and zeros of the matrices into this file, too"), N_("FILE") },
    { NULL },
  };
  g_auto (GStrv) rest = g_strdupv (args);
  g_auto (TandemInspectReport) report = { NULL };
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
    tandem_inspect_print_json (&report, n_elements, n_bytes);
  else
    tandem_inspect_print_text (&report, n_elements, n_bytes);
  if (svg != NULL && !tandem_inspect_write_picture (&report, n_bytes, svg, &error))
    return tandem_command_failed (error);
  return TANDEM_EXIT_OK;
}

const TandemCommand tandem_command_inspect = {
  .name = "inspect",
  .summary = N_("Show what a model or a stage file holds"),
  .run = run,
};
