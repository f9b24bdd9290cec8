/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "place/tandem-place-json.h"

#include <math.h>
#include <string.h>

#include "model/tandem-model-private.h"
#include "place/tandem-place-error.h"
#include "place/tandem-placement-private.h"
#include "base/tandem-json-private.h"

#define MAX_TEXT 255

gboolean
tandem_place_fail (const TandemPlaceObject *in, const char *member, const char *format, ...)
{
  g_autofree char *what = NULL;
  g_autofree char *where = g_strconcat (in->path, member, NULL);
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  if (g_str_has_suffix (where, "."))
    where[strlen (where) - 1] = '\0';
  g_set_error (in->error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_FILE, "%s: %s%s%s", in->file,
               where, *where != '\0' ? ": " : "", what);
  return FALSE;
}

gboolean
tandem_place_check_members (const TandemPlaceObject *in, const char *const *known)
{
  JsonObjectIter iter;
  const char *name;

  json_object_iter_init_ordered (&iter, in->object);
  while (json_object_iter_next_ordered (&iter, &name, NULL)) {
    if (!g_strv_contains (known, name)) {
      g_autofree char *all = g_strjoinv (", ", (char **) known);

      return tandem_place_fail (in, NULL, "there is no member \"%s\" here; there are %s", name,
                                all);
    }
  }
  return TRUE;
}

gboolean
tandem_place_has (const TandemPlaceObject *in, const char *member)
{
  return json_object_has_member (in->object, member);
}

static JsonNode *
lookup (const TandemPlaceObject *in, const char *member)
{
  JsonNode *node = json_object_get_member (in->object, member);

  if (node == NULL)
    tandem_place_fail (in, member, "is missing");
  return node;
}

gboolean
tandem_place_get_number (const TandemPlaceObject *in, const char *member, double least,
                         double most, double *value)
{
  JsonNode *node = lookup (in, member);
  double number;

  if (node == NULL)
    return FALSE;
  if (json_node_get_value_type (node) != G_TYPE_INT64 &&
      json_node_get_value_type (node) != G_TYPE_DOUBLE)
    return tandem_place_fail (in, member, "is no number");
  number = json_node_get_double (node);
  if (!(number >= least && number <= most))
    return tandem_place_fail (in, member, "is %g; it is to be from %g to %g", number, least, most);
  *value = number;
  return TRUE;
}

gboolean
tandem_place_get_whole (const TandemPlaceObject *in, const char *member, guint64 least,
                        guint64 most, guint64 *value)
{
  JsonNode *node = lookup (in, member);
  gint64 number;

  if (node == NULL)
    return FALSE;
  if (json_node_get_value_type (node) != G_TYPE_INT64)
    return tandem_place_fail (in, member, "is no whole number");
  number = json_node_get_int (node);
  if (number < 0 || (guint64) number < least || (guint64) number > most)
    return tandem_place_fail (in, member,
                              "is %" G_GINT64_FORMAT "; it is to be from %" G_GUINT64_FORMAT
                              " to %" G_GUINT64_FORMAT, number, least, most);
  *value = number;
  return TRUE;
}

const char *
tandem_place_get_text (const TandemPlaceObject *in, const char *member)
{
  JsonNode *node = lookup (in, member);
  const char *text, *next;

  if (node == NULL)
    return NULL;
  if (json_node_get_value_type (node) != G_TYPE_STRING) {
    tandem_place_fail (in, member, "is no text");
    return NULL;
  }
  text = json_node_get_string (node);
  for (next = text; *next != '\0'; next = g_utf8_next_char (next))
    if (!g_unichar_isprint (g_utf8_get_char (next)))
      break;
  if (*text == '\0' || *next != '\0' || next - text > MAX_TEXT) {
    tandem_place_fail (in, member, "is to be 1 to %d bytes of printable text", MAX_TEXT);
    return NULL;
  }
  return text;
}

JsonArray *
tandem_place_get_array (const TandemPlaceObject *in, const char *member)
{
  JsonNode *node = lookup (in, member);

  if (node == NULL)
    return NULL;
  if (!JSON_NODE_HOLDS_ARRAY (node)) {
    tandem_place_fail (in, member, "is no array");
    return NULL;
  }
  return json_node_get_array (node);
}

JsonObject *
tandem_place_get_object (const TandemPlaceObject *in, const char *member, char **path)
{
  JsonNode *node = lookup (in, member);

  if (node == NULL)
    return NULL;
  if (!JSON_NODE_HOLDS_OBJECT (node)) {
    tandem_place_fail (in, member, "is no object");
    return NULL;
  }
  *path = g_strdup_printf ("%s%s.", in->path, member);
  return json_node_get_object (node);
}

JsonObject *
tandem_place_get_element (const TandemPlaceObject *in, const char *member, JsonArray *array,
                          guint index, char **path)
{
  JsonNode *node = json_array_get_element (array, index);

  if (!JSON_NODE_HOLDS_OBJECT (node)) {
    g_autofree char *name = g_strdup_printf ("%s[%u]", member, index);

    tandem_place_fail (in, name, "is no object");
    return NULL;
  }
  *path = g_strdup_printf ("%s%s[%u].", in->path, member, index);
  return json_node_get_object (node);
}

gboolean
tandem_place_get_cost (const TandemPlaceObject *in, const char *member, TandemCost *cost)
{
  static const char *const known[] = { "fixed", "per_sequence", "per_token", "per_square", NULL };
  double *values[] = { &cost->fixed, &cost->per_sequence, &cost->per_token, &cost->per_square };
  g_autofree char *path = NULL;
  TandemPlaceObject inner = *in;
  guint i;

  inner.object = tandem_place_get_object (in, member, &path);
  inner.path = path;
  if (inner.object == NULL || !tandem_place_check_members (&inner, known))
    return FALSE;
  for (i = 0; i < G_N_ELEMENTS (values); i++) {
    *values[i] = 0;
    if (tandem_place_has (&inner, known[i]) &&
        !tandem_place_get_number (&inner, known[i], 0, TANDEM_PLACE_MAX_SECONDS, values[i]))
      return FALSE;
  }
  return TRUE;
}

void
tandem_place_add_cost (JsonBuilder *json, const char *member, const TandemCost *cost)
{
  json_builder_set_member_name (json, member);
  json_builder_begin_object (json);
  json_builder_set_member_name (json, "fixed");
  json_builder_add_double_value (json, cost->fixed);
  json_builder_set_member_name (json, "per_sequence");
  json_builder_add_double_value (json, cost->per_sequence);
  json_builder_set_member_name (json, "per_token");
  json_builder_add_double_value (json, cost->per_token);
  json_builder_set_member_name (json, "per_square");
  json_builder_add_double_value (json, cost->per_square);
  json_builder_end_object (json);
}

JsonObject *
tandem_place_read_file (const char *path, GError **error)
{
  g_autofree char *display = g_filename_display_name (path);
  g_autofree char *text = tandem_model_read_text (path, NULL, error);
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GError) inner = NULL;

  if (text == NULL)
    return NULL;
  root = tandem_json_parse_object (text, &inner);
  if (root == NULL) {
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_FILE, "%s: %s", display,
                 inner->message);
    return NULL;
  }
  return json_node_dup_object (root);
}
