/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stage files that come in. While another thread writes, the connection is not read: so a peer can
 * be no faster than the disk, and one data frame is all that is kept of it in memory. */

#include "config.h"

#include "tandem-node-private.h"

#include <glib/gi18n-lib.h>

typedef enum { STEP_OPEN, STEP_WRITE, STEP_FINISH } Step;

/* One step of an upload, in another thread. */
typedef struct
{
  TandemNodeConnection *connection;     /* only in ours */
  TandemStageUpload *upload;
  Step step;
  GBytes *bytes;                /* (nullable) */
} Work;

static void next_step (TandemNodeConnection *self, Step step, GBytes *bytes);

void
tandem_node_have (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  TandemNode *node = request->connection->node;
  const char *digest = tandem_node_get_digest (in);
  const TandemCachedStage *stage;
  JsonBuilder *json;

  if (digest == NULL) {
    tandem_node_request_fail (request, *in->error);
    return;
  }
  stage = tandem_stage_cache_lookup (node->cache, digest);
  json = tandem_node_request_begin (request);
  json_builder_set_member_name (json, "complete");
  json_builder_add_boolean_value (json, stage != NULL);
  tandem_node_add_number (json, "bytes", stage != NULL
                          ? stage->bytes : tandem_stage_cache_get_partial (node->cache, digest));
  tandem_node_request_finish (request, json);
}

/* --- the end of an upload --- */

static void
end_upload (TandemNodeConnection *self)
{
  tandem_stage_cache_end (self->node->cache, g_steal_pointer (&self->upload));
  tandem_node_changed (self->node);
}

static void
fail_upload (TandemNodeConnection *self, const GError *error)
{
  TandemNodeRequest *put = g_steal_pointer (&self->put);

  end_upload (self);
  tandem_node_request_fail (put, error);
}

static void
succeed (TandemNodeConnection *self)
{
  TandemNodeRequest *put = g_steal_pointer (&self->put);
  JsonBuilder *json = tandem_node_request_begin (put);
  guint64 size = tandem_stage_upload_get_size (self->upload);
  g_autofree char *text = g_format_size (size);

  tandem_node_tell (self->node, "stored", tandem_link_get_peer (self->link),
                    _("has a new stage file of %s"), text);
  end_upload (self);
  tandem_node_add_number (json, "bytes", size);
  tandem_node_request_finish (put, json);
}

/* --- steps --- */

static void
work (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Work *self = data;
  GError *error = NULL;
  gboolean ok = FALSE;

  switch (self->step) {
    case STEP_OPEN:
      ok = tandem_stage_upload_open (self->upload, cancellable, &error);
      break;
    case STEP_WRITE:
      ok = tandem_stage_upload_write (self->upload, self->bytes, &error);
      break;
    case STEP_FINISH:
      ok = tandem_stage_upload_finish (self->upload, cancellable, &error);
      break;
  }
  if (ok)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
send_continue (TandemNodeConnection *self)
{
  g_autoptr (JsonBuilder) json = tandem_node_connection_begin_event ("continue");

  tandem_node_add_number (json, "request", self->put->id);
  tandem_node_add_number (json, "offset", tandem_stage_upload_get_offset (self->upload));
  json_builder_end_object (json);
  tandem_control_channel_set_max_data (self->channel, TANDEM_CONTROL_MAX_DATA);
  tandem_node_connection_send (self, json);
}

static void
go_on (TandemNodeConnection *self, Step step)
{
  if (step == STEP_FINISH) {
    succeed (self);
    return;
  }
  if (step == STEP_OPEN)
    send_continue (self);
  if (tandem_stage_upload_get_offset (self->upload) ==
      tandem_stage_upload_get_size (self->upload))
    next_step (self, STEP_FINISH, NULL);
}

static void
on_worked (GObject *source, GAsyncResult *result, gpointer data)
{
  Work *w = data;
  TandemNodeConnection *self = w->connection;
  TandemNode *node = self->node;
  g_autoptr (GError) error = NULL;
  gboolean ok = g_task_propagate_boolean (G_TASK (result), &error);

  self->is_writing = FALSE;
  if (ok && w->step != STEP_FINISH)
    g_cancellable_set_error_if_cancelled (self->put->cancellable, &error);
  if (error != NULL)
    fail_upload (self, error);
  else
    go_on (self, w->step);
  if (!self->is_writing && self->channel != NULL)
    tandem_control_channel_set_paused (self->channel, FALSE);
  g_clear_pointer (&w->bytes, g_bytes_unref);
  g_free (w);
  tandem_node_connection_unref (self);
  tandem_node_ran (node);
}

static void
next_step (TandemNodeConnection *self, Step step, GBytes *bytes)
{
  Work *w = g_new0 (Work, 1);

  w->connection = tandem_node_connection_ref (self);
  w->upload = self->upload;
  w->step = step;
  w->bytes = bytes != NULL ? g_bytes_ref (bytes) : NULL;
  self->is_writing = TRUE;
  /* Only what is written holds the peer back; it may ask for other things while a file
   * is checked. */
  tandem_control_channel_set_paused (self->channel, step == STEP_WRITE);
  tandem_node_run (self->node, self->put->cancellable, work, on_worked, w);
}

/* --- what the connection says --- */

static void
answer_complete (TandemNodeRequest *request, guint64 size)
{
  JsonBuilder *json = tandem_node_request_begin (request);

  tandem_node_add_number (json, "bytes", size);
  tandem_node_request_finish (request, json);
}

void
tandem_node_put (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  TandemNodeConnection *self = request->connection;
  TandemNode *node = self->node;
  const char *digest = tandem_node_get_digest (in);
  const TandemCachedStage *stage;
  guint64 size;

  if (digest == NULL ||
      !tandem_place_get_whole (in, "size", 1, TANDEM_CONTROL_MAX_NUMBER, &size)) {
    tandem_node_request_fail (request, *in->error);
    return;
  }
  stage = tandem_stage_cache_lookup (node->cache, digest);
  if (stage != NULL) {
    answer_complete (request, stage->bytes);
    return;
  }
  if (self->put != NULL || self->transfer != NULL)
    g_set_error_literal (in->error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY,
                         _("one file at a time comes over a connection"));
  else
    self->upload = tandem_stage_cache_begin (node->cache, digest, size, in->error);
  if (*in->error != NULL) {
    tandem_node_request_fail (request, *in->error);
    return;
  }
  self->put = request;
  next_step (self, STEP_OPEN, NULL);
}

/* What is still on its way when an upload has failed is read past. */
void
tandem_node_put_data (TandemNodeConnection *connection, GBytes *bytes)
{
  if (connection->gone || connection->put == NULL)
    return;
  /* Before "continue", or behind the end. */
  if (connection->is_writing) {
    tandem_node_connection_refuse (connection, "invalid", _("data came that nobody asked for"));
    return;
  }
  next_step (connection, STEP_WRITE, bytes);
}

/* The connection is gone; an upload that another thread has ends in on_worked(). */
void
tandem_node_put_abandon (TandemNodeConnection *connection)
{
  tandem_node_put_cancelled (connection, connection->put);
}

void
tandem_node_put_cancelled (TandemNodeConnection *connection, TandemNodeRequest *request)
{
  g_autoptr (GError) error = NULL;

  if (request == NULL || connection->put != request || connection->is_writing)
    return;
  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, _("the request was cancelled"));
  fail_upload (connection, error);
}
