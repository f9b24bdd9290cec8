/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each part of a model is run on its own, all of them in turns, over micro-batches of several
 * shapes, for as long as there is time; a round measures what is compared with one another at
 * nearly the same moment. */

#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/tandem-bert-layer.h"
#include "model/tandem-model-private.h"
#include "place/tandem-place-error.h"
#include "place/tandem-profile-private.h"

/* The fit needs as many shapes as it has terms. */
#define LEAST_SHAPES 4
#define LEAST_ROUNDS 3
#define MAX_ROUNDS 1000

/* Of the shapes below. */
#define LEAST_LENGTH 8

/* Sequences and their length, from small to large. Lengths are as odd as those of texts: linear
 * layers are made of blocks of some numbers of rows, and what fills them is faster. */
static const struct
{
  guint n, length;
} shapes[] = {
  { 1, 19 }, { 4, 8 }, { 1, 61 }, { 8, 13 }, { 1, 231 }, { 4, 55 }, { 8, 71 }, { 2, 487 },
  { 8, 117 }, { 4, 203 },
};

/* Words that most vocabularies have. */
static const char sentence[] =
    "this is a film that one can watch again and again , and there is not a single moment in "
    "which it is dull . ";

typedef struct
{
  TandemModel *model;
  guint n_threads;
  TandemBertEmbeddings *embeddings;     /* NULL, as is layer, when the model has one layer */
  TandemBertWorkspace *workspace;       /* of the embeddings: for one sequence */
  TandemBertStage *layer;
  TandemBertStage *last;        /* with the embeddings when the model has one layer */
  TandemTokenizer *tokenizer;   /* NULL when the model has none */
  GArray *tokens;               /* of the tokenizer */
  char *text;                   /* for the longest sequence */
  gint32 *ids;
  float *rows;
  float *output;
  guint32 *offsets;
  gboolean work_ends;           /* that of other threads does not count as load */
  double load;
  GArray *times[G_N_ELEMENTS (shapes)][TANDEM_PROFILE_N_PARTS];  /* of double */
} Bench;

static void
bench_clear (Bench *bench)
{
  guint i, part;

  g_clear_pointer (&bench->embeddings, tandem_bert_embeddings_free);
  g_clear_pointer (&bench->workspace, tandem_bert_workspace_free);
  g_clear_object (&bench->layer);
  g_clear_object (&bench->last);
  g_clear_object (&bench->tokenizer);
  g_clear_pointer (&bench->tokens, g_array_unref);
  g_free (bench->text);
  g_free (bench->ids);
  g_free (bench->rows);
  g_free (bench->output);
  g_free (bench->offsets);
  for (i = 0; i < G_N_ELEMENTS (shapes); i++)
    for (part = 0; part < TANDEM_PROFILE_N_PARTS; part++)
      g_clear_pointer (&bench->times[i][part], g_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Bench, bench_clear)

static double
read_clock (clockid_t clock)
{
  struct timespec now;

  clock_gettime (clock, &now);
  return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

static double
get_wall (void)
{
  return read_clock (CLOCK_MONOTONIC);
}

/* What else runs on the processor stops a long run more than a short one. One thread's own time
 * is not disturbed by that; how much longer it took on the whole is the load. */
static double
get_seconds (const Bench *bench)
{
  return read_clock (bench->n_threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC);
}

/* The layer that counts for all but the last one: where their sizes differ, the one that computes
 * the most, so that no stage takes longer than is said. It is never the first, for a stage with the
 * first layer has the embeddings. */
static guint
choose_layer (const TandemModelConfig *config)
{
  guint64 most = 0;
  guint chosen = 1, i;

  for (i = 1; i < config->n_layers; i++) {
    guint64 attention = (guint64) config->hidden_size / config->n_heads *
        tandem_model_config_get_heads (config, i);
    guint64 size = 4 * attention + 2 * tandem_model_config_get_intermediate (config, i);

    if (size > most) {
      most = size;
      chosen = i;
    }
  }
  return chosen;
}

static gboolean
open_stages (Bench *bench, TandemPrecision precision, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (bench->model);
  TandemLinearPrecision linear =
      precision == TANDEM_PRECISION_BF16 ? TANDEM_LINEAR_BF16 : TANDEM_LINEAR_F32;
  guint n = config->n_layers, i;
  TandemBertStageFlags last =
      tandem_model_has_classifier (bench->model) ? TANDEM_BERT_STAGE_NONE
                                                 : TANDEM_BERT_STAGE_HIDDEN;

  bench->last = tandem_bert_stage_new (bench->model, n - 1, n - 1, precision, bench->n_threads,
                                       last, error);
  if (bench->last == NULL || n == 1)
    return bench->last != NULL;
  i = choose_layer (config);
  bench->layer = tandem_bert_stage_new (bench->model, i, i, precision, bench->n_threads,
                                        TANDEM_BERT_STAGE_HIDDEN, error);
  if (bench->layer == NULL)
    return FALSE;
  bench->workspace = tandem_bert_workspace_new (config, config->max_positions, FALSE, error);
  if (bench->workspace == NULL)
    return FALSE;
  bench->embeddings = tandem_bert_embeddings_new (bench->model, linear, error);
  return bench->embeddings != NULL;
}

static gboolean
is_possible (const Bench *bench, guint i)
{
  return shapes[i].length <= tandem_model_get_config (bench->model)->max_positions;
}

/* Input of any shape: ids all over the vocabulary, rows as layer norm leaves them. */
static void
make_input (Bench *bench)
{
  const TandemModelConfig *config = tandem_model_get_config (bench->model);
  guint32 state = 1;
  gsize most = 1, i;

  for (i = 0; i < G_N_ELEMENTS (shapes); i++)
    if (is_possible (bench, i))
      most = MAX (most, (gsize) shapes[i].n * shapes[i].length);
  bench->ids = g_new (gint32, most);
  bench->rows = g_new (float, most * config->hidden_size);
  bench->output = g_new (float, most * MAX (config->hidden_size, config->n_classes));
  bench->offsets = g_new0 (guint32, most + 1);
  /* A linear congruential generator (Numerical Recipes); its high bits are good enough. */
  for (i = 0; i < most; i++) {
    state = state * 1664525u + 1013904223u;
    bench->ids[i] = (gint32) ((state >> 8) % config->vocab_size);
  }
  for (i = 0; i < most * config->hidden_size; i++) {
    state = state * 1664525u + 1013904223u;
    bench->rows[i] = (float) (state >> 8) / (1 << 22) - 2.0f;
  }
}

static void
open_tokenizer (Bench *bench)
{
  GString *text = g_string_new (NULL);

  bench->tokenizer = tandem_model_get_tokenizer (bench->model, NULL);
  bench->tokens = g_array_new (FALSE, FALSE, sizeof (gint32));
  while (text->len < 600 * 5)
    g_string_append (text, sentence);
  bench->text = g_string_free (text, FALSE);
}

static void
add_time (Bench *bench, guint i, TandemProfilePart part, double seconds)
{
  g_array_append_val (bench->times[i][part], seconds);
}

/* Texts with about as many tokens: a word and the space behind it are some four bytes. What they
 * are more or less counts as if each token had taken as long. */
static void
run_tokenizer (Bench *bench, guint i)
{
  double start = get_seconds (bench);
  gsize n_tokens = 0;
  guint k;

  for (k = 0; k < shapes[i].n; k++) {
    g_array_set_size (bench->tokens, 0);
    n_tokens += tandem_tokenizer_encode_into (bench->tokenizer, bench->text,
                                              4 * (gssize) shapes[i].length, shapes[i].length,
                                              bench->tokens, NULL);
  }
  add_time (bench, i, TANDEM_PROFILE_TOKENIZE,
            (get_seconds (bench) - start) * shapes[i].n * shapes[i].length / (double) n_tokens);
}

/* Of one thread, which shares sequences with the others. */
static gboolean
run_embeddings (Bench *bench, guint i, GError **error)
{
  const guint32 offsets[] = { 0, shapes[i].length };
  const TandemGroup group = { 1, offsets, shapes[i].length };
  double start = get_seconds (bench);
  guint k;

  tandem_linear_use_one_thread ();
  for (k = 0; k < shapes[i].n; k++)
    if (!tandem_bert_embeddings_forward (bench->embeddings, &group,
                                         bench->ids + k * shapes[i].length,
                                         bench->output, bench->workspace, error))
      return FALSE;
  add_time (bench, i, TANDEM_PROFILE_EMBEDDINGS,
            (get_seconds (bench) - start) / MIN (bench->n_threads, shapes[i].n));
  return TRUE;
}

static gboolean
run_stage (Bench *bench, guint i, TandemProfilePart part, TandemBertStage *stage,
           GCancellable *cancellable, GError **error)
{
  double start = get_seconds (bench);
  gboolean ok;

  ok = tandem_bert_stage_takes_tokens (stage)
         ? tandem_bert_stage_forward_tokens (stage, bench->ids, shapes[i].n, bench->offsets,
                                             bench->output, cancellable, error)
         : tandem_bert_stage_forward_rows (stage, bench->rows, shapes[i].n, bench->offsets,
                                           bench->output, cancellable, error);
  add_time (bench, i, part, get_seconds (bench) - start);
  return ok;
}

/* Runs all parts over one shape. */
static gboolean
run_shape (Bench *bench, guint i, GCancellable *cancellable, GError **error)
{
  guint k;

  for (k = 0; k <= shapes[i].n; k++)
    bench->offsets[k] = k * shapes[i].length;
  if (bench->tokenizer != NULL)
    run_tokenizer (bench, i);
  if (bench->layer != NULL &&
      (!run_embeddings (bench, i, error) ||
       !run_stage (bench, i, TANDEM_PROFILE_LAYER, bench->layer, cancellable, error)))
    return FALSE;
  return run_stage (bench, i, TANDEM_PROFILE_LAST_LAYER, bench->last, cancellable, error);
}

static void
drop_times (Bench *bench, guint i)
{
  guint part;

  for (part = 0; part < TANDEM_PROFILE_N_PARTS; part++)
    g_array_set_size (bench->times[i][part], 0);
}

/* The first run of a shape touches memory that others find there, and does not count. A large
 * shape that would take too much of the time is left out, when enough are there without it. */
static gboolean
run_rounds (Bench *bench, double seconds, GCancellable *cancellable, GError **error)
{
  gboolean used[G_N_ELEMENTS (shapes)] = { FALSE };
  double start = get_wall (), per_token = 0, wall, cpu, all;
  guint n_used = 0, round, i;

  for (i = 0; i < G_N_ELEMENTS (shapes); i++) {
    double n_tokens = (double) shapes[i].n * shapes[i].length, before = get_wall ();

    if (!is_possible (bench, i) ||
        (n_used >= LEAST_SHAPES &&
         n_tokens * per_token * LEAST_ROUNDS > (seconds - (before - start)) / 2))
      continue;
    if (!run_shape (bench, i, cancellable, error))
      return FALSE;
    drop_times (bench, i);
    per_token = (get_wall () - before) / n_tokens;
    used[i] = TRUE;
    n_used++;
  }
  wall = get_wall ();
  cpu = get_seconds (bench);
  all = read_clock (CLOCK_PROCESS_CPUTIME_ID);
  for (round = 0; round < MAX_ROUNDS; round++) {
    if (round >= LEAST_ROUNDS && get_wall () - start > seconds)
      break;
    for (i = 0; i < G_N_ELEMENTS (shapes); i++) {
      if (!used[i])
        continue;
      if (!run_shape (bench, i, cancellable, error))
        return FALSE;
    }
  }
  cpu = get_seconds (bench) - cpu;
  all = read_clock (CLOCK_PROCESS_CPUTIME_ID) - all;
  wall = get_wall () - wall;
  /* What other threads of ours got, this one would have had. */
  if (bench->work_ends)
    cpu = MIN (all, wall);
  /* Of several threads the clock is all that was read. */
  bench->load = bench->n_threads == 1 && cpu > 0 ? MAX (1, wall / cpu) : 1;
  return TRUE;
}

static int
compare (const void *a, const void *b)
{
  double left = *(const double *) a, right = *(const double *) b;

  return (left > right) - (left < right);
}

static double
get_median (GArray *times)
{
  guint n = times->len;

  g_array_sort (times, compare);
  return (g_array_index (times, double, (n - 1) / 2) + g_array_index (times, double, n / 2)) / 2;
}

static void
collect (Bench *bench, TandemProfile *profile)
{
  guint part, i;

  profile->samples = g_new0 (TandemProfileSample,
                             G_N_ELEMENTS (shapes) * TANDEM_PROFILE_N_PARTS);
  for (part = 0; part < TANDEM_PROFILE_N_PARTS; part++) {
    for (i = 0; i < G_N_ELEMENTS (shapes); i++) {
      TandemProfileSample *sample = &profile->samples[profile->n_samples];
      GArray *times = bench->times[i][part];

      if (times->len == 0)
        continue;
      sample->part = part;
      tandem_batch_shape_init (&sample->shape, shapes[i].n, shapes[i].length);
      sample->seconds = get_median (times);
      sample->n_runs = times->len;
      profile->n_samples++;
    }
    tandem_profile_fit (profile, part);
  }
}

/**
 * tandem_profile_measure:
 * @model: a model that holds all of its layers
 * @precision: what its linear layers are to compute with
 * @n_threads: threads of a stage, 1 to %TANDEM_BERT_STAGE_MAX_THREADS
 * @seconds: how long to measure, roughly, above 0; on a slow device or with a large model it takes
 *   the time of three rounds over a few small micro-batches at the least
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #TandemPlaceError, a #TandemModelError or a #GIOErrorEnum
 *
 * Measures how long the parts of a model take on this device: its embeddings, its second layer (where
 * layers are of different size, the largest but the first), and the last one as it ends in logits. Micro-batches of several shapes are run in turns; the
 * medians of their times are what the costs are fitted to, by least squares of relative errors with
 * no cost below 0. Layers other than the last are taken for alike. A model of one layer cannot be
 * split, and its embeddings count with that layer.
 *
 * With one thread, times are of the processor's, and how much longer it took on the clock is the
 * load: what else ran, or how the device was held back. A stage with several threads shares groups
 * of some 256 tokens among them, so that small micro-batches run on one: the costs are then a
 * compromise, and there is no load.
 *
 * Returns: (transfer full): the profile, or %NULL with @error set
 */
TandemProfile *
tandem_profile_measure (TandemModel *model, TandemPrecision precision, guint n_threads,
                        double seconds, GCancellable *cancellable, GError **error)
{
  return tandem_profile_measure_beside (model, precision, n_threads, seconds, FALSE, cancellable,
                                        error);
}

TandemProfile *
tandem_profile_measure_beside (TandemModel *model, TandemPrecision precision, guint n_threads,
                               double seconds, gboolean work_ends, GCancellable *cancellable,
                               GError **error)
{
  g_autoptr (TandemProfile) profile = NULL;
  g_auto (Bench) bench = { .model = model, .n_threads = n_threads, .work_ends = work_ends };
  guint first, last, n, i, part;

  g_return_val_if_fail (TANDEM_IS_MODEL (model) && seconds > 0, NULL);

  n = tandem_model_get_config (model)->n_layers;
  tandem_model_get_layers (model, &first, &last);
  if (first != 0 || last != n - 1) {
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_MODEL,
                 "%s: holds layers %u-%u of %u; a profile takes a whole model",
                 tandem_model_get_path (model), first, last, n);
    return NULL;
  }
  if (tandem_model_get_config (model)->max_positions < LEAST_LENGTH) {
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_MODEL,
                 "%s: takes sequences of %u tokens at the most; a profile takes some of %d",
                 tandem_model_get_path (model), tandem_model_get_config (model)->max_positions,
                 LEAST_LENGTH);
    return NULL;
  }
  for (i = 0; i < G_N_ELEMENTS (shapes); i++)
    for (part = 0; part < TANDEM_PROFILE_N_PARTS; part++)
      bench.times[i][part] = g_array_new (FALSE, FALSE, sizeof (double));
  if (!open_stages (&bench, precision, error))
    return NULL;
  make_input (&bench);
  open_tokenizer (&bench);
  if (!run_rounds (&bench, seconds, cancellable, error))
    return NULL;
  profile = tandem_profile_new_here (model, precision, n_threads);
  profile->load = bench.load;
  collect (&bench, profile);
  return g_steal_pointer (&profile);
}
