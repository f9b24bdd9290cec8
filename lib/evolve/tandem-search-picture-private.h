/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What pictures of searches have in common. Not a part of the public API. */
#pragma once

#include <cairo.h>
#include <gio/gio.h>

G_BEGIN_DECLS

/* Around a panel, in points. */
#define TANDEM_SEARCH_PICTURE_WIDTH 860.0
#define TANDEM_SEARCH_PICTURE_LEFT 92.0
#define TANDEM_SEARCH_PICTURE_TOP 62.0

/* Values that differ by more than this are shown by their logarithm. */
#define TANDEM_SEARCH_PICTURE_LOG_RATIO 1e3

typedef void (*TandemSearchPictureDraw) (cairo_t *cr, gpointer data);

/* Writes a picture as SVG, whole or not at all. */
gboolean tandem_search_picture_write (double width, double height, TandemSearchPictureDraw draw,
                                      gpointer data, const char *title, const char *path,
                                      GError **error);

/* Returns FALSE: there is nothing to show. */
gboolean tandem_search_picture_fail_empty (const char *path, GError **error);

G_END_DECLS
