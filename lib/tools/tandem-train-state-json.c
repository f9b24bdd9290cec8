/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* state.json of a training. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>

#include "tandem-train-state.h"

#define VERSION 1

static void
add_number (JsonBuilder *builder, const char *name, double value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_double_value (builder, value);
}

static void
add_count (JsonBuilder *builder, const char *name, guint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, value);
}

static void
add_history (JsonBuilder *builder, const TrainState *self)
{
  guint i;

  json_builder_set_member_name (builder, "losses");
  json_builder_begin_array (builder);
  for (i = 0; i < self->losses->len; i++)
    json_builder_add_double_value (builder, g_array_index (self->losses, double, i));
  json_builder_end_array (builder);
  json_builder_set_member_name (builder, "measurements");
  json_builder_begin_array (builder);
  for (i = 0; i < self->measurements->len; i++) {
    const TrainMeasurement *measurement = &g_array_index (self->measurements, TrainMeasurement, i);

    json_builder_begin_object (builder);
    add_count (builder, "step", measurement->step);
    add_number (builder, "loss", measurement->loss);
    add_number (builder, "accuracy", measurement->accuracy);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
}

gboolean
train_state_save (const TrainState *self, GError **error)
{
  g_autofree char *path = train_state_get_path (self, "state.json");
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;

  json_builder_begin_object (builder);
  add_count (builder, "version", VERSION);
  add_count (builder, "step", self->step);
  add_count (builder, "stages", self->n_stages);
  json_builder_set_member_name (builder, "finished");
  json_builder_add_boolean_value (builder, self->finished);
  json_builder_set_member_name (builder, "data");
  json_builder_add_string_value (builder, self->data);
  json_builder_set_member_name (builder, "has_model");
  json_builder_add_boolean_value (builder, self->has_model);
  add_count (builder, "measured_step", self->measured_step);
  add_count (builder, "model_step", self->model_step);
  add_number (builder, "best", self->stopping.best);
  add_count (builder, "best_index", self->stopping.best_index);
  add_count (builder, "n_values", self->stopping.n_values);
  add_count (builder, "n_worse", self->stopping.n_worse);
  add_history (builder, self);
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  text = json_to_string (root, TRUE);
  return g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT |
                                   G_FILE_SET_CONTENTS_DURABLE, 0666, error);
}

/* Members of the file; ok turns FALSE at one that is missing. */
typedef struct
{
  JsonObject *object;
  gboolean ok;
} Members;

static JsonNode *
get (Members *members, const char *name)
{
  JsonNode *node = members->ok ? json_object_get_member (members->object, name) : NULL;

  members->ok = node != NULL;
  return node;
}

static double
get_number (Members *members, const char *name)
{
  JsonNode *node = get (members, name);

  members->ok = node != NULL && JSON_NODE_HOLDS_VALUE (node);
  return members->ok ? json_node_get_double (node) : 0.0;
}

static guint64
get_count (Members *members, const char *name)
{
  JsonNode *node = get (members, name);

  members->ok = node != NULL && json_node_get_value_type (node) == G_TYPE_INT64 &&
      json_node_get_int (node) >= 0;
  return members->ok ? json_node_get_int (node) : 0;
}

static gboolean
get_flag (Members *members, const char *name)
{
  JsonNode *node = get (members, name);

  members->ok = node != NULL && json_node_get_value_type (node) == G_TYPE_BOOLEAN;
  return members->ok && json_node_get_boolean (node);
}

static JsonArray *
get_array (Members *members, const char *name)
{
  JsonNode *node = get (members, name);

  members->ok = node != NULL && JSON_NODE_HOLDS_ARRAY (node);
  return members->ok ? json_node_get_array (node) : NULL;
}

static Members
get_element (Members *members, JsonArray *array, guint index)
{
  JsonNode *node = json_array_get_element (array, index);
  Members inner = { NULL, JSON_NODE_HOLDS_OBJECT (node) };

  if (inner.ok)
    inner.object = json_node_get_object (node);
  return inner;
}

static void
get_history (Members *members, TrainState *self)
{
  JsonArray *array;
  guint i;

  array = get_array (members, "losses");
  for (i = 0; members->ok && i < json_array_get_length (array); i++) {
    double loss = json_array_get_double_element (array, i);

    g_array_append_val (self->losses, loss);
  }
  members->ok = members->ok && self->losses->len == self->step;
  array = get_array (members, "measurements");
  for (i = 0; members->ok && i < json_array_get_length (array); i++) {
    Members inner = get_element (members, array, i);
    TrainMeasurement measurement = {
      get_count (&inner, "step"), get_number (&inner, "loss"), get_number (&inner, "accuracy")
    };

    members->ok = inner.ok;
    g_array_append_val (self->measurements, measurement);
  }
}

/* found: FALSE where the first checkpoint was not reached. */
gboolean
train_state_load (TrainState *self, gboolean *found, GError **error)
{
  g_autofree char *path = train_state_get_path (self, "state.json");
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  Members members = { NULL, TRUE };
  JsonNode *root, *data;

  *found = g_file_test (path, G_FILE_TEST_EXISTS);
  if (!*found)
    return TRUE;
  if (!json_parser_load_from_file (parser, path, error))
    return FALSE;
  root = json_parser_get_root (parser);
  members.ok = root != NULL && JSON_NODE_HOLDS_OBJECT (root);
  if (members.ok)
    members.object = json_node_get_object (root);
  members.ok = get_count (&members, "version") == VERSION && members.ok;
  self->step = get_count (&members, "step");
  members.ok = get_count (&members, "stages") == self->n_stages && members.ok;
  self->finished = get_flag (&members, "finished");
  data = get (&members, "data");
  members.ok = data != NULL && json_node_get_value_type (data) == G_TYPE_STRING;
  self->data = members.ok ? json_node_dup_string (data) : NULL;
  self->has_model = get_flag (&members, "has_model");
  self->measured_step = get_count (&members, "measured_step");
  self->model_step = get_count (&members, "model_step");
  self->stopping.best = get_number (&members, "best");
  self->stopping.best_index = get_count (&members, "best_index");
  self->stopping.n_values = get_count (&members, "n_values");
  self->stopping.n_worse = get_count (&members, "n_worse");
  get_history (&members, self);
  if (members.ok)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
               _("%s is damaged, or of another version of Tandem; begin anew with --force"), path);
  return FALSE;
}
