/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a second core brings to training: two stages on two cores against one stage on one, with
 * the same schedule and micro-batches, in the same run.
 *
 *   bench-train-overlap [--seconds S] [--rounds N] [--json FILE] [MODEL...]
 *
 * Every arrangement is a process that stays alive; they take turns, and ratios are of one round.
 * A step is 32 reviews; with 1f1b each micro-batch is one. A stage's utilisation is the
 * processor's time of its thread in a second on the wall. K stages and M micro-batches leave each
 * stage idle for (K - 1) / (M + K - 1) of the time where each step ends with a flush (Huang et al.
 * 2019, section 2.3), if all micro-batches cost each stage the same; the balance is how much
 * faster two stages could be without that, by the processor's time they had.
 *
 * Of a classifier's last layer only the rows of [CLS] are computed, so that a model of two layers
 * has nearly all its work in the first. Hence a random model is measured as well whose halves are
 * about equal: four layers' work, and the [CLS] rows of a fifth. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <glib/gstdio.h>
#include <gio/gio.h>
#include <gst/check/gstharness.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tandem.h>

#include "../unit/tandem-test-model.h"

#define N_BATCHES 8             /* different ones */
#define STEP_SIZE 32
#define MAX_ROUNDS 100

/* Lengths of IMDB's test reviews in tokens, at most 512: every sixteenth of them. */
static const guint length_quantiles[] = {
  10, 93, 137, 155, 166, 179, 193, 212, 232, 257, 285, 324, 373, 443, 512, 512, 512
};

typedef struct
{
  const char *schedule;
  guint micro_batches;
  gboolean flushes;
} Setup;

static const Setup setups[] = {
  { "gpipe", 4, TRUE }, { "gpipe", 8, TRUE }, { "1f1b-flush", 4, TRUE }, { "1f1b-flush", 8, TRUE },
  { "1f1b", 4, FALSE }, { "1f1b", 8, FALSE }
};

#define N_SETUPS G_N_ELEMENTS (setups)

static double seconds = 2.0;
static int n_rounds = 3;
static char *json_path;
static char **model_paths;
static gboolean is_child;

static const GOptionEntry options[] = {
  { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &seconds, "One turn of one arrangement", "S" },
  { "rounds", 0, 0, G_OPTION_ARG_INT, &n_rounds, "Turns of each arrangement, 1 to 100", "N" },
  { "json", 0, 0, G_OPTION_ARG_FILENAME, &json_path, "Write every turn's figures to FILE", "FILE" },
  { "child", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &is_child, NULL, NULL },
  { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &model_paths, NULL, "MODEL..." },
  { NULL }
};

/* The n-th core that this process may use. */
static int
get_core (const cpu_set_t *all, int n)
{
  int core;

  for (core = 0; core < CPU_SETSIZE; core++) {
    if (CPU_ISSET (core, all) && n-- == 0)
      return core;
  }
  return -1;
}

static void
pin (int core)
{
  cpu_set_t set;

  CPU_ZERO (&set);
  CPU_SET (core, &set);
  if (sched_setaffinity (0, sizeof set, &set) != 0)
    g_error ("sched_setaffinity: %s", g_strerror (errno));
}

/* One arrangement, in a process of its own. */
typedef struct
{
  const TandemModelConfig *config;
  GstHarness *harness;
  GstBuffer *batches[N_BATCHES];
  guint tokens[N_BATCHES];
  guint size;                   /* reviews of a micro-batch */
  guint next;
  int second_core;
  gint second_is_known;         /* atomic */
  clockid_t second_clock;       /* of the second stage's thread */
} Child;

/* Micro-batches of random ids with lengths like those of reviews, each with its share of short
 * and long ones. */
static void
make_batches (Child *child)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  guint size = child->size, b, i;
  g_autofree guint32 *offsets = g_new0 (guint32, (gsize) size + 1);
  g_autofree guint64 *numbers = g_new (guint64, size);
  g_autofree gint32 *labels = g_new (gint32, size);

  for (b = 0; b < N_BATCHES; b++) {
    gint32 *ids;

    for (i = 0; i < size; i++) {
      double at = (i + g_rand_double (random)) / size * (G_N_ELEMENTS (length_quantiles) - 1);
      guint low = length_quantiles[(guint) at], high = length_quantiles[(guint) at + 1];
      guint length = low + (guint) ((at - (guint) at) * (high - low));

      offsets[i + 1] = offsets[i] + MIN (length, child->config->max_positions);
      numbers[i] = (guint64) b * size + i;
      labels[i] = (gint32) (i % child->config->n_classes);
    }
    ids = g_new (gint32, offsets[size]);
    for (i = 0; i < offsets[size]; i++)
      ids[i] = g_rand_int_range (random, 0, (gint32) child->config->vocab_size);
    child->batches[b] = gst_buffer_new_wrapped (ids, offsets[size] * sizeof *ids);
    tandem_buffer_add_batch_meta (child->batches[b], size, offsets, numbers, labels);
    child->tokens[b] = offsets[size];
  }
}

static GstPadProbeReturn
meet_second_thread (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Child *child = data;

  if (g_atomic_int_get (&child->second_is_known))
    return GST_PAD_PROBE_OK;
  pin (child->second_core);
  if (pthread_getcpuclockid (pthread_self (), &child->second_clock) != 0)
    g_error ("a thread has no clock");
  g_atomic_int_set (&child->second_is_known, TRUE);
  return GST_PAD_PROBE_OK;
}

static GstCaps *
token_caps (TandemModel *model)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, &error);
  TandemStreamInfo info = { .kind = TANDEM_STREAM_TOKENS };

  if (tokenizer == NULL)
    g_error ("%s", error->message);
  g_strlcpy (info.fingerprint, tandem_tokenizer_get_fingerprint (tokenizer),
             sizeof info.fingerprint);
  return tandem_stream_info_to_caps (&info);
}

/* cut: first layer of the second stage; 0: there is one stage. */
static void
child_arrange (Child *child, TandemModel *model, const char *path, guint cut, const Setup *setup)
{
  g_autofree char *train =
      g_strdup_printf ("trainable=true schedule=%s micro-batches=%u learning-rate=1e-5 seed=1",
                       setup->schedule, setup->micro_batches);
  g_autoptr (GString) line = g_string_new (NULL);

  if (cut == 0)
    g_string_printf (line, "bertstage model=\"%s\" %s", path, train);
  else
    g_string_printf (line, "bertstage model=\"%s\" layers=0-%u %s ! queue name=queue "
                     "max-size-buffers=16 max-size-bytes=0 max-size-time=0 ! "
                     "bertstage model=\"%s\" layers=%u- %s", path, cut - 1, train, path, cut, train);
  g_string_append (line, " ! sentimentloss");
  child->harness = gst_harness_new_parse (line->str);
  if (cut > 0) {
    g_autoptr (GstElement) queue =
        gst_bin_get_by_name (GST_BIN (child->harness->element), "queue");
    g_autoptr (GstPad) pad = gst_element_get_static_pad (queue, "src");

    gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, meet_second_thread, child, NULL);
  }
  gst_harness_set_src_caps (child->harness, token_caps (model));
}

static double
read_clock (clockid_t clock)
{
  struct timespec now;

  clock_gettime (clock, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

static double
read_second_clock (Child *child)
{
  return g_atomic_int_get (&child->second_is_known) ? read_clock (child->second_clock) : 0.0;
}

/* Whole steps until that time is over. The pipeline stays filled between turns. */
static void
child_go (Child *child, guint micro_batches, double duration)
{
  double start = read_clock (CLOCK_MONOTONIC), now;
  double first = read_clock (CLOCK_THREAD_CPUTIME_ID), second = read_second_clock (child);
  guint64 tokens = 0, samples = 0;
  guint i;

  do {
    for (i = 0; i < micro_batches; i++) {
      guint b = child->next++ % N_BATCHES;

      if (gst_harness_push (child->harness, gst_buffer_copy (child->batches[b])) != GST_FLOW_OK)
        g_error ("the pipeline refuses a micro-batch");
      tokens += child->tokens[b];
      samples += child->size;
    }
    now = read_clock (CLOCK_MONOTONIC);
  } while (now - start < duration);
  printf ("%.9g %.9g %.9g %.9g\n", samples / (now - start), tokens / (now - start),
          (read_clock (CLOCK_THREAD_CPUTIME_ID) - first) / (now - start),
          (read_second_clock (child) - second) / (now - start));
  fflush (stdout);
}

/* The most memory that this process ever had, in MiB. */
static double
get_peak_memory (void)
{
  g_autofree char *status = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/self/status", &status, NULL, NULL) ||
      (line = strstr (status, "VmHWM:")) == NULL)
    return 0.0;
  return g_ascii_strtod (line + strlen ("VmHWM:"), NULL) / 1024.0;
}

/* Arguments: model, cut, number of the setup. Commands on standard input: "go SECONDS", answered
 * with samples and tokens a second and the utilisation of both stages; "memory". */
static int
run_child (void)
{
  const Setup *setup;
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemModel) model = NULL;
  Child child = { 0 };
  cpu_set_t all;
  char line[64];
  guint cut, b;

  g_assert (g_strv_length (model_paths) == 3);
  cut = (guint) strtoul (model_paths[1], NULL, 10);
  setup = &setups[strtoul (model_paths[2], NULL, 10) % N_SETUPS];
  model = tandem_model_open (model_paths[0], NULL, &error);
  if (model == NULL)
    g_error ("%s", error->message);
  sched_getaffinity (0, sizeof all, &all);
  child.second_core = get_core (&all, 1);
  child.config = tandem_model_get_config (model);
  child.size = STEP_SIZE / setup->micro_batches;
  make_batches (&child);
  child_arrange (&child, model, model_paths[0], cut, setup);
  pin (get_core (&all, 0));

  while (fgets (line, sizeof line, stdin) != NULL) {
    if (g_str_has_prefix (line, "go ")) {
      child_go (&child, setup->micro_batches, g_ascii_strtod (line + 3, NULL));
    } else {
      printf ("%.9g\n", get_peak_memory ());
      fflush (stdout);
    }
  }

  gst_harness_teardown (child.harness);
  for (b = 0; b < N_BATCHES; b++)
    gst_buffer_unref (child.batches[b]);
  return 0;
}

/* The other end. */
typedef struct
{
  GSubprocess *process;
  GDataInputStream *out;
  double samples[MAX_ROUNDS];   /* a second */
  double busy[2][MAX_ROUNDS];   /* utilisation of each stage */
  double memory;
} Arrangement;

static void
ask (Arrangement *self, const char *question, double *answer, guint n)
{
  GOutputStream *in = g_subprocess_get_stdin_pipe (self->process);
  g_autoptr (GError) error = NULL;
  g_autofree char *line = NULL;
  g_auto (GStrv) words = NULL;
  guint i;

  if (!g_output_stream_write_all (in, question, strlen (question), NULL, NULL, &error) ||
      (line = g_data_input_stream_read_line (self->out, NULL, NULL, &error)) == NULL)
    g_error ("an arrangement ended early: %s", error != NULL ? error->message : "no answer");
  words = g_strsplit (line, " ", -1);
  for (i = 0; i < n; i++)
    answer[i] = i < g_strv_length (words) ? g_ascii_strtod (words[i], NULL) : 0.0;
}

static void
arrangement_start (Arrangement *self, const char *program, const char *path, guint cut, guint setup)
{
  g_autofree char *cut_word = g_strdup_printf ("%u", cut);
  g_autofree char *setup_word = g_strdup_printf ("%u", setup);
  g_autoptr (GError) error = NULL;

  self->process =
      g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error,
                        program, "--child", path, cut_word, setup_word, NULL);
  if (self->process == NULL)
    g_error ("%s", error->message);
  self->out = g_data_input_stream_new (g_subprocess_get_stdout_pipe (self->process));
}

static void
arrangement_go (Arrangement *self, double duration, int round)
{
  g_autofree char *question = g_strdup_printf ("go %g\n", duration);
  double answer[4];

  ask (self, question, answer, 4);
  self->samples[round] = answer[0];
  self->busy[0][round] = answer[2];
  self->busy[1][round] = answer[3];
}

static void
arrangement_end (Arrangement *self)
{
  g_output_stream_close (g_subprocess_get_stdin_pipe (self->process), NULL, NULL);
  g_subprocess_wait (self->process, NULL, NULL);
  g_clear_object (&self->out);
  g_clear_object (&self->process);
}

static int
compare (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

/* values: sorted on return. */
static double
median (double *values, int n)
{
  qsort (values, n, sizeof *values, compare);
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static double
median_of (const double *values)
{
  double sorted[MAX_ROUNDS];

  memcpy (sorted, values, n_rounds * sizeof *values);
  return median (sorted, n_rounds);
}

static void
show (const Setup *setup, const Arrangement *one, const Arrangement *two, GString *json)
{
  double ratios[MAX_ROUNDS], ratio, alone, busy[2], balance, bound;
  g_autofree char *name = g_strdup_printf ("%s, %u x %u", setup->schedule, setup->micro_batches,
                                           STEP_SIZE / setup->micro_batches);
  int r;

  for (r = 0; r < n_rounds; r++)
    ratios[r] = two->samples[r] / one->samples[r];
  ratio = median (ratios, n_rounds);
  alone = median_of (one->busy[0]);
  busy[0] = median_of (two->busy[0]);
  busy[1] = median_of (two->busy[1]);
  balance = (busy[0] + busy[1]) / MAX (busy[0], busy[1]);
  bound = setup->flushes ? setup->micro_batches / (setup->micro_batches + 1.0) : 1.0;
  g_print ("  %-18s %8.1f %8.1f   %.2fx [%.2f..%.2f]   %3.0f %% %3.0f %% %3.0f %%  %3.0f %%   %.2fx   "
           "%6.0f %6.0f\n", name, median_of (one->samples), median_of (two->samples), ratio,
           ratios[0], ratios[n_rounds - 1], 100 * alone, 100 * busy[0], 100 * busy[1], 100 * bound, balance,
           one->memory, two->memory);
  g_string_append_printf (json, "%s\n  {\"schedule\": \"%s\", \"micro_batches\": %u, \"ratios\": [",
                          json->str[json->len - 1] == '[' ? "" : ",", setup->schedule,
                          setup->micro_batches);
  for (r = 0; r < n_rounds; r++)
    g_string_append_printf (json, "%s%.4f", r > 0 ? ", " : "", ratios[r]);
  g_string_append_printf (json, "], \"samples_per_second\": [%.2f, %.2f], \"utilisation\": [%.4f, "
                          "%.4f, %.4f], \"one_minus_bubble\": %.4f, \"balance\": %.4f, \"peak_mib\": "
                          "[%.1f, %.1f]}", median_of (one->samples), median_of (two->samples),
                          alone, busy[0], busy[1], bound, balance, one->memory, two->memory);
}

static void
bench_model (const char *program, const char *path, const char *name, GString *json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemModel) model = tandem_model_open (path, NULL, &error);
  g_autofree Arrangement *arrangements = g_new0 (Arrangement, 2 * N_SETUPS);
  const TandemModelConfig *config;
  guint cut, i;
  int r;

  if (model == NULL)
    g_error ("%s", error->message);
  config = tandem_model_get_config (model);
  if (config->n_layers < 2 || !tandem_model_has_classifier (model)) {
    g_print ("%s: skipped: two layers and a classifier are needed\n", name);
    return;
  }
  cut = config->n_layers / 2;
  for (i = 0; i < 2 * N_SETUPS; i++) {
    arrangement_start (&arrangements[i], program, path, i % 2 == 0 ? 0 : cut, i / 2);
    arrangement_go (&arrangements[i], 0.2, 0);
  }
  for (r = 0; r < n_rounds; r++) {
    for (i = 0; i < 2 * N_SETUPS; i++)
      arrangement_go (&arrangements[i], seconds, r);
  }
  for (i = 0; i < 2 * N_SETUPS; i++) {
    ask (&arrangements[i], "memory\n", &arrangements[i].memory, 1);
    arrangement_end (&arrangements[i]);
  }

  g_print ("\n%s: %u layers, %u wide, split before layer %u\n"
           "  %-18s %17s   %-17s %17s %6s %8s %15s\n"
           "  %-18s %8s %8s   %-17s %5s %5s %5s %6s %8s %8s %6s\n",
           name, config->n_layers, config->hidden_size, cut, "", "samples/s", "", "utilisation",
           "1 -", "", "peak MiB", "", "one", "two", "two are as fast", "one", "first", "2nd", "bubble",
           "balance", "one", "two");
  g_string_append_printf (json, "%s\n {\"model\": \"%s\", \"cut\": %u, \"setups\": [",
                          json->len > 1 ? "," : "", name, cut);
  for (i = 0; i < N_SETUPS; i++)
    show (&setups[i], &arrangements[2 * i], &arrangements[2 * i + 1], json);
  g_string_append (json, "]}");
}

static void
bench_balanced (const char *program, GString *json)
{
  TandemTestModel model = TANDEM_TEST_MODEL_INIT;
  char *folder = tandem_test_make_folder ();

  model.n_layers = 5;
  model.hidden_size = 256;
  model.n_heads = 4;
  model.intermediate_size = 1024;
  model.vocab_size = 30000;
  model.max_positions = 512;
  tandem_test_model_write (&model, folder);
  bench_model (program, folder, "random, balanced", json);
  tandem_test_remove_folder (folder);
}

static char *
find_default_model (void)
{
  const char *set = g_getenv ("TANDEM_TEST_MODEL"), *source = g_getenv ("TANDEM_SOURCE_ROOT");
  g_autofree char *path =
      set != NULL ? g_strdup (set)
      : g_build_filename (source != NULL ? source : ".", "pipelines", "models", "tinybert-imdb", NULL);
  g_autofree char *config = g_build_filename (path, "config.json", NULL);

  return g_file_test (config, G_FILE_TEST_EXISTS) ? g_steal_pointer (&path) : NULL;
}

static void
bench_all (const char *program, GString *json)
{
  g_autofree char *path = NULL;
  guint i;

  for (i = 0; model_paths != NULL && model_paths[i] != NULL; i++) {
    g_autofree char *name = g_path_get_basename (model_paths[i]);

    bench_model (program, model_paths[i], name, json);
  }
  if (model_paths != NULL)
    return;
  path = find_default_model ();
  if (path != NULL) {
    g_autofree char *name = g_path_get_basename (path);

    bench_model (program, path, name, json);
  } else {
    g_print ("default model: skipped: not there (TANDEM_TEST_MODEL)\n");
  }
  bench_balanced (program, json);
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GString) json = g_string_new ("[");
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autoptr (GError) error = NULL;
  cpu_set_t all;
  double load;
  int status = 0;

  g_option_context_add_main_entries (context, options, NULL);
  g_option_context_add_group (context, gst_init_get_option_group ());
  if (!g_option_context_parse (context, &argc, &argv, &error) || n_rounds < 1 ||
      n_rounds > MAX_ROUNDS) {
    g_printerr ("bench-train-overlap: %s\n",
                error != NULL ? error->message : "--rounds takes 1 to " G_STRINGIFY (MAX_ROUNDS));
    return 2;
  }
  sched_getaffinity (0, sizeof all, &all);
  if (is_child) {
    status = run_child ();
  } else if (CPU_COUNT (&all) < 2) {
    g_print ("skipped: one core only\n");
    status = 77;
  } else {
    if (getloadavg (&load, 1) == 1)
      g_print ("load average before: %.2f\n", load);
    bench_all (program, json);
    g_string_append (json, "\n]\n");
    if (json_path != NULL && !g_file_set_contents (json_path, json->str, json->len, &error)) {
      g_printerr ("bench-train-overlap: %s\n", error->message);
      status = 1;
    }
  }
  g_strfreev (model_paths);
  g_free (json_path);
  return status;
}
