/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem prune: makes a model smaller, and lets it learn again what it lost. The learning is a
 * training like any other, in the pipelines of tandem train. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem-prune-model.h"
#include "tandem-train-prune.h"

typedef struct
{
  char *model;
  char *output;
  char *method;
  char *sparsity_text;
  char *bytes_text;
  char *milliseconds_text;
  char *gradual_text;
  char *scope;
  char *tensors;
  char **data;
  int epochs;
  gboolean half;
  gboolean force;
  gboolean resume;
  gboolean json;
  char **training;              /* what stands behind "--" */

  double sparsity;              /* below 0: not given */
  double milliseconds;          /* 0: not given, as is bytes */
  guint64 bytes;
  double gradual;
} Options;

static void
options_clear (Options *self)
{
  g_free (self->model);
  g_free (self->output);
  g_free (self->method);
  g_free (self->sparsity_text);
  g_free (self->bytes_text);
  g_free (self->milliseconds_text);
  g_free (self->gradual_text);
  g_free (self->scope);
  g_free (self->tensors);
  g_strfreev (self->data);
  g_strfreev (self->training);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static gboolean
parse_number (const char *name, const char *text, double most, double *number)
{
  char *end;

  if (text == NULL)
    return TRUE;
  *number = g_ascii_strtod (text, &end);
  if (end != text && *end == '\0' && *number >= 0 && *number <= most)
    return TRUE;
  tandem_command_usage (_("--%s=%s is not a number from 0 to %g"), name, text, most);
  return FALSE;
}

/* "5000000", "5M" or "640k": thousands, as disks are sold. */
static gboolean
parse_bytes (const char *text, guint64 *n)
{
  char *end;
  double number;

  if (text == NULL)
    return TRUE;
  number = g_ascii_strtod (text, &end);
  if (end != text && strchr ("kMG", *end) != NULL && *end != '\0') {
    number *= *end == 'k' ? 1e3 : *end == 'M' ? 1e6 : 1e9;
    end++;
  }
  if (end != text && *end == '\0' && number >= 1 && number <= 1e15) {
    *n = (guint64) number;
    return TRUE;
  }
  tandem_command_usage (_("--bytes=%s is no size, as 5M, 640k or 5000000"), text);
  return FALSE;
}

static gboolean
parse_method (const char *text, PruneMethod *method)
{
  g_auto (GStrv) words = g_strsplit (text != NULL ? text : "magnitude", ",", -1);
  gboolean structured;
  guint i;

  for (i = 0; words[i] != NULL; i++) {
    const char *word = g_strstrip (words[i]);

    if (g_str_equal (word, "magnitude"))
      method->magnitude = TRUE;
    else if (g_str_equal (word, "heads"))
      method->heads = TRUE;
    else if (g_str_equal (word, "neurons"))
      method->neurons = TRUE;
    else if (g_str_equal (word, "layers"))
      method->layers = TRUE;
    else if (g_str_equal (word, "vocabulary"))
      method->vocabulary = TRUE;
    else {
      tandem_command_usage (_("--method=%s is none of magnitude, heads, neurons, layers and "
                              "vocabulary"), word);
      return FALSE;
    }
  }
  structured = method->heads || method->neurons || method->layers;
  if (method->magnitude + method->vocabulary + structured == 1)
    return TRUE;
  tandem_command_usage (_("--method takes magnitude, vocabulary, or some of heads, neurons and "
                          "layers together; prune again for another one"));
  return FALSE;
}

static gboolean
parse_words (const Options *self, PruneMethod *method)
{
  const char *scope = self->scope != NULL ? self->scope : "tensor";
  const char *tensors = self->tensors != NULL ? self->tensors : "all";

  if (!g_str_equal (scope, "tensor") && !g_str_equal (scope, "global")) {
    tandem_command_usage (_("--scope=%s is none of tensor and global"), scope);
    return FALSE;
  }
  if (!g_str_equal (tensors, "linear") && !g_str_equal (tensors, "embeddings") &&
      !g_str_equal (tensors, "all")) {
    tandem_command_usage (_("--tensors=%s is none of linear, embeddings and all"), tensors);
    return FALSE;
  }
  method->scope = train_prune_parse_scope (scope);
  method->targets = train_prune_parse_targets (tensors);
  method->half = self->half;
  return TRUE;
}

/* What does not go together. */
static gboolean
check (const Options *self, const PruneMethod *method)
{
  guint n_targets = (self->sparsity >= 0) + (self->bytes > 0) + (self->milliseconds > 0);
  const char *text = NULL;

  if (self->output == NULL)
    text = _("--output is needed: the folder for the model");
  else if (self->epochs < 0)
    text = _("--epochs is negative");
  else if (self->resume)
    text = self->model != NULL ? _("--resume takes no MODEL: it goes on with the training in "
                                   "--output") : NULL;
  else if (self->model == NULL)
    text = _("one MODEL is needed");
  else if (self->epochs > 0 && (self->data == NULL || self->data[0] == NULL))
    text = _("recovery (--epochs) needs --data: the reviews to learn from");
  else if (self->epochs == 0 && self->data != NULL && !method->vocabulary)
    text = _("--data goes with --epochs, for recovery, or with --method vocabulary");
  else if (self->epochs == 0 && self->training != NULL)
    text = _("what stands behind -- is for the training: it goes with --epochs");
  else if (method->vocabulary && self->data == NULL)
    text = _("--method vocabulary needs --data: the texts whose words are to stay");
  else if (method->vocabulary && n_targets > 0)
    text = _("--method vocabulary removes what --data does not use, and takes no --sparsity, "
             "--bytes or --milliseconds");
  else if (!method->vocabulary && n_targets != 1)
    text = _("one of --sparsity, --bytes and --milliseconds is needed");
  else if (self->gradual > 0 && (!method->magnitude || self->epochs == 0))
    text = _("--gradual goes with --method magnitude and --epochs");
  else if (self->tensors != NULL && !method->magnitude)
    text = _("--tensors goes with --method magnitude");
  if (text != NULL)
    tandem_command_usage ("%s", text);
  return text == NULL;
}

/* Marks the entries of the vocabulary that the texts use. */
static gboolean
read_corpus (TandemModel *model, char **paths, PruneMethod *method, GCancellable *cancellable,
             GError **error)
{
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, error);
  guint i;

  if (tokenizer == NULL)
    return FALSE;
  method->used = g_malloc0 (tandem_tokenizer_get_size (tokenizer));
  for (i = 0; paths[i] != NULL; i++) {
    g_autoptr (TandemReviewReader) reader =
        tandem_review_reader_open (paths[i], TANDEM_REVIEW_SPLIT_TRAIN, 0, cancellable, error);
    g_autoptr (GError) local = NULL;
    GBytes *text;
    int label;

    if (reader == NULL)
      return FALSE;
    while (tandem_review_reader_next (reader, &text, &label, cancellable, &local)) {
      gsize size;
      const char *start = g_bytes_get_data (text, &size);

      tandem_tokenizer_mark_used (tokenizer, size > 0 ? start : "", size, method->used);
      g_bytes_unref (text);
    }
    if (local != NULL) {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  }
  return TRUE;
}

static void
add (GPtrArray *args, const char *name, const char *value)
{
  g_ptr_array_add (args, g_strdup (name));
  if (value != NULL)
    g_ptr_array_add (args, g_strdup (value));
}

static void
add_number (GPtrArray *args, const char *name, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  add (args, name, g_ascii_dtostr (text, sizeof text, value));
}

/* Learns again: from the labels and from the model as it was. @from: what is trained; share: what it
 * loses in the training, 0 for nothing more. */
static int
recover (const Options *self, const char *from, double share)
{
  g_autoptr (GPtrArray) args = g_ptr_array_new_with_free_func (g_free);
  guint i;

  add (args, "train", NULL);
  add (args, "--output", self->output);
  if (self->resume) {
    add (args, "--resume", NULL);
  } else {
    g_autofree char *epochs = g_strdup_printf ("%d", self->epochs);

    add (args, "--from", from);
    add (args, "--task", "distill");
    add (args, "--teacher", self->model);
    add (args, "--epochs", epochs);
    if (share > 0) {
      add_number (args, "--sparsity", share);
      add_number (args, "--gradual", self->gradual);
      add (args, "--scope", self->scope != NULL ? self->scope : "tensor");
      add (args, "--tensors", self->tensors != NULL ? self->tensors : "all");
    }
    if (self->half)
      add (args, "--half", NULL);
    if (self->force)
      add (args, "--force", NULL);
  }
  for (i = 0; self->data != NULL && self->data[i] != NULL; i++)
    add (args, "--data", self->data[i]);
  for (i = 0; self->training != NULL && self->training[i] != NULL; i++)
    add (args, self->training[i], NULL);
  g_ptr_array_add (args, NULL);
  return tandem_command_train.run ((char **) args->pdata);
}

/* Prunes at once, and learns again where that was asked for. */
static int
prune (const Options *self, PruneMethod *method, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemModel) model = NULL;
  g_auto (PrunedModel) pruned = { 0 };
  g_autofree char *between = NULL;
  double share = MAX (self->sparsity, 0);
  gboolean learns = self->epochs > 0, ok;
  int status;

  if (!learns &&
      !tandem_model_export_check (self->output, self->force ? TANDEM_MODEL_EXPORT_REPLACE
                                                            : TANDEM_MODEL_EXPORT_NONE, error))
    return TANDEM_EXIT_FAILED;
  model = tandem_model_open (self->model, cancellable, error);
  if (model == NULL ||
      (method->vocabulary && !read_corpus (model, self->data, method, cancellable, error)) ||
      ((self->bytes > 0 || self->milliseconds > 0) &&
       !prune_find_share (model, method, self->bytes, self->milliseconds, &share, cancellable,
                          error)))
    return TANDEM_EXIT_FAILED;
  /* The smallest weights go in the training itself, once or many times. */
  if (learns && method->magnitude)
    return recover (self, self->model, share);
  if (!pruned_model_init (&pruned, model, method, share, error))
    return TANDEM_EXIT_FAILED;
  if (!learns)
    return pruned_model_write (&pruned, self->output, self->force, cancellable, error) &&
        prune_report (model, self->output, self->method != NULL ? self->method : "magnitude", share,
                      self->json, cancellable, error) ? TANDEM_EXIT_OK : TANDEM_EXIT_FAILED;

  between = g_dir_make_tmp ("tandem-prune-XXXXXX", error);
  if (between == NULL)
    return TANDEM_EXIT_FAILED;
  ok = pruned_model_write (&pruned, between, TRUE, cancellable, error);
  status = ok ? recover (self, between, 0) : TANDEM_EXIT_FAILED;
  train_remove (between);
  return status;
}

/* Takes what stands behind "--" out of the arguments. */
static char **
split_arguments (char **args, Options *options)
{
  guint n;

  for (n = 0; args[n] != NULL; n++) {
    if (g_str_equal (args[n], "--")) {
      options->training = g_strdupv (args + n + 1);
      break;
    }
  }
  {
    char **first = g_new0 (char *, n + 1);
    guint i;

    for (i = 0; i < n; i++)
      first[i] = g_strdup (args[i]);
    return first;
  }
}

static int
run (char **args)
{
  g_auto (Options) options = { .sparsity = -1 };
  const GOptionEntry entries[] = {
    { "output", 'o', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.output,
      N_("Folder for the model, made where it is not there"), N_("FOLDER") },
    { "method", 'm', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.method,
      N_("magnitude (single weights; default), heads, neurons, layers, or vocabulary; heads, "
         "neurons and layers also together: heads,neurons"), N_("METHOD") },
    { "sparsity", 's', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.sparsity_text,
      N_("Share that is to go"), N_("SHARE") },
    { "bytes", 'b', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.bytes_text,
      N_("Take away as much as a file of this size asks for: 5M"), N_("SIZE") },
    { "milliseconds", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.milliseconds_text,
      N_("Take away as much as one text of 256 tokens in this time asks for, on this device"),
      N_("TIME") },
    { "scope", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.scope,
      N_("Of each tensor or layer (default), or of all together"),
      "tensor|global" },
    { "tensors", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.tensors,
      N_("Which weights --method magnitude is of"), "linear|embeddings|all" },
    { "data", 'd', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME_ARRAY, &options.data,
      N_("Reviews for recovery, or whose words stay in the vocabulary; may be given again"),
      N_("PATH") },
    { "epochs", 'e', G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.epochs,
      N_("Learn again for so long, from the labels and from MODEL as it was"), N_("N") },
    { "gradual", 'g', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.gradual_text,
      N_("Let the sparsity rise during this share of the recovery, and not at once"),
      N_("SHARE") },
    { "half", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.half,
      N_("Write 16-bit floats, half the size"), NULL },
    { "force", 'f', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.force,
      N_("Replace what --output holds"), NULL },
    { "resume", 'r', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.resume,
      N_("Go on with the recovery in --output"), NULL },
    { "json", 'j', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.json,
      N_("Print JSON, for programs"), NULL },
    { NULL },
  };
  g_auto (GStrv) rest = split_arguments (args, &options);
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (GError) error = NULL;
  PruneMethod method = { 0 };
  int status;

  if (!tandem_command_parse (&tandem_command_prune, N_("[MODEL] [-- OPTION OF TRAIN...]"),
                             N_("MODEL is a Hugging Face folder. With --epochs the pruned model "
                                "learns again what it lost,\nas tandem train does it: interrupted "
                                "or killed it goes on with --resume."), entries, &rest))
    return TANDEM_EXIT_USAGE;
  if (rest[1] != NULL && rest[2] != NULL)
    return tandem_command_usage (_("one MODEL is needed"));
  options.model = g_strdup (rest[1]);
  if (!parse_number ("sparsity", options.sparsity_text, 0.999, &options.sparsity) ||
      !parse_number ("milliseconds", options.milliseconds_text, 1e9, &options.milliseconds) ||
      !parse_number ("gradual", options.gradual_text, 1, &options.gradual) ||
      !parse_bytes (options.bytes_text, &options.bytes) ||
      !parse_method (options.method, &method) || !parse_words (&options, &method) ||
      !check (&options, &method))
    return TANDEM_EXIT_USAGE;
  if (options.resume)
    return recover (&options, NULL, 0);

  /* A training catches signals itself. */
  cancellable = options.epochs == 0 ? tandem_command_catch_signals () : g_cancellable_new ();
  status = prune (&options, &method, cancellable, &error);
  g_free (method.used);
  if (error == NULL)
    return status;
  return g_cancellable_is_cancelled (cancellable) ? TANDEM_EXIT_INTERRUPTED
                                                  : tandem_command_failed (error);
}

const TandemCommand tandem_command_prune = {
  .name = "prune",
  .summary = N_("Take weights, heads, neurons, layers or words out of a model"),
  .run = run,
};
