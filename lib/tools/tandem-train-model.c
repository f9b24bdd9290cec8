/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where a training begins and what it leaves: models. */

#include "config.h"

#include "tandem-train-model.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>

#include "tandem.h"

/* Reviews are negative or positive. */
#define CLASSES 2
static const char *const default_labels[] = { "negative", "positive", NULL };

static TandemModelInitFlags
get_parts (const TrainOptions *options)
{
  return train_options_is_masked_lm (options) ? TANDEM_MODEL_INIT_MASKED_LM
                                              : TANDEM_MODEL_INIT_CLASSIFIER;
}

static char *
read_config (const char *path, GError **error)
{
  g_autofree char *inner = g_build_filename (path, "config.json", NULL);
  char *text;

  if (path == NULL)
    return NULL;
  return g_file_get_contents (g_file_test (path, G_FILE_TEST_IS_DIR) ? inner : path, &text, NULL,
                              error) ? text : NULL;
}

static gboolean
make_random (const TrainOptions *options, const char *config, const char *const *labels,
             const char *folder, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemTokenizer) tokenizer = tandem_tokenizer_new_from_path (options->vocab, error);
  g_autoptr (GHashTable) tensors = NULL;

  if (tokenizer == NULL)
    return FALSE;
  tensors = tandem_model_init_random (config, get_parts (options), CLASSES, options->seed,
                                      error);
  return tensors != NULL &&
      tandem_model_create (config, tokenizer, tensors, labels != NULL ? labels : default_labels,
                           TANDEM_DTYPE_F32, folder, TANDEM_MODEL_EXPORT_REPLACE, cancellable,
                           error);
}

static gboolean
make_from (const TrainOptions *options, const char *config, const char *const *labels,
           const char *folder, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemModel) source = tandem_model_open (options->from, cancellable, error);
  g_autoptr (GHashTable) tensors = NULL;
  g_autoptr (TandemMasks) masks = NULL;

  if (source == NULL)
    return FALSE;
  if (tandem_model_has_classifier (source) && config == NULL &&
      !train_options_is_masked_lm (options) &&
      tandem_model_get_config (source)->n_classes != CLASSES) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CLASSIFIER,
                 _("%s tells %u classes apart, reviews have two"), options->from,
                 tandem_model_get_config (source)->n_classes);
    return FALSE;
  }
  tensors = tandem_model_init_from (source, config, get_parts (options), CLASSES, options->seed,
                                    error);
  if (tensors == NULL)
    return FALSE;
  if (labels == NULL && (config != NULL || !tandem_model_has_classifier (source) ||
                         tandem_model_get_config (source)->labels == NULL))
    labels = default_labels;
  /* What was pruned is known to be pruned as long as the file says so. */
  masks = config == NULL ? tandem_masks_new_from_model (source) : tandem_masks_new ();
  return tandem_model_export_sparse (source, config, tensors, masks, NULL, labels,
                                     TANDEM_DTYPE_F32, folder, TANDEM_MODEL_EXPORT_REPLACE,
                                     cancellable, error);
}

/* The folder always has the file: an export writes one where the source has none. */
static gboolean
set_truncation_side (const char *folder, const char *side, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "tokenizer_config.json", NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autofree char *text = NULL;

  if (g_str_equal (side, "model"))
    return TRUE;
  if (!json_parser_load_from_file (parser, path, error))
    return FALSE;
  json_object_set_string_member (json_node_get_object (json_parser_get_root (parser)),
                                 "truncation_side", side);
  text = json_to_string (json_parser_get_root (parser), TRUE);
  return g_file_set_contents (path, text, -1, error);
}

gboolean
train_make_initial (const TrainOptions *options, const char *folder, GCancellable *cancellable,
                    GError **error)
{
  g_autofree char *config = NULL;
  g_auto (GStrv) labels = NULL;
  g_autoptr (TandemModel) model = NULL;
  guint n;

  if (options->labels != NULL) {
    labels = g_strsplit (options->labels, ",", -1);
    if (g_strv_length (labels) != CLASSES) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   _("--labels=%s names %u classes, reviews have two: negative,positive"),
                   options->labels, g_strv_length (labels));
      return FALSE;
    }
  }
  config = read_config (options->config, error);
  if (options->config != NULL && config == NULL)
    return FALSE;
  if (!(g_str_equal (options->init, "random") ? make_random : make_from) (
          options, config, (const char *const *) labels, folder, cancellable, error) ||
      !set_truncation_side (folder, options->truncation_side, error))
    return FALSE;
  model = tandem_model_open (folder, cancellable, error);
  if (model == NULL)
    return FALSE;
  n = tandem_model_get_config (model)->max_positions;
  if (options->max_length <= n)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
               _("--max-length=%u does not fit the model, which has %u positions"),
               (guint) options->max_length, n);
  return FALSE;
}

GPtrArray *
train_parse_stages (const char *name, const char *text, guint n_layers, GError **error)
{
  g_autoptr (GPtrArray) stages = g_ptr_array_new_with_free_func (g_free);
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);
  guint i, first, last, next = 0;

  for (i = 0; parts[i] != NULL; i++) {
    if (!tandem_model_parse_layers (g_strstrip (parts[i]), n_layers, &first, &last, error))
      return NULL;
    if (first != next)
      break;
    next = last + 1;
    g_ptr_array_add (stages, g_strdup_printf ("%u-%u", first, last));
  }
  if (next == n_layers && parts[i] == NULL)
    return g_steal_pointer (&stages);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
               _("--%s=%s must name the layers 0 to %u once each, in order, as 0-0,1-"), name, text,
               n_layers - 1);
  return NULL;
}

/* Replaces the file in the folder when the new one is complete. */
static gboolean
copy_file (const char *from, const char *folder, const char *name, GCancellable *cancellable,
           GError **error)
{
  g_autofree char *source_path = g_build_filename (from, name, NULL);
  g_autofree char *target_path = g_build_filename (folder, name, NULL);
  g_autofree char *temporary = g_strdup_printf ("%s/.%s.new", folder, name);
  g_autoptr (GFile) source = g_file_new_for_path (source_path);
  g_autoptr (GFile) target = g_file_new_for_path (temporary);

  if (!g_file_copy (source, target, G_FILE_COPY_OVERWRITE, cancellable, NULL, NULL, error)) {
    g_remove (temporary);
    return FALSE;
  }
  if (g_rename (temporary, target_path) == 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s: %s", target_path,
               g_strerror (errno));
  return FALSE;
}

static gboolean
write_stages (const TrainOptions *options, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemModel) model = tandem_model_open (options->output, cancellable, error);
  g_autoptr (GPtrArray) stages = NULL;
  g_autofree char *base = g_path_get_basename (options->output);
  guint i, first, last;

  if (model == NULL)
    return FALSE;
  stages = train_parse_stages ("split", options->split, tandem_model_get_config (model)->n_layers,
                               error);
  for (i = 0; stages != NULL && i < stages->len; i++) {
    const char *layers = g_ptr_array_index (stages, i);
    g_autofree char *name = g_strdup_printf ("%s-layers-%s.safetensors", base, layers);
    g_autofree char *path = g_build_filename (options->output, name, NULL);

    if (!tandem_model_parse_layers (layers, tandem_model_get_config (model)->n_layers, &first,
                                    &last, error) ||
        !tandem_model_write_stage (model, first, last, path, cancellable, error))
      return FALSE;
  }
  return stages != NULL;
}

static gboolean
write_curve (const TrainOptions *options, const TrainState *state, GError **error)
{
  g_autofree char *path = g_build_filename (options->output, "learning-curve.svg", NULL);
  guint n = state->measurements->len, i;
  g_autofree guint64 *steps = g_new (guint64, n);
  g_autofree double *losses = g_new (double, n);
  g_autofree double *accuracies = g_new (double, n);
  TandemLearningCurve curve = {
    .n_steps = state->losses->len, .first_step = 1,
    .losses = (const double *) state->losses->data, .n_evaluations = n,
    .evaluation_steps = steps, .evaluation_losses = losses, .evaluation_accuracies = accuracies
  };

  for (i = 0; i < n; i++) {
    const TrainMeasurement *measurement = &g_array_index (state->measurements, TrainMeasurement, i);

    steps[i] = measurement->step;
    losses[i] = measurement->loss;
    accuracies[i] = measurement->accuracy;
  }
  return tandem_learning_curve_write (&curve, path, error);
}

gboolean
train_publish (const TrainOptions *options, const TrainState *state, GCancellable *cancellable,
               GError **error)
{
  g_autofree char *model = train_state_get_path (state, "model-%" G_GUINT64_FORMAT,
                                                 state->model_step);
  g_autoptr (GDir) dir = g_dir_open (model, 0, error);
  const char *name;

  if (dir == NULL)
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL)
    if (!copy_file (model, options->output, name, cancellable, error))
      return FALSE;
  return (options->split == NULL || write_stages (options, cancellable, error)) &&
      write_curve (options, state, error);
}
