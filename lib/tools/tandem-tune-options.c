/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The options of tandem tune: one table for the command line, for the file that a search is resumed
 * from, and for workers. */

#include "config.h"

#include "tandem-tune-options.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem.h"

#define OPTIONS_FILE "options.json"
#define MAX_ENTRIES 40

/* An entry, and what is to be done with its value when the search is resumed. */
typedef struct
{
  GOptionEntry entry;
  gboolean is_path;
  gboolean may_change;          /* the one that is resumed may have another */
} Entry;

/* Fills entries, which a NULL ends; returns how many there are. */
static guint
list_entries (TuneOptions *self, Entry *entries)
{
  const Entry all[] = {
    { { "model", 'm', 0, G_OPTION_ARG_STRING, &self->model,
        N_("What is tuned"), "ann|cnn|svm|bert" } },
    { { "algorithm", 'a', 0, G_OPTION_ARG_STRING, &self->algorithm,
        N_("How candidates are found [pso]"), N_("NAME") } },
    { { "output", 'o', 0, G_OPTION_ARG_FILENAME, &self->output,
        N_("Folder for the best model, each evaluation and the pictures"), N_("FOLDER") }, TRUE },
    { { "resume", 'r', 0, G_OPTION_ARG_NONE, &self->resume,
        N_("Go on with the search in --output"), NULL }, FALSE, TRUE },
    { { "data", 'd', 0, G_OPTION_ARG_FILENAME_ARRAY, &self->data,
        N_("Labelled reviews: the folder aclImdb, CSV, TSV or JSON lines; may be given again"),
        N_("PATH") }, TRUE },
    { { "exclude", 'x', 0, G_OPTION_ARG_FILENAME, &self->exclude,
        N_("List of reviews to leave out, one a line, as train/pos/10643_8.txt or reviews.csv:17"),
        N_("FILE") }, TRUE },
    { { "holdout", 0, 0, G_OPTION_ARG_DOUBLE, &self->holdout,
        N_("Share of the reviews that candidates are measured on [0.1]"), N_("SHARE") } },
    { { "table", 't', 0, G_OPTION_ARG_FILENAME, &self->table,
        N_("Table of numbers instead of reviews: ARFF or CSV"), N_("FILE") }, TRUE },
    { { "class", 0, 0, G_OPTION_ARG_STRING, &self->class_column,
        N_("Column of the class [the last]"), N_("COLUMN") } },
    { { "ignore", 0, 0, G_OPTION_ARG_STRING_ARRAY, &self->ignored,
        N_("Column to leave out; may be given again"), N_("COLUMN") } },
    { { "folds", 'k', 0, G_OPTION_ARG_INT, &self->folds,
        N_("Parts of a table, each judged by what learned from the others [10]"), N_("N") } },
    { { "select-columns", 0, 0, G_OPTION_ARG_NONE, &self->select_columns,
        N_("Search which columns of a table are used, too"), NULL } },
    { { "from", 'f', 0, G_OPTION_ARG_FILENAME, &self->from,
        N_("Folder of the transformer that training begins at"), N_("FOLDER") }, TRUE },
    { { "space", 's', 0, G_OPTION_ARG_STRING, &self->space,
        N_("What is searched, in a file or as text: \"cost=log(0.01,100); ngrams=integer(1,3)\""),
        N_("SPACE") } },
    { { "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &self->set,
        N_("Option of all candidates, as epochs=3; may be given again"), N_("NAME=VALUE") } },
    { { "weights", 'w', 0, G_OPTION_ARG_NONE, &self->weights,
        N_("Search the weights of a network themselves, for the least loss"), NULL } },
    { { "bound", 0, 0, G_OPTION_ARG_DOUBLE, &self->bound,
        N_("Weights are searched from the negative of it to it [5]"), N_("NUMBER") } },
    { { "objective", 'O', 0, G_OPTION_ARG_STRING, &self->objective,
        N_("What is to be best: accuracy, mse, mse-cross-entropy, bytes, multiply-adds, "
           "milliseconds, or two of them [accuracy]"), N_("MEASURE[,MEASURE]") } },
    { { "evaluations", 'n', 0, G_OPTION_ARG_INT64, &self->evaluations,
        N_("Candidates to evaluate [100]"), N_("N") } },
    { { "time", 0, 0, G_OPTION_ARG_DOUBLE, &self->time,
        N_("Stop after so many seconds; 0: never [0]"), N_("SECONDS") } },
    { { "target", 0, 0, G_OPTION_ARG_STRING, &self->target,
        N_("Stop when the first measure is as good"), N_("NUMBER") } },
    { { "population", 'p', 0, G_OPTION_ARG_INT, &self->population,
        N_("Candidates of a generation or swarm; 0: as the algorithm has it [0]"), N_("N") } },
    { { "rungs", 0, 0, G_OPTION_ARG_INT, &self->rungs,
        N_("Learn from parts of the reviews first, and stop poor candidates: so many parts [1]"),
        N_("N") } },
    { { "workers", 'j', 0, G_OPTION_ARG_INT, &self->workers,
        N_("Processes that evaluate [1]"), N_("N") }, FALSE, TRUE },
    { { "timeout", 0, 0, G_OPTION_ARG_DOUBLE, &self->timeout,
        N_("Give up a candidate after so many seconds; 0: never [0]"), N_("SECONDS") },
      FALSE, TRUE },
    { { "seed", 0, 0, G_OPTION_ARG_INT64, &self->seed,
        N_("All that is random depends on it [1]"), N_("N") } },
    { { "test", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->test,
        N_("Reviews to report the best model's accuracy on, once, at the end"), N_("PATH") },
      TRUE },
    { { "split", 0, 0, G_OPTION_ARG_STRING, &self->split,
        N_("Write stage files of these layers of a transformer too: 0-0,1-"), N_("RANGES") } },
    { { "baseline", 0, 0, G_OPTION_ARG_NONE, &self->baseline,
        N_("Search at random as well, with as many evaluations, and compare"), NULL } },
    { { "worker", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &self->is_worker, NULL, NULL }, FALSE,
      TRUE },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (all); i++)
    entries[i] = all[i];
  entries[i] = (Entry) { { NULL } };
  return i;
}

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

static void
set_defaults (TuneOptions *self)
{
  *self = (TuneOptions) { .holdout = 0.1, .folds = 10, .bound = 5.0, .evaluations = 100, .rungs = 1,
                          .workers = 1, .seed = 1 };
}

static void
make_absolute (char **path)
{
  char *whole = *path != NULL ? g_canonicalize_filename (*path, NULL) : NULL;

  g_free (*path);
  *path = whole;
}

static void
make_paths_absolute (TuneOptions *self)
{
  Entry entries[MAX_ENTRIES];
  guint n = list_entries (self, entries), i, k;

  for (i = 0; i < n; i++) {
    if (!entries[i].is_path)
      continue;
    if (entries[i].entry.arg == G_OPTION_ARG_FILENAME) {
      make_absolute (entries[i].entry.arg_data);
    } else {
      char **paths = *(char ***) entries[i].entry.arg_data;

      for (k = 0; paths != NULL && paths[k] != NULL; k++)
        make_absolute (&paths[k]);
    }
  }
  /* A space may be a file. */
  if (self->space != NULL && g_file_test (self->space, G_FILE_TEST_EXISTS))
    make_absolute (&self->space);
}

static void
add_option (GPtrArray *args, const char *name, const char *value)
{
  g_ptr_array_add (args, g_strdup_printf ("--%s=%s", name, value));
}

static void
add_entry (GPtrArray *args, const GOptionEntry *entry)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];
  char **texts;

  switch (entry->arg) {
    case G_OPTION_ARG_NONE:
      if (*(gboolean *) entry->arg_data)
        g_ptr_array_add (args, g_strdup_printf ("--%s", entry->long_name));
      break;
    case G_OPTION_ARG_INT:
      g_snprintf (buffer, sizeof buffer, "%d", *(int *) entry->arg_data);
      add_option (args, entry->long_name, buffer);
      break;
    case G_OPTION_ARG_INT64:
      g_snprintf (buffer, sizeof buffer, "%" G_GINT64_FORMAT, *(gint64 *) entry->arg_data);
      add_option (args, entry->long_name, buffer);
      break;
    case G_OPTION_ARG_DOUBLE:
      g_ascii_dtostr (buffer, sizeof buffer, *(double *) entry->arg_data);
      add_option (args, entry->long_name, buffer);
      break;
    case G_OPTION_ARG_STRING:
    case G_OPTION_ARG_FILENAME:
      if (*(char **) entry->arg_data != NULL)
        add_option (args, entry->long_name, *(char **) entry->arg_data);
      break;
    default:
      for (texts = *(char ***) entry->arg_data; texts != NULL && *texts != NULL; texts++)
        add_option (args, entry->long_name, *texts);
      break;
  }
}

static char **
list_options (const TuneOptions *self)
{
  GPtrArray *args = g_ptr_array_new ();
  Entry entries[MAX_ENTRIES];
  guint n = list_entries ((TuneOptions *) self, entries), i;

  g_ptr_array_add (args, g_strdup ("tune"));
  for (i = 0; i < n; i++)
    if (!entries[i].may_change)
      add_entry (args, &entries[i].entry);
  g_ptr_array_add (args, NULL);
  return (char **) g_ptr_array_free (args, FALSE);
}

char **
tune_options_list_for_worker (const TuneOptions *self)
{
  g_auto (GStrv) args = list_options (self);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  g_strv_builder_addv (builder, (const char **) args);
  g_strv_builder_add (builder, "--worker");
  return g_strv_builder_end (builder);
}

gboolean
tune_options_save (const TuneOptions *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->output, OPTIONS_FILE, NULL);
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_auto (GStrv) args = list_options (self);
  g_autofree char *text = NULL;
  guint i;

  json_builder_begin_array (builder);
  for (i = 1; args[i] != NULL; i++)
    json_builder_add_string_value (builder, args[i]);
  json_builder_end_array (builder);
  root = json_builder_get_root (builder);
  text = json_to_string (root, TRUE);
  return g_file_set_contents (path, text, -1, error);
}

/* The arguments that a search began with, without "tune". */
static char **
load_arguments (const char *output, GError **error)
{
  g_autofree char *path = g_build_filename (output, OPTIONS_FILE, NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GStrvBuilder) args = g_strv_builder_new ();
  JsonNode *root;
  JsonArray *array;
  guint i;

  if (!json_parser_load_from_file (parser, path, error))
    return NULL;
  root = json_parser_get_root (parser);
  array = root != NULL && JSON_NODE_HOLDS_ARRAY (root) ? json_node_get_array (root) : NULL;
  for (i = 0; array != NULL && i < json_array_get_length (array); i++) {
    JsonNode *item = json_array_get_element (array, i);

    if (json_node_get_value_type (item) != G_TYPE_STRING)
      break;
    g_strv_builder_add (args, json_node_get_string (item));
  }
  if (array != NULL && i == json_array_get_length (array))
    return g_strv_builder_end (args);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, _("%s holds no options of a search"),
               path);
  return NULL;
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
  if (self->split != NULL && !g_str_equal (self->model, "bert"))
    return _("--split is for --model bert");
  if (self->weights && !g_str_equal (self->model, "ann") && !g_str_equal (self->model, "cnn"))
    return _("--weights is for --model ann or cnn");
  if (self->weights && self->resume)
    return _("--weights keeps no state to --resume from");
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
  if (self->workers < 1 || self->workers > 1024)
    return _("--workers goes from 1 to 1024");
  if (self->seed < 0)
    return _("--seed begins at 0");
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
  Entry entries[MAX_ENTRIES];
  GOptionEntry plain[MAX_ENTRIES];
  guint n = list_entries (self, entries), i;
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
  g_auto (GStrv) now = list_options (given), then = list_options (before), usual = NULL;
  guint i;

  set_defaults (&defaults);
  usual = list_options (&defaults);
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

/* Reads what the search began with, and of the command line what may be another. */
static gboolean
parse_resumed (TuneOptions *self, char **args, GError **error)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) saved = load_arguments (self->output, error), all = NULL;
  g_auto (TuneOptions) before = { 0 };
  TuneOptions given;

  if (saved == NULL)
    return FALSE;
  g_strv_builder_add (builder, args[0]);
  g_strv_builder_addv (builder, (const char **) saved);
  all = g_strv_builder_end (builder);
  set_defaults (&before);
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

  set_defaults (self);
  *status = TANDEM_EXIT_USAGE;
  if (!parse_once (self, args))
    return FALSE;
  make_paths_absolute (self);
  if (self->resume && self->output != NULL ? parse_resumed (self, args, &error)
                                           : check (self, &error))
    return TRUE;
  if (error != NULL)
    *status = error->domain == G_OPTION_ERROR || error->domain == TANDEM_CLASSIFY_ERROR
      ? tandem_command_usage ("%s", error->message) : tandem_command_failed (error);
  return FALSE;
}
