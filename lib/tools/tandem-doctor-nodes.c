/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The other devices: which are seen, whether they can be used, and if not, why. */

#include "config.h"

#include "tandem-doctor-report.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* What is less makes no stage of any use. */
#define LITTLE_MEMORY (G_GUINT64_CONSTANT (64) << 20)
#define CLOCK_SECONDS 60
#define SETTLE_MS 5000
#define CONNECT_SECONDS 2
#define MEASURE_TRIES 5

/* --- why a node cannot be used --- */

static const char *
get_advice (const GError *problem)
{
  if (problem->domain == TANDEM_NET_ERROR) {
    switch (problem->code) {
      case TANDEM_NET_ERROR_KEY:
        return _("Copy the same cluster key file to both devices (\"tandem key show\" compares the "
                 "fingerprints).");
      case TANDEM_NET_ERROR_INSECURE:
        return _("Give both devices the same cluster key; see \"tandem key new\".");
      case TANDEM_NET_ERROR_VERSION:
        return _("Install the same version of Tandem on both devices.");
      case TANDEM_NET_ERROR_NOT_TANDEM:
      case TANDEM_NET_ERROR_PROTOCOL:
        return _("Something else answers at this port: look at the address, and at what listens "
                 "there.");
      default:
        return _("Look whether \"tandem node\" runs there, and whether a firewall lets TCP to its "
                 "port through.");
    }
  }
  if (g_error_matches (problem, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY))
    return _("It serves as many as it may already; wait, or stop another program that uses it.");
  if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    return _("The device is there, and nothing listens at the port: start \"tandem node\" there, "
             "with an --address that others reach.");
  if (problem->domain == G_RESOLVER_ERROR)
    return _("The name is not known: look for a mistake, or use the address.");
  return _("Look whether the device is switched on and on the same network, and whether a firewall "
           "lets TCP to its port through.");
}

static TandemDoctorFinding *
add (TandemDoctor *doctor, TandemDoctorLevel level, const TandemClusterMember *member, char *text,
     const char *advice)
{
  return tandem_doctor_add (doctor, level, "node", member->name, text, advice);
}

/* --- what a node is asked for --- */

static void
examine_clock (TandemDoctor *doctor, const TandemClusterMember *member)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (TandemNodeInfo) info = NULL;
  gint64 before = g_get_real_time (), after;
  double off;

  tandem_node_client_describe_async (member->client, doctor->cancellable, tandem_doctor_take,
                                     &result);
  info = tandem_node_client_describe_finish (member->client, tandem_doctor_wait (&result), NULL);
  after = g_get_real_time ();
  if (info == NULL || info->time == 0)
    return;
  off = (info->time - (before + after) / 2) / 1e6;
  if (off > CLOCK_SECONDS || off < -CLOCK_SECONDS)
    add (doctor, TANDEM_DOCTOR_PROBLEM, member,
         g_strdup_printf (off > 0
                          ? _("its clock is %.0f s ahead of this one; keys expire by the clock")
                          : _("its clock is %.0f s behind this one; keys expire by the clock"),
                          off > 0 ? off : -off),
         _("Set the clocks of both devices, for good with \"timedatectl set-ntp true\"."));
}

static GSocket *
listen_for (const TandemClusterMember *member, guint16 *port, GError **error)
{
  GSocketFamily family = strchr (member->host, ':') != NULL ? G_SOCKET_FAMILY_IPV6
                                                            : G_SOCKET_FAMILY_IPV4;
  g_autoptr (GInetAddress) any = g_inet_address_new_any (family);
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new (any, 0), local = NULL;
  g_autoptr (GSocket) socket =
      g_socket_new (family, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, error);

  if (socket == NULL || !g_socket_bind (socket, address, FALSE, error) ||
      !g_socket_listen (socket, error) ||
      (local = g_socket_get_local_address (socket, error)) == NULL)
    return NULL;
  *port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (local));
  return g_steal_pointer (&socket);
}

/* Results come by connections that nodes make. A node that says that it connected may have reached
 * somebody else who has this address there. */
static void
examine_way_back (TandemDoctor *doctor, const TandemClusterMember *member)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  guint16 port = 0;
  g_autoptr (GSocket) socket = listen_for (member, &port, &error);

  if (socket != NULL) {
    tandem_node_client_reach_async (member->client, NULL, port, doctor->cancellable,
                                    tandem_doctor_take, &result);
    if (tandem_node_client_reach_finish (member->client, tandem_doctor_wait (&result), &error))
      g_socket_condition_timed_wait (socket, G_IO_IN, G_USEC_PER_SEC, doctor->cancellable, &error);
  }
  if (error == NULL || g_error_matches (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_UNKNOWN))
    return;
  add (doctor, TANDEM_DOCTOR_PROBLEM, member,
       g_strdup_printf (_("it cannot connect to this device (%s): results would not come back"),
                        error->message),
       _("Let this device's firewall pass TCP from the local network."));
}

static gboolean
on_wake (gpointer data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

static void
wait_ms (guint ms)
{
  g_autoptr (GSource) timeout = g_timeout_source_new (ms);
  gboolean is_over = FALSE;

  g_source_set_callback (timeout, on_wake, &is_over, NULL);
  g_source_attach (timeout, NULL);
  while (!is_over)
    g_main_context_iteration (NULL, TRUE);
}

static gboolean
measure (TandemDoctor *doctor, const TandemClusterMember *member, TandemNetworkLink *out,
         TandemNetworkLink *in, GError **error)
{
  guint i;

  for (i = 0; i < MEASURE_TRIES; i++) {
    g_autoptr (GAsyncResult) result = NULL;

    g_clear_error (error);
    tandem_node_client_measure_link_async (member->client, doctor->cancellable,
                                           tandem_doctor_take, &result);
    if (tandem_node_client_measure_link_finish (member->client, tandem_doctor_wait (&result), out,
                                                in, error))
      return TRUE;
    if (!g_error_matches (*error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY))
      return FALSE;
    wait_ms (100);
  }
  return FALSE;
}

static void
examine_link (TandemDoctor *doctor, const TandemClusterMember *member, JsonObject *details)
{
  TandemNetworkLink out, in;
  g_autoptr (GError) error = NULL;

  if (!measure (doctor, member, &out, &in, &error)) {
    add (doctor, TANDEM_DOCTOR_NOTE, member,
         g_strdup_printf (_("the link was not measured: %s"), error->message), NULL);
    return;
  }
  json_object_set_double_member (details, "bandwidth_out", out.bandwidth);
  json_object_set_double_member (details, "bandwidth_in", in.bandwidth);
  json_object_set_double_member (details, "delay", out.delay);
  add (doctor, TANDEM_DOCTOR_OK, member,
       g_strdup_printf (_("%.1f Mbit/s there, %.1f Mbit/s back, %.2f ms of delay"),
                        out.bandwidth * 8e-6, in.bandwidth * 8e-6, out.delay * 1e3), NULL);
}

/* --- nodes --- */

static TandemDoctorFinding *
describe (TandemDoctor *doctor, const TandemClusterMember *member)
{
  const TandemNodeInfo *info = member->info;
  guint64 left = info->memory_limit == 0 ? info->memory_available
      : info->memory_limit - MIN (info->memory_limit, info->memory_used);
  g_autofree char *memory = g_format_size (left);
  gboolean is_little = left < LITTLE_MEMORY;

  return add (doctor, is_little ? TANDEM_DOCTOR_PROBLEM : TANDEM_DOCTOR_OK, member,
              g_strdup_printf (is_little
                               ? _("%s port %u, too little memory is left: %s of it, %u threads")
                               : _("%s port %u, can be used: %s of memory left, %u threads"),
                               member->host, (guint) member->port, memory, info->n_threads),
              is_little ? _("Give it more with \"tandem node --memory\", or stop other programs "
                            "there.") : NULL);
}

static void
examine_versions (TandemDoctor *doctor, const TandemClusterMember *member)
{
  if (!g_str_equal (member->info->library, tandem_version ()))
    add (doctor, TANDEM_DOCTOR_NOTE, member,
         g_strdup_printf (_("it has version %s of Tandem, this device %s"), member->info->library,
                          tandem_version ()),
         _("That can work; the same version on all devices is better."));
}

static void
examine_twins (TandemDoctor *doctor, GPtrArray *members, guint index)
{
  const TandemClusterMember *member = members->pdata[index];
  guint i;

  for (i = 0; i < index; i++) {
    const TandemClusterMember *other = members->pdata[i];

    if (other->info == NULL || !g_str_equal (other->info->device, member->info->device))
      continue;
    if (g_str_equal (other->host, member->host))
      add (doctor, TANDEM_DOCTOR_NOTE, member,
           g_strdup_printf (_("is the same device as %s port %u: the two share its processor"),
                            other->name, (guint) other->port), NULL);
    else
      add (doctor, TANDEM_DOCTOR_NOTE, member,
           g_strdup_printf (_("has the same machine id as %s: one is a clone of the other"),
                            other->name),
           _("Give each machine an /etc/machine-id of its own (systemd-machine-id-setup)."));
    return;
  }
}

static void
examine_node (TandemDoctor *doctor, GPtrArray *members, guint index)
{
  const TandemClusterMember *member = members->pdata[index];
  TandemDoctorFinding *finding;

  if (member->problem != NULL) {
    finding = add (doctor, TANDEM_DOCTOR_PROBLEM, member, g_strdup (member->problem->message),
                   get_advice (member->problem));
  } else if (member->info == NULL || member->client == NULL) {
    finding = add (doctor, TANDEM_DOCTOR_PROBLEM, member, g_strdup (_("has not answered")),
                   _("Look whether \"tandem node\" runs there."));
  } else {
    finding = describe (doctor, member);
  }
  finding->details = json_object_new ();
  json_object_set_string_member (finding->details, "host", member->host);
  json_object_set_int_member (finding->details, "port", member->port);
  json_object_set_boolean_member (finding->details, "usable", member->is_usable);
  if (!member->is_usable || member->client == NULL)
    return;
  json_object_set_string_member (finding->details, "device", member->info->device);
  json_object_set_string_member (finding->details, "library", member->info->library);
  json_object_set_string_member (finding->details, "protocol", member->info->protocol);
  examine_versions (doctor, member);
  examine_twins (doctor, members, index);
  examine_clock (doctor, member);
  examine_way_back (doctor, member);
  if (doctor->measures)
    examine_link (doctor, member, finding->details);
}

/* --- stages --- */

static void
examine_stage (TandemDoctor *doctor, TandemCandidate *candidate)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GError) error = NULL;
  const GError *problem = tandem_candidate_get_problem (candidate);
  const char *name = tandem_candidate_get_name (candidate);
  g_autofree char *host = tandem_candidate_get_host (candidate);

  if (problem != NULL) {
    tandem_doctor_add (doctor, TANDEM_DOCTOR_PROBLEM, "stage", name, g_strdup (problem->message),
                       _("Install the same version of Tandem on both devices."));
    return;
  }
  g_socket_client_set_timeout (client, CONNECT_SECONDS);
  g_socket_client_set_enable_proxy (client, FALSE);
  connection = g_socket_client_connect (client, G_SOCKET_CONNECTABLE (candidate),
                                        doctor->cancellable, &error);
  if (connection != NULL)
    tandem_doctor_add (doctor, TANDEM_DOCTOR_OK, "stage", name,
                       g_strdup_printf (_("%s port %u, takes connections"), host,
                                        (guint) tandem_candidate_get_port (candidate)), NULL);
  else
    tandem_doctor_add (doctor, TANDEM_DOCTOR_PROBLEM, "stage", name,
                       g_strdup_printf (_("%s port %u cannot be reached: %s"), host,
                                        (guint) tandem_candidate_get_port (candidate),
                                        error->message), get_advice (error));
}

/* --- all of them --- */

/* Until all had time to answer. */
static void
settle (TandemDoctor *doctor, TandemCluster *cluster)
{
  gboolean is_late = FALSE;
  g_autoptr (GSource) timeout = g_timeout_source_new (SETTLE_MS);
  g_autoptr (GSource) cancelled = g_cancellable_source_new (doctor->cancellable);

  g_source_set_callback (timeout, on_wake, &is_late, NULL);
  g_source_attach (timeout, NULL);
  g_source_set_dummy_callback (cancelled);
  g_source_attach (cancelled, NULL);
  while (!is_late && !tandem_cluster_is_settled (cluster) &&
         !g_cancellable_is_cancelled (doctor->cancellable))
    g_main_context_iteration (NULL, TRUE);
  g_source_destroy (timeout);
  g_source_destroy (cancelled);
}

void
tandem_doctor_examine_nodes (TandemDoctor *doctor)
{
  g_autoptr (TandemCluster) cluster = NULL;
  g_autoptr (TandemDiscovery) stages = NULL;
  g_autoptr (GPtrArray) members = NULL, candidates = NULL;
  g_autoptr (GError) error = NULL;
  guint i;

  cluster = tandem_cluster_new (doctor->nodes, doctor->key, doctor->insecure, &error);
  if (cluster == NULL) {
    tandem_doctor_add (doctor, TANDEM_DOCTOR_PROBLEM, "discovery", _("list of nodes"),
                       g_strdup (error->message), _("Correct it."));
    return;
  }
  if (doctor->nodes == NULL) {
    stages = tandem_discovery_new (NULL, &error);
    if (stages == NULL)
      tandem_doctor_add (doctor, TANDEM_DOCTOR_PROBLEM, "discovery", _("list of stages"),
                         g_strdup (error->message), _("Correct it."));
    else
      tandem_discovery_start (stages);
  }
  tandem_doctor_progress (doctor, _("looking for devices…"));
  tandem_cluster_start (cluster);
  settle (doctor, cluster);
  members = tandem_cluster_dup_members (cluster);
  if (members->len == 0)
    tandem_doctor_add (doctor, TANDEM_DOCTOR_PROBLEM, "node", _("none"),
                       g_strdup (_("no node was found, and none is listed")),
                       _("Start \"tandem node --address=0.0.0.0\" on another device of this "
                         "network, or list it in TANDEM_NODES."));
  if (doctor->measures && members->len > 0)
    tandem_doctor_progress (doctor, _("measuring links…"));
  for (i = 0; i < members->len && !g_cancellable_is_cancelled (doctor->cancellable); i++)
    examine_node (doctor, members, i);
  if (stages != NULL) {
    candidates = tandem_discovery_get_candidates (stages);
    for (i = 0; i < candidates->len && !g_cancellable_is_cancelled (doctor->cancellable); i++)
      examine_stage (doctor, candidates->pdata[i]);
    tandem_discovery_stop (stages);
  }
  tandem_cluster_stop (cluster);
}
