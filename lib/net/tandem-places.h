/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: who is looked at, when anybody may announce anything and not all of it can be looked at
 * at a time. Who comes when all places are taken waits; who gives a place up goes to the end of
 * those who wait. So each has its turn, and no number of strangers keeps somebody out for good. No
 * locks: it belongs to one thread. Exported for the tests only. */

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

typedef struct _TandemPlaces TandemPlaces;

/* n_most: of those who have a place and those who wait; more are passed over. */
TANDEM_API
TandemPlaces *tandem_places_new (guint n_places, guint n_most);

TANDEM_API
void tandem_places_free (TandemPlaces *self);

/* Somebody comes, and waits. Returns FALSE: it was there, or is passed over. */
TANDEM_API
gboolean tandem_places_add (TandemPlaces *self, const char *key);

/* Somebody goes, and leaves its place, if it had one. */
TANDEM_API
void tandem_places_remove (TandemPlaces *self, const char *key);

/* Gives a place that is free to who waits for longest. Returns (nullable) (transfer none) who that
 * is; NULL: none is free, or nobody waits. */
TANDEM_API
const char *tandem_places_next (TandemPlaces *self);

/* Who has a place waits again, behind all others. */
TANDEM_API
void tandem_places_give_up (TandemPlaces *self, const char *key);

TANDEM_API
gboolean tandem_places_has (TandemPlaces *self, const char *key);

TANDEM_API
guint tandem_places_get_n_waiting (TandemPlaces *self);

/* Returns (transfer full) who has a place, or who waits, the one for longest first. */
TANDEM_API
char **tandem_places_list (TandemPlaces *self, gboolean waiting);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemPlaces, tandem_places_free)

G_END_DECLS
