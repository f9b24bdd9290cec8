/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a search went, what its front is, and which parameters mattered, as SVG. */

#include "config.h"

#include "evolve/tandem-search-picture.h"

#include <cairo-svg.h>
#include <glib/gi18n-lib.h>
#include <math.h>
#include <stdlib.h>

#include "base/tandem-plot-private.h"
#include "evolve/tandem-importance.h"
#include "evolve/tandem-search-picture-private.h"

#define WIDTH TANDEM_SEARCH_PICTURE_WIDTH
#define LEFT TANDEM_SEARCH_PICTURE_LEFT
#define RIGHT 28.0
#define TOP TANDEM_SEARCH_PICTURE_TOP
#define BOTTOM 58.0
#define HEIGHT 340.0

/* A picture of parameters. */
#define MAX_BARS 24
#define BAR 22.0
#define NAMES 190.0

/* As many points of a curve as the panel has columns. */
#define MAX_POINTS 720

static const TandemPlotColor colors[TANDEM_CONVERGENCE_MAX_SERIES] = {
  { 0.11, 0.37, 0.66 }, { 0.84, 0.37, 0.05 }, { 0.11, 0.50, 0.31 },
  { 0.55, 0.24, 0.60 }, { 0.60, 0.45, 0.08 }, { 0.40, 0.42, 0.45 },
};
static const TandemPlotColor pale = { 0.70, 0.73, 0.77 };

static cairo_status_t
append (void *closure, const unsigned char *bytes, unsigned int length)
{
  g_byte_array_append (closure, bytes, length);
  return CAIRO_STATUS_SUCCESS;
}

gboolean
tandem_search_picture_write (double width, double height, TandemSearchPictureDraw draw,
                             gpointer data, const char *title, const char *path, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  cairo_surface_t *surface = cairo_svg_surface_create_for_stream (append, bytes, width, height);
  cairo_t *cr = cairo_create (surface);
  cairo_status_t status;

  cairo_set_source_rgb (cr, 1, 1, 1);
  cairo_paint (cr);
  if (title != NULL)
    tandem_plot_title (cr, title, LEFT, TOP - 34);
  draw (cr, data);
  cairo_destroy (cr);
  cairo_surface_finish (surface);
  status = cairo_surface_status (surface);
  cairo_surface_destroy (surface);
  if (status != CAIRO_STATUS_SUCCESS) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: the picture cannot be drawn: %s", path,
                 cairo_status_to_string (status));
    return FALSE;
  }
  return g_file_set_contents_full (path, (const char *) bytes->data, bytes->len,
                                   G_FILE_SET_CONTENTS_CONSISTENT, 0666, error);
}

gboolean
tandem_search_picture_fail_empty (const char *path, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
               "%s: there is no finite value that a picture could show", path);
  return FALSE;
}

/* The median and the quartiles of a series, where they are finite. */
typedef struct
{
  gsize n;
  double *x, *low, *middle, *high;
} Curve;

typedef struct
{
  const TandemConvergenceSeries *series;
  guint n_series;
  Curve curves[TANDEM_CONVERGENCE_MAX_SERIES];
  double least, most, last;     /* of values, and of evaluations */
  gboolean by_logarithm;
} Convergence;

static int
compare (const void *a, const void *b)
{
  double left = *(const double *) a, right = *(const double *) b;

  return (left > right) - (left < right);
}

static double
get_quantile (const double *sorted, guint n, double part)
{
  double at = part * (n - 1);
  guint low = (guint) at;

  /* Not where both are infinite, whose difference is none. */
  if (low + 1 >= n || at == low || sorted[low] == sorted[low + 1])
    return sorted[low];
  return sorted[low] + (at - low) * (sorted[low + 1] - sorted[low]);
}

static void
curve_init (Curve *curve, const TandemConvergenceSeries *series)
{
  g_autofree double *values = g_new (double, MAX (series->n_runs, 1));
  gsize longest = 0, step, k;
  guint i;

  for (i = 0; i < series->n_runs; i++)
    longest = MAX (longest, series->lengths[i]);
  step = longest / MAX_POINTS + 1;
  curve->x = g_new (double, MAX_POINTS + 2);
  curve->low = g_new (double, MAX_POINTS + 2);
  curve->middle = g_new (double, MAX_POINTS + 2);
  curve->high = g_new (double, MAX_POINTS + 2);
  for (k = 0; k < longest; k = k + 1 < longest ? MIN (k + step, longest - 1) : longest) {
    guint n = 0;

    /* A run that ended keeps its last value. */
    for (i = 0; i < series->n_runs; i++)
      if (series->lengths[i] > 0)
        values[n++] = series->runs[i][MIN (k, series->lengths[i] - 1)];
    qsort (values, n, sizeof *values, compare);
    if (n == 0 || !isfinite (get_quantile (values, n, 0.75)))
      continue;
    curve->x[curve->n] = k + 1;
    curve->low[curve->n] = get_quantile (values, n, 0.25);
    curve->middle[curve->n] = get_quantile (values, n, 0.5);
    curve->high[curve->n++] = get_quantile (values, n, 0.75);
  }
}

static void
curve_clear (Curve *curve)
{
  g_free (curve->x);
  g_free (curve->low);
  g_free (curve->middle);
  g_free (curve->high);
}

static void
take_logarithms (double *values, gsize n)
{
  gsize i;

  for (i = 0; i < n; i++)
    values[i] = log10 (values[i]);
}

static void
convergence_init (Convergence *self)
{
  guint i;
  gsize k;

  self->least = INFINITY;
  self->most = -INFINITY;
  for (i = 0; i < self->n_series; i++) {
    Curve *curve = &self->curves[i];

    curve_init (curve, &self->series[i]);
    for (k = 0; k < curve->n; k++) {
      self->least = MIN (self->least, curve->low[k]);
      self->most = MAX (self->most, curve->high[k]);
      self->last = MAX (self->last, curve->x[k]);
    }
  }
  self->by_logarithm = self->least > 0 && self->most > TANDEM_SEARCH_PICTURE_LOG_RATIO * self->least;
  for (i = 0; self->by_logarithm && i < self->n_series; i++) {
    take_logarithms (self->curves[i].low, self->curves[i].n);
    take_logarithms (self->curves[i].middle, self->curves[i].n);
    take_logarithms (self->curves[i].high, self->curves[i].n);
  }
}

/* What lies between the quartiles. */
static void
draw_band (TandemPlot *plot, const Curve *curve, const TandemPlotColor *color)
{
  cairo_t *cr = plot->cr;
  gsize k;

  cairo_new_path (cr);
#define TO(x, y) \
  plot->left + plot->width * ((x) - plot->x_low) / (plot->x_high - plot->x_low), \
  plot->top + plot->height * (plot->y_high - (y)) / (plot->y_high - plot->y_low)
  for (k = 0; k < curve->n; k++)
    cairo_line_to (cr, TO (curve->x[k], curve->low[k]));
  for (k = curve->n; k-- > 0;)
    cairo_line_to (cr, TO (curve->x[k], curve->high[k]));
#undef TO
  cairo_close_path (cr);
  cairo_set_source_rgba (cr, color->red, color->green, color->blue, 0.16);
  cairo_fill (cr);
}

static void
draw_convergence (cairo_t *cr, gpointer data)
{
  Convergence *self = data;
  TandemPlot plot = {
    .cr = cr, .left = LEFT, .top = TOP, .width = WIDTH - LEFT - RIGHT, .height = HEIGHT,
    .x_low = 0, .x_high = self->last,
    .y_low = self->by_logarithm ? log10 (self->least) : self->least,
    .y_high = self->by_logarithm ? log10 (self->most) : self->most,
  };
  guint i;

  tandem_plot_begin (&plot, self->by_logarithm ? _("least value, power of ten") : _("least value"),
                     _("evaluations"), -INFINITY, INFINITY);
  for (i = 0; i < self->n_series; i++)
    draw_band (&plot, &self->curves[i], &colors[i]);
  for (i = 0; i < self->n_series; i++) {
    tandem_plot_line (&plot, self->curves[i].x, self->curves[i].middle, self->curves[i].n,
                      &colors[i], 2.0);
    tandem_plot_legend (&plot, self->series[i].name, &colors[i], FALSE);
  }
  tandem_plot_end (&plot);
}

/**
 * tandem_convergence_write: (skip)
 * @title: (nullable): what stands above
 * @series: (array length=n_series): what to show: algorithms, and what they are compared with
 * @n_series: how many there are, 1 to %TANDEM_CONVERGENCE_MAX_SERIES
 * @path: (type filename): where to write; an earlier picture there is replaced
 * @error: return location for a #GIOErrorEnum or a #GFileError
 *
 * Draws how searches went as SVG: of each series the median over its runs as a line, and what lies
 * between its quartiles. A run that is shorter than others keeps its last value. The axis is that
 * of logarithms when all values are positive and far apart. The file appears whole or not at all.
 *
 * Returns: whether the picture was written
 */
gboolean
tandem_convergence_write (const char *title, const TandemConvergenceSeries *series,
                          guint n_series, const char *path, GError **error)
{
  Convergence data = { .series = series, .n_series = n_series };
  gboolean written;
  guint i;

  g_return_val_if_fail (series != NULL && path != NULL, FALSE);
  g_return_val_if_fail (n_series >= 1 && n_series <= TANDEM_CONVERGENCE_MAX_SERIES, FALSE);

  convergence_init (&data);
  written = data.last > 0
      ? tandem_search_picture_write (WIDTH, TOP + HEIGHT + BOTTOM, draw_convergence, &data, title,
                                     path, error)
      : tandem_search_picture_fail_empty (path, error);
  for (i = 0; i < n_series; i++)
    curve_clear (&data.curves[i]);
  return written;
}

typedef struct
{
  const char *first, *second;
  /* Of all candidates, and of the front. */
  GArray *x[2], *y[2];
} Front;

static void
add_point (Front *self, guint which, const TandemOutcome *outcome)
{
  g_array_append_val (self->x[which], outcome->values[0]);
  g_array_append_val (self->y[which], outcome->values[1]);
}

static void
get_range (const GArray *values, double *low, double *high)
{
  guint i;

  *low = INFINITY;
  *high = -INFINITY;
  for (i = 0; i < values->len; i++) {
    *low = MIN (*low, g_array_index (values, double, i));
    *high = MAX (*high, g_array_index (values, double, i));
  }
}

/* As tandem_plot_dots(), but all of them, and small. */
static void
draw_cloud (TandemPlot *plot, const GArray *x, const GArray *y)
{
  guint i;

  cairo_set_source_rgb (plot->cr, pale.red, pale.green, pale.blue);
  for (i = 0; i < x->len; i++) {
    cairo_new_path (plot->cr);
    cairo_arc (plot->cr,
               plot->left + plot->width * (g_array_index (x, double, i) - plot->x_low) /
               (plot->x_high - plot->x_low),
               plot->top + plot->height * (plot->y_high - g_array_index (y, double, i)) /
               (plot->y_high - plot->y_low), 1.6, 0, 2 * G_PI);
    cairo_fill (plot->cr);
  }
}

static void
draw_front (cairo_t *cr, gpointer data)
{
  Front *self = data;
  const double *x = (const double *) (gpointer) self->x[1]->data;
  const double *y = (const double *) (gpointer) self->y[1]->data;
  TandemPlot plot = { .cr = cr, .left = LEFT, .top = TOP, .width = WIDTH - LEFT - RIGHT,
                      .height = HEIGHT, .real_x = TRUE };

  get_range (self->x[0], &plot.x_low, &plot.x_high);
  get_range (self->y[0], &plot.y_low, &plot.y_high);
  tandem_plot_begin (&plot, self->second, self->first, -INFINITY, INFINITY);
  draw_cloud (&plot, self->x[0], self->y[0]);
  tandem_plot_line (&plot, x, y, self->x[1]->len, &colors[0], 1.6);
  tandem_plot_dots (&plot, x, y, self->x[1]->len, &colors[0]);
  tandem_plot_legend (&plot, _("all candidates"), &pale, TRUE);
  tandem_plot_legend (&plot, _("Pareto front"), &colors[0], TRUE);
  tandem_plot_end (&plot);
}

/**
 * tandem_front_write:
 * @optimizer: a search with two objectives
 * @title: (nullable): what stands above
 * @first: what the first value is
 * @second: what the second value is
 * @path: (type filename): where to write; an earlier picture there is replaced
 * @error: return location for a #GIOErrorEnum or a #GFileError
 *
 * Draws the Pareto front as SVG, and the other feasible candidates around it. The file appears
 * whole or not at all.
 *
 * Returns: whether the picture was written
 */
gboolean
tandem_front_write (TandemOptimizer *optimizer, const char *title, const char *first,
                    const char *second, const char *path, GError **error)
{
  Front data = { .first = first, .second = second };
  g_autofree guint64 *front = NULL;
  TandemOutcome outcome;
  gboolean written;
  guint64 number;
  gsize n, i;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (optimizer) && path != NULL, FALSE);
  g_return_val_if_fail (first != NULL && second != NULL, FALSE);

  for (i = 0; i < 2; i++) {
    data.x[i] = g_array_new (FALSE, FALSE, sizeof (double));
    data.y[i] = g_array_new (FALSE, FALSE, sizeof (double));
  }
  for (number = 0; number < tandem_optimizer_get_n_proposed (optimizer); number++)
    if (tandem_optimizer_get_outcome (optimizer, number, &outcome, NULL) && !outcome.failed &&
        outcome.violation <= 0)
      add_point (&data, 0, &outcome);
  front = tandem_optimizer_get_front (optimizer, &n);
  for (i = 0; i < n; i++) {
    tandem_optimizer_get_outcome (optimizer, front[i], &outcome, NULL);
    add_point (&data, 1, &outcome);
  }
  written = n > 0
      ? tandem_search_picture_write (WIDTH, TOP + HEIGHT + BOTTOM, draw_front, &data, title, path,
                                     error)
      : tandem_search_picture_fail_empty (path, error);
  for (i = 0; i < 2; i++) {
    g_array_unref (data.x[i]);
    g_array_unref (data.y[i]);
  }
  return written;
}

typedef struct
{
  const char *name;
  double importance;
} Bar;

static int
compare_bars (const void *a, const void *b)
{
  const Bar *left = a, *right = b;

  return (left->importance < right->importance) - (left->importance > right->importance);
}

static void
draw_bars (cairo_t *cr, gpointer data)
{
  GArray *bars = data;
  guint i;

  cairo_select_font_face (cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size (cr, 12.0);
  for (i = 0; i < bars->len; i++) {
    const Bar *bar = &g_array_index (bars, Bar, i);
    double width = (WIDTH - NAMES - 90.0) * bar->importance, y = TOP + i * BAR;
    g_autofree char *percent = g_strdup_printf ("%.1f %%", 100.0 * bar->importance);
    cairo_text_extents_t extents;

    cairo_set_source_rgb (cr, 0.20, 0.22, 0.25);
    cairo_text_extents (cr, bar->name, &extents);
    cairo_move_to (cr, MAX (8.0, NAMES - 10.0 - extents.x_advance), y + BAR * 0.66);
    cairo_show_text (cr, bar->name);
    cairo_move_to (cr, NAMES + width + 8.0, y + BAR * 0.66);
    cairo_show_text (cr, percent);
    cairo_set_source_rgb (cr, colors[0].red, colors[0].green, colors[0].blue);
    cairo_rectangle (cr, NAMES, y + BAR * 0.18, MAX (width, 1.0), BAR * 0.64);
    cairo_fill (cr);
  }
}

/**
 * tandem_importance_write:
 * @optimizer: a search
 * @title: (nullable): what stands above
 * @path: (type filename): where to write; an earlier picture there is replaced
 * @error: return location for a #GIOErrorEnum or a #GFileError
 *
 * Draws how much each parameter matters as SVG, as tandem_optimizer_get_importance() has it: a bar
 * for each, the longest first, 24 at the most. The file appears whole or not at all.
 *
 * Returns: whether the picture was written
 */
gboolean
tandem_importance_write (TandemOptimizer *optimizer, const char *title, const char *path,
                         GError **error)
{
  g_autoptr (GArray) bars = g_array_new (FALSE, FALSE, sizeof (Bar));
  g_autofree double *importance = NULL;
  gsize n, i;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (optimizer) && path != NULL, FALSE);

  if (!tandem_optimizer_get_best (optimizer, NULL, NULL))
    return tandem_search_picture_fail_empty (path, error);
  importance = tandem_optimizer_get_importance (optimizer, &n);
  for (i = 0; i < n; i++) {
    Bar bar = { tandem_search_space_get_name (tandem_optimizer_get_space (optimizer), i),
                importance[i] };

    g_array_append_val (bars, bar);
  }
  g_array_sort (bars, compare_bars);
  g_array_set_size (bars, MIN (bars->len, MAX_BARS));
  return tandem_search_picture_write (WIDTH, TOP + bars->len * BAR + 20.0, draw_bars, bars, title,
                                      path, error);
}
