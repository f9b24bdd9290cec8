/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Random numbers that are a function of what they are for, not of what was drawn before.
 * They are the same on every machine: not even libm is called. Not a part of the public API. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What is added from one number to the next: 2^64 over the golden ratio. */
#define TANDEM_RANDOM_STEP G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)

/* A stream for a purpose of a seed. */
guint64 tandem_random_key (guint64 seed, guint64 purpose);

/* A purpose from a name. */
guint64 tandem_random_hash (const char *name);

/* Number @index of a stream: SplitMix64 (Steele, Lea and Flood 2014), which may be
 * entered anywhere. */
guint64 tandem_random_bits (guint64 key, guint64 index);

/* The same as a number from 0 to below 1, a multiple of 2^-53. */
double tandem_random_uniform (guint64 key, guint64 index);

/* Fills out with numbers of a normal distribution (Box and Muller 1958). */
void tandem_random_normal (guint64 key, double deviation, gsize n, float *out);

/* Puts items in another order. */
void tandem_random_shuffle (guint64 key, guint *items, guint n);

G_END_DECLS
