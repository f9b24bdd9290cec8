/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A panel with axes on which lines are drawn. */
#pragma once

#include <cairo.h>
#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  double red, green, blue;
} TandemPlotColor;

typedef struct
{
  cairo_t *cr;
  double left, top, width, height;      /* of the panel, in points */
  double x_low, x_high, y_low, y_high;  /* what it shows; begin() rounds the latter two */
  gboolean real_x;                      /* ticks of x need not be whole */
  double legend;                        /* where the next entry begins; set by begin() */
} TandemPlot;

void tandem_plot_title (cairo_t *cr, const char *title, double x, double y);

/* Axes with ticks and grid; x_label NULL: no text below. The range of y is rounded outwards
 * to ticks, to no more than the limits. */
void tandem_plot_begin (TandemPlot *plot, const char *y_label, const char *x_label,
                        double y_least, double y_most);

/* Lines of many points are drawn as what they cover in each column. */
void tandem_plot_line (TandemPlot *plot, const double *x, const double *y, gsize n,
                       const TandemPlotColor *color, double width);

/* Points within the ranges. */
void tandem_plot_dots (TandemPlot *plot, const double *x, const double *y, gsize n,
                       const TandemPlotColor *color);
void tandem_plot_ring (TandemPlot *plot, double x, double y, const TandemPlotColor *color);

/* Adds an entry above the panel. */
void tandem_plot_legend (TandemPlot *plot, const char *text, const TandemPlotColor *color,
                         gboolean dot);

/* Draws the frame over what was drawn. */
void tandem_plot_end (TandemPlot *plot);

G_END_DECLS
