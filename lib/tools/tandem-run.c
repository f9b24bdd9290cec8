/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem run: a model over the devices of the local network. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <gst/gst.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem-run-report.h"
#include "tandem.h"

#define DEFAULT_MODEL "tinybert-imdb"
#define PROGRESS_MS 200
/* Milliseconds that a text on standard input waits for others. */
#define MAX_LATENCY 10
#define MAX_ROW (64 * 1024 * 1024)
/* How long after an interrupt devices may go on with what they were asked, and then the sink with
 * what it writes. */
#define LAST_ANSWERS_MS 2000

typedef struct
{
  char *data, *split, *format, *output, *nodes, *key, *placement, *formats, *objective, *memory;
  char *cache_size;
  int micro_batch, n_threads, timeout;
  gboolean insecure, json, no_local;
  guint64 memory_bytes, cache_bytes;
} Options;

typedef struct
{
  const Options *options;
  GstElement *pipeline;
  GstElement *bin, *sink;       /* borrowed from it */
  GMainLoop *loop;
  RunReport *report;
  gint total;                   /* atomic: reviews of the data, once they are counted */
  gboolean interrupted;
  gboolean is_ending;           /* results that did not come by now are not waited for */
  guint patience;               /* a source; 0: none */
  GError *error;
  GCancellable *counting;
} Run;

static void
options_clear (Options *options)
{
  g_free (options->data);
  g_free (options->split);
  g_free (options->format);
  g_free (options->output);
  g_free (options->nodes);
  g_free (options->key);
  g_free (options->placement);
  g_free (options->formats);
  g_free (options->objective);
  g_free (options->memory);
  g_free (options->cache_size);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* --- the pipeline --- */

static GstElement *
add (Run *run, GstElement **last, const char *factory, GError **error)
{
  GstElement *element = gst_element_factory_make (factory, NULL);

  if (element == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 _("there is no GStreamer element \"%s\"; see that GST_PLUGIN_PATH names its "
                   "plugin"), factory);
    return NULL;
  }
  gst_bin_add (GST_BIN (run->pipeline), element);
  if (*last != NULL && !gst_element_link (*last, element)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, _("\"%s\" does not link"), factory);
    return NULL;
  }
  *last = element;
  return element;
}

static gboolean
add_source (Run *run, GstElement **last, GError **error)
{
  const Options *options = run->options;
  GstElement *element;

  if (options->data == NULL)
    return add (run, last, "fdsrc", error) != NULL && add (run, last, "lineparse", error) != NULL;
  element = add (run, last, "reviewsrc", error);
  if (element == NULL)
    return FALSE;
  g_object_set (element, "location", options->data, NULL);
  if (options->split != NULL)
    gst_util_set_object_arg (G_OBJECT (element), "split", options->split);
  return TRUE;
}

static gboolean
add_bin (Run *run, GstElement **last, const char *model, GError **error)
{
  const Options *options = run->options;
  GstElement *element = add (run, last, "bertbin", error);

  if (element == NULL)
    return FALSE;
  run->bin = element;
  g_object_set (element, "model", model, "nodes", options->nodes, "key", options->key,
                "insecure", options->insecure, "placement", options->placement,
                "threads", (guint) options->n_threads, "memory", options->memory_bytes,
                "cache-limit", options->cache_bytes, "local", !options->no_local, "timeout",
                (guint) options->timeout * 1000, NULL);
  if (options->formats != NULL)
    g_object_set (element, "formats", options->formats, NULL);
  if (options->objective != NULL)
    gst_util_set_object_arg (G_OBJECT (element), "objective", options->objective);
  return TRUE;
}

static GstPadProbeReturn
on_results (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Run *run = data;
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (GST_PAD_PROBE_INFO_BUFFER (info));

  if (meta != NULL)
    run_report_count (run->report, meta->n_sequences);
  return GST_PAD_PROBE_OK;
}

static gboolean
assemble (Run *run, const char *model, GError **error)
{
  const Options *options = run->options;
  GstElement *last = NULL, *element;
  g_autoptr (GstPad) pad = NULL;

  run->pipeline = gst_pipeline_new (NULL);
  if (!add_source (run, &last, error) ||
      (element = add (run, &last, "tokenize", error)) == NULL)
    return FALSE;
  g_object_set (element, "model", model, NULL);
  if ((element = add (run, &last, "microbatch", error)) == NULL)
    return FALSE;
  g_object_set (element, "size", (guint) options->micro_batch, "max-latency",
                options->data == NULL ? MAX_LATENCY : 0, NULL);
  if (!add_bin (run, &last, model, error) ||
      (element = add (run, &last, "sentimentsink", error)) == NULL)
    return FALSE;
  run->sink = element;
  g_object_set (element, "location", options->output, "summary", FALSE, "post-messages", FALSE,
                NULL);
  gst_util_set_object_arg (G_OBJECT (element), "format",
                           options->format != NULL ? options->format : "text");
  pad = gst_element_get_static_pad (element, "sink");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_results, run, NULL);
  return TRUE;
}

/* --- the end before the end --- */

/* In a thread of GStreamer's: the sink may be held up by who reads the results. */
static void
end_sink (GstElement *sink, gpointer data)
{
  g_autoptr (GstPad) pad = gst_element_get_static_pad (sink, "sink");

  gst_pad_send_event (pad, gst_event_new_eos ());
}

/* The results that there are get written and summed up, without those that are missing. */
static void
end_results (Run *run)
{
  if (run->is_ending)
    return;
  run->is_ending = TRUE;
  gst_element_call_async (run->sink, end_sink, NULL, NULL);
}

static gboolean
on_patience (gpointer data)
{
  Run *run = data;

  if (run->is_ending) {
    run->patience = 0;
    g_main_loop_quit (run->loop);
    return G_SOURCE_REMOVE;
  }
  end_results (run);
  return G_SOURCE_CONTINUE;
}

static gboolean
is_run_by_somebody (Run *run)
{
  g_autofree char *placement = NULL;

  g_object_get (run->bin, "current-placement", &placement, NULL);
  return placement != NULL;
}

/* What was read gets its results, as long as there is somebody who computes them, but not for
 * long; nothing more is read. */
static gboolean
on_signal (GCancellable *cancellable, gpointer data)
{
  Run *run = data;

  run->interrupted = TRUE;
  gst_element_send_event (run->pipeline, gst_event_new_eos ());
  run->patience = g_timeout_add (LAST_ANSWERS_MS, on_patience, run);
  if (!is_run_by_somebody (run))
    end_results (run);
  return G_SOURCE_REMOVE;
}

/* --- while it runs --- */

static gboolean
on_message (GstBus *bus, GstMessage *message, gpointer data)
{
  Run *run = data;
  g_autoptr (GError) warning = NULL;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_ERROR:
      if (run->error == NULL)
        gst_message_parse_error (message, &run->error, NULL);
      g_main_loop_quit (run->loop);
      break;
    case GST_MESSAGE_WARNING:
      gst_message_parse_warning (message, &warning, NULL);
      run_report_clear (run->report);
      tandem_command_warn ("%s", warning->message);
      break;
    case GST_MESSAGE_EOS:
      g_main_loop_quit (run->loop);
      break;
    case GST_MESSAGE_ELEMENT:
      run_report_message (run->report, gst_message_get_structure (message));
      if (run->interrupted && !is_run_by_somebody (run))
        end_results (run);
      break;
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

static gboolean
on_progress (gpointer data)
{
  run_report_progress (((Run *) data)->report);
  return G_SOURCE_CONTINUE;
}

static TandemReviewSplit
get_split (const Options *options)
{
  return options->split == NULL || g_str_equal (options->split, "train")
      ? TANDEM_REVIEW_SPLIT_TRAIN
      : g_str_equal (options->split, "test") ? TANDEM_REVIEW_SPLIT_TEST
                                             : TANDEM_REVIEW_SPLIT_UNSUP;
}

/* In another thread: how many there are, for the time that is left. What is wrong with them
 * somebody else will say. */
static gpointer
count (gpointer data)
{
  Run *run = data;
  g_autoptr (TandemReviewReader) reader =
      tandem_review_reader_open (run->options->data, get_split (run->options), MAX_ROW,
                                 run->counting, NULL);
  GBytes *text;
  int label;
  gint n = 0;

  while (reader != NULL &&
         tandem_review_reader_next (reader, &text, &label, run->counting, NULL) && text != NULL) {
    g_bytes_unref (text);
    n++;
  }
  if (!g_cancellable_is_cancelled (run->counting))
    g_atomic_int_set (&run->total, n);
  return NULL;
}

static void
run_pipeline (Run *run, GCancellable *cancellable)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GstBus) bus = gst_element_get_bus (run->pipeline);
  g_autoptr (GSource) stop = g_cancellable_source_new (cancellable);
  GThread *counter = NULL;
  guint watch = gst_bus_add_watch (bus, on_message, run);
  guint progress = g_timeout_add (PROGRESS_MS, on_progress, run);

  run->loop = loop;
  g_source_set_callback (stop, G_SOURCE_FUNC (on_signal), run, NULL);
  g_source_attach (stop, NULL);
  if (run->options->data != NULL && !run->options->json)
    counter = g_thread_new ("count", count, run);
  if (gst_element_set_state (run->pipeline, GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE)
    g_main_loop_run (loop);
  else
    while (run->error == NULL && g_main_context_iteration (NULL, TRUE))
      ;
  g_source_destroy (stop);
  g_source_remove (progress);
  g_clear_handle_id (&run->patience, g_source_remove);
  gst_element_set_state (run->pipeline, GST_STATE_NULL);
  g_source_remove (watch);
  g_cancellable_cancel (run->counting);
  if (counter != NULL)
    g_thread_join (counter);
}

/* --- options --- */

static gboolean
is_one_of (const char *value, const char *const *values)
{
  return value == NULL || g_strv_contains (values, value);
}

static int
check_options (Options *options)
{
  static const char *const formats[] = { "text", "json", "csv", NULL };
  static const char *const splits[] = { "train", "test", "unsup", NULL };
  static const char *const objectives[] = { "throughput", "latency", NULL };
  TandemWireFormats wire;
  g_autoptr (GError) error = NULL;

  if (!is_one_of (options->format, formats))
    return tandem_command_usage (_("--format is \"%s\"; it is to be text, json or csv"),
                                 options->format);
  if (!is_one_of (options->split, splits))
    return tandem_command_usage (_("--split is \"%s\"; it is to be train, test or unsup"),
                                 options->split);
  if (!is_one_of (options->objective, objectives))
    return tandem_command_usage (_("--objective is \"%s\"; it is to be throughput or latency"),
                                 options->objective);
  if (options->formats != NULL &&
      !tandem_wire_formats_from_string (options->formats, &wire, &error))
    return tandem_command_usage ("--formats: %s", error->message);
  if (options->micro_batch < 1 || options->micro_batch > 65536)
    return tandem_command_usage (_("--micro-batch is %d; it is to be from 1 to %d"),
                                 options->micro_batch, 65536);
  if (options->n_threads < 1 || options->n_threads > TANDEM_BERT_STAGE_MAX_THREADS)
    return tandem_command_usage (_("--threads is %d; it is to be from 1 to %d"),
                                 options->n_threads, TANDEM_BERT_STAGE_MAX_THREADS);
  if (options->timeout < 0 || options->timeout > 1000000)
    return tandem_command_usage (_("--timeout is %d; it is to be from 0 to %d"), options->timeout,
                                 1000000);
  if (options->memory != NULL &&
      !tandem_command_parse_size (options->memory, &options->memory_bytes))
    return tandem_command_usage (_("--memory is \"%s\"; it is to be a number of bytes, as 512M"),
                                 options->memory);
  if (options->cache_size != NULL &&
      !tandem_command_parse_size (options->cache_size, &options->cache_bytes))
    return tandem_command_usage (_("--cache-size is \"%s\"; it is to be a number of bytes, as 4G"),
                                 options->cache_size);
  if (options->key != NULL && options->insecure)
    return tandem_command_usage (_("--key and --insecure exclude each other"));
  return TANDEM_EXIT_OK;
}

/* As the ready pipelines have it. */
static char *
choose_model (char **args, GError **error)
{
  const char *model = g_getenv ("TANDEM_MODEL");
  g_autofree char *installed = NULL;

  if (args[1] != NULL)
    return g_strdup (args[1]);
  if (model != NULL && *model != '\0')
    return g_strdup (model);
  installed = g_build_filename (PIPELINESDIR, "models", DEFAULT_MODEL, NULL);
  if (g_file_test (installed, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&installed);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
               _("which MODEL? Name a folder or a stage file, here or in TANDEM_MODEL: the one that "
                 "comes with Tandem is not installed (%s)"), installed);
  return NULL;
}

static int
start (const Options *options, const char *model)
{
  Run run = { options };
  g_autoptr (GCancellable) cancellable = tandem_command_catch_signals ();
  int status = TANDEM_EXIT_OK;

  gst_init (NULL, NULL);
  tandem_init ();
  run.report = run_report_new (options->json, &run.total);
  run.counting = g_cancellable_new ();
  if (assemble (&run, model, &run.error))
    run_pipeline (&run, cancellable);
  run_report_clear (run.report);
  if (run.error == NULL || run.interrupted)
    run_report_end (run.report, run.interrupted);
  if (run.interrupted && run.error == NULL)
    run.error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, _("interrupted"));
  if (run.error != NULL)
    status = tandem_command_failed (run.error);
  if (run.interrupted)
    status = TANDEM_EXIT_INTERRUPTED;
  g_clear_error (&run.error);
  gst_clear_object (&run.pipeline);
  g_object_unref (run.counting);
  run_report_free (run.report);
  return status;
}

static int
run_command (char **args)
{
  g_auto (Options) options = { .micro_batch = 32, .n_threads = 1, .timeout = 30,
                               .cache_bytes = TANDEM_NODE_DEFAULT_CACHE_LIMIT };
  const GOptionEntry entries[] = {
    { "data", 'd', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.data,
      N_("Reviews: an aclImdb folder, CSV, TSV or JSON lines (texts on standard input)"),
      N_("PATH") },
    { "split", 's', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.split,
      N_("Part of a folder: train, test or unsup (train)"), N_("SPLIT") },
    { "format", 'f', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.format,
      N_("Results as text for people, json or csv for programs (text)"), N_("FORMAT") },
    { "output", 'o', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.output,
      N_("File to write results to (standard output)"), N_("FILE") },
    { "nodes", 'n', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.nodes,
      N_("These devices instead of those that are found: host:port,host:port"), N_("LIST") },
    { "key", 'k', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.key,
      N_("Cluster key (TANDEM_KEY, or ~/.config/tandem/cluster.key)"), N_("FILE") },
    { "insecure", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.insecure,
      N_("Do without a key beyond loopback, where anybody can read along"), NULL },
    { "placement", 'p', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &options.placement,
      N_("Which device runs which layers (the planner decides)"), N_("FILE") },
    { "formats", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.formats,
      N_("How activations may be sent: f32, bf16, f16, q8 (f32)"), N_("LIST") },
    { "objective", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.objective,
      N_("What to plan for: throughput or latency (throughput)"), N_("WHAT") },
    { "micro-batch", 'b', G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.micro_batch,
      N_("The most reviews in a micro-batch (32)"), N_("N") },
    { "threads", 't', G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.n_threads,
      N_("Threads of the stage on this device (1)"), N_("N") },
    { "memory", 'm', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.memory,
      N_("What the stage on this device may take, as 512M (no limit)"), N_("SIZE") },
    { "cache-size", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &options.cache_size,
      N_("Stage files for others that are kept at the most, as 512M (4G)"), N_("SIZE") },
    { "no-local", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.no_local,
      N_("Wait for other devices rather than run all layers here"), NULL },
    { "timeout", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &options.timeout,
      N_("Seconds without any device that can run the model (30; 0: no limit)"), N_("SECONDS") },
    { "json", 'j', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &options.json,
      N_("Plan, moves and summary as lines of JSON on standard error"), NULL },
    { NULL, 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, NULL, NULL, NULL }
  };
  g_autoptr (GError) error = NULL;
  g_autofree char *model = NULL;
  int status;

  if (!tandem_command_parse (&tandem_command_run, N_("[MODEL]"),
                             N_("Runs a model over the devices of the local network on which "
                                "\"tandem node\" runs, and this one."), entries, &args))
    return TANDEM_EXIT_USAGE;
  if (args[0] != NULL && args[1] != NULL && args[2] != NULL)
    return tandem_command_usage (_("\"%s\" is one argument too many"), args[2]);
  status = check_options (&options);
  if (status != TANDEM_EXIT_OK)
    return status;
  model = choose_model (args, &error);
  return model != NULL ? start (&options, model) : tandem_command_failed (error);
}

const TandemCommand tandem_command_run = {
  "run", N_("Run a model over the devices of the network"), run_command
};
