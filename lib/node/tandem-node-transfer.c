/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Data that is sent only to be timed: "receive" and "send". A node is timed by one client at a time,
 * since two would halve each other's numbers; nothing is kept of what comes in, and no more than a
 * piece of what goes out. */

#include "config.h"

#include "tandem-node-private.h"

#include <glib/gi18n-lib.h>

/* A transfer that takes longer is on a link that is of no use. */
#define TIMEOUT_MS 5000

struct _TandemNodeTransfer
{
  TandemNodeRequest *request;
  gboolean is_sending;
  guint64 size, done;           /* bytes */
  guint64 first;                /* bytes of the first frame, behind which time counts */
  gint64 begun, ended;          /* monotonic: ends of the first and of the last frame */
  GSource *timeout;
};

/* --- the end --- */

static TandemNodeRequest *
end (TandemNodeConnection *connection)
{
  TandemNodeTransfer *self = g_steal_pointer (&connection->transfer);
  TandemNodeRequest *request = self->request;

  g_source_destroy (self->timeout);
  g_source_unref (self->timeout);
  connection->node->is_timing = FALSE;
  g_free (self);
  return request;
}

static void
fail (TandemNodeConnection *connection, GQuark domain, int code, const char *message)
{
  g_autoptr (GError) error = g_error_new_literal (domain, code, message);

  tandem_node_request_fail (end (connection), error);
}

/* The connection is gone, or nobody waits any more. */
void
tandem_node_transfer_cancelled (TandemNodeConnection *connection, TandemNodeRequest *request)
{
  if (connection->transfer != NULL &&
      (request == NULL || connection->transfer->request == request))
    fail (connection, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("the request was cancelled"));
}

static gboolean
on_timeout (gpointer data)
{
  fail (data, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_FAILED,
        _("the data took too long: this link is very slow, or interrupted"));
  return G_SOURCE_REMOVE;
}

static void
succeed (TandemNodeConnection *connection)
{
  const TandemNodeTransfer *self = connection->transfer;
  gboolean is_sending = self->is_sending;
  guint64 bytes = self->done - self->first;
  gint64 took = self->ended - self->begun;
  TandemNodeRequest *request = end (connection);
  JsonBuilder *json = tandem_node_request_begin (request);

  if (!is_sending) {
    tandem_node_add_number (json, "bytes", bytes);
    tandem_node_add_double (json, "seconds", (double) took / G_USEC_PER_SEC);
  }
  tandem_node_request_finish (request, json);
}

/* --- data --- */

/* Returns whether the data belongs to a transfer. */
gboolean
tandem_node_transfer_data (TandemNodeConnection *connection, GBytes *bytes)
{
  TandemNodeTransfer *self = connection->transfer;
  gsize size = g_bytes_get_size (bytes);

  if (self == NULL || self->is_sending)
    return FALSE;
  if (size > self->size - self->done) {
    fail (connection, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_INVALID,
          _("more data came than was announced"));
    return TRUE;
  }
  self->ended = g_get_monotonic_time ();
  if (self->done == 0) {
    self->begun = self->ended;
    self->first = size;
  }
  self->done += size;
  if (self->done == self->size)
    succeed (connection);
  return TRUE;
}

/* What was sent has gone: the next piece follows, or the answer. */
void
tandem_node_transfer_drained (TandemNodeConnection *connection)
{
  TandemNodeTransfer *self = connection->transfer;
  g_autoptr (GBytes) piece = NULL;

  if (self == NULL || !self->is_sending)
    return;
  if (self->done == self->size) {
    succeed (connection);
    return;
  }
  piece = tandem_control_make_filling (self->done, self->size);
  self->done += g_bytes_get_size (piece);
  tandem_control_channel_send_data (connection->channel, piece);
}

/* --- the requests --- */

static void
begin (TandemNodeRequest *request, const TandemPlaceObject *in, gboolean is_sending)
{
  TandemNodeConnection *connection = request->connection;
  TandemNodeTransfer *self;
  guint64 size;

  if (tandem_place_get_whole (in, "bytes", 1, TANDEM_CONTROL_MAX_TRANSFER, &size) &&
      (connection->node->is_timing || connection->put != NULL))
    g_set_error_literal (in->error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY,
                         _("this node's links are measured just now"));
  if (*in->error != NULL) {
    tandem_node_request_fail (request, *in->error);
    return;
  }
  self = connection->transfer = g_new0 (TandemNodeTransfer, 1);
  self->request = request;
  self->is_sending = is_sending;
  self->size = size;
  self->timeout = g_timeout_source_new (TIMEOUT_MS);
  g_source_set_callback (self->timeout, on_timeout, connection, NULL);
  g_source_attach (self->timeout, connection->node->context);
  connection->node->is_timing = TRUE;
}

void
tandem_node_receive (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  TandemNodeConnection *connection = request->connection;
  g_autoptr (JsonBuilder) json = NULL;

  begin (request, in, FALSE);
  if (*in->error != NULL)
    return;
  json = tandem_node_connection_begin_event ("continue");
  tandem_node_add_number (json, "request", request->id);
  tandem_node_add_number (json, "offset", 0);
  json_builder_end_object (json);
  tandem_control_channel_set_max_data (connection->channel, TANDEM_CONTROL_MAX_DATA);
  tandem_node_connection_send (connection, json);
}

void
tandem_node_send (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  begin (request, in, TRUE);
  if (*in->error == NULL)
    tandem_node_transfer_drained (request->connection);
}
