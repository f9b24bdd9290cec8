/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a stage file goes to a node: its digest is made first, then the node says how much it has,
 * and what is missing goes piece by piece, as fast as the connection takes it. */

#include "config.h"

#include "tandem-node-client-private.h"

#include <glib/gi18n-lib.h>

#define PIECE (256 * 1024)

typedef struct
{
  char *path;
  char *digest;
  guint64 size;
  GInputStream *stream;
  GFileProgressCallback progress;
  gpointer progress_data;
} Put;

static void
put_free (gpointer data)
{
  Put *put = data;

  g_free (put->path);
  g_free (put->digest);
  g_clear_object (&put->stream);
  g_free (put);
}

/* --- its digest, in another thread --- */

static gboolean
read_all (Put *put, GChecksum *checksum, GCancellable *cancellable, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (PIECE);
  gssize n;

  while ((n = g_input_stream_read (put->stream, buffer, PIECE, cancellable, error)) > 0) {
    g_checksum_update (checksum, buffer, n);
    put->size += n;
  }
  return n == 0;
}

static void
look (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Put *put = data;
  g_autoptr (GFile) file = g_file_new_for_path (put->path);
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  GError *error = NULL;

  put->stream = (GInputStream *) g_file_read (file, cancellable, &error);
  if (put->stream == NULL || !read_all (put, checksum, cancellable, &error)) {
    g_task_return_error (task, error);
    return;
  }
  put->digest = g_strdup (g_checksum_get_string (checksum));
  g_task_return_boolean (task, TRUE);
}

/* --- sending --- */

void
tandem_node_client_put_end (TandemNodeClient *self, gint64 id)
{
  TandemNodeSending *sending = self->sending;

  if (sending == NULL || sending->id != id)
    return;
  /* A read that is under way finds that it is not wanted any more. */
  self->sending = NULL;
  g_object_unref (sending->stream);
  g_free (sending);
}

static void send_piece (TandemNodeClient *self);

typedef struct
{
  TandemNodeClient *client;
  gint64 id;
} Reading;

static void
on_read (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Reading *reading = data;
  g_autoptr (TandemNodeClient) self = reading->client;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes =
      g_input_stream_read_bytes_finish (G_INPUT_STREAM (source), result, &error);
  TandemNodeSending *sending = self->sending;

  if (sending == NULL || sending->id != reading->id)
    return;
  sending->is_reading = FALSE;
  /* The file is shorter than it was. */
  if (bytes == NULL || g_bytes_get_size (bytes) == 0) {
    tandem_node_client_put_end (self, reading->id);
    tandem_node_client_cancel (self, reading->id);
    return;
  }
  sending->sent += g_bytes_get_size (bytes);
  if (sending->progress != NULL)
    sending->progress (sending->sent, sending->size, sending->progress_data);
  if (self->channel != NULL)
    tandem_control_channel_send_data (self->channel, bytes);
}

static void
send_piece (TandemNodeClient *self)
{
  TandemNodeSending *sending = self->sending;
  Reading *reading;

  if (!sending->is_wanted || sending->is_reading || sending->sent >= sending->size)
    return;
  sending->is_reading = TRUE;
  reading = g_new0 (Reading, 1);
  reading->client = g_object_ref (self);
  reading->id = sending->id;
  g_input_stream_read_bytes_async (sending->stream, MIN (PIECE, sending->size - sending->sent),
                                   G_PRIORITY_DEFAULT, NULL, on_read, reading);
}

/* The node has so much of it. */
void
tandem_node_client_put_continue (TandemNodeClient *self, gint64 id, guint64 offset)
{
  TandemNodeSending *sending = self->sending;

  if (sending == NULL || sending->id != id || offset > sending->size ||
      !g_seekable_seek (G_SEEKABLE (sending->stream), (goffset) offset, G_SEEK_SET, NULL, NULL))
    return;
  sending->sent = offset;
  sending->is_wanted = TRUE;
  if (sending->progress != NULL)
    sending->progress (offset, sending->size, sending->progress_data);
  send_piece (self);
}

/* Perhaps of what went before this file. */
void
tandem_node_client_put_drained (TandemNodeClient *self)
{
  if (self->sending != NULL)
    send_piece (self);
}

/* --- the request --- */

static void
on_stored (TandemNodePending *pending, const TandemPlaceObject *in)
{
  if (pending->task != NULL)
    g_task_return_pointer (pending->task,
                           g_strdup (((Put *) g_task_get_task_data (pending->task))->digest),
                           g_free);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GTask) task = data;
  TandemNodeClient *self = g_task_get_source_object (task);
  Put *put = g_task_get_task_data (task);
  TandemNodeSending *sending;
  GError *error = NULL;
  JsonBuilder *json;
  gint64 id;

  if (g_task_propagate_boolean (G_TASK (result), &error) && put->size == 0)
    error = g_error_new (TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_CORRUPT, _("%s: the file is empty"),
                         put->path);
  if (error == NULL && self->sending != NULL)
    error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_PENDING,
                                 _("one file at a time goes over a connection"));
  if (error != NULL) {
    g_task_return_error (task, error);
    return;
  }
  json = tandem_node_client_begin (self, "put", &id);
  json_builder_set_member_name (json, "digest");
  json_builder_add_string_value (json, put->digest);
  json_builder_set_member_name (json, "size");
  json_builder_add_int_value (json, (gint64) put->size);
  sending = self->sending = g_new0 (TandemNodeSending, 1);
  sending->id = id;
  sending->stream = g_steal_pointer (&put->stream);
  sending->size = put->size;
  sending->progress = put->progress;
  sending->progress_data = put->progress_data;
  tandem_node_client_send (self, id, json, g_steal_pointer (&task), on_stored);
}

/**
 * tandem_node_client_put_async:
 * @self: a client
 * @path: (type filename): a stage file
 * @cancellable: (nullable): a cancellable
 * @progress: (nullable) (scope call): called with how many bytes of how many the node has or
 *   are on their way; until the request has ended
 * @progress_data: for @progress
 * @callback: called when the node has the file, or refused it
 * @user_data: for @callback
 *
 * Sends a stage file, unless the node has it; what it has of it from an earlier time does not go
 * again. One file at a time goes over a connection.
 */
void
tandem_node_client_put_async (TandemNodeClient *self, const char *path, GCancellable *cancellable,
                              GFileProgressCallback progress, gpointer progress_data,
                              GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  g_autoptr (GTask) looking = NULL;
  Put *put = g_new0 (Put, 1);

  put->path = g_strdup (path);
  put->progress = progress;
  put->progress_data = progress_data;
  g_task_set_task_data (task, put, put_free);
  looking = g_task_new (self, cancellable, on_looked, g_object_ref (task));
  g_task_set_task_data (looking, put, NULL);
  g_task_run_in_thread (looking, look);
}

/**
 * tandem_node_client_put_finish:
 * @self: a client
 * @result: what the callback got
 * @error: return location for %TANDEM_NODE_ERROR_NO_SPACE, %TANDEM_NODE_ERROR_CORRUPT,
 *   %TANDEM_NODE_ERROR_BUSY, a #TandemNetError or a #GIOErrorEnum
 *
 * Returns: (transfer full): the digest of the file, by which it can be built with, or %NULL
 */
char *
tandem_node_client_put_finish (TandemNodeClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
