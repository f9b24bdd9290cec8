/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stage that runs for somebody: tcpactsrc ! bertstage ! tcpactsink. It starts and stops in other
 * threads, since weights are read and peers waited for; what it says on its bus is heard
 * in ours. */

#include "config.h"

#include "tandem-node-private.h"

#include <glib/gi18n-lib.h>

#include "stream/tandem-batch-meta.h"

TandemNodePipeline *
tandem_node_pipeline_new (TandemNodeConnection *connection)
{
  TandemNodePipeline *self = g_new0 (TandemNodePipeline, 1);

  self->connection = tandem_node_connection_ref (connection);
  self->id = connection->node->next_pipeline++;
  g_mutex_init (&self->lock);
  g_ptr_array_add (connection->pipelines, self);
  connection->node->n_pipelines++;
  return self;
}

/* It does not run, and gives back what it had. */
void
tandem_node_pipeline_free (TandemNodePipeline *self)
{
  TandemNodeConnection *connection = self->connection;
  TandemNode *node = connection->node;
  GList *l;

  node->memory_used -= self->memory;
  node->n_pipelines--;
  tandem_stage_cache_unpin (node->cache, self->digest);
  g_ptr_array_remove (connection->pipelines, self);
  for (l = self->stoppers; l != NULL; l = l->next) {
    TandemNodeRequest *request = l->data;

    tandem_node_request_finish (request, tandem_node_request_begin (request));
  }
  g_list_free (self->stoppers);
  g_clear_error (&self->error);
  g_free (self->model_path);
  g_free (self->host);
  g_mutex_clear (&self->lock);
  g_free (self);
  tandem_node_changed (node);
  tandem_node_connection_unref (connection);
}

/* --- starting, in another thread --- */

static GstPadProbeReturn
on_buffer (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  TandemNodePipeline *self = data;
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (GST_PAD_PROBE_INFO_BUFFER (info));

  if (meta == NULL)
    return GST_PAD_PROBE_OK;
  g_mutex_lock (&self->lock);
  self->n_sequences += meta->n_sequences;
  self->n_rows += tandem_batch_meta_get_n_rows (meta);
  self->began = g_get_monotonic_time ();
  g_mutex_unlock (&self->lock);
  return GST_PAD_PROBE_OK;
}

/* In the same thread: what is between is what the stage takes, and no waiting for others. */
static GstPadProbeReturn
on_result (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  TandemNodePipeline *self = data;

  g_mutex_lock (&self->lock);
  if (self->began > 0)
    self->busy += g_get_monotonic_time () - self->began;
  self->began = 0;
  g_mutex_unlock (&self->lock);
  return GST_PAD_PROBE_OK;
}

static GstElement *
make (GstElement *pipeline, const char *factory, GError **error)
{
  GstElement *element = gst_element_factory_make (factory, NULL);

  if (element == NULL)
    g_set_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_FAILED,
                 _("this node has no element \"%s\"; are Tandem's plugins installed?"), factory);
  else
    gst_bin_add (GST_BIN (pipeline), element);
  return element;
}

static gboolean
assemble (TandemNodePipeline *self, GError **error)
{
  TandemNode *node = self->connection->node;
  const char *key = node->key != NULL ? tandem_cluster_key_get_path (node->key) : NULL;
  g_autofree char *layers = g_strdup_printf ("%u-%u", self->first_layer, self->last_layer);
  GstElement *stage, *sink;
  g_autoptr (GstPad) pad = NULL;

  self->pipeline = gst_pipeline_new (NULL);
  if ((self->source = make (self->pipeline, "tcpactsrc", error)) == NULL ||
      (stage = make (self->pipeline, "bertstage", error)) == NULL ||
      (sink = make (self->pipeline, "tcpactsink", error)) == NULL)
    return FALSE;
  g_object_set (self->source, "address", node->address, "port", 0, "key", key, "insecure",
                node->insecure, NULL);
  if (self->max_payload > 0)
    g_object_set (self->source, "max-payload", (guint) MIN (self->max_payload, G_MAXUINT), NULL);
  g_object_set (stage, "model", self->model_path, "layers", layers, "threads", self->n_threads,
                "precision", self->precision, NULL);
  g_object_set (sink, "host", self->host, "port", (guint) self->next_port, "key", key, "insecure",
                node->insecure, NULL);
  gst_util_set_object_arg (G_OBJECT (sink), "wire-format",
                           tandem_wire_format_to_string (self->format));
  gst_element_link_many (self->source, stage, sink, NULL);
  pad = gst_element_get_static_pad (stage, "sink");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, self, NULL);
  gst_clear_object (&pad);
  pad = gst_element_get_static_pad (stage, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_result, self, NULL);
  return TRUE;
}

static void
take_error (TandemNodePipeline *self, GError **error)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (self->pipeline);
  g_autoptr (GstMessage) message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);

  if (message != NULL)
    gst_message_parse_error (message, error, NULL);
  else
    g_set_error_literal (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_FAILED,
                         _("the stage does not start"));
}

gboolean
tandem_node_pipeline_start (TandemNodePipeline *self, GError **error)
{
  gboolean ok = assemble (self, error);
  guint port = 0;

  if (ok && gst_element_set_state (self->pipeline, GST_STATE_PLAYING) ==
      GST_STATE_CHANGE_FAILURE) {
    take_error (self, error);
    ok = FALSE;
  }
  if (ok) {
    g_object_get (self->source, "current-port", &port, NULL);
    self->port = port;
    return TRUE;
  }
  gst_element_set_state (self->pipeline, GST_STATE_NULL);
  g_clear_pointer (&self->pipeline, gst_object_unref);
  return FALSE;
}

/* --- stopping --- */

static void
halt (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  TandemNodePipeline *self = data;

  gst_element_set_state (self->pipeline, GST_STATE_NULL);
  g_clear_pointer (&self->pipeline, gst_object_unref);
  g_task_return_boolean (task, TRUE);
}

static void
on_halted (GObject *source, GAsyncResult *result, gpointer data)
{
  TandemNodePipeline *self = data;
  g_autoptr (TandemNode) node = g_object_ref (self->connection->node);

  tandem_node_tell (node, "stopped", tandem_link_get_peer (self->connection->link),
                    _("stage %u, layers %u-%u, has stopped"), self->id, self->first_layer,
                    self->last_layer);
  tandem_node_pipeline_free (self);
  tandem_node_ran (node);
}

/* Begins to stop it, unless that was done; what is being started stops when it has. */
void
tandem_node_pipeline_stop (TandemNodePipeline *self)
{
  if (self->is_stopping)
    return;
  self->is_stopping = TRUE;
  if (self->is_busy)
    return;
  self->is_busy = TRUE;
  g_source_destroy (self->bus);
  g_clear_pointer (&self->bus, g_source_unref);
  tandem_node_run (self->connection->node, NULL, halt, on_halted, self);
}

void
tandem_node_stop_pipeline (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  GPtrArray *pipelines = request->connection->pipelines;
  guint64 id;
  guint i;

  if (!tandem_place_get_whole (in, "stage", 1, G_MAXUINT, &id)) {
    tandem_node_request_fail (request, *in->error);
    return;
  }
  for (i = 0; i < pipelines->len; i++) {
    TandemNodePipeline *self = g_ptr_array_index (pipelines, i);

    if (self->id == id) {
      self->stoppers = g_list_prepend (self->stoppers, request);
      tandem_node_pipeline_stop (self);
      return;
    }
  }
  g_set_error (in->error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_NOT_FOUND,
               _("no stage %u runs for this connection"), (guint) id);
  tandem_node_request_fail (request, *in->error);
}

/* --- what it says --- */

static void
add_counts (TandemNodePipeline *self, JsonBuilder *json)
{
  guint64 sequences, rows;

  g_mutex_lock (&self->lock);
  sequences = self->n_sequences;
  rows = self->n_rows;
  g_mutex_unlock (&self->lock);
  tandem_node_add_number (json, "stage", self->id);
  tandem_node_add_number (json, "sequences", sequences);
  tandem_node_add_number (json, "tokens", rows);
}

static void
send_event (TandemNodePipeline *self, const char *name, const GError *error)
{
  g_autoptr (JsonBuilder) json = tandem_node_connection_begin_event (name);

  add_counts (self, json);
  if (error != NULL)
    tandem_node_add_error (json, error);
  json_builder_end_object (json);
  tandem_node_connection_send (self->connection, json);
}

static gboolean
on_bus_message (GstBus *bus, GstMessage *message, gpointer data)
{
  TandemNodePipeline *self = data;
  TandemNode *node = self->connection->node;
  const char *peer = tandem_link_get_peer (self->connection->link);
  g_autoptr (GError) error = NULL;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_ERROR:
      gst_message_parse_error (message, &error, NULL);
      tandem_node_tell (node, "failed", peer, _("stage %u: %s"), self->id, error->message);
      send_event (self, "failed", error);
      tandem_node_pipeline_stop (self);
      return G_SOURCE_REMOVE;
    case GST_MESSAGE_WARNING:
      gst_message_parse_warning (message, &error, NULL);
      tandem_node_tell (node, "refused", peer, _("stage %u: %s"), self->id, error->message);
      send_event (self, "warning", error);
      return G_SOURCE_CONTINUE;
    case GST_MESSAGE_EOS:
      tandem_node_tell (node, "finished", peer, _("stage %u has run its stream to the end"),
                        self->id);
      send_event (self, "finished", NULL);
      tandem_node_pipeline_stop (self);
      return G_SOURCE_REMOVE;
    default:
      return G_SOURCE_CONTINUE;
  }
}

static void
add_report (TandemNodePipeline *self, JsonBuilder *json)
{
  gint64 now = g_get_monotonic_time ();
  double seconds = (double) (now - self->reported) / G_USEC_PER_SEC;
  guint64 sequences, rows;
  gint64 busy;

  g_mutex_lock (&self->lock);
  sequences = self->n_sequences;
  rows = self->n_rows;
  busy = self->busy + (self->began > 0 ? now - self->began : 0);
  g_mutex_unlock (&self->lock);
  json_builder_begin_object (json);
  tandem_node_add_number (json, "stage", self->id);
  tandem_node_add_number (json, "sequences", sequences);
  tandem_node_add_number (json, "tokens", rows);
  tandem_node_add_double (json, "sequences_per_second", seconds > 0
                          ? (double) (sequences - self->reported_sequences) / seconds : 0);
  tandem_node_add_double (json, "tokens_per_second", seconds > 0
                          ? (double) (rows - self->reported_rows) / seconds : 0);
  tandem_node_add_double (json, "busy", (double) busy / G_USEC_PER_SEC);
  json_builder_end_object (json);
  self->reported = now;
  self->reported_sequences = sequences;
  self->reported_rows = rows;
}

/* There is something to report as long as something runs. */
static gboolean
on_report (gpointer data)
{
  TandemNodeConnection *self = data;
  g_autoptr (JsonBuilder) json = NULL;
  guint i;

  if (self->pipelines->len == 0) {
    g_clear_pointer (&self->report, g_source_unref);
    return G_SOURCE_REMOVE;
  }
  json = tandem_node_connection_begin_event ("load");
  tandem_node_add_number (json, "memory_available", tandem_get_available_memory ());
  json_builder_set_member_name (json, "stages");
  json_builder_begin_array (json);
  for (i = 0; i < self->pipelines->len; i++)
    add_report (g_ptr_array_index (self->pipelines, i), json);
  json_builder_end_array (json);
  json_builder_end_object (json);
  tandem_node_connection_send (self, json);
  return G_SOURCE_CONTINUE;
}

/* It runs: hears what it says, and reports. */
void
tandem_node_pipeline_watch (TandemNodePipeline *self)
{
  TandemNodeConnection *connection = self->connection;
  TandemNode *node = connection->node;
  g_autoptr (GstBus) bus = gst_element_get_bus (self->pipeline);

  self->reported = g_get_monotonic_time ();
  self->bus = gst_bus_create_watch (bus);
  g_source_set_callback (self->bus, G_SOURCE_FUNC (on_bus_message), self, NULL);
  g_source_attach (self->bus, node->context);
  if (connection->report != NULL || node->report_interval == 0 || connection->gone)
    return;
  connection->report = g_timeout_source_new (node->report_interval);
  g_source_set_callback (connection->report, on_report, connection, NULL);
  g_source_attach (connection->report, node->context);
}

/* Those of one connection, for describe. */
void
tandem_node_add_pipelines (TandemNodeConnection *connection, JsonBuilder *json)
{
  guint i;

  json_builder_set_member_name (json, "running");
  json_builder_begin_array (json);
  for (i = 0; i < connection->pipelines->len; i++) {
    TandemNodePipeline *self = g_ptr_array_index (connection->pipelines, i);

    json_builder_begin_object (json);
    add_counts (self, json);
    tandem_node_add_text (json, "digest", self->digest);
    tandem_node_add_number (json, "first_layer", self->first_layer);
    tandem_node_add_number (json, "last_layer", self->last_layer);
    tandem_node_add_number (json, "threads", self->n_threads);
    tandem_node_add_number (json, "port", self->port);
    tandem_node_add_number (json, "memory", self->memory);
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
}
