/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-places.h"

typedef struct
{
  char *key;
  GList link;                   /* in one of the two queues; its data is this */
  gboolean has_place;
} Guest;

struct _TandemPlaces
{
  guint n_places, n_most;
  GHashTable *guests;           /* key -> Guest */
  GQueue placed, waiting;       /* who is there for longest comes first */
};

static void
guest_free (gpointer data)
{
  Guest *guest = data;

  g_free (guest->key);
  g_free (guest);
}

TandemPlaces *
tandem_places_new (guint n_places, guint n_most)
{
  TandemPlaces *self = g_new0 (TandemPlaces, 1);

  self->n_places = n_places;
  self->n_most = n_most;
  self->guests = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, guest_free);
  return self;
}

void
tandem_places_free (TandemPlaces *self)
{
  g_hash_table_unref (self->guests);
  g_free (self);
}

gboolean
tandem_places_add (TandemPlaces *self, const char *key)
{
  Guest *guest;

  if (g_hash_table_contains (self->guests, key) ||
      g_hash_table_size (self->guests) >= self->n_most)
    return FALSE;
  guest = g_new0 (Guest, 1);
  guest->key = g_strdup (key);
  guest->link.data = guest;
  g_hash_table_insert (self->guests, guest->key, guest);
  g_queue_push_tail_link (&self->waiting, &guest->link);
  return TRUE;
}

static void
leave_queue (TandemPlaces *self, Guest *guest)
{
  g_queue_unlink (guest->has_place ? &self->placed : &self->waiting, &guest->link);
}

void
tandem_places_remove (TandemPlaces *self, const char *key)
{
  Guest *guest = g_hash_table_lookup (self->guests, key);

  if (guest == NULL)
    return;
  leave_queue (self, guest);
  g_hash_table_remove (self->guests, key);
}

const char *
tandem_places_next (TandemPlaces *self)
{
  Guest *guest = g_queue_peek_head (&self->waiting);

  if (guest == NULL || g_queue_get_length (&self->placed) >= self->n_places)
    return NULL;
  leave_queue (self, guest);
  guest->has_place = TRUE;
  g_queue_push_tail_link (&self->placed, &guest->link);
  return guest->key;
}

void
tandem_places_give_up (TandemPlaces *self, const char *key)
{
  Guest *guest = g_hash_table_lookup (self->guests, key);

  g_return_if_fail (guest != NULL && guest->has_place);

  leave_queue (self, guest);
  guest->has_place = FALSE;
  g_queue_push_tail_link (&self->waiting, &guest->link);
}

gboolean
tandem_places_has (TandemPlaces *self, const char *key)
{
  Guest *guest = g_hash_table_lookup (self->guests, key);

  return guest != NULL && guest->has_place;
}

guint
tandem_places_get_n_waiting (TandemPlaces *self)
{
  return g_queue_get_length (&self->waiting);
}

char **
tandem_places_list (TandemPlaces *self, gboolean waiting)
{
  g_autoptr (GStrvBuilder) keys = g_strv_builder_new ();
  GList *link;

  for (link = waiting ? self->waiting.head : self->placed.head; link != NULL; link = link->next)
    g_strv_builder_add (keys, ((Guest *) link->data)->key);
  return g_strv_builder_end (keys);
}
