/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How this device reaches another one: as a client of its node ("measure"), or at all ("reach"). */

#include "config.h"

#include "tandem-node-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "node/tandem-node-client.h"

/* Each holds a socket and perhaps a thread that resolves a name. */
#define MAX_OUTGOING 4
#define REACH_SECONDS 3
#define HOST_CHARACTERS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-._:%"

typedef struct
{
  TandemNodeRequest *request;
  TandemNode *node;             /* borrowed: it waits for us */
  TandemNodeClient *client;     /* (nullable) */
  gboolean is_timing;           /* has the node's links for itself */
  gint64 begun;                 /* monotonic */
} Outgoing;

/* --- the end --- */

static void
outgoing_end (Outgoing *self)
{
  TandemNode *node = self->node;

  if (self->is_timing)
    node->is_timing = FALSE;
  if (self->client != NULL)
    tandem_node_client_close (self->client);
  g_clear_object (&self->client);
  g_free (self);
  node->n_outgoing--;
  tandem_node_ran (node);
}

static void
outgoing_fail (Outgoing *self, const GError *error)
{
  tandem_node_request_fail (self->request, error);
  outgoing_end (self);
}

/* --- the requests --- */

static gboolean
get_host (const TandemPlaceObject *in, const char **host)
{
  *host = tandem_place_get_text (in, "host");
  if (*host == NULL)
    return FALSE;
  return strspn (*host, HOST_CHARACTERS) == strlen (*host) ||
      tandem_place_fail (in, "host", "is no name or address of a device");
}

/* Returns NULL when the request was answered. */
static Outgoing *
begin (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  TandemNode *node = request->connection->node;
  Outgoing *self;

  if (*in->error == NULL && node->n_outgoing >= MAX_OUTGOING)
    g_set_error_literal (in->error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY,
                         _("this node tries to reach too many others just now"));
  if (*in->error != NULL) {
    tandem_node_request_fail (request, *in->error);
    return NULL;
  }
  self = g_new0 (Outgoing, 1);
  self->request = request;
  self->node = node;
  self->begun = g_get_monotonic_time ();
  node->n_outgoing++;
  node->n_tasks++;
  return self;
}

/* --- measure --- */

static void
add_link (JsonBuilder *json, const char *name, const TandemNetworkLink *link)
{
  json_builder_set_member_name (json, name);
  json_builder_begin_object (json);
  tandem_node_add_double (json, "bandwidth", link->bandwidth);
  tandem_node_add_double (json, "delay", link->delay);
  json_builder_end_object (json);
}

static void
on_measured (GObject *source, GAsyncResult *result, gpointer data)
{
  Outgoing *self = data;
  g_autoptr (GError) error = NULL;
  TandemNetworkLink out, in;
  JsonBuilder *json;

  if (!tandem_node_client_measure_link_finish (self->client, result, &out, &in, &error)) {
    outgoing_fail (self, error);
    return;
  }
  json = tandem_node_request_begin (self->request);
  add_link (json, "out", &out);
  add_link (json, "in", &in);
  tandem_node_request_finish (self->request, json);
  outgoing_end (self);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  Outgoing *self = data;
  g_autoptr (GError) error = NULL;

  self->client = tandem_node_client_connect_finish (result, &error);
  if (error == NULL && self->node->is_timing)
    g_set_error_literal (&error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY,
                         _("this node's links are measured just now"));
  if (error != NULL) {
    outgoing_fail (self, error);
    return;
  }
  self->is_timing = self->node->is_timing = TRUE;
  tandem_node_client_measure_link_async (self->client, self->request->cancellable, on_measured,
                                         self);
}

void
tandem_node_measure (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  TandemNode *node = request->connection->node;
  g_autofree char *used = NULL;
  const char *host = NULL;
  guint64 port = 0;
  Outgoing *self;

  if (get_host (in, &host))
    tandem_place_get_whole (in, "port", 1, G_MAXUINT16, &port);
  self = begin (request, in);
  if (self == NULL)
    return;
  used = tandem_node_connection_use_host (request->connection, host);
  tandem_node_client_connect_async (used, port, node->key, node->insecure, request->cancellable,
                                    on_connected, self);
}

/* --- reach --- */

static void
on_reached (GObject *source, GAsyncResult *result, gpointer data)
{
  Outgoing *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocketConnection) connection =
      g_socket_client_connect_to_host_finish (G_SOCKET_CLIENT (source), result, &error);
  JsonBuilder *json;

  if (connection == NULL) {
    outgoing_fail (self, error);
    return;
  }
  json = tandem_node_request_begin (self->request);
  tandem_node_add_double (json, "seconds", (double) (g_get_monotonic_time () - self->begun) /
                          G_USEC_PER_SEC);
  tandem_node_request_finish (self->request, json);
  outgoing_end (self);
}

/* Nothing is said over the connection: who asked sees that it came. */
void
tandem_node_reach (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  g_autoptr (GSocketClient) client = NULL;
  g_autofree char *peer = NULL, *used = NULL;
  const char *host = NULL;
  guint64 port = 0;
  Outgoing *self;

  if (tandem_place_has (in, "host") ? get_host (in, &host) : TRUE)
    tandem_place_get_whole (in, "port", 1, G_MAXUINT16, &port);
  if (*in->error == NULL && host == NULL) {
    peer = tandem_node_connection_get_peer_host (request->connection);
    host = peer;
    if (host == NULL)
      tandem_place_fail (in, "host", "is missing");
  }
  self = begin (request, in);
  if (self == NULL)
    return;
  client = g_socket_client_new ();
  g_socket_client_set_enable_proxy (client, FALSE);
  g_socket_client_set_timeout (client, REACH_SECONDS);
  used = tandem_node_connection_use_host (request->connection, host);
  g_socket_client_connect_to_host_async (client, used, port, request->cancellable, on_reached,
                                         self);
}
