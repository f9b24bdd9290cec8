/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Parallel coordinates (Inselberg 1985): an axis for each parameter and one for the value, and a line
 * for each candidate. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <stdlib.h>

#include "base/tandem-plot-private.h"
#include "evolve/tandem-importance.h"
#include "evolve/tandem-optimizer-private.h"
#include "evolve/tandem-search-picture-private.h"
#include "evolve/tandem-search-picture.h"

#define LEFT TANDEM_SEARCH_PICTURE_LEFT
#define RIGHT 124.0
#define TOP 108.0
#define HEIGHT 340.0
/* Below an axis: where a parameter that is not there is. */
#define ABSENT 34.0
#define BOTTOM 66.0

#define MAX_AXES 16
#define LEAST_DISTANCE 104.0    /* of axes: names have room */
#define MAX_NAME 16             /* letters */
#define MAX_LABELS 12           /* of an axis */
#define MAX_LINES 1000

/* Candidates with the same category or whole number are spread over this part of its place. */
#define SPREAD 0.5

static const TandemPlotColor ink = { 0.20, 0.22, 0.25 };
static const TandemPlotColor worst_color = { 0.80, 0.85, 0.91 };
static const TandemPlotColor good_color = { 0.11, 0.37, 0.66 };
static const TandemPlotColor best_color = { 0.84, 0.37, 0.05 };
static const TandemPlotColor stopped_color = { 0.90, 0.90, 0.90 };

typedef struct
{
  guint64 number;
  double value;
  gboolean is_stopped;          /* early: its value is of a part of the work */
} Line;

typedef struct
{
  TandemOptimizerPrivate *priv;
  const char *value;
  guint axes[MAX_AXES];         /* parameters */
  guint n_axes;
  double distance;              /* between two axes */
  GArray *lines;                /* Line, in the order in which they are drawn */
  guint n_stopped;              /* the first ones */
  double low, high;             /* of the values, or of their logarithms */
  gboolean by_logarithm;
} Parallel;

/* Worse ones first, as the one drawn last is on top. */
static int
compare_lines (const void *a, const void *b)
{
  const Line *left = a, *right = b;

  if (left->is_stopped != right->is_stopped)
    return right->is_stopped - left->is_stopped;
  if (left->value != right->value)
    return left->value < right->value ? 1 : -1;
  return (left->number < right->number) - (left->number > right->number);
}

static void
collect (Parallel *self)
{
  TandemOptimizerPrivate *priv = self->priv;
  guint64 number;

  for (number = 0; number < priv->records->len; number++) {
    const TandemRecord *record = tandem_optimizer_get_record (priv, number);
    Line line = { number, record->outcome.values[0], record->outcome.rung + 1 < priv->n_rungs };

    if (record->original == number && record->state == TANDEM_RECORD_FINAL &&
        !record->outcome.failed && record->outcome.violation <= 0 && isfinite (line.value)) {
      g_array_append_val (self->lines, line);
      self->n_stopped += line.is_stopped;
    }
  }
  g_array_sort (self->lines, compare_lines);
}

/* Of very many candidates some, evenly by rank, and always the best. */
static void
thin_out (Parallel *self)
{
  const guint n = self->lines->len, n_stopped = self->n_stopped;
  guint n_kept = 0, i;

  if (n <= MAX_LINES)
    return;
  self->n_stopped = 0;
  for (i = 0; i < n; i++) {
    if ((guint64) (i + 1) * MAX_LINES / n == (guint64) i * MAX_LINES / n)
      continue;
    g_array_index (self->lines, Line, n_kept++) = g_array_index (self->lines, Line, i);
    self->n_stopped += i < n_stopped;
  }
  g_array_set_size (self->lines, n_kept);
}

/* Stopped candidates do not count, unless there are no others. */
static void
find_range (Parallel *self)
{
  guint first = self->n_stopped < self->lines->len ? self->n_stopped : 0, i;

  self->low = INFINITY;
  self->high = -INFINITY;
  for (i = first; i < self->lines->len; i++) {
    self->low = MIN (self->low, g_array_index (self->lines, Line, i).value);
    self->high = MAX (self->high, g_array_index (self->lines, Line, i).value);
  }
  self->by_logarithm = self->low > 0 &&
      self->high > TANDEM_SEARCH_PICTURE_LOG_RATIO * self->low;
  if (self->by_logarithm) {
    self->low = log10 (self->low);
    self->high = log10 (self->high);
  }
}

/* All parameters, or of very many those that matter most. */
static void
choose_axes (Parallel *self, TandemOptimizer *optimizer)
{
  g_autofree double *importance = NULL;
  gsize n, i, k;

  importance = tandem_optimizer_get_importance (optimizer, &n);
  for (i = 0; i < n && self->n_axes < MAX_AXES; i++) {
    guint n_before = 0;

    for (k = 0; n > MAX_AXES && k < n; k++)
      n_before += importance[k] > importance[i] || (importance[k] == importance[i] && k < i);
    if (n_before < MAX_AXES)
      self->axes[self->n_axes++] = (guint) i;
  }
}

static double
get_x (const Parallel *self, guint axis)
{
  return LEFT + axis * self->distance;
}

/* From 0, the lower end of an axis, to 1. */
static double
to_y (double part)
{
  return TOP + HEIGHT * (1.0 - part);
}

/* Where a candidate crosses an axis. */
static double
get_y (const Parallel *self, guint parameter, double place, double value)
{
  const TandemParameter *description = tandem_search_space_get (self->priv->space, parameter);
  double n, middle;

  if (isnan (value))
    return TOP + HEIGHT + ABSENT;
  if (description->kind != TANDEM_PARAMETER_KIND_CATEGORICAL &&
      description->kind != TANDEM_PARAMETER_KIND_INTEGER)
    return to_y (place);
  n = description->high - description->low + 1.0;
  middle = (value - description->low + 0.5) / n;
  return to_y (middle + SPREAD * (place - middle));
}

static double
get_value_y (const Parallel *self, double value)
{
  double at = self->by_logarithm ? log10 (value) : value;

  return self->high > self->low
    ? to_y (CLAMP ((at - self->low) / (self->high - self->low), 0.0, 1.0)) : to_y (0.5);
}

static void
set_color (cairo_t *cr, const TandemPlotColor *color)
{
  cairo_set_source_rgb (cr, color->red, color->green, color->blue);
}

static void
draw_line (cairo_t *cr, const Parallel *self, const Line *line)
{
  double *values = (double *) (gpointer) self->priv->values->data;
  const double *point = tandem_optimizer_get_point (self->priv, line->number);
  guint i;

  tandem_search_space_decode (self->priv->space, point, values);
  cairo_new_path (cr);
  for (i = 0; i < self->n_axes; i++)
    cairo_line_to (cr, get_x (self, i),
                   get_y (self, self->axes[i], point[self->axes[i]], values[self->axes[i]]));
  /* The value of one that was stopped is none that others could be compared with. */
  if (!line->is_stopped || self->n_stopped == self->lines->len)
    cairo_line_to (cr, get_x (self, self->n_axes), get_value_y (self, line->value));
  cairo_stroke (cr);
}

static void
draw_lines (cairo_t *cr, const Parallel *self)
{
  const guint n = self->lines->len, n_whole = n - self->n_stopped;
  guint i;

  cairo_set_line_width (cr, n > 300 ? 0.6 : 1.0);
  cairo_set_line_join (cr, CAIRO_LINE_JOIN_ROUND);
  for (i = 0; i < n; i++) {
    double rank = n_whole > 1 ? (double) (i - self->n_stopped) / (n_whole - 1) : 1.0;
    /* So that many candidates are not all dark. */
    double part = rank * rank;

    if (i < self->n_stopped) {
      set_color (cr, &stopped_color);
    } else if (i + 1 == n) {
      set_color (cr, &best_color);
      cairo_set_line_width (cr, 2.6);
    } else {
      cairo_set_source_rgb (cr, worst_color.red + part * (good_color.red - worst_color.red),
                            worst_color.green + part * (good_color.green - worst_color.green),
                            worst_color.blue + part * (good_color.blue - worst_color.blue));
    }
    draw_line (cr, self, &g_array_index (self->lines, Line, i));
  }
}

/* On white, since lines are below. */
static void
draw_text (cairo_t *cr, const char *text, double x, double y)
{
  g_autofree char *part = g_utf8_strlen (text, -1) > MAX_NAME
    ? g_utf8_substring (text, 0, MAX_NAME - 1) : NULL;
  g_autofree char *cut = part != NULL ? g_strconcat (part, "…", NULL) : g_strdup (text);
  cairo_text_extents_t extents;

  cairo_text_extents (cr, cut, &extents);
  cairo_set_source_rgba (cr, 1, 1, 1, 0.75);
  cairo_rectangle (cr, x - 2, y - 7, extents.x_advance + 4, 14);
  cairo_fill (cr);
  set_color (cr, &ink);
  cairo_move_to (cr, x, y + 4);
  cairo_show_text (cr, cut);
}

/* Beside an axis. */
static void
draw_label (cairo_t *cr, const char *text, double x, double y)
{
  draw_text (cr, text, x + 6, y);
  cairo_move_to (cr, x - 3, y);
  cairo_line_to (cr, x + 3, y);
  cairo_stroke (cr);
}

static void
draw_number (cairo_t *cr, double number, double x, double part)
{
  g_autofree char *text = g_strdup_printf ("%.4g", number);

  draw_label (cr, text, x, to_y (part));
}

/* Each, or the ends and three between them. */
static void
draw_places (cairo_t *cr, const TandemParameter *parameter, double x)
{
  double n = parameter->high - parameter->low + 1.0;
  guint n_labels = (guint) MIN (n, MAX_LABELS), i;

  if (n > MAX_LABELS)
    n_labels = 5;
  for (i = 0; i < n_labels; i++) {
    double at = n > MAX_LABELS ? floor (i * (n - 1.0) / (n_labels - 1)) : i;

    if (parameter->kind == TANDEM_PARAMETER_KIND_CATEGORICAL)
      draw_label (cr, parameter->categories[(gsize) at], x, to_y ((at + 0.5) / n));
    else
      draw_number (cr, parameter->low + at, x, (at + 0.5) / n);
  }
}

/* Ends, and the powers of ten between them that are not next to these; low and high: logarithms. */
static void
draw_powers (cairo_t *cr, double low, double high, double x)
{
  double power;

  draw_number (cr, pow (10.0, low), x, 0.0);
  draw_number (cr, pow (10.0, high), x, 1.0);
  for (power = ceil (low); power <= high; power += ceil ((high - low) / MAX_LABELS))
    if ((power - low) / (high - low) > 0.05 && (high - power) / (high - low) > 0.05)
      draw_number (cr, pow (10.0, power), x, (power - low) / (high - low));
}

static void
draw_range (cairo_t *cr, double low, double high, double x)
{
  guint i;

  if (!(high > low)) {
    draw_number (cr, low, x, 0.5);
    return;
  }
  for (i = 0; i <= 4; i++)
    draw_number (cr, low + i / 4.0 * (high - low), x, i / 4.0);
}

static void
draw_axis (cairo_t *cr, const char *name, double x)
{
  set_color (cr, &ink);
  cairo_set_line_width (cr, 1.0);
  cairo_move_to (cr, x, TOP);
  cairo_line_to (cr, x, TOP + HEIGHT);
  cairo_stroke (cr);
  cairo_select_font_face (cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_BOLD);
  draw_text (cr, name, x - 6, TOP - 18);
  cairo_select_font_face (cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
}

static void
draw_parameter (cairo_t *cr, const TandemParameter *parameter, double x)
{
  draw_axis (cr, parameter->name, x);
  if (parameter->kind == TANDEM_PARAMETER_KIND_LOG)
    draw_powers (cr, log10 (parameter->low), log10 (parameter->high), x);
  else if (parameter->kind == TANDEM_PARAMETER_KIND_REAL)
    draw_range (cr, parameter->low, parameter->high, x);
  else
    draw_places (cr, parameter, x);
  if (parameter->parent >= 0)
    draw_label (cr, _("not there"), x, TOP + HEIGHT + ABSENT);
}

static double
draw_entry (cairo_t *cr, const char *text, const TandemPlotColor *color, double width, double x)
{
  const double y = TANDEM_SEARCH_PICTURE_TOP - 8;
  cairo_text_extents_t extents;

  set_color (cr, color);
  cairo_set_line_width (cr, width);
  cairo_move_to (cr, x, y);
  cairo_line_to (cr, x + 22, y);
  cairo_stroke (cr);
  set_color (cr, &ink);
  cairo_move_to (cr, x + 28, y + 4);
  cairo_show_text (cr, text);
  cairo_text_extents (cr, text, &extents);
  return x + 28 + extents.x_advance + 24;
}

static void
draw_parallel (cairo_t *cr, gpointer data)
{
  const Parallel *self = data;
  double x = LEFT;
  guint i;

  cairo_select_font_face (cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size (cr, 11.0);
  x = draw_entry (cr, _("best"), &best_color, 2.6, x);
  x = draw_entry (cr, _("good"), &good_color, 1.0, x);
  x = draw_entry (cr, _("poor"), &worst_color, 1.0, x);
  if (self->n_stopped > 0)
    draw_entry (cr, _("stopped early"), &stopped_color, 1.0, x);
  draw_lines (cr, self);
  for (i = 0; i < self->n_axes; i++)
    draw_parameter (cr, tandem_search_space_get (self->priv->space, self->axes[i]),
                    get_x (self, i));
  draw_axis (cr, self->value, get_x (self, self->n_axes));
  if (self->by_logarithm)
    draw_powers (cr, self->low, self->high, get_x (self, self->n_axes));
  else
    draw_range (cr, self->low, self->high, get_x (self, self->n_axes));
}

/**
 * tandem_parallel_write:
 * @optimizer: a search
 * @title: (nullable): what stands above
 * @value: what the first value is
 * @path: (type filename): where to write; an earlier picture there is replaced
 * @error: return location for a #GIOErrorEnum or a #GFileError
 *
 * Draws the feasible candidates as SVG in parallel coordinates (Inselberg 1985, The plane with
 * parallel coordinates): an axis for each parameter, one for the first value, and a line for each
 * candidate, darker the better its rank is, the best one on top. Axes are those of the search: of
 * logarithms where they are searched evenly, and with the same room for each whole number and each
 * category. A conditional parameter that a candidate does not have is below its axis. Candidates
 * that were stopped early are pale and have no value. Of more than 1000 candidates so many are
 * drawn, evenly by rank; of more than 16 parameters those that matter most, as
 * tandem_optimizer_get_importance() has it. The file appears whole or not at all.
 *
 * Returns: whether the picture was written
 */
gboolean
tandem_parallel_write (TandemOptimizer *optimizer, const char *title, const char *value,
                       const char *path, GError **error)
{
  Parallel data = { .value = value };
  gboolean written;
  double width;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (optimizer), FALSE);
  g_return_val_if_fail (value != NULL && path != NULL, FALSE);

  data.priv = tandem_optimizer_get_private (optimizer);
  data.lines = g_array_new (FALSE, FALSE, sizeof (Line));
  collect (&data);
  if (data.lines->len == 0) {
    written = tandem_search_picture_fail_empty (path, error);
  } else {
    thin_out (&data);
    find_range (&data);
    choose_axes (&data, optimizer);
    data.distance = MAX (LEAST_DISTANCE, (TANDEM_SEARCH_PICTURE_WIDTH - LEFT - RIGHT) /
                                         data.n_axes);
    width = LEFT + data.n_axes * data.distance + RIGHT;
    written = tandem_search_picture_write (width, TOP + HEIGHT + BOTTOM, draw_parallel, &data,
                                           title, path, error);
  }
  g_array_unref (data.lines);
  return written;
}
