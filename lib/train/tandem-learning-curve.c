/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The picture: panels one above the other that share the axis of steps, losses in the upper
 * one and accuracies, when there are any, in the lower one. */

#include "config.h"

#include "tandem-learning-curve.h"

#include <cairo-svg.h>
#include <glib/gi18n-lib.h>
#include <math.h>
#include <stdlib.h>

#include "base/tandem-plot-private.h"

#define WIDTH 860.0
#define LEFT 78.0
#define RIGHT 28.0
#define TOP 62.0
#define BOTTOM 58.0
#define GAP 48.0
#define LOSS_HEIGHT 300.0
#define ACCURACY_HEIGHT 170.0

/* The mean is over this part of all steps. */
#define MEAN_PARTS 50

static const TandemPlotColor thin = { 0.66, 0.78, 0.91 };
static const TandemPlotColor bold = { 0.11, 0.37, 0.66 };
static const TandemPlotColor held_out = { 0.84, 0.37, 0.05 };
static const TandemPlotColor accuracy = { 0.11, 0.50, 0.31 };

/* A series of points, x in steps. */
typedef struct
{
  gsize n;
  double *x;
  double *y;
} Series;

static void
series_init (Series *series, gsize n)
{
  series->n = 0;
  series->x = g_new (double, n);
  series->y = g_new (double, n);
}

static void
series_add (Series *series, double x, double y)
{
  if (!isfinite (y))
    return;
  series->x[series->n] = x;
  series->y[series->n++] = y;
}

static void
series_clear (Series *series)
{
  g_free (series->x);
  g_free (series->y);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Series, series_clear)

typedef struct
{
  Series losses;
  Series means;                 /* of the steps up to each one */
  Series evaluated;
  Series accuracies;            /* in percent */
  guint window;                 /* steps of a mean */
} Data;

static void
data_clear (Data *data)
{
  series_clear (&data->losses);
  series_clear (&data->means);
  series_clear (&data->evaluated);
  series_clear (&data->accuracies);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Data, data_clear)

static void
data_init (Data *data, const TandemLearningCurve *curve)
{
  gsize n = curve->losses != NULL ? curve->n_steps : 0, i;
  double sum = 0.0;

  series_init (&data->losses, n);
  series_init (&data->means, n);
  series_init (&data->evaluated, curve->n_evaluations);
  series_init (&data->accuracies, curve->n_evaluations);
  for (i = 0; i < n; i++)
    series_add (&data->losses, curve->first_step + i + 1, curve->losses[i]);
  data->window = CLAMP (data->losses.n / MEAN_PARTS, 1, G_MAXINT);
  for (i = 0; i < data->losses.n; i++) {
    sum += data->losses.y[i];
    if (i >= data->window)
      sum -= data->losses.y[i - data->window];
    if (i + 1 >= data->window)
      series_add (&data->means, data->losses.x[i], sum / data->window);
  }
  for (i = 0; i < curve->n_evaluations; i++) {
    if (curve->evaluation_losses != NULL)
      series_add (&data->evaluated, curve->evaluation_steps[i], curve->evaluation_losses[i]);
    if (curve->evaluation_accuracies != NULL)
      series_add (&data->accuracies, curve->evaluation_steps[i],
                  100.0 * curve->evaluation_accuracies[i]);
  }
}

static void
extend (const Series *series, double *low, double *high)
{
  gsize i;

  for (i = 0; i < series->n; i++) {
    *low = MIN (*low, series->y[i]);
    *high = MAX (*high, series->y[i]);
  }
}

static int
compare (const void *a, const void *b)
{
  double left = *(const double *) a, right = *(const double *) b;

  return (left > right) - (left < right);
}

/* The range of losses, but for the highest hundredth of single steps and what they do to the
 * means: one that jumps would press all others flat. */
static void
get_loss_range (const Data *data, double *low, double *high)
{
  g_autofree double *sorted = g_memdup2 (data->losses.y, data->losses.n * sizeof *sorted);
  gsize n = data->losses.n;

  *low = INFINITY;
  *high = -INFINITY;
  extend (&data->evaluated, low, high);
  if (n == 0)
    return;
  qsort (sorted, n, sizeof *sorted, compare);
  *low = MIN (*low, sorted[0]);
  *high = MAX (*high, sorted[n - 1 - n / 100]);
}

static void
get_step_range (const Data *data, double *low, double *high)
{
  const Series *all[] = { &data->losses, &data->evaluated, &data->accuracies };
  guint i;

  *low = INFINITY;
  *high = -INFINITY;
  for (i = 0; i < G_N_ELEMENTS (all); i++) {
    if (all[i]->n == 0)
      continue;
    *low = MIN (*low, all[i]->x[0]);
    *high = MAX (*high, all[i]->x[all[i]->n - 1]);
  }
  /* A curve from the start begins at the corner. */
  if (*low < 0.1 * *high)
    *low = 0.0;
}

static void
draw_losses (TandemPlot *plot, const Data *data)
{
  g_autofree char *mean = NULL;

  if (data->losses.n > 0) {
    tandem_plot_line (plot, data->losses.x, data->losses.y, data->losses.n, &thin, 0.8);
    tandem_plot_legend (plot, _("training"), &thin, FALSE);
  }
  if (data->window > 1) {
    mean = g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "mean of %u step", "mean of %u steps",
                                         data->window),
                            data->window);
    tandem_plot_line (plot, data->means.x, data->means.y, data->means.n, &bold, 2.0);
    tandem_plot_legend (plot, mean, &bold, FALSE);
  }
  if (data->evaluated.n > 0) {
    tandem_plot_line (plot, data->evaluated.x, data->evaluated.y, data->evaluated.n, &held_out,
                      1.6);
    tandem_plot_dots (plot, data->evaluated.x, data->evaluated.y, data->evaluated.n, &held_out);
    tandem_plot_legend (plot, _("held out"), &held_out, TRUE);
  }
}

static void
draw_accuracies (TandemPlot *plot, const Data *data)
{
  const Series *series = &data->accuracies;
  g_autofree char *text = NULL;
  gsize best = 0, i;

  for (i = 1; i < series->n; i++)
    if (series->y[i] > series->y[best])
      best = i;
  /* Translators: the highest accuracy, and after how many steps it was. */
  text = g_strdup_printf (_("held out, at best %.2f %% after step %'.0f"), series->y[best],
                          series->x[best]);
  tandem_plot_line (plot, series->x, series->y, series->n, &accuracy, 1.6);
  tandem_plot_dots (plot, series->x, series->y, series->n, &accuracy);
  tandem_plot_ring (plot, series->x[best], series->y[best], &accuracy);
  tandem_plot_legend (plot, text, &accuracy, TRUE);
}

static void
draw (cairo_t *cr, const TandemLearningCurve *curve, const Data *data, double height)
{
  TandemPlot plot = { .cr = cr, .left = LEFT, .top = TOP, .width = WIDTH - LEFT - RIGHT,
                      .height = LOSS_HEIGHT };

  cairo_set_source_rgb (cr, 1, 1, 1);
  cairo_paint (cr);
  if (curve->title != NULL)
    tandem_plot_title (cr, curve->title, LEFT, TOP - 34);

  get_step_range (data, &plot.x_low, &plot.x_high);
  get_loss_range (data, &plot.y_low, &plot.y_high);
  tandem_plot_begin (&plot, _("loss"), data->accuracies.n == 0 ? _("steps") : NULL, 0.0,
                     INFINITY);
  draw_losses (&plot, data);
  tandem_plot_end (&plot);
  if (data->accuracies.n == 0)
    return;

  plot.top += LOSS_HEIGHT + GAP;
  plot.height = ACCURACY_HEIGHT;
  plot.y_low = INFINITY;
  plot.y_high = -INFINITY;
  extend (&data->accuracies, &plot.y_low, &plot.y_high);
  tandem_plot_begin (&plot, _("accuracy in %"), _("steps"), 0.0, 100.0);
  draw_accuracies (&plot, data);
  tandem_plot_end (&plot);
}

static cairo_status_t
append (void *closure, const unsigned char *bytes, unsigned int length)
{
  g_byte_array_append (closure, bytes, length);
  return CAIRO_STATUS_SUCCESS;
}

/**
 * tandem_learning_curve_write: (skip)
 * @curve: what to show; one evaluation or one step at the least
 * @path: (type filename): where to write; an earlier picture there is replaced
 * @error: return location for a #GIOErrorEnum or a #GFileError
 *
 * Draws a learning curve as SVG: the training loss of each step, its mean over the last
 * fiftieth of all steps, loss and accuracy on data kept aside. Its words are translated, its
 * numbers written as the locale has them. The file appears whole or not at all.
 *
 * Returns: whether the picture was written
 */
gboolean
tandem_learning_curve_write (const TandemLearningCurve *curve, const char *path, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_auto (Data) data = { 0 };
  double height = TOP + LOSS_HEIGHT + BOTTOM;
  cairo_surface_t *surface;
  cairo_status_t status;
  cairo_t *cr;

  g_return_val_if_fail (curve != NULL && path != NULL, FALSE);

  data_init (&data, curve);
  if (data.losses.n + data.evaluated.n + data.accuracies.n == 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "%s: there is no finite value that a learning curve could show", path);
    return FALSE;
  }
  if (data.accuracies.n > 0)
    height += GAP + ACCURACY_HEIGHT;
  surface = cairo_svg_surface_create_for_stream (append, bytes, WIDTH, height);
  cr = cairo_create (surface);
  draw (cr, curve, &data, height);
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
