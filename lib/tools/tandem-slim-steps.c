/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The steps of tandem slim. Each is another command of this program, in a process of its own, since
 * each catches signals in its own way. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <signal.h>
#include <unistd.h>

#include "tandem-prune-model.h"
#include "tandem-quantize-data.h"
#include "tandem-slim.h"
#include "tandem-train-state.h"

static void
add (GPtrArray *args, const char *name, const char *value)
{
  g_ptr_array_add (args, g_strdup (name));
  if (value != NULL)
    g_ptr_array_add (args, g_strdup (value));
}

static void
add_all (GPtrArray *args, const char *name, char **values)
{
  for (; values != NULL && *values != NULL; values++)
    add (args, name, *values);
}

static void
add_integer (GPtrArray *args, const char *name, int value)
{
  g_autofree char *text = g_strdup_printf ("%d", value);

  add (args, name, text);
}

static void
add_number (GPtrArray *args, const char *name, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  add (args, name, g_ascii_dtostr (text, sizeof text, value));
}

static GPtrArray *
begin (const char *command)
{
  GPtrArray *args = g_ptr_array_new_with_free_func (g_free);

  add (args, "/proc/self/exe", command);
  return args;
}

static char *
get_folder (const SlimState *self, const char *name)
{
  return g_build_filename (self->options.output, name, NULL);
}

/* Ctrl-C on a terminal reaches this process alone, which passes it on once: a second one would end
 * a training before it has saved. */
static void
set_up_child (gpointer data)
{
  sigset_t signals;

  setpgid (0, 0);
  sigemptyset (&signals);
  sigprocmask (SIG_SETMASK, &signals, NULL);
}

/* Takes @args. */
static gboolean
run_command (GPtrArray *args, gboolean quiet, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) owned = args;
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (
      quiet ? G_SUBPROCESS_FLAGS_STDOUT_SILENCE : G_SUBPROCESS_FLAGS_NONE);
  g_autoptr (GSubprocess) process = NULL;

  g_ptr_array_add (args, NULL);
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  g_subprocess_launcher_set_child_setup (launcher, set_up_child, NULL, NULL);
  process = g_subprocess_launcher_spawnv (launcher, (const char *const *) args->pdata, error);
  if (process == NULL)
    return FALSE;
  if (!g_subprocess_wait (process, cancellable, error)) {
    g_subprocess_send_signal (process, SIGINT);
    g_subprocess_wait (process, NULL, NULL);
    return FALSE;
  }
  if (g_subprocess_get_successful (process))
    return TRUE;
  /* It has said why. */
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, _("\"tandem %s\" failed"),
               (const char *) g_ptr_array_index (args, 1));
  return FALSE;
}

/* Whether a training in @folder can be gone on with. */
static gboolean
is_begun (const char *folder, const char *part, const char *file)
{
  g_autofree char *path = g_build_filename (folder, part, file, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static GPtrArray *
make_train (const SlimState *self, const char *from, const char *folder)
{
  const SlimOptions *options = &self->options;
  GPtrArray *args = begin ("train");
  char **word;

  add (args, "--output", folder);
  if (is_begun (folder, "checkpoint", "options.json")) {
    add (args, "--resume", NULL);
    return args;
  }
  add (args, "--force", NULL);
  add (args, "--from", from);
  add_all (args, "--data", options->data);
  add_integer (args, "--epochs", options->fine_tune);
  for (word = options->training; word != NULL && *word != NULL; word++)
    add (args, *word, NULL);
  return args;
}

static GPtrArray *
make_tune (const SlimState *self, const char *from, const char *folder)
{
  GPtrArray *args = begin ("tune");

  add (args, "--output", folder);
  if (is_begun (folder, "search.json", NULL)) {
    add (args, "--resume", NULL);
    return args;
  }
  add (args, "--model", "bert");
  add (args, "--from", from);
  add_all (args, "--data", self->options.data);
  add_integer (args, "--evaluations", self->options.tune);
  return args;
}

static GPtrArray *
make_prune (const SlimState *self, const char *from, const char *folder)
{
  const SlimOptions *options = &self->options;
  GPtrArray *args = begin ("prune");
  char **word;

  add (args, "--output", folder);
  if (is_begun (folder, "checkpoint", "options.json")) {
    add (args, "--resume", NULL);
    return args;
  }
  add (args, "--force", NULL);
  add (args, "--method", options->method);
  add_number (args, "--sparsity", options->sparsity);
  if (options->tensors != NULL)
    add (args, "--tensors", options->tensors);
  if (options->epochs > 0) {
    add_all (args, "--data", options->data);
    add_integer (args, "--epochs", options->epochs);
  }
  if (options->gradual > 0)
    add_number (args, "--gradual", options->gradual);
  add (args, from, NULL);
  if (options->epochs > 0 && options->training != NULL)
    add (args, "--", NULL);
  for (word = options->training; options->epochs > 0 && word != NULL && *word != NULL; word++)
    add (args, *word, NULL);
  return args;
}

static GPtrArray *
make_quantize (const SlimState *self, const char *from, const char *folder)
{
  const SlimOptions *options = &self->options;
  GPtrArray *args = begin ("quantize");

  add (args, "--output", folder);
  add (args, "--force", NULL);
  add (args, "--weights", options->weights);
  if (options->validation != NULL) {
    add_all (args, "--data", options->validation);
    add_number (args, "--max-loss", options->max_loss);
  }
  add (args, from, NULL);
  return args;
}

static const SlimStep *
find_step (const SlimState *self, const char *name)
{
  guint i;

  for (i = 0; i < self->steps->len; i++) {
    const SlimStep *step = g_ptr_array_index (self->steps, i);

    if (g_str_equal (step->name, name))
      return step;
  }
  return NULL;
}

static gboolean
measure (const SlimState *self, SlimStep *step, GCancellable *cancellable, GError **error)
{
  char **data = self->options.test != NULL ? self->options.test : self->options.validation;
  g_autoptr (TandemModel) model = tandem_model_open (step->path, cancellable, error);
  g_autofree char *weights = g_build_filename (step->path, "model.safetensors", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (weights);
  g_autoptr (GFileInfo) info = NULL;
  g_autoptr (QuantizeData) reviews = NULL;
  QuantizeResult result;

  if (model == NULL)
    return FALSE;
  /* A model in shards has no such file, and one that is to be fine-tuned nothing to measure. */
  info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE, G_FILE_QUERY_INFO_NONE,
                            cancellable, NULL);
  step->bytes = info != NULL ? (guint64) g_file_info_get_size (info) : 0;
  step->accuracy = -1;
  if (!tandem_model_has_classifier (model))
    return TRUE;
  if (!prune_measure (model, &step->milliseconds, cancellable, error))
    return FALSE;
  if (data == NULL)
    return TRUE;
  reviews = quantize_data_read (data, model, &result, cancellable, error);
  if (reviews == NULL)
    return FALSE;
  step->accuracy = 100.0 * result.n_correct / result.n;
  return TRUE;
}

/* Notes that a model is there. inner: where in @folder it is, or NULL for all of it. */
static gboolean
finish_step (SlimState *self, const char *name, const char *folder, const char *inner,
             GCancellable *cancellable, GError **error)
{
  g_autoptr (SlimStep) step = g_new0 (SlimStep, 1);

  step->name = g_strdup (name);
  step->path = g_build_filename (folder, inner, NULL);
  if (!measure (self, step, cancellable, error))
    return FALSE;
  g_ptr_array_add (self->steps, g_steal_pointer (&step));
  return slim_state_save (self, error);
}

static gboolean
do_step (SlimState *self, const char *name, const char *inner,
         GPtrArray *(*make) (const SlimState *self, const char *from, const char *folder),
         gboolean quiet, GCancellable *cancellable, GError **error)
{
  const SlimStep *last = g_ptr_array_index (self->steps, self->steps->len - 1);
  g_autofree char *folder = get_folder (self, name);

  if (find_step (self, name) != NULL)
    return TRUE;
  return run_command (make (self, last->path, folder), quiet, cancellable, error) &&
         finish_step (self, name, folder, inner, cancellable, error);
}

/* The first half of the layers, and the others. */
static char *
make_ranges (guint n_layers)
{
  guint half = n_layers / 2;

  return half == 0 ? g_strdup ("0-0") : g_strdup_printf ("0-%u,%u-%u", half - 1, half,
                                                         n_layers - 1);
}

static int
compare_paths (gconstpointer a, gconstpointer b)
{
  return g_strcmp0 (*(char *const *) a, *(char *const *) b);
}

static gboolean
list_stages (SlimState *self, const char *folder, GError **error)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, error);
  const char *name;

  if (dir == NULL)
    return FALSE;
  g_ptr_array_set_size (self->stages, 0);
  while ((name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (self->stages, g_build_filename (folder, name, NULL));
  g_ptr_array_sort (self->stages, compare_paths);
  return slim_state_save (self, error);
}

static gboolean
split (SlimState *self, gboolean quiet, GCancellable *cancellable, GError **error)
{
  const SlimStep *last = g_ptr_array_index (self->steps, self->steps->len - 1);
  g_autofree char *folder = get_folder (self, "stages");
  g_autoptr (TandemModel) model = tandem_model_open (last->path, cancellable, error);
  g_autofree char *ranges = NULL;
  GPtrArray *args;

  if (model == NULL)
    return FALSE;
  ranges = self->options.split != NULL
             ? g_strdup (self->options.split)
             : make_ranges (tandem_model_get_config (model)->n_layers);
  args = begin ("split");
  add (args, "--layers", ranges);
  add (args, "--output", folder);
  add (args, "--force", NULL);
  add (args, last->path, NULL);
  return run_command (args, quiet, cancellable, error) && list_stages (self, folder, error);
}

void
slim_remove_steps (const char *output)
{
  static const char *const names[] = { "trained", "tuned", "pruned", "quantized", "stages" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *folder = g_build_filename (output, names[i], NULL);

    if (g_file_test (folder, G_FILE_TEST_EXISTS))
      train_remove (folder);
  }
}

gboolean
slim_run (SlimState *self, gboolean quiet, GCancellable *cancellable, GError **error)
{
  const SlimOptions *options = &self->options;

  if (find_step (self, N_("model")) == NULL &&
      !finish_step (self, "model", options->model, NULL, cancellable, error))
    return FALSE;
  if (options->fine_tune > 0 &&
      !do_step (self, N_("trained"), NULL, make_train, quiet, cancellable, error))
    return FALSE;
  if (options->tune > 0 &&
      !do_step (self, N_("tuned"), "model", make_tune, quiet, cancellable, error))
    return FALSE;
  if (options->sparsity > 0 &&
      !do_step (self, N_("pruned"), NULL, make_prune, quiet, cancellable, error))
    return FALSE;
  if (!g_str_equal (options->weights, "none") &&
      !do_step (self, N_("quantized"), NULL, make_quantize, quiet, cancellable, error))
    return FALSE;
  return split (self, quiet, cancellable, error);
}
