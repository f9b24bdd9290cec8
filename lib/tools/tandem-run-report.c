/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tandem run says while it works, and at its end. */

#include "config.h"

#include "tandem-run-report.h"

#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "tandem-command.h"

/* The rate is one of so long, in microseconds. */
#define RATE_TIME (5 * G_USEC_PER_SEC)

struct _RunReport
{
  gboolean json;
  gboolean terminal;
  gboolean has_line;            /* one stands there that is to change */
  const gint *total;
  gint done;                    /* atomic */
  gint64 began;
  /* A sample that is some seconds old, and a newer one. */
  gint64 old_time, new_time;
  gint old_done, new_done;
  double rate;                  /* 0: not known */
  GstStructure *summary;        /* (nullable): of the sink */
};

RunReport *
run_report_new (gboolean json, const gint *total)
{
  RunReport *self = g_new0 (RunReport, 1);

  self->json = json;
  self->terminal = !json && isatty (STDERR_FILENO);
  self->total = total;
  self->began = self->old_time = self->new_time = g_get_monotonic_time ();
  return self;
}

void
run_report_free (RunReport *self)
{
  g_clear_pointer (&self->summary, gst_structure_free);
  g_free (self);
}

void
run_report_count (RunReport *self, guint n)
{
  g_atomic_int_add (&self->done, (gint) n);
}

void
run_report_clear (RunReport *self)
{
  if (self->has_line)
    g_printerr ("\r\033[K");
  self->has_line = FALSE;
}

static void say (RunReport *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
say (RunReport *self, const char *format, ...)
{
  g_autofree char *text = NULL, *printable = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  printable = tandem_command_printable (text);
  run_report_clear (self);
  g_printerr ("%s\n", printable);
}

/* --- JSON --- */

static void
add_field (JsonBuilder *json, const char *name, const GValue *value)
{
  json_builder_set_member_name (json, name);
  if (G_VALUE_HOLDS_STRING (value) && g_value_get_string (value) != NULL)
    json_builder_add_string_value (json, g_value_get_string (value));
  else if (G_VALUE_HOLDS_DOUBLE (value) && isfinite (g_value_get_double (value)))
    json_builder_add_double_value (json, g_value_get_double (value));
  else if (G_VALUE_HOLDS_UINT (value))
    json_builder_add_int_value (json, g_value_get_uint (value));
  else if (G_VALUE_HOLDS_UINT64 (value))
    json_builder_add_int_value (json, (gint64) g_value_get_uint64 (value));
  else
    json_builder_add_null_value (json);
}

static void
print_json (const char *event, const GstStructure *s, double seconds, int interrupted)
{
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *line = NULL;
  int i;

  json_builder_begin_object (json);
  json_builder_set_member_name (json, "event");
  json_builder_add_string_value (json, event);
  json_builder_set_member_name (json, "seconds");
  json_builder_add_double_value (json, seconds);
  if (interrupted >= 0) {
    json_builder_set_member_name (json, "interrupted");
    json_builder_add_boolean_value (json, interrupted);
  }
  for (i = 0; s != NULL && i < gst_structure_n_fields (s); i++) {
    const char *name = gst_structure_nth_field_name (s, i);

    add_field (json, name, gst_structure_get_value (s, name));
  }
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  line = json_to_string (root, FALSE);
  g_printerr ("%s\n", line);
}

static double
get_seconds (RunReport *self)
{
  return (double) (g_get_monotonic_time () - self->began) / G_USEC_PER_SEC;
}

/* --- messages --- */

static void
tell_plan (RunReport *self, const GstStructure *s)
{
  const char *placement = gst_structure_get_string (s, "placement");
  double predicted = 0, measured = 0;

  gst_structure_get (s, "predicted", G_TYPE_DOUBLE, &predicted, "measured", G_TYPE_DOUBLE,
                     &measured, NULL);
  if (measured > 0 && predicted > 0)
    say (self, _("Layers %s: %.0f reviews a second, %.0f were predicted."), placement, measured,
         predicted);
  else if (measured > 0)
    say (self, _("Layers %s: %.0f reviews a second."), placement, measured);
  else if (predicted > 0)
    say (self, _("Layers %s; %.0f reviews a second are predicted."), placement, predicted);
  else
    say (self, _("Layers %s."), placement);
}

void
run_report_message (RunReport *self, const GstStructure *s)
{
  if (gst_structure_has_name (s, "tandem-summary")) {
    g_clear_pointer (&self->summary, gst_structure_free);
    self->summary = gst_structure_copy (s);
  } else if (gst_structure_has_name (s, "tandem-plan")) {
    if (self->json)
      print_json ("plan", s, get_seconds (self), -1);
    else
      tell_plan (self, s);
  } else if (gst_structure_has_name (s, "tandem-moved")) {
    if (self->json)
      print_json ("moved", s, get_seconds (self), -1);
    else if (gst_structure_get_string (s, "placement") != NULL)
      say (self, _("Moved: %s"), gst_structure_get_string (s, "reason"));
    else
      say (self, _("Waiting for devices: %s"), gst_structure_get_string (s, "reason"));
  }
}

/* --- progress --- */

static char *
describe_time (double seconds)
{
  guint whole = (guint) MIN (seconds + 0.5, 359999);

  if (whole >= 3600)
    return g_strdup_printf ("%u:%02u:%02u", whole / 3600, whole / 60 % 60, whole % 60);
  return g_strdup_printf ("%u:%02u", whole / 60, whole % 60);
}

static void
take_rate (RunReport *self, gint64 now, gint done)
{
  if (now > self->old_time)
    self->rate = (double) (done - self->old_done) * G_USEC_PER_SEC / (now - self->old_time);
  if (now - self->new_time < RATE_TIME)
    return;
  self->old_time = self->new_time;
  self->old_done = self->new_done;
  self->new_time = now;
  self->new_done = done;
}

void
run_report_progress (RunReport *self)
{
  gint done = g_atomic_int_get (&self->done), total = g_atomic_int_get (self->total);
  g_autofree char *left = NULL;

  if (!self->terminal || done == 0)
    return;
  take_rate (self, g_get_monotonic_time (), done);
  run_report_clear (self);
  self->has_line = TRUE;
  if (total >= done && self->rate > 0) {
    left = describe_time ((total - done) / self->rate);
    g_printerr (_("%d of %d reviews, %.0f a second, %s left"), done, total, self->rate, left);
  } else {
    g_printerr (_("%d reviews, %.0f a second"), done, self->rate);
  }
}

void
run_report_end (RunReport *self, gboolean interrupted)
{
  guint64 reviews = (guint) g_atomic_int_get (&self->done), labelled = 0, correct = 0;
  double seconds = get_seconds (self), rate;
  g_autofree char *time = describe_time (seconds);
  g_autofree char *number = NULL;

  if (self->json) {
    print_json ("summary", self->summary, seconds, interrupted);
    return;
  }
  if (self->summary != NULL)
    gst_structure_get (self->summary, "reviews", G_TYPE_UINT64, &reviews, "labelled",
                       G_TYPE_UINT64, &labelled, "correct", G_TYPE_UINT64, &correct, NULL);
  rate = reviews / MAX (seconds, 1e-3);
  number = g_strdup_printf ("%" G_GUINT64_FORMAT, reviews);
  if (labelled > 0)
    say (self, _("%s reviews in %s, %.1f a second; %.2f %% of those with a label are right."),
         number, time, rate, 100.0 * correct / labelled);
  else
    say (self, _("%s reviews in %s, %.1f a second."), number, time, rate);
}
