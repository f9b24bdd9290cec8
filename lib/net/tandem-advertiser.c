/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything here but the public functions runs in the thread of tandem-avahi.c. */

#include "config.h"

#include "tandem-advertiser.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "net/tandem-avahi.h"
#include "net/tandem-link.h"

#define GST_CAT_DEFAULT tandem_net_debug

/* Names with a number that are tried one after the other. */
#define MAX_COLLISIONS 100

struct _TandemAdvertiser
{
  GObject parent;

  /* set before start */
  char *type;
  GInetAddress *address;
  guint16 port;
  TandemAdvertiserFunc func;
  gpointer user_data;
  GDestroyNotify notify;
  TandemAvahi *avahi;           /* set in start, gone in stop */

  GMutex lock;
  GBytes *txt;                  /* with the lock */

  /* Avahi's thread, from start to stop */
  TandemAvahi *running;         /* the same, known before start returns */
  char *name;                   /* avahi_malloc(): with a number after a collision */
  guint n_collisions;
  AvahiEntryGroup *group;
  char *told;                   /* name or problem that the owner knows */
};

G_DEFINE_FINAL_TYPE (TandemAdvertiser, tandem_advertiser, G_TYPE_OBJECT)

static void
tell (TandemAdvertiser *self, const char *name, int error)
{
  g_autoptr (GError) problem = name == NULL ? tandem_avahi_describe (error) : NULL;
  const char *text = name != NULL ? name : problem->message;

  if (g_strcmp0 (self->told, text) == 0)
    return;
  g_free (self->told);
  self->told = g_strdup (text);
  if (self->func != NULL && !tandem_avahi_is_stopping (self->running))
    self->func (self, name, problem, self->user_data);
}

static gboolean
has_address (const struct ifaddrs *interface, GInetAddress *address)
{
  const guint8 *wanted = g_inet_address_to_bytes (address);

  if (interface->ifa_addr == NULL ||
      interface->ifa_addr->sa_family != (int) g_inet_address_get_family (address))
    return FALSE;
  if (interface->ifa_addr->sa_family == AF_INET)
    return memcmp (&((struct sockaddr_in *) interface->ifa_addr)->sin_addr, wanted, 4) == 0;
  return memcmp (&((struct sockaddr_in6 *) interface->ifa_addr)->sin6_addr, wanted, 16) == 0;
}

/* A stage that listens at one address is announced where that can be reached only. */
static AvahiIfIndex
find_interface (GInetAddress *address)
{
  struct ifaddrs *interfaces, *i;
  AvahiIfIndex found = AVAHI_IF_UNSPEC;

  if (g_inet_address_get_is_any (address) || getifaddrs (&interfaces) != 0)
    return AVAHI_IF_UNSPEC;
  for (i = interfaces; i != NULL && found == AVAHI_IF_UNSPEC; i = i->ifa_next) {
    if (has_address (i, address))
      found = if_nametoindex (i->ifa_name);
  }
  freeifaddrs (interfaces);
  return found;
}

static AvahiProtocol
find_protocol (GInetAddress *address)
{
  if (g_inet_address_get_family (address) == G_SOCKET_FAMILY_IPV4)
    return AVAHI_PROTO_INET;
  /* Who listens at "::" is reached by IPv4, too. */
  return g_inet_address_get_is_any (address) ? AVAHI_PROTO_UNSPEC : AVAHI_PROTO_INET6;
}

static AvahiStringList *
make_txt (TandemAdvertiser *self)
{
  g_autoptr (GBytes) bytes = NULL;
  AvahiStringList *txt = NULL;
  gconstpointer data;
  gsize size;

  g_mutex_lock (&self->lock);
  bytes = g_bytes_ref (self->txt);
  g_mutex_unlock (&self->lock);
  data = g_bytes_get_data (bytes, &size);
  return avahi_string_list_parse (data, size, &txt) == 0 ? txt : NULL;
}

static void
next_name (TandemAdvertiser *self)
{
  char *name = avahi_alternative_service_name (self->name);

  GST_INFO ("\"%s\" is announced by somebody else; this is \"%s\"", self->name, name);
  g_free (self->name);
  self->name = g_strdup (name);
  avahi_free (name);
  self->n_collisions++;
}

static int
commit (TandemAdvertiser *self)
{
  AvahiStringList *txt = make_txt (self);
  int error;

  do {
    error = avahi_entry_group_add_service_strlst (self->group, find_interface (self->address),
                                                  find_protocol (self->address), 0, self->name,
                                                  self->type, NULL, NULL, self->port,
                                                  txt);
    if (error == AVAHI_ERR_COLLISION)
      next_name (self);
  } while (error == AVAHI_ERR_COLLISION && self->n_collisions < MAX_COLLISIONS);
  avahi_string_list_free (txt);
  return error < 0 ? error : avahi_entry_group_commit (self->group);
}

static void
announce (TandemAdvertiser *self)
{
  int error = commit (self);

  if (error >= 0)
    return;
  avahi_entry_group_reset (self->group);
  tell (self, NULL, error);
}

/* The first call can come before avahi_entry_group_new() returns. */
static void
on_group (AvahiEntryGroup *group, AvahiEntryGroupState state, void *data)
{
  TandemAdvertiser *self = data;

  self->group = group;
  switch (state) {
    case AVAHI_ENTRY_GROUP_ESTABLISHED:
      GST_INFO ("announced as \"%s\"", self->name);
      tell (self, self->name, AVAHI_OK);
      break;
    case AVAHI_ENTRY_GROUP_COLLISION:
      if (self->n_collisions >= MAX_COLLISIONS) {
        tell (self, NULL, AVAHI_ERR_COLLISION);
        break;
      }
      next_name (self);
      avahi_entry_group_reset (group);
      announce (self);
      break;
    case AVAHI_ENTRY_GROUP_FAILURE:
      tell (self, NULL, avahi_client_errno (avahi_entry_group_get_client (group)));
      break;
    case AVAHI_ENTRY_GROUP_UNCOMMITED:
    case AVAHI_ENTRY_GROUP_REGISTERING:
      break;
  }
}

static void
on_avahi (TandemAvahi *avahi, AvahiClient *client, AvahiClientState state, int error,
          gpointer data)
{
  TandemAdvertiser *self = data;

  self->running = avahi;
  switch (state) {
    case AVAHI_CLIENT_S_RUNNING:
      if (self->group == NULL)
        self->group = avahi_entry_group_new (client, on_group, self);
      if (self->group == NULL)
        tell (self, NULL, avahi_client_errno (client));
      else if (avahi_entry_group_is_empty (self->group))
        announce (self);
      break;
    case AVAHI_CLIENT_S_COLLISION:
    case AVAHI_CLIENT_S_REGISTERING:
      /* The host is about to get another name, which the announcement holds. */
      if (self->group != NULL)
        avahi_entry_group_reset (self->group);
      break;
    case AVAHI_CLIENT_FAILURE:
    case AVAHI_CLIENT_CONNECTING:
      /* Freed, it says goodbye. */
      g_clear_pointer (&self->group, avahi_entry_group_free);
      tell (self, NULL, error);
      break;
  }
}

static void
release (gpointer data)
{
  TandemAdvertiser *self = data;

  if (self->notify != NULL)
    self->notify (self->user_data);
  g_object_unref (self);
}

static void
tandem_advertiser_finalize (GObject *object)
{
  TandemAdvertiser *self = TANDEM_ADVERTISER (object);

  g_free (self->name);
  g_free (self->told);
  g_free (self->type);
  g_bytes_unref (self->txt);
  g_mutex_clear (&self->lock);
  g_clear_object (&self->address);
  G_OBJECT_CLASS (tandem_advertiser_parent_class)->finalize (object);
}

static void
tandem_advertiser_class_init (TandemAdvertiserClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_advertiser_finalize;
}

static void
tandem_advertiser_init (TandemAdvertiser *self)
{
  g_mutex_init (&self->lock);
}

/**
 * tandem_advertiser_new: (skip)
 * @service: what to say; copied
 * @address: the address that the stage listens at. It is announced on that interface only, or
 *   on all for an address as 0.0.0.0; an address of IPv4 to those who use IPv4
 * @port: its TCP port
 *
 * Returns: (transfer full): an advertiser that was not started
 */
TandemAdvertiser *
tandem_advertiser_new (const TandemServiceInfo *service, GInetAddress *address, guint16 port)
{
  g_autoptr (GBytes) txt = tandem_service_info_to_txt (service);

  return tandem_advertiser_new_for_type (TANDEM_SERVICE_TYPE, service->name, txt, address, port);
}

/**
 * tandem_advertiser_new_for_type: (skip)
 * @type: a DNS-SD service type
 * @name: what the service is called, UTF-8 of at most %TANDEM_SERVICE_MAX_NAME bytes
 * @txt: its TXT record
 * @address: as for tandem_advertiser_new()
 * @port: its TCP port
 *
 * Returns: (transfer full): an advertiser of something else than a stage, that was not started
 */
TandemAdvertiser *
tandem_advertiser_new_for_type (const char *type, const char *name, GBytes *txt,
                                GInetAddress *address, guint16 port)
{
  TandemAdvertiser *self = g_object_new (TANDEM_TYPE_ADVERTISER, NULL);

  self->type = g_strdup (type);
  self->txt = g_bytes_ref (txt);
  self->name = g_strdup (name);
  self->address = g_object_ref (address);
  self->port = port;
  return self;
}

static gboolean
update (gpointer data)
{
  TandemAdvertiser *self = data;
  AvahiStringList *txt;

  if (self->group == NULL || avahi_entry_group_is_empty (self->group))
    return G_SOURCE_REMOVE;
  txt = make_txt (self);
  avahi_entry_group_update_service_txt_strlst (self->group, find_interface (self->address),
                                               find_protocol (self->address), 0, self->name,
                                               self->type, NULL, txt);
  avahi_string_list_free (txt);
  return G_SOURCE_REMOVE;
}

/**
 * tandem_advertiser_set_txt: (skip)
 * @advertiser: an advertiser
 * @txt: its TXT record from now on
 *
 * Changes what is announced.
 */
void
tandem_advertiser_set_txt (TandemAdvertiser *advertiser, GBytes *txt)
{
  g_mutex_lock (&advertiser->lock);
  g_bytes_unref (advertiser->txt);
  advertiser->txt = g_bytes_ref (txt);
  g_mutex_unlock (&advertiser->lock);
  /* Its thread ends before the advertiser is released. */
  if (advertiser->avahi != NULL)
    g_source_unref (tandem_avahi_add_timeout (advertiser->avahi, 0, update, advertiser));
}

/**
 * tandem_advertiser_start: (skip)
 * @advertiser: an advertiser that was not started
 * @func: (nullable): told when the stage is announced, or cannot be
 * @user_data: for @func
 * @notify: (nullable): releases @user_data
 *
 * Begins to announce, in a thread of its own, with a main context of its own.
 */
void
tandem_advertiser_start (TandemAdvertiser *advertiser, TandemAdvertiserFunc func,
                         gpointer user_data, GDestroyNotify notify)
{
  g_return_if_fail (advertiser->avahi == NULL);
  advertiser->func = func;
  advertiser->user_data = user_data;
  advertiser->notify = notify;
  advertiser->avahi = tandem_avahi_new (on_avahi, g_object_ref (advertiser), release);
}

/**
 * tandem_advertiser_stop:
 * @advertiser: an advertiser
 *
 * Says goodbye. To be called before the last reference is released, and never in its
 * #TandemAdvertiserFunc.
 */
void
tandem_advertiser_stop (TandemAdvertiser *advertiser)
{
  TandemAvahi *avahi = advertiser->avahi;

  if (avahi == NULL)
    return;
  tandem_avahi_stop (avahi);
  advertiser->avahi = NULL;
}
