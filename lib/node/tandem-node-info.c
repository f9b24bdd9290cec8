/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-node-client-private.h"

#include "node/tandem-stage-cache.h"

G_DEFINE_BOXED_TYPE (TandemNodeInfo, tandem_node_info, tandem_node_info_copy,
                     tandem_node_info_free)

/**
 * tandem_node_info_copy:
 * @self: what a node says
 *
 * Returns: (transfer full): a copy
 */
TandemNodeInfo *
tandem_node_info_copy (const TandemNodeInfo *self)
{
  TandemNodeInfo *copy = g_memdup2 (self, sizeof *self);
  guint i;

  copy->device = g_strdup (self->device);
  copy->instance = g_strdup (self->instance);
  copy->name = g_strdup (self->name);
  copy->protocol = g_strdup (self->protocol);
  copy->library = g_strdup (self->library);
  copy->files = g_memdup2 (self->files, self->n_files * sizeof *self->files);
  for (i = 0; i < self->n_files; i++) {
    copy->files[i].digest = g_strdup (self->files[i].digest);
    copy->files[i].model = g_strdup (self->files[i].model);
  }
  return copy;
}

/**
 * tandem_node_info_free:
 * @self: (nullable): what a node says
 *
 * Frees it.
 */
void
tandem_node_info_free (TandemNodeInfo *self)
{
  guint i;

  if (self == NULL)
    return;
  for (i = 0; i < self->n_files; i++) {
    g_free (self->files[i].digest);
    g_free (self->files[i].model);
  }
  g_free (self->files);
  g_free (self->device);
  g_free (self->instance);
  g_free (self->name);
  g_free (self->protocol);
  g_free (self->library);
  g_free (self);
}

/* --- reading --- */

static gboolean
get_number (const TandemPlaceObject *in, const char *member, guint64 *value)
{
  return tandem_place_get_whole (in, member, 0, TANDEM_CONTROL_MAX_NUMBER, value);
}

static gboolean
get_count (const TandemPlaceObject *in, const char *member, guint *value)
{
  guint64 number;

  if (!tandem_place_get_whole (in, member, 0, G_MAXINT, &number))
    return FALSE;
  *value = number;
  return TRUE;
}

static gboolean
get_text (const TandemPlaceObject *in, const char *member, char **value)
{
  *value = g_strdup (tandem_place_get_text (in, member));
  return *value != NULL;
}

static gboolean
read_memory (const TandemPlaceObject *in, TandemNodeInfo *self)
{
  g_autofree char *path = NULL;
  TandemPlaceObject inner = *in;

  inner.object = tandem_place_get_object (in, "memory", &path);
  inner.path = path;
  return inner.object != NULL && get_number (&inner, "total", &self->memory_total) &&
      get_number (&inner, "available", &self->memory_available) &&
      get_number (&inner, "limit", &self->memory_limit) &&
      get_number (&inner, "used", &self->memory_used);
}

static gboolean
read_file (const TandemPlaceObject *in, TandemNodeFile *file)
{
  return get_text (in, "digest", &file->digest) && get_text (in, "model", &file->model) &&
      get_number (in, "bytes", &file->bytes) &&
      get_count (in, "first_layer", &file->first_layer) &&
      get_count (in, "last_layer", &file->last_layer) &&
      get_count (in, "layers", &file->n_layers);
}

static gboolean
read_cache (const TandemPlaceObject *in, TandemNodeInfo *self)
{
  g_autofree char *path = NULL;
  TandemPlaceObject inner = *in;
  JsonArray *array;
  guint i, n;

  inner.object = tandem_place_get_object (in, "cache", &path);
  inner.path = path;
  if (inner.object == NULL || !get_number (&inner, "limit", &self->cache_limit) ||
      !get_number (&inner, "used", &self->cache_used) ||
      (array = tandem_place_get_array (&inner, "stages")) == NULL)
    return FALSE;
  n = json_array_get_length (array);
  self->files = g_new0 (TandemNodeFile, n);
  self->n_files = n;
  for (i = 0; i < n; i++) {
    g_autofree char *where = NULL;
    TandemPlaceObject element = inner;

    element.object = tandem_place_get_element (&inner, "stages", array, i, &where);
    element.path = where;
    if (element.object == NULL || !read_file (&element, &self->files[i]))
      return FALSE;
  }
  return TRUE;
}

/* Reads the answer to "describe". */
TandemNodeInfo *
tandem_node_info_parse (const TandemPlaceObject *in)
{
  g_autoptr (TandemNodeInfo) self = g_new0 (TandemNodeInfo, 1);
  JsonNode *bf16;
  guint64 time = 0;

  if (!get_text (in, "device", &self->device) || !get_text (in, "instance", &self->instance) ||
      !get_text (in, "name", &self->name) || !get_text (in, "library", &self->library) ||
      !get_text (in, "protocol", &self->protocol) ||
      (tandem_place_has (in, "time") && !get_number (in, "time", &time)) ||
      !get_count (in, "cores", &self->n_cores) || !get_count (in, "threads", &self->n_threads) ||
      !get_count (in, "pipelines", &self->n_pipelines) ||
      !tandem_place_get_number (in, "load", 0, G_MAXDOUBLE, &self->load) ||
      !tandem_place_get_number (in, "speed", 0, G_MAXDOUBLE, &self->speed) ||
      !read_memory (in, self) || !read_cache (in, self))
    return NULL;
  self->time = time;
  bf16 = json_object_get_member (in->object, "bf16");
  self->has_bf16 = bf16 != NULL && json_node_get_value_type (bf16) == G_TYPE_BOOLEAN &&
      json_node_get_boolean (bf16);
  return g_steal_pointer (&self);
}
