/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the daemon sees, as candidates. All that belongs to Avahi, and the list, is touched by one
 * thread only, that of tandem-avahi.c; others get finished arrays under the lock. */

#include "config.h"

#include "tandem-discovery-private.h"

#include "net/tandem-announcements.h"
#include "net/tandem-device-id.h"
#include "net/tandem-peers.h"

enum
{
  SIGNAL_CHANGED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

struct _TandemDiscovery
{
  GObject parent;

  /* set when it is made */
  const char *type;             /* of what is looked for */
  GError *(*describe) (int error);

  TandemAvahi *avahi;           /* set in start, gone in stop */

  /* Avahi's thread, from start to stop */
  TandemAvahi *running;         /* the same, known before start returns */
  TandemCandidateList *list;
  TandemAnnouncements *announcements;

  GMutex lock;
  /* lock */
  GPtrArray *candidates;        /* TandemCandidate; replaced, never changed */
  GHashTable *kept;             /* keys of candidates that keep their places */
  GError *problem;
  gboolean is_settled;
};

G_DEFINE_FINAL_TYPE (TandemDiscovery, tandem_discovery, G_TYPE_OBJECT)

static void
publish (TandemDiscovery *self)
{
  g_autoptr (GPtrArray) candidates = tandem_candidate_list_get (self->list);

  g_mutex_lock (&self->lock);
  g_clear_pointer (&self->candidates, g_ptr_array_unref);
  self->candidates = g_ptr_array_ref (candidates);
  g_mutex_unlock (&self->lock);
}

static void
on_list_changed (gpointer data)
{
  TandemDiscovery *self = data;

  publish (self);
  if (!tandem_avahi_is_stopping (self->running))
    g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
}

static void
set_problem (TandemDiscovery *self, GError *problem)
{
  gboolean changed;

  g_mutex_lock (&self->lock);
  changed = problem == NULL ? self->problem != NULL
      : self->problem == NULL || !g_str_equal (problem->message, self->problem->message);
  g_clear_error (&self->problem);
  self->problem = problem;
  g_mutex_unlock (&self->lock);
  if (changed && !tandem_avahi_is_stopping (self->running))
    g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
}

static void
on_settled (gpointer data)
{
  TandemDiscovery *self = data;
  gboolean changed;

  g_mutex_lock (&self->lock);
  changed = !self->is_settled;
  self->is_settled = TRUE;
  g_mutex_unlock (&self->lock);
  if (changed && !tandem_avahi_is_stopping (self->running))
    g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
}

static void
on_looks (int error, gpointer data)
{
  TandemDiscovery *self = data;

  set_problem (self, error != AVAHI_OK ? self->describe (error) : NULL);
}

static gboolean
is_kept (const char *candidate, gpointer data)
{
  TandemDiscovery *self = data;
  gboolean kept;

  g_mutex_lock (&self->lock);
  kept = g_hash_table_contains (self->kept, candidate);
  g_mutex_unlock (&self->lock);
  return kept;
}

static const TandemAnnouncementsFuncs announcements_funcs = {
  on_list_changed, on_settled, on_looks, is_kept
};

static void
on_avahi (TandemAvahi *avahi, AvahiClient *client, AvahiClientState state, int error,
          gpointer data)
{
  TandemDiscovery *self = data;

  self->running = avahi;
  switch (state) {
    case AVAHI_CLIENT_S_REGISTERING:
    case AVAHI_CLIENT_S_COLLISION:
    case AVAHI_CLIENT_S_RUNNING:
      tandem_announcements_begin (self->announcements, avahi, client, self->type);
      break;
    case AVAHI_CLIENT_FAILURE:
    case AVAHI_CLIENT_CONNECTING:
      tandem_announcements_end (self->announcements);
      set_problem (self, self->describe (error));
      on_settled (self);
      break;
  }
}

static void
tandem_discovery_finalize (GObject *object)
{
  TandemDiscovery *self = TANDEM_DISCOVERY (object);

  tandem_announcements_free (self->announcements);
  g_hash_table_unref (self->kept);
  g_clear_pointer (&self->list, tandem_candidate_list_free);
  g_clear_pointer (&self->candidates, g_ptr_array_unref);
  g_clear_error (&self->problem);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (tandem_discovery_parent_class)->finalize (object);
}

static void
tandem_discovery_class_init (TandemDiscoveryClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_discovery_finalize;

  /**
   * TandemDiscovery::changed:
   * @discovery: the discovery
   *
   * The candidates, or the problem, are others than before. Emitted in the thread of @discovery,
   * with no lock held; a handler must not call tandem_discovery_stop().
   */
  signals[SIGNAL_CHANGED] = g_signal_new ("changed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST,
                                          0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
tandem_discovery_init (TandemDiscovery *self)
{
  g_mutex_init (&self->lock);
  self->kept = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}

static TandemDiscovery *
make (GPtrArray *listed)
{
  TandemDiscovery *self = g_object_new (TANDEM_TYPE_DISCOVERY, NULL);

  self->type = TANDEM_SERVICE_TYPE;
  self->describe = tandem_avahi_describe;
  self->list = tandem_candidate_list_new (listed, tandem_device_id_get_instance ());
  self->announcements = tandem_announcements_new (self->list, &announcements_funcs, self);
  publish (self);
  return self;
}

/**
 * tandem_discovery_new:
 * @peers: (nullable): devices as "host:port,host:port"; a port that is not named is
 *   %TANDEM_NET_DEFAULT_PORT
 * @error: return location for %G_IO_ERROR_INVALID_ARGUMENT, or why the file cannot be read
 *
 * Reads the lists of devices: @peers, the environment variable `TANDEM_PEERS`, and the file
 * `tandem/peers` in the user's configuration folder, which has one a line, and remarks
 * behind `#`. They are candidates at once.
 *
 * Returns: (transfer full) (nullable): a discovery that does not look at the network yet, or
 *   %NULL when a list is malformed
 */
TandemDiscovery *
tandem_discovery_new (const char *peers, GError **error)
{
  g_autoptr (GPtrArray) listed = tandem_peers_collect (&tandem_peer_lists_of_stages, peers, error);

  return listed != NULL ? make (listed) : NULL;
}

/**
 * tandem_discovery_new_for_nodes: (skip)
 * @nodes: (nullable): a list, or "@" and the name of a file with one; %NULL: `TANDEM_NODES` and the
 *   file `tandem/nodes` in the user's configuration folder
 * @error: return location for %G_IO_ERROR_INVALID_ARGUMENT, or why a file cannot be read
 *
 * Returns: (transfer full) (nullable): a discovery of nodes, or %NULL when a list is malformed
 */
TandemDiscovery *
tandem_discovery_new_for_nodes (const char *nodes, GError **error)
{
  static const TandemPeerLists lists = { "nodes", "TANDEM_NODES", "nodes",
                                         TANDEM_DISCOVERY_NODE_PORT };
  g_autoptr (GPtrArray) listed = NULL;
  TandemDiscovery *self;

  if (nodes == NULL) {
    listed = tandem_peers_collect (&lists, NULL, error);
  } else {
    listed = g_ptr_array_new_with_free_func (g_object_unref);
    if (!(nodes[0] == '@'
            ? tandem_peers_read_file (nodes + 1, lists.port, listed, error)
            : tandem_peers_parse (nodes, lists.property, lists.port, listed, error)))
      return NULL;
  }
  if (listed == NULL)
    return NULL;
  self = make (listed);
  self->type = TANDEM_DISCOVERY_NODE_TYPE;
  self->describe = tandem_avahi_describe_nodes;
  tandem_candidate_list_set_parser (self->list, tandem_service_info_from_node_txt);
  return self;
}

/**
 * tandem_discovery_start:
 * @discovery: a discovery that was not started
 *
 * Begins to look, in a thread of its own, with a main context of its own.
 */
void
tandem_discovery_start (TandemDiscovery *discovery)
{
  TandemAvahi *avahi;

  g_return_if_fail (discovery->avahi == NULL);
  avahi = tandem_avahi_new (on_avahi, g_object_ref (discovery), g_object_unref);
  discovery->avahi = avahi;
}

/**
 * tandem_discovery_stop:
 * @discovery: a discovery
 *
 * Looks no further. The candidates that are written down stay. To be called before the last
 * reference is released, and never in a handler of #TandemDiscovery::changed.
 */
void
tandem_discovery_stop (TandemDiscovery *discovery)
{
  TandemAvahi *avahi = discovery->avahi;

  if (avahi == NULL)
    return;
  tandem_avahi_stop (avahi);
  discovery->avahi = NULL;
}

/**
 * tandem_discovery_get_candidates:
 * @discovery: a discovery
 *
 * May be called in any thread.
 *
 * Returns: (transfer container) (element-type TandemCandidate): the stages that are
 *   known: first those that are written down, in that order
 */
GPtrArray *
tandem_discovery_get_candidates (TandemDiscovery *discovery)
{
  GPtrArray *candidates;

  g_mutex_lock (&discovery->lock);
  candidates = g_ptr_array_ref (discovery->candidates);
  g_mutex_unlock (&discovery->lock);
  return candidates;
}

/**
 * tandem_discovery_get_problem: (skip)
 * @discovery: a discovery
 *
 * May be called in any thread.
 *
 * Returns: (transfer full) (nullable): %TANDEM_NET_ERROR_NO_DISCOVERY with a sentence that says
 *   why nothing is seen by mDNS and what to do; %NULL when all is well, or nothing is
 *   known yet
 */
GError *
tandem_discovery_get_problem (TandemDiscovery *discovery)
{
  GError *problem;

  g_mutex_lock (&discovery->lock);
  problem = discovery->problem != NULL ? g_error_copy (discovery->problem) : NULL;
  g_mutex_unlock (&discovery->lock);
  return problem;
}

gboolean
tandem_discovery_is_settled (TandemDiscovery *discovery)
{
  gboolean is_settled;

  g_mutex_lock (&discovery->lock);
  is_settled = discovery->is_settled;
  g_mutex_unlock (&discovery->lock);
  return is_settled;
}

void
tandem_discovery_keep (TandemDiscovery *discovery, const char *key, gboolean keep)
{
  g_mutex_lock (&discovery->lock);
  if (keep)
    g_hash_table_add (discovery->kept, g_strdup (key));
  else
    g_hash_table_remove (discovery->kept, key);
  g_mutex_unlock (&discovery->lock);
}
