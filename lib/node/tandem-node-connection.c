/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One connection to a node: what is asked for over it, and all that ends with it. */

#include "config.h"

#include "tandem-node-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "base/tandem-source-private.h"
#include "net/tandem-host.h"

/* Requests that wait for their answers. */
#define MAX_REQUESTS 16
/* How long somebody who was refused may take to read why. */
#define REFUSED_MS 1000

typedef struct
{
  const char *name;
  void (*run) (TandemNodeRequest *request, const TandemPlaceObject *in);
} Kind;

void
tandem_node_connection_stop_sources (TandemNodeConnection *self)
{
  tandem_clear_source (&self->readable);
  tandem_clear_source (&self->timeout);
  tandem_clear_source (&self->report);
}

TandemNodeConnection *
tandem_node_connection_ref (TandemNodeConnection *self)
{
  self->ref_count++;
  return self;
}

void
tandem_node_connection_unref (TandemNodeConnection *self)
{
  if (--self->ref_count > 0)
    return;
  tandem_node_connection_stop_sources (self);
  g_clear_pointer (&self->channel, tandem_control_channel_unref);
  tandem_link_unref (self->link);
  g_object_unref (self->cancellable);
  g_hash_table_unref (self->requests);
  g_ptr_array_unref (self->pipelines);
  g_free (self->origin);
  g_free (self);
}

/* --- the end --- */

/* All that belongs to the connection ends: pipelines stop, files that come in stay in part. */
void
tandem_node_connection_leave (TandemNodeConnection *self, const char *why)
{
  TandemNode *node = self->node;
  guint i;

  if (self->gone)
    return;
  self->gone = TRUE;
  if (self->stage == TANDEM_NODE_SERVED)
    tandem_node_tell (node, "disconnected", tandem_link_get_peer (self->link), "%s", why);
  tandem_node_connection_ref (self);
  tandem_node_connection_stop_sources (self);
  if (self->channel != NULL)
    tandem_control_channel_close (self->channel);
  if (self->stage != TANDEM_NODE_HANDSHAKE)
    tandem_link_shutdown (self->link);
  else if (tandem_handshakes_end (node->handshakes, self->link))
    tandem_node_connection_unref (self);
  g_cancellable_cancel (self->cancellable);
  tandem_node_put_abandon (self);
  tandem_node_transfer_cancelled (self, NULL);
  for (i = self->pipelines->len; i > 0; i--)
    tandem_node_pipeline_stop (g_ptr_array_index (self->pipelines, i - 1));
  g_ptr_array_remove (node->connections, self);
  tandem_node_connection_unref (self);
  tandem_node_check_stopped (node);
}

static gboolean
on_refused_timeout (gpointer data)
{
  tandem_node_connection_leave (data, "");
  return G_SOURCE_REMOVE;
}

static gboolean
on_refused_readable (GSocket *socket, GIOCondition condition, gpointer data)
{
  TandemNodeConnection *self = data;

  if (!tandem_link_drain (self->link))
    return G_SOURCE_CONTINUE;
  tandem_node_connection_leave (self, "");
  return G_SOURCE_REMOVE;
}

static void
write_now (TandemNodeConnection *self, GByteArray *bytes)
{
  GOutputVector vector = { bytes->data, bytes->len };
  gsize written;

  tandem_link_write (self->link, &vector, 1, &written, NULL);
}

/* Says why, without waiting for more than the connection takes at once; then the peer has a moment
 * to read it: a connection that is closed with unread bytes is reset. */
void
tandem_node_connection_refuse (TandemNodeConnection *self, const char *code, const char *message)
{
  g_autoptr (JsonBuilder) json = tandem_node_connection_begin_event ("refused");
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (JsonNode) root = NULL;

  json_builder_set_member_name (json, "error");
  json_builder_begin_object (json);
  tandem_node_add_text (json, "code", code);
  tandem_node_add_text (json, "message", message);
  json_builder_end_object (json);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  if (self->channel == NULL)
    tandem_control_append_preamble (bytes);
  tandem_control_append_json (bytes, root);
  write_now (self, bytes);

  tandem_node_connection_stop_sources (self);
  if (self->channel != NULL)
    tandem_control_channel_set_paused (self->channel, TRUE);
  g_socket_shutdown (tandem_link_get_socket (self->link), FALSE, TRUE, NULL);
  self->stage = TANDEM_NODE_REFUSED;
  self->readable = g_socket_create_source (tandem_link_get_socket (self->link), G_IO_IN, NULL);
  g_source_set_callback (self->readable, G_SOURCE_FUNC (on_refused_readable), self, NULL);
  g_source_attach (self->readable, self->node->context);
  self->timeout = g_timeout_source_new (REFUSED_MS);
  g_source_set_callback (self->timeout, on_refused_timeout, self, NULL);
  g_source_attach (self->timeout, self->node->context);
}

/* --- what goes out --- */

JsonBuilder *
tandem_node_connection_begin_event (const char *name)
{
  JsonBuilder *json = json_builder_new ();

  json_builder_begin_object (json);
  tandem_node_add_text (json, "event", name);
  return json;
}

/* json: (transfer none): complete */
void
tandem_node_connection_send (TandemNodeConnection *self, JsonBuilder *json)
{
  if (!self->gone && self->channel != NULL && self->stage == TANDEM_NODE_SERVED)
    tandem_control_channel_send (self->channel, json);
}

char *
tandem_node_connection_get_peer_host (TandemNodeConnection *self)
{
  g_autoptr (GSocketAddress) remote =
      g_socket_get_remote_address (tandem_link_get_socket (self->link), NULL);

  return remote != NULL ? tandem_host_from_address (remote) : NULL;
}

char *
tandem_node_connection_use_host (TandemNodeConnection *self, const char *host)
{
  return tandem_host_from_peer (host, tandem_link_get_socket (self->link));
}

/* --- what comes in --- */

static void
ping (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  tandem_node_request_finish (request, tandem_node_request_begin (request));
}

/* The one that is cancelled answers for itself, as soon as it can. */
static void
cancel (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  TandemNodeConnection *self = request->connection;
  TandemNodeRequest *target;
  guint64 id;
  gint64 key;

  if (!tandem_place_get_whole (in, "target", 0, TANDEM_CONTROL_MAX_NUMBER, &id)) {
    tandem_node_request_fail (request, *in->error);
    return;
  }
  key = id;
  target = g_hash_table_lookup (self->requests, &key);
  tandem_node_request_finish (request, tandem_node_request_begin (request));
  if (target == NULL || target == request)
    return;
  g_cancellable_cancel (target->cancellable);
  tandem_node_put_cancelled (self, target);
  tandem_node_transfer_cancelled (self, target);
}

static const Kind kinds[] = {
  { "ping", ping },
  { "cancel", cancel },
  { "describe", tandem_node_describe },
  { "have", tandem_node_have },
  { "put", tandem_node_put },
  { "receive", tandem_node_receive },
  { "send", tandem_node_send },
  { "measure", tandem_node_measure },
  { "reach", tandem_node_reach },
  { "profile", tandem_node_profile },
  { "build", tandem_node_build },
  { "stop", tandem_node_stop_pipeline },
};

static void
run_request (TandemNodeConnection *self, const TandemPlaceObject *in, guint64 id)
{
  TandemNodeRequest *request = tandem_node_request_new (self, id);
  const char *name = tandem_place_get_text (in, "request");
  guint i;

  for (i = 0; name != NULL && i < G_N_ELEMENTS (kinds); i++) {
    if (g_str_equal (name, kinds[i].name)) {
      kinds[i].run (request, in);
      return;
    }
  }
  if (name != NULL)
    g_set_error (in->error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_UNKNOWN,
                 _("this node knows no request \"%s\""), name);
  tandem_node_request_fail (request, *in->error);
}

static guint
count_served (TandemNode *node)
{
  guint i, n = 0;

  for (i = 0; i < node->connections->len; i++)
    n += ((TandemNodeConnection *) g_ptr_array_index (node->connections, i))->stage ==
        TANDEM_NODE_SERVED;
  return n;
}

static gboolean on_silence (gpointer data);

static void
watch_silence (TandemNodeConnection *self)
{
  tandem_clear_source (&self->timeout);
  if (self->node->silence_timeout == 0)
    return;
  self->timeout = g_timeout_source_new (self->node->silence_timeout);
  g_source_set_callback (self->timeout, on_silence, self, NULL);
  g_source_attach (self->timeout, self->node->context);
}

/* A peer that is there pings: one that is silent for long is gone, whatever the network says. While
 * we do not read it is not its fault. */
static gboolean
on_silence (gpointer data)
{
  TandemNodeConnection *self = data;
  gint64 end = tandem_control_channel_get_last_read (self->channel) +
      self->node->silence_timeout * G_GINT64_CONSTANT (1000);

  if (self->is_writing)
    end = g_get_monotonic_time () + self->node->silence_timeout * G_GINT64_CONSTANT (1000);
  if (end > g_get_monotonic_time ()) {
    g_source_set_ready_time (self->timeout, end);
    return G_SOURCE_CONTINUE;
  }
  tandem_node_connection_leave (self, _("said nothing for too long"));
  return G_SOURCE_REMOVE;
}

/* The first request makes somebody of a stranger. */
static gboolean
admit (TandemNodeConnection *self)
{
  TandemNode *node = self->node;

  if (self->stage == TANDEM_NODE_SERVED)
    return TRUE;
  if (count_served (node) >= node->max_connections) {
    g_autofree char *text = g_strdup_printf (
        _("this node has %u connections already, as many as it serves"), node->max_connections);

    tandem_node_connection_refuse (self, "busy", text);
    return FALSE;
  }
  self->stage = TANDEM_NODE_SERVED;
  watch_silence (self);
  tandem_node_tell (node, "connected", tandem_link_get_peer (self->link),
                    _("connected%s"), tandem_link_is_protected (self->link)
                    ? _(", with the cluster key") : "");
  return TRUE;
}

static void
on_message (TandemControlChannel *channel, JsonObject *object, gpointer data)
{
  TandemNodeConnection *self = data;
  g_autoptr (GError) error = NULL;
  TandemPlaceObject in = { "request", "", object, &error };
  guint64 id = 0;
  gint64 key;

  if (self->gone || self->stage == TANDEM_NODE_REFUSED)
    return;
  if (!tandem_place_get_whole (&in, "id", 0, TANDEM_CONTROL_MAX_NUMBER, &id)) {
    tandem_node_connection_refuse (self, "invalid", error->message);
    return;
  }
  key = id;
  if (g_hash_table_contains (self->requests, &key)) {
    tandem_node_connection_refuse (self, "invalid",
                                   _("a request has the id of one that is not answered yet"));
    return;
  }
  if (!admit (self))
    return;
  if (g_hash_table_size (self->requests) >= MAX_REQUESTS) {
    tandem_node_connection_refuse (self, "busy",
                                   _("too many requests wait for their answers"));
    return;
  }
  run_request (self, &in, id);
}

static void
on_data (TandemControlChannel *channel, GBytes *bytes, gpointer data)
{
  TandemNodeConnection *self = data;

  if (!self->gone && !tandem_node_transfer_data (self, bytes))
    tandem_node_put_data (self, bytes);
}

static void
on_drained (TandemControlChannel *channel, gpointer data)
{
  TandemNodeConnection *self = data;

  if (!self->gone && self->stage == TANDEM_NODE_SERVED)
    tandem_node_transfer_drained (self);
}

static void
on_ready (TandemControlChannel *channel, gpointer data)
{
}

/* Who breaks the rules is told; who says nothing of ours is not. */
static void
on_closed (TandemControlChannel *channel, const GError *error, gpointer data)
{
  TandemNodeConnection *self = data;

  if (self->gone || self->stage == TANDEM_NODE_REFUSED)
    return;
  if (error == NULL || error->domain != TANDEM_NET_ERROR ||
      error->code == TANDEM_NET_ERROR_CLOSED || error->code == TANDEM_NET_ERROR_NOT_TANDEM ||
      error->code == TANDEM_NET_ERROR_TIMEOUT) {
    tandem_node_connection_leave (self, error != NULL ? error->message
                                                      : _("ended the connection"));
    return;
  }
  if (self->stage == TANDEM_NODE_SERVED)
    tandem_node_tell (self->node, "refused", tandem_link_get_peer (self->link), "%s",
                      error->message);
  g_cancellable_cancel (self->cancellable);
  tandem_node_connection_refuse (self, "invalid", error->message);
}

/* The connection is protected, or need not be: it may speak. */
void
tandem_node_connection_begin (TandemNodeConnection *self)
{
  static const TandemControlFuncs funcs = { on_ready, on_message, on_data, on_drained, on_closed };

  self->stage = TANDEM_NODE_GREETED;
  self->channel = tandem_control_channel_new (self->link, self->node->context, &funcs, self);
  tandem_control_channel_start (self->channel);
}
