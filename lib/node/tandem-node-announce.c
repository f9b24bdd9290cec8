/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The node on the local network's mDNS, through the system's Avahi daemon, as _tandem-node._tcp.
 * What is announced are the node's facts. */

#include "config.h"

#include "tandem-node-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Strings of a TXT record (RFC 1035, 3.3). */
#define MAX_STRING 255

/* What the advertiser says in its thread, on the way to ours. */
typedef struct
{
  TandemNode *node;
  char *text;
  gboolean is_announced;
} News;

static void
news_free (gpointer data)
{
  News *news = data;

  g_object_unref (news->node);
  g_free (news->text);
  g_free (news);
}

static gboolean
on_news (gpointer data)
{
  News *news = data;

  tandem_node_tell (news->node, news->is_announced ? "announced" : "not-announced", NULL, "%s",
                    news->text);
  return G_SOURCE_REMOVE;
}

static void
on_advertiser (TandemAdvertiser *advertiser, const char *name, const GError *problem,
               gpointer user_data)
{
  TandemNode *self = user_data;
  News *news = g_new0 (News, 1);

  news->node = g_object_ref (self);
  news->is_announced = name != NULL;
  news->text = name != NULL ? g_strdup_printf (_("announced on the local network as \"%s\""), name)
                            : g_strdup (problem->message);
  g_main_context_invoke_full (self->context, G_PRIORITY_DEFAULT, on_news, news, news_free);
}

static GBytes *
make_txt (TandemNode *self)
{
  g_auto (GStrv) facts = tandem_node_make_facts (self);
  g_autoptr (GByteArray) txt = g_byte_array_new ();
  guint i;

  for (i = 0; facts[i] != NULL; i++) {
    guint8 size = MIN (strlen (facts[i]), MAX_STRING);

    g_byte_array_append (txt, &size, 1);
    g_byte_array_append (txt, (const guint8 *) facts[i], size);
  }
  return g_byte_array_free_to_bytes (g_steal_pointer (&txt));
}

/* Begins to announce a node that listens; on loopback nobody could come. */
void
tandem_node_announce (TandemNode *self)
{
  g_autoptr (GSocketAddress) local = NULL;
  GInetAddress *address;

  if (!self->advertise)
    return;
  local = g_socket_get_local_address (self->listener, NULL);
  if (!G_IS_INET_SOCKET_ADDRESS (local))
    return;
  address = g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (local));
  if (g_inet_address_get_is_loopback (address))
    return;
  self->announced = make_txt (self);
  self->advertiser = tandem_advertiser_new_for_type (TANDEM_NODE_SERVICE_TYPE, self->name,
                                                     self->announced, address,
                                                     self->current_port);
  tandem_advertiser_start (self->advertiser, on_advertiser, g_object_ref (self), g_object_unref);
}

/* The facts may have changed. */
void
tandem_node_announce_again (TandemNode *self)
{
  g_autoptr (GBytes) txt = NULL;

  if (self->advertiser == NULL)
    return;
  txt = make_txt (self);
  if (g_bytes_equal (txt, self->announced))
    return;
  g_bytes_unref (self->announced);
  self->announced = g_bytes_ref (txt);
  tandem_advertiser_set_txt (self->advertiser, txt);
}

/* Says goodbye. */
void
tandem_node_announce_no_more (TandemNode *self)
{
  if (self->advertiser != NULL)
    tandem_advertiser_stop (self->advertiser);
  g_clear_object (&self->advertiser);
  g_clear_pointer (&self->announced, g_bytes_unref);
}
