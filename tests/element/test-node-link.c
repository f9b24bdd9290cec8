/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Links between nodes that are measured; nodes that lie about them. */

#include "fake-node.h"
#include "node-harness.h"

static gboolean
measure_link (TandemNodeClient *client, TandemNetworkLink *out, TandemNetworkLink *in,
              GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  tandem_node_client_measure_link_async (client, NULL, on_result, &result);
  return tandem_node_client_measure_link_finish (client, wait_result (&result), out, in, error);
}

static gboolean
measure (TandemNodeClient *client, guint port, TandemNetworkLink *out, TandemNetworkLink *in,
         GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  tandem_node_client_measure_async (client, "127.0.0.1", port, NULL, on_result, &result);
  return tandem_node_client_measure_finish (client, wait_result (&result), out, in, error);
}

/* Loopback carries more than ten megabytes a second, and less than a terabyte. */
static void
check (const TandemNetworkLink *link)
{
  g_assert_cmpfloat (link->bandwidth, >, 1e7);
  g_assert_cmpfloat (link->bandwidth, <, 1e12);
  g_assert_cmpfloat (link->delay, >, 0);
  g_assert_cmpfloat (link->delay, <, 1);
}

static TandemNodeClient *
connect_node (NodeProcess *node)
{
  g_autoptr (TandemClusterKey) key = node_load_key ();
  g_autoptr (GError) error = NULL;
  TandemNodeClient *client = client_try (node->port, key, &error);

  g_assert_no_error (error);
  return client;
}

/* From here to a node, from a node to another one and, what is no different, to itself. */
static void
test_measure (void)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (TandemNodeInfo) info = NULL;
  g_autoptr (GError) error = NULL;
  NodeProcess one = { 0 }, two = { 0 };
  TandemNetworkLink out, in;
  gint64 now = g_get_real_time ();

  node_start_keyed (&one);
  node_start_keyed (&two);
  client = connect_node (&one);
  measure_link (client, &out, &in, &error);
  g_assert_no_error (error);
  check (&out);
  check (&in);
  measure (client, two.port, &out, &in, &error);
  g_assert_no_error (error);
  check (&out);
  check (&in);
  info = client_describe (client);
  g_assert_cmpint (info->time, >=, now);
  g_assert_cmpint (info->time, <=, g_get_real_time ());
  g_assert_cmpstr (info->protocol, ==, "1.3");
  node_stop (&two);
  node_stop (&one);
}

/* Nobody is there, or somebody who is no node; then all goes on. */
static void
test_unreachable (void)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (GError) error = NULL;
  NodeProcess one = { 0 }, two = { 0 };
  TandemNetworkLink out, in;
  guint port;

  node_start_keyed (&one);
  node_start_keyed (&two);
  port = two.port;
  node_stop (&two);
  client = connect_node (&one);
  g_assert_false (measure (client, port, &out, &in, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_FAILED);
  g_clear_error (&error);
  g_assert_true (measure_link (client, &out, &in, &error));
  g_assert_no_error (error);
  node_stop (&one);
}

/* A node that is measured by one client is busy for others, also while it measures by itself. */
static void
test_busy (void)
{
  g_autoptr (TandemNodeClient) client = NULL, other = NULL;
  g_autoptr (GAsyncResult) held = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  const FakeAnswer silent[] = { { "ping", "" }, { "receive", NULL }, { NULL, NULL } };
  FakeNode fake = { 0 };
  NodeProcess node = { 0 };
  TandemNetworkLink out, in;

  node_start_with (&node, NULL, NULL);
  fake_start (&fake, silent);
  client = client_new (&node);
  other = client_new (&node);
  tandem_node_client_measure_async (client, "127.0.0.1", fake.port, cancellable, on_result, &held);
  /* A ping to begin with, eight to measure the delay, and the data that is never taken. */
  while (g_atomic_int_get (&fake.n_requests) < 10) {
    g_autoptr (TandemNodeInfo) info = client_describe (other);

    g_assert_null (held);
  }
  g_assert_false (measure_link (other, &out, &in, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY);
  g_cancellable_cancel (cancellable);
  do {
    g_clear_error (&error);
    measure_link (other, &out, &in, &error);
  } while (g_error_matches (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY));
  g_assert_no_error (error);
  wait_result (&held);
  fake_stop (&fake);
  node_stop (&node);
}

/* Who cancels, or leaves, in the middle of it holds nobody up. */
static void
test_cancelled (void)
{
  g_autoptr (TandemNodeClient) client = NULL, other = NULL;
  g_autoptr (GError) error = NULL;
  NodeProcess node = { 0 };
  TandemNetworkLink out, in;
  guint i;

  node_start_keyed (&node);
  client = connect_node (&node);
  other = connect_node (&node);
  for (i = 0; i < 20; i++) {
    g_autoptr (GCancellable) cancellable = g_cancellable_new ();
    g_autoptr (GAsyncResult) result = NULL;

    tandem_node_client_measure_link_async (client, cancellable, on_result, &result);
    if (i % 2 == 0) {
      g_autoptr (TandemNodeInfo) info = client_describe (other);

      g_assert_nonnull (info);
    }
    g_cancellable_cancel (cancellable);
    wait_result (&result);
  }
  {
    g_autoptr (GAsyncResult) result = NULL;

    tandem_node_client_measure_link_async (client, NULL, on_result, &result);
    tandem_node_client_close (client);
    g_assert_false (tandem_node_client_measure_link_finish (client, wait_result (&result), NULL,
                                                            NULL, &error));
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  }
  do {
    g_clear_error (&error);
    measure_link (other, &out, &in, &error);
  } while (g_error_matches (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY));
  g_assert_no_error (error);
  check (&out);
  node_stop (&node);
}

static gboolean
reach (TandemNodeClient *client, const char *host, guint port, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  tandem_node_client_reach_async (client, host, port, NULL, on_result, &result);
  return tandem_node_client_reach_finish (client, wait_result (&result), error);
}

static void
test_reach (void)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  g_autoptr (GError) error = NULL;
  NodeProcess node = { 0 };
  guint port;

  node_start_keyed (&node);
  client = connect_node (&node);
  port = g_socket_listener_add_any_inet_port (listener, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (reach (client, NULL, port, &error));
  g_assert_no_error (error);
  g_assert_true (reach (client, "127.0.0.1", port, &error));
  g_socket_listener_close (listener);
  g_assert_false (reach (client, NULL, port, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_FAILED);
  g_clear_error (&error);
  g_assert_false (reach (client, "no/host", port, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_INVALID);
  node_stop (&node);
}

/* --- nodes that lie --- */

typedef struct
{
  const char *name, *receive, *send;
  GQuark (*domain) (void);
  int code;
} Lie;

static GQuark
net_error (void)
{
  return TANDEM_NET_ERROR;
}

static const Lie lies[] = {
  { "at-once", ",\"bytes\":49152,\"seconds\":1e-9", "", net_error, TANDEM_NET_ERROR_PROTOCOL },
  { "too-many-bytes", "take:,\"bytes\":67108864,\"seconds\":1e-9", "", net_error,
    TANDEM_NET_ERROR_PROTOCOL },
  { "too-long", "take:,\"bytes\":49152,\"seconds\":1e9", "", net_error,
    TANDEM_NET_ERROR_PROTOCOL },
  { "negative", "take:,\"bytes\":49152,\"seconds\":-1", "", tandem_place_error_quark,
    TANDEM_PLACE_ERROR_FILE },
  { "no-seconds", "take:,\"bytes\":49152", "", tandem_place_error_quark, TANDEM_PLACE_ERROR_FILE },
  { "no-data", "take:,\"bytes\":49152,\"seconds\":0", "", net_error, TANDEM_NET_ERROR_PROTOCOL },
  { "flood", "take:,\"bytes\":49152,\"seconds\":0", "flood", net_error,
    TANDEM_NET_ERROR_PROTOCOL },
  { "leaves", "leave", "", net_error, TANDEM_NET_ERROR_CLOSED },
  { "old", ",\"error\":{\"code\":\"unknown\",\"message\":\"what?\"}", "", tandem_node_error_quark,
    TANDEM_NODE_ERROR_UNKNOWN },
};

static void
test_lie (gconstpointer data)
{
  const Lie *lie = data;
  const FakeAnswer answers[] = { { "ping", "" }, { "cancel", "" }, { "receive", lie->receive },
                                 { "send", lie->send }, { NULL, NULL } };
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (GError) error = NULL;
  TandemNetworkLink out, in;
  FakeNode fake = { 0 };

  fake_start (&fake, answers);
  client = client_try (fake.port, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (measure_link (client, &out, &in, &error));
  g_assert_error (error, lie->domain (), lie->code);
  tandem_node_client_close (client);
  fake_stop (&fake);
}

int
main (int argc, char **argv)
{
  guint i;

  g_test_init (&argc, &argv, NULL);
  gst_init (NULL, NULL);
  tandem_init ();
  g_test_add_func ("/node/link/measure", test_measure);
  g_test_add_func ("/node/link/unreachable", test_unreachable);
  g_test_add_func ("/node/link/cancelled", test_cancelled);
  g_test_add_func ("/node/link/reach", test_reach);
  if (g_getenv ("TANDEM_TEST_KEY") != NULL)
    return g_test_run ();
  g_test_add_func ("/node/link/busy", test_busy);
  for (i = 0; i < G_N_ELEMENTS (lies); i++) {
    g_autofree char *path = g_strconcat ("/node/link/lies/", lies[i].name, NULL);

    g_test_add_data_func (path, &lies[i], test_lie);
  }
  return g_test_run ();
}
