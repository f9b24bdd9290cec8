/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Strangers at the door of a tcpactsrc that has a cluster key. After each of them a neighbour that
 * has the key is served. */

#include "net-harness.h"
#include "stranger-harness.h"

#include <gnutls/gnutls.h>
#include <sys/resource.h>
#include <unistd.h>

/* Neighbours come from another address of loopback. */
#define STRANGER "127.0.0.2"

static gpointer
shake (gpointer tls)
{
  g_tls_connection_handshake (tls, NULL, NULL);
  return NULL;
}

/* The first record of a proper client, as GIO makes it. */
static GByteArray *
make_client_hello (void)
{
  GByteArray *hello = g_byte_array_new ();
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  guint16 port = g_socket_listener_add_any_inet_port (listener, NULL, NULL);
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) ours =
      g_socket_client_connect_to_host (client, "127.0.0.1", port, NULL, NULL);
  g_autoptr (GSocketConnection) theirs = g_socket_listener_accept (listener, NULL, NULL, NULL);
  g_autoptr (GIOStream) tls = g_tls_client_connection_new (G_IO_STREAM (ours), NULL, NULL);
  GThread *thread = g_thread_new ("shake", shake, tls);
  GInputStream *input = g_io_stream_get_input_stream (G_IO_STREAM (theirs));

  g_byte_array_set_size (hello, 5);
  g_assert_true (g_input_stream_read_all (input, hello->data, 5, NULL, NULL, NULL));
  g_byte_array_set_size (hello, 5 + (hello->data[3] << 8 | hello->data[4]));
  g_assert_true (
      g_input_stream_read_all (input, hello->data + 5, hello->len - 5, NULL, NULL, NULL));
  g_io_stream_close (G_IO_STREAM (theirs), NULL, NULL);
  g_thread_join (thread);
  g_assert_cmpuint (hello->data[0], ==, 22);
  return hello;
}

static void
src_with_key (Side *src, guint handshake_timeout)
{
  g_autofree char *path = keys_make ("home", 3600);

  src_make (src);
  g_object_set (src->element, "key", path, "handshake-timeout", handshake_timeout, NULL);
  gst_harness_play (src->harness);
}

static void
then_serve (Side *src)
{
  g_autofree char *path = keys_make ("home", 3600);
  Side sink;

  assert_no_message (src, GST_MESSAGE_ERROR);
  sink_make (&sink, side_port (src));
  /* Under ThreadSanitizer a crowd keeps the receiver busy for longer than a handshake may take. */
  g_object_set (sink.element, "key", path, "reconnect-timeout", 60000, NULL);
  sink_play (&sink, 2);
  run_stream (src, &sink, 0, 5);
  side_clear (&sink);
  assert_no_message (src, GST_MESSAGE_ERROR);
  side_clear (src);
}

/* Each gets nothing back, and is put out. */
static void
test_no_handshake (void)
{
  static const struct
  {
    const char *bytes;
    gsize size;
  } strangers[] = {
    { "", 0 }, { "\x16", 1 }, { "\x16\x03\x01\x02", 4 }, { "\x16\x03\x01\x40\x01xx", 7 },
    { "\x16\x02\x01", 3 }, { "GET / HTTP/1.1\r\n\r\n", 18 }, { "\x15\x03\x03\x00\x02\x02\x28", 7 },
    { "\x00", 1 }, { "TN", 2 }, { "\x80\x2e\x01\x00\x02", 5 },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (strangers); i++) {
    Side src;
    g_autoptr (GSocket) socket = NULL;
    g_autoptr (GByteArray) heard = NULL;

    src_with_key (&src, 1000);
    socket = stranger_connect (STRANGER, side_port (&src));
    stranger_send (socket, strangers[i].bytes, strangers[i].size);
    heard = stranger_read_all (socket);
    g_assert_cmpuint (heard->len, ==, 0);
    then_serve (&src);
  }
}

/* What comes after a true begin is garbage, or nothing, or never ends. */
static void
test_half_handshake (void)
{
  g_autoptr (GByteArray) hello = make_client_hello ();
  g_autofree guint8 *garbage = g_malloc (1 << 20);
  struct rusage before, after;
  gsize cut, i;

  for (i = 0; i < 1 << 20; i++)
    garbage[i] = i % 4099 == 0 ? 23 : (guint8) (i * 31);
  getrusage (RUSAGE_SELF, &before);
  for (cut = 1; cut < hello->len; cut += 97) {
    Side src;
    g_autoptr (GSocket) socket = NULL;
    g_autoptr (GByteArray) heard = NULL;

    src_with_key (&src, 1000);
    socket = stranger_connect (STRANGER, side_port (&src));
    stranger_send (socket, hello->data, cut);
    stranger_send (socket, garbage, 1 << 20);
    heard = stranger_read_all (socket);
    g_assert_cmpuint (heard->len, <, 4096);
    then_serve (&src);
  }
  for (i = 0; i < 3; i++) {
    Side src;
    g_autoptr (GSocket) socket = NULL;
    g_autoptr (GByteArray) heard = NULL;

    src_with_key (&src, 1000);
    socket = stranger_connect (STRANGER, side_port (&src));
    stranger_send (socket, hello->data, hello->len);
    if (i == 1)
      stranger_send (socket, garbage, 1 << 20);
    if (i == 2)
      stranger_send (socket, hello->data, hello->len);
    heard = stranger_read_all (socket);
    /* The server's half: keys and a certificate, and perhaps an alert. */
    g_assert_cmpuint (heard->len, <, 4096);
    then_serve (&src);
  }
  getrusage (RUSAGE_SELF, &after);
  g_assert_cmpint (after.ru_maxrss - before.ru_maxrss, <, 32 * 1024);
}

/* Records of a handshake that are true in form and never finish it. */
static void
test_max_handshake_bytes (void)
{
  g_autoptr (GByteArray) hello = make_client_hello ();
  g_autofree guint8 *record = g_malloc0 (5 + 1024);
  g_autofree char *path = keys_make ("home", 3600), *text = NULL;
  g_autoptr (GSocket) socket = NULL;
  Side src, sink;
  guint i;

  /* The change of cipher that TLS 1.3 has to ignore, again and again. */
  src_with_key (&src, 60000);
  socket = stranger_connect (STRANGER, side_port (&src));
  stranger_send (socket, hello->data, hello->len);
  for (i = 0; i < 1 << 20 && stranger_send (socket, "\x14\x03\x03\x00\x01\x01", 6) == 6; i++);
  g_assert_cmpuint (i, <, 1 << 20);
  then_serve (&src);

  src_with_key (&src, 60000);
  gst_element_set_state (src.element, GST_STATE_NULL);
  g_object_set (src.element, "max-handshake-bytes", hello->len + 100, NULL);
  gst_harness_play (src.harness);
  sink_make (&sink, side_port (&src));
  g_object_set (sink.element, "key", path, "reconnect-timeout", 0, NULL);
  sink_play (&sink, 2);
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "no working connection");
  side_clear (&sink);
  gst_element_set_state (src.element, GST_STATE_NULL);
  g_object_set (src.element, "max-handshake-bytes", 0, NULL);
  gst_harness_play (src.harness);
  then_serve (&src);
}

/* A hundred of one address, each in the middle of a handshake and with all the time in the world:
 * few of them stay, and the neighbour gets in. */
static void
test_crowd (void)
{
  g_autoptr (GByteArray) hello = make_client_hello ();
  GSocket *sockets[100];
  guint files = count_entries ("/proc/self/fd"), threads;
  Side src;
  guint i;

  src_with_key (&src, 600000);
  threads = count_entries ("/proc/self/task");
  for (i = 0; i < G_N_ELEMENTS (sockets); i++) {
    sockets[i] = stranger_connect (STRANGER, side_port (&src));
    if (i % 3 > 0)
      stranger_send (sockets[i], hello->data, i % 3 == 1 ? hello->len : hello->len / 2);
  }
  WAIT_UNTIL (count_entries ("/proc/self/fd") < files + G_N_ELEMENTS (sockets) + 60);
  /* 8 handshakes, and what GIO has anyway. */
  g_assert_cmpuint (count_entries ("/proc/self/task"), <=, threads + 8 + 3);
  then_serve (&src);
  for (i = 0; i < G_N_ELEMENTS (sockets); i++)
    g_object_unref (sockets[i]);
}

/* How many the server has said something to and not let go. */
static guint
count_answered (GSocket *const *sockets, guint n_sockets)
{
  guint i, n = 0;

  for (i = 0; i < n_sockets; i++)
    n += g_socket_condition_check (sockets[i], G_IO_IN | G_IO_HUP) == G_IO_IN;
  return n;
}

/* The element stops while strangers are in the middle of their handshakes. */
static void
test_stop_in_crowd (void)
{
  g_autoptr (GByteArray) hello = make_client_hello ();
  GSocket *sockets[20];
  Side src;
  guint i;

  src_with_key (&src, 600000);
  for (i = 0; i < G_N_ELEMENTS (sockets); i++) {
    sockets[i] = stranger_connect (STRANGER, side_port (&src));
    stranger_send (sockets[i], hello->data, hello->len);
  }
  /* Some handshakes are in the middle; others wait for them. */
  WAIT_UNTIL (count_answered (sockets, G_N_ELEMENTS (sockets)) >= 4);
  side_clear (&src);
  for (i = 0; i < G_N_ELEMENTS (sockets); i++)
    g_object_unref (sockets[i]);
}

/* A client of GnuTLS with the priorities given; what it read after its handshake, or an error below
 * 0. */
static int
gnutls_client (guint port, const char *priorities, const char *key)
{
  g_autoptr (GSocket) socket = stranger_connect (STRANGER, port);
  gnutls_certificate_credentials_t credentials;
  gnutls_session_t session;
  guint8 byte;
  int ret;

  gnutls_certificate_allocate_credentials (&credentials);
  if (key != NULL)
    g_assert_cmpint (gnutls_certificate_set_x509_key_file (credentials, key, key,
                                                           GNUTLS_X509_FMT_PEM), >=, 0);
  gnutls_init (&session, GNUTLS_CLIENT);
  g_assert_cmpint (gnutls_priority_set_direct (session, priorities, NULL), >=, 0);
  gnutls_credentials_set (session, GNUTLS_CRD_CERTIFICATE, credentials);
  gnutls_transport_set_int (session, g_socket_get_fd (socket));
  do
    ret = gnutls_handshake (session);
  while (ret < 0 && !gnutls_error_is_fatal (ret));
  if (ret >= 0)
    ret = gnutls_record_recv (session, &byte, 1);
  gnutls_deinit (session);
  gnutls_certificate_free_credentials (credentials);
  return ret;
}

/* The right key, but not in TLS 1.3. */
static void
test_old_tls (void)
{
  g_autofree char *path = keys_make ("home", 3600), *text = NULL;
  Side src;

  src_with_key (&src, 5000);
  g_assert_cmpint (gnutls_client (side_port (&src), "NORMAL:-VERS-ALL:+VERS-TLS1.2", path), <=,
                   0);
  text = wait_message (&src, GST_MESSAGE_WARNING);
  assert_contains (text, "speaks TLS 1.2; TLS 1.3 is needed");
  then_serve (&src);
}

/* Many with another key: each gets an alert and no byte, and people hear of one a second. */
static void
test_wrong_keys (void)
{
  g_autofree char *path = keys_make ("office", 3600);
  gint64 begin = g_get_monotonic_time ();
  guint i, n = 0;
  Side src;

  src_with_key (&src, 5000);
  for (i = 0; i < 20; i++)
    g_assert_cmpint (gnutls_client (side_port (&src), "NORMAL", i % 2 ? path : NULL), <, 0);
  for (;;) {
    g_autoptr (GstMessage) message = gst_bus_pop_filtered (src.bus, GST_MESSAGE_WARNING);

    if (message == NULL)
      break;
    n++;
  }
  g_assert_cmpuint (n, >=, 1);
  g_assert_cmpuint (n, <=, 2 + (g_get_monotonic_time () - begin) / G_USEC_PER_SEC);
  then_serve (&src);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/net/key-hostile/no-handshake", test_no_handshake);
  g_test_add_func ("/net/key-hostile/half-handshake", test_half_handshake);
  g_test_add_func ("/net/key-hostile/max-handshake-bytes", test_max_handshake_bytes);
  g_test_add_func ("/net/key-hostile/crowd", test_crowd);
  g_test_add_func ("/net/key-hostile/stop-in-crowd", test_stop_in_crowd);
  g_test_add_func ("/net/key-hostile/old-tls", test_old_tls);
  g_test_add_func ("/net/key-hostile/wrong-keys", test_wrong_keys);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
