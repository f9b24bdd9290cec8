/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is known of a whole stage file, beside it, so that it need not be opened to be listed. */

#include "config.h"

#include "tandem-stage-cache-private.h"

#include <string.h>

#include "place/tandem-place-json.h"

#define MAX_LAYERS 4096

static void
add_number (JsonBuilder *json, const char *name, guint64 value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_int_value (json, (gint64) value);
}

gboolean
tandem_stage_note_write (const char *folder, const TandemCachedStage *stage, GError **error)
{
  g_autofree char *path = tandem_stage_cache_make_path (folder, stage->digest, ".json");
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;

  json_builder_begin_object (json);
  add_number (json, "version", 1);
  json_builder_set_member_name (json, "model");
  json_builder_add_string_value (json, stage->model);
  add_number (json, "bytes", stage->bytes);
  add_number (json, "modified", (guint64) stage->modified);
  add_number (json, "first_layer", stage->first_layer);
  add_number (json, "last_layer", stage->last_layer);
  add_number (json, "layers", stage->n_layers);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  text = json_to_string (root, TRUE);
  return g_file_set_contents (path, text, -1, error);
}

/* stage->digest says which. */
gboolean
tandem_stage_note_read (const char *folder, TandemCachedStage *stage, GError **error)
{
  static const char *const known[] = { "version", "model", "bytes", "modified", "first_layer",
                                       "last_layer", "layers", NULL };
  g_autofree char *path = tandem_stage_cache_make_path (folder, stage->digest, ".json");
  g_autoptr (JsonObject) object = tandem_place_read_file (path, error);
  TandemPlaceObject in = { path, "", object, error };
  guint64 version, first, last, n, modified;
  const char *model;

  if (object == NULL || !tandem_place_check_members (&in, known) ||
      !tandem_place_get_whole (&in, "version", 1, 1, &version) ||
      !tandem_place_get_whole (&in, "bytes", 1, G_MAXINT64, &stage->bytes) ||
      !tandem_place_get_whole (&in, "modified", 0, G_MAXINT64, &modified) ||
      !tandem_place_get_whole (&in, "layers", 1, MAX_LAYERS, &n) ||
      !tandem_place_get_whole (&in, "last_layer", 0, n - 1, &last) ||
      !tandem_place_get_whole (&in, "first_layer", 0, last, &first) ||
      (model = tandem_place_get_text (&in, "model")) == NULL)
    return FALSE;
  if (!tandem_stage_cache_is_digest (model))
    return tandem_place_fail (&in, "model", "is no fingerprint");
  g_strlcpy (stage->model, model, sizeof stage->model);
  stage->modified = (gint64) modified;
  stage->first_layer = first;
  stage->last_layer = last;
  stage->n_layers = n;
  return TRUE;
}
