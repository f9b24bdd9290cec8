/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Options of tandem train as they are written for --resume. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>

#include "tandem-train-options-private.h"

/* The field of an option as JSON. */
static JsonNode *
to_json (const TrainOptions *self, const TrainOption *option)
{
  gconstpointer field = G_STRUCT_MEMBER_P (self, option->offset);
  JsonNode *node = json_node_alloc ();
  JsonArray *array;
  char **paths;

  switch (option->kind) {
    case KIND_COUNT:
      return json_node_init_int (node, *(const guint64 *) field);
    case KIND_NUMBER:
      return json_node_init_double (node, *(const double *) field);
    case KIND_FLAG:
      return json_node_init_boolean (node, *(const gboolean *) field);
    case KIND_PATHS:
      array = json_array_new ();
      for (paths = *(char **const *) field; paths != NULL && *paths != NULL; paths++)
        json_array_add_string_element (array, *paths);
      json_node_init_array (node, array);
      json_array_unref (array);
      return node;
    default:
      if (*(char *const *) field != NULL)
        return json_node_init_string (node, *(char *const *) field);
      return json_node_init_null (node);
  }
}

static gboolean
from_json (TrainOptions *self, const TrainOption *option, JsonNode *node)
{
  gpointer field = G_STRUCT_MEMBER_P (self, option->offset);
  GType type = json_node_get_value_type (node);
  g_autoptr (GStrvBuilder) paths = NULL;
  JsonArray *array;
  guint i;

  switch (option->kind) {
    case KIND_COUNT:
      *(guint64 *) field = json_node_get_int (node);
      return type == G_TYPE_INT64;
    case KIND_NUMBER:
      *(double *) field = json_node_get_double (node);
      return type == G_TYPE_DOUBLE || type == G_TYPE_INT64;
    case KIND_FLAG:
      *(gboolean *) field = json_node_get_boolean (node);
      return type == G_TYPE_BOOLEAN;
    case KIND_PATHS:
      if (!JSON_NODE_HOLDS_ARRAY (node))
        return FALSE;
      array = json_node_get_array (node);
      paths = g_strv_builder_new ();
      for (i = 0; i < json_array_get_length (array); i++) {
        const char *path = json_array_get_string_element (array, i);

        if (path == NULL)
          return FALSE;
        g_strv_builder_add (paths, path);
      }
      g_strfreev (*(char ***) field);
      *(char ***) field = g_strv_builder_end (paths);
      return TRUE;
    default:
      g_free (*(char **) field);
      *(char **) field = json_node_dup_string (node);
      return type == G_TYPE_STRING || JSON_NODE_HOLDS_NULL (node);
  }
}

gboolean
train_options_save (const TrainOptions *self, const char *path, GError **error)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autoptr (JsonNode) root = json_node_alloc ();
  g_autofree char *text = NULL;
  guint i;

  for (i = 0; i < TRAIN_N_OPTIONS; i++) {
    const TrainOption *option = &train_option_table[i];

    if (option->resume != RESUME_NOT)
      json_object_set_member (object, option->name, to_json (self, option));
  }
  json_node_init_object (root, object);
  text = json_to_string (root, TRUE);
  return g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT |
                                   G_FILE_SET_CONTENTS_DURABLE, 0666, error);
}

gboolean
train_options_load (TrainOptions *self, const gboolean *given, GError **error)
{
  g_autofree char *path = g_build_filename (self->output, TRAIN_CHECKPOINT_FOLDER,
                                            TRAIN_OPTIONS_FILE, NULL);
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  JsonNode *root;
  guint i;

  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("%s holds no training to go on with"), self->output);
    return FALSE;
  }
  if (!json_parser_load_from_file (parser, path, error))
    return FALSE;
  root = json_parser_get_root (parser);
  for (i = 0; i < TRAIN_N_OPTIONS; i++) {
    const TrainOption *option = &train_option_table[i];
    g_autoptr (JsonNode) now = NULL;
    JsonNode *then;

    if (option->resume == RESUME_NOT)
      continue;
    then = root != NULL && JSON_NODE_HOLDS_OBJECT (root)
      ? json_object_get_member (json_node_get_object (root), option->name) : NULL;
    /* Begun before there was the option: as if it had not been given. */
    if (then == NULL && !given[i])
      continue;
    now = to_json (self, option);
    if (then == NULL || (!given[i] && !from_json (self, option, then))) {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   _("%s does not say --%s as it should"), path, option->name);
      return FALSE;
    }
    if (given[i] && option->resume == RESUME_SAME && !json_node_equal (now, then)) {
      g_autofree char *before = json_to_string (then, FALSE);

      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   _("the training began with --%s=%s; leave the option out to go on, or begin "
                     "anew with --force"), option->name, before);
      return FALSE;
    }
  }
  return TRUE;
}
