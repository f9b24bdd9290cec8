/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line of tandem tune. */

#include "config.h"

#include "tandem-tune-options-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem.h"

void
tune_options_clear (TuneOptions *self)
{
  g_free (self->model);
  g_free (self->algorithm);
  g_free (self->output);
  g_strfreev (self->data);
  g_free (self->exclude);
  g_free (self->table);
  g_free (self->class_column);
  g_strfreev (self->ignored);
  g_free (self->from);
  g_free (self->space);
  g_strfreev (self->set);
  g_free (self->objective);
  g_free (self->target);
  g_strfreev (self->test);
  g_free (self->split);
}

/* A sentence about what is wrong, or NULL. */
static const char *
find_fault (TuneOptions *self)
{
  if (self->model == NULL)
    return _("--model is needed: ann, cnn, svm or bert");
  if (!g_strv_contains (tandem_optimizer_get_algorithms (), self->algorithm))
    return _("--algorithm is not known; see tandem tune --help");
  if (self->output == NULL)
    return _("--output is needed: the folder for the best model");
  if ((self->data == NULL) == (self->table == NULL))
    return _("either --data is needed, reviews, or --table");
  if (self->table == NULL && (self->class_column != NULL || self->ignored != NULL ||
                              self->select_columns))
    return _("--class, --ignore and --select-columns are for a --table");
  if (!(self->holdout > 0.0 && self->holdout <= 0.9))
    return _("--holdout goes from above 0 to 0.9");
  if (self->folds < 2 || self->folds > 255)
    return _("--folds goes from 2 to 255");
  if (g_str_equal (self->model, "bert") && self->from == NULL)
    return _("--from is needed: the folder of the transformer to begin at");
  if (self->table != NULL && !g_str_equal (self->model, "ann") && !g_str_equal (self->model, "svm"))
    return _("a table is for --model ann or svm");
  if (self->table != NULL && self->test != NULL)
    return _("--test is for reviews");
  if (self->split != NULL && !g_str_equal (self->model, "bert"))
    return _("--split is for --model bert");
  if (self->weights && !g_str_equal (self->model, "ann") && !g_str_equal (self->model, "cnn"))
    return _("--weights is for --model ann or cnn");
  if (self->weights && (self->space != NULL || self->select_columns || self->rungs != 1))
    return _("--weights searches no --space, no --select-columns and no --rungs");
  if (!(self->bound > 0.0 && self->bound <= 1e6))
    return _("--bound is a number above 0");
  if (self->evaluations < 1)
    return _("--evaluations begins at 1");
  if (!(self->time >= 0.0 && self->time <= 1e9) || !(self->timeout >= 0.0 && self->timeout <= 1e9))
    return _("--time and --timeout are seconds, 0 or more");
  if (self->population < 0 || self->population > 100000)
    return _("--population goes from 0 to 100000");
  if (self->rungs < 1 || self->rungs > 8)
    return _("--rungs goes from 1 to 8");
  if (self->window < 1 || self->window > 65536)
    return _("--window goes from 1 to 65536");
  if (self->workers < 1 || self->workers > 1024)
    return _("--workers goes from 1 to 1024");
  if (self->seed < 0)
    return _("--seed begins at 0");
  if (self->split_seed < -1)
    return _("--split-seed begins at -1");
  return NULL;
}

static gboolean
parse_measures (TuneOptions *self, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (self->objective, ",", -1);
  guint n = g_strv_length (parts), i;

  if (n < 1 || n > G_N_ELEMENTS (self->measures)) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("--objective=%s names %u measures; one or two can be best"), self->objective, n);
    return FALSE;
  }
  for (i = 0; i < n; i++)
    if (!tandem_measure_parse (parts[i], &self->measures[i], error))
      return FALSE;
  self->n_measures = n;
  return TRUE;
}

static gboolean
check_set (TuneOptions *self, GError **error)
{
  guint i;

  for (i = 0; self->set != NULL && self->set[i] != NULL; i++) {
    if (strchr (self->set[i], '=') > self->set[i])
      continue;
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("--set=%s is not NAME=VALUE, as epochs=3"), self->set[i]);
    return FALSE;
  }
  return TRUE;
}

static gboolean
check (TuneOptions *self, GError **error)
{
  const char *fault;
  char *end;

  if (self->algorithm == NULL)
    self->algorithm = g_strdup ("pso");
  if (self->objective == NULL)
    self->objective = g_strdup (self->weights ? "mse" : "accuracy");
  if (self->model != NULL && !g_strv_contains (tandem_classifier_list_kinds (), self->model)) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("--model is \"%s\"; it is to be ann, cnn, svm or bert"), self->model);
    return FALSE;
  }
  fault = find_fault (self);
  if (fault == NULL && self->target != NULL) {
    g_ascii_strtod (self->target, &end);
    if (end == self->target || *end != '\0')
      fault = _("--target is a number");
  }
  if (fault != NULL) {
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, fault);
    return FALSE;
  }
  if (!parse_measures (self, error) || !check_set (self, error))
    return FALSE;
  if (!self->weights || (self->n_measures == 1 &&
                         self->measures[0] <= TANDEM_MEASURE_MSE_CROSS_ENTROPY))
    return TRUE;
  g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                       _("--weights takes one measure: accuracy, mse or mse-cross-entropy"));
  return FALSE;
}

static gboolean
parse_once (TuneOptions *self, char **args)
{
  TuneOption entries[TUNE_MAX_OPTIONS];
  GOptionEntry plain[TUNE_MAX_OPTIONS];
  guint n = tune_options_list_entries (self, entries), i;
  g_auto (GStrv) rest = g_strdupv (args);
  g_autofree char *algorithms = g_strjoinv (", ",
                                            (char **) tandem_optimizer_get_algorithms ());
  g_autofree char *description = NULL;

  for (i = 0; i <= n; i++)
    plain[i] = entries[i].entry;
  description = g_strdup_printf (_("Algorithms: %s.\n\nCtrl-C stops and saves; --resume goes "
                                   "on. Of reviews, whole blocks of\nneighbours are held out, and "
                                   "nothing is chosen by what --test names."), algorithms);
  if (!tandem_command_parse (&tandem_command_tune, NULL, description, plain, &rest))
    return FALSE;
  if (rest[1] == NULL)
    return TRUE;
  tandem_command_usage (_("the reviews are given with --data"));
  return FALSE;
}

/* What the command line says must be what was said before, or what is said by default. */
static gboolean
is_same_search (const TuneOptions *given, const TuneOptions *before, GError **error)
{
  g_auto (TuneOptions) defaults = { 0 };
  g_auto (GStrv) now = tune_options_list (given), then = tune_options_list (before), usual = NULL;
  guint i;

  tune_options_set_defaults (&defaults);
  usual = tune_options_list (&defaults);
  for (i = 0; now[i] != NULL; i++) {
    if (g_strv_contains ((const char *const *) then, now[i]) ||
        g_strv_contains ((const char *const *) usual, now[i]))
      continue;
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("a search that is resumed goes on as it began, without %s"), now[i]);
    return FALSE;
  }
  return TRUE;
}

guint64
tune_options_get_split_seed (const TuneOptions *self)
{
  return self->split_seed >= 0 ? self->split_seed : self->seed;
}

/* Reads what the search began with, and of the command line what may be another. */
static gboolean
parse_resumed (TuneOptions *self, char **args, GError **error)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) saved = tune_options_load (self->output, error), all = NULL;
  g_auto (TuneOptions) before = { 0 };
  TuneOptions given;

  if (saved == NULL)
    return FALSE;
  g_strv_builder_add (builder, args[0]);
  g_strv_builder_addv (builder, (const char **) saved);
  all = g_strv_builder_end (builder);
  tune_options_set_defaults (&before);
  if (!parse_once (&before, all) || !is_same_search (self, &before, error) ||
      !check (&before, error))
    return FALSE;
  given = *self;
  *self = before;
  before = given;
  self->resume = TRUE;
  self->workers = given.workers;
  self->timeout = given.timeout;
  return check (self, error);
}

gboolean
tune_options_parse (TuneOptions *self, char **args, int *status)
{
  g_autoptr (GError) error = NULL;

  tune_options_set_defaults (self);
  *status = TANDEM_EXIT_USAGE;
  if (!parse_once (self, args))
    return FALSE;
  tune_options_make_paths_absolute (self);
  if (self->resume && self->output != NULL ? parse_resumed (self, args, &error)
                                           : check (self, &error))
    return TRUE;
  if (error != NULL)
    *status = error->domain == G_OPTION_ERROR || error->domain == TANDEM_CLASSIFY_ERROR
      ? tandem_command_usage ("%s", error->message) : tandem_command_failed (error);
  return FALSE;
}
