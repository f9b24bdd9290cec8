/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line of tandem train. */

#include "config.h"

#include "tandem-train-options-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "tandem-command.h"

static gboolean
is_text (const TrainOption *option)
{
  return option->kind == KIND_TEXT || option->kind == KIND_PATH || option->kind == KIND_CHOICE;
}

void
train_options_clear (TrainOptions *self)
{
  guint i;

  for (i = 0; i < TRAIN_N_OPTIONS; i++) {
    gpointer field = G_STRUCT_MEMBER_P (self, train_option_table[i].offset);

    if (is_text (&train_option_table[i]))
      g_clear_pointer ((char **) field, g_free);
    else if (train_option_table[i].kind == KIND_PATHS)
      g_clear_pointer ((char ***) field, g_strfreev);
  }
}

static gboolean
wrong (const TrainOption *option, const char *text, GError **error)
{
  if (option->kind == KIND_CHOICE)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("--%s=%s is none of %s"), option->name, text, option->arg);
  else if (option->kind == KIND_COUNT)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("--%s=%s is not a whole number from %.0f to %.0f"), option->name, text,
                 option->min, option->max);
  else
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("--%s=%s is not a number from %g to %g"), option->name, text, option->min,
                 option->max);
  return FALSE;
}

/* Sets the field of an option from its text. */
static gboolean
set (TrainOptions *self, const TrainOption *option, const char *text, GError **error)
{
  gpointer field = G_STRUCT_MEMBER_P (self, option->offset);
  char *end;
  double number;

  switch (option->kind) {
    case KIND_COUNT:
      return g_ascii_string_to_unsigned (text, 10, option->min, option->max, field, NULL) ||
          wrong (option, text, error);
    case KIND_NUMBER:
      number = g_ascii_strtod (text, &end);
      if (end == text || *end != '\0' || !(number >= option->min && number <= option->max))
        return wrong (option, text, error);
      *(double *) field = number;
      return TRUE;
    case KIND_CHOICE: {
      g_auto (GStrv) words = g_strsplit (option->arg, "|", -1);

      if (!g_strv_contains ((const char *const *) words, text))
        return wrong (option, text, error);
      break;
    }
    default:
      break;
  }
  g_free (*(char **) field);
  *(char **) field = option->kind == KIND_PATH ? g_canonicalize_filename (text, NULL)
                                               : g_strdup (text);
  if (g_utf8_validate (text, -1, NULL))
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("--%s is not UTF-8"),
               option->name);
  return FALSE;
}

/* The paths of an option that may be given again; absolute, since --resume may come from
 * elsewhere. */
static gboolean
set_paths (const TrainOption *option, char **paths, GError **error)
{
  for (; *paths != NULL; paths++) {
    char *absolute = g_canonicalize_filename (*paths, NULL);

    g_free (*paths);
    *paths = absolute;
    if (!g_utf8_validate (absolute, -1, NULL)) {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("--%s is not UTF-8"),
                   option->name);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
check (const TrainOptions *self, GError **error)
{
  const char *text = NULL;

  if (self->data == NULL || self->data[0] == NULL)
    text = _("--data is needed: the reviews to learn from");
  else if (g_str_equal (self->init, "random") && (self->config == NULL || self->vocab == NULL))
    text = _("--init random needs --config and --vocab");
  else if (g_str_equal (self->init, "project") && (self->config == NULL || self->from == NULL))
    text = _("--init project needs --from, a wider model, and --config");
  else if (g_str_equal (self->init, "model") && self->from == NULL)
    text = _("--from is needed: the model to begin with; or --init random");
  else if (g_str_equal (self->init, "model") && self->config != NULL)
    text = _("--config goes with --init random or --init project");
  else if (g_str_equal (self->task, "distill") && self->teacher == NULL)
    text = _("--task distill needs --teacher");
  else if (g_str_equal (self->task, "classify") && (self->teacher != NULL ||
                                                    self->with_unlabelled))
    text = _("--teacher goes with --task distill, --with-unlabelled with that or masked-lm");
  else if (!g_str_equal (self->task, "distill") && self->hidden > 0.0)
    text = _("--hidden goes with --task distill");
  else if (self->hidden_layers != NULL && !(self->hidden > 0.0))
    text = _("--hidden-layers goes with --hidden");
  else if (train_options_is_masked_lm (self) && self->teacher != NULL)
    text = _("--teacher goes with --task distill");
  else if (train_options_is_masked_lm (self) && strchr (self->stages, ',') != NULL)
    text = _("--task masked-lm trains in one stage: leave --stages out");
  else if (self->gradual > 0.0 && !(self->sparsity > 0.0))
    text = _("--gradual goes with --sparsity");
  else if (self->batch % self->micro_batch != 0)
    text = _("--batch must be a multiple of --micro-batch");
  if (text != NULL)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, text);
  return text == NULL;
}

/* Everything after the raw texts of the command line are known. */
static gboolean
apply (TrainOptions *self, char **texts, GError **error)
{
  gboolean given[TRAIN_N_OPTIONS] = { FALSE };
  guint i;

  for (i = 0; i < TRAIN_N_OPTIONS; i++) {
    const TrainOption *option = &train_option_table[i];
    const char *text = texts[i] != NULL ? texts[i] : option->fallback;

    given[i] = texts[i] != NULL;
    if (option->kind == KIND_FLAG) {
      given[i] = *(gboolean *) G_STRUCT_MEMBER_P (self, option->offset);
    } else if (option->kind == KIND_PATHS) {
      char **paths = *(char ***) G_STRUCT_MEMBER_P (self, option->offset);

      given[i] = paths != NULL;
      if (given[i] && !set_paths (option, paths, error))
        return FALSE;
    } else if (text != NULL && !set (self, option, text, error)) {
      return FALSE;
    }
  }
  if (self->output == NULL) {
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         _("--output is needed: the folder for the model"));
    return FALSE;
  }
  if (self->resume && self->force) {
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         _("--resume goes on, --force begins anew: give one of them"));
    return FALSE;
  }
  return (!self->resume || train_options_load (self, given, error)) && check (self, error);
}

gboolean
train_options_parse (TrainOptions *self, char **args, int *status)
{
  GOptionEntry entries[TRAIN_N_OPTIONS + 1] = { 0 };
  char *texts[TRAIN_N_OPTIONS] = { NULL }, *help[TRAIN_N_OPTIONS] = { NULL };
  g_auto (GStrv) rest = g_strdupv (args);
  g_autoptr (GError) error = NULL;
  gboolean ok;
  guint i;

  for (i = 0; i < TRAIN_N_OPTIONS; i++) {
    const TrainOption *option = &train_option_table[i];
    gpointer field = G_STRUCT_MEMBER_P (self, option->offset);

    help[i] = option->fallback == NULL ? g_strdup (_(option->help))
                                       : g_strdup_printf ("%s [%s]", _(option->help),
                                                          option->fallback);
    entries[i] = (GOptionEntry) {
      option->name, option->letter, 0, G_OPTION_ARG_STRING, &texts[i], help[i], option->arg
    };
    if (option->kind == KIND_FLAG) {
      entries[i].arg = G_OPTION_ARG_NONE;
      entries[i].arg_data = field;
    } else if (option->kind == KIND_PATHS) {
      entries[i].arg = G_OPTION_ARG_FILENAME_ARRAY;
      entries[i].arg_data = field;
    } else if (option->kind == KIND_PATH) {
      entries[i].arg = G_OPTION_ARG_FILENAME;
    }
  }
  *status = TANDEM_EXIT_USAGE;
  ok = tandem_command_parse (&tandem_command_train, NULL,
                             N_("Interrupted or killed, a training goes on with --resume to the "
                                "same weights."), entries, &rest);
  if (ok && rest[1] != NULL) {
    tandem_command_usage (_("\"%s\" is no option"), rest[1]);
    ok = FALSE;
  } else if (ok && !apply (self, texts, &error)) {
    tandem_command_usage ("%s", error->message);
    ok = FALSE;
  }
  for (i = 0; i < TRAIN_N_OPTIONS; i++) {
    g_free (texts[i]);
    g_free (help[i]);
  }
  return ok;
}

gboolean
train_options_is_masked_lm (const TrainOptions *self)
{
  return g_str_equal (self->task, "masked-lm");
}

guint
train_options_get_step_size (const TrainOptions *self)
{
  return g_str_equal (self->schedule, "1f1b") ? self->micro_batch : self->batch;
}
