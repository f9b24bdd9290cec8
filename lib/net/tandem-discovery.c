/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the daemon sees, as candidates. All that belongs to Avahi, and the list, is touched by one
 * thread only, that of tandem-avahi.c; others get finished arrays under the lock. */

#include "config.h"

#include "tandem-discovery-private.h"

#include "net/tandem-avahi.h"
#include "net/tandem-candidate-list.h"
#include "net/tandem-device-id.h"
#include "net/tandem-link.h"
#include "net/tandem-peers.h"
#include "net/tandem-places.h"

#define GST_CAT_DEFAULT tandem_net_debug

/* What does not resolve, though it is announced, is tried again after this time. */
#define RESOLVE_AGAIN_MS 5000
/* As many as Avahi remembers. */
#define MAX_ANNOUNCED 4096
/* When more are announced than are looked at, how long these have until others have their turn. */
#define TURN_MS 20000

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
  AvahiClient *client;
  AvahiServiceBrowser *browser;
  GHashTable *announced;        /* key -> Announced */
  TandemPlaces *places;         /* whose addresses are looked up, of those */
  GSource *again;               /* resolves what did not resolve */
  GSource *turn;                /* (nullable): gives others their places */
  gboolean has_all;             /* the daemon expects no more announcements */

  GMutex lock;
  /* lock */
  GPtrArray *candidates;        /* TandemCandidate; replaced, never changed */
  GHashTable *kept;             /* keys of candidates that keep their places */
  GError *problem;
  gboolean is_settled;
};

/* On one interface, for one family of addresses. */
typedef struct
{
  TandemDiscovery *discovery;
  char *key;
  AvahiIfIndex interface;
  AvahiProtocol protocol;
  char *name, *type, *domain;
  AvahiServiceResolver *resolver;       /* NULL: it did not resolve */
  gboolean is_answered;         /* it did, or did not, once */
} Announced;

G_DEFINE_FINAL_TYPE (TandemDiscovery, tandem_discovery, G_TYPE_OBJECT)

static void
announced_free (gpointer data)
{
  Announced *announced = data;

  if (announced->resolver != NULL)
    avahi_service_resolver_free (announced->resolver);
  g_free (announced->key);
  g_free (announced->name);
  g_free (announced->type);
  g_free (announced->domain);
  g_free (announced);
}

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
publish_if (TandemDiscovery *self, gboolean changed)
{
  if (!changed)
    return;
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
settle (TandemDiscovery *self)
{
  GHashTableIter iter;
  gpointer announced;
  gboolean changed;

  g_hash_table_iter_init (&iter, self->announced);
  while (g_hash_table_iter_next (&iter, NULL, &announced))
    if (!((Announced *) announced)->is_answered &&
        tandem_places_has (self->places, ((Announced *) announced)->key))
      return;
  g_mutex_lock (&self->lock);
  changed = !self->is_settled;
  self->is_settled = TRUE;
  g_mutex_unlock (&self->lock);
  if (changed && !tandem_avahi_is_stopping (self->running))
    g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
}

static void
settle_if (TandemDiscovery *self)
{
  if (self->has_all)
    settle (self);
}

static GInetSocketAddress *
make_address (const AvahiAddress *address, guint16 port, AvahiIfIndex interface)
{
  GSocketFamily family =
      address->proto == AVAHI_PROTO_INET6 ? G_SOCKET_FAMILY_IPV6 : G_SOCKET_FAMILY_IPV4;
  g_autoptr (GInetAddress) inet =
      g_inet_address_new_from_bytes ((const guint8 *) &address->data, family);

  return g_object_new (G_TYPE_INET_SOCKET_ADDRESS, "address", inet, "port", (guint) port,
                       "scope-id", g_inet_address_get_is_link_local (inet) &&
                       family == G_SOCKET_FAMILY_IPV6 ? (guint) interface : 0, NULL);
}

static gboolean resolve (Announced *announced);

static gboolean
on_again (gpointer data)
{
  TandemDiscovery *self = data;
  GHashTableIter iter;
  gpointer announced;

  g_clear_pointer (&self->again, g_source_unref);
  g_hash_table_iter_init (&iter, self->announced);
  while (g_hash_table_iter_next (&iter, NULL, &announced)) {
    if (((Announced *) announced)->resolver == NULL &&
        tandem_places_has (self->places, ((Announced *) announced)->key))
      resolve (announced);
  }
  return G_SOURCE_REMOVE;
}

static void
resolve_again_later (TandemDiscovery *self)
{
  if (self->again == NULL)
    self->again = tandem_avahi_add_timeout (self->running, RESOLVE_AGAIN_MS, on_again, self);
}

static void
on_resolved (AvahiServiceResolver *resolver, AvahiIfIndex interface, AvahiProtocol protocol,
             AvahiResolverEvent event, const char *name, const char *type, const char *domain,
             const char *host, const AvahiAddress *address, uint16_t port, AvahiStringList *txt,
             AvahiLookupResultFlags flags, void *data)
{
  Announced *announced = data;
  TandemDiscovery *self = announced->discovery;
  g_autoptr (GInetSocketAddress) socket_address = NULL;
  g_autofree guint8 *bytes = NULL;
  TandemSighting sighting = { .name = announced->name, .host = host };

  announced->is_answered = TRUE;
  if (event == AVAHI_RESOLVER_FAILURE) {
    GST_INFO ("%s does not resolve: %s", announced->key,
              avahi_strerror (avahi_client_errno (self->client)));
    /* A resolver may be freed in its own callback. */
    avahi_service_resolver_free (resolver);
    announced->resolver = NULL;
    publish_if (self, tandem_candidate_list_remove (self->list, announced->key));
    resolve_again_later (self);
    settle_if (self);
    return;
  }
  /* One byte more than is taken shows that there is more. */
  bytes = g_malloc (TANDEM_SERVICE_MAX_TXT + 1);
  sighting.txt_size = avahi_string_list_serialize (txt, NULL, 0);
  if (sighting.txt_size <= TANDEM_SERVICE_MAX_TXT)
    avahi_string_list_serialize (txt, bytes, TANDEM_SERVICE_MAX_TXT);
  sighting.txt = bytes;
  socket_address = make_address (address, port, interface);
  sighting.address = socket_address;
  sighting.is_ours = (flags & (AVAHI_LOOKUP_RESULT_LOCAL | AVAHI_LOOKUP_RESULT_OUR_OWN)) != 0;
  publish_if (self, tandem_candidate_list_put (self->list, announced->key, &sighting));
  settle_if (self);
}

static gboolean
resolve (Announced *announced)
{
  TandemDiscovery *self = announced->discovery;

  announced->resolver =
      avahi_service_resolver_new (self->client, announced->interface, announced->protocol,
                                  announced->name, announced->type, announced->domain,
                                  announced->protocol, 0, on_resolved, announced);
  if (announced->resolver == NULL)
    resolve_again_later (self);
  return announced->resolver != NULL;
}

/* --- who is looked up --- */

static gboolean on_turn (gpointer data);

/* Whoever gets a place; the others wait for their turn. */
static void
take_waiting (TandemDiscovery *self)
{
  const char *key;

  while ((key = tandem_places_next (self->places)) != NULL)
    resolve (g_hash_table_lookup (self->announced, key));
  if (tandem_places_get_n_waiting (self->places) > 0 && self->turn == NULL)
    self->turn = tandem_avahi_add_timeout (self->running, TURN_MS, on_turn, self);
}

static gboolean
is_kept (TandemDiscovery *self, const char *key)
{
  const char *candidate = tandem_candidate_list_get_key (self->list, key);
  gboolean kept;

  g_mutex_lock (&self->lock);
  kept = candidate != NULL && g_hash_table_contains (self->kept, candidate);
  g_mutex_unlock (&self->lock);
  return kept;
}

static gboolean
on_turn (gpointer data)
{
  TandemDiscovery *self = data;
  g_auto (GStrv) keys = tandem_places_list (self->places, FALSE);
  guint n = tandem_places_get_n_waiting (self->places), i;
  gboolean changed = FALSE;

  g_clear_pointer (&self->turn, g_source_unref);
  for (i = 0; n > 0 && keys[i] != NULL; i++) {
    Announced *announced = g_hash_table_lookup (self->announced, keys[i]);

    if (is_kept (self, keys[i]))
      continue;
    if (announced->resolver != NULL)
      avahi_service_resolver_free (announced->resolver);
    announced->resolver = NULL;
    tandem_places_give_up (self->places, keys[i]);
    changed |= tandem_candidate_list_remove (self->list, keys[i]);
    n--;
  }
  publish_if (self, changed);
  take_waiting (self);
  return G_SOURCE_REMOVE;
}

static void
on_browsed (AvahiServiceBrowser *browser, AvahiIfIndex interface, AvahiProtocol protocol,
            AvahiBrowserEvent event, const char *name, const char *type, const char *domain,
            AvahiLookupResultFlags flags, void *data)
{
  TandemDiscovery *self = data;
  g_autofree char *key = NULL;
  Announced *announced;

  switch (event) {
    case AVAHI_BROWSER_NEW:
      key = g_strdup_printf ("%s.%s %d/%d", name, domain, interface, protocol);
      if (g_hash_table_contains (self->announced, key))
        return;
      if (!tandem_places_add (self->places, key)) {
        GST_WARNING ("%s is passed over: %u others are announced", key, MAX_ANNOUNCED);
        return;
      }
      announced = g_new0 (Announced, 1);
      announced->discovery = self;
      announced->key = g_steal_pointer (&key);
      announced->interface = interface;
      announced->protocol = protocol;
      announced->name = g_strdup (name);
      announced->type = g_strdup (type);
      announced->domain = g_strdup (domain);
      g_hash_table_insert (self->announced, announced->key, announced);
      take_waiting (self);
      break;
    case AVAHI_BROWSER_REMOVE:
      key = g_strdup_printf ("%s.%s %d/%d", name, domain, interface, protocol);
      tandem_places_remove (self->places, key);
      g_hash_table_remove (self->announced, key);
      publish_if (self, tandem_candidate_list_remove (self->list, key));
      take_waiting (self);
      break;
    case AVAHI_BROWSER_FAILURE:
      set_problem (self, self->describe (avahi_client_errno (self->client)));
      break;
    case AVAHI_BROWSER_ALL_FOR_NOW:
      self->has_all = TRUE;
      settle (self);
      break;
    case AVAHI_BROWSER_CACHE_EXHAUSTED:
      break;
  }
}

static void
stop_source (GSource **source)
{
  if (*source != NULL)
    g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
forget_announced (TandemDiscovery *self)
{
  g_clear_pointer (&self->places, tandem_places_free);
  self->places = tandem_places_new (TANDEM_CANDIDATE_LIST_MAX_SIGHTINGS, MAX_ANNOUNCED);
  g_hash_table_remove_all (self->announced);
}

static void
stop_browsing (TandemDiscovery *self)
{
  stop_source (&self->again);
  stop_source (&self->turn);
  forget_announced (self);
  if (self->browser != NULL)
    avahi_service_browser_free (self->browser);
  self->browser = NULL;
  publish_if (self, tandem_candidate_list_clear (self->list));
}

static void
on_avahi (TandemAvahi *avahi, AvahiClient *client, AvahiClientState state, int error,
          gpointer data)
{
  TandemDiscovery *self = data;

  self->running = avahi;
  self->client = client;
  switch (state) {
    case AVAHI_CLIENT_S_REGISTERING:
    case AVAHI_CLIENT_S_COLLISION:
    case AVAHI_CLIENT_S_RUNNING:
      if (self->browser != NULL)
        return;
      self->browser = avahi_service_browser_new (client, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC,
                                                 self->type, NULL, 0, on_browsed, self);
      set_problem (self, self->browser != NULL ? NULL
                   : self->describe (avahi_client_errno (client)));
      break;
    case AVAHI_CLIENT_FAILURE:
    case AVAHI_CLIENT_CONNECTING:
      stop_browsing (self);
      set_problem (self, self->describe (error));
      settle (self);
      break;
  }
}

static void
tandem_discovery_finalize (GObject *object)
{
  TandemDiscovery *self = TANDEM_DISCOVERY (object);

  g_hash_table_unref (self->announced);
  tandem_places_free (self->places);
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
  self->announced = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, announced_free);
  self->kept = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  forget_announced (self);
}

static TandemDiscovery *
make (GPtrArray *listed)
{
  TandemDiscovery *self = g_object_new (TANDEM_TYPE_DISCOVERY, NULL);

  self->type = TANDEM_SERVICE_TYPE;
  self->describe = tandem_avahi_describe;
  self->list = tandem_candidate_list_new (listed, tandem_device_id_get_instance ());
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
