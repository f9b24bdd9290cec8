/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "base/tandem-json-private.h"

#include <gio/gio.h>
#include <string.h>

#define MAX_DEPTH 64

/* json-glib recurses without a bound, so that brackets alone could overflow the
 * stack. Also refuses what it takes beyond JSON, as comments and single quotes: a
 * quotation mark inside of one would hide the brackets that follow it. */
static gboolean
check_depth (const char *text, GError **error)
{
  const char *start = text;
  gboolean in_string = FALSE;
  guint depth = 0;

  for (; *text != '\0'; text++) {
    if (in_string) {
      if (*text == '\\' && text[1] != '\0')
        text++;
      else if (*text == '"')
        in_string = FALSE;
    } else if (*text == '"') {
      in_string = TRUE;
    } else if (*text == '{' || *text == '[') {
      if (++depth > MAX_DEPTH) {
        g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "nested deeper than %d",
                     MAX_DEPTH);
        return FALSE;
      }
    } else if (*text == '}' || *text == ']') {
      depth -= depth > 0;
    } else if (!g_ascii_isalnum (*text) && strchr (" \t\r\n:,+-.", *text) == NULL) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   "not valid JSON at byte %" G_GSIZE_FORMAT, (gsize) (text - start));
      return FALSE;
    }
  }
  return TRUE;
}

JsonNode *
tandem_json_parse_object (const char *text, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GError) inner = NULL;
  JsonNode *root;

  if (!check_depth (text, error))
    return NULL;
  if (!json_parser_load_from_data (parser, text, -1, &inner)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "not valid JSON: %s",
                 inner->message);
    return NULL;
  }
  root = json_parser_get_root (parser);
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "not a JSON object");
    return NULL;
  }
  return json_node_ref (root);
}
