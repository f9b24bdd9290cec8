/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* JSON that people write: nothing is guessed, what is not known is refused, and an error says
 * which member of which file it means. Not a part of the public API. */
#pragma once

#include <json-glib/json-glib.h>

#include "place/tandem-cost.h"

G_BEGIN_DECLS

/* An object in a file. */
typedef struct
{
  const char *file;             /* for messages */
  const char *path;             /* of the object: "devices[1].", or "" for the whole */
  JsonObject *object;
  GError **error;
} TandemPlaceObject;

/* Sets the error that a member is wrong; returns FALSE. member: NULL for the object itself. */
gboolean tandem_place_fail (const TandemPlaceObject *in, const char *member, const char *format,
                            ...) G_GNUC_PRINTF (3, 4);

/* Fails when there is a member that is not in the list, which ends with NULL. */
gboolean tandem_place_check_members (const TandemPlaceObject *in, const char *const *known);

gboolean tandem_place_has (const TandemPlaceObject *in, const char *member);

/* Read a member that is there; fail when it is missing, of another type, or out of range. */
gboolean tandem_place_get_number (const TandemPlaceObject *in, const char *member, double least,
                                  double most, double *value);
gboolean tandem_place_get_whole (const TandemPlaceObject *in, const char *member, guint64 least,
                                 guint64 most, guint64 *value);
/* Returns (transfer none) text of 1 to 255 bytes, all of them printable. */
const char *tandem_place_get_text (const TandemPlaceObject *in, const char *member);
JsonArray *tandem_place_get_array (const TandemPlaceObject *in, const char *member);
/* Returns (transfer none) an object, and the path of what is in it, to be freed. */
JsonObject *tandem_place_get_object (const TandemPlaceObject *in, const char *member,
                                     char **path);
JsonObject *tandem_place_get_element (const TandemPlaceObject *in, const char *member,
                                      JsonArray *array, guint index, char **path);
/* An object with any of fixed, per_sequence, per_token and per_square, in seconds. */
gboolean tandem_place_get_cost (const TandemPlaceObject *in, const char *member,
                                TandemCost *cost);

void tandem_place_add_cost (JsonBuilder *json, const char *member, const TandemCost *cost);

/* Reads a file of at most 16 MiB that holds one object. Returns (transfer full). */
JsonObject *tandem_place_read_file (const char *path, GError **error);

G_END_DECLS
