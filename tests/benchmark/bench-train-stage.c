/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Trains a whole model on fixed batches for as long as it is told, on one thread, so that a
 * benchmark can let rivals take turns:
 *
 *   bench-train-stage MODEL RATE DECAY SIZE FILE...
 *
 * RATE and DECAY are AdamW's. A FILE is a workload, trained in batches of SIZE sequences:
 * little-endian uint32 n, n lengths, n labels, and all ids as int32. Commands come on standard
 * input, one a line, and each is answered by one line of JSON:
 *
 *   go W DROPOUT SECONDS   steps over workload W (from 0), whole passes until that time is
 *                          over; DROPOUT: 0, or 1 for what the model's configuration says;
 *                          cpu_seconds is the processor's time of the process
 *   loss W N               the mean losses of N steps from the model's own weights without
 *                          dropout, each before its update */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tandem.h"

typedef struct
{
  guint n;
  gint32 *labels;
  gint32 *ids;
  guint n_batches;
  guint32 *offsets;             /* of every batch: (size + 1) numbers from 0 */
  gsize *starts;                /* first token of every batch, and the end */
} Workload;

typedef struct
{
  TandemTrainStage *stage;
  guint64 n_steps;
} Trainer;

typedef struct
{
  TandemModel *model;
  const TandemModelConfig *config;
  double rate;
  double decay;
  guint size;
  Workload *workloads;
  guint n_workloads;
  float *logits;
  float *gradient;
  guint64 *numbers;
  Trainer trainers[2];          /* without and with dropout */
} Bench;

static gboolean
workload_open (Workload *self, const char *path, guint size, GError **error)
{
  g_autofree char *data = NULL;
  const guint32 *words;
  gsize length, n_words, n_ids = 0, done = 0;
  guint i;

  if (!g_file_get_contents (path, &data, &length, error))
    return FALSE;
  words = (const guint32 *) data;
  n_words = length / sizeof *words;
  self->n = n_words > 0 ? words[0] : 0;
  for (i = 0; i < self->n && i + 1 < n_words; i++)
    n_ids += words[1 + i];
  if (size == 0 || self->n == 0 || self->n % size != 0 ||
      n_words != 1 + 2 * (gsize) self->n + n_ids) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "%s: %" G_GSIZE_FORMAT " words do not hold the %u sequences they promise, or "
                 "these are no whole batches of %u", path, n_words, self->n, size);
    return FALSE;
  }

  self->labels = g_memdup2 (words + 1 + self->n, self->n * sizeof *words);
  self->ids = g_memdup2 (words + 1 + 2 * (gsize) self->n, n_ids * sizeof *words);
  self->n_batches = self->n / size;
  self->offsets = g_new0 (guint32, (gsize) self->n_batches * (size + 1));
  self->starts = g_new0 (gsize, (gsize) self->n_batches + 1);
  for (i = 0; i < self->n; i++) {
    guint32 *offset = self->offsets + (gsize) (i / size) * (size + 1) + i % size;

    offset[1] = offset[0] + words[1 + i];
    done += words[1 + i];
    self->starts[i / size + 1] = done;
  }
  return TRUE;
}

static gboolean
trainer_open (Trainer *self, const Bench *bench, gboolean drops, GError **error)
{
  double rate = drops ? -1.0 : 0.0;
  TandemTrainOptions options = { rate, rate, rate, 1, FALSE };

  self->n_steps = 0;
  self->stage = tandem_train_stage_new (bench->model, 0, bench->config->n_layers - 1, &options,
                                        error);
  return self->stage != NULL;
}

/* One step of AdamW on the mean loss, which is given back. */
static gboolean
run_step (Bench *bench, Trainer *trainer, const Workload *work, guint batch, double *mean,
          GError **error)
{
  TandemTrainUpdate update = { ++trainer->n_steps, bench->rate, 0.9, 0.999, 1e-8, bench->decay,
                               1.0 / bench->size };
  guint n_classes = bench->config->n_classes, i;
  TandemLoss loss = { 0 };

  for (i = 0; i < bench->size; i++)
    bench->numbers[i] = trainer->n_steps * bench->size + i;
  if (!tandem_train_stage_forward (trainer->stage, trainer->n_steps,
                                   work->ids + work->starts[batch], bench->size,
                                   work->offsets + (gsize) batch * (bench->size + 1),
                                   bench->numbers, bench->logits, error) ||
      !tandem_loss_cross_entropy (&loss, bench->logits, bench->size, n_classes,
                                  work->labels + (gsize) batch * bench->size, 0.0,
                                  bench->gradient, error) ||
      !tandem_train_stage_backward (trainer->stage, trainer->n_steps, bench->gradient,
                                    (gsize) bench->size * n_classes, NULL, error))
    return FALSE;
  tandem_train_stage_update (trainer->stage, &update);
  *mean = loss.sum / bench->size;
  return TRUE;
}

static double
cpu_seconds (void)
{
  struct timespec now;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

static gboolean
go (Bench *bench, const Workload *work, gboolean drops, double seconds, GError **error)
{
  Trainer *trainer = &bench->trainers[drops];
  gint64 start, now;
  double cpu_start, mean;
  gsize samples = 0;
  guint batch;

  if (trainer->stage == NULL && !trainer_open (trainer, bench, drops, error))
    return FALSE;
  start = g_get_monotonic_time ();
  cpu_start = cpu_seconds ();
  do {
    for (batch = 0; batch < work->n_batches; batch++) {
      if (!run_step (bench, trainer, work, batch, &mean, error))
        return FALSE;
    }
    samples += work->n;
    now = g_get_monotonic_time ();
  } while (now - start < seconds * G_USEC_PER_SEC);
  printf ("{\"samples\": %" G_GSIZE_FORMAT ", \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n",
          samples, (now - start) / (double) G_USEC_PER_SEC, cpu_seconds () - cpu_start);
  return TRUE;
}

static gboolean
show_losses (Bench *bench, const Workload *work, guint n, GError **error)
{
  Trainer trainer = { 0 };
  gboolean ok = trainer_open (&trainer, bench, FALSE, error);
  double mean = 0;
  guint i;

  printf ("{\"losses\": [");
  for (i = 0; ok && i < n; i++) {
    ok = run_step (bench, &trainer, work, i % work->n_batches, &mean, error);
    printf ("%s%.9g", i > 0 ? ", " : "", mean);
  }
  printf ("]}\n");
  g_clear_object (&trainer.stage);
  return ok;
}

static gboolean
serve (Bench *bench, GError **error)
{
  char line[256];

  while (fgets (line, sizeof line, stdin) != NULL) {
    g_auto (GStrv) words = g_strsplit (g_strstrip (line), " ", 4);
    guint n_words = g_strv_length (words);
    guint w = n_words > 1 ? (guint) strtoul (words[1], NULL, 10) : 0;
    gboolean ok;

    if (n_words == 4 && w < bench->n_workloads && g_str_equal (words[0], "go")) {
      ok = go (bench, &bench->workloads[w], g_str_equal (words[2], "1"),
               g_ascii_strtod (words[3], NULL), error);
    } else if (n_words == 3 && w < bench->n_workloads && g_str_equal (words[0], "loss")) {
      ok = show_losses (bench, &bench->workloads[w], (guint) strtoul (words[2], NULL, 10), error);
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
  guint i;

  bench->model = tandem_model_open (argv[1], NULL, error);
  if (bench->model == NULL)
    return FALSE;
  bench->config = tandem_model_get_config (bench->model);
  bench->rate = g_ascii_strtod (argv[2], NULL);
  bench->decay = g_ascii_strtod (argv[3], NULL);
  bench->size = (guint) strtoul (argv[4], NULL, 10);
  bench->workloads = g_new0 (Workload, bench->n_workloads);
  for (i = 0; i < bench->n_workloads; i++) {
    if (!workload_open (&bench->workloads[i], argv[5 + i], bench->size, error))
      return FALSE;
  }
  bench->numbers = g_new (guint64, bench->size);
  bench->logits = g_new (float, (gsize) bench->size * bench->config->n_classes);
  bench->gradient = g_new (float, (gsize) bench->size * bench->config->n_classes);
  return TRUE;
}

static void
bench_clear (Bench *bench)
{
  guint i;

  for (i = 0; bench->workloads != NULL && i < bench->n_workloads; i++) {
    g_free (bench->workloads[i].labels);
    g_free (bench->workloads[i].ids);
    g_free (bench->workloads[i].offsets);
    g_free (bench->workloads[i].starts);
  }
  g_free (bench->workloads);
  g_free (bench->numbers);
  g_free (bench->logits);
  g_free (bench->gradient);
  for (i = 0; i < G_N_ELEMENTS (bench->trainers); i++)
    g_clear_object (&bench->trainers[i].stage);
  g_clear_object (&bench->model);
}

int
main (int argc, char **argv)
{
  Bench bench = { .n_workloads = (guint) MAX (argc - 5, 0) };
  g_autoptr (GError) error = NULL;
  int status = 0;

  if (argc < 6) {
    fprintf (stderr, "usage: bench-train-stage MODEL RATE DECAY SIZE FILE...\n");
    return 2;
  }
  if (!bench_open (&bench, argv, &error) || !serve (&bench, &error)) {
    fprintf (stderr, "bench-train-stage: %s\n", error->message);
    status = 1;
  }
  bench_clear (&bench);
  return status;
}
