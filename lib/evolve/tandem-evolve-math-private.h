/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Numbers that are the same on every machine, as libm's are not. Not a part of the public API. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Relative error about 1e-15; exp for |x| < 700, log for x > 0. */
double tandem_evolve_exp (double x);
double tandem_evolve_log (double x);
/* x to the power of y, x > 0. */
double tandem_evolve_power (double x, double y);

/* Appends the fewest digits that give back this number, which is finite. */
void tandem_evolve_append_number (GString *text, double value);
/* Appends text as JSON, with its quotation marks. */
void tandem_evolve_append_string (GString *text, const char *value);

G_END_DECLS
