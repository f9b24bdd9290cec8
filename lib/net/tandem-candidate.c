/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-candidate-private.h"

struct _TandemCandidate
{
  GObject parent;

  char *key;
  char *name;
  gboolean listed;
  gboolean announced;
  TandemServiceInfo service;
  GError *problem;
  GPtrArray *addresses;         /* GSocketConnectable: the best first */
};

static void tandem_candidate_connectable_init (GSocketConnectableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TandemCandidate, tandem_candidate, G_TYPE_OBJECT,
    G_IMPLEMENT_INTERFACE (G_TYPE_SOCKET_CONNECTABLE, tandem_candidate_connectable_init))

/* --- the addresses, one after the other --- */

#define TANDEM_TYPE_CANDIDATE_ENUMERATOR (tandem_candidate_enumerator_get_type ())
G_DECLARE_FINAL_TYPE (TandemCandidateEnumerator, tandem_candidate_enumerator, TANDEM,
                      CANDIDATE_ENUMERATOR, GSocketAddressEnumerator)

struct _TandemCandidateEnumerator
{
  GSocketAddressEnumerator parent;

  GPtrArray *addresses;
  guint next;
  GSocketAddressEnumerator *current;
};

G_DEFINE_FINAL_TYPE (TandemCandidateEnumerator, tandem_candidate_enumerator,
                     G_TYPE_SOCKET_ADDRESS_ENUMERATOR)

static GSocketAddress *
tandem_candidate_enumerator_next (GSocketAddressEnumerator *enumerator, GCancellable *cancellable,
                                  GError **error)
{
  TandemCandidateEnumerator *self = TANDEM_CANDIDATE_ENUMERATOR (enumerator);
  g_autoptr (GError) unresolved = NULL;

  for (;;) {
    GSocketAddress *address;

    if (self->current == NULL) {
      if (self->next == self->addresses->len)
        break;
      self->current = g_socket_connectable_enumerate (self->addresses->pdata[self->next++]);
    }
    g_clear_error (&unresolved);
    address = g_socket_address_enumerator_next (self->current, cancellable, &unresolved);
    if (address != NULL)
      return address;
    g_clear_object (&self->current);
    if (g_error_matches (unresolved, G_IO_ERROR, G_IO_ERROR_CANCELLED))
      break;
  }
  if (unresolved != NULL)
    g_propagate_error (error, g_steal_pointer (&unresolved));
  return NULL;
}

static void
tandem_candidate_enumerator_finalize (GObject *object)
{
  TandemCandidateEnumerator *self = TANDEM_CANDIDATE_ENUMERATOR (object);

  g_clear_object (&self->current);
  g_clear_pointer (&self->addresses, g_ptr_array_unref);
  G_OBJECT_CLASS (tandem_candidate_enumerator_parent_class)->finalize (object);
}

static void
tandem_candidate_enumerator_class_init (TandemCandidateEnumeratorClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_candidate_enumerator_finalize;
  G_SOCKET_ADDRESS_ENUMERATOR_CLASS (klass)->next = tandem_candidate_enumerator_next;
}

static void
tandem_candidate_enumerator_init (TandemCandidateEnumerator *self)
{
}

static GSocketAddressEnumerator *
tandem_candidate_enumerate (GSocketConnectable *connectable)
{
  TandemCandidate *self = TANDEM_CANDIDATE (connectable);
  TandemCandidateEnumerator *enumerator = g_object_new (TANDEM_TYPE_CANDIDATE_ENUMERATOR, NULL);

  enumerator->addresses = g_ptr_array_ref (self->addresses);
  return G_SOCKET_ADDRESS_ENUMERATOR (enumerator);
}

static char *
tandem_candidate_to_string (GSocketConnectable *connectable)
{
  TandemCandidate *self = TANDEM_CANDIDATE (connectable);
  GString *text = g_string_new (self->name);
  guint i;

  for (i = 0; i < self->addresses->len; i++) {
    g_autofree char *address = g_socket_connectable_to_string (self->addresses->pdata[i]);

    if (!g_str_equal (address, self->name))
      g_string_append_printf (text, " %s", address);
  }
  return g_string_free (text, FALSE);
}

static void
tandem_candidate_connectable_init (GSocketConnectableIface *iface)
{
  iface->enumerate = tandem_candidate_enumerate;
  iface->proxy_enumerate = tandem_candidate_enumerate;
  iface->to_string = tandem_candidate_to_string;
}

/* --- the candidate --- */

static void
tandem_candidate_finalize (GObject *object)
{
  TandemCandidate *self = TANDEM_CANDIDATE (object);

  g_free (self->key);
  g_free (self->name);
  g_clear_error (&self->problem);
  g_ptr_array_unref (self->addresses);
  G_OBJECT_CLASS (tandem_candidate_parent_class)->finalize (object);
}

static void
tandem_candidate_class_init (TandemCandidateClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_candidate_finalize;
}

static void
tandem_candidate_init (TandemCandidate *self)
{
  self->addresses = g_ptr_array_new_with_free_func (g_object_unref);
}

/**
 * tandem_candidate_new: (skip)
 * @key: what tells it from others
 * @name: for people
 * @service: (nullable): what it announces
 * @problem: (nullable): why its announcement is of no use
 *
 * Returns: (transfer full): a candidate without addresses
 */
TandemCandidate *
tandem_candidate_new (const char *key, const char *name, const TandemServiceInfo *service,
                      const GError *problem)
{
  TandemCandidate *self = g_object_new (TANDEM_TYPE_CANDIDATE, NULL);

  self->key = g_strdup (key);
  self->name = g_strdup (name);
  self->announced = service != NULL;
  if (service != NULL)
    self->service = *service;
  if (problem != NULL)
    self->problem = g_error_copy (problem);
  return self;
}

/* What somebody wrote down is tried before what was announced. */
void
tandem_candidate_add_listed (TandemCandidate *candidate, GNetworkAddress *address)
{
  if (candidate->addresses->len >= TANDEM_CANDIDATE_MAX_ADDRESSES)
    g_ptr_array_remove_index (candidate->addresses, candidate->addresses->len - 1);
  g_ptr_array_insert (candidate->addresses, 0, g_object_ref (address));
  candidate->listed = TRUE;
}

gboolean
tandem_candidate_is_same_address (GInetSocketAddress *a, GInetSocketAddress *b)
{
  GInetAddress *address = g_inet_socket_address_get_address (a);

  return g_inet_address_equal (address, g_inet_socket_address_get_address (b)) &&
      g_inet_socket_address_get_port (a) == g_inet_socket_address_get_port (b) &&
      (g_inet_address_get_family (address) != G_SOCKET_FAMILY_IPV6 ||
       g_inet_socket_address_get_scope_id (a) == g_inet_socket_address_get_scope_id (b));
}

/* An address that is valid on one link only is the last resort. */
void
tandem_candidate_add_address (TandemCandidate *candidate, GInetSocketAddress *address)
{
  gboolean is_link_local = g_inet_address_get_is_link_local (
      g_inet_socket_address_get_address (address));
  guint at = candidate->addresses->len;
  guint i;

  for (i = 0; i < candidate->addresses->len; i++) {
    GSocketConnectable *other = candidate->addresses->pdata[i];
    GInetSocketAddress *known;

    if (!G_IS_INET_SOCKET_ADDRESS (other))
      continue;
    known = G_INET_SOCKET_ADDRESS (other);
    if (tandem_candidate_is_same_address (known, address))
      return;
    if (!is_link_local && at == candidate->addresses->len &&
        g_inet_address_get_is_link_local (g_inet_socket_address_get_address (known)))
      at = i;
  }
  if (candidate->addresses->len < TANDEM_CANDIDATE_MAX_ADDRESSES)
    g_ptr_array_insert (candidate->addresses, at, g_object_ref (address));
}

/**
 * tandem_candidate_get_key:
 * @candidate: a candidate
 *
 * Returns: (transfer none): what tells it from all others: device, process and port, or
 *   the address as it was written down
 */
const char *
tandem_candidate_get_key (TandemCandidate *candidate)
{
  return candidate->key;
}

/**
 * tandem_candidate_get_name:
 * @candidate: a candidate
 *
 * Returns: (transfer none): the name of its announcement, or "host:port"
 */
const char *
tandem_candidate_get_name (TandemCandidate *candidate)
{
  return candidate->name;
}

/**
 * tandem_candidate_get_host:
 * @candidate: a candidate
 *
 * Returns: (transfer full): its first address, for people
 */
char *
tandem_candidate_get_host (TandemCandidate *candidate)
{
  gpointer first = candidate->addresses->len > 0 ? candidate->addresses->pdata[0] : NULL;

  if (G_IS_NETWORK_ADDRESS (first))
    return g_strdup (g_network_address_get_hostname (first));
  return first != NULL ? g_inet_address_to_string (g_inet_socket_address_get_address (first))
                       : g_strdup ("");
}

/**
 * tandem_candidate_get_port:
 * @candidate: a candidate
 *
 * Returns: its TCP port, or 0 when it has no address
 */
guint16
tandem_candidate_get_port (TandemCandidate *candidate)
{
  gpointer first = candidate->addresses->len > 0 ? candidate->addresses->pdata[0] : NULL;

  if (G_IS_NETWORK_ADDRESS (first))
    return g_network_address_get_port (first);
  return first != NULL ? g_inet_socket_address_get_port (first) : 0;
}

/**
 * tandem_candidate_get_n_addresses:
 * @candidate: a candidate
 *
 * Returns: how many different addresses of it are known
 */
guint
tandem_candidate_get_n_addresses (TandemCandidate *candidate)
{
  return candidate->addresses->len;
}

/**
 * tandem_candidate_is_listed:
 * @candidate: a candidate
 *
 * Returns: whether somebody wrote it down, in a property, the environment or a file
 */
gboolean
tandem_candidate_is_listed (TandemCandidate *candidate)
{
  return candidate->listed;
}

/**
 * tandem_candidate_get_service: (skip)
 * @candidate: a candidate
 *
 * Returns: (transfer none) (nullable): what it announces; %NULL when nothing is known
 */
const TandemServiceInfo *
tandem_candidate_get_service (TandemCandidate *candidate)
{
  return candidate->announced ? &candidate->service : NULL;
}

/**
 * tandem_candidate_get_problem: (skip)
 * @candidate: a candidate
 *
 * Returns: (transfer none) (nullable): a #TandemNetError that says why its announcement is
 *   of no use
 */
const GError *
tandem_candidate_get_problem (TandemCandidate *candidate)
{
  return candidate->problem;
}
