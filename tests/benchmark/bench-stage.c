/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a whole model over fixed sequences for as long as it is told, so that a
 * benchmark can let rivals take turns:
 *
 *   bench-stage MODEL f32|bf16 THREADS hidden|logits FILE SIZE [FILE SIZE ...]
 *
 * A FILE is a workload, run in micro-batches of SIZE sequences: little-endian
 * uint32 n, n lengths, and all ids as int32; or reviews (.tsv), which the tokenizer of the
 * model encodes; of "reviews.tsv:256" those that are longer than 256 tokens, cut there.
 * Commands come on standard input, one a line, and each is answered by one line of JSON:
 *
 *   go W SECONDS     whole passes over workload W (from 0) until that time is over;
 *                    cpu_seconds is the processor's time of all threads
 *   check W N FILE   the float32 results of the first N micro-batches, to FILE */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tandem.h"

typedef struct
{
  guint32 n_sequences;
  guint32 *lengths;
  gint32 *ids;
  guint size;                   /* sequences a micro-batch */
  guint n_batches;
  guint32 *offsets;             /* of every micro-batch: (size + 1) numbers from 0 */
  gsize *starts;                /* first token of every micro-batch, and the end */
} Workload;

typedef struct
{
  TandemBertStage *stage;
  gsize row_size;               /* floats a token, or a sequence when it gives logits */
  Workload *workloads;
  guint n_workloads;
  float *output;
} Bench;

/* Returns reviews as a file of ids holds them. @spec is the name of their file, and behind a colon
 * how many tokens of each count. */
static char *
encode_reviews (TandemModel *model, const char *spec, gsize *length, GError **error)
{
  const char *colon = strrchr (spec, ':');
  g_autofree char *path = colon != NULL ? g_strndup (spec, colon - spec) : g_strdup (spec);
  guint longest = tandem_model_get_config (model)->max_positions;
  guint wanted = colon != NULL ? (guint) strtoul (colon + 1, NULL, 10) : 0;
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, error);
  g_autoptr (TandemReviewReader) reader = NULL;
  g_autoptr (GArray) lengths = g_array_new (FALSE, FALSE, sizeof (guint32));
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GError) local = NULL;
  GBytes *text;
  guint32 n = 0;
  int label;

  if (tokenizer != NULL)
    reader = tandem_review_reader_open (path, TANDEM_REVIEW_SPLIT_TRAIN, 0, NULL, error);
  if (reader == NULL)
    return NULL;
  g_array_append_val (lengths, n);
  while (tandem_review_reader_next (reader, &text, &label, NULL, &local)) {
    guint before = ids->len;
    gsize size;
    const char *start = g_bytes_get_data (text, &size);

    tandem_tokenizer_encode_into (tokenizer, size > 0 ? start : "", size,
                                  wanted > 0 ? MIN (wanted, longest) : longest, ids, NULL);
    g_bytes_unref (text);
    n = ids->len - before;
    if (wanted > 0 && n < wanted)
      g_array_set_size (ids, before);
    else
      g_array_append_val (lengths, n);
  }
  if (local != NULL) {
    g_propagate_error (error, g_steal_pointer (&local));
    return NULL;
  }
  g_array_index (lengths, guint32, 0) = lengths->len - 1;
  g_array_append_vals (lengths, ids->data, ids->len);
  *length = lengths->len * sizeof (guint32);
  return g_array_free (g_steal_pointer (&lengths), FALSE);
}

static gboolean
workload_open (Workload *self, TandemModel *model, const char *path, guint size, GError **error)
{
  g_autofree char *data = NULL;
  const guint32 *words;
  gsize length, n_words, n_ids = 0, done = 0;
  guint i;

  if (strstr (path, ".tsv") != NULL)
    data = encode_reviews (model, path, &length, error);
  else if (!g_file_get_contents (path, &data, &length, error))
    return FALSE;
  if (data == NULL)
    return FALSE;
  words = (const guint32 *) data;
  n_words = length / sizeof *words;
  self->n_sequences = n_words > 0 ? words[0] : 0;
  for (i = 0; i < self->n_sequences && i + 1 < n_words; i++)
    n_ids += words[1 + i];
  if (size == 0 || self->n_sequences == 0 || n_words != 1 + self->n_sequences + n_ids) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "%s: %" G_GSIZE_FORMAT " words do not hold the %u sequences they promise, or the "
                 "micro-batch of %u is empty", path, n_words, self->n_sequences, size);
    return FALSE;
  }

  self->size = size;
  self->lengths = g_memdup2 (words + 1, self->n_sequences * sizeof *words);
  self->ids = g_memdup2 (words + 1 + self->n_sequences, n_ids * sizeof *words);
  self->n_batches = (self->n_sequences + size - 1) / size;
  self->offsets = g_new0 (guint32, (gsize) self->n_batches * (size + 1));
  self->starts = g_new0 (gsize, (gsize) self->n_batches + 1);
  for (i = 0; i < self->n_sequences; i++) {
    guint32 *offset = self->offsets + (gsize) (i / size) * (size + 1) + i % size;

    offset[1] = offset[0] + self->lengths[i];
    done += self->lengths[i];
    self->starts[i / size + 1] = done;
  }
  return TRUE;
}

static guint
batch_length (const Workload *self, guint batch)
{
  return MIN (self->size, self->n_sequences - batch * self->size);
}

static gsize
n_results (const Bench *bench, const Workload *work, guint batch)
{
  gsize rows = tandem_bert_stage_gives_logits (bench->stage) ? batch_length (work, batch)
      : work->starts[batch + 1] - work->starts[batch];

  return rows * bench->row_size;
}

static gboolean
run_batch (Bench *bench, const Workload *work, guint batch, GError **error)
{
  return tandem_bert_stage_forward_tokens (bench->stage, work->ids + work->starts[batch],
                                           batch_length (work, batch),
                                           work->offsets + (gsize) batch * (work->size + 1),
                                           bench->output, NULL, error);
}

static double
cpu_seconds (void)
{
  struct timespec now;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

static gboolean
go (Bench *bench, const Workload *work, double seconds, GError **error)
{
  gint64 start = g_get_monotonic_time (), now;
  double cpu_start = cpu_seconds ();
  gsize tokens = 0;
  guint batch;

  do {
    for (batch = 0; batch < work->n_batches; batch++) {
      if (!run_batch (bench, work, batch, error))
        return FALSE;
    }
    tokens += work->starts[work->n_batches];
    now = g_get_monotonic_time ();
  } while (now - start < seconds * G_USEC_PER_SEC);
  printf ("{\"tokens\": %" G_GSIZE_FORMAT ", \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n", tokens,
          (now - start) / (double) G_USEC_PER_SEC, cpu_seconds () - cpu_start);
  return TRUE;
}

static gboolean
check (Bench *bench, const Workload *work, guint n, const char *path, GError **error)
{
  g_autoptr (GByteArray) all = g_byte_array_new ();
  guint batch;

  for (batch = 0; batch < MIN (n, work->n_batches); batch++) {
    if (!run_batch (bench, work, batch, error))
      return FALSE;
    g_byte_array_append (all, (const guint8 *) bench->output,
                         n_results (bench, work, batch) * sizeof (float));
  }
  if (!g_file_set_contents (path, (const char *) all->data, all->len, error))
    return FALSE;
  printf ("{\"bytes\": %u}\n", all->len);
  return TRUE;
}

static gboolean
serve (Bench *bench, GError **error)
{
  char line[4096];

  while (fgets (line, sizeof line, stdin) != NULL) {
    g_auto (GStrv) words = g_strsplit (g_strstrip (line), " ", 4);
    guint n_words = g_strv_length (words);
    guint w = n_words > 1 ? (guint) strtoul (words[1], NULL, 10) : 0;
    gboolean ok;

    if (n_words == 3 && w < bench->n_workloads && g_str_equal (words[0], "go")) {
      ok = go (bench, &bench->workloads[w], g_ascii_strtod (words[2], NULL), error);
    } else if (n_words == 4 && w < bench->n_workloads && g_str_equal (words[0], "check")) {
      ok = check (bench, &bench->workloads[w], (guint) strtoul (words[2], NULL, 10), words[3],
                  error);
    } else {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "not a command: %s", line);
      ok = FALSE;
    }
    if (!ok)
      return FALSE;
    fflush (stdout);
  }
  return TRUE;
}

static gboolean
bench_open (Bench *bench, char **argv, GError **error)
{
  g_autoptr (TandemModel) model = tandem_model_open (argv[1], NULL, error);
  const TandemModelConfig *config;
  gsize n_out = 0;
  guint i, batch;

  if (model == NULL)
    return FALSE;
  config = tandem_model_get_config (model);
  bench->stage = tandem_bert_stage_new (
      model, 0, config->n_layers - 1,
      g_str_equal (argv[2], "bf16") ? TANDEM_PRECISION_BF16 : TANDEM_PRECISION_F32,
      CLAMP (atoi (argv[3]), 1, TANDEM_BERT_STAGE_MAX_THREADS),
      g_str_equal (argv[4], "hidden") ? TANDEM_BERT_STAGE_HIDDEN : TANDEM_BERT_STAGE_NONE, error);
  if (bench->stage == NULL)
    return FALSE;
  bench->row_size =
      tandem_bert_stage_gives_logits (bench->stage) ? config->n_classes : config->hidden_size;

  bench->workloads = g_new0 (Workload, bench->n_workloads);
  for (i = 0; i < bench->n_workloads; i++) {
    Workload *work = &bench->workloads[i];

    if (!workload_open (work, model, argv[5 + 2 * i], (guint) strtoul (argv[6 + 2 * i], NULL, 10),
                        error))
      return FALSE;
    for (batch = 0; batch < work->n_batches; batch++)
      n_out = MAX (n_out, n_results (bench, work, batch));
  }
  bench->output = g_new (float, n_out);
  return TRUE;
}

static void
bench_clear (Bench *bench)
{
  guint i;

  for (i = 0; bench->workloads != NULL && i < bench->n_workloads; i++) {
    g_free (bench->workloads[i].lengths);
    g_free (bench->workloads[i].ids);
    g_free (bench->workloads[i].offsets);
    g_free (bench->workloads[i].starts);
  }
  g_free (bench->workloads);
  g_free (bench->output);
  g_clear_object (&bench->stage);
}

int
main (int argc, char **argv)
{
  Bench bench = { .n_workloads = (guint) MAX (argc - 5, 0) / 2 };
  g_autoptr (GError) error = NULL;
  int status = 0;

  if (argc < 7 || argc % 2 == 0) {
    fprintf (stderr, "usage: bench-stage MODEL f32|bf16 THREADS hidden|logits FILE SIZE...\n");
    return 2;
  }
  if (!bench_open (&bench, argv, &error) || !serve (&bench, &error)) {
    fprintf (stderr, "bench-stage: %s\n", error->message);
    status = 1;
  }
  bench_clear (&bench);
  return status;
}
