/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem merge: makes a model of the checkpoints of its stages. */

#include "config.h"

#include <glib/gi18n-lib.h>

#include "tandem-command.h"
#include "tandem.h"

/* Before the names of AdamW's moments, and of what learned from a teacher: a model does not need
 * them. */
#define MOMENTS "adamw."
#define DISTILLATION "distillation."
#define STEP "tandem.step"
#define SCALE ".weight.scale"

/* Adds the weights of one checkpoint. step: that of those before it, NULL for the first one. */
static gboolean
add_checkpoint (GHashTable *tensors, const char *path, char **step, GError **error)
{
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, error);
  g_autofree char *display = g_filename_display_name (path);
  g_auto (GStrv) names = NULL;
  const char *of;
  guint i;

  if (file == NULL)
    return FALSE;
  of = tandem_safetensors_get_metadata (file, STEP);
  if (of == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("%s is no checkpoint of a stage in training"), display);
    return FALSE;
  }
  if (*step != NULL && !g_str_equal (*step, of)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("%s is of step %s, those before it of step %s"), display, of, *step);
    return FALSE;
  }
  if (*step == NULL)
    *step = g_strdup (of);
  names = tandem_safetensors_list_tensors (file);
  for (i = 0; names[i] != NULL; i++) {
    TandemTensor *tensor;

    if (g_str_has_prefix (names[i], MOMENTS) || g_str_has_prefix (names[i], DISTILLATION))
      continue;
    if (g_hash_table_contains (tensors, names[i])) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   _("%s holds \"%s\", which another checkpoint holds, too"), display, names[i]);
      return FALSE;
    }
    tensor = tandem_safetensors_get_tensor (file, names[i], error);
    if (tensor == NULL)
      return FALSE;
    g_hash_table_insert (tensors, g_strdup (names[i]), tensor);
  }
  return TRUE;
}

static gboolean
check_complete (TandemModel *model, GHashTable *tensors, GError **error)
{
  g_auto (GStrv) names = tandem_model_list_tensors (model);
  guint i;

  for (i = 0; names[i] != NULL; i++) {
    /* Of a quantized model; checkpoints hold floats. */
    if (g_str_has_suffix (names[i], SCALE))
      continue;
    if (!g_hash_table_contains (tensors, names[i])) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   _("no checkpoint holds \"%s\"; name those of all stages"), names[i]);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
merge (const char *model_path, char **checkpoints, const char *folder, TandemDtype dtype,
       gboolean force, GCancellable *cancellable, GError **error)
{
  TandemModelExportFlags flags =
      force ? TANDEM_MODEL_EXPORT_REPLACE : TANDEM_MODEL_EXPORT_NONE;
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (
      g_str_hash, g_str_equal, g_free, (GDestroyNotify) tandem_tensor_unref);
  g_autoptr (TandemModel) model = tandem_model_open (model_path, cancellable, error);
  g_autofree char *step = NULL;
  guint i;

  if (model == NULL)
    return FALSE;
  for (i = 0; checkpoints[i] != NULL; i++)
    if (!add_checkpoint (tensors, checkpoints[i], &step, error))
      return FALSE;
  return check_complete (model, tensors, error) &&
      tandem_model_export (model, NULL, tensors, NULL, dtype, folder, flags, cancellable, error);
}

static int
run (char **args)
{
  g_autofree char *folder = NULL;
  gboolean force = FALSE, half = FALSE;
  const GOptionEntry entries[] = {
    { "output", 'o', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &folder,
      N_("Folder for the model, made where it is not there"), N_("FOLDER") },
    { "half", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &half,
      N_("Write 16-bit floats, half the size"), NULL },
    { "force", 'f', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &force,
      N_("Replace a model that is there already"), NULL },
    { NULL },
  };
  g_auto (GStrv) rest = g_strdupv (args);
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (GError) error = NULL;

  if (!tandem_command_parse (&tandem_command_merge, N_("MODEL CHECKPOINT..."),
                             N_("MODEL is the Hugging Face folder that training began with, and each "
                                "CHECKPOINT\nthe file that a stage wrote (bertstage checkpoint=FILE), "
                                "all of the same step."), entries, &rest))
    return TANDEM_EXIT_USAGE;
  if (rest[1] == NULL || rest[2] == NULL)
    return tandem_command_usage (_("a MODEL and its CHECKPOINTs are needed"));
  if (folder == NULL)
    return tandem_command_usage (_("--output is needed: the folder for the model"));

  cancellable = tandem_command_catch_signals ();
  if (!merge (rest[1], rest + 2, folder, half ? TANDEM_DTYPE_F16 : TANDEM_DTYPE_F32, force,
              cancellable, &error))
    return tandem_command_failed (error);
  return TANDEM_EXIT_OK;
}

const TandemCommand tandem_command_merge = {
  .name = "merge",
  .summary = N_("Make a model of the checkpoints of its stages"),
  .run = run,
};
