/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How fast the way to a node is: some pings, then data in one direction and in the other, each time
 * more until the time that it takes says something. */

#include "config.h"

#include "tandem-node-client-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#define N_PINGS 8
#define FIRST_SIZE (64 * 1024)
/* What took so long is long enough; the next transfer is made for the other time. */
#define ENOUGH_S 0.04
#define WANTED_S 0.08
#define MAX_GROWTH 16
#define TIMEOUT_MS 10000

struct _TandemNodeTiming
{
  GTask *task;
  TandemNodeClient *client;     /* borrowed: the source of task */
  GCancellable *cancellable;    /* of all requests */
  gulong handler;
  GSource *timeout;             /* (nullable) */
  gboolean is_late;

  guint n_pings;
  gint64 asked;                 /* monotonic: the last ping */
  double round_trip;            /* the shortest so far, seconds */

  gboolean is_out;              /* data goes out, else it comes in */
  gint64 id;                    /* of the request */
  gboolean is_wanted;           /* the node waits for data */
  guint64 size, done, first;    /* bytes */
  gint64 begun;                 /* monotonic: data goes out from now on; comes in: end of the first */
  gint64 ended;                 /* the answer is there, or the last data */
  double seconds;               /* what the node says */
  guint64 timed;                /* bytes in this time */

  TandemNetworkLink links[2];   /* in, out */
};

static void ping (TandemNodeTiming *self);
static void transfer (TandemNodeTiming *self);

/* --- the end --- */

static void
timing_end (TandemNodeTiming *self, GError *error)
{
  g_autoptr (GTask) task = self->task;
  GCancellable *outer = g_task_get_cancellable (task);

  self->client->timing = NULL;
  if (self->is_late) {
    g_clear_error (&error);
    error = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                         _("The link to the node at %s port %u could not be measured within %d s."),
                         self->client->host, self->client->port, TIMEOUT_MS / 1000);
  }
  g_source_destroy (self->timeout);
  g_source_unref (self->timeout);
  g_cancellable_disconnect (outer, self->handler);
  g_object_unref (self->cancellable);
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, g_memdup2 (self->links, sizeof self->links), g_free);
  g_free (self);
}

static gboolean
on_timeout (gpointer data)
{
  TandemNodeTiming *self = data;

  self->is_late = TRUE;
  g_cancellable_cancel (self->cancellable);
  return G_SOURCE_REMOVE;
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  g_cancellable_cancel (data);
}

/* --- the delay --- */

static void
answer_ping (TandemNodePending *pending, const TandemPlaceObject *in)
{
  TandemNodeTiming *self = pending->client->timing;

  if (pending->task == NULL)
    return;
  self->ended = g_get_monotonic_time ();
  g_task_return_boolean (pending->task, TRUE);
}

static void
on_pong (GObject *source, GAsyncResult *result, gpointer data)
{
  TandemNodeTiming *self = data;
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error)) {
    timing_end (self, error);
    return;
  }
  self->round_trip = MIN (self->round_trip, (double) (self->ended - self->asked) / G_USEC_PER_SEC);
  if (++self->n_pings < N_PINGS) {
    ping (self);
    return;
  }
  self->links[0].delay = self->links[1].delay = self->round_trip / 2;
  self->is_out = TRUE;
  self->size = FIRST_SIZE;
  transfer (self);
}

static void
ping (TandemNodeTiming *self)
{
  gint64 id;
  JsonBuilder *json = tandem_node_client_begin (self->client, "ping", &id);

  self->asked = g_get_monotonic_time ();
  tandem_node_client_send (self->client, id, json,
                           g_task_new (self->client, self->cancellable, on_pong, self),
                           answer_ping);
}

/* --- data --- */

/* The node may have been held up while the data came: what it says is at least half of what we saw,
 * as far as that was not the way there and back. */
static GError *
check_seconds (TandemNodeTiming *self)
{
  double seen = (double) (self->ended - self->begun) / G_USEC_PER_SEC;

  if (self->timed != self->size - self->first || !(self->seconds >= 0) || self->seconds > seen)
    return g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                        _("The node at %s port %u says of the link to it what cannot be."),
                        self->client->host, self->client->port);
  self->seconds = MAX (self->seconds, (seen - self->round_trip) / 2);
  return NULL;
}

static void
answer_data (TandemNodePending *pending, const TandemPlaceObject *in)
{
  TandemNodeTiming *self = pending->client->timing;

  if (pending->task == NULL)
    return;
  if (self->is_out) {
    self->ended = g_get_monotonic_time ();
    if (!tandem_place_get_whole (in, "bytes", 0, TANDEM_CONTROL_MAX_TRANSFER, &self->timed) ||
        !tandem_place_get_number (in, "seconds", 0, G_MAXDOUBLE, &self->seconds)) {
      g_task_return_error (pending->task, g_error_copy (*in->error));
      return;
    }
  } else {
    self->timed = self->done - self->first;
    self->seconds = (double) (self->ended - self->begun) / G_USEC_PER_SEC;
  }
  g_task_return_boolean (pending->task, TRUE);
}

static void
on_transferred (GObject *source, GAsyncResult *result, gpointer data)
{
  TandemNodeTiming *self = data;
  TandemNetworkLink *link = &self->links[self->is_out];
  GError *error = NULL;

  self->is_wanted = FALSE;
  if (g_task_propagate_boolean (G_TASK (result), &error) && self->is_out)
    error = check_seconds (self);
  if (error == NULL && self->done != self->size)
    error = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                         _("The node at %s port %u answered before all data had gone."),
                         self->client->host, self->client->port);
  if (error != NULL) {
    timing_end (self, error);
    return;
  }
  self->seconds = MAX (self->seconds, 1e-6);
  link->bandwidth = self->timed / self->seconds;
  if (self->seconds < ENOUGH_S && self->size < TANDEM_CONTROL_MAX_TRANSFER) {
    double wanted = CLAMP (link->bandwidth * WANTED_S, 2.0 * self->size,
                           (double) MAX_GROWTH * self->size);

    self->size = (guint64) MIN (wanted, TANDEM_CONTROL_MAX_TRANSFER);
    transfer (self);
  } else if (self->is_out) {
    self->is_out = FALSE;
    self->size = FIRST_SIZE;
    transfer (self);
  } else {
    timing_end (self, NULL);
  }
}

static void
transfer (TandemNodeTiming *self)
{
  TandemNodeClient *client = self->client;
  GTask *task = g_task_new (client, self->cancellable, on_transferred, self);
  JsonBuilder *json =
      tandem_node_client_begin (client, self->is_out ? "receive" : "send", &self->id);

  self->done = self->first = 0;
  if (!self->is_out && client->channel != NULL) {
    client->data_left += self->size;
    tandem_control_channel_set_max_data (client->channel, TANDEM_CONTROL_MAX_DATA);
  }
  json_builder_set_member_name (json, "bytes");
  json_builder_add_int_value (json, (gint64) self->size);
  tandem_node_client_send (client, self->id, json, task, answer_data);
}

void
tandem_node_client_timing_continue (TandemNodeClient *self, gint64 id)
{
  TandemNodeTiming *timing = self->timing;

  if (timing == NULL || timing->id != id || !timing->is_out || timing->is_wanted ||
      timing->done > 0)
    return;
  timing->is_wanted = TRUE;
  timing->begun = g_get_monotonic_time ();
  tandem_node_client_timing_drained (self);
}

void
tandem_node_client_timing_drained (TandemNodeClient *self)
{
  TandemNodeTiming *timing = self->timing;
  g_autoptr (GBytes) piece = NULL;

  if (timing == NULL || !timing->is_wanted || timing->done == timing->size ||
      self->channel == NULL)
    return;
  piece = tandem_control_make_filling (timing->done, timing->size);
  if (timing->done == 0)
    timing->first = g_bytes_get_size (piece);
  timing->done += g_bytes_get_size (piece);
  tandem_control_channel_send_data (self->channel, piece);
}

void
tandem_node_client_timing_data (TandemNodeClient *self, gsize size)
{
  TandemNodeTiming *timing = self->timing;

  /* Of a transfer that nobody waits for any more. */
  if (timing == NULL || timing->is_out || size > timing->size - timing->done)
    return;
  timing->ended = g_get_monotonic_time ();
  if (timing->done == 0) {
    timing->begun = timing->ended;
    timing->first = size;
  }
  timing->done += size;
}

/* --- the call --- */

/**
 * tandem_node_client_measure_link_async:
 * @self: a client
 * @cancellable: (nullable): a cancellable
 * @callback: called when the link was measured, or after 10 seconds
 * @user_data: for @callback
 *
 * Measures the way to the node and back: the delay as half of the shortest of eight round trips,
 * and the bytes of payload a second in each direction. That takes a fifth of a second on a fast
 * link, and about one second where a second carries 64 KiB. One measurement at a time goes over a
 * connection, and a node takes part in one at a time.
 */
void
tandem_node_client_measure_link_async (TandemNodeClient *self, GCancellable *cancellable,
                                       GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  TandemNodeTiming *timing;

  g_return_if_fail (TANDEM_IS_NODE_CLIENT (self));

  task = g_task_new (self, cancellable, callback, user_data);
  if (self->timing != NULL || self->sending != NULL) {
    g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_PENDING, "%s",
                             _("the connection is in use"));
    return;
  }
  timing = self->timing = g_new0 (TandemNodeTiming, 1);
  timing->task = g_steal_pointer (&task);
  timing->client = self;
  timing->round_trip = G_MAXDOUBLE;
  timing->cancellable = g_cancellable_new ();
  if (cancellable != NULL)
    timing->handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled),
                                             timing->cancellable, NULL);
  timing->timeout = g_timeout_source_new (TIMEOUT_MS);
  g_source_set_callback (timing->timeout, on_timeout, timing, NULL);
  g_source_attach (timing->timeout, self->context);
  ping (timing);
}

static gboolean
finish (TandemNodeClient *self, GAsyncResult *result, TandemNetworkLink *out,
        TandemNetworkLink *in, GError **error)
{
  g_autofree TandemNetworkLink *links = NULL;

  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  links = g_task_propagate_pointer (G_TASK (result), error);
  if (links == NULL)
    return FALSE;
  if (in != NULL)
    *in = links[0];
  if (out != NULL)
    *out = links[1];
  return TRUE;
}

/**
 * tandem_node_client_measure_link_finish:
 * @self: a client
 * @result: what the callback got
 * @out: (out caller-allocates) (optional): the way from here to the node
 * @in: (out caller-allocates) (optional): the way back
 * @error: return location for %TANDEM_NODE_ERROR_BUSY when the node measures with somebody else,
 *   %TANDEM_NODE_ERROR_UNKNOWN when its protocol is older than 1.1, %TANDEM_NET_ERROR_TIMEOUT,
 *   another #TandemNetError or #TandemNodeError, or a #GIOErrorEnum
 *
 * Returns: whether the link was measured
 */
gboolean
tandem_node_client_measure_link_finish (TandemNodeClient *self, GAsyncResult *result,
                                        TandemNetworkLink *out, TandemNetworkLink *in,
                                        GError **error)
{
  return finish (self, result, out, in, error);
}

/* --- links between others --- */

static gboolean
read_link (const TandemPlaceObject *in, const char *name, TandemNetworkLink *link)
{
  g_autofree char *path = NULL;
  TandemPlaceObject inner = *in;

  inner.object = tandem_place_get_object (in, name, &path);
  inner.path = path;
  return inner.object != NULL &&
      tandem_place_get_number (&inner, "bandwidth", 0, G_MAXDOUBLE, &link->bandwidth) &&
      tandem_place_get_number (&inner, "delay", 0, G_MAXDOUBLE, &link->delay);
}

static void
answer_links (TandemNodePending *pending, const TandemPlaceObject *in)
{
  TandemNetworkLink links[2];

  if (pending->task == NULL)
    return;
  if (read_link (in, "in", &links[0]) && read_link (in, "out", &links[1]))
    g_task_return_pointer (pending->task, g_memdup2 (links, sizeof links), g_free);
  else
    g_task_return_error (pending->task, g_error_copy (*in->error));
}

/**
 * tandem_node_client_measure_async:
 * @self: a client
 * @host: the name or address of another node, as this one reaches it
 * @port: its TCP port
 * @cancellable: (nullable): a cancellable
 * @callback: called when the link was measured
 * @user_data: for @callback
 *
 * Has the node measure the way to another node, with its own key, as
 * tandem_node_client_measure_link_async() does.
 */
void
tandem_node_client_measure_async (TandemNodeClient *self, const char *host, guint16 port,
                                  GCancellable *cancellable, GAsyncReadyCallback callback,
                                  gpointer user_data)
{
  gint64 id;
  JsonBuilder *json;

  g_return_if_fail (TANDEM_IS_NODE_CLIENT (self));

  json = tandem_node_client_begin (self, "measure", &id);
  json_builder_set_member_name (json, "host");
  json_builder_add_string_value (json, host);
  json_builder_set_member_name (json, "port");
  json_builder_add_int_value (json, port);
  tandem_node_client_send (self, id, json, g_task_new (self, cancellable, callback, user_data),
                           answer_links);
}

/**
 * tandem_node_client_measure_finish:
 * @self: a client
 * @result: what the callback got
 * @out: (out caller-allocates) (optional): the way from its node to the other one
 * @in: (out caller-allocates) (optional): the way back
 * @error: return location for %TANDEM_NODE_ERROR_BUSY, %TANDEM_NODE_ERROR_FAILED when the other node
 *   cannot be reached or refuses, another #TandemNodeError, a #TandemNetError, a #TandemPlaceError
 *   when the answer makes no sense, or a #GIOErrorEnum
 *
 * Returns: whether the link was measured
 */
gboolean
tandem_node_client_measure_finish (TandemNodeClient *self, GAsyncResult *result,
                                   TandemNetworkLink *out, TandemNetworkLink *in, GError **error)
{
  return finish (self, result, out, in, error);
}
