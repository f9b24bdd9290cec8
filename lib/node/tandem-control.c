/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-control.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "net/tandem-net-error.h"
#include "base/tandem-json-private.h"

#define MAGIC "TNDMN"
#define MAGIC_SIZE 5
#define KIND_JSON 'J'
#define KIND_DATA 'D'
/* The first bytes of TLS: a record of its handshake. */
#define TLS_HANDSHAKE 22
/* Pieces of data that is timed. Time begins behind the first one: it is to be small. */
#define FIRST_FILLING (16 * 1024)
#define FILLING (64 * 1024)

struct _TandemControlDecoder
{
  gsize max_data;
  guint8 head[TANDEM_CONTROL_PREAMBLE_SIZE];
  gsize n_head;
  gboolean has_preamble;

  /* of the frame whose header is complete */
  guint8 *content;              /* (nullable): one byte more than size */
  gsize size, n_content;

  JsonNode *json;               /* (nullable): the last one */
  GBytes *data;                 /* (nullable): the last one */
};

TandemControlDecoder *
tandem_control_decoder_new (void)
{
  return g_new0 (TandemControlDecoder, 1);
}

void
tandem_control_decoder_free (TandemControlDecoder *self)
{
  g_free (self->content);
  g_clear_pointer (&self->json, json_node_unref);
  g_clear_pointer (&self->data, g_bytes_unref);
  g_free (self);
}

/* The longest data frame that is taken from now on; 0, as at first: none. */
void
tandem_control_decoder_set_max_data (TandemControlDecoder *self, gsize max_data)
{
  self->max_data = MIN (max_data, TANDEM_CONTROL_MAX_DATA);
}

static gsize
get_head_size (TandemControlDecoder *self)
{
  return self->has_preamble ? TANDEM_CONTROL_HEADER_SIZE : TANDEM_CONTROL_PREAMBLE_SIZE;
}

/* Returns where the next bytes go, and how many at the most, at least one. */
guint8 *
tandem_control_decoder_get_space (TandemControlDecoder *self, gsize *size)
{
  if (self->content != NULL) {
    *size = self->size - self->n_content;
    return self->content + self->n_content;
  }
  *size = get_head_size (self) - self->n_head;
  return self->head + self->n_head;
}

static TandemControlStatus G_GNUC_PRINTF (3, 4)
fail (GError **error, int code, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (error != NULL)
    *error = g_error_new_valist (TANDEM_NET_ERROR, code, format, args);
  va_end (args);
  return TANDEM_CONTROL_ERROR;
}

/* The bytes that are there are enough to say so: what is not ours is not waited for. */
static TandemControlStatus
check_preamble (TandemControlDecoder *self, GError **error)
{
  gsize n = MIN (self->n_head, MAGIC_SIZE);

  if (memcmp (self->head, MAGIC, n) != 0) {
    if (self->head[0] == TLS_HANDSHAKE)
      return fail (error, TANDEM_NET_ERROR_INSECURE,
                   _("the connection is protected with a cluster key and this side has none; give "
                     "both the key, or neither"));
    if (n == MAGIC_SIZE && memcmp (self->head, MAGIC, n - 1) == 0)
      return fail (error, TANDEM_NET_ERROR_PROTOCOL,
                   _("this is the port of a node, not that of a stage"));
    return fail (error, TANDEM_NET_ERROR_NOT_TANDEM, _("these bytes are not those of a node"));
  }
  if (self->n_head < TANDEM_CONTROL_PREAMBLE_SIZE)
    return TANDEM_CONTROL_MORE;
  if (self->head[MAGIC_SIZE] != TANDEM_CONTROL_MAJOR)
    return fail (error, TANDEM_NET_ERROR_VERSION,
                 _("this side speaks version %d of the protocol of nodes, the other one version "
                   "%d"),
                 TANDEM_CONTROL_MAJOR, self->head[MAGIC_SIZE]);
  self->has_preamble = TRUE;
  self->n_head = 0;
  return TANDEM_CONTROL_PREAMBLE;
}

/* Memory is taken only now, for a length that is allowed. */
static TandemControlStatus
begin_content (TandemControlDecoder *self, GError **error)
{
  guint8 kind = self->head[0];
  gsize size, most = kind == KIND_JSON ? TANDEM_CONTROL_MAX_JSON : self->max_data;

  if (kind != KIND_JSON && kind != KIND_DATA)
    return fail (error, TANDEM_NET_ERROR_PROTOCOL, _("there is no frame of kind %#x"), kind);
  if (kind == KIND_DATA && most == 0)
    return fail (error, TANDEM_NET_ERROR_PROTOCOL, _("data came that nobody asked for"));
  if (self->n_head < TANDEM_CONTROL_HEADER_SIZE)
    return TANDEM_CONTROL_MORE;
  size = (gsize) self->head[1] | (gsize) self->head[2] << 8 | (gsize) self->head[3] << 16 |
      (gsize) self->head[4] << 24;
  if (size == 0 || size > most)
    return fail (error, TANDEM_NET_ERROR_TOO_LARGE,
                 _("a frame of %u bytes; 1 to %u are possible"), (guint) size, (guint) most);
  self->size = size;
  self->n_content = 0;
  self->content = g_malloc (size + 1);
  return TANDEM_CONTROL_MORE;
}

static TandemControlStatus
finish_content (TandemControlDecoder *self, GError **error)
{
  g_autofree char *content = (char *) g_steal_pointer (&self->content);
  g_autoptr (GError) local = NULL;
  guint8 kind = self->head[0];

  self->n_head = 0;
  g_clear_pointer (&self->json, json_node_unref);
  g_clear_pointer (&self->data, g_bytes_unref);
  if (kind == KIND_DATA) {
    self->data = g_bytes_new_take (g_steal_pointer (&content), self->size);
    return TANDEM_CONTROL_DATA;
  }
  content[self->size] = '\0';
  /* With a NUL among the bytes this fails, too. */
  if (!g_utf8_validate (content, self->size, NULL))
    return fail (error, TANDEM_NET_ERROR_PROTOCOL, _("a message is not UTF-8"));
  self->json = tandem_json_parse_object (content, &local);
  if (self->json == NULL)
    return fail (error, TANDEM_NET_ERROR_PROTOCOL, _("a message cannot be read: %s"),
                 local->message);
  return TANDEM_CONTROL_JSON;
}

/* Takes in bytes that were put where get_space() said. The errors are those of TandemNetError. */
TandemControlStatus
tandem_control_decoder_advance (TandemControlDecoder *self, gsize size, GError **error)
{
  if (self->content != NULL) {
    self->n_content += size;
    return self->n_content == self->size ? finish_content (self, error) : TANDEM_CONTROL_MORE;
  }
  self->n_head += size;
  return self->has_preamble ? begin_content (self, error) : check_preamble (self, error);
}

/* After TANDEM_CONTROL_JSON, (transfer none), until the next frame. */
JsonObject *
tandem_control_decoder_get_object (TandemControlDecoder *self)
{
  return json_node_get_object (self->json);
}

/* After TANDEM_CONTROL_DATA, (transfer full). */
GBytes *
tandem_control_decoder_take_data (TandemControlDecoder *self)
{
  return g_steal_pointer (&self->data);
}

/* Whether the bytes so far end with a frame. */
gboolean
tandem_control_decoder_is_idle (TandemControlDecoder *self)
{
  return self->content == NULL && self->n_head == 0;
}

void
tandem_control_append_preamble (GByteArray *bytes)
{
  const guint8 version[] = { TANDEM_CONTROL_MAJOR, TANDEM_CONTROL_MINOR, 0 };

  g_byte_array_append (bytes, (const guint8 *) MAGIC, MAGIC_SIZE);
  g_byte_array_append (bytes, version, sizeof version);
}

static void
append (GByteArray *bytes, guint8 kind, const void *content, gsize size)
{
  const guint8 header[TANDEM_CONTROL_HEADER_SIZE] = { kind, size, size >> 8, size >> 16,
                                                      size >> 24 };

  g_byte_array_append (bytes, header, sizeof header);
  g_byte_array_append (bytes, content, size);
}

/* FALSE when the text would be too long: nothing is appended. */
gboolean
tandem_control_append_json (GByteArray *bytes, JsonNode *node)
{
  g_autofree char *text = json_to_string (node, FALSE);
  gsize size = strlen (text);

  if (size > TANDEM_CONTROL_MAX_JSON)
    return FALSE;
  append (bytes, KIND_JSON, text, size);
  return TRUE;
}

/* size: 1 to TANDEM_CONTROL_MAX_DATA */
void
tandem_control_append_data (GByteArray *bytes, const void *data, gsize size)
{
  g_return_if_fail (size > 0 && size <= TANDEM_CONTROL_MAX_DATA);

  append (bytes, KIND_DATA, data, size);
}

static gpointer
make_noise (gpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  guint32 *noise = g_new (guint32, FILLING / sizeof (guint32));
  gsize i;

  for (i = 0; i < FILLING / sizeof (guint32); i++)
    noise[i] = g_rand_int (rand);
  return g_bytes_new_take (noise, FILLING);
}

/* Noise: links that compress are not to look faster than they are. */
GBytes *
tandem_control_make_filling (guint64 done, guint64 size)
{
  static GOnce once = G_ONCE_INIT;
  GBytes *noise = g_once (&once, make_noise, NULL);

  return g_bytes_new_from_bytes (noise, 0, MIN (done == 0 ? FIRST_FILLING : FILLING, size - done));
}
