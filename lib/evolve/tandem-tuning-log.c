/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "evolve/tandem-tuning-log-private.h"

#include <string.h>

#include "evolve/tandem-optimizer-private.h"
#include "base/tandem-json-private.h"

/* Says which evaluation a line is of. */
static gboolean
parse_line (const char *line, guint64 *number, guint64 *rung)
{
  g_autoptr (JsonNode) root = NULL;
  JsonObject *object;
  gint64 values[2];

  if (!g_utf8_validate (line, -1, NULL))
    return FALSE;
  root = tandem_json_parse_object (line, NULL);
  if (root == NULL)
    return FALSE;
  object = json_node_get_object (root);
  values[0] = json_object_get_int_member_with_default (object, "trial", -1);
  values[1] = json_object_get_int_member_with_default (object, "rung", -1);
  *number = values[0];
  *rung = values[1];
  return values[0] >= 0 && values[1] >= 0;
}

static gboolean
is_known (TandemOptimizerPrivate *priv, guint64 number, guint64 rung)
{
  const TandemRecord *record;

  if (number >= priv->records->len)
    return FALSE;
  record = tandem_optimizer_get_record (priv, number);
  return record->original == number &&
      (rung < record->outcome.rung ||
       (rung == record->outcome.rung &&
        (record->state == TANDEM_RECORD_TOLD || record->state == TANDEM_RECORD_FINAL)));
}

/* Keeps each known evaluation once. */
static gboolean
trim (const char *path, TandemOptimizer *optimizer, GError **error)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (optimizer);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GString) kept = g_string_new (NULL);
  g_autofree char *text = NULL;
  g_autoptr (GError) inner = NULL;
  char *line, *end;
  gsize length;

  if (!g_file_get_contents (path, &text, &length, &inner)) {
    if (g_error_matches (inner, G_FILE_ERROR, G_FILE_ERROR_NOENT))
      return TRUE;
    g_propagate_error (error, g_steal_pointer (&inner));
    return FALSE;
  }
  for (line = text; (end = strchr (line, '\n')) != NULL; line = end + 1) {
    guint64 number, rung;

    *end = '\0';
    if (!parse_line (line, &number, &rung) || !is_known (priv, number, rung) ||
        !g_hash_table_add (seen, g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                                                  number, rung)))
      continue;
    g_string_append_printf (kept, "%s\n", line);
  }
  return kept->len == length ||
      g_file_set_contents_full (path, kept->str, kept->len, G_FILE_SET_CONTENTS_CONSISTENT, 0666,
                                error);
}

GOutputStream *
tandem_tuning_log_open (const char *path, TandemOptimizer *optimizer, GCancellable *cancellable,
                        GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);

  if (!trim (path, optimizer, error))
    return NULL;
  return G_OUTPUT_STREAM (g_file_append_to (file, G_FILE_CREATE_NONE, cancellable, error));
}
