/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem slim: makes of a model what two small devices run: fine-tunes, prunes, quantizes and
 * splits it, each as the command of that name does. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem-slim.h"
#include "tandem-table.h"

#define EXIT_INTERRUPTED 130

#define DEFAULT_SPARSITY 0.5
#define DEFAULT_MAX_LOSS 0.2

/* Returns what is wrong, or NULL. */
static const char *
check (const SlimOptions *self)
{
  static const char *const methods[] = { "magnitude", "heads", "neurons", "layers",
                                         "heads,neurons", NULL };
  static const char *const tensors[] = { "linear", "embeddings", "all", NULL };
  static const char *const weights[] = { "int8", "bf16", "f16", "none", NULL };
  gboolean learns = self->fine_tune > 0 || self->tune > 0 || self->epochs > 0;

  if (!(self->sparsity >= 0 && self->sparsity < 1))
    return _("--sparsity goes from 0 to below 1");
  if (!(self->gradual >= 0 && self->gradual <= 1))
    return _("--gradual goes from 0 to 1");
  if (!(self->max_loss >= 0 && self->max_loss <= 100))
    return _("--max-loss goes from 0 to 100");
  if (self->fine_tune < 0 || self->tune < 0 || self->epochs < 0)
    return _("--fine-tune, --tune and --epochs are not negative");
  if (self->fine_tune > 0 && self->tune > 0)
    return _("--tune searches for the best fine-tuning; it takes the place of --fine-tune");
  if (learns && self->data == NULL)
    return _("--fine-tune, --tune and --epochs need --data: the reviews to learn from");
  if (!learns && self->data != NULL)
    return _("--data goes with --fine-tune, --tune or --epochs");
  if (self->training != NULL && self->fine_tune == 0 && self->epochs == 0)
    return _("what stands behind -- is for the training: it goes with --fine-tune or --epochs");
  if (self->epochs > 0 && self->sparsity == 0)
    return _("--epochs is for the recovery of what --sparsity takes away");
  if (!g_strv_contains (methods, self->method))
    return _("--method is magnitude, heads, neurons, layers, or heads,neurons");
  if (self->tensors != NULL && !g_strv_contains (tensors, self->tensors))
    return _("--tensors is linear, embeddings or all");
  if (self->tensors != NULL && !g_str_equal (self->method, "magnitude"))
    return _("--tensors goes with --method magnitude");
  if (self->gradual > 0 && (!g_str_equal (self->method, "magnitude") || self->epochs == 0))
    return _("--gradual goes with --method magnitude and --epochs");
  if (!g_strv_contains (weights, self->weights))
    return _("--weights is int8, bf16, f16 or none");
  return NULL;
}

/* Whether all files are there, before anything takes hours. */
static gboolean
check_files (const SlimOptions *self, GCancellable *cancellable, GError **error)
{
  char **const lists[] = { self->data, self->validation, self->test };
  g_autoptr (TandemModel) model = tandem_model_open (self->model, cancellable, error);
  g_auto (GStrv) parts = NULL;
  guint i, k;

  if (model == NULL)
    return FALSE;
  if (tandem_model_is_stage (model)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 _("%s is a stage file; the whole model is needed"), self->model);
    return FALSE;
  }
  /* Learning and pruning make floats of it. */
  if (tandem_model_get_quantization (model) != TANDEM_QUANTIZATION_NONE &&
      self->fine_tune == 0 && self->tune == 0 && self->sparsity == 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 _("%s is quantized already; begin with the model that it was made of"),
                 self->model);
    return FALSE;
  }
  for (i = 0; i < G_N_ELEMENTS (lists); i++) {
    for (k = 0; lists[i] != NULL && lists[i][k] != NULL; k++) {
      if (g_file_test (lists[i][k], G_FILE_TEST_EXISTS))
        continue;
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, _("there is no %s"), lists[i][k]);
      return FALSE;
    }
  }
  if (self->split == NULL || g_str_equal (self->method, "layers"))
    return TRUE;
  parts = g_strsplit (self->split, ",", -1);
  for (i = 0; parts[i] != NULL; i++) {
    guint first, last;

    if (!tandem_model_parse_layers (parts[i], tandem_model_get_config (model)->n_layers, &first,
                                    &last, error))
      return FALSE;
  }
  return TRUE;
}

static char *
format_number (double value, const char *format)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  return g_strdup (g_ascii_formatd (text, sizeof text, format, value));
}

static void
print_table (const SlimState *state)
{
  g_autoptr (TandemTable) table = tandem_table_new (4, 1);
  guint i;

  tandem_table_add (table, "", _("accuracy"), _("bytes"), _("ms"));
  for (i = 0; i < state->steps->len; i++) {
    const SlimStep *step = g_ptr_array_index (state->steps, i);
    g_autofree char *accuracy = step->accuracy < 0 ? g_strdup ("-")
                                                   : format_number (step->accuracy, "%.2f");
    g_autofree char *bytes = g_strdup_printf ("%" G_GUINT64_FORMAT, step->bytes);
    g_autofree char *milliseconds = format_number (step->milliseconds, "%.3f");

    tandem_table_add (table, _(step->name), accuracy, bytes, milliseconds);
  }
  tandem_table_print (table);
  for (i = 0; i < state->stages->len; i++) {
    g_autofree char *path = tandem_command_printable (g_ptr_array_index (state->stages, i));

    g_print ("%s\n", path);
  }
}

/* Takes what stands behind "--" out of the arguments. */
static char **
split_arguments (char **args, SlimOptions *options)
{
  char **first = g_strdupv (args);
  guint n;

  for (n = 0; first[n] != NULL && !g_str_equal (first[n], "--"); n++)
    ;
  if (first[n] != NULL) {
    options->training = g_strdupv (first + n + 1);
    g_strfreev (g_steal_pointer (&first));
    first = g_new0 (char *, n + 1);
    while (n-- > 0)
      first[n] = g_strdup (args[n]);
  }
  return first;
}

static void
make_absolute (char **path)
{
  char *absolute = g_canonicalize_filename (*path, NULL);

  g_free (*path);
  *path = absolute;
}

static void
make_all_absolute (char **paths)
{
  for (; paths != NULL && *paths != NULL; paths++)
    make_absolute (paths);
}

/* A new sequence, or the one in @output. */
static SlimState *
open_state (SlimOptions *options, gboolean resume, gboolean force, GCancellable *cancellable,
            GError **error)
{
  g_autoptr (SlimState) state = NULL;

  make_absolute (&options->output);
  if (resume)
    return slim_state_load (options->output, error);
  if (!force && slim_state_exists (options->output)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                 _("%s holds a sequence already; --resume goes on with it, --force begins anew"),
                 options->output);
    return NULL;
  }
  if (!check_files (options, cancellable, error))
    return NULL;
  if (slim_state_exists (options->output))
    slim_remove_steps (options->output);
  make_absolute (&options->model);
  make_all_absolute (options->data);
  make_all_absolute (options->validation);
  make_all_absolute (options->test);
  state = slim_state_new ();
  state->options = *options;
  memset (options, 0, sizeof *options);
  return slim_state_save (state, error) ? g_steal_pointer (&state) : NULL;
}

static int
run (char **args)
{
  g_auto (SlimOptions) options = { .sparsity = DEFAULT_SPARSITY, .max_loss = DEFAULT_MAX_LOSS };
  gboolean force = FALSE, resume = FALSE, as_json = FALSE;
  const GOptionEntry entries[] = {
    { "output", 'o', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.output,
      N_("Folder for the models of all steps and for the stage files"), N_("FOLDER") },
    { "data", 'd', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME_ARRAY, &options.data,
      N_("Labelled reviews to learn from; may be given again"), N_("PATH") },
    { "validation", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME_ARRAY, &options.validation,
      N_("Labelled reviews that nothing learns from; int8 may lose --max-loss on them"),
      N_("PATH") },
    { "test", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME_ARRAY, &options.test,
      N_("Labelled reviews for the table alone (default: those of --validation)"), N_("PATH") },
    { "fine-tune", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.fine_tune,
      N_("Train MODEL first, for so many epochs [0]"), N_("N") },
    { "tune", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.tune,
      N_("Search for the best training first, with so many evaluations [0]"), N_("N") },
    { "method", 'm', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.method,
      N_("What is pruned [magnitude]"), "magnitude|heads|neurons|layers|heads,neurons" },
    { "sparsity", 's', G_OPTION_FLAG_NONE, G_OPTION_ARG_DOUBLE, &options.sparsity,
      N_("Share that is pruned; 0: nothing [0.5]"), N_("SHARE") },
    { "tensors", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.tensors,
      N_("Which weights --method magnitude is of"), "linear|embeddings|all" },
    { "epochs", 'e', G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.epochs,
      N_("Learn again for so long after pruning [0]"), N_("N") },
    { "gradual", 'g', G_OPTION_FLAG_NONE, G_OPTION_ARG_DOUBLE, &options.gradual,
      N_("Let the sparsity rise during this share of the recovery, and not at once"),
      N_("SHARE") },
    { "weights", 'w', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.weights,
      N_("What weights are quantized to [int8]"), "int8|bf16|f16|none" },
    { "max-loss", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_DOUBLE, &options.max_loss,
      N_("Points of accuracy that quantizing may lose on --validation [0.2]"), N_("POINTS") },
    { "split", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.split,
      N_("Layers of each stage file (default: two halves)"), N_("RANGES") },
    { "force", 'f', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &force,
      N_("Begin anew where --output holds a sequence"), NULL },
    { "resume", 'r', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &resume,
      N_("Go on with the sequence in --output; other options are as they were"), NULL },
    { "json", 'j', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &as_json,
      N_("Print JSON, for programs"), NULL },
    { NULL },
  };
  g_auto (GStrv) rest = split_arguments (args, &options);
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (SlimState) state = NULL;
  g_autofree char *output = NULL;
  g_autofree char *json = NULL;
  g_autoptr (GError) error = NULL;
  const char *wrong;

  if (!tandem_command_parse (&tandem_command_slim, N_("[MODEL] [-- OPTION OF TRAIN...]"),
                             N_("MODEL is a Hugging Face folder. It is fine-tuned, pruned, "
                                "quantized and split, as far as\nthe options say, and measured "
                                "after each step. Interrupted or killed, it goes on with\n--resume."),
                             entries, &rest))
    return TANDEM_EXIT_USAGE;
  if (options.output == NULL)
    return tandem_command_usage (_("--output is needed: the folder for what is made"));
  if (resume ? rest[1] != NULL : rest[1] == NULL || rest[2] != NULL)
    return tandem_command_usage ("%s", resume ? _("--resume takes no MODEL: it goes on with the "
                                                  "sequence in --output")
                                              : _("one MODEL is needed"));
  options.model = g_strdup (rest[1]);
  if (options.method == NULL)
    options.method = g_strdup ("magnitude");
  if (options.weights == NULL)
    options.weights = g_strdup ("int8");
  wrong = resume ? NULL : check (&options);
  if (wrong != NULL)
    return tandem_command_usage ("%s", wrong);

  cancellable = tandem_command_catch_signals ();
  output = g_filename_display_name (options.output);
  state = open_state (&options, resume, force, cancellable, &error);
  if (state == NULL || !slim_run (state, as_json, cancellable, &error)) {
    if (!g_cancellable_is_cancelled (cancellable))
      return tandem_command_failed (error);
    tandem_command_warn (_("interrupted; \"tandem slim --resume --output %s\" goes on"), output);
    return EXIT_INTERRUPTED;
  }
  if (as_json) {
    json = slim_state_to_json (state);
    g_print ("%s\n", json);
  } else {
    print_table (state);
  }
  return TANDEM_EXIT_OK;
}

const TandemCommand tandem_command_slim = {
  .name = "slim",
  .summary = N_("Fine-tune, prune, quantize and split a model"),
  .run = run,
};
