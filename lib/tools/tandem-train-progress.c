/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tandem train says while it works. */

#include "config.h"

#include "tandem-train-progress.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Microseconds between two looks of the line on a terminal, and between plain lines. */
#define TERMINAL_TIME (G_USEC_PER_SEC / 10)
#define PLAIN_TIME (10 * G_USEC_PER_SEC)

/* What the means of loss and accuracy forget with each step. */
#define FORGET 0.05

#define MIN_BAR 5

struct _TrainProgress
{
  gboolean terminal;
  gboolean has_line;            /* a line stands on the terminal that is to change */
  gint64 shown;                 /* when, in monotonic time */

  guint64 total_steps;
  guint64 left;                 /* reviews */
  double loss, accuracy;        /* means of the last steps */
  gboolean has_loss, has_accuracy;
  gint64 at;                    /* when the step before was done, or the run began */
  gint64 worked;                /* microseconds of all steps */
  guint64 n_reviews;            /* of all steps */

  char *metrics;
  FILE *file;
  int failed;                   /* errno of the first write that failed */
};

static gboolean
open_metrics (TrainProgress *self, guint64 step, GError **error)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GString) kept = g_string_new (NULL);
  guint i;

  if (step > 0 && g_file_get_contents (self->metrics, &text, NULL, NULL)) {
    lines = g_strsplit (text, "\n", -1);
    for (i = 0; lines[i] != NULL; i++) {
      g_autoptr (JsonNode) root = json_from_string (lines[i], NULL);

      if (root != NULL && JSON_NODE_HOLDS_OBJECT (root) &&
          json_object_get_int_member_with_default (json_node_get_object (root), "step",
                                                   G_MAXINT64) <= (gint64) step)
        g_string_append_printf (kept, "%s\n", lines[i]);
    }
  }
  if (!g_file_set_contents (self->metrics, kept->str, kept->len, error))
    return FALSE;
  self->file = g_fopen (self->metrics, "ae");
  if (self->file != NULL)
    return TRUE;
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s: %s", self->metrics,
               g_strerror (errno));
  return FALSE;
}

TrainProgress *
train_progress_new (const char *metrics, guint64 step, GError **error)
{
  g_autoptr (TrainProgress) self = g_new0 (TrainProgress, 1);

  self->terminal = isatty (STDOUT_FILENO);
  self->metrics = g_strdup (metrics);
  self->shown = g_get_monotonic_time ();
  if (metrics != NULL && !open_metrics (self, step, error))
    return NULL;
  return g_steal_pointer (&self);
}

static void
clear_line (TrainProgress *self)
{
  if (self->has_line)
    g_print ("\r\033[K");
  self->has_line = FALSE;
}

void
train_progress_free (TrainProgress *self)
{
  clear_line (self);
  if (self->file != NULL)
    fclose (self->file);
  g_free (self->metrics);
  g_free (self);
}

gboolean
train_progress_check (TrainProgress *self, GError **error)
{
  if (self->failed == 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (self->failed), "%s: %s", self->metrics,
               g_strerror (self->failed));
  return FALSE;
}

void
train_progress_say (TrainProgress *self, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  clear_line (self);
  g_print ("%s\n", text);
  fflush (stdout);
}

static guint
get_width (void)
{
  struct winsize size;

  return ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* Shows text behind a bar on a terminal, where it is time for it; plain without one. last: it
 * is always time. */
static void
show (TrainProgress *self, const char *head, guint64 done, guint64 n, const char *text,
      gboolean last)
{
  gint64 now = g_get_monotonic_time ();
  guint width, used, bar, full, i;
  g_autoptr (GString) line = NULL;

  if (!last && now - self->shown < (self->terminal ? TERMINAL_TIME : PLAIN_TIME))
    return;
  self->shown = now;
  if (!self->terminal) {
    g_print ("%s %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT "%s%s\n", head, done, n,
             *text != '\0' ? ", " : "", text);
    fflush (stdout);
    return;
  }
  line = g_string_new (NULL);
  g_string_printf (line, "%s %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT " ", head, done, n);
  width = get_width ();
  used = g_utf8_strlen (line->str, -1) + g_utf8_strlen (text, -1) + 4;
  bar = width > used ? width - used : 0;
  if (bar >= MIN_BAR) {
    bar = MIN (bar, 40);
    full = n > 0 ? done * bar / n : bar;
    g_string_append_c (line, '[');
    for (i = 0; i < bar; i++)
      g_string_append_c (line, i < full ? '#' : '.');
    g_string_append (line, "] ");
  }
  g_string_append (line, text);
  /* A line that wraps could not be taken back. */
  g_string_truncate (line, g_utf8_offset_to_pointer (line->str,
                     MIN ((glong) width - 1, g_utf8_strlen (line->str, -1))) - line->str);
  g_print ("\r\033[K%s", line->str);
  fflush (stdout);
  self->has_line = TRUE;
}

void
train_progress_work (TrainProgress *self, const char *what, guint64 done, guint64 n)
{
  if (done < n)
    show (self, what, done, n, "", FALSE);
  else
    clear_line (self);
}

void
train_progress_begin (TrainProgress *self, guint64 total_steps, guint64 left)
{
  self->total_steps = total_steps;
  self->left = left;
  self->at = g_get_monotonic_time ();
}

static void
write_metrics (TrainProgress *self, JsonBuilder *builder)
{
  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  g_autofree char *text = json_to_string (root, FALSE);

  if (self->file != NULL && (fprintf (self->file, "%s\n", text) < 0 || fflush (self->file) != 0) &&
      self->failed == 0)
    self->failed = errno;
}

static void
add_number (JsonBuilder *builder, const char *name, double value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_double_value (builder, value);
}

static void
add_count (JsonBuilder *builder, const char *name, gint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, value);
}

static void
begin_metrics (JsonBuilder *builder, const char *event, guint64 step)
{
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "event");
  json_builder_add_string_value (builder, event);
  add_count (builder, "step", step);
}

static void
write_step (TrainProgress *self, const TrainStep *step)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  begin_metrics (builder, "step", step->step);
  add_count (builder, "sequences", step->n_sequences);
  add_number (builder, "loss", step->loss);
  if (step->hidden_loss >= 0.0)
    add_number (builder, "hidden_loss", step->hidden_loss);
  if (step->n_correct >= 0)
    add_number (builder, "accuracy", (double) step->n_correct / step->n_judged);
  add_number (builder, "learning_rate", step->learning_rate);
  add_number (builder, "norm", step->norm);
  add_count (builder, "in_flight", step->in_flight);
  json_builder_end_object (builder);
  write_metrics (self, builder);
}

/* The mean of the last steps, the last one counting most. */
static void
follow (double *mean, gboolean *has_mean, double value)
{
  *mean = *has_mean ? *mean + FORGET * (value - *mean) : value;
  *has_mean = TRUE;
}

static char *
describe_time (double seconds)
{
  guint64 s = seconds;

  if (s >= 3600)
    return g_strdup_printf ("%" G_GUINT64_FORMAT ":%02u:%02u", s / 3600, (guint) (s / 60 % 60),
                            (guint) (s % 60));
  return g_strdup_printf ("%u:%02u", (guint) (s / 60), (guint) (s % 60));
}

void
train_progress_step (TrainProgress *self, const TrainStep *step)
{
  gint64 now = g_get_monotonic_time ();
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *left = NULL;
  double rate;

  write_step (self, step);
  follow (&self->loss, &self->has_loss, step->loss);
  if (step->n_correct >= 0)
    follow (&self->accuracy, &self->has_accuracy, (double) step->n_correct / step->n_judged);
  self->n_reviews += step->n_sequences;
  self->worked += now - self->at;
  self->at = now;
  self->left -= MIN (self->left, step->n_sequences);
  rate = self->n_reviews / (MAX (self->worked, 1) / (double) G_USEC_PER_SEC);
  left = describe_time (self->left / rate);

  g_string_append_printf (text, _("loss %.4f"), self->loss);
  if (self->has_accuracy)
    g_string_append_printf (text, _(", %.1f %% right"), 100.0 * self->accuracy);
  g_string_append_printf (text, _(", %.0f reviews/s, %s left"), rate, left);
  show (self, _("step"), step->step, self->total_steps, text->str,
        step->step == self->total_steps);
}

void
train_progress_measured (TrainProgress *self, const TrainMeasurement *measurement, gboolean best,
                         guint n)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  begin_metrics (builder, "evaluation", measurement->step);
  add_count (builder, "sequences", n);
  add_number (builder, "loss", measurement->loss);
  add_number (builder, "accuracy", measurement->accuracy);
  json_builder_set_member_name (builder, "best");
  json_builder_add_boolean_value (builder, best);
  json_builder_end_object (builder);
  write_metrics (self, builder);
  if (measurement->n_tokens > 0) {
    train_progress_say (self, best ? _("step %u: the loss of masked words held out is %.4f, the best "
                                       "so far; %.2f %% of %u are right")
                                   : _("step %u: the loss of masked words held out is %.4f; %.2f %% "
                                       "of %u are right"), (guint) measurement->step,
                        measurement->loss, 100.0 * measurement->accuracy,
                        (guint) measurement->n_tokens);
    return;
  }
  train_progress_say (self, best ? _("step %u: %.2f %% of %u reviews held out are right, the "
                                     "best so far; their loss is %.4f")
                                 : _("step %u: %.2f %% of %u reviews held out are right; their "
                                     "loss is %.4f"), (guint) measurement->step, 100.0 * measurement->accuracy, n, measurement->loss);
}
