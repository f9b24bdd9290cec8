/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The options of tandem tune: one table for the command line, for the file that a search is resumed
 * from, and for workers. */

#include "config.h"

#include "tandem-tune-options-private.h"

#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>

#define OPTIONS_FILE "options.json"

guint
tune_options_list_entries (TuneOptions *self, TuneOption *entries)
{
  const TuneOption all[] = {
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
    { { "window", 0, 0, G_OPTION_ARG_INT, &self->window,
        N_("Candidates that are evaluated at once, at the most; the search depends on it [8]"),
        N_("N") } },
    { { "workers", 'j', 0, G_OPTION_ARG_INT, &self->workers,
        N_("Processes that evaluate [1]"), N_("N") }, FALSE, TRUE },
    { { "timeout", 0, 0, G_OPTION_ARG_DOUBLE, &self->timeout,
        N_("Give up a candidate after so many seconds; 0: never [0]"), N_("SECONDS") },
      FALSE, TRUE },
    { { "seed", 0, 0, G_OPTION_ARG_INT64, &self->seed,
        N_("All that is random depends on it [1]"), N_("N") } },
    { { "split-seed", 0, 0, G_OPTION_ARG_INT64, &self->split_seed,
        N_("Which reviews are held out, and the folds of a table, depend on it; -1: on --seed [-1]"),
        N_("N") } },
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
  entries[i] = (TuneOption) { { NULL } };
  return i;
}

void
tune_options_set_defaults (TuneOptions *self)
{
  *self = (TuneOptions) { .holdout = 0.1, .folds = 10, .bound = 5.0, .evaluations = 100, .rungs = 1,
                          .window = 8, .workers = 1, .seed = 1, .split_seed = -1 };
}

static void
make_absolute (char **path)
{
  char *whole = *path != NULL ? g_canonicalize_filename (*path, NULL) : NULL;

  g_free (*path);
  *path = whole;
}

void
tune_options_make_paths_absolute (TuneOptions *self)
{
  TuneOption entries[TUNE_MAX_OPTIONS];
  guint n = tune_options_list_entries (self, entries), i, k;

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

char **
tune_options_list (const TuneOptions *self)
{
  GPtrArray *args = g_ptr_array_new ();
  TuneOption entries[TUNE_MAX_OPTIONS];
  guint n = tune_options_list_entries ((TuneOptions *) self, entries), i;

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
  g_auto (GStrv) args = tune_options_list (self);
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
  g_auto (GStrv) args = tune_options_list (self);
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

char **
tune_options_load (const char *output, GError **error)
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
