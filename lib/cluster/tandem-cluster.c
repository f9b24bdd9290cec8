/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-cluster-private.h"

#include <string.h>

/* When more nodes are found than there are places, how long each has to show that it is one. Longer
 * than an attempt takes. */
#define TURN_MS 4000

enum
{
  SIGNAL_CHANGED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (TandemCluster, tandem_cluster, G_TYPE_OBJECT)

static void
tandem_cluster_dispose (GObject *object)
{
  tandem_cluster_stop (TANDEM_CLUSTER (object));
  G_OBJECT_CLASS (tandem_cluster_parent_class)->dispose (object);
}

static void
tandem_cluster_finalize (GObject *object)
{
  TandemCluster *self = TANDEM_CLUSTER (object);

  g_ptr_array_unref (self->entries);
  g_clear_pointer (&self->candidates, g_ptr_array_unref);
  tandem_places_free (self->places);
  g_hash_table_unref (self->links);
  g_hash_table_unref (self->profiles);
  g_clear_object (&self->discovery);
  g_clear_object (&self->key);
  g_main_context_unref (self->context);
  G_OBJECT_CLASS (tandem_cluster_parent_class)->finalize (object);
}

static void
tandem_cluster_class_init (TandemClusterClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = tandem_cluster_dispose;
  object_class->finalize = tandem_cluster_finalize;
  /**
   * TandemCluster::changed:
   * @self: the cluster
   *
   * A node came or left, or what is known of one changed, or of the discovery.
   */
  signals[SIGNAL_CHANGED] = g_signal_new ("changed", TANDEM_TYPE_CLUSTER, G_SIGNAL_RUN_LAST, 0,
                                          NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
tandem_cluster_init (TandemCluster *self)
{
  self->context = g_main_context_ref_thread_default ();
  self->n_threads = 1;
  self->entries = g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_cluster_entry_unref);
  self->places = tandem_places_new (TANDEM_CLUSTER_MAX_MEMBERS, G_MAXUINT);
  self->links = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->profiles = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                          (GDestroyNotify) tandem_profile_free);
}

/**
 * tandem_cluster_new:
 * @nodes: (nullable): nodes as "host:port,host:port", where a port that is not named is
 *   %TANDEM_NODE_DEFAULT_PORT, or "@" and the name of a file with such a list, which has one a line
 *   and remarks behind `#`: these and no others. %NULL: those in the environment variable
 *   `TANDEM_NODES` and in the file `tandem/nodes` of the user's configuration folder, and those
 *   that announce themselves by mDNS
 * @key: (nullable): the cluster key; %NULL: for nodes on loopback none, beyond it that of
 *   tandem_cluster_key_load_default()
 * @insecure: whether to do without a key beyond loopback
 * @error: return location for %G_IO_ERROR_INVALID_ARGUMENT when a list is malformed, or why a file
 *   cannot be read
 *
 * Returns: (transfer full): a cluster that does nothing yet, or %NULL
 */
TandemCluster *
tandem_cluster_new (const char *nodes, TandemClusterKey *key, gboolean insecure, GError **error)
{
  g_autoptr (TandemDiscovery) discovery = tandem_discovery_new_for_nodes (nodes, error);
  TandemCluster *self;

  if (discovery == NULL)
    return NULL;
  self = g_object_new (TANDEM_TYPE_CLUSTER, NULL);
  self->discovery = g_steal_pointer (&discovery);
  self->uses_mdns = nodes == NULL;
  self->key = key != NULL ? g_object_ref (key) : NULL;
  self->insecure = insecure;
  return self;
}

/* --- "changed" --- */

static gboolean
emit_changed (gpointer data)
{
  g_autoptr (TandemCluster) self = g_object_ref (data);

  g_clear_pointer (&self->changing, g_source_unref);
  tandem_cluster_prepare_check (self);
  g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
  return G_SOURCE_REMOVE;
}

/* Once for all that changes at a time, and never in the middle of what we do. */
void
tandem_cluster_changed (TandemCluster *self)
{
  if (self->changing != NULL || !self->is_running)
    return;
  self->changing = g_idle_source_new ();
  g_source_set_priority (self->changing, G_PRIORITY_DEFAULT);
  g_source_set_callback (self->changing, emit_changed, self, NULL);
  g_source_attach (self->changing, self->context);
}

/* --- who is there --- */

static TandemCandidate *
find_candidate (GPtrArray *candidates, const char *key)
{
  guint i;

  for (i = 0; i < candidates->len; i++)
    if (g_str_equal (tandem_candidate_get_key (candidates->pdata[i]), key))
      return candidates->pdata[i];
  return NULL;
}

static TandemClusterEntry *
find_entry (TandemCluster *self, const char *key)
{
  guint i;

  for (i = 0; i < self->entries->len; i++) {
    TandemClusterEntry *entry = g_ptr_array_index (self->entries, i);

    if (g_str_equal (entry->key, key))
      return entry;
  }
  return NULL;
}

/* Takes it out of the entries; its place stays as it is. */
static void
drop_entry (TandemCluster *self, TandemClusterEntry *entry)
{
  tandem_cluster_entry_leave (entry);
  g_ptr_array_remove (self->entries, entry);
  tandem_cluster_changed (self);
}

static void
remove_entry (TandemCluster *self, TandemClusterEntry *entry)
{
  tandem_places_remove (self->places, entry->key);
  drop_entry (self, entry);
}

/* What was the same node is now the way to it. */
static void
wake_twins (TandemCluster *self)
{
  guint i;

  for (i = 0; i < self->entries->len; i++) {
    TandemClusterEntry *entry = g_ptr_array_index (self->entries, i);

    if (entry->is_twin)
      tandem_cluster_entry_connect (entry);
  }
}

static gboolean on_turn (gpointer data);

/* has_waited: those who had to wait for a place are not waited for. */
static void
take_waiting (TandemCluster *self, gboolean has_waited)
{
  const char *key;

  while ((key = tandem_places_next (self->places)) != NULL) {
    TandemClusterEntry *entry =
        tandem_cluster_entry_new (self, find_candidate (self->candidates, key));

    entry->was_tried = has_waited;
    g_ptr_array_add (self->entries, entry);
    tandem_cluster_entry_connect (entry);
  }
  if (tandem_places_get_n_waiting (self->places) == 0 || self->turn != NULL)
    return;
  self->turn = g_timeout_source_new (TURN_MS);
  g_source_set_callback (self->turn, on_turn, self, NULL);
  g_source_attach (self->turn, self->context);
}

/* Whoever is not known to be a node gives its place to who waits. */
static gboolean
on_turn (gpointer data)
{
  TandemCluster *self = data;
  guint n = tandem_places_get_n_waiting (self->places), i;

  g_clear_pointer (&self->turn, g_source_unref);
  for (i = 0; n > 0 && i < self->entries->len;) {
    TandemClusterEntry *entry = g_ptr_array_index (self->entries, i);

    if (tandem_cluster_entry_may_go (entry)) {
      tandem_places_give_up (self->places, entry->key);
      drop_entry (self, entry);
      n--;
    } else {
      i++;
    }
  }
  take_waiting (self, TRUE);
  return G_SOURCE_REMOVE;
}

void
tandem_cluster_lost_connection (TandemCluster *self, TandemClusterEntry *entry)
{
  if (entry->candidate == NULL) {
    remove_entry (self, entry);
    take_waiting (self, TRUE);
  }
  wake_twins (self);
}

/* A goodbye of a node to which there is a connection waits for the end of that. */
void
tandem_cluster_take_candidates (TandemCluster *self, GPtrArray *candidates)
{
  g_auto (GStrv) waiting = tandem_places_list (self->places, TRUE);
  guint i;

  g_ptr_array_ref (candidates);
  g_clear_pointer (&self->candidates, g_ptr_array_unref);
  self->candidates = candidates;
  for (i = self->entries->len; i > 0; i--) {
    TandemClusterEntry *entry = g_ptr_array_index (self->entries, i - 1);
    TandemCandidate *candidate = find_candidate (candidates, entry->key);

    tandem_cluster_entry_set_candidate (entry, candidate);
    if (candidate == NULL && entry->client == NULL)
      remove_entry (self, entry);
  }
  for (i = 0; waiting[i] != NULL; i++)
    if (find_candidate (candidates, waiting[i]) == NULL)
      tandem_places_remove (self->places, waiting[i]);
  for (i = 0; i < candidates->len; i++)
    tandem_places_add (self->places, tandem_candidate_get_key (candidates->pdata[i]));
  take_waiting (self, FALSE);
  tandem_cluster_changed (self);
}

static void
synchronize (TandemCluster *self)
{
  g_autoptr (GPtrArray) candidates = tandem_discovery_get_candidates (self->discovery);

  tandem_cluster_take_candidates (self, candidates);
}

/* --- the thread of the discovery --- */

/* Shared by the two threads. */
typedef struct
{
  GWeakRef cluster;
  GMainContext *context;
} Bridge;

static Bridge *
bridge_new (TandemCluster *cluster)
{
  Bridge *bridge = g_atomic_rc_box_new0 (Bridge);

  g_weak_ref_init (&bridge->cluster, cluster);
  bridge->context = g_main_context_ref (cluster->context);
  return bridge;
}

static void
bridge_clear (gpointer data)
{
  Bridge *bridge = data;

  g_weak_ref_clear (&bridge->cluster);
  g_main_context_unref (bridge->context);
}

static void
bridge_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, bridge_clear);
}

static void
on_bridge_closed (gpointer data, GClosure *closure)
{
  bridge_unref (data);
}

static gboolean
on_bridge (gpointer data)
{
  g_autoptr (TandemCluster) self = g_weak_ref_get (&((Bridge *) data)->cluster);

  if (self != NULL && self->is_running)
    synchronize (self);
  return G_SOURCE_REMOVE;
}

/* No reference to the cluster is taken here: the last one is not to go in this thread. */
static void
on_discovery_changed (TandemDiscovery *discovery, gpointer data)
{
  Bridge *bridge = g_atomic_rc_box_acquire (data);
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, on_bridge, bridge, bridge_unref);
  g_source_attach (source, bridge->context);
}

/* --- life --- */

/**
 * tandem_cluster_start:
 * @self: a cluster that does not run
 *
 * Begins to look for nodes, and to connect to them.
 */
void
tandem_cluster_start (TandemCluster *self)
{
  g_return_if_fail (TANDEM_IS_CLUSTER (self));
  g_return_if_fail (!self->is_running);

  self->is_running = TRUE;
  if (self->uses_mdns) {
    self->discovery_handler =
        g_signal_connect_data (self->discovery, "changed", G_CALLBACK (on_discovery_changed),
                               bridge_new (self), on_bridge_closed, 0);
    tandem_discovery_start (self->discovery);
  }
  synchronize (self);
}

/**
 * tandem_cluster_stop:
 * @self: a cluster
 *
 * Ends all connections, and with them what was built over them. It may be started again.
 */
void
tandem_cluster_stop (TandemCluster *self)
{
  g_return_if_fail (TANDEM_IS_CLUSTER (self));

  if (!self->is_running)
    return;
  self->is_running = FALSE;
  if (self->uses_mdns) {
    tandem_discovery_stop (self->discovery);
    g_clear_signal_handler (&self->discovery_handler, self->discovery);
  }
  if (self->changing != NULL)
    g_source_destroy (self->changing);
  g_clear_pointer (&self->changing, g_source_unref);
  if (self->turn != NULL)
    g_source_destroy (self->turn);
  g_clear_pointer (&self->turn, g_source_unref);
  while (self->entries->len > 0) {
    tandem_cluster_entry_leave (g_ptr_array_index (self->entries, self->entries->len - 1));
    g_ptr_array_set_size (self->entries, self->entries->len - 1);
  }
  tandem_places_free (self->places);
  self->places = tandem_places_new (TANDEM_CLUSTER_MAX_MEMBERS, G_MAXUINT);
  tandem_cluster_prepare_check (self);
}

/* --- what is known --- */

/**
 * tandem_cluster_dup_members:
 * @self: a cluster
 *
 * Returns: (transfer container) (element-type TandemClusterMember): the nodes that are known now,
 *   usable or not, in the order in which they were found; those that are listed in their order
 */
GPtrArray *
tandem_cluster_dup_members (TandemCluster *self)
{
  GPtrArray *members =
      g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_cluster_member_free);
  guint i;

  g_return_val_if_fail (TANDEM_IS_CLUSTER (self), members);

  for (i = 0; i < self->entries->len; i++) {
    TandemClusterEntry *entry = g_ptr_array_index (self->entries, i);

    if (!entry->is_twin)
      g_ptr_array_add (members, tandem_cluster_entry_to_member (entry));
  }
  return members;
}

/**
 * tandem_cluster_dup_problem: (skip)
 * @self: a cluster
 *
 * Returns: (transfer full) (nullable): %TANDEM_NET_ERROR_NO_DISCOVERY with a sentence that says why
 *   nothing is seen by mDNS and what to do; %NULL when all is well, nothing is known yet, or it
 *   does not look there
 */
GError *
tandem_cluster_dup_problem (TandemCluster *self)
{
  g_return_val_if_fail (TANDEM_IS_CLUSTER (self), NULL);

  return self->uses_mdns ? tandem_discovery_get_problem (self->discovery) : NULL;
}

/**
 * tandem_cluster_is_settled:
 * @self: a cluster that runs
 *
 * Returns: whether mDNS had time to find who is there, and every node that is known has answered,
 *   or not, at least once; that takes three seconds at most, after the last one was found
 */
gboolean
tandem_cluster_is_settled (TandemCluster *self)
{
  guint i;

  g_return_val_if_fail (TANDEM_IS_CLUSTER (self), FALSE);

  if (self->uses_mdns && !tandem_discovery_is_settled (self->discovery))
    return FALSE;
  for (i = 0; i < self->entries->len; i++)
    if (!((TandemClusterEntry *) g_ptr_array_index (self->entries, i))->was_tried)
      return FALSE;
  return TRUE;
}

/**
 * tandem_cluster_set_memory_limit:
 * @self: a cluster
 * @bytes: how many bytes a stage on this device may take; 0: what the system has available
 *
 * Says what tandem_cluster_make_problem() says of this device.
 */
void
tandem_cluster_set_memory_limit (TandemCluster *self, guint64 bytes)
{
  g_return_if_fail (TANDEM_IS_CLUSTER (self));

  self->memory_limit = bytes;
}

/**
 * tandem_cluster_get_link:
 * @self: a cluster
 * @from: (nullable): the key of a member; %NULL: this device
 * @to: (nullable): the key of another member; %NULL: this device
 * @link: (out caller-allocates): the way from one to the other
 *
 * Returns: whether it was measured
 */
gboolean
tandem_cluster_get_link (TandemCluster *self, const char *from, const char *to,
                         TandemNetworkLink *link)
{
  TandemClusterEntry *a, *b;
  g_autofree char *key = NULL;
  const TandemNetworkLink *known;

  g_return_val_if_fail (TANDEM_IS_CLUSTER (self), FALSE);

  a = from != NULL ? find_entry (self, from) : NULL;
  b = to != NULL ? find_entry (self, to) : NULL;
  memset (link, 0, sizeof *link);
  if ((from != NULL && (a == NULL || a->identity == NULL)) ||
      (to != NULL && (b == NULL || b->identity == NULL)))
    return FALSE;
  key = tandem_cluster_make_link_key (a, b);
  known = g_hash_table_lookup (self->links, key);
  if (known != NULL)
    *link = *known;
  return known != NULL;
}
