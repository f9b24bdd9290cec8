/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <math.h>

#include "base/tandem-plot-private.h"

#define FONT "sans-serif"
#define SIZE 12.0
#define TITLE_SIZE 16.0

/* Points between ticks, roughly. */
#define X_TICKS 110.0
#define Y_TICKS 48.0

static const TandemPlotColor ink = { 0.20, 0.22, 0.25 };
static const TandemPlotColor grid = { 0.90, 0.91, 0.93 };

static void
set_color (cairo_t *cr, const TandemPlotColor *color)
{
  cairo_set_source_rgb (cr, color->red, color->green, color->blue);
}

static double
to_x (const TandemPlot *plot, double x)
{
  return plot->left + plot->width * (x - plot->x_low) / (plot->x_high - plot->x_low);
}

static double
to_y (const TandemPlot *plot, double y)
{
  return plot->top + plot->height * (plot->y_high - y) / (plot->y_high - plot->y_low);
}

/* The least of 1, 2, 5, 10, ... times a power of ten that is step or more. */
static double
round_step (double step)
{
  double power = pow (10.0, floor (log10 (step))), part = step / power;

  return power * (part <= 1.0001 ? 1.0 : part <= 2.0001 ? 2.0 : part <= 5.0001 ? 5.0 : 10.0);
}

/* A range that is empty gets some width. */
static void
widen (double *low, double *high)
{
  double room = MAX (fabs (*low) * 0.05, 1e-3);

  if (*high - *low >= room * 1e-3)
    return;
  *low -= room;
  *high += room;
}

static void
set_font (cairo_t *cr, double size, cairo_font_weight_t weight)
{
  cairo_select_font_face (cr, FONT, CAIRO_FONT_SLANT_NORMAL, weight);
  cairo_set_font_size (cr, size);
}

/* along: 0: text begins at x, 0.5: is centred there, 1: ends there. */
static void
show_text (cairo_t *cr, const char *text, double x, double y, double along)
{
  cairo_text_extents_t extents;

  cairo_text_extents (cr, text, &extents);
  cairo_move_to (cr, x - along * extents.x_advance, y);
  cairo_show_text (cr, text);
}

void
tandem_plot_title (cairo_t *cr, const char *title, double x, double y)
{
  set_font (cr, TITLE_SIZE, CAIRO_FONT_WEIGHT_BOLD);
  set_color (cr, &ink);
  show_text (cr, title, x, y, 0.0);
}

/* As many decimals as the distance of ticks needs; thousands grouped as the locale has it. */
static char *
format_tick (double value, double step)
{
  int decimals = (int) MAX (0.0, ceil (-log10 (step) - 1e-9));

  /* No "-0". */
  if (fabs (value) < step * 1e-6)
    value = 0.0;
  return g_strdup_printf ("%'.*f", decimals, value);
}

static void
draw_x_ticks (TandemPlot *plot, gboolean labels)
{
  cairo_t *cr = plot->cr;
  double step = round_step ((plot->x_high - plot->x_low) * X_TICKS / plot->width), x;

  if (!plot->real_x)
    step = MAX (step, 1.0);
  for (x = ceil (plot->x_low / step - 1e-6) * step; x <= plot->x_high + step * 1e-6; x += step) {
    g_autofree char *text = format_tick (x, step);
    double at = to_x (plot, x);

    set_color (cr, &grid);
    cairo_move_to (cr, at, plot->top);
    cairo_line_to (cr, at, plot->top + plot->height);
    cairo_stroke (cr);
    set_color (cr, &ink);
    if (labels)
      show_text (cr, text, at, plot->top + plot->height + 20, 0.5);
  }
}

static void
draw_y_ticks (TandemPlot *plot, double step)
{
  cairo_t *cr = plot->cr;
  double y;

  for (y = ceil (plot->y_low / step - 1e-6) * step; y <= plot->y_high + step * 1e-6; y += step) {
    g_autofree char *text = format_tick (y, step);
    double at = to_y (plot, y);

    set_color (cr, &grid);
    cairo_move_to (cr, plot->left, at);
    cairo_line_to (cr, plot->left + plot->width, at);
    cairo_stroke (cr);
    set_color (cr, &ink);
    show_text (cr, text, plot->left - 9, at + 4, 1.0);
  }
}

void
tandem_plot_begin (TandemPlot *plot, const char *y_label, const char *x_label, double y_least,
                   double y_most)
{
  cairo_t *cr = plot->cr;
  double step;

  widen (&plot->x_low, &plot->x_high);
  widen (&plot->y_low, &plot->y_high);
  step = round_step ((plot->y_high - plot->y_low) * Y_TICKS / plot->height);
  plot->y_low = MAX (y_least, floor (plot->y_low / step + 1e-6) * step);
  plot->y_high = MIN (y_most, ceil (plot->y_high / step - 1e-6) * step);

  cairo_set_line_width (cr, 1.0);
  set_font (cr, SIZE, CAIRO_FONT_WEIGHT_NORMAL);
  draw_x_ticks (plot, x_label != NULL);
  draw_y_ticks (plot, step);
  if (x_label != NULL)
    show_text (cr, x_label, plot->left + plot->width / 2, plot->top + plot->height + 42, 0.5);
  cairo_save (cr);
  cairo_translate (cr, 20, plot->top + plot->height / 2);
  cairo_rotate (cr, -G_PI / 2);
  show_text (cr, y_label, 0, 0, 0.5);
  cairo_restore (cr);
  plot->legend = plot->left;

  cairo_save (cr);
  cairo_rectangle (cr, plot->left, plot->top, plot->width, plot->height);
  cairo_clip (cr);
}

/* A column at a time: down to its lowest point and up to its highest, in the order in which
 * these came. */
static void
trace_columns (TandemPlot *plot, const double *x, const double *y, gsize n)
{
  gsize i = 0;

  while (i < n) {
    double column = floor (to_x (plot, x[i]));
    gsize low = i, high = i;

    for (; i < n && floor (to_x (plot, x[i])) == column; i++) {
      if (y[i] < y[low])
        low = i;
      if (y[i] > y[high])
        high = i;
    }
    cairo_line_to (plot->cr, column + 0.5, to_y (plot, y[MIN (low, high)]));
    if (low != high)
      cairo_line_to (plot->cr, column + 0.5, to_y (plot, y[MAX (low, high)]));
  }
}

void
tandem_plot_line (TandemPlot *plot, const double *x, const double *y, gsize n,
                  const TandemPlotColor *color, double width)
{
  gsize i;

  set_color (plot->cr, color);
  /* Columns that are traced shall touch. */
  cairo_set_line_width (plot->cr, n > 2 * plot->width ? MAX (width, 1.0) : width);
  cairo_set_line_join (plot->cr, CAIRO_LINE_JOIN_ROUND);
  /* Text leaves a point behind, at which the line would begin. */
  cairo_new_path (plot->cr);
  if (n > 2 * plot->width)
    trace_columns (plot, x, y, n);
  else
    for (i = 0; i < n; i++)
      cairo_line_to (plot->cr, to_x (plot, x[i]), to_y (plot, y[i]));
  cairo_stroke (plot->cr);
}

void
tandem_plot_dots (TandemPlot *plot, const double *x, const double *y, gsize n,
                  const TandemPlotColor *color)
{
  gsize i;

  /* Dots that would touch say nothing that the line does not. */
  if (n > plot->width / 8)
    return;
  /* Whole ones, also on the frame. */
  cairo_save (plot->cr);
  cairo_reset_clip (plot->cr);
  set_color (plot->cr, color);
  for (i = 0; i < n; i++) {
    cairo_new_path (plot->cr);
    cairo_arc (plot->cr, to_x (plot, x[i]), to_y (plot, y[i]), 2.8, 0, 2 * G_PI);
    cairo_fill (plot->cr);
  }
  cairo_restore (plot->cr);
}

void
tandem_plot_ring (TandemPlot *plot, double x, double y, const TandemPlotColor *color)
{
  cairo_save (plot->cr);
  cairo_reset_clip (plot->cr);
  set_color (plot->cr, color);
  cairo_set_line_width (plot->cr, 1.4);
  cairo_new_path (plot->cr);
  cairo_arc (plot->cr, to_x (plot, x), to_y (plot, y), 6.0, 0, 2 * G_PI);
  cairo_stroke (plot->cr);
  cairo_restore (plot->cr);
}

void
tandem_plot_legend (TandemPlot *plot, const char *text, const TandemPlotColor *color,
                    gboolean dot)
{
  cairo_t *cr = plot->cr;
  double y = plot->top - 11;
  cairo_text_extents_t extents;

  cairo_save (cr);
  cairo_reset_clip (cr);
  set_color (cr, color);
  cairo_set_line_width (cr, 2.0);
  cairo_move_to (cr, plot->legend, y);
  cairo_line_to (cr, plot->legend + 22, y);
  cairo_stroke (cr);
  if (dot) {
    cairo_arc (cr, plot->legend + 11, y, 2.8, 0, 2 * G_PI);
    cairo_fill (cr);
  }
  set_font (cr, SIZE, CAIRO_FONT_WEIGHT_NORMAL);
  set_color (cr, &ink);
  show_text (cr, text, plot->legend + 28, y + 4, 0.0);
  cairo_text_extents (cr, text, &extents);
  plot->legend += 28 + extents.x_advance + 24;
  cairo_restore (cr);
}

void
tandem_plot_end (TandemPlot *plot)
{
  cairo_restore (plot->cr);
  set_color (plot->cr, &ink);
  cairo_set_line_width (plot->cr, 1.0);
  cairo_move_to (plot->cr, plot->left, plot->top);
  cairo_line_to (plot->cr, plot->left, plot->top + plot->height);
  cairo_line_to (plot->cr, plot->left + plot->width, plot->top + plot->height);
  cairo_stroke (plot->cr);
}
