/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Draws what sparsity does to a model:
 *
 *   bench-slim-picture TABLE.json PICTURE.svg
 *
 * The table is
 *
 *   {"title": "...", "least_accuracy": 80, "curves": [{"name": "...", "points": [
 *       {"sparsity": 0.5, "accuracy": 88.9, "bytes": 6000000, "milliseconds": 0.7}, ...]}, ...]}
 *
 * with sparsity from 0 to 1 and accuracy in percent; what a point does not have is not drawn of it,
 * and what is below least_accuracy, which may be left out, is below the picture.
 * Points of one sparsity, as of several seeds, are dots around their mean. */

#include <cairo-svg.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <stdio.h>

#include "base/tandem-plot-private.h"

#define WIDTH 860.0
#define LEFT 92.0
#define RIGHT 28.0
#define TOP 74.0
#define HEIGHT 230.0
#define GAP 46.0
#define BOTTOM 58.0
#define N_PANELS 3
/* Room for an entry of the legend; what has none goes above the next panel. */
#define ENTRY 200.0
/* The size of dots, half of which may stand out. */
#define DOT 6.0

static const struct
{
  const char *member;
  const char *label;
  double scale;
  double most;
} panels[N_PANELS] = {
  { "accuracy", "accuracy, %", 1, 100 },
  { "bytes", "megabytes", 1e-6, INFINITY },
  { "milliseconds", "milliseconds", 1, INFINITY },
};

static const TandemPlotColor colors[] = {
  { 0.11, 0.37, 0.66 }, { 0.84, 0.37, 0.05 }, { 0.11, 0.50, 0.31 },
  { 0.55, 0.24, 0.60 }, { 0.60, 0.45, 0.08 }, { 0.40, 0.42, 0.45 },
};

typedef struct
{
  double x, y;
} Point;

static int
compare_points (gconstpointer a, gconstpointer b)
{
  const Point *one = a, *other = b;

  return (one->x > other->x) - (one->x < other->x);
}

static gboolean
get_number (JsonObject *object, const char *member, double *number)
{
  JsonNode *node = json_object_get_member (object, member);

  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node))
    return FALSE;
  *number = json_node_get_double (node);
  return isfinite (*number);
}

/* The points of a curve that a panel shows, by sparsity. */
static GArray *
get_points (JsonObject *curve, guint panel)
{
  JsonArray *list = json_object_get_array_member (curve, "points");
  GArray *points = g_array_new (FALSE, FALSE, sizeof (Point));
  guint i;

  for (i = 0; list != NULL && i < json_array_get_length (list); i++) {
    JsonObject *object = json_array_get_object_element (list, i);
    Point point;

    if (!get_number (object, "sparsity", &point.x) ||
        !get_number (object, panels[panel].member, &point.y))
      continue;
    point.x *= 100;
    point.y *= panels[panel].scale;
    g_array_append_val (points, point);
  }
  g_array_sort (points, compare_points);
  return points;
}

static void
draw_curve (TandemPlot *plot, const GArray *points, const TandemPlotColor *color)
{
  g_autofree double *x = g_new (double, points->len + 1);
  g_autofree double *y = g_new (double, points->len + 1);
  guint n = 0, first, i;

  for (first = 0; first < points->len; first = i) {
    double at = g_array_index (points, Point, first).x, sum = 0;

    for (i = first; i < points->len && g_array_index (points, Point, i).x == at; i++) {
      double own = g_array_index (points, Point, i).y;

      sum += own;
      tandem_plot_dots (plot, &at, &own, 1, color);
    }
    x[n] = at;
    y[n++] = sum / (i - first);
  }
  tandem_plot_line (plot, x, y, n, color, 1.8);
}

/* named: how many curves have an entry in a legend. */
static void
draw_panel (cairo_t *cr, JsonObject *table, guint panel, guint *named)
{
  JsonArray *curves = json_object_get_array_member (table, "curves");
  TandemPlot plot = {
    .cr = cr, .left = LEFT, .top = TOP + panel * (HEIGHT + GAP), .width = WIDTH - LEFT - RIGHT,
    .height = HEIGHT, .x_low = 0, .x_high = 100, .y_low = INFINITY, .y_high = -INFINITY,
  };
  guint n = json_array_get_length (curves), i, k;
  g_autoptr (GPtrArray) points = g_ptr_array_new_with_free_func ((GDestroyNotify) g_array_unref);

  for (i = 0; i < n; i++) {
    GArray *own = get_points (json_array_get_object_element (curves, i), panel);

    g_ptr_array_add (points, own);
    for (k = 0; k < own->len; k++) {
      plot.y_low = MIN (plot.y_low, g_array_index (own, Point, k).y);
      plot.y_high = MAX (plot.y_high, g_array_index (own, Point, k).y);
    }
  }
  if (!(plot.y_low <= plot.y_high))
    return;
  /* Bytes and times are shown whole, so that a half looks like one. */
  if (panel > 0)
    plot.y_low = 0;
  else
    get_number (table, "least_accuracy", &plot.y_low);
  tandem_plot_begin (&plot, panels[panel].label, panel + 1 == N_PANELS ? "pruned, %" : NULL, 0,
                     panels[panel].most);
  cairo_save (cr);
  cairo_rectangle (cr, plot.left - DOT, plot.top - DOT, plot.width + 2 * DOT, plot.height + 2 * DOT);
  cairo_clip (cr);
  for (i = 0; i < n; i++)
    draw_curve (&plot, g_ptr_array_index (points, i), &colors[i % G_N_ELEMENTS (colors)]);
  cairo_restore (cr);
  for (; *named < n && plot.legend + ENTRY <= WIDTH; (*named)++)
    tandem_plot_legend (&plot, json_object_get_string_member_with_default (
                                   json_array_get_object_element (curves, *named), "name", ""),
                        &colors[*named % G_N_ELEMENTS (colors)], TRUE);
  tandem_plot_end (&plot);
}

static cairo_status_t
append (void *closure, const unsigned char *bytes, unsigned int length)
{
  g_byte_array_append (closure, bytes, length);
  return CAIRO_STATUS_SUCCESS;
}

static gboolean
draw (JsonObject *table, const char *path, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  double height = TOP + N_PANELS * HEIGHT + (N_PANELS - 1) * GAP + BOTTOM;
  cairo_surface_t *surface = cairo_svg_surface_create_for_stream (append, bytes, WIDTH, height);
  cairo_t *cr = cairo_create (surface);
  guint panel, named = 0;

  cairo_set_source_rgb (cr, 1, 1, 1);
  cairo_paint (cr);
  tandem_plot_title (cr, json_object_get_string_member_with_default (table, "title", ""), LEFT,
                     TOP - 42);
  for (panel = 0; panel < N_PANELS; panel++)
    draw_panel (cr, table, panel, &named);
  cairo_destroy (cr);
  cairo_surface_finish (surface);
  cairo_surface_destroy (surface);
  return g_file_set_contents (path, (const char *) bytes->data, bytes->len, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;
  JsonNode *root;

  if (argc != 3) {
    fprintf (stderr, "usage: bench-slim-picture TABLE.json PICTURE.svg\n");
    return 2;
  }
  if (!json_parser_load_from_file (parser, argv[1], &error)) {
    fprintf (stderr, "bench-slim-picture: %s\n", error->message);
    return 1;
  }
  root = json_parser_get_root (parser);
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root) ||
      !json_object_has_member (json_node_get_object (root), "curves")) {
    fprintf (stderr, "bench-slim-picture: %s is not a table with curves\n", argv[1]);
    return 1;
  }
  if (!draw (json_node_get_object (root), argv[2], &error)) {
    fprintf (stderr, "bench-slim-picture: %s\n", error->message);
    return 1;
  }
  return 0;
}
