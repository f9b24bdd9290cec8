/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a second core brings: two overlapping stages, two threads in one stage,
 * and both, against one stage on one core in the same run.
 *
 *   bench-overlap [--seconds S] [--rounds N] [--json FILE] [MODEL...]
 *
 * Of a classifier's last layer only the rows of [CLS] are computed, so that a
 * model of two layers has nearly all its work in the first and no split by layers
 * can double it. Hence a random model is measured as well whose halves are equal. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <glib/gstdio.h>
#include <gst/check/gstharness.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <tandem.h>

#include "../unit/tandem-test-model.h"

#define N_BATCHES 8             /* different ones */
#define MAX_ROUNDS 100

/* Lengths of IMDB's test reviews in tokens, at most 512: every sixteenth of them. */
static const guint length_quantiles[] = {
  10, 93, 137, 155, 166, 179, 193, 212, 232, 257, 285, 324, 373, 443, 512, 512, 512
};

typedef enum
{
  ONE,
  TWO_STAGES,
  TWO_THREADS,
  BOTH,
  N_ARRANGEMENTS
} Kind;

static const char *const kind_names[N_ARRANGEMENTS] = {
  "one stage, one thread", "two stages", "one stage, two threads",
  "two stages, the first of two threads"
};

typedef struct
{
  GstHarness *harness;
  gboolean pinned;
  int queue_core;               /* where the thread behind the queue shall run */
  gint queue_is_pinned;         /* atomic */
  double rates[MAX_ROUNDS];     /* tokens a second */
  double busy[MAX_ROUNDS];      /* cores that it kept busy */
} Arrangement;

typedef struct
{
  const TandemModelConfig *config;
  char *path;
  guint cut;                    /* first layer of the second stage */
  double bound;                 /* how much faster two stages can be by arithmetic */
  guint tokens[N_BATCHES];
  GstBuffer *batches[N_BATCHES];
  Arrangement arrangements[N_ARRANGEMENTS];
} Bench;

static double seconds = 2.0;
static int n_rounds = 5;
static char *json_path;
static char **model_paths;

static const GOptionEntry options[] = {
  { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &seconds, "One turn of one arrangement", "S" },
  { "rounds", 0, 0, G_OPTION_ARG_INT, &n_rounds, "Turns of each arrangement, 1 to 100", "N" },
  { "json", 0, 0, G_OPTION_ARG_FILENAME, &json_path, "Write every turn's figures to FILE", "FILE" },
  { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &model_paths, NULL, "MODEL..." },
  { NULL }
};

static cpu_set_t all_cores;

static void
pin (int core)
{
  cpu_set_t set = all_cores;

  if (core >= 0) {
    CPU_ZERO (&set);
    CPU_SET (core, &set);
  }
  if (sched_setaffinity (0, sizeof set, &set) != 0)
    g_error ("sched_setaffinity: %s", g_strerror (errno));
}

/* The n-th core that this process may use. */
static int
get_core (int n)
{
  int core;

  for (core = 0; core < CPU_SETSIZE; core++) {
    if (CPU_ISSET (core, &all_cores) && n-- == 0)
      return core;
  }
  return -1;
}

/* Multiplications and additions a token in layers first to last, at the mean
 * length; of the last layer of the model next to nothing is left. */
static double
layer_flops (const TandemModelConfig *config, guint first, guint last, double length)
{
  double hidden = config->hidden_size, wide = config->intermediate_size, sum = 0;
  guint i;

  for (i = first; i <= last; i++) {
    if (i + 1 < config->n_layers)
      sum += 2 * (4 * hidden * hidden + 2 * hidden * wide) + 4 * length * hidden;
    else
      sum += 4 * config->n_heads * hidden +
          2 * (4 * hidden * hidden + 2 * hidden * wide) / length;
  }
  return sum;
}

static void
choose_cut (Bench *bench, double length)
{
  guint last = bench->config->n_layers - 1, cut;
  double all = layer_flops (bench->config, 0, last, length);

  for (cut = 1; cut <= last; cut++) {
    double before = layer_flops (bench->config, 0, cut - 1, length);
    double bound = all / MAX (before, all - before);

    if (bound > bench->bound) {
      bench->bound = bound;
      bench->cut = cut;
    }
  }
}

/* Micro-batches of random ids with lengths like those of reviews. */
static double
make_batches (Bench *bench, guint size)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  g_autofree guint32 *offsets = g_new0 (guint32, (gsize) size + 1);
  g_autofree guint64 *numbers = g_new (guint64, size);
  g_autofree gint32 *labels = g_new (gint32, size);
  guint64 n = 0, total = 0;
  guint b, i;

  for (b = 0; b < N_BATCHES; b++) {
    gint32 *ids;

    for (i = 0; i < size; i++) {
      double at = g_rand_double_range (random, 0, G_N_ELEMENTS (length_quantiles) - 1);
      guint low = length_quantiles[(guint) at], high = length_quantiles[(guint) at + 1];
      guint length = low + (guint) ((at - (guint) at) * (high - low));

      offsets[i + 1] = offsets[i] + MIN (length, bench->config->max_positions);
      numbers[i] = n++;
      labels[i] = TANDEM_LABEL_UNKNOWN;
    }
    ids = g_new (gint32, offsets[size]);
    for (i = 0; i < offsets[size]; i++)
      ids[i] = g_rand_int_range (random, 0, (gint32) bench->config->vocab_size);
    bench->batches[b] = gst_buffer_new_wrapped (ids, offsets[size] * sizeof *ids);
    tandem_buffer_add_batch_meta (bench->batches[b], size, offsets, numbers, labels);
    bench->tokens[b] = offsets[size];
    total += offsets[size];
  }
  return (double) total / n;
}

static GstPadProbeReturn
pin_streaming_thread (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Arrangement *arrangement = data;

  if (g_atomic_int_compare_and_exchange (&arrangement->queue_is_pinned, FALSE, TRUE))
    pin (arrangement->queue_core);
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

static void
arrange (Bench *bench, Kind kind, TandemModel *model)
{
  Arrangement *self = &bench->arrangements[kind];
  g_autofree char *launch = NULL;

  if (kind == ONE || kind == TWO_THREADS)
    launch = g_strdup_printf ("bertstage model=\"%s\" threads=%d", bench->path,
                              kind == ONE ? 1 : 2);
  else
    launch = g_strdup_printf ("bertstage model=\"%s\" layers=0-%u threads=%d ! queue name=queue "
                              "max-size-buffers=4 max-size-bytes=0 max-size-time=0 ! "
                              "bertstage model=\"%s\" layers=%u-", bench->path, bench->cut - 1,
                              kind == BOTH ? 2 : 1, bench->path, bench->cut);
  self->pinned = kind == ONE || kind == TWO_STAGES;
  self->queue_core = get_core (1);
  self->harness = gst_harness_new_parse (launch);
  if (kind == TWO_STAGES) {
    g_autoptr (GstElement) queue = gst_bin_get_by_name (GST_BIN (self->harness->element), "queue");
    g_autoptr (GstPad) pad = gst_element_get_static_pad (queue, "src");

    gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, pin_streaming_thread, self, NULL);
  }
  gst_harness_set_src_caps (self->harness, token_caps (model));
}

static double
cpu_seconds (void)
{
  struct timespec now;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

/* Pushes micro-batches for the given time, and waits for all results. */
static void
run (Bench *bench, Arrangement *self, double duration, int round)
{
  double cpu_start = cpu_seconds (), elapsed;
  gint64 start, now;
  guint pushed = 0, i;
  guint64 tokens = 0;

  pin (self->pinned ? get_core (0) : -1);
  start = now = g_get_monotonic_time ();
  do {
    guint b = pushed++ % N_BATCHES;

    if (gst_harness_push (self->harness, gst_buffer_copy (bench->batches[b])) != GST_FLOW_OK)
      g_error ("%s: the pipeline refuses a micro-batch", bench->path);
    tokens += bench->tokens[b];
    now = g_get_monotonic_time ();
  } while (now - start < duration * G_USEC_PER_SEC);
  for (i = 0; i < pushed; i++) {
    GstBuffer *result = gst_harness_pull (self->harness);

    if (result == NULL)
      g_error ("%s: a result is missing after 60 seconds", bench->path);
    gst_buffer_unref (result);
  }
  elapsed = (g_get_monotonic_time () - start) / (double) G_USEC_PER_SEC;
  pin (-1);
  self->rates[round] = tokens / elapsed;
  self->busy[round] = (cpu_seconds () - cpu_start) / elapsed;
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

static void
show (const Bench *bench, const char *name, guint size, GString *json)
{
  const TandemModelConfig *config = bench->config;
  int kind, r;

  g_print ("\n%s: %u layers, %u wide, micro-batches of %u reviews; split before layer %u, which "
           "can bring %.2fx\n", name, config->n_layers, config->hidden_size, size, bench->cut,
           bench->bound);
  g_string_append_printf (json, "%s\n {\"model\": \"%s\", \"cut\": %u, \"bound\": %.4f, "
                          "\"tokens_per_second\": {", json->len > 1 ? "," : "", name, bench->cut,
                          bench->bound);
  for (kind = 0; kind < N_ARRANGEMENTS; kind++) {
    const double *rates = bench->arrangements[kind].rates;
    double ratios[MAX_ROUNDS], sorted[MAX_ROUNDS], busy[MAX_ROUNDS], ratio, rate;

    g_string_append_printf (json, "%s\"%s\": [", kind > 0 ? ", " : "", kind_names[kind]);
    for (r = 0; r < n_rounds; r++) {
      ratios[r] = rates[r] / bench->arrangements[ONE].rates[r];
      sorted[r] = rates[r];
      busy[r] = bench->arrangements[kind].busy[r];
      g_string_append_printf (json, "%s%.1f", r > 0 ? ", " : "", rates[r]);
    }
    g_string_append (json, "]");
    ratio = median (ratios, n_rounds);
    rate = median (sorted, n_rounds);
    g_print ("  %-38s %10.0f tokens/s   %.2fx [%.2f..%.2f]   %.2f cores busy\n",
             kind_names[kind], rate, ratio, ratios[0], ratios[n_rounds - 1],
             median (busy, n_rounds));
  }
  g_string_append (json, "}}");
}

static void
bench_model (const char *path, const char *name, GString *json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemModel) model = tandem_model_open (path, NULL, &error);
  Bench bench = { .path = g_strdup (path), .cut = 1 };
  guint size;
  int kind, r, b;

  if (model == NULL)
    g_error ("%s", error->message);
  bench.config = tandem_model_get_config (model);
  if (bench.config->n_layers < 2 || !tandem_model_has_classifier (model)) {
    g_print ("%s: skipped: two layers and a classifier are needed\n", name);
    g_free (bench.path);
    return;
  }
  /* Enough rows for two threads to share, few enough for many turns of a pipeline. */
  size = bench.config->hidden_size > 128 ? 16 : 32;
  choose_cut (&bench, make_batches (&bench, size));
  for (kind = 0; kind < N_ARRANGEMENTS; kind++) {
    arrange (&bench, kind, model);
    run (&bench, &bench.arrangements[kind], 0.2, 0);
  }
  for (r = 0; r < n_rounds; r++) {
    for (kind = 0; kind < N_ARRANGEMENTS; kind++)
      run (&bench, &bench.arrangements[kind], seconds, r);
  }
  show (&bench, name, size, json);

  for (kind = 0; kind < N_ARRANGEMENTS; kind++)
    gst_harness_teardown (bench.arrangements[kind].harness);
  for (b = 0; b < N_BATCHES; b++)
    gst_buffer_unref (bench.batches[b]);
  g_free (bench.path);
}

/* Four layers' work, and the [CLS] rows of a fifth: halves are equal. */
static void
bench_balanced (GString *json)
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
  bench_model (folder, "random, balanced", json);
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

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GString) json = g_string_new ("[");
  g_autoptr (GError) error = NULL;
  double load;
  int i;

  g_option_context_add_main_entries (context, options, NULL);
  g_option_context_add_group (context, gst_init_get_option_group ());
  if (!g_option_context_parse (context, &argc, &argv, &error) || n_rounds < 1 ||
      n_rounds > MAX_ROUNDS) {
    g_printerr ("bench-overlap: %s\n",
                error != NULL ? error->message : "--rounds takes 1 to " G_STRINGIFY (MAX_ROUNDS));
    return 2;
  }
  sched_getaffinity (0, sizeof all_cores, &all_cores);
  if (CPU_COUNT (&all_cores) < 2) {
    g_print ("skipped: one core only\n");
    return 77;
  }
  if (getloadavg (&load, 1) == 1)
    g_print ("load average before: %.2f\n", load);

  if (model_paths != NULL) {
    for (i = 0; model_paths[i] != NULL; i++) {
      g_autofree char *name = g_path_get_basename (model_paths[i]);

      bench_model (model_paths[i], name, json);
    }
  } else {
    g_autofree char *path = find_default_model ();

    if (path != NULL) {
      g_autofree char *name = g_path_get_basename (path);

      bench_model (path, name, json);
    } else {
      g_print ("default model: skipped: not there (TANDEM_TEST_MODEL)\n");
    }
    bench_balanced (json);
  }

  g_string_append (json, "\n]\n");
  if (json_path != NULL && !g_file_set_contents (json_path, json->str, json->len, &error)) {
    g_printerr ("bench-overlap: %s\n", error->message);
    return 1;
  }
  g_strfreev (model_paths);
  g_free (json_path);
  return 0;
}
