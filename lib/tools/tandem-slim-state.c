/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* OUTPUT/slim.json: what tandem slim was asked for, and which steps are done. */

#include "config.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>

#include "tandem-slim.h"

#define STATE_FILE "slim.json"

typedef enum
{
  TEXT,
  TEXTS,
  INTEGER,
  NUMBER,
} Kind;

/* Paths are absolute. */
static const struct
{
  const char *name;
  Kind kind;
  gsize offset;
} members[] = {
  { "model", TEXT, G_STRUCT_OFFSET (SlimOptions, model) },
  { "data", TEXTS, G_STRUCT_OFFSET (SlimOptions, data) },
  { "validation", TEXTS, G_STRUCT_OFFSET (SlimOptions, validation) },
  { "test", TEXTS, G_STRUCT_OFFSET (SlimOptions, test) },
  { "fine_tune", INTEGER, G_STRUCT_OFFSET (SlimOptions, fine_tune) },
  { "tune", INTEGER, G_STRUCT_OFFSET (SlimOptions, tune) },
  { "method", TEXT, G_STRUCT_OFFSET (SlimOptions, method) },
  { "sparsity", NUMBER, G_STRUCT_OFFSET (SlimOptions, sparsity) },
  { "tensors", TEXT, G_STRUCT_OFFSET (SlimOptions, tensors) },
  { "epochs", INTEGER, G_STRUCT_OFFSET (SlimOptions, epochs) },
  { "gradual", NUMBER, G_STRUCT_OFFSET (SlimOptions, gradual) },
  { "weights", TEXT, G_STRUCT_OFFSET (SlimOptions, weights) },
  { "max_loss", NUMBER, G_STRUCT_OFFSET (SlimOptions, max_loss) },
  { "split", TEXT, G_STRUCT_OFFSET (SlimOptions, split) },
  { "training", TEXTS, G_STRUCT_OFFSET (SlimOptions, training) },
};

void
slim_options_clear (SlimOptions *self)
{
  g_free (self->model);
  g_free (self->output);
  g_strfreev (self->data);
  g_strfreev (self->validation);
  g_strfreev (self->test);
  g_free (self->method);
  g_free (self->tensors);
  g_free (self->weights);
  g_free (self->split);
  g_strfreev (self->training);
}

void
slim_step_free (SlimStep *step)
{
  g_free (step->name);
  g_free (step->path);
  g_free (step);
}

SlimState *
slim_state_new (void)
{
  SlimState *self = g_new0 (SlimState, 1);

  self->steps = g_ptr_array_new_with_free_func ((GDestroyNotify) slim_step_free);
  self->stages = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
slim_state_free (SlimState *self)
{
  slim_options_clear (&self->options);
  g_ptr_array_unref (self->steps);
  g_ptr_array_unref (self->stages);
  g_free (self);
}

static char *
get_path (const char *output)
{
  return g_build_filename (output, STATE_FILE, NULL);
}

gboolean
slim_state_exists (const char *output)
{
  g_autofree char *path = get_path (output);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static void
add_texts (JsonBuilder *json, char **texts)
{
  json_builder_begin_array (json);
  for (; texts != NULL && *texts != NULL; texts++)
    json_builder_add_string_value (json, *texts);
  json_builder_end_array (json);
}

static void
build_options (JsonBuilder *json, const SlimOptions *options)
{
  guint i;

  json_builder_set_member_name (json, "options");
  json_builder_begin_object (json);
  for (i = 0; i < G_N_ELEMENTS (members); i++) {
    const guint8 *field = (const guint8 *) options + members[i].offset;

    json_builder_set_member_name (json, members[i].name);
    switch (members[i].kind) {
      case TEXT:
        json_builder_add_string_value (json, *(char *const *) field);
        break;
      case TEXTS:
        add_texts (json, *(char **const *) field);
        break;
      case INTEGER:
        json_builder_add_int_value (json, *(const int *) field);
        break;
      case NUMBER:
        json_builder_add_double_value (json, *(const double *) field);
        break;
    }
  }
  json_builder_end_object (json);
}

char *
slim_state_to_json (const SlimState *self)
{
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  guint i;

  json_builder_begin_object (json);
  build_options (json, &self->options);
  json_builder_set_member_name (json, "steps");
  json_builder_begin_array (json);
  for (i = 0; i < self->steps->len; i++) {
    const SlimStep *step = g_ptr_array_index (self->steps, i);

    json_builder_begin_object (json);
    json_builder_set_member_name (json, "name");
    json_builder_add_string_value (json, step->name);
    json_builder_set_member_name (json, "path");
    json_builder_add_string_value (json, step->path);
    json_builder_set_member_name (json, "accuracy");
    if (step->accuracy < 0)
      json_builder_add_null_value (json);
    else
      json_builder_add_double_value (json, step->accuracy / 100);
    json_builder_set_member_name (json, "bytes");
    json_builder_add_int_value (json, (gint64) step->bytes);
    json_builder_set_member_name (json, "milliseconds");
    json_builder_add_double_value (json, step->milliseconds);
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
  json_builder_set_member_name (json, "stages");
  json_builder_begin_array (json);
  for (i = 0; i < self->stages->len; i++)
    json_builder_add_string_value (json, g_ptr_array_index (self->stages, i));
  json_builder_end_array (json);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  return json_to_string (root, TRUE);
}

gboolean
slim_state_save (const SlimState *self, GError **error)
{
  g_autofree char *path = get_path (self->options.output);
  g_autofree char *text = slim_state_to_json (self);

  if (g_mkdir_with_parents (self->options.output, 0777) != 0) {
    int saved = errno;
    g_autofree char *display = g_filename_display_name (self->options.output);

    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved), "%s: %s", display,
                 g_strerror (saved));
    return FALSE;
  }
  return g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0666, error);
}

static char **
read_texts (JsonReader *reader)
{
  g_autoptr (GStrvBuilder) list = g_strv_builder_new ();
  int n = json_reader_count_elements (reader), i;

  for (i = 0; i < n; i++) {
    const char *text;

    json_reader_read_element (reader, i);
    text = json_reader_get_string_value (reader);
    if (text != NULL)
      g_strv_builder_add (list, text);
    json_reader_end_element (reader);
  }
  return n > 0 ? g_strv_builder_end (list) : NULL;
}

static void
read_options (JsonReader *reader, SlimOptions *options)
{
  guint i;

  json_reader_read_member (reader, "options");
  for (i = 0; i < G_N_ELEMENTS (members); i++) {
    guint8 *field = (guint8 *) options + members[i].offset;

    if (json_reader_read_member (reader, members[i].name)) {
      switch (members[i].kind) {
        case TEXT:
          *(char **) field = json_reader_get_null_value (reader)
                               ? NULL : g_strdup (json_reader_get_string_value (reader));
          break;
        case TEXTS:
          *(char ***) field = read_texts (reader);
          break;
        case INTEGER:
          *(int *) field = (int) json_reader_get_int_value (reader);
          break;
        case NUMBER:
          *(double *) field = json_reader_get_double_value (reader);
          break;
      }
    }
    json_reader_end_member (reader);
  }
  json_reader_end_member (reader);
}

static char *
read_text (JsonReader *reader, const char *member)
{
  char *text = NULL;

  if (json_reader_read_member (reader, member) && !json_reader_get_null_value (reader))
    text = g_strdup (json_reader_get_string_value (reader));
  json_reader_end_member (reader);
  return text;
}

static double
read_number (JsonReader *reader, const char *member, double none)
{
  double number = none;

  if (json_reader_read_member (reader, member) && !json_reader_get_null_value (reader))
    number = json_reader_get_double_value (reader);
  json_reader_end_member (reader);
  return number;
}

static gboolean
read_steps (JsonReader *reader, GPtrArray *steps)
{
  gboolean ok = TRUE;
  int n, i;

  json_reader_read_member (reader, "steps");
  n = json_reader_count_elements (reader);
  for (i = 0; i < n; i++) {
    SlimStep *step = g_new0 (SlimStep, 1);

    g_ptr_array_add (steps, step);
    json_reader_read_element (reader, i);
    step->name = read_text (reader, "name");
    step->path = read_text (reader, "path");
    step->accuracy = 100 * read_number (reader, "accuracy", -1);
    step->bytes = (guint64) read_number (reader, "bytes", 0);
    step->milliseconds = read_number (reader, "milliseconds", 0);
    ok = ok && step->name != NULL && step->path != NULL;
    json_reader_end_element (reader);
  }
  json_reader_end_member (reader);
  return ok;
}

SlimState *
slim_state_load (const char *output, GError **error)
{
  g_autofree char *path = get_path (output);
  g_autofree char *display = g_filename_display_name (path);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (JsonReader) reader = NULL;
  g_autoptr (SlimState) self = slim_state_new ();

  if (!slim_state_exists (output)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 _("there is no %s: no sequence was begun there"), display);
    return NULL;
  }
  if (!json_parser_load_from_file (parser, path, error))
    return NULL;
  reader = json_reader_new (json_parser_get_root (parser));
  read_options (reader, &self->options);
  if (self->options.model == NULL || self->options.method == NULL ||
      self->options.weights == NULL || !read_steps (reader, self->steps)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, _("%s is damaged; begin anew with "
                                                               "--force"), display);
    return NULL;
  }
  self->options.output = g_strdup (output);
  return g_steal_pointer (&self);
}
