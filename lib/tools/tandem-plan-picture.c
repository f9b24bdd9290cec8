/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The placement as a picture: a row for each stage and each hop, a bar for each of the first
 * micro-batches in it, and how busy the row is when many are on their way. */

#include "config.h"

#include <cairo-svg.h>
#include <glib/gi18n-lib.h>
#include <math.h>

#include "tandem-plan-report.h"

#define FONT "sans-serif"
#define SIZE 12.0
#define TITLE_SIZE 16.0
#define WIDTH 860.0
#define LEFT 190.0
#define RIGHT 90.0
#define TOP 66.0
#define BOTTOM 54.0
#define STAGE_HEIGHT 34.0
#define HOP_HEIGHT 18.0
#define GAP 8.0
#define TICKS 100.0

/* Enough that the row that is always busy is seen to be. */
#define N_BATCHES 8

typedef struct
{
  double red, green, blue;
} Color;

static const Color ink = { 0.20, 0.22, 0.25 };
static const Color grid = { 0.90, 0.91, 0.93 };
static const Color stage_colors[] = { { 0.11, 0.37, 0.66 }, { 0.45, 0.63, 0.83 } };
static const Color hop_colors[] = { { 0.84, 0.37, 0.05 }, { 0.94, 0.65, 0.42 } };

typedef struct
{
  char *label;
  gboolean is_hop;
  double seconds;               /* that a micro-batch occupies it */
  double delay;                 /* from its end to the next row */
} Row;

static void
row_clear (gpointer data)
{
  g_free (((Row *) data)->label);
}

static void
add_row (GArray *rows, char *label, gboolean is_hop, double seconds, double delay)
{
  Row row = { label, is_hop, seconds, delay };

  g_array_append_val (rows, row);
}

static void
add_hop (const TandemPlanReport *report, GArray *rows, const TandemPlacementHop *hop)
{
  const char *name = tandem_plan_get_device (report, hop->to)->name;
  const char *format = tandem_wire_format_to_string (hop->format);

  add_row (rows, g_strdup_printf ("→ %s%s%s", name, *format != '\0' ? " " : "", format), TRUE,
           hop->seconds, hop->delay);
}

static GArray *
make_rows (const TandemPlanReport *report)
{
  const TandemPlacement *placement = report->placement;
  guint asking = tandem_placement_problem_get_asking (report->problem), hop = 0, i;
  GArray *rows = g_array_new (FALSE, FALSE, sizeof (Row));
  gboolean has_stage = FALSE;

  g_array_set_clear_func (rows, row_clear);
  for (i = 0; i < placement->n_stages; i++)
    has_stage = has_stage || placement->stages[i].device == asking;
  /* With a stage its tokenizer is in the time of that. */
  if (!has_stage)
    add_row (rows, g_strdup_printf (_("%s: tokens"),
                                    tandem_plan_get_device (report, asking)->name),
             FALSE, placement->tokenize_seconds, 0);
  if (placement->stages[0].device != asking)
    add_hop (report, rows, &placement->hops[hop++]);
  for (i = 0; i < placement->n_stages; i++) {
    const TandemPlacementStage *stage = &placement->stages[i];

    add_row (rows,
             g_strdup_printf ("%s: %u-%u", tandem_plan_get_device (report, stage->device)->name,
                              stage->first_layer, stage->last_layer),
             FALSE, stage->seconds, 0);
    if (hop < placement->n_hops)
      add_hop (report, rows, &placement->hops[hop++]);
  }
  return rows;
}

static void
set_color (cairo_t *cr, const Color *color)
{
  cairo_set_source_rgb (cr, color->red, color->green, color->blue);
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

/* As much of a name as there is room for. */
static void
show_label (cairo_t *cr, const char *text, double y)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  glong length = g_utf8_strlen (valid, -1);
  cairo_text_extents_t extents;

  for (;; length--) {
    g_autofree char *part = g_utf8_substring (valid, 0, length);

    cairo_text_extents (cr, part, &extents);
    if (extents.x_advance <= LEFT - 24 || length <= 1) {
      show_text (cr, part, LEFT - 12, y, 1);
      return;
    }
  }
}

/* The least of 1, 2, 5, 10, ... times a power of ten that is step or more. */
static double
round_step (double step)
{
  double power = pow (10.0, floor (log10 (step))), part = step / power;

  return power * (part <= 1.0001 ? 1.0 : part <= 2.0001 ? 2.0 : part <= 5.0001 ? 5.0 : 10.0);
}

static void
draw_axis (cairo_t *cr, double seconds, double height)
{
  double width = WIDTH - LEFT - RIGHT, milliseconds = 1e3 * seconds;
  double step = round_step (milliseconds * TICKS / width), at;

  for (at = 0; at <= milliseconds * (1 + 1e-9); at += step) {
    g_autofree char *text = g_strdup_printf ("%g", at);
    double x = LEFT + width * at / milliseconds;

    set_color (cr, &grid);
    cairo_move_to (cr, x, TOP);
    cairo_line_to (cr, x, height - BOTTOM);
    cairo_stroke (cr);
    set_color (cr, &ink);
    show_text (cr, text, x, height - BOTTOM + 18, 0.5);
  }
  show_text (cr, _("milliseconds"), LEFT + width / 2, height - 14, 0.5);
}

/* When micro-batches leave a row: as soon as they came and those before them have left. */
static double
advance (const Row *row, double ready[N_BATCHES], double begin[N_BATCHES])
{
  double free_at = 0;
  guint i;

  for (i = 0; i < N_BATCHES; i++) {
    begin[i] = MAX (free_at, ready[i]);
    free_at = begin[i] + row->seconds;
    ready[i] = free_at + row->delay;
  }
  return ready[N_BATCHES - 1];
}

static void
draw_row (cairo_t *cr, const TandemPlanReport *report, const Row *row, double y, double height,
          double scale, double ready[N_BATCHES])
{
  const Color *colors = row->is_hop ? hop_colors : stage_colors;
  double begin[N_BATCHES], period = report->placement->period;
  g_autofree char *busy = NULL;
  guint i;

  advance (row, ready, begin);
  for (i = 0; i < N_BATCHES; i++) {
    set_color (cr, &colors[i % 2]);
    cairo_rectangle (cr, LEFT + scale * begin[i], y, MAX (scale * row->seconds, 0.5), height);
    cairo_fill (cr);
  }
  set_color (cr, &ink);
  show_label (cr, row->label, y + height / 2 + 4);
  /* Translators: the share of the time in which a device or a link has something to do. */
  busy = g_strdup_printf (_("%.0f %% busy"), period > 0 ? 100 * row->seconds / period : 0);
  show_text (cr, busy, WIDTH - 12, y + height / 2 + 4, 1);
}

static void
draw (cairo_t *cr, const TandemPlanReport *report, GArray *rows, double height)
{
  double ready[N_BATCHES] = { 0 }, begin[N_BATCHES], end = 0, y = TOP + GAP;
  g_autofree char *title = NULL;
  guint i;

  for (i = 0; i < rows->len; i++)
    end = advance (&g_array_index (rows, Row, i), ready, begin);
  end = MAX (end, 1e-9);
  for (i = 0; i < N_BATCHES; i++)
    ready[i] = 0;
  cairo_set_source_rgb (cr, 1, 1, 1);
  cairo_paint (cr);
  set_color (cr, &ink);
  cairo_select_font_face (cr, FONT, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_BOLD);
  cairo_set_font_size (cr, TITLE_SIZE);
  title = g_strdup_printf (_("%.0f texts/s, latency %.4g ms"),
                           report->placement->sequences_per_second,
                           1e3 * report->placement->latency);
  show_text (cr, title, 20, 36, 0);
  cairo_select_font_face (cr, FONT, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size (cr, SIZE);
  cairo_set_line_width (cr, 1);
  draw_axis (cr, end, height);
  for (i = 0; i < rows->len; i++) {
    const Row *row = &g_array_index (rows, Row, i);
    double row_height = row->is_hop ? HOP_HEIGHT : STAGE_HEIGHT;

    draw_row (cr, report, row, y, row_height, (WIDTH - LEFT - RIGHT) / end, ready);
    y += row_height + GAP;
  }
}

static cairo_status_t
append (void *closure, const unsigned char *bytes, unsigned int length)
{
  g_byte_array_append (closure, bytes, length);
  return CAIRO_STATUS_SUCCESS;
}

gboolean
tandem_plan_write_picture (const TandemPlanReport *report, const char *path, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GArray) rows = make_rows (report);
  double height = TOP + GAP + BOTTOM;
  cairo_surface_t *surface;
  cairo_status_t status;
  cairo_t *cr;
  guint i;

  for (i = 0; i < rows->len; i++)
    height += GAP + (g_array_index (rows, Row, i).is_hop ? HOP_HEIGHT : STAGE_HEIGHT);
  surface = cairo_svg_surface_create_for_stream (append, bytes, WIDTH, height);
  cr = cairo_create (surface);
  draw (cr, report, rows, height);
  cairo_destroy (cr);
  cairo_surface_finish (surface);
  status = cairo_surface_status (surface);
  cairo_surface_destroy (surface);
  if (status != CAIRO_STATUS_SUCCESS) {
    g_autofree char *display = g_filename_display_name (path);

    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, _("%s: the picture cannot be drawn: %s"),
                 display, cairo_status_to_string (status));
    return FALSE;
  }
  return g_file_set_contents_full (path, (const char *) bytes->data, bytes->len,
                                   G_FILE_SET_CONTENTS_CONSISTENT, 0666, error);
}
