/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The report of tandem inspect as a picture: a bar for each tensor, as long as it would be without
 * its zeros left out, in which what is stored and what is not zero stand out. */

#include "config.h"

#include <cairo-svg.h>
#include <glib/gi18n-lib.h>
#include <math.h>

#include "tandem-inspect-report.h"

#define FONT "sans-serif"
#define SIZE 11.0
#define TITLE_SIZE 15.0
#define WIDTH 900.0
#define LEFT 330.0
#define RIGHT 210.0
#define TOP 74.0
#define BOTTOM 24.0
#define ROW 20.0
#define BAR 13.0

/* Tensors of more are left out, the smallest ones first: a picture of thousands shows nothing. */
#define MOST 120

typedef struct
{
  double red, green, blue;
} Color;

static const Color ink = { 0.20, 0.22, 0.25 };
static const Color whole_color = { 0.90, 0.91, 0.93 };
static const Color stored_color = { 0.45, 0.63, 0.83 };
static const Color kept_color = { 0.11, 0.37, 0.66 };

static void
set_color (cairo_t *cr, const Color *color)
{
  cairo_set_source_rgb (cr, color->red, color->green, color->blue);
}

static void
show_text (cairo_t *cr, const char *text, double x, double y, double along)
{
  g_autofree char *valid = g_utf8_make_valid (text, 64);
  cairo_text_extents_t extents;

  cairo_text_extents (cr, valid, &extents);
  cairo_move_to (cr, x - along * extents.x_advance, y);
  cairo_show_text (cr, valid);
}

static void
show_bar (cairo_t *cr, const Color *color, double x, double y, double width)
{
  set_color (cr, color);
  cairo_rectangle (cr, x, y, MAX (width, 0.5), BAR);
  cairo_fill (cr);
}

static int
compare_sizes (gconstpointer a, gconstpointer b)
{
  const Row *left = *(const Row *const *) a, *right = *(const Row *const *) b;

  return (left->n_dense_bytes < right->n_dense_bytes) -
      (left->n_dense_bytes > right->n_dense_bytes);
}

/* The matrices, in the order of the model. */
static GPtrArray *
choose_rows (const TandemInspectReport *report)
{
  GPtrArray *rows = g_ptr_array_new ();
  g_autoptr (GPtrArray) largest = g_ptr_array_new ();
  guint64 least;
  guint i;

  for (i = 0; i < report->rows->len; i++) {
    Row *row = g_ptr_array_index (report->rows, i);

    if (row->n_dims > 1)
      g_ptr_array_add (largest, row);
  }
  g_ptr_array_sort (largest, compare_sizes);
  least = largest->len > MOST
            ? ((const Row *) g_ptr_array_index (largest, MOST - 1))->n_dense_bytes : 0;
  for (i = 0; i < report->rows->len; i++) {
    Row *row = g_ptr_array_index (report->rows, i);

    if (row->n_dims > 1 && row->n_dense_bytes >= least && rows->len < MOST)
      g_ptr_array_add (rows, row);
  }
  return rows;
}

static void
draw_row (cairo_t *cr, const Row *row, double y, double most)
{
  /* Sizes differ by orders of magnitude: a bar's length is that of the square root. */
  double length = (WIDTH - LEFT - RIGHT) * sqrt ((double) row->n_dense_bytes / most);
  double dense = MAX ((double) row->n_dense_bytes, 1);
  double kept = (double) row->n_kept / MAX ((double) row->n_elements, 1);
  g_autofree char *size = g_format_size (row->n_bytes);
  g_autofree char *text = NULL;

  show_bar (cr, &whole_color, LEFT, y, length);
  show_bar (cr, &stored_color, LEFT, y, length * MIN ((double) row->n_bytes / dense, 1));
  show_bar (cr, &kept_color, LEFT, y, length * MIN (kept, (double) row->n_bytes / dense));
  set_color (cr, &ink);
  show_text (cr, row->name, LEFT - 10, y + BAR - 3, 1);
  text = g_strdup_printf (_("%s, %.1f %% zero"), size, 100 * (1 - kept));
  show_text (cr, text, WIDTH - RIGHT + 12, y + BAR - 3, 0);
}

static void
draw (cairo_t *cr, const TandemInspectReport *report, GPtrArray *rows, guint64 n_bytes)
{
  g_autofree char *size = g_format_size (n_bytes);
  g_autofree char *base = g_path_get_basename (report->path);
  g_autofree char *title = g_strdup_printf ("%s, %s", base, size);
  double most = 1, y = TOP;
  guint i;

  cairo_set_source_rgb (cr, 1, 1, 1);
  cairo_paint (cr);
  cairo_select_font_face (cr, FONT, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_BOLD);
  cairo_set_font_size (cr, TITLE_SIZE);
  set_color (cr, &ink);
  show_text (cr, title, 20, 30, 0);
  cairo_select_font_face (cr, FONT, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size (cr, SIZE);
  show_text (cr, _("dark: not zero, light: stored, grey: left out (length: square root of the "
                   "size)"), 20, 52, 0);
  for (i = 0; i < rows->len; i++)
    most = MAX (most, (double) ((const Row *) g_ptr_array_index (rows, i))->n_dense_bytes);
  for (i = 0; i < rows->len; i++, y += ROW)
    draw_row (cr, g_ptr_array_index (rows, i), y, most);
}

static cairo_status_t
append (void *closure, const unsigned char *bytes, unsigned int length)
{
  g_byte_array_append (closure, bytes, length);
  return CAIRO_STATUS_SUCCESS;
}

gboolean
tandem_inspect_write_picture (const TandemInspectReport *report, guint64 n_bytes,
                              const char *path, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GPtrArray) rows = choose_rows (report);
  cairo_surface_t *surface = cairo_svg_surface_create_for_stream (
      append, bytes, WIDTH, TOP + BOTTOM + ROW * rows->len);
  cairo_t *cr = cairo_create (surface);
  cairo_status_t status;

  draw (cr, report, rows, n_bytes);
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
