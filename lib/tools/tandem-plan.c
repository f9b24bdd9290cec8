/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem plan: which device is to run which layers. */

#include "config.h"

#include <glib/gi18n-lib.h>

#include "tandem-command.h"
#include "tandem-plan-report.h"
#include "tandem-profile-command.h"

/* Reviews of a micro-batch when many are wanted, and tokens of each. */
#define SEQUENCES 8
#define LENGTH 128
#define MAX_SEQUENCES 65536

typedef struct
{
  char *devices;
  gboolean uses_nodes;
  char *nodes;                  /* (nullable): a list */
  char *key;
  char *placement;
  char *objective;
  char *formats;
  char *precision;
  char *picture;
  int n_sequences;              /* 0: as the objective has it */
  int length;                   /* 0: LENGTH, or what the model takes when that is less */
  int n_threads;
  gboolean insecure;
  gboolean as_json;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->devices);
  g_free (options->nodes);
  g_free (options->key);
  g_free (options->placement);
  g_free (options->objective);
  g_free (options->formats);
  g_free (options->precision);
  g_free (options->picture);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static void
report_clear (TandemPlanReport *report)
{
  g_clear_object (&report->model);
  g_clear_object (&report->problem);
  g_clear_pointer (&report->plan, tandem_plan_free);
  g_clear_pointer (&report->placement, tandem_placement_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TandemPlanReport, report_clear)

/* The options that are words and numbers. Returns an exit status. */
static int
take_options (const Options *options, TandemPlanReport *report, TandemWireFormats *formats)
{
  g_autoptr (GError) error = NULL;

  if (options->objective == NULL || g_str_equal (options->objective, "throughput"))
    report->objective = TANDEM_PLACEMENT_THROUGHPUT;
  else if (g_str_equal (options->objective, "latency"))
    report->objective = TANDEM_PLACEMENT_LATENCY;
  else
    return tandem_command_usage (_("--objective is \"%s\"; it is to be throughput or latency"),
                                 options->objective);
  if (!tandem_command_parse_precision (options->precision, &report->precision))
    return tandem_command_usage (_("--precision is \"%s\"; it is to be f32 or bf16"),
                                 options->precision);
  *formats = TANDEM_WIRE_FORMAT_F32;
  if (options->formats != NULL &&
      !tandem_wire_formats_from_string (options->formats, formats, &error))
    return tandem_command_usage ("%s", error->message);
  if (options->n_threads < 1 || options->n_threads > TANDEM_BERT_STAGE_MAX_THREADS)
    return tandem_command_usage (_("--threads is %d; it is to be from 1 to %d"),
                                 options->n_threads, TANDEM_BERT_STAGE_MAX_THREADS);
  if (options->n_sequences < 0 || options->n_sequences > MAX_SEQUENCES)
    return tandem_command_usage (_("--micro-batch is %d; it is to be from 1 to %d"),
                                 options->n_sequences, MAX_SEQUENCES);
  if (options->length < 0)
    return tandem_command_usage (_("--length is %d; it is to be 1 at least"), options->length);
  report->n_sequences = options->n_sequences;
  if (options->n_sequences == 0)
    report->n_sequences = report->objective == TANDEM_PLACEMENT_THROUGHPUT ? SEQUENCES : 1;
  report->insecure = options->insecure;
  return TANDEM_EXIT_OK;
}

/* Without a file of devices there is this one. */
static gboolean
add_this_device (TandemPlanReport *report, guint n_threads, GCancellable *cancellable,
                 GError **error)
{
  g_autoptr (TandemProfile) profile = tandem_command_get_profile (
      report->model, report->precision, n_threads, TANDEM_PROFILE_SECONDS, FALSE, cancellable,
      error);
  g_autoptr (TandemDevice) device = NULL;

  if (profile == NULL)
    return FALSE;
  device = tandem_device_new (g_get_host_name (), profile->n_layers);
  tandem_profile_apply (profile, device);
  return tandem_placement_problem_add_device (report->problem, device, error);
}

/* The devices of a file, the nodes that are found, or this device alone. */
static gboolean
add_devices (TandemPlanReport *report, const Options *options, const TandemBatchShape *shape,
             TandemWireFormats formats, GCancellable *cancellable, GError **error)
{
  if (options->uses_nodes) {
    report->problem = tandem_plan_ask_nodes (report, options->nodes, options->key,
                                             options->n_threads, shape, formats, cancellable,
                                             error);
    return report->problem != NULL;
  }
  report->problem = tandem_placement_problem_new_for_model (report->model, report->precision,
                                                            shape, error);
  if (report->problem == NULL)
    return FALSE;
  tandem_placement_problem_set_formats (report->problem, formats);
  return options->devices != NULL
      ? tandem_placement_problem_read_devices (report->problem, options->devices, error)
      : add_this_device (report, options->n_threads, cancellable, error);
}

static gboolean
make_plan (TandemPlanReport *report, const Options *options, TandemWireFormats formats,
           const char *model, GCancellable *cancellable, GError **error)
{
  TandemBatchShape shape;
  guint longest;
  g_autoptr (GError) inner = NULL;

  report->model = tandem_model_open (model, cancellable, error);
  if (report->model == NULL)
    return FALSE;
  longest = tandem_model_get_config (report->model)->max_positions;
  report->length = options->length != 0 ? (guint) options->length : MIN (LENGTH, longest);
  tandem_batch_shape_init (&shape, report->n_sequences, report->length);
  if (!add_devices (report, options, &shape, formats, cancellable, error))
    return FALSE;
  report->plan = tandem_placement_problem_solve (report->problem, report->objective, cancellable,
                                                 &inner);
  if (options->placement != NULL &&
      (report->plan != NULL ||
       g_error_matches (inner, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_IMPOSSIBLE))) {
    report->is_given = TRUE;
    report->placement = tandem_placement_problem_read_placement (
        report->problem, options->placement, report->objective, error);
    return report->placement != NULL;
  }
  if (report->plan == NULL) {
    g_propagate_error (error, g_steal_pointer (&inner));
    return FALSE;
  }
  report->placement = tandem_placement_copy (report->plan->best);
  return TRUE;
}

/* Only a callback may have a value or none; entries of a main group give it no data. */
static Options *taking;

/* --nodes, and --nodes=LIST. */
static gboolean
take_nodes (const char *name, const char *value, gpointer data, GError **error)
{
  taking->uses_nodes = TRUE;
  g_free (taking->nodes);
  taking->nodes = g_strdup (value);
  return TRUE;
}

static int
run (char **args)
{
  g_auto (Options) options = { .n_threads = 1 };
  const GOptionEntry entries[] = {
    { "devices", 'd', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.devices,
      N_("Devices and links, as JSON; without it this device alone"), N_("FILE") },
    { "nodes", 'n', G_OPTION_FLAG_OPTIONAL_ARG, G_OPTION_ARG_CALLBACK, (gpointer) take_nodes,
      N_("Plan with the nodes that are found, or with these; @FILE reads the list"),
      N_("HOST[:PORT],…") },
    { "key", 'k', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.key,
      N_("The cluster key for --nodes, if not the usual one"), N_("FILE") },
    { "objective", 'o', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.objective,
      N_("What counts: throughput (default) or latency"), N_("OBJECTIVE") },
    { "placement", 'p', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.placement,
      N_("Take this placement, as JSON, and say what it would do"), N_("FILE") },
    { "formats", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.formats,
      N_("Formats of activations on the wire that are good enough (f32)"),
      N_("f32,bf16,f16,q8") },
    { "micro-batch", 'b', G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.n_sequences,
      N_("Texts that go through the stages together (8, for latency 1)"), N_("N") },
    { "length", 'l', G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.length,
      N_("Tokens of each (128)"), N_("N") },
    { "precision", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.precision,
      N_("What linear layers compute with: f32 (default) or bf16"), N_("PRECISION") },
    { "threads", 't', G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.n_threads,
      N_("Threads of a stage on this device, without --devices (1)"), N_("N") },
    { "svg", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.picture,
      N_("Draw the devices with what keeps them busy"), N_("FILE") },
    { "insecure", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.insecure,
      N_("Let the launch lines listen where anybody can connect"), NULL },
    { "json", 'j', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.as_json,
      N_("Print JSON, for programs"), NULL },
    { NULL },
  };
  g_auto (GStrv) rest = g_strdupv (args);
  g_auto (TandemPlanReport) report = { NULL };
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (GError) error = NULL;
  TandemWireFormats formats;
  int status;

  taking = &options;
  if (!tandem_command_parse (&tandem_command_plan, N_("MODEL"),
                             N_("MODEL is a Hugging Face folder or a stage file. What is in the "
                                "files of devices and\nplacements, and how the numbers come "
                                "about, says docs/placement.md."), entries, &rest))
    return TANDEM_EXIT_USAGE;
  if (rest[1] == NULL || rest[2] != NULL)
    return tandem_command_usage (_("one MODEL is needed"));
  if (options.uses_nodes && options.devices != NULL)
    return tandem_command_usage (_("--devices and --nodes exclude each other"));
  status = take_options (&options, &report, &formats);
  if (status != TANDEM_EXIT_OK)
    return status;

  cancellable = tandem_command_catch_signals ();
  if (!make_plan (&report, &options, formats, rest[1], cancellable, &error))
    return tandem_command_failed (error);
  if (options.picture != NULL && !tandem_plan_write_picture (&report, options.picture, &error))
    return tandem_command_failed (error);
  if (options.as_json)
    tandem_plan_print_json (&report);
  else
    tandem_plan_print_text (&report);
  return TANDEM_EXIT_OK;
}

const TandemCommand tandem_command_plan = {
  .name = "plan",
  .summary = N_("Say which device is to run which layers"),
  .run = run,
};
