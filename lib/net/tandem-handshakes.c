/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "net/tandem-handshakes.h"

#include <string.h>

/* Fewer than the threads that GIO's pool has at once; it gets more, but slowly. */
#define MAX_RUNNING 8

typedef struct
{
  TandemHandshakes *handshakes;
  TandemLink *link;
  char *origin;
  gint64 timeout_us;
  GAsyncReadyCallback callback;
  gpointer user_data;
  gboolean running;
  gboolean ended;               /* its connection was shut down, its thread returns soon */
} Handshake;

struct _TandemHandshakes
{
  GPtrArray *all;               /* the oldest first */
  guint n_running;
};

static void
handshake_free (gpointer data)
{
  Handshake *self = data;

  tandem_link_unref (self->link);
  g_free (self->origin);
  g_free (self);
}

TandemHandshakes *
tandem_handshakes_new (void)
{
  TandemHandshakes *self = g_new0 (TandemHandshakes, 1);

  self->all = g_ptr_array_new ();
  return self;
}

/* Nothing may run any more. */
void
tandem_handshakes_free (TandemHandshakes *handshakes)
{
  g_assert (handshakes->n_running == 0);
  g_ptr_array_set_free_func (handshakes->all, handshake_free);
  g_ptr_array_unref (handshakes->all);
  g_free (handshakes);
}

/* Those of an origin that keep a thread. */
static guint
count_running (TandemHandshakes *self, const char *origin)
{
  guint i, n = 0;

  for (i = 0; i < self->all->len; i++) {
    Handshake *other = g_ptr_array_index (self->all, i);

    n += other->running && !other->ended && g_str_equal (other->origin, origin);
  }
  return n;
}

static void run_next (TandemHandshakes *self);

static void
on_done (GObject *source, GAsyncResult *result, gpointer data)
{
  Handshake *handshake = data;
  TandemHandshakes *self = handshake->handshakes;

  g_ptr_array_remove (self->all, handshake);
  self->n_running--;
  run_next (self);
  handshake->callback (source, result, handshake->user_data);
  handshake_free (handshake);
}

/* Whose origin has fewest threads comes first, then who waits longest. */
static void
run_next (TandemHandshakes *self)
{
  Handshake *next = NULL;
  guint i, n, fewest = G_MAXUINT;

  if (self->n_running >= MAX_RUNNING)
    return;
  for (i = 0; i < self->all->len; i++) {
    Handshake *other = g_ptr_array_index (self->all, i);

    if (other->running || (n = count_running (self, other->origin)) >= fewest)
      continue;
    next = other;
    fewest = n;
  }
  if (next == NULL)
    return;
  next->running = TRUE;
  self->n_running++;
  tandem_link_handshake_async (next->link, next->timeout_us, on_done, next);
}

/* Ends the oldest handshake of the origin that has most of them, where @origin has fewer. */
static void
make_room (TandemHandshakes *self, const char *origin)
{
  Handshake *victim = NULL;
  guint i, n, most = count_running (self, origin) + 1;

  for (i = 0; i < self->all->len; i++) {
    Handshake *other = g_ptr_array_index (self->all, i);

    if (!other->running || other->ended || (n = count_running (self, other->origin)) <= most)
      continue;
    victim = other;
    most = n;
  }
  if (victim == NULL)
    return;
  victim->ended = TRUE;
  tandem_link_shutdown (victim->link);
}

/**
 * tandem_handshakes_begin: (skip)
 * @handshakes: handshakes
 * @link: a link with TLS whose peer connected to us
 * @origin: who shares this shares its part of the threads
 * @timeout_us: the longest that it may take once it runs, in microseconds
 * @callback: called with what tandem_link_handshake_finish() takes
 * @user_data: for @callback
 *
 * Does a handshake as soon as there is a thread for it.
 */
void
tandem_handshakes_begin (TandemHandshakes *handshakes, TandemLink *link, const char *origin,
                         gint64 timeout_us, GAsyncReadyCallback callback, gpointer user_data)
{
  Handshake *handshake = g_new0 (Handshake, 1);

  handshake->handshakes = handshakes;
  handshake->link = tandem_link_ref (link);
  handshake->origin = g_strdup (origin);
  handshake->timeout_us = timeout_us;
  handshake->callback = callback;
  handshake->user_data = user_data;
  g_ptr_array_add (handshakes->all, handshake);
  if (handshakes->n_running >= MAX_RUNNING)
    make_room (handshakes, origin);
  run_next (handshakes);
}

/**
 * tandem_handshakes_end: (skip)
 * @handshakes: handshakes
 * @link: the link of one
 *
 * Ends a handshake: its link is shut down.
 *
 * Returns: %TRUE if it had not begun, and its callback is not called any more; %FALSE if that
 *   will be called soon
 */
gboolean
tandem_handshakes_end (TandemHandshakes *handshakes, TandemLink *link)
{
  guint i;

  tandem_link_shutdown (link);
  for (i = 0; i < handshakes->all->len; i++) {
    Handshake *handshake = g_ptr_array_index (handshakes->all, i);

    if (handshake->link != link)
      continue;
    handshake->ended = TRUE;
    if (handshake->running)
      return FALSE;
    g_ptr_array_remove_index (handshakes->all, i);
    handshake_free (handshake);
    return TRUE;
  }
  return FALSE;
}

/* Those that keep a thread, those that were ended included. */
guint
tandem_handshakes_get_n_running (TandemHandshakes *handshakes)
{
  return handshakes->n_running;
}

/**
 * tandem_net_describe_origin: (skip)
 * @socket: a connection
 *
 * Who shares an address, or a network of IPv6, has the same origin: a host can have 2^64 addresses
 * of IPv6, but hardly more than one network.
 *
 * Returns: (transfer full): the origin of @socket
 */
char *
tandem_net_describe_origin (GSocket *socket)
{
  static const guint8 mapped[12] = { [10] = 0xff, [11] = 0xff };
  g_autoptr (GSocketAddress) remote = g_socket_get_remote_address (socket, NULL);
  GInetAddress *address;
  const guint8 *bytes;

  if (!G_IS_INET_SOCKET_ADDRESS (remote))
    return g_strdup ("?");
  address = g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (remote));
  bytes = g_inet_address_to_bytes (address);
  if (g_inet_address_get_family (address) != G_SOCKET_FAMILY_IPV6 ||
      g_inet_address_get_is_link_local (address) || memcmp (bytes, mapped, sizeof mapped) == 0)
    return g_inet_address_to_string (address);
  return g_strdup_printf ("%02x%02x:%02x%02x:%02x%02x:%02x%02x", bytes[0], bytes[1], bytes[2],
                          bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]);
}
