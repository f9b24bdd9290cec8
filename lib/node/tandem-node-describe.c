/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a node says about its device. */

#include "config.h"

#include "tandem-node-private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/tandem-device-id.h"
#include "tandem-init.h"

/* Bytes of a line of /proc/meminfo; 0 where there is no such line. */
static guint64
read_memory (const char *name)
{
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/meminfo", &text, NULL, NULL))
    return 0;
  for (line = text; line != NULL; line = strchr (line, '\n')) {
    line += *line == '\n';
    if (g_str_has_prefix (line, name) && line[strlen (name)] == ':')
      return g_ascii_strtoull (line + strlen (name) + 1, NULL, 10) * 1024;
  }
  return 0;
}

static guint64
get_total_memory (void)
{
  return (guint64) MAX (sysconf (_SC_PHYS_PAGES), 0) * (guint64) MAX (sysconf (_SC_PAGESIZE), 0);
}


guint64
tandem_get_available_memory (void)
{
  guint64 available = read_memory ("MemAvailable");

  return available > 0 ? available : get_total_memory ();
}

static double
get_load (void)
{
  double load;

  return getloadavg (&load, 1) == 1 ? load : 0;
}

static void
add_memory (JsonBuilder *json, TandemNode *node)
{
  json_builder_set_member_name (json, "memory");
  json_builder_begin_object (json);
  tandem_node_add_number (json, "total", get_total_memory ());
  tandem_node_add_number (json, "available", tandem_get_available_memory ());
  tandem_node_add_number (json, "limit", node->memory_limit);
  tandem_node_add_number (json, "used", node->memory_used);
  json_builder_end_object (json);
}

static void
add_cache (JsonBuilder *json, TandemNode *node)
{
  g_autoptr (GPtrArray) stages = tandem_stage_cache_list (node->cache);
  guint i;

  json_builder_set_member_name (json, "cache");
  json_builder_begin_object (json);
  tandem_node_add_number (json, "limit", tandem_stage_cache_get_limit (node->cache));
  tandem_node_add_number (json, "used", tandem_stage_cache_get_used (node->cache));
  json_builder_set_member_name (json, "stages");
  json_builder_begin_array (json);
  for (i = 0; i < stages->len; i++) {
    const TandemCachedStage *stage = g_ptr_array_index (stages, i);

    json_builder_begin_object (json);
    tandem_node_add_text (json, "digest", stage->digest);
    tandem_node_add_number (json, "bytes", stage->bytes);
    tandem_node_add_text (json, "model", stage->model);
    tandem_node_add_number (json, "first_layer", stage->first_layer);
    tandem_node_add_number (json, "last_layer", stage->last_layer);
    tandem_node_add_number (json, "layers", stage->n_layers);
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
  json_builder_end_object (json);
}

void
tandem_node_describe (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  TandemNode *node = request->connection->node;
  JsonBuilder *json = tandem_node_request_begin (request);
  g_autofree char *protocol =
      g_strdup_printf ("%d.%d", TANDEM_CONTROL_MAJOR, TANDEM_CONTROL_MINOR);

  tandem_node_add_text (json, "protocol", protocol);
  tandem_node_add_text (json, "library", tandem_version ());
  tandem_node_add_number (json, "time", MAX (g_get_real_time (), 0));
  tandem_node_add_text (json, "device", tandem_device_id_get ());
  tandem_node_add_text (json, "instance", tandem_device_id_get_instance ());
  tandem_node_add_text (json, "name", node->name);
  tandem_node_add_number (json, "cores", g_get_num_processors ());
  tandem_node_add_number (json, "threads", node->n_threads);
  json_builder_set_member_name (json, "bf16");
  json_builder_add_boolean_value (json, tandem_precision_is_supported (TANDEM_PRECISION_BF16));
  tandem_node_add_double (json, "load", get_load ());
  tandem_node_add_double (json, "speed", node->speed);
  add_memory (json, node);
  add_cache (json, node);
  tandem_node_add_number (json, "pipelines", node->n_pipelines);
  tandem_node_add_pipelines (request->connection, json);
  tandem_node_request_finish (request, json);
}

/* What an announcement says: facts that are small, change seldom, and that anybody may know. */
char **
tandem_node_make_facts (TandemNode *self)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  guint n_stages = self->cache != NULL ? tandem_stage_cache_list (self->cache)->len : 0;
  const struct
  {
    const char *name;
    char *value;
  } facts[] = {
    { "node", g_strdup_printf ("%d.%d", TANDEM_CONTROL_MAJOR, TANDEM_CONTROL_MINOR) },
    { "id", g_strdup (tandem_device_id_get ()) },
    { "inst", g_strdup (tandem_device_id_get_instance ()) },
    { "name", g_strdup (self->name) },
    { "cores", g_strdup_printf ("%u", g_get_num_processors ()) },
    { "memory", g_strdup_printf ("%" G_GUINT64_FORMAT,
                                 self->memory_limit > 0 ? self->memory_limit
                                                        : get_total_memory ()) },
    { "speed", g_strdup_printf ("%.0f", self->speed) },
    { "stages", g_strdup_printf ("%u", n_stages) },
    { "busy", g_strdup_printf ("%u", self->n_pipelines) },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (facts); i++) {
    g_autofree char *fact = g_strdup_printf ("%s=%s", facts[i].name, facts[i].value);

    g_strv_builder_add (builder, fact);
    g_free (facts[i].value);
  }
  return g_strv_builder_end (builder);
}
