/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The nodes that a device can use: real ones, ones that die, and ones that lie. */

#include "fake-node.h"
#include "node-harness.h"

#include "cluster/tandem-cluster-private.h"
#include "net/tandem-candidate-private.h"

#define DEVICE "00112233445566778899aabbccddeeff"

static char *folder;

static TandemCluster *
cluster_new (const char *format, ...)
{
  g_autofree char *nodes = NULL;
  g_autoptr (GError) error = NULL;
  TandemCluster *cluster;
  va_list args;

  va_start (args, format);
  nodes = g_strdup_vprintf (format, args);
  va_end (args);
  cluster = tandem_cluster_new (nodes, NULL, FALSE, &error);
  g_assert_no_error (error);
  tandem_cluster_start (cluster);
  return cluster;
}

static guint
count_usable (TandemCluster *cluster)
{
  g_autoptr (GPtrArray) members = tandem_cluster_dup_members (cluster);
  guint i, n = 0;

  for (i = 0; i < members->len; i++)
    n += ((TandemClusterMember *) members->pdata[i])->is_usable;
  return n;
}

static gboolean
prepare (TandemCluster *cluster, TandemModel *model, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  tandem_cluster_prepare_async (cluster, model, TANDEM_PRECISION_F32, 1, NULL, on_result, &result);
  return tandem_cluster_prepare_finish (cluster, wait_result (&result), error);
}

static TandemModel *
open_model (void)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *path = g_build_filename (folder, "model", NULL);
  g_autoptr (GError) error = NULL;
  TandemModel *model;

  spec.n_layers = 3;
  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    tandem_test_model_write (&spec, path);
  model = tandem_model_open (path, NULL, &error);
  g_assert_no_error (error);
  return model;
}

/* --- who is there --- */

/* One node, by two names and twice in the list, is one member; what is not there says why. */
static void
test_members (void)
{
  g_autoptr (TandemCluster) cluster = NULL;
  g_autoptr (GPtrArray) members = NULL;
  g_autoptr (GSocketListener) closed = g_socket_listener_new ();
  NodeProcess one = { 0 }, two = { 0 };
  TandemClusterMember *member;
  guint port = g_socket_listener_add_any_inet_port (closed, NULL, NULL);

  g_socket_listener_close (closed);
  node_start_with (&one, NULL, "--name=attic", NULL);
  node_start_with (&two, NULL, "--name=cellar", NULL);
  cluster = cluster_new ("127.0.0.1:%u,localhost:%u,127.0.0.1:%u,127.0.0.1:%u", one.port, one.port,
                         two.port, port);
  ITERATE_UNTIL (tandem_cluster_is_settled (cluster));
  members = tandem_cluster_dup_members (cluster);
  g_assert_cmpuint (members->len, ==, 3);
  g_assert_cmpuint (count_usable (cluster), ==, 2);
  member = members->pdata[members->len - 2];
  g_assert_cmpstr (member->name, ==, "cellar");
  g_assert_cmpstr (member->host, ==, "127.0.0.1");
  g_assert_cmpuint (member->port, ==, two.port);
  g_assert_true (member->is_listed);
  g_assert_nonnull (member->client);
  member = members->pdata[members->len - 1];
  g_assert_error (member->problem, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  g_assert_null (member->info);
  tandem_cluster_stop (cluster);
  node_stop (&two);
  node_stop (&one);
}

/* A member that dies leaves at once, and is there again when somebody answers. */
static void
test_death (void)
{
  g_autoptr (TandemCluster) cluster = NULL;
  g_autofree char *port = NULL;
  NodeProcess node = { 0 };

  node_start_with (&node, NULL, NULL);
  port = g_strdup_printf ("--port=%u", node.port);
  cluster = cluster_new ("127.0.0.1:%u", node.port);
  ITERATE_UNTIL (count_usable (cluster) == 1);
  {
    g_autoptr (GPtrArray) members = tandem_cluster_dup_members (cluster);
    TandemNodeClient *client = ((TandemClusterMember *) members->pdata[0])->client;

    /* Closed by somebody who has it, it is made anew. */
    tandem_node_client_close (client);
    ITERATE_UNTIL (count_usable (cluster) == 0);
    ITERATE_UNTIL (count_usable (cluster) == 1);
  }
  node_kill (&node);
  ITERATE_UNTIL (count_usable (cluster) == 0);
  {
    g_autoptr (GPtrArray) members = tandem_cluster_dup_members (cluster);

    g_assert_nonnull (((TandemClusterMember *) members->pdata[0])->problem);
    g_assert_null (((TandemClusterMember *) members->pdata[0])->client);
  }
  node_start_with (&node, NULL, port, NULL);
  ITERATE_UNTIL (count_usable (cluster) == 1);
  tandem_cluster_stop (cluster);
  node_stop (&node);
}

/* One that is stopped is noticed and keeps its connection. */
static void
test_silence (void)
{
  g_autoptr (TandemCluster) cluster = NULL;
  NodeProcess node = { 0 };
  gint64 begin;

  node_start_with (&node, NULL, NULL);
  cluster = cluster_new ("127.0.0.1:%u", node.port);
  ITERATE_UNTIL (count_usable (cluster) == 1);
  g_subprocess_send_signal (node.process, SIGSTOP);
  begin = g_get_monotonic_time ();
  ITERATE_UNTIL (count_usable (cluster) == 0);
  g_test_message ("noticed after %.2f s", (g_get_monotonic_time () - begin) / 1e6);
  {
    g_autoptr (GPtrArray) members = tandem_cluster_dup_members (cluster);
    TandemClusterMember *member = members->pdata[0];

    g_assert_error (member->problem, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT);
    g_assert_true (tandem_node_client_is_open (member->client));
  }
  g_subprocess_send_signal (node.process, SIGCONT);
  ITERATE_UNTIL (count_usable (cluster) == 1);
  tandem_cluster_stop (cluster);
  node_stop (&node);
}

static void
test_lists (void)
{
  static const char *const bad[] = { "no/host", "host:0", "a b", "@/nonexistent/list" };
  g_autofree char *path = g_build_filename (folder, "list", NULL);
  g_autofree char *at = g_strconcat ("@", path, NULL);
  g_autoptr (TandemCluster) cluster = NULL;
  g_autoptr (GPtrArray) members = NULL;
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_assert_null (tandem_cluster_new (bad[i], NULL, FALSE, &error));
    g_assert_nonnull (error);
    g_clear_error (&error);
  }
  g_file_set_contents (path, "127.0.0.1:1 # one\n127.0.0.2\n", -1, NULL);
  cluster = tandem_cluster_new (at, NULL, FALSE, &error);
  g_assert_no_error (error);
  tandem_cluster_start (cluster);
  members = tandem_cluster_dup_members (cluster);
  g_assert_cmpuint (members->len, ==, 2);
  g_assert_cmpuint (((TandemClusterMember *) members->pdata[1])->port, ==,
                    TANDEM_NODE_DEFAULT_PORT);
}

/* Without a list there are the environment and mDNS, whether there is a daemon or not. */
static void
test_environment (void)
{
  g_autoptr (TandemCluster) cluster = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  NodeProcess node = { 0 };

  node_start_with (&node, NULL, NULL);
  text = g_strdup_printf ("127.0.0.1:%u", node.port);
  g_setenv ("TANDEM_NODES", text, TRUE);
  g_setenv ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent", TRUE);
  cluster = tandem_cluster_new (NULL, NULL, FALSE, &error);
  g_assert_no_error (error);
  g_unsetenv ("TANDEM_NODES");
  tandem_cluster_start (cluster);
  ITERATE_UNTIL (tandem_cluster_is_settled (cluster) && count_usable (cluster) == 1);
  error = tandem_cluster_dup_problem (cluster);
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_NO_DISCOVERY);
  g_assert_nonnull (strstr (error->message, "TANDEM_NODES"));
  tandem_cluster_stop (cluster);
  node_stop (&node);
}

/* --- what is measured --- */

static void
test_prepare (void)
{
  g_autoptr (TandemCluster) cluster = NULL;
  g_autoptr (TandemModel) model = open_model ();
  g_autoptr (TandemPlacementProblem) problem = NULL;
  g_autoptr (TandemPlan) plan = NULL;
  g_autoptr (GPtrArray) members = NULL;
  g_autoptr (GError) error = NULL;
  TandemNetworkLink link;
  TandemBatchShape shape;
  NodeProcess nodes[2] = { { 0 } };
  guint i, j;

  node_start_with (&nodes[0], NULL, "--name=twin", "--threads=2", "--memory=64M", NULL);
  node_start_with (&nodes[1], NULL, "--name=twin", NULL);
  cluster = cluster_new ("127.0.0.1:%u,127.0.0.1:%u", nodes[0].port, nodes[1].port);
  tandem_batch_shape_init (&shape, 4, 16);
  g_assert_null (tandem_cluster_make_problem (cluster, model, TANDEM_PRECISION_F32, &shape,
                                              TANDEM_WIRE_FORMAT_F32, NULL, &error));
  g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_DEVICE);
  g_clear_error (&error);
  prepare (cluster, model, &error);
  g_assert_no_error (error);
  tandem_cluster_set_memory_limit (cluster, 32 << 20);
  problem = tandem_cluster_make_problem (cluster, model, TANDEM_PRECISION_F32, &shape,
                                         TANDEM_WIRE_FORMAT_F32 | TANDEM_WIRE_FORMAT_Q8, &members,
                                         &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tandem_placement_problem_get_n_devices (problem), ==, 3);
  g_assert_cmpuint (members->len, ==, 3);
  g_assert_null (members->pdata[0]);
  g_assert_cmpuint (tandem_placement_problem_get_device (problem, 0)->memory, ==, 32 << 20);
  g_assert_cmpuint (tandem_placement_problem_get_device (problem, 1)->memory, ==, 64 << 20);
  g_assert_cmpuint (tandem_placement_problem_get_device (problem, 1)->n_threads, ==, 2);
  g_assert_cmpstr (tandem_placement_problem_get_device (problem, 1)->name, ==, "twin");
  g_assert_true (g_str_has_prefix (tandem_placement_problem_get_device (problem, 2)->name,
                                   "twin (127.0.0.1:"));
  for (i = 0; i < 3; i++) {
    for (j = 0; j < 3; j++) {
      tandem_placement_problem_get_link (problem, i, j, &link);
      if (i != j)
        g_assert_cmpfloat (link.bandwidth, >, 1e6);
    }
  }
  plan = tandem_placement_problem_solve (problem, TANDEM_PLACEMENT_THROUGHPUT, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (plan->best->sequences_per_second, >, 0);

  /* A node that joins is measured; what was measured before stays as it was. */
  {
    TandemNetworkLink before, after;
    TandemClusterMember *member = members->pdata[1];

    g_assert_true (tandem_cluster_get_link (cluster, NULL, member->key, &before));
    prepare (cluster, model, &error);
    g_assert_no_error (error);
    g_assert_true (tandem_cluster_get_link (cluster, NULL, member->key, &after));
    g_assert_cmpfloat (before.bandwidth, ==, after.bandwidth);
  }
  tandem_cluster_stop (cluster);
  node_stop (&nodes[1]);
  node_stop (&nodes[0]);
}

/* With nobody else there is this device; cancelled or stopped in the middle it ends. */
static void
test_alone (void)
{
  g_autoptr (TandemCluster) cluster = cluster_new ("%s", "");
  g_autoptr (TandemModel) model = open_model ();
  g_autoptr (TandemPlacementProblem) problem = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL, stopped = NULL;
  g_autoptr (GError) error = NULL;
  TandemBatchShape shape;

  tandem_cluster_prepare_async (cluster, model, TANDEM_PRECISION_F32, 2, cancellable, on_result,
                                &result);
  g_cancellable_cancel (cancellable);
  g_assert_false (tandem_cluster_prepare_finish (cluster, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  prepare (cluster, model, &error);
  g_assert_no_error (error);
  tandem_batch_shape_init (&shape, 4, 16);
  problem = tandem_cluster_make_problem (cluster, model, TANDEM_PRECISION_F32, &shape,
                                         TANDEM_WIRE_FORMAT_F32, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tandem_placement_problem_get_n_devices (problem), ==, 1);
  tandem_cluster_prepare_async (cluster, model, TANDEM_PRECISION_F32, 2, NULL, on_result, &stopped);
  tandem_cluster_stop (cluster);
  g_assert_false (tandem_cluster_prepare_finish (cluster, wait_result (&stopped), &error));
}

/* --- nodes that lie --- */

#define INFO FAKE_NODE_INFO (DEVICE, "0011223344556677")
#define PROFILE(costs) \
  ",\"kept\":false,\"profile\":{\"version\":1,\"model\":\"" FAKE_NODE_DIGEST "\",\"layers\":3," \
  "\"processor\":\"fake\",\"cores\":1,\"library\":\"0.1\",\"threads\":1,\"precision\":\"f32\"," \
  "\"load\":1,\"seconds\":{" costs "},\"samples\":[]}"
#define ZERO "{\"fixed\":0}"

typedef struct
{
  const char *name, *describe, *receive, *profile;
  gboolean answers;             /* it is a member until it is measured */
} Lie;

static const Lie lies[] = {
  { "silent", NULL, "", "", FALSE },
  { "nonsense", ",\"device\":5", "", "", FALSE },
  { "leaves", "leave", "", "", FALSE },
  { "bytes", INFO, "take:,\"bytes\":1,\"seconds\":1e-9", "", TRUE },
  { "never-takes", INFO, NULL, "", TRUE },
  { "never-profiles", INFO, "honest", ",\"error\":{\"code\":\"memory\",\"message\":\"too little\"}",
    TRUE },
  { "infinitely-fast", INFO, "honest",
    PROFILE ("\"embeddings\":" ZERO ",\"layer\":" ZERO ",\"last_layer\":" ZERO), TRUE },
};

static void
test_lie (gconstpointer data)
{
  const Lie *lie = data;
  const FakeAnswer answers[] = { { "ping", "" }, { "cancel", "" }, { "describe", lie->describe },
                                 { "receive", lie->receive }, { "send", "honest" },
                                 { "profile", lie->profile },
                                 { NULL, NULL } };
  g_autoptr (TandemCluster) cluster = NULL;
  g_autoptr (TandemModel) model = open_model ();
  g_autoptr (TandemPlacementProblem) problem = NULL;
  g_autoptr (GPtrArray) members = NULL;
  g_autoptr (GError) error = NULL;
  TandemBatchShape shape;
  FakeNode fake = { 0 };
  NodeProcess node = { 0 };

  fake_start (&fake, answers);
  node_start_with (&node, NULL, NULL);
  cluster = cluster_new ("127.0.0.1:%u,127.0.0.1:%u", fake.port, node.port);
  ITERATE_UNTIL (tandem_cluster_is_settled (cluster));
  g_assert_cmpuint (count_usable (cluster), ==, lie->answers ? 2 : 1);
  prepare (cluster, model, &error);
  g_assert_no_error (error);
  members = tandem_cluster_dup_members (cluster);
  g_assert_false (((TandemClusterMember *) members->pdata[0])->is_usable);
  g_assert_nonnull (((TandemClusterMember *) members->pdata[0])->problem);
  g_test_message ("%s", ((TandemClusterMember *) members->pdata[0])->problem->message);
  g_assert_true (((TandemClusterMember *) members->pdata[1])->is_usable);
  tandem_batch_shape_init (&shape, 4, 16);
  problem = tandem_cluster_make_problem (cluster, model, TANDEM_PRECISION_F32, &shape,
                                         TANDEM_WIRE_FORMAT_F32, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tandem_placement_problem_get_n_devices (problem), ==, 2);
  tandem_cluster_stop (cluster);
  fake_stop (&fake);
  node_stop (&node);
}

/* --- strangers --- */

/* Somebody announces this address under this name. */
static void
announce (GPtrArray *candidates, const char *name, guint port)
{
  TandemCandidate *candidate = tandem_candidate_new (name, name, NULL, NULL);
  g_autoptr (GInetAddress) loopback = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new (loopback, port);

  tandem_candidate_add_address (candidate, G_INET_SOCKET_ADDRESS (address));
  g_ptr_array_add (candidates, candidate);
}

/* More than there are places for announce addresses where nobody is, or that of another node: a node
 * that comes behind them has its turn, and they stay no members. */
static void
test_strangers (gconstpointer data)
{
  gboolean aliases = GPOINTER_TO_INT (data);
  g_autoptr (GPtrArray) candidates = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) members = NULL;
  g_autoptr (TandemCluster) cluster = cluster_new ("%s", "");
  NodeProcess one = { 0 }, two = { 0 };
  guint i;

  node_start_with (&one, NULL, "--name=one", NULL);
  node_start_with (&two, NULL, "--name=two", NULL);
  if (!aliases)
    announce (candidates, "one", one.port);
  for (i = 0; i < TANDEM_CLUSTER_MAX_MEMBERS + 7; i++) {
    g_autofree char *name = g_strdup_printf ("stranger %u", i);

    announce (candidates, name, aliases ? one.port : 1);
  }
  announce (candidates, "two", two.port);
  tandem_cluster_take_candidates (cluster, candidates);
  ITERATE_UNTIL (count_usable (cluster) == 2);
  /* And who is known keeps its place through the turns of others. */
  tandem_cluster_take_candidates (cluster, candidates);
  g_assert_cmpuint (count_usable (cluster), ==, 2);
  members = tandem_cluster_dup_members (cluster);
  g_assert_cmpuint (members->len, <=, TANDEM_CLUSTER_MAX_MEMBERS);
  tandem_cluster_stop (cluster);
  node_stop (&one);
  node_stop (&two);
}

int
main (int argc, char **argv)
{
  guint i;
  int status;

  folder = tandem_test_make_folder ();
  g_setenv ("XDG_CACHE_HOME", folder, TRUE);
  g_setenv ("XDG_CONFIG_HOME", folder, TRUE);
  g_test_init (&argc, &argv, NULL);
  gst_init (NULL, NULL);
  tandem_init ();
  g_test_add_func ("/cluster/members", test_members);
  g_test_add_func ("/cluster/death", test_death);
  g_test_add_func ("/cluster/silence", test_silence);
  g_test_add_func ("/cluster/lists", test_lists);
  g_test_add_func ("/cluster/environment", test_environment);
  g_test_add_func ("/cluster/prepare", test_prepare);
  g_test_add_func ("/cluster/alone", test_alone);
  for (i = 0; i < G_N_ELEMENTS (lies); i++) {
    g_autofree char *path = g_strconcat ("/cluster/lies/", lies[i].name, NULL);

    g_test_add_data_func (path, &lies[i], test_lie);
  }
  g_test_add_data_func ("/cluster/strangers/nobody", GINT_TO_POINTER (FALSE), test_strangers);
  g_test_add_data_func ("/cluster/strangers/aliases", GINT_TO_POINTER (TRUE), test_strangers);
  status = g_test_run ();
  tandem_test_remove_folder (folder);
  return status;
}
