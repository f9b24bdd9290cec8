/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Spaces and values as JSON; docs/evolution.md says what is in it. */

#include "config.h"

#include <math.h>
#include <string.h>

#include "evolve/tandem-evolve-error.h"
#include "evolve/tandem-evolve-math-private.h"
#include "evolve/tandem-search-space-private.h"
#include "base/tandem-json-private.h"

#define MAX_FILE (16 * 1024 * 1024)

static const char *const kinds[] = { "real", "log", "integer", "categorical" };

/* Where in the text an error is. */
typedef struct
{
  guint index;
  JsonObject *object;
  GError **error;
} Place;

static gboolean G_GNUC_PRINTF (3, 4)
fail (const Place *place, const char *member, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (place->error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE,
               "parameters[%u]%s%s: %s", place->index, member != NULL ? "." : "",
               member != NULL ? member : "", what);
  return FALSE;
}

static const char *
get_text (const Place *place, const char *member)
{
  JsonNode *node = json_object_get_member (place->object, member);

  if (node == NULL || json_node_get_value_type (node) != G_TYPE_STRING) {
    fail (place, member, node == NULL ? "is missing" : "is no text");
    return NULL;
  }
  return json_node_get_string (node);
}

static gboolean
is_number (JsonNode *node)
{
  GType type = json_node_get_value_type (node);

  return type == G_TYPE_INT64 || type == G_TYPE_DOUBLE;
}

static gboolean
get_number (const Place *place, const char *member, double *value)
{
  JsonNode *node = json_object_get_member (place->object, member);

  if (node == NULL || !is_number (node))
    return fail (place, member, node == NULL ? "is missing" : "is no number");
  *value = json_node_get_double (node);
  return TRUE;
}

/* Texts, or whole numbers as text. */
static char **
get_texts (const Place *place, const char *member, JsonNode *node)
{
  g_autoptr (GPtrArray) texts = g_ptr_array_new_with_free_func (g_free);
  JsonArray *array;
  guint i;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node)) {
    fail (place, member, node == NULL ? "is missing" : "is no array");
    return NULL;
  }
  array = json_node_get_array (node);
  for (i = 0; i < json_array_get_length (array); i++) {
    JsonNode *element = json_array_get_element (array, i);
    GType type = json_node_get_value_type (element);

    if (type == G_TYPE_STRING) {
      g_ptr_array_add (texts, g_strdup (json_node_get_string (element)));
    } else if (type == G_TYPE_INT64) {
      g_ptr_array_add (texts, g_strdup_printf ("%" G_GINT64_FORMAT, json_node_get_int (element)));
    } else {
      fail (place, member, "element %u is neither text nor a whole number", i);
      return NULL;
    }
  }
  g_ptr_array_add (texts, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&texts), FALSE);
}

static gboolean
check_members (const Place *place)
{
  static const char *const known[] = { "name", "type", "low", "high", "values", "when", NULL };
  JsonObjectIter iter;
  const char *name;

  json_object_iter_init_ordered (&iter, place->object);
  while (json_object_iter_next_ordered (&iter, &name, NULL))
    if (!g_strv_contains (known, name))
      return fail (place, name, "there is no such member; there are name, type, low, high, values "
                   "and when");
  return TRUE;
}

static gboolean
read_when (TandemSearchSpace *self, const Place *place, const char *name)
{
  JsonNode *node = json_object_get_member (place->object, "when");
  g_autoptr (GError) inner = NULL;
  g_auto (GStrv) values = NULL;
  const char *parent;
  JsonObjectIter iter;
  JsonNode *element;

  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node) || json_object_get_size (json_node_get_object (node)) != 1)
    return fail (place, "when", "is no object of one member, the parameter that this one depends "
                 "on");
  json_object_iter_init (&iter, json_node_get_object (node));
  json_object_iter_next (&iter, &parent, &element);
  values = get_texts (place, "when", element);
  if (values == NULL)
    return FALSE;
  return tandem_search_space_set_condition (self, name, parent, (const char *const *) values,
                                            &inner) ||
      fail (place, "when", "%s", inner->message);
}

static gboolean
read_parameter (TandemSearchSpace *self, const Place *place)
{
  g_autoptr (GError) inner = NULL;
  g_auto (GStrv) values = NULL;
  const char *name, *type;
  double low, high;
  guint kind;

  if (!check_members (place) || (name = get_text (place, "name")) == NULL ||
      (type = get_text (place, "type")) == NULL)
    return FALSE;
  for (kind = 0; kind < G_N_ELEMENTS (kinds); kind++)
    if (g_str_equal (type, kinds[kind]))
      break;
  if (kind == G_N_ELEMENTS (kinds))
    return fail (place, "type", "\"%s\" is not real, log, integer or categorical", type);
  if (kind == TANDEM_PARAMETER_KIND_CATEGORICAL) {
    values = get_texts (place, "values", json_object_get_member (place->object, "values"));
    if (values == NULL)
      return FALSE;
    if (!tandem_search_space_add_categorical (self, name, (const char *const *) values, &inner))
      return fail (place, NULL, "%s", inner->message);
  } else {
    if (!get_number (place, "low", &low) || !get_number (place, "high", &high))
      return FALSE;
    if (!tandem_search_space_add_number (self, name, kind, low, high, &inner))
      return fail (place, NULL, "%s", inner->message);
  }
  return read_when (self, place, name);
}

/**
 * tandem_search_space_new_from_json:
 * @json: an object with an array `parameters`
 * @error: return location for %TANDEM_EVOLVE_ERROR_SPACE, which names the line of what is no JSON
 *   and the member of what is no space
 *
 * Reads a space. Members that are not known are refused.
 *
 * Returns: (transfer full): the space, or %NULL with @error set
 */
TandemSearchSpace *
tandem_search_space_new_from_json (const char *json, GError **error)
{
  g_autoptr (TandemSearchSpace) self = tandem_search_space_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GError) inner = NULL;
  JsonNode *list = NULL;
  JsonObject *object;
  guint i;

  g_return_val_if_fail (json != NULL, NULL);

  root = tandem_json_parse_object (json, &inner);
  if (root == NULL) {
    g_set_error_literal (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE, inner->message);
    return NULL;
  }
  object = json_node_get_object (root);
  list = json_object_get_member (object, "parameters");
  if (list == NULL || !JSON_NODE_HOLDS_ARRAY (list) || json_object_get_size (object) != 1) {
    g_set_error_literal (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE,
                         "a search space has one member, the array \"parameters\"");
    return NULL;
  }
  for (i = 0; i < json_array_get_length (json_node_get_array (list)); i++) {
    JsonNode *element = json_array_get_element (json_node_get_array (list), i);
    Place place = { i, NULL, error };

    if (!JSON_NODE_HOLDS_OBJECT (element)) {
      fail (&place, NULL, "is no object");
      return NULL;
    }
    place.object = json_node_get_object (element);
    if (!read_parameter (self, &place))
      return NULL;
  }
  if (self->parameters->len == 0) {
    g_set_error_literal (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE,
                         "parameters: there is none");
    return NULL;
  }
  return g_steal_pointer (&self);
}

/**
 * tandem_search_space_new_from_file:
 * @path: (type filename): a file of at most 16 MiB: JSON when its first character is a brace, else
 *   the short text
 * @error: return location for %TANDEM_EVOLVE_ERROR_SPACE or a #GFileError
 *
 * Reads a space from a file. Errors name it, and the line or the member in it.
 *
 * Returns: (transfer full): the space, or %NULL with @error set
 */
TandemSearchSpace *
tandem_search_space_new_from_file (const char *path, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInfo) info = NULL;
  g_autofree char *text = NULL, *display = g_filename_display_name (path);
  TandemSearchSpace *self;
  const char *start;
  gsize length;

  info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE, 0, NULL, error);
  if (info == NULL)
    return NULL;
  if (g_file_info_get_size (info) > MAX_FILE) {
    g_set_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE,
                 "%s: has more than %d bytes", display, MAX_FILE);
    return NULL;
  }
  if (!g_file_get_contents (path, &text, &length, error))
    return NULL;
  if (strlen (text) != length || !g_utf8_validate (text, length, NULL)) {
    g_set_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE, "%s: is no text in UTF-8",
                 display);
    return NULL;
  }
  for (start = text; g_ascii_isspace (*start); start++)
    ;
  self = *start == '{' ? tandem_search_space_new_from_json (text, error)
                       : tandem_search_space_new_from_text (text, error);
  if (self == NULL)
    g_prefix_error (error, "%s: ", display);
  return self;
}

static void
append_value (const TandemParameter *parameter, double value, GString *text)
{
  if (parameter->kind == TANDEM_PARAMETER_KIND_CATEGORICAL)
    tandem_evolve_append_string (text, parameter->categories[(guint) value]);
  else
    tandem_evolve_append_number (text, value);
}

/**
 * tandem_search_space_to_json:
 * @self: a space
 *
 * Returns: (transfer full): text that tandem_search_space_new_from_json() reads
 */
char *
tandem_search_space_to_json (TandemSearchSpace *self)
{
  GString *text = g_string_new ("{\"parameters\": [");
  guint i, k;

  g_return_val_if_fail (TANDEM_IS_SEARCH_SPACE (self), NULL);

  for (i = 0; i < self->parameters->len; i++) {
    const TandemParameter *parameter = tandem_search_space_get (self, i);

    g_string_append_printf (text, "%s\n  {\"name\": \"%s\", \"type\": \"%s\", ", i > 0 ? "," : "",
                            parameter->name, kinds[parameter->kind]);
    if (parameter->kind == TANDEM_PARAMETER_KIND_CATEGORICAL) {
      g_string_append (text, "\"values\": [");
      for (k = 0; parameter->categories[k] != NULL; k++) {
        g_string_append (text, k > 0 ? ", " : "");
        append_value (parameter, k, text);
      }
      g_string_append_c (text, ']');
    } else {
      g_string_append (text, "\"low\": ");
      tandem_evolve_append_number (text, parameter->low);
      g_string_append (text, ", \"high\": ");
      tandem_evolve_append_number (text, parameter->high);
    }
    if (parameter->parent >= 0) {
      const TandemParameter *of = tandem_search_space_get (self, parameter->parent);

      g_string_append_printf (text, ", \"when\": {\"%s\": [", of->name);
      for (k = 0; k < parameter->when->len; k++) {
        g_string_append (text, k > 0 ? ", " : "");
        append_value (of, g_array_index (parameter->when, double, k), text);
      }
      g_string_append (text, "]}");
    }
    g_string_append_c (text, '}');
  }
  g_string_append (text, "\n]}");
  return g_string_free (text, FALSE);
}

void
tandem_search_space_append_values (TandemSearchSpace *self, const double *values, GString *text)
{
  gboolean first = TRUE;
  guint i;

  g_string_append_c (text, '{');
  for (i = 0; i < self->parameters->len; i++) {
    const TandemParameter *parameter = tandem_search_space_get (self, i);

    if (isnan (values[i]))
      continue;
    g_string_append_printf (text, "%s\"%s\": ", first ? "" : ", ", parameter->name);
    append_value (parameter, values[i], text);
    first = FALSE;
  }
  g_string_append_c (text, '}');
}

static gboolean
parse_value (const TandemParameter *parameter, JsonNode *node, double *value)
{
  guint i;

  if (parameter->kind != TANDEM_PARAMETER_KIND_CATEGORICAL) {
    *value = is_number (node) ? json_node_get_double (node) : NAN;
    return *value >= parameter->low && *value <= parameter->high &&
        (parameter->kind != TANDEM_PARAMETER_KIND_INTEGER || floor (*value) == *value);
  }
  if (json_node_get_value_type (node) != G_TYPE_STRING)
    return FALSE;
  for (i = 0; parameter->categories[i] != NULL; i++) {
    if (g_str_equal (parameter->categories[i], json_node_get_string (node))) {
      *value = i;
      return TRUE;
    }
  }
  return FALSE;
}

gboolean
tandem_search_space_parse_values (TandemSearchSpace *self, JsonObject *object, double *values,
                                  GError **error)
{
  guint n = 0, i;

  for (i = 0; i < self->parameters->len; i++) {
    const TandemParameter *parameter = tandem_search_space_get (self, i);
    JsonNode *node = json_object_get_member (object, parameter->name);

    values[i] = NAN;
    n += node != NULL;
    if (node != NULL && !parse_value (parameter, node, &values[i])) {
      g_set_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_CANDIDATE,
                   "%s: is none of its values", parameter->name);
      return FALSE;
    }
  }
  if (n != json_object_get_size (object)) {
    g_set_error_literal (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_CANDIDATE,
                         "there is a member that is no parameter");
    return FALSE;
  }
  /* What is there decides what else is to be there. */
  for (i = 0; i < self->parameters->len; i++) {
    const TandemParameter *parameter = tandem_search_space_get (self, i);
    gboolean wanted = parameter->parent < 0;
    guint k;

    for (k = 0; !wanted && k < parameter->when->len; k++)
      wanted = g_array_index (parameter->when, double, k) == values[parameter->parent];
    if (wanted == !!isnan (values[i])) {
      g_set_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_CANDIDATE, "%s: is %s",
                   parameter->name, wanted ? "missing" : "not there with the others' values");
      return FALSE;
    }
  }
  return TRUE;
}
