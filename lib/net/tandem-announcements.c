/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-announcements.h"

#include "base/tandem-source-private.h"
#include "net/tandem-link.h"
#include "net/tandem-places.h"

#define GST_CAT_DEFAULT tandem_net_debug

/* What does not resolve, though it is announced, is tried again after this time. */
#define RESOLVE_AGAIN_MS 5000
/* As many as Avahi remembers. */
#define MAX_ANNOUNCED 4096
/* When more are announced than are looked at, how long these have until others have their turn. */
#define TURN_MS 20000

struct _TandemAnnouncements
{
  TandemCandidateList *list;
  const TandemAnnouncementsFuncs *funcs;
  gpointer data;

  TandemAvahi *avahi;           /* set when it begins */
  AvahiClient *client;
  AvahiServiceBrowser *browser; /* NULL: not looking */
  GHashTable *announced;        /* key -> Announced */
  TandemPlaces *places;         /* whose addresses are looked up, of those */
  GSource *again;               /* resolves what did not resolve */
  GSource *turn;                /* (nullable): gives others their places */
  gboolean has_all;             /* the daemon expects no more announcements */
};

/* On one interface, for one family of addresses. */
typedef struct
{
  TandemAnnouncements *owner;
  char *key;
  AvahiIfIndex interface;
  AvahiProtocol protocol;
  char *name, *type, *domain;
  AvahiServiceResolver *resolver;       /* NULL: it did not resolve */
  gboolean is_answered;         /* it did, or did not, once */
} Announced;

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
tell_if (TandemAnnouncements *self, gboolean changed)
{
  if (changed)
    self->funcs->changed (self->data);
}

static void
settle_if (TandemAnnouncements *self)
{
  GHashTableIter iter;
  gpointer announced;

  if (!self->has_all)
    return;
  g_hash_table_iter_init (&iter, self->announced);
  while (g_hash_table_iter_next (&iter, NULL, &announced))
    if (!((Announced *) announced)->is_answered &&
        tandem_places_has (self->places, ((Announced *) announced)->key))
      return;
  self->funcs->settled (self->data);
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
  TandemAnnouncements *self = data;
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
resolve_again_later (TandemAnnouncements *self)
{
  if (self->again == NULL)
    self->again = tandem_avahi_add_timeout (self->avahi, RESOLVE_AGAIN_MS, on_again, self);
}

static void
on_resolved (AvahiServiceResolver *resolver, AvahiIfIndex interface, AvahiProtocol protocol,
             AvahiResolverEvent event, const char *name, const char *type, const char *domain,
             const char *host, const AvahiAddress *address, uint16_t port, AvahiStringList *txt,
             AvahiLookupResultFlags flags, void *data)
{
  Announced *announced = data;
  TandemAnnouncements *self = announced->owner;
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
    tell_if (self, tandem_candidate_list_remove (self->list, announced->key));
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
  tell_if (self, tandem_candidate_list_put (self->list, announced->key, &sighting));
  settle_if (self);
}

static gboolean
resolve (Announced *announced)
{
  TandemAnnouncements *self = announced->owner;

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
take_waiting (TandemAnnouncements *self)
{
  const char *key;

  while ((key = tandem_places_next (self->places)) != NULL)
    resolve (g_hash_table_lookup (self->announced, key));
  if (tandem_places_get_n_waiting (self->places) > 0 && self->turn == NULL)
    self->turn = tandem_avahi_add_timeout (self->avahi, TURN_MS, on_turn, self);
}

static gboolean
is_kept (TandemAnnouncements *self, const char *key)
{
  const char *candidate = tandem_candidate_list_get_key (self->list, key);

  return candidate != NULL && self->funcs->is_kept (candidate, self->data);
}

static gboolean
on_turn (gpointer data)
{
  TandemAnnouncements *self = data;
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
  tell_if (self, changed);
  take_waiting (self);
  return G_SOURCE_REMOVE;
}

static void
on_browsed (AvahiServiceBrowser *browser, AvahiIfIndex interface, AvahiProtocol protocol,
            AvahiBrowserEvent event, const char *name, const char *type, const char *domain,
            AvahiLookupResultFlags flags, void *data)
{
  TandemAnnouncements *self = data;
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
      announced->owner = self;
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
      tell_if (self, tandem_candidate_list_remove (self->list, key));
      take_waiting (self);
      break;
    case AVAHI_BROWSER_FAILURE:
      self->funcs->looks (avahi_client_errno (self->client), self->data);
      break;
    case AVAHI_BROWSER_ALL_FOR_NOW:
      self->has_all = TRUE;
      settle_if (self);
      break;
    case AVAHI_BROWSER_CACHE_EXHAUSTED:
      break;
  }
}

static void
forget_announced (TandemAnnouncements *self)
{
  g_clear_pointer (&self->places, tandem_places_free);
  self->places = tandem_places_new (TANDEM_CANDIDATE_LIST_MAX_SIGHTINGS, MAX_ANNOUNCED);
  g_hash_table_remove_all (self->announced);
}

TandemAnnouncements *
tandem_announcements_new (TandemCandidateList *list, const TandemAnnouncementsFuncs *funcs,
                          gpointer data)
{
  TandemAnnouncements *self = g_new0 (TandemAnnouncements, 1);

  self->list = list;
  self->funcs = funcs;
  self->data = data;
  self->announced = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, announced_free);
  forget_announced (self);
  return self;
}

void
tandem_announcements_free (TandemAnnouncements *self)
{
  g_hash_table_unref (self->announced);
  tandem_places_free (self->places);
  g_free (self);
}

void
tandem_announcements_begin (TandemAnnouncements *self, TandemAvahi *avahi, AvahiClient *client,
                            const char *type)
{
  if (self->browser != NULL)
    return;
  self->avahi = avahi;
  self->client = client;
  self->browser = avahi_service_browser_new (client, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, type,
                                             NULL, 0, on_browsed, self);
  self->funcs->looks (self->browser != NULL ? AVAHI_OK : avahi_client_errno (client), self->data);
}

void
tandem_announcements_end (TandemAnnouncements *self)
{
  tandem_clear_source (&self->again);
  tandem_clear_source (&self->turn);
  forget_announced (self);
  if (self->browser != NULL)
    avahi_service_browser_free (self->browser);
  self->browser = NULL;
  tell_if (self, tandem_candidate_list_clear (self->list));
}
