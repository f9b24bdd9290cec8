/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What requests have in common: how they are answered, and what is read from them. */

#include "config.h"

#include "tandem-node-private.h"

#include <glib/gi18n-lib.h>

#include "place/tandem-place-error.h"

#define MAX_SENTENCE 1024

/* --- writing --- */

void
tandem_node_add_number (JsonBuilder *json, const char *name, guint64 value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_int_value (json, (gint64) MIN (value, (guint64) TANDEM_CONTROL_MAX_NUMBER));
}

void
tandem_node_add_double (JsonBuilder *json, const char *name, double value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_double_value (json, value);
}

void
tandem_node_add_text (JsonBuilder *json, const char *name, const char *value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_string_value (json, value);
}

const char *
tandem_node_error_to_string (const GError *error)
{
  static const char *const names[] = { "failed", "invalid", "unknown", "busy", "not-found",
                                       "no-space", "corrupt", "memory", "model", "cancelled" };

  if (error->domain == TANDEM_NODE_ERROR && (guint) error->code < G_N_ELEMENTS (names))
    return names[error->code];
  /* The readers of requests use those of files. */
  if (g_error_matches (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_FILE))
    return "invalid";
  if (error->domain == TANDEM_MODEL_ERROR || error->domain == TANDEM_PLACE_ERROR)
    return "model";
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return "cancelled";
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE) ||
      g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOSPC))
    return "no-space";
  return "failed";
}

/* Sentences go into messages of bounded length. */
static char *
shorten (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  g_autofree char *cut = g_strndup (valid, MAX_SENTENCE);

  /* The cut may be in the middle of a character. */
  return g_utf8_make_valid (cut, -1);
}

void
tandem_node_add_error (JsonBuilder *json, const GError *error)
{
  g_autofree char *message = shorten (error->message);

  json_builder_set_member_name (json, "error");
  json_builder_begin_object (json);
  tandem_node_add_text (json, "code", tandem_node_error_to_string (error));
  tandem_node_add_text (json, "message", message);
  json_builder_end_object (json);
}

/* --- requests --- */

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  g_cancellable_cancel (data);
}

TandemNodeRequest *
tandem_node_request_new (TandemNodeConnection *connection, gint64 id)
{
  TandemNodeRequest *self = g_new0 (TandemNodeRequest, 1);

  self->connection = tandem_node_connection_ref (connection);
  self->id = id;
  self->cancellable = g_cancellable_new ();
  self->handler = g_cancellable_connect (connection->cancellable, G_CALLBACK (on_cancelled),
                                         self->cancellable, NULL);
  g_hash_table_insert (connection->requests, &self->id, self);
  return self;
}

static void
request_free (TandemNodeRequest *self)
{
  g_hash_table_remove (self->connection->requests, &self->id);
  g_cancellable_disconnect (self->connection->cancellable, self->handler);
  g_object_unref (self->cancellable);
  tandem_node_connection_unref (self->connection);
  g_free (self);
}

/* Returns an answer to be completed. */
JsonBuilder *
tandem_node_request_begin (TandemNodeRequest *self)
{
  JsonBuilder *json = json_builder_new ();

  json_builder_begin_object (json);
  tandem_node_add_number (json, "reply", self->id);
  return json;
}

/* Sends the answer; json: (transfer full). The request is gone. */
void
tandem_node_request_finish (TandemNodeRequest *self, JsonBuilder *json)
{
  json_builder_end_object (json);
  tandem_node_connection_send (self->connection, json);
  g_object_unref (json);
  request_free (self);
}

void
tandem_node_request_fail (TandemNodeRequest *self, const GError *error)
{
  JsonBuilder *json = tandem_node_request_begin (self);

  tandem_node_add_error (json, error);
  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    tandem_node_tell (self->connection->node, "refused",
                      tandem_link_get_peer (self->connection->link), "%s", error->message);
  tandem_node_request_finish (self, json);
}

/* --- reading --- */

gboolean
tandem_node_get_whole (const TandemPlaceObject *in, const char *member, guint64 least,
                       guint64 most, guint64 otherwise, guint64 *value)
{
  *value = otherwise;
  return !tandem_place_has (in, member) ||
      tandem_place_get_whole (in, member, least, most, value);
}

gboolean
tandem_node_get_precision (const TandemPlaceObject *in, TandemPrecision *precision)
{
  const char *name;

  *precision = TANDEM_PRECISION_F32;
  if (!tandem_place_has (in, "precision"))
    return TRUE;
  name = tandem_place_get_text (in, "precision");
  if (name == NULL)
    return FALSE;
  if (g_str_equal (name, "bf16"))
    *precision = TANDEM_PRECISION_BF16;
  else if (!g_str_equal (name, "f32"))
    return tandem_place_fail (in, "precision", "is \"%s\"; there are f32 and bf16", name);
  return TRUE;
}

const char *
tandem_node_get_digest (const TandemPlaceObject *in)
{
  const char *digest = tandem_place_get_text (in, "digest");

  if (digest == NULL || tandem_stage_cache_is_digest (digest))
    return digest;
  tandem_place_fail (in, "digest", "is not a SHA-256 of %d hexadecimal digits",
                     TANDEM_STAGE_CACHE_DIGITS);
  return NULL;
}
