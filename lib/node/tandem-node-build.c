/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The request to build a pipeline: what it needs is counted, in another thread, from the file that
 * it runs; then it gets its memory or a refusal; then it starts. */

#include "config.h"

#include "tandem-node-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "model/tandem-model.h"
#include "place/tandem-placement-problem.h"

/* So many pipelines a connection, so that reports stay messages. */
#define MAX_PIPELINES 64
#define DEFAULT_SEQUENCES 8
#define DEFAULT_LENGTH 256
#define MAX_TOKENS (16 * 1024 * 1024)
#define MAX_SEQUENCES 65536
#define HOST_CHARACTERS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-._:%"

typedef struct
{
  TandemNodeRequest *request;
  TandemNodePipeline *pipeline;
  gboolean has_layers;          /* else those of the file */
  guint64 first, last;
  TandemBatchShape shape;       /* n_tokens 0: not said */
  guint64 memory;               /* needed, bytes */
} Build;

static void
build_end (Build *self, const GError *error)
{
  tandem_node_request_fail (self->request, error);
  g_free (self);
}

/* --- starting --- */

static void
start (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Build *self = data;
  GError *error = NULL;

  if (tandem_node_pipeline_start (self->pipeline, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
answer (Build *self)
{
  TandemNodePipeline *pipeline = self->pipeline;
  JsonBuilder *json = tandem_node_request_begin (self->request);
  g_autofree char *memory = g_format_size (self->memory);

  tandem_node_tell (self->request->connection->node, "built",
                    tandem_link_get_peer (self->request->connection->link),
                    _("stage %u runs layers %u-%u on port %u, results go to %s port %u; it may "
                      "take %s"), pipeline->id, pipeline->first_layer, pipeline->last_layer,
                    pipeline->port, pipeline->host, pipeline->next_port, memory);
  tandem_node_add_number (json, "stage", pipeline->id);
  tandem_node_add_number (json, "port", pipeline->port);
  tandem_node_add_number (json, "memory", self->memory);
  tandem_node_add_number (json, "first_layer", pipeline->first_layer);
  tandem_node_add_number (json, "last_layer", pipeline->last_layer);
  tandem_node_request_finish (self->request, json);
}

static void
on_started (GObject *source, GAsyncResult *result, gpointer data)
{
  Build *self = data;
  TandemNodePipeline *pipeline = self->pipeline;
  g_autoptr (TandemNode) node = g_object_ref (self->request->connection->node);
  g_autoptr (GError) error = NULL;

  pipeline->is_busy = FALSE;
  if (!g_task_propagate_boolean (G_TASK (result), &error)) {
    tandem_node_pipeline_free (pipeline);
    build_end (self, error);
  } else {
    gboolean stop = pipeline->is_stopping;

    tandem_node_pipeline_watch (pipeline);
    tandem_node_changed (node);
    if (!g_cancellable_set_error_if_cancelled (self->request->cancellable, &error)) {
      answer (self);
      g_free (self);
    } else {
      build_end (self, error);
      stop = TRUE;
    }
    pipeline->is_stopping = FALSE;
    if (stop)
      tandem_node_pipeline_stop (pipeline);
  }
  tandem_node_ran (node);
}

/* --- what it needs --- */

static gboolean
choose_layers (Build *self, TandemModel *model, GError **error)
{
  guint first, last;

  tandem_model_get_layers (model, &first, &last);
  if (!self->has_layers) {
    self->first = first;
    self->last = last;
  }
  if (self->first < first || self->last > last) {
    g_set_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_MODEL,
                 _("the stage file holds layers %u-%u, asked for %u-%u"), first, last,
                 (guint) self->first, (guint) self->last);
    return FALSE;
  }
  self->pipeline->first_layer = self->first;
  self->pipeline->last_layer = self->last;
  return TRUE;
}

static guint64
get_payload (Build *self, const TandemModelConfig *config)
{
  guint64 tokens = self->shape.n_tokens;

  return self->first == 0 ? sizeof (gint32) * tokens
                          : sizeof (float) * tokens * config->hidden_size;
}

static gboolean
count_memory (Build *self, TandemModel *model, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  TandemBatchShape shape = self->shape;
  g_autoptr (TandemPlacementProblem) problem = NULL;
  g_autoptr (TandemDevice) device = tandem_device_new ("here", config->n_layers);

  if (shape.n_tokens == 0)
    shape.n_tokens = (guint64) shape.n_sequences * MIN (DEFAULT_LENGTH, config->max_positions);
  else
    self->pipeline->max_payload = get_payload (self, config);
  device->n_threads = self->pipeline->n_threads;
  problem = tandem_placement_problem_new_for_model (model, self->pipeline->precision, &shape,
                                                    error);
  if (problem == NULL || !tandem_placement_problem_add_device (problem, device, error))
    return FALSE;
  self->memory = tandem_placement_problem_get_memory (problem, 0, self->first, self->last);
  return TRUE;
}

static void
count (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Build *self = data;
  GError *error = NULL;
  g_autoptr (TandemModel) model =
      tandem_model_open (self->pipeline->model_path, cancellable, &error);

  if (model != NULL && choose_layers (self, model, &error) && count_memory (self, model, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/* FALSE: there is not so much. */
static gboolean
reserve (Build *self, GError **error)
{
  TandemNode *node = self->request->connection->node;
  guint64 limit = node->memory_limit, left;
  g_autofree char *needed = g_format_size (self->memory);

  if (limit > 0) {
    left = limit > node->memory_used ? limit - node->memory_used : 0;
  } else {
    limit = left = tandem_get_available_memory ();
  }
  if (self->memory > left) {
    g_autofree char *rest = g_format_size (left);
    g_autofree char *all = g_format_size (limit);

    g_set_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_MEMORY,
                 _("layers %u-%u need %s of memory; of the %s that this node may use %s are left"),
                 (guint) self->first, (guint) self->last, needed, all, rest);
    return FALSE;
  }
  self->pipeline->memory = self->memory;
  node->memory_used += self->memory;
  return TRUE;
}

static void
on_counted (GObject *source, GAsyncResult *result, gpointer data)
{
  Build *self = data;
  TandemNodePipeline *pipeline = self->pipeline;
  g_autoptr (TandemNode) node = g_object_ref (self->request->connection->node);
  g_autoptr (GError) error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error) ||
      g_cancellable_set_error_if_cancelled (self->request->cancellable, &error) ||
      !reserve (self, &error)) {
    tandem_node_pipeline_free (pipeline);
    build_end (self, error);
  } else {
    tandem_node_run (node, NULL, start, on_started, self);
  }
  tandem_node_ran (node);
}

/* --- the request --- */

static gboolean
read_next (Build *self, const TandemPlaceObject *in)
{
  g_autofree char *path = NULL;
  TandemPlaceObject inner = *in;
  const char *host = NULL;
  guint64 port;

  inner.object = tandem_place_get_object (in, "next", &path);
  inner.path = path;
  if (inner.object == NULL || !tandem_place_get_whole (&inner, "port", 1, G_MAXUINT16, &port))
    return FALSE;
  if (tandem_place_has (&inner, "host") &&
      (host = tandem_place_get_text (&inner, "host")) == NULL)
    return FALSE;
  if (host != NULL && strspn (host, HOST_CHARACTERS) != strlen (host))
    return tandem_place_fail (&inner, "host", "is no name or address of a device");
  self->pipeline->host = host != NULL
      ? tandem_node_connection_use_host (self->request->connection, host)
      : tandem_node_connection_get_peer_host (self->request->connection);
  self->pipeline->next_port = port;
  return self->pipeline->host != NULL ||
      tandem_place_fail (&inner, "host", "is missing");
}

static gboolean
read_layers (Build *self, const TandemPlaceObject *in)
{
  self->has_layers = tandem_place_has (in, "first_layer") || tandem_place_has (in, "last_layer");
  return !self->has_layers ||
      (tandem_place_get_whole (in, "last_layer", 0, TANDEM_PLACEMENT_MAX_LAYERS - 1,
                               &self->last) &&
       tandem_place_get_whole (in, "first_layer", 0, self->last, &self->first));
}

static gboolean
read_format (Build *self, const TandemPlaceObject *in)
{
  TandemWireFormats format = TANDEM_WIRE_FORMAT_F32;
  const char *name;

  if (tandem_place_has (in, "format")) {
    name = tandem_place_get_text (in, "format");
    if (name == NULL)
      return FALSE;
    if (strchr (name, ',') != NULL || !tandem_wire_formats_from_string (name, &format, NULL))
      return tandem_place_fail (in, "format", "is \"%s\"; there are f32, bf16, f16 and q8", name);
  }
  self->pipeline->format = format;
  return TRUE;
}

static gboolean
read_request (Build *self, const TandemPlaceObject *in)
{
  TandemNode *node = self->request->connection->node;
  guint64 threads, sequences;

  if (!read_layers (self, in) ||
      !tandem_node_get_whole (in, "threads", 1, node->n_threads, 1, &threads) ||
      !tandem_node_get_precision (in, &self->pipeline->precision) ||
      !tandem_node_get_whole (in, "sequences", 1, MAX_SEQUENCES, DEFAULT_SEQUENCES,
                              &sequences) ||
      !tandem_node_get_whole (in, "tokens", sequences, MAX_TOKENS, 0, &self->shape.n_tokens) ||
      !read_format (self, in) || !read_next (self, in))
    return FALSE;
  self->pipeline->n_threads = threads;
  self->shape.n_sequences = sequences;
  return TRUE;
}

void
tandem_node_build (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  TandemNodeConnection *connection = request->connection;
  TandemNode *node = connection->node;
  const char *digest = tandem_node_get_digest (in);
  Build *self;

  if (digest != NULL && tandem_stage_cache_lookup (node->cache, digest) == NULL)
    g_set_error (in->error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_NOT_FOUND,
                 _("this node has no stage file %.16s; put it there first"), digest);
  else if (digest != NULL && connection->pipelines->len >= MAX_PIPELINES)
    g_set_error (in->error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY,
                 _("%d stages run for this connection already"), MAX_PIPELINES);
  if (*in->error != NULL) {
    tandem_node_request_fail (request, *in->error);
    return;
  }
  self = g_new0 (Build, 1);
  self->request = request;
  self->pipeline = tandem_node_pipeline_new (connection);
  g_strlcpy (self->pipeline->digest, digest, sizeof self->pipeline->digest);
  self->pipeline->model_path = tandem_stage_cache_get_path (node->cache, digest);
  self->pipeline->is_busy = TRUE;
  tandem_stage_cache_pin (node->cache, digest);
  if (!read_request (self, in)) {
    tandem_node_pipeline_free (self->pipeline);
    build_end (self, *in->error);
    return;
  }
  tandem_node_run (node, request->cancellable, count, on_counted, self);
}
