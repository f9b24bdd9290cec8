/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Principal components. Not a part of the public API. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Returns [n_components, width]: the directions in which the rows of x [n_rows, width] vary
 * most, from the first on, as orthonormal rows; the element of each that is largest is
 * positive. n_components is at most width. */
double *tandem_components_new (const float *x, gsize n_rows, guint width, guint n_components);

/* out [n_rows, n_components] = x [n_rows, width] times the transpose of components. */
void tandem_components_project (const double *components, guint n_components, guint width,
                                const float *x, gsize n_rows, float *out);

G_END_DECLS
