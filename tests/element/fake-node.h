/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Something that says it is a node, on loopback and without a key. What it answers is a table; it
 * works in threads of its own, one for each connection. */

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

typedef struct
{
  const char *request;
  /* What stands behind "reply": members that begin with a comma. NULL: it never answers.
   * "honest" takes or sends what is timed as a node does, "take:..." answers so behind all data that
   * was announced, "flood" sends more than was asked for, "leave" ends the connection. */
  const char *answer;
} FakeAnswer;

typedef struct _FakeNode FakeNode;

struct _FakeNode
{
  const FakeAnswer *answers;    /* end with NULL */
  /* (nullable): makes the answer to "build", as it would stand in the table */
  char *(*build) (FakeNode *self, JsonObject *request);
  GSocketService *service;
  guint16 port;
  gint n_connections;           /* atomic: so far */
  gint n_requests;              /* atomic: so far */

  GMutex lock;
  GCond cond;
  GPtrArray *open;              /* lock: sockets of connections that have a thread */
  guint n_taken, n_over;        /* lock: connections */
  gboolean stopping;            /* lock */
};

#define FAKE_NODE_DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* What "describe" answers, with a device and an instance. */
#define FAKE_NODE_INFO(device, instance) \
  ",\"protocol\":\"1.1\",\"library\":\"0.1\",\"device\":\"" device "\",\"instance\":\"" instance \
  "\",\"name\":\"fake\",\"cores\":1,\"threads\":1,\"bf16\":false,\"load\":0,\"speed\":0," \
  "\"memory\":{\"total\":1,\"available\":1,\"limit\":0,\"used\":0}," \
  "\"cache\":{\"limit\":1,\"used\":0,\"stages\":[]},\"pipelines\":0,\"running\":[]"

static inline gboolean
fake_write (GOutputStream *stream, char kind, const void *content, guint32 size)
{
  guint8 head[5] = { kind, size, size >> 8, size >> 16, size >> 24 };

  return g_output_stream_write_all (stream, head, sizeof head, NULL, NULL, NULL) &&
      g_output_stream_write_all (stream, content, size, NULL, NULL, NULL);
}

/* Returns (transfer full) the content of the next frame. */
static inline GBytes *
fake_read (GInputStream *stream, char *kind)
{
  g_autofree guint8 *content = NULL;
  guint8 head[5];
  gsize n, size;

  if (!g_input_stream_read_all (stream, head, sizeof head, &n, NULL, NULL) || n < sizeof head)
    return NULL;
  *kind = head[0];
  size = head[1] | head[2] << 8 | head[3] << 16 | (gsize) head[4] << 24;
  content = g_malloc (size);
  if (!g_input_stream_read_all (stream, content, size, &n, NULL, NULL) || n < size)
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&content), size);
}

static inline gboolean
fake_take (GInputStream *in, GOutputStream *out, gint64 id, gint64 size)
{
  g_autofree char *text =
      g_strdup_printf ("{\"event\":\"continue\",\"request\":%" G_GINT64_FORMAT
                       ",\"offset\":0}", id);

  if (!fake_write (out, 'J', text, strlen (text)))
    return FALSE;
  while (size > 0) {
    char kind;
    g_autoptr (GBytes) bytes = fake_read (in, &kind);

    if (bytes == NULL)
      return FALSE;
    if (kind == 'D')
      size -= g_bytes_get_size (bytes);
  }
  return TRUE;
}

/* The data of "receive" or "send", and the answer. */
static inline gboolean
fake_be_honest (GInputStream *in, GOutputStream *out, gint64 id, gint64 size, gboolean is_in)
{
  g_autofree guint8 *noise = g_malloc0 (65536);
  g_autofree char *text =
      g_strdup_printf ("{\"event\":\"continue\",\"request\":%" G_GINT64_FORMAT
                       ",\"offset\":0}", id);
  gint64 first = 0, done = 0, begun = 0;

  if (is_in && !fake_write (out, 'J', text, strlen (text)))
    return FALSE;
  while (done < size) {
    gint64 n = MIN (done == 0 ? 16384 : 65536, size - done);
    char kind = 'D';

    if (is_in) {
      g_autoptr (GBytes) bytes = fake_read (in, &kind);

      if (bytes == NULL)
        return FALSE;
      n = kind == 'D' ? (gint64) g_bytes_get_size (bytes) : 0;
    } else if (!fake_write (out, 'D', noise, n)) {
      return FALSE;
    }
    if (done == 0 && n > 0) {
      first = n;
      begun = g_get_monotonic_time ();
    }
    done += n;
  }
  g_free (text);
  text = g_strdup_printf ("{\"reply\":%" G_GINT64_FORMAT ",\"bytes\":%" G_GINT64_FORMAT
                          ",\"seconds\":0.%06" G_GINT64_FORMAT "}", id, size - first,
                          (g_get_monotonic_time () - begun) % G_USEC_PER_SEC);
  return fake_write (out, 'J', text, strlen (text));
}

static inline void
fake_flood (GOutputStream *out)
{
  g_autofree guint8 *noise = g_malloc0 (65536);

  while (fake_write (out, 'D', noise, 65536));
}

static inline gboolean
fake_answer (FakeNode *self, GInputStream *in, GOutputStream *out, GBytes *message)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autofree char *text = NULL, *built = NULL;
  const FakeAnswer *one;
  JsonObject *object;
  const char *answer;
  gint64 id;

  g_assert_true (json_parser_load_from_data (parser, g_bytes_get_data (message, NULL),
                                             g_bytes_get_size (message), NULL));
  object = json_node_get_object (json_parser_get_root (parser));
  id = json_object_get_int_member (object, "id");
  g_atomic_int_inc (&self->n_requests);
  for (one = self->answers; one->request != NULL; one++)
    if (g_str_equal (one->request, json_object_get_string_member (object, "request")))
      break;
  answer = one->request != NULL ? one->answer
      : ",\"error\":{\"code\":\"unknown\",\"message\":\"what?\"}";
  if (self->build != NULL && g_str_equal (json_object_get_string_member (object, "request"),
                                          "build"))
    answer = built = self->build (self, object);
  if (answer == NULL)
    return TRUE;
  if (g_str_equal (answer, "leave"))
    return FALSE;
  if (g_str_equal (answer, "honest"))
    return fake_be_honest (in, out, id, json_object_get_int_member (object, "bytes"),
                           g_str_equal (one->request, "receive"));
  if (g_str_equal (answer, "flood"))
    fake_flood (out);
  if (g_str_has_prefix (answer, "take:")) {
    answer += strlen ("take:");
    if (!fake_take (in, out, id, json_object_get_int_member (object, "bytes")))
      return FALSE;
  }
  text = g_strdup_printf ("{\"reply\":%" G_GINT64_FORMAT "%s}", id, answer);
  return fake_write (out, 'J', text, strlen (text));
}

static inline gboolean
fake_serve (GThreadedSocketService *service, GSocketConnection *connection, GObject *source,
          gpointer data)
{
  FakeNode *self = data;
  GInputStream *in = g_io_stream_get_input_stream (G_IO_STREAM (connection));
  GOutputStream *out = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  char preamble[8];
  gsize n;

  g_atomic_int_inc (&self->n_connections);
  g_socket_set_option (g_socket_connection_get_socket (connection), IPPROTO_TCP, TCP_NODELAY, 1,
                       NULL);
  if (!g_output_stream_write_all (out, "TNDMN\1\1\0", 8, NULL, NULL, NULL) ||
      !g_input_stream_read_all (in, preamble, sizeof preamble, &n, NULL, NULL))
    return TRUE;
  for (;;) {
    char kind;
    g_autoptr (GBytes) message = fake_read (in, &kind);

    if (message == NULL || (kind == 'J' && !fake_answer (self, in, out, message)))
      return TRUE;
  }
}

static inline gboolean
fake_run (GThreadedSocketService *service, GSocketConnection *connection, GObject *source,
          gpointer data)
{
  FakeNode *self = data;
  GSocket *socket = g_socket_connection_get_socket (connection);

  gboolean stopping;

  g_mutex_lock (&self->lock);
  stopping = self->stopping;
  g_ptr_array_add (self->open, socket);
  g_mutex_unlock (&self->lock);
  if (!stopping)
    fake_serve (service, connection, source, data);
  g_mutex_lock (&self->lock);
  g_ptr_array_remove (self->open, socket);
  self->n_over++;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

/* Before a connection gets its thread. */
static inline gboolean
fake_take_in (GSocketService *service, GSocketConnection *connection, GObject *source,
              gpointer data)
{
  FakeNode *self = data;

  g_mutex_lock (&self->lock);
  self->n_taken++;
  g_mutex_unlock (&self->lock);
  return FALSE;
}

static inline void
fake_start (FakeNode *self, const FakeAnswer *answers)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GInetAddress) loopback = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new (loopback, 0);
  g_autoptr (GSocketAddress) effective = NULL;

  self->answers = answers;
  self->open = g_ptr_array_new ();
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  self->service = g_threaded_socket_service_new (-1);
  g_socket_listener_add_address (G_SOCKET_LISTENER (self->service), address,
                                 G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL, &effective,
                                 &error);
  g_assert_no_error (error);
  self->port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (effective));
  g_signal_connect (self->service, "incoming", G_CALLBACK (fake_take_in), self);
  g_signal_connect (self->service, "run", G_CALLBACK (fake_run), self);
  g_socket_service_start (self->service);
}

/* All of its threads are over. */
static inline void
fake_stop (FakeNode *self)
{
  guint i;

  g_socket_service_stop (self->service);
  g_socket_listener_close (G_SOCKET_LISTENER (self->service));
  g_mutex_lock (&self->lock);
  self->stopping = TRUE;
  for (i = 0; i < self->open->len; i++)
    g_socket_shutdown (g_ptr_array_index (self->open, i), TRUE, TRUE, NULL);
  while (self->n_over < self->n_taken)
    g_cond_wait (&self->cond, &self->lock);
  g_mutex_unlock (&self->lock);
  g_clear_object (&self->service);
  g_ptr_array_unref (self->open);
  g_cond_clear (&self->cond);
  g_mutex_clear (&self->lock);
}
