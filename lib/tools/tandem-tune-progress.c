/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-tune-progress.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <unistd.h>

#include "tandem-command.h"

/* The spread is that of so many values, the last ones. */
#define RECENT 20

struct _TuneProgress
{
  const TuneOptions *options;
  TandemOptimizer *optimizer;
  gboolean is_terminal;
  gint64 started;               /* microseconds */
  guint64 n;                    /* evaluations of this run */
  double recent[RECENT];        /* first values, a ring */
  guint64 n_values;
  double best;
};

TuneProgress *
tune_progress_new (const TuneOptions *options, TandemOptimizer *optimizer)
{
  TuneProgress *self = g_new0 (TuneProgress, 1);
  TandemOutcome outcome;

  self->options = options;
  self->optimizer = g_object_ref (optimizer);
  self->is_terminal = isatty (STDOUT_FILENO);
  self->started = g_get_monotonic_time ();
  self->best = tandem_optimizer_get_best (optimizer, NULL, &outcome) ? outcome.values[0] : INFINITY;
  return self;
}

/* The line that changes ends. */
static void
end_line (TuneProgress *self)
{
  if (self->is_terminal && self->n > 0)
    g_print ("\n");
}

void
tune_progress_free (TuneProgress *self)
{
  end_line (self);
  g_object_unref (self->optimizer);
  g_free (self);
}

char *
tune_describe_value (TandemMeasure measure, double cost)
{
  if (measure == TANDEM_MEASURE_ACCURACY)
    return g_strdup_printf (_("%.2f %% right"), 100.0 * (1.0 - cost));
  return g_strdup_printf ("%s %.6g", tandem_measure_get_name (measure), cost);
}

static double
get_spread (const TuneProgress *self)
{
  guint n = (guint) MIN (self->n_values, RECENT), i;
  double sum = 0.0, squares = 0.0;

  for (i = 0; i < n; i++)
    sum += self->recent[i] / n;
  for (i = 0; i < n; i++)
    squares += (self->recent[i] - sum) * (self->recent[i] - sum) / n;
  return sqrt (squares);
}

static void
show (TuneProgress *self)
{
  const guint64 n = tandem_optimizer_get_n_evaluations (self->optimizer);
  const guint64 budget = self->options->evaluations;
  double seconds = (double) (g_get_monotonic_time () - self->started) / G_USEC_PER_SEC;
  double rate = seconds > 0.0 ? self->n / seconds : 0.0;
  double left = rate > 0.0 && n < budget ? (budget - n) / rate : 0.0;
  g_autofree char *best = tune_describe_value (self->options->measures[0], self->best);

  if (self->options->time > 0.0)
    left = MIN (left, MAX (self->options->time -
                           tandem_optimizer_get_seconds (self->optimizer), 0.0));
  /* From the start of the line, whose rest is cleared. */
  g_print ("\r");
  g_print (_("%u of %u: best %s, spread %.3g, %.2g evaluations a second, %u min %02u s left"),
           (guint) n, (guint) budget, best, get_spread (self), rate, (guint) (left / 60),
           (guint) fmod (left, 60));
  g_print ("\033[K");
}

void
tune_progress_add (TuneProgress *self, guint64 number, const char *failure)
{
  TandemOutcome outcome;
  gboolean is_better = FALSE;

  self->n++;
  if (failure != NULL) {
    if (self->is_terminal)
      g_print ("\r\033[K");
    tandem_command_warn (_("candidate %u: %s"), (guint) number, failure);
  } else if (tandem_optimizer_get_outcome (self->optimizer, number, &outcome, NULL)) {
    self->recent[self->n_values++ % RECENT] = outcome.values[0];
  }
  if (tandem_optimizer_get_best (self->optimizer, NULL, &outcome)) {
    is_better = outcome.values[0] < self->best;
    self->best = outcome.values[0];
  }
  if (self->is_terminal) {
    show (self);
  } else if (is_better) {
    g_autofree char *best = tune_describe_value (self->options->measures[0], self->best);

    g_print (_("%u of %u: best %s\n"),
             (guint) tandem_optimizer_get_n_evaluations (self->optimizer),
             (guint) self->options->evaluations, best);
  }
}
