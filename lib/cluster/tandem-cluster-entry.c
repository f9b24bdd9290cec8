/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The connection to one node: it is made, asked who is there, kept, watched, and made again. */

#include "config.h"

#include "tandem-cluster-private.h"

#include <glib/gi18n-lib.h>

#include "base/tandem-source-private.h"
#include "net/tandem-device-id.h"
#include "net/tandem-net-error.h"
#include "net/tandem-net-private.h"

/* Connecting, showing the key and describing. */
#define TRYING_MS 3000
#define RETRY_MIN_MS 250
#define RETRY_MAX_MS 30000
/* A node that says nothing is noticed within two seconds. */
#define HEARTBEAT_MS 400
#define SILENCE_US (1200 * G_TIME_SPAN_MILLISECOND)
/* While a file or a measurement is in the way, answers come late. */
#define OCCUPIED_SILENCE_US (10 * G_USEC_PER_SEC)

static GSource *
add_timeout (TandemClusterEntry *self, guint ms, GSourceFunc func)
{
  GSource *source = g_timeout_source_new (ms);

  g_source_set_callback (source, func, self, NULL);
  g_source_attach (source, self->cluster->context);
  return source;
}

TandemClusterEntry *
tandem_cluster_entry_new (TandemCluster *cluster, TandemCandidate *candidate)
{
  TandemClusterEntry *self = g_new0 (TandemClusterEntry, 1);

  self->ref_count = 1;
  self->cluster = cluster;
  self->key = g_strdup (tandem_candidate_get_key (candidate));
  self->candidate = g_object_ref (candidate);
  self->profiles = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                          (GDestroyNotify) tandem_profile_free);
  return self;
}

TandemClusterEntry *
tandem_cluster_entry_ref (TandemClusterEntry *self)
{
  self->ref_count++;
  return self;
}

void
tandem_cluster_entry_unref (TandemClusterEntry *self)
{
  if (--self->ref_count > 0)
    return;
  g_free (self->key);
  g_free (self->identity);
  g_clear_object (&self->candidate);
  g_clear_pointer (&self->info, tandem_node_info_free);
  g_clear_error (&self->problem);
  g_clear_error (&self->unfit);
  g_hash_table_unref (self->profiles);
  g_free (self);
}

/* --- the end of a connection --- */

static void
drop_client (TandemClusterEntry *self)
{
  tandem_clear_source (&self->heartbeat);
  self->asked = 0;
  self->is_silent = FALSE;
  if (self->client == NULL)
    return;
  g_signal_handler_disconnect (self->client, self->closed_handler);
  tandem_node_client_close (self->client);
  g_clear_object (&self->client);
}

static gboolean
on_retry (gpointer data)
{
  TandemClusterEntry *self = data;

  tandem_clear_source (&self->retry);
  tandem_cluster_entry_connect (self);
  return G_SOURCE_REMOVE;
}

/* error: (transfer full) */
static void
fail (TandemClusterEntry *self, GError *error)
{
  guint pause = MIN (RETRY_MIN_MS << MIN (self->n_failures, 16), RETRY_MAX_MS);

  self->n_failures++;
  self->was_tried = TRUE;
  g_clear_error (&self->problem);
  self->problem = error;
  tandem_clear_source (&self->retry);
  self->retry = add_timeout (self, pause, on_retry);
  tandem_cluster_changed (self->cluster);
}

static void
on_closed (TandemNodeClient *client, const GError *error, gpointer data)
{
  g_autoptr (TandemClusterEntry) self = tandem_cluster_entry_ref (data);

  drop_client (self);
  fail (self, g_error_copy (error));
  tandem_cluster_lost_connection (self->cluster, self);
}

/* --- whether it is there --- */

static void
on_pong (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (TandemClusterEntry) self = data;

  if (!tandem_node_client_ping_finish (TANDEM_NODE_CLIENT (source), result, NULL) ||
      self->cluster == NULL || self->client != TANDEM_NODE_CLIENT (source))
    return;
  self->asked = 0;
  if (!self->is_silent)
    return;
  self->is_silent = FALSE;
  g_clear_error (&self->problem);
  tandem_cluster_changed (self->cluster);
}

/* The connection stays: a device that was only held up goes on where it was. */
static gboolean
on_heartbeat (gpointer data)
{
  TandemClusterEntry *self = data;
  gint64 now = g_get_monotonic_time ();
  gint64 silence = tandem_node_client_is_occupied (self->client) ? OCCUPIED_SILENCE_US
                                                                 : SILENCE_US;

  /* Somebody else who has the client closed it. */
  if (!tandem_node_client_is_open (self->client)) {
    g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CLOSED,
                                                    _("The connection was closed."));

    on_closed (self->client, error, self);
    return G_SOURCE_REMOVE;
  }
  if (self->asked == 0) {
    self->asked = now;
    tandem_node_client_ping_async (self->client, NULL, on_pong, tandem_cluster_entry_ref (self));
  } else if (!self->is_silent && now - self->asked >= silence) {
    self->is_silent = TRUE;
    g_clear_error (&self->problem);
    self->problem = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                                 _("The node is not answering."));
    tandem_cluster_changed (self->cluster);
  }
  return G_SOURCE_CONTINUE;
}

/* --- the beginning --- */

static gboolean
on_trying_timeout (gpointer data)
{
  TandemClusterEntry *self = data;

  self->is_late = TRUE;
  g_cancellable_cancel (self->trying);
  return G_SOURCE_REMOVE;
}

static void
end_trying (TandemClusterEntry *self)
{
  tandem_clear_source (&self->trying_timeout);
  g_clear_object (&self->trying);
}

/* error: (transfer full) */
static void
fail_trying (TandemClusterEntry *self, GError *error)
{
  gboolean is_late = self->is_late;

  end_trying (self);
  if (is_late) {
    g_clear_error (&error);
    error = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                         _("The node does not answer within %d s."), TRYING_MS / 1000);
  }
  fail (self, error);
}

static gboolean
has_twin (TandemClusterEntry *self)
{
  GPtrArray *entries = self->cluster->entries;
  guint i;

  for (i = 0; i < entries->len; i++) {
    TandemClusterEntry *other = g_ptr_array_index (entries, i);

    if (other != self && other->client != NULL && g_strcmp0 (other->identity, self->identity) == 0)
      return TRUE;
  }
  return FALSE;
}

static void
take (TandemClusterEntry *self, TandemNodeClient *client, TandemNodeInfo *info)
{
  end_trying (self);
  g_clear_pointer (&self->info, tandem_node_info_free);
  self->info = info;
  g_free (self->identity);
  self->identity = g_strdup_printf ("%s/%s:%u", info->device, info->instance,
                                    tandem_node_client_get_port (client));
  if (g_str_equal (info->instance, tandem_device_id_get_instance ())) {
    g_clear_pointer (&self->info, tandem_node_info_free);
    fail (self, g_error_new_literal (TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_FAILED,
                                     _("This is the program itself.")));
    return;
  }
  self->was_tried = TRUE;
  self->n_failures = 0;
  g_clear_error (&self->problem);
  self->is_twin = has_twin (self);
  if (!self->is_twin) {
    tandem_discovery_keep (self->cluster->discovery, self->key, TRUE);
    self->client = g_object_ref (client);
    self->closed_handler = g_signal_connect (client, "closed", G_CALLBACK (on_closed), self);
    self->heartbeat = add_timeout (self, HEARTBEAT_MS, on_heartbeat);
  }
  tandem_cluster_changed (self->cluster);
}

static void
on_described (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (TandemClusterEntry) self = data;
  g_autoptr (TandemNodeClient) client = TANDEM_NODE_CLIENT (source);
  GError *error = NULL;
  TandemNodeInfo *info = tandem_node_client_describe_finish (client, result, &error);

  if (self->cluster == NULL) {
    g_clear_pointer (&info, tandem_node_info_free);
    g_clear_error (&error);
  } else if (info == NULL) {
    fail_trying (self, error);
  } else {
    take (self, client, info);
  }
  if (self->client != client)
    tandem_node_client_close (client);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (TandemClusterEntry) self = data;
  g_autoptr (GError) error = NULL;
  TandemNodeClient *client = tandem_node_client_connect_finish (result, &error);

  if (self->cluster == NULL) {
    if (client != NULL)
      tandem_node_client_close (client);
    g_clear_object (&client);
  } else if (client == NULL) {
    fail_trying (self, g_steal_pointer (&error));
  } else {
    /* on_described() takes the client. */
    tandem_node_client_describe_async (client, self->trying, on_described,
                                       tandem_cluster_entry_ref (self));
  }
}

void
tandem_cluster_entry_connect (TandemClusterEntry *self)
{
  if (self->client != NULL || self->trying != NULL || self->candidate == NULL)
    return;
  self->is_twin = FALSE;
  self->is_late = FALSE;
  tandem_clear_source (&self->retry);
  self->trying = g_cancellable_new ();
  self->trying_timeout = add_timeout (self, TRYING_MS, on_trying_timeout);
  tandem_node_client_connect_to_async (G_SOCKET_CONNECTABLE (self->candidate), self->cluster->key,
                                       self->cluster->insecure, self->trying, on_connected,
                                       tandem_cluster_entry_ref (self));
}

/* It is announced anew, or no more (NULL). */
void
tandem_cluster_entry_set_candidate (TandemClusterEntry *self, TandemCandidate *candidate)
{
  gboolean is_new = candidate != NULL &&
      (self->candidate == NULL || tandem_candidate_get_n_addresses (candidate) !=
       tandem_candidate_get_n_addresses (self->candidate));

  g_set_object (&self->candidate, candidate);
  if (is_new && !self->is_twin && self->retry != NULL) {
    self->n_failures = 0;
    tandem_cluster_entry_connect (self);
  }
}

/* Whoever still holds it finds no cluster. */
void
tandem_cluster_entry_leave (TandemClusterEntry *self)
{
  tandem_discovery_keep (self->cluster->discovery, self->key, FALSE);
  self->cluster = NULL;
  tandem_clear_source (&self->retry);
  tandem_clear_source (&self->trying_timeout);
  if (self->trying != NULL)
    g_cancellable_cancel (self->trying);
  g_clear_object (&self->trying);
  drop_client (self);
}

/* --- what is known --- */

/* What is announced proves nothing, nor does the way to a node to which there is a better one: anybody
 * can announce that. Who said once, behind the cluster key, who it is, has proved it. */
gboolean
tandem_cluster_entry_may_go (const TandemClusterEntry *self)
{
  return self->was_tried && self->trying == NULL && self->client == NULL &&
      self->candidate != NULL && !tandem_candidate_is_listed (self->candidate) &&
      (self->info == NULL || self->is_twin);
}

gboolean
tandem_cluster_entry_is_usable (const TandemClusterEntry *self)
{
  return self->client != NULL && self->info != NULL && self->problem == NULL && !self->is_twin;
}

TandemClusterMember *
tandem_cluster_entry_to_member (const TandemClusterEntry *self)
{
  TandemClusterMember *member = g_new0 (TandemClusterMember, 1);
  const GError *problem = self->problem != NULL ? self->problem : self->unfit;
  const char *address =
      self->client != NULL ? tandem_node_client_get_address (self->client) : NULL;

  member->key = g_strdup (self->key);
  if (self->info != NULL && self->info->name[0] != '\0')
    member->name = tandem_net_make_printable (self->info->name);
  else
    member->name = g_strdup (self->candidate != NULL
                             ? tandem_candidate_get_name (self->candidate) : self->key);
  if (address != NULL)
    member->host = g_strdup (address);
  else if (self->candidate != NULL)
    member->host = tandem_candidate_get_host (self->candidate);
  else
    member->host = g_strdup ("");
  member->port = self->client != NULL ? tandem_node_client_get_port (self->client)
      : self->candidate != NULL ? tandem_candidate_get_port (self->candidate) : 0;
  if (self->candidate != NULL) {
    member->n_addresses = tandem_candidate_get_n_addresses (self->candidate);
    member->is_listed = tandem_candidate_is_listed (self->candidate);
  }
  member->is_usable = tandem_cluster_entry_is_usable (self) && self->unfit == NULL;
  member->info = self->info != NULL ? tandem_node_info_copy (self->info) : NULL;
  member->client = self->client != NULL ? g_object_ref (self->client) : NULL;
  member->problem = problem != NULL ? g_error_copy (problem) : NULL;
  member->profile = self->profile != NULL ? tandem_profile_copy (self->profile) : NULL;
  return member;
}
