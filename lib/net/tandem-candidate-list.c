/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The same stage is seen once for each interface and family of addresses, and perhaps in a list,
 * too. What has the same device, process, port and name is one candidate. A cloned machine has the
 * device id of its origin but never the random number of a process, so it is another candidate; and
 * so is a stranger who announces the numbers of somebody else: its addresses are not taken for his. */

#include "config.h"

#include "tandem-candidate-list.h"

#include <string.h>

#include "net/tandem-candidate-private.h"
#include "net/tandem-net-private.h"

typedef struct
{
  char *identity;
  char *name;
  char *host;
  GInetSocketAddress *address;
  gboolean has_service;
  TandemServiceInfo service;
  GError *problem;
} Seen;

struct _TandemCandidateList
{
  GPtrArray *peers;             /* GNetworkAddress */
  char *own_instance;
  TandemCandidateParser parser;
  GTree *seen;                  /* key -> Seen; sorted: the same things give the same list */
};

static void
seen_free (gpointer data)
{
  Seen *seen = data;

  g_free (seen->identity);
  g_free (seen->name);
  g_free (seen->host);
  g_clear_error (&seen->problem);
  g_object_unref (seen->address);
  g_free (seen);
}

static int
compare_keys (gconstpointer a, gconstpointer b, gpointer data)
{
  return strcmp (a, b);
}

/**
 * tandem_candidate_list_new: (skip)
 * @peers: (element-type GNetworkAddress): what is written down
 * @own_instance: (nullable): a process that is passed over: this one
 *
 * Returns: (transfer full): a list that has @peers
 */
TandemCandidateList *
tandem_candidate_list_new (GPtrArray *peers, const char *own_instance)
{
  TandemCandidateList *list = g_new0 (TandemCandidateList, 1);

  list->peers = g_ptr_array_ref (peers);
  list->own_instance = g_strdup (own_instance);
  list->parser = tandem_service_info_from_txt;
  list->seen = g_tree_new_full (compare_keys, NULL, g_free, seen_free);
  return list;
}

/* How records are read, if not as those of stages. */
void
tandem_candidate_list_set_parser (TandemCandidateList *list, TandemCandidateParser parser)
{
  list->parser = parser;
}

void
tandem_candidate_list_free (TandemCandidateList *list)
{
  g_ptr_array_unref (list->peers);
  g_free (list->own_instance);
  g_tree_unref (list->seen);
  g_free (list);
}

static gboolean
is_address_usable (const TandemSighting *sighting)
{
  GInetAddress *address = g_inet_socket_address_get_address (sighting->address);

  if (g_inet_socket_address_get_port (sighting->address) == 0 ||
      g_inet_address_get_is_any (address) || g_inet_address_get_is_multicast (address))
    return FALSE;
  /* Another host's loopback is not ours. */
  return !g_inet_address_get_is_loopback (address) || sighting->is_ours;
}

static Seen *
seen_new (TandemCandidateList *list, const TandemSighting *sighting)
{
  Seen *seen = g_new0 (Seen, 1);
  guint port = g_inet_socket_address_get_port (sighting->address);

  seen->name = tandem_net_make_printable (sighting->name);
  seen->host = tandem_net_make_printable (sighting->host != NULL ? sighting->host : "");
  seen->address = g_object_ref (sighting->address);
  seen->has_service = list->parser (&seen->service, sighting->txt, sighting->txt_size,
                                    &seen->problem);
  seen->identity = seen->has_service
      ? g_strdup_printf ("%s/%s:%u/%s", seen->service.device_id, seen->service.instance, port,
                         seen->name)
      : g_strdup_printf ("%s/%s:%u", seen->name, seen->host, port);
  return seen;
}

static gboolean
is_same (const Seen *a, const Seen *b)
{
  return g_str_equal (a->identity, b->identity) && g_str_equal (a->name, b->name) &&
      g_str_equal (a->host, b->host) && a->has_service == b->has_service &&
      memcmp (&a->service, &b->service, sizeof a->service) == 0 &&
      tandem_candidate_is_same_address (a->address, b->address);
}

/**
 * tandem_candidate_list_put: (skip)
 * @list: a list
 * @key: interface, family and name of the announcement
 * @sighting: what it resolved to; replaces what @key was before
 *
 * Returns: whether the list changed
 */
gboolean
tandem_candidate_list_put (TandemCandidateList *list, const char *key,
                           const TandemSighting *sighting)
{
  Seen *seen, *old;

  if (!is_address_usable (sighting))
    return tandem_candidate_list_remove (list, key);
  old = g_tree_lookup (list->seen, key);
  if (old == NULL && g_tree_nnodes (list->seen) >= TANDEM_CANDIDATE_LIST_MAX_SIGHTINGS)
    return FALSE;
  seen = seen_new (list, sighting);
  if (seen->has_service && g_strcmp0 (seen->service.instance, list->own_instance) == 0) {
    seen_free (seen);
    return tandem_candidate_list_remove (list, key);
  }
  if (old != NULL && is_same (old, seen)) {
    seen_free (seen);
    return FALSE;
  }
  g_tree_replace (list->seen, g_strdup (key), seen);
  return TRUE;
}

gboolean
tandem_candidate_list_remove (TandemCandidateList *list, const char *key)
{
  return g_tree_remove (list->seen, key);
}

gboolean
tandem_candidate_list_clear (TandemCandidateList *list)
{
  gboolean changed = g_tree_nnodes (list->seen) > 0;

  g_tree_remove_all (list->seen);
  return changed;
}

const char *
tandem_candidate_list_get_key (TandemCandidateList *list, const char *key)
{
  const Seen *seen = g_tree_lookup (list->seen, key);

  return seen != NULL ? seen->identity : NULL;
}

static gboolean
is_peer (GNetworkAddress *peer, const Seen *seen)
{
  const char *host = g_network_address_get_hostname (peer);
  g_autoptr (GInetAddress) address = NULL;
  gsize length = strlen (host);

  if (g_network_address_get_port (peer) != g_inet_socket_address_get_port (seen->address))
    return FALSE;
  address = g_inet_address_new_from_string (host);
  if (address != NULL)
    return g_inet_address_equal (address, g_inet_socket_address_get_address (seen->address));
  if (length > 1 && host[length - 1] == '.')
    length--;
  return strlen (seen->host) == length && g_ascii_strncasecmp (host, seen->host, length) == 0;
}

static TandemCandidate *
ensure_candidate (GHashTable *found, GPtrArray *candidates, const Seen *seen)
{
  TandemCandidate *candidate = g_hash_table_lookup (found, seen->identity);

  if (candidate == NULL) {
    candidate = tandem_candidate_new (seen->identity, seen->name,
                                      seen->has_service ? &seen->service : NULL, seen->problem);
    g_hash_table_insert (found, seen->identity, candidate);
    g_ptr_array_add (candidates, candidate);
  }
  return candidate;
}

static gboolean
collect (gpointer key, gpointer value, gpointer data)
{
  g_ptr_array_add (data, value);
  return FALSE;
}

/**
 * tandem_candidate_list_get: (skip)
 * @list: a list
 *
 * Returns: (transfer full) (element-type TandemCandidate): the candidates: first those that
 *   are written down, in that order, then the others
 */
GPtrArray *
tandem_candidate_list_get (TandemCandidateList *list)
{
  GPtrArray *candidates = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GHashTable) found = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GPtrArray) seen = g_ptr_array_new ();
  guint i, j;

  g_tree_foreach (list->seen, collect, seen);
  for (i = 0; i < list->peers->len; i++) {
    GNetworkAddress *peer = list->peers->pdata[i];
    TandemCandidate *candidate = NULL;

    for (j = 0; j < seen->len && candidate == NULL; j++) {
      if (is_peer (peer, seen->pdata[j]))
        candidate = ensure_candidate (found, candidates, seen->pdata[j]);
    }
    if (candidate == NULL) {
      g_autofree char *text = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (peer));

      candidate = tandem_candidate_new (text, text, NULL, NULL);
      g_ptr_array_add (candidates, candidate);
    }
    tandem_candidate_add_listed (candidate, peer);
  }
  for (j = 0; j < seen->len; j++)
    tandem_candidate_add_address (ensure_candidate (found, candidates, seen->pdata[j]),
                                  ((Seen *) seen->pdata[j])->address);
  return candidates;
}
