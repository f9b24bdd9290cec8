/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The requests that are one message and one answer. */

#include "config.h"

#include "tandem-node-client-private.h"

#include <string.h>

#include "place/tandem-profile-private.h"

/* What a node measures. */
#define MOST_ZEROS 0.99

static void
add_number (JsonBuilder *json, const char *name, guint64 value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_int_value (json, (gint64) value);
}

static void
add_text (JsonBuilder *json, const char *name, const char *value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_string_value (json, value);
}

static void
add_precision (JsonBuilder *json, TandemPrecision precision)
{
  add_text (json, "precision", precision == TANDEM_PRECISION_BF16 ? "bf16" : "f32");
}

/* Without them weights are floats, which is all that a node before 1.2 knows. */
static void
add_quantization (JsonBuilder *json, TandemQuantization quantization)
{
  if (quantization == TANDEM_QUANTIZATION_NONE)
    return;
  add_text (json, "weights", "int8");
  add_text (json, "activations", quantization == TANDEM_QUANTIZATION_INT8 ? "int8" : "float");
}

static GTask *
make_task (TandemNodeClient *self, GCancellable *cancellable, GAsyncReadyCallback callback,
           gpointer user_data)
{
  return g_task_new (self, cancellable, callback, user_data);
}

static void
answer_nothing (TandemNodePending *pending, const TandemPlaceObject *in)
{
  if (pending->task != NULL)
    g_task_return_boolean (pending->task, TRUE);
}

static gboolean
finish_boolean (TandemNodeClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/* --- ping --- */

/**
 * tandem_node_client_ping_async:
 * @self: a client
 * @cancellable: (nullable): a cancellable
 * @callback: called when the node has answered
 * @user_data: for @callback
 *
 * Asks whether the node is there.
 */
void
tandem_node_client_ping_async (TandemNodeClient *self, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data)
{
  gint64 id;
  JsonBuilder *json = tandem_node_client_begin (self, "ping", &id);

  tandem_node_client_send (self, id, json, make_task (self, cancellable, callback, user_data),
                           answer_nothing);
}

/**
 * tandem_node_client_ping_finish:
 * @self: a client
 * @result: what the callback got
 * @error: return location for a #TandemNetError or a #GIOErrorEnum
 *
 * Returns: whether it is there
 */
gboolean
tandem_node_client_ping_finish (TandemNodeClient *self, GAsyncResult *result, GError **error)
{
  return finish_boolean (self, result, error);
}

/* --- describe --- */

static void
answer_info (TandemNodePending *pending, const TandemPlaceObject *in)
{
  TandemNodeInfo *info;

  if (pending->task == NULL)
    return;
  info = tandem_node_info_parse (in);
  if (info != NULL)
    g_task_return_pointer (pending->task, info, (GDestroyNotify) tandem_node_info_free);
  else
    g_task_return_error (pending->task, g_error_copy (*in->error));
}

/**
 * tandem_node_client_describe_async:
 * @self: a client
 * @cancellable: (nullable): a cancellable
 * @callback: called when the node has answered
 * @user_data: for @callback
 *
 * Asks what the device is and has.
 */
void
tandem_node_client_describe_async (TandemNodeClient *self, GCancellable *cancellable,
                                   GAsyncReadyCallback callback, gpointer user_data)
{
  gint64 id;
  JsonBuilder *json = tandem_node_client_begin (self, "describe", &id);

  tandem_node_client_send (self, id, json, make_task (self, cancellable, callback, user_data),
                           answer_info);
}

/**
 * tandem_node_client_describe_finish:
 * @self: a client
 * @result: what the callback got
 * @error: return location for a #TandemNodeError, a #TandemNetError, a #TandemPlaceError when the
 *   answer makes no sense, or a #GIOErrorEnum
 *
 * Returns: (transfer full): what the node says, or %NULL
 */
TandemNodeInfo *
tandem_node_client_describe_finish (TandemNodeClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* --- reach --- */

/**
 * tandem_node_client_reach_async:
 * @self: a client
 * @host: (nullable): a name or address; %NULL: this device, by the address that the node sees
 * @port: a TCP port there
 * @cancellable: (nullable): a cancellable
 * @callback: called when the node connected, or could not
 * @user_data: for @callback
 *
 * Has the node open a TCP connection, and close it at once: whether it reaches somebody at all.
 */
void
tandem_node_client_reach_async (TandemNodeClient *self, const char *host, guint16 port,
                                GCancellable *cancellable, GAsyncReadyCallback callback,
                                gpointer user_data)
{
  gint64 id;
  JsonBuilder *json = tandem_node_client_begin (self, "reach", &id);

  if (host != NULL)
    add_text (json, "host", host);
  add_number (json, "port", port);
  tandem_node_client_send (self, id, json, make_task (self, cancellable, callback, user_data),
                           answer_nothing);
}

/**
 * tandem_node_client_reach_finish:
 * @self: a client
 * @result: what the callback got
 * @error: return location for %TANDEM_NODE_ERROR_FAILED, with the reason that the node's system
 *   gives, %TANDEM_NODE_ERROR_BUSY, %TANDEM_NODE_ERROR_UNKNOWN when its protocol is older than
 *   1.1, a #TandemNetError or a #GIOErrorEnum
 *
 * Returns: whether the node connected
 */
gboolean
tandem_node_client_reach_finish (TandemNodeClient *self, GAsyncResult *result, GError **error)
{
  return finish_boolean (self, result, error);
}

/* --- profile --- */

static void
answer_profile (TandemNodePending *pending, const TandemPlaceObject *in)
{
  g_autofree char *path = NULL;
  TandemPlaceObject inner = *in;
  TandemProfile *profile = NULL;

  if (pending->task == NULL)
    return;
  inner.object = tandem_place_get_object (in, "profile", &path);
  inner.path = path;
  if (inner.object != NULL)
    profile = tandem_profile_parse (&inner);
  if (profile != NULL)
    g_task_return_pointer (pending->task, profile, (GDestroyNotify) tandem_profile_free);
  else
    g_task_return_error (pending->task, g_error_copy (*in->error));
}

/**
 * tandem_node_client_profile_async:
 * @self: a client
 * @config_text: the text of a model's config.json
 * @quantization: how its weights are stored; a node whose protocol is older than 1.2 measures floats
 * @zeros: which share of the weights of linear layers is zero, as tandem_model_get_zeros() says; a node whose protocol is
 *   older than 1.3 measures without zeros
 * @precision: what linear layers are to compute with
 * @n_threads: threads of a stage
 * @seconds: how long to measure, roughly, 0.1 to 60; 0: as long as the node thinks right
 * @cancellable: (nullable): a cancellable
 * @callback: called when the node has answered
 * @user_data: for @callback
 *
 * Has the node measure how long layers take of a model of this shape; it makes up the weights, of
 * the kind that the model has.
 * What it measured before it answers at once.
 */
void
tandem_node_client_profile_async (TandemNodeClient *self, const char *config_text,
                                  TandemQuantization quantization, double zeros,
                                  TandemPrecision precision, guint n_threads, double seconds,
                                  GCancellable *cancellable, GAsyncReadyCallback callback,
                                  gpointer user_data)
{
  g_autoptr (GTask) task = make_task (self, cancellable, callback, user_data);
  JsonBuilder *json;
  gint64 id;

  /* Escaped, it may be six times as long. */
  if (strlen (config_text) > TANDEM_CONTROL_MAX_JSON / 8) {
    g_task_return_new_error (task, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_INVALID,
                             "the configuration has %" G_GSIZE_FORMAT " bytes; %d are the most",
                             strlen (config_text), TANDEM_CONTROL_MAX_JSON / 8);
    return;
  }
  json = tandem_node_client_begin (self, "profile", &id);
  add_text (json, "config", config_text);
  add_quantization (json, quantization);
  if (zeros > 0) {
    json_builder_set_member_name (json, "zeros");
    json_builder_add_double_value (json, MIN (zeros, MOST_ZEROS));
  }
  add_precision (json, precision);
  add_number (json, "threads", n_threads);
  if (seconds > 0) {
    json_builder_set_member_name (json, "seconds");
    json_builder_add_double_value (json, seconds);
  }
  tandem_node_client_send (self, id, json, g_steal_pointer (&task), answer_profile);
}

/**
 * tandem_node_client_profile_finish:
 * @self: a client
 * @result: what the callback got
 * @error: return location for %TANDEM_NODE_ERROR_BUSY, %TANDEM_NODE_ERROR_MEMORY,
 *   %TANDEM_NODE_ERROR_MODEL or %TANDEM_NODE_ERROR_INVALID, a #TandemNetError, a #TandemPlaceError
 *   when the answer makes no sense, or a #GIOErrorEnum
 *
 * Returns: (transfer full): the profile, whose model is a digest of the shape, or %NULL
 */
TandemProfile *
tandem_node_client_profile_finish (TandemNodeClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* --- have --- */

typedef struct
{
  gboolean complete;
  guint64 bytes;
} Have;

static void
answer_have (TandemNodePending *pending, const TandemPlaceObject *in)
{
  JsonNode *complete = json_object_get_member (in->object, "complete");
  g_autofree Have *have = g_new0 (Have, 1);

  if (pending->task == NULL)
    return;
  if (!tandem_place_get_whole (in, "bytes", 0, TANDEM_CONTROL_MAX_NUMBER, &have->bytes)) {
    g_task_return_error (pending->task, g_error_copy (*in->error));
    return;
  }
  have->complete = complete != NULL && json_node_get_value_type (complete) == G_TYPE_BOOLEAN &&
      json_node_get_boolean (complete);
  g_task_return_pointer (pending->task, g_steal_pointer (&have), g_free);
}

/**
 * tandem_node_client_have_async:
 * @self: a client
 * @digest: the SHA-256 of a stage file, 64 hexadecimal digits
 * @cancellable: (nullable): a cancellable
 * @callback: called when the node has answered
 * @user_data: for @callback
 *
 * Asks whether a node has a stage file.
 */
void
tandem_node_client_have_async (TandemNodeClient *self, const char *digest,
                               GCancellable *cancellable, GAsyncReadyCallback callback,
                               gpointer user_data)
{
  gint64 id;
  JsonBuilder *json = tandem_node_client_begin (self, "have", &id);

  add_text (json, "digest", digest);
  tandem_node_client_send (self, id, json, make_task (self, cancellable, callback, user_data),
                           answer_have);
}

/**
 * tandem_node_client_have_finish:
 * @self: a client
 * @result: what the callback got
 * @complete: (out): whether it has all of it
 * @bytes: (out): how many bytes it has
 * @error: return location for a #TandemNodeError, a #TandemNetError or a #GIOErrorEnum
 *
 * Returns: whether the node answered
 */
gboolean
tandem_node_client_have_finish (TandemNodeClient *self, GAsyncResult *result, gboolean *complete,
                                guint64 *bytes, GError **error)
{
  g_autofree Have *have = NULL;

  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  have = g_task_propagate_pointer (G_TASK (result), error);
  if (have == NULL)
    return FALSE;
  *complete = have->complete;
  *bytes = have->bytes;
  return TRUE;
}

/* --- build --- */

typedef struct
{
  guint stage;
  guint16 port;
  guint64 memory;
} Built;

static gboolean
read_built (const TandemPlaceObject *in, Built *built)
{
  guint64 stage, port;

  if (!tandem_place_get_whole (in, "stage", 1, G_MAXUINT, &stage) ||
      !tandem_place_get_whole (in, "port", 1, G_MAXUINT16, &port) ||
      !tandem_place_get_whole (in, "memory", 0, TANDEM_CONTROL_MAX_NUMBER, &built->memory))
    return FALSE;
  built->stage = stage;
  built->port = port;
  return TRUE;
}

/* Who does not wait any more does not want the stage either. */
static void
answer_built (TandemNodePending *pending, const TandemPlaceObject *in)
{
  g_autofree Built *built = g_new0 (Built, 1);
  gboolean ok = read_built (in, built);

  if (pending->task != NULL && ok)
    g_task_return_pointer (pending->task, g_steal_pointer (&built), g_free);
  else if (pending->task != NULL)
    g_task_return_error (pending->task, g_error_copy (*in->error));
  else if (ok)
    tandem_node_client_stop_async (pending->client, built->stage, NULL, NULL, NULL);
}

/**
 * tandem_node_client_build_async:
 * @self: a client
 * @digest: the SHA-256 of a stage file that the node has
 * @first_layer: the first layer to run, from 0
 * @last_layer: the last one
 * @precision: what linear layers are to compute with
 * @n_threads: threads of the stage
 * @shape: (nullable): the largest micro-batch that will come, for which there is to be memory;
 *   larger ones will be refused. %NULL: not known
 * @format: the format in which it sends activations on; a node whose protocol is older than 1.1
 *   sends %TANDEM_WIRE_FORMAT_F32 whatever is asked for; so does %TANDEM_WIRE_FORMAT_NONE
 * @next_host: (nullable): the name or address of the device that runs the next layers, or takes the
 *   results; %NULL: this device, by the address that the node sees
 * @next_port: the TCP port there
 * @cancellable: (nullable): a cancellable
 * @callback: called when the stage listens
 * @user_data: for @callback
 *
 * Has the node run some layers for one stream.
 */
void
tandem_node_client_build_async (TandemNodeClient *self, const char *digest, guint first_layer,
                                guint last_layer, TandemPrecision precision, guint n_threads,
                                const TandemBatchShape *shape, TandemWireFormats format,
                                const char *next_host, guint16 next_port,
                                GCancellable *cancellable, GAsyncReadyCallback callback,
                                gpointer user_data)
{
  gint64 id;
  JsonBuilder *json = tandem_node_client_begin (self, "build", &id);

  add_text (json, "digest", digest);
  add_number (json, "first_layer", first_layer);
  add_number (json, "last_layer", last_layer);
  add_precision (json, precision);
  add_number (json, "threads", n_threads);
  if (shape != NULL) {
    add_number (json, "sequences", shape->n_sequences);
    add_number (json, "tokens", shape->n_tokens);
  }
  if (format != TANDEM_WIRE_FORMAT_NONE && format != TANDEM_WIRE_FORMAT_F32)
    add_text (json, "format", tandem_wire_format_to_string (format));
  json_builder_set_member_name (json, "next");
  json_builder_begin_object (json);
  if (next_host != NULL)
    add_text (json, "host", next_host);
  add_number (json, "port", next_port);
  json_builder_end_object (json);
  tandem_node_client_send (self, id, json, make_task (self, cancellable, callback, user_data),
                           answer_built);
}

/**
 * tandem_node_client_build_finish:
 * @self: a client
 * @result: what the callback got
 * @stage: (out) (optional): the number of the stage
 * @port: (out) (optional): the TCP port of the node on which it takes its stream
 * @memory: (out) (optional): how many bytes it may take there
 * @error: return location for %TANDEM_NODE_ERROR_NOT_FOUND when the node does not have the file,
 *   %TANDEM_NODE_ERROR_MEMORY with numbers, %TANDEM_NODE_ERROR_MODEL, another #TandemNodeError, a
 *   #TandemNetError or a #GIOErrorEnum
 *
 * Returns: whether the stage runs
 */
gboolean
tandem_node_client_build_finish (TandemNodeClient *self, GAsyncResult *result, guint *stage,
                                 guint16 *port, guint64 *memory, GError **error)
{
  g_autofree Built *built = NULL;

  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  built = g_task_propagate_pointer (G_TASK (result), error);
  if (built == NULL)
    return FALSE;
  if (stage != NULL)
    *stage = built->stage;
  if (port != NULL)
    *port = built->port;
  if (memory != NULL)
    *memory = built->memory;
  return TRUE;
}

/* --- stop --- */

/**
 * tandem_node_client_stop_async:
 * @self: a client
 * @stage: the number of a stage
 * @cancellable: (nullable): a cancellable
 * @callback: called when it has stopped
 * @user_data: for @callback
 *
 * Stops a stage that was built over this connection, and frees its memory.
 */
void
tandem_node_client_stop_async (TandemNodeClient *self, guint stage, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data)
{
  gint64 id;
  JsonBuilder *json = tandem_node_client_begin (self, "stop", &id);

  add_number (json, "stage", stage);
  tandem_node_client_send (self, id, json, make_task (self, cancellable, callback, user_data),
                           answer_nothing);
}

/**
 * tandem_node_client_stop_finish:
 * @self: a client
 * @result: what the callback got
 * @error: return location for %TANDEM_NODE_ERROR_NOT_FOUND when it does not run (any more), a
 *   #TandemNetError or a #GIOErrorEnum
 *
 * Returns: whether it has stopped
 */
gboolean
tandem_node_client_stop_finish (TandemNodeClient *self, GAsyncResult *result, GError **error)
{
  return finish_boolean (self, result, error);
}
