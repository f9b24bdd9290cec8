/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two sides whose keys do not fit: what each of them says. */

#include "net-harness.h"

/* What a side has: "" for no key, or the name of one. */
static void
set_key (Side *side, const char *name)
{
  g_autofree char *path = NULL;

  if (name[0] == '\0')
    return;
  path = keys_make (name, 3600);
  g_object_set (side->element, "key", path, NULL);
}

static void
src_with_key (Side *src, const char *name)
{
  src_make (src);
  set_key (src, name);
  gst_harness_play (src->harness);
}

static void
sink_with_key (Side *sink, guint port, const char *name)
{
  sink_make (sink, port);
  set_key (sink, name);
  sink_play (sink, 2);
}

/* After whatever happened a proper neighbour is served. */
static void
then_serve (Side *src, const char *name)
{
  Side sink;

  assert_no_message (src, GST_MESSAGE_ERROR);
  sink_with_key (&sink, side_port (src), name);
  run_stream (src, &sink, 0, 5);
  side_clear (&sink);
  side_clear (src);
}

static void
test_same_key (void)
{
  Side src;

  src_with_key (&src, "home");
  then_serve (&src, "home");
}

typedef struct
{
  const char *name, *src, *sink;        /* keys */
  const char *src_says, *sink_says;
} Case;

/* Names and fingerprints are in what both say, where both can know them. */
static const Case cases[] = {
  { "other", "home", "office", "another cluster key, \"office\" (",
    "another cluster key, \"home\" (" },
  { "plain-sink", "home", "", "does not protect its connection", "give both the key" },
  { "plain-src", "", "home", "with a cluster key; this device has none",
    "does not protect its connections" },
};

static void
test_case (gconstpointer data)
{
  const Case *c = data;
  g_autofree char *src_text = NULL, *sink_text = NULL;
  Side src, sink;

  src_with_key (&src, c->src);
  sink_with_key (&sink, side_port (&src), c->sink);
  sink_text = wait_message (&sink, GST_MESSAGE_ERROR);
  src_text = wait_message (&src, GST_MESSAGE_WARNING);
  assert_contains (sink_text, c->sink_says);
  assert_contains (src_text, c->src_says);
  assert_contains (src_text, "127.0.0.1:");
  assert_contains (sink_text, "127.0.0.1:");
  if (g_str_equal (c->name, "other")) {
    assert_contains (src_text, "this device has \"home\" (");
    assert_contains (sink_text, "this device has \"office\" (");
  }
  side_clear (&sink);
  then_serve (&src, c->src);
}

static void
assert_start_fails (const char *element, const char *property, const char *path,
                    const char *says, const char *also)
{
  Side side;
  g_autofree char *text = NULL;

  side_init (&side, gst_element_factory_make (element, NULL));
  g_object_set (side.element, "port", g_str_equal (element, "tcpactsrc") ? 0 : 9, property, path,
                NULL);
  if (also != NULL)
    gst_util_set_object_arg (G_OBJECT (side.element), also, "true");
  g_assert_cmpint (gst_element_set_state (side.element, GST_STATE_PAUSED), ==,
                   GST_STATE_CHANGE_FAILURE);
  text = wait_message (&side, GST_MESSAGE_ERROR);
  assert_contains (text, says);
  gst_element_set_state (side.element, GST_STATE_NULL);
  gst_element_set_bus (side.element, NULL);
  gst_object_unref (side.element);
  gst_object_unref (side.bus);
}

/* Keys that are of no use are found before anybody listens or connects, on either side. */
static void
test_unusable (void)
{
  static const char *const elements[] = { "tcpactsrc", "tcpactsink" };
  g_autofree char *missing = keys_path ("missing"), *open = keys_make ("open", 3600);
  g_autofree char *expired = keys_make ("expired", -60), *home = keys_make ("home", 3600);
  guint i;

  g_chmod (open, 0644);
  for (i = 0; i < G_N_ELEMENTS (elements); i++) {
    assert_start_fails (elements[i], "key", missing, "There is no cluster key", NULL);
    assert_start_fails (elements[i], "key", open, "mode 0644", NULL);
    assert_start_fails (elements[i], "key", expired, "\"expired\"", NULL);
    assert_start_fails (elements[i], "key", expired, "expired on", NULL);
    assert_start_fails (elements[i], "key", home, "exclude each other", "insecure");
  }
}

/* Beyond loopback the default key is taken; without one there is no listening. */
static void
test_default_key (void)
{
  g_autofree char *home = keys_make ("home", 3600), *expired = NULL;
  Side src;

  assert_start_fails ("tcpactsrc", "address", "0.0.0.0", "tandem key new", NULL);
  expired = keys_make ("expired", -60);
  g_setenv ("TANDEM_KEY", expired, TRUE);
  assert_start_fails ("tcpactsrc", "address", "0.0.0.0", "expired on", NULL);
  g_setenv ("TANDEM_KEY", home, TRUE);
  src_make (&src);
  g_object_set (src.element, "address", "0.0.0.0", NULL);
  gst_harness_play (src.harness);
  then_serve (&src, "home");

  /* On loopback the default key is nobody's business. */
  src_with_key (&src, "");
  then_serve (&src, "");
}

/* An address of this device that is not loopback, or NULL. */
static char *
find_own_address (void)
{
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_DATAGRAM,
                                             G_SOCKET_PROTOCOL_UDP, NULL);
  g_autoptr (GSocketAddress) far = g_inet_socket_address_new_from_string ("192.0.2.1", 9);
  g_autoptr (GSocketAddress) own = NULL;

  /* Connecting sends nothing; it only asks for the route. */
  if (socket == NULL || !g_socket_connect (socket, far, NULL, NULL))
    return NULL;
  own = g_socket_get_local_address (socket, NULL);
  return g_inet_address_to_string (
      g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (own)));
}

/* A sender that could be overheard says nothing without a key. */
static void
test_sink_beyond_loopback (void)
{
  g_autofree char *own = find_own_address (), *home = keys_make ("home", 3600), *text = NULL;
  g_autofree char *none = keys_path ("none");
  Side src, sink;

  if (own == NULL) {
    g_test_skip ("this device has no address but those of loopback");
    return;
  }
  g_setenv ("TANDEM_KEY", none, TRUE);
  src_make (&src);
  g_object_set (src.element, "address", "0.0.0.0", "insecure", TRUE, NULL);
  gst_harness_play (src.harness);
  sink_make (&sink, side_port (&src));
  g_object_set (sink.element, "host", own, NULL);
  sink_play (&sink, 2);
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "nothing protects the connection");
  side_clear (&sink);

  sink_make (&sink, side_port (&src));
  g_object_set (sink.element, "host", own, "insecure", TRUE, NULL);
  sink_play (&sink, 2);
  run_stream (&src, &sink, 0, 3);
  side_clear (&sink);
  side_clear (&src);

  g_setenv ("TANDEM_KEY", home, TRUE);
  src_make (&src);
  g_object_set (src.element, "address", "0.0.0.0", NULL);
  gst_harness_play (src.harness);
  sink_make (&sink, side_port (&src));
  g_object_set (sink.element, "host", own, NULL);
  sink_play (&sink, 2);
  run_stream (&src, &sink, 0, 3);
  side_clear (&sink);
  side_clear (&src);
}

static gboolean
accept_any (GTlsConnection *connection, GTlsCertificate *certificate, GTlsCertificateFlags flags,
            gpointer user_data)
{
  return TRUE;
}

/* A neighbour that speaks TLS and shows `certificate`, by GIO alone. Returns what it read. */
static gssize
stranger_connects (guint port, GTlsCertificate *certificate, GError **error)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection =
      g_socket_client_connect_to_host (client, "127.0.0.1", port, NULL, NULL);
  g_autoptr (GIOStream) tls = NULL;
  guint8 byte;

  g_assert_nonnull (connection);
  tls = g_tls_client_connection_new (G_IO_STREAM (connection), NULL, NULL);
  g_signal_connect (tls, "accept-certificate", G_CALLBACK (accept_any), NULL);
  if (certificate != NULL)
    g_tls_connection_set_certificate (G_TLS_CONNECTION (tls), certificate);
  if (!g_tls_connection_handshake (G_TLS_CONNECTION (tls), NULL, error))
    return -1;
  return g_input_stream_read (g_io_stream_get_input_stream (tls), &byte, 1, NULL, error);
}

/* By the clock of the listening device the key expires while it listens. */
static void
test_expires_while_listening (void)
{
  g_autofree char *path = keys_make ("short", 2), *text = NULL;
  g_autoptr (TandemClusterKey) key = tandem_cluster_key_load (path, NULL);
  g_autoptr (GError) error = NULL;
  Side src;

  src_make (&src);
  g_object_set (src.element, "key", path, NULL);
  gst_harness_play (src.harness);
  WAIT_UNTIL (!tandem_cluster_key_check_validity (key, NULL));
  g_assert_cmpint (
      stranger_connects (side_port (&src), tandem_cluster_key_get_certificate (key), &error), ==,
      -1);
  g_assert_nonnull (error);
  text = wait_message (&src, GST_MESSAGE_WARNING);
  assert_contains (text, "\"short\"");
  assert_contains (text, "expired on");
  assert_no_message (&src, GST_MESSAGE_ERROR);
  side_clear (&src);
}

/* Whoever shows no certificate gets an alert. */
static void
test_no_certificate (void)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  Side src;

  src_with_key (&src, "home");
  g_assert_cmpint (stranger_connects (side_port (&src), NULL, &error), ==, -1);
  g_assert_nonnull (error);
  text = wait_message (&src, GST_MESSAGE_WARNING);
  assert_contains (text, "has no cluster key; this device has \"home\" (");
  then_serve (&src, "home");
}

int
main (int argc, char **argv)
{
  int status;
  guint i;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/net/key/same", test_same_key);
  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_strdup_printf ("/net/key/%s", cases[i].name);

    g_test_add_data_func (path, &cases[i], test_case);
  }
  g_test_add_func ("/net/key/unusable", test_unusable);
  g_test_add_func ("/net/key/default", test_default_key);
  g_test_add_func ("/net/key/sink-beyond-loopback", test_sink_beyond_loopback);
  g_test_add_func ("/net/key/expires-while-listening", test_expires_while_listening);
  g_test_add_func ("/net/key/no-certificate", test_no_certificate);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
