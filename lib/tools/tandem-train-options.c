/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Options of tandem train: one table, from which come --help, the checks, and what is written
 * for --resume. */

#include "config.h"

#include "tandem-train-options.h"

#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>
#include <math.h>

#include "tandem-command.h"

typedef enum
{
  KIND_TEXT,
  KIND_PATH,
  KIND_PATHS,
  KIND_CHOICE,                  /* arg: the words, with bars between them */
  KIND_COUNT,                   /* a whole number */
  KIND_NUMBER,
  KIND_FLAG,
} Kind;

/* With --resume ... */
typedef enum
{
  RESUME_SAME,                  /* ... it stays as it was: another one would be another training */
  RESUME_FREE,                  /* ... it may be another one */
  RESUME_NOT,                   /* ... it is of this call alone */
} Resume;

typedef struct
{
  const char *name;
  char letter;
  Kind kind;
  Resume resume;
  gsize offset;
  const char *fallback;         /* NULL: none */
  double min, max;
  const char *help;
  const char *arg;
} Option;

#define AT(field) G_STRUCT_OFFSET (TrainOptions, field)

static const Option options[] = {
  { "data", 'd', KIND_PATHS, RESUME_FREE, AT (data), NULL, 0, 0,
    N_("Reviews: the folder aclImdb, CSV, TSV or JSON lines; may be given again"), N_("PATH") },
  { "output", 'o', KIND_PATH, RESUME_NOT, AT (output), NULL, 0, 0,
    N_("Folder for the model, made where it is not there"), N_("FOLDER") },
  { "resume", 'r', KIND_FLAG, RESUME_NOT, AT (resume), NULL, 0, 0,
    N_("Go on with the training in --output; other options are as they were"), NULL },
  { "force", 'f', KIND_FLAG, RESUME_NOT, AT (force), NULL, 0, 0,
    N_("Begin anew where --output holds a model or a training"), NULL },
  { "from", 'm', KIND_PATH, RESUME_SAME, AT (from), NULL, 0, 0,
    N_("Model to begin with: a Hugging Face folder; it gets a classifier where it has none"),
    N_("MODEL") },
  { "init", 0, KIND_CHOICE, RESUME_SAME, AT (init), "model", 0, 0,
    N_("Where weights come from: --from as it is, random numbers, or --from projected to the "
       "smaller --config"), "model|random|project" },
  { "config", 0, KIND_PATH, RESUME_SAME, AT (config), NULL, 0, 0,
    N_("config.json of the model to make"), N_("FILE") },
  { "vocab", 0, KIND_PATH, RESUME_SAME, AT (vocab), NULL, 0, 0,
    N_("vocab.txt, or the folder it is in, for random weights"), N_("PATH") },
  { "labels", 0, KIND_TEXT, RESUME_SAME, AT (labels), NULL, 0, 0,
    N_("Names of the two classes (default: those of the model, or negative,positive)"),
    N_("NAMES") },
  { "task", 't', KIND_CHOICE, RESUME_SAME, AT (task), "classify", 0, 0,
    N_("Learn from labels, or from what a teacher says too"), "classify|distill" },
  { "teacher", 0, KIND_PATH, RESUME_SAME, AT (teacher), NULL, 0, 0,
    N_("Model that is imitated, for --task distill"), N_("MODEL") },
  { "alpha", 0, KIND_NUMBER, RESUME_SAME, AT (alpha), "0.5", 0, 1,
    N_("Share of the labels in the loss of --task distill"), N_("SHARE") },
  { "temperature", 0, KIND_NUMBER, RESUME_SAME, AT (temperature), "2", 0.01, 1000,
    N_("Divides the logits of --task distill"), N_("NUMBER") },
  { "with-unlabelled", 0, KIND_FLAG, RESUME_SAME, AT (with_unlabelled), NULL, 0, 0,
    N_("Take the texts without labels of folders too, for --task distill"), NULL },
  { "exclude", 'x', KIND_PATH, RESUME_SAME, AT (exclude), NULL, 0, 0,
    N_("List of reviews to leave out, one a line, as train/pos/10643_8.txt or reviews.csv:17"),
    N_("FILE") },
  { "holdout", 0, KIND_NUMBER, RESUME_SAME, AT (holdout), "0.1", 0, 0.9,
    N_("Share of the reviews that is kept aside to measure accuracy; 0: none"), N_("SHARE") },
  { "epochs", 'e', KIND_COUNT, RESUME_SAME, AT (epochs), "3", 1, 100000,
    N_("How often each review is seen"), N_("N") },
  { "batch", 'b', KIND_COUNT, RESUME_SAME, AT (batch), "32", 1, 65536,
    N_("Reviews a step"), N_("N") },
  { "micro-batch", 0, KIND_COUNT, RESUME_SAME, AT (micro_batch), "8", 1, 65536,
    N_("Reviews that go through the stages together"), N_("N") },
  { "max-length", 'l', KIND_COUNT, RESUME_SAME, AT (max_length), "256", 2, 65536,
    N_("Tokens of a review that count; the others are cut off"), N_("N") },
  { "learning-rate", 0, KIND_NUMBER, RESUME_SAME, AT (learning_rate), "5e-5", 0, 10,
    N_("Highest learning rate"), N_("RATE") },
  { "warmup", 0, KIND_NUMBER, RESUME_SAME, AT (warmup), "0.1", 0, 1,
    N_("Share of the steps in which the rate rises"), N_("SHARE") },
  { "decay", 0, KIND_CHOICE, RESUME_SAME, AT (decay), "linear", 0, 0,
    N_("How the rate falls afterwards"), "linear|cosine" },
  { "weight-decay", 0, KIND_NUMBER, RESUME_SAME, AT (weight_decay), "0.01", 0, 1,
    N_("Decay of AdamW"), N_("RATE") },
  { "max-norm", 0, KIND_NUMBER, RESUME_SAME, AT (max_norm), "1", 0, 1e9,
    N_("Longer gradients are cut to this length; 0: never"), N_("NORM") },
  { "label-smoothing", 0, KIND_NUMBER, RESUME_SAME, AT (label_smoothing), "0", 0, 0.9,
    N_("How much of each label the other classes get"), N_("SHARE") },
  { "dropout", 0, KIND_NUMBER, RESUME_SAME, AT (dropout), "-1", -1, 0.9,
    N_("Share of the activations that is dropped; -1: as the model says"), N_("SHARE") },
  { "seed", 's', KIND_COUNT, RESUME_SAME, AT (seed), "1", 0, G_MAXUINT32,
    N_("All that is random depends on it"), N_("N") },
  { "stages", 0, KIND_TEXT, RESUME_SAME, AT (stages), "0-", 0, 0,
    N_("Layers of each stage: 0-0,1- trains on two threads"), N_("RANGES") },
  { "schedule", 0, KIND_CHOICE, RESUME_SAME, AT (schedule), "1f1b-flush", 0, 0,
    N_("Order of work of the stages; with 1f1b each micro-batch is a step"),
    "gpipe|1f1b-flush|1f1b" },
  { "patience", 'p', KIND_COUNT, RESUME_FREE, AT (patience), "0", 0, 100000,
    N_("Stop after so many measurements without a better accuracy; 0: never"), N_("N") },
  { "evaluate-every", 0, KIND_COUNT, RESUME_SAME, AT (evaluate_every), "0", 0, 1e9,
    N_("Steps between measurements of the accuracy; 0: an epoch"), N_("STEPS") },
  { "checkpoint-every", 'c', KIND_COUNT, RESUME_SAME, AT (checkpoint_every), "200", 0, 1e9,
    N_("Steps between checkpoints; 0: when accuracy is measured"), N_("STEPS") },
  { "metrics", 0, KIND_PATH, RESUME_FREE, AT (metrics), NULL, 0, 0,
    N_("Write each step and each measurement as a line of JSON"), N_("FILE") },
  { "split", 0, KIND_TEXT, RESUME_FREE, AT (split), NULL, 0, 0,
    N_("Write stage files of these layers too: 0-0,1-"), N_("RANGES") },
};

#define N_OPTIONS G_N_ELEMENTS (options)

static gboolean
is_text (const Option *option)
{
  return option->kind == KIND_TEXT || option->kind == KIND_PATH || option->kind == KIND_CHOICE;
}

void
train_options_clear (TrainOptions *self)
{
  guint i;

  for (i = 0; i < N_OPTIONS; i++) {
    gpointer field = G_STRUCT_MEMBER_P (self, options[i].offset);

    if (is_text (&options[i]))
      g_clear_pointer ((char **) field, g_free);
    else if (options[i].kind == KIND_PATHS)
      g_clear_pointer ((char ***) field, g_strfreev);
  }
}

static gboolean
wrong (const Option *option, const char *text, GError **error)
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
set (TrainOptions *self, const Option *option, const char *text, GError **error)
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
set_paths (const Option *option, char **paths, GError **error)
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

/* The field of an option as JSON; NULL: it was not given. */
static JsonNode *
to_json (const TrainOptions *self, const Option *option)
{
  gconstpointer field = G_STRUCT_MEMBER_P (self, option->offset);
  JsonNode *node = json_node_alloc ();
  JsonArray *array;
  char **paths;

  switch (option->kind) {
    case KIND_COUNT:
      return json_node_init_int (node, *(const guint64 *) field);
    case KIND_NUMBER:
      return json_node_init_double (node, *(const double *) field);
    case KIND_FLAG:
      return json_node_init_boolean (node, *(const gboolean *) field);
    case KIND_PATHS:
      array = json_array_new ();
      for (paths = *(char **const *) field; paths != NULL && *paths != NULL; paths++)
        json_array_add_string_element (array, *paths);
      json_node_init_array (node, array);
      json_array_unref (array);
      return node;
    default:
      if (*(char *const *) field != NULL)
        return json_node_init_string (node, *(char *const *) field);
      return json_node_init_null (node);
  }
}

static gboolean
from_json (TrainOptions *self, const Option *option, JsonNode *node)
{
  gpointer field = G_STRUCT_MEMBER_P (self, option->offset);
  GType type = json_node_get_value_type (node);
  g_autoptr (GStrvBuilder) paths = NULL;
  JsonArray *array;
  guint i;

  switch (option->kind) {
    case KIND_COUNT:
      *(guint64 *) field = json_node_get_int (node);
      return type == G_TYPE_INT64;
    case KIND_NUMBER:
      *(double *) field = json_node_get_double (node);
      return type == G_TYPE_DOUBLE || type == G_TYPE_INT64;
    case KIND_FLAG:
      *(gboolean *) field = json_node_get_boolean (node);
      return type == G_TYPE_BOOLEAN;
    case KIND_PATHS:
      if (!JSON_NODE_HOLDS_ARRAY (node))
        return FALSE;
      array = json_node_get_array (node);
      paths = g_strv_builder_new ();
      for (i = 0; i < json_array_get_length (array); i++) {
        const char *path = json_array_get_string_element (array, i);

        if (path == NULL)
          return FALSE;
        g_strv_builder_add (paths, path);
      }
      g_strfreev (*(char ***) field);
      *(char ***) field = g_strv_builder_end (paths);
      return TRUE;
    default:
      g_free (*(char **) field);
      *(char **) field = json_node_dup_string (node);
      return type == G_TYPE_STRING || JSON_NODE_HOLDS_NULL (node);
  }
}

gboolean
train_options_save (const TrainOptions *self, const char *path, GError **error)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autoptr (JsonNode) root = json_node_alloc ();
  g_autofree char *text = NULL;
  guint i;

  for (i = 0; i < N_OPTIONS; i++)
    if (options[i].resume != RESUME_NOT)
      json_object_set_member (object, options[i].name, to_json (self, &options[i]));
  json_node_init_object (root, object);
  text = json_to_string (root, TRUE);
  return g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT |
                                   G_FILE_SET_CONTENTS_DURABLE, 0666, error);
}

/* With --resume: what was not given is as it was, and what was given must agree. */
static gboolean
load (TrainOptions *self, const gboolean *given, GError **error)
{
  g_autofree char *path = g_build_filename (self->output, TRAIN_CHECKPOINT_FOLDER,
                                            TRAIN_OPTIONS_FILE, NULL);
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  JsonNode *root;
  guint i;

  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("%s holds no training to go on with"), self->output);
    return FALSE;
  }
  if (!json_parser_load_from_file (parser, path, error))
    return FALSE;
  root = json_parser_get_root (parser);
  for (i = 0; i < N_OPTIONS; i++) {
    const Option *option = &options[i];
    g_autoptr (JsonNode) now = NULL;
    JsonNode *then;

    if (option->resume == RESUME_NOT)
      continue;
    then = root != NULL && JSON_NODE_HOLDS_OBJECT (root)
      ? json_object_get_member (json_node_get_object (root), option->name) : NULL;
    now = to_json (self, option);
    if (then == NULL || (!given[i] && !from_json (self, option, then))) {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   _("%s does not say --%s as it should"), path, option->name);
      return FALSE;
    }
    if (given[i] && option->resume == RESUME_SAME && !json_node_equal (now, then)) {
      g_autofree char *before = json_to_string (then, FALSE);

      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   _("the training began with --%s=%s; leave the option out to go on, or begin "
                     "anew with --force"), option->name, before);
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
    text = _("--teacher and --with-unlabelled go with --task distill");
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
  gboolean given[N_OPTIONS] = { FALSE };
  guint i;

  for (i = 0; i < N_OPTIONS; i++) {
    const Option *option = &options[i];
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
  return (!self->resume || load (self, given, error)) && check (self, error);
}

gboolean
train_options_parse (TrainOptions *self, char **args, int *status)
{
  GOptionEntry entries[N_OPTIONS + 1] = { 0 };
  char *texts[N_OPTIONS] = { NULL }, *help[N_OPTIONS] = { NULL };
  g_auto (GStrv) rest = g_strdupv (args);
  g_autoptr (GError) error = NULL;
  gboolean ok;
  guint i;

  for (i = 0; i < N_OPTIONS; i++) {
    const Option *option = &options[i];
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
  for (i = 0; i < N_OPTIONS; i++) {
    g_free (texts[i]);
    g_free (help[i]);
  }
  return ok;
}

guint
train_options_get_step_size (const TrainOptions *self)
{
  return g_str_equal (self->schedule, "1f1b") ? self->micro_batch : self->batch;
}
