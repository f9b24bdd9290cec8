/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whoever connects and speaks as it likes, below the protocol. */

#include <gio/gio.h>
#include <sys/socket.h>

/* from: (nullable): the address of loopback that it comes from. */
static inline GSocket *
stranger_connect (const char *from, guint port)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", port);
  g_autoptr (GError) error = NULL;
  GSocket *socket =
      g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, &error);

  g_assert_no_error (error);
  if (from != NULL) {
    g_autoptr (GSocketAddress) own = g_inet_socket_address_new_from_string (from, 0);

    g_socket_bind (socket, own, FALSE, &error);
    g_assert_no_error (error);
  }
  g_socket_connect (socket, address, NULL, &error);
  g_assert_no_error (error);
  return socket;
}

/* As much as the peer takes before it hangs up. */
static inline gsize
stranger_send (GSocket *socket, gconstpointer data, gsize size)
{
  gsize sent = 0;

  while (sent < size) {
    gssize n = send (g_socket_get_fd (socket), (const guint8 *) data + sent, size - sent,
                     MSG_NOSIGNAL);

    if (n <= 0)
      break;
    sent += n;
  }
  return sent;
}

/* What the peer says until it hangs up; the test ends if it does not within 10 seconds. */
static inline GByteArray *
stranger_read_all (GSocket *socket)
{
  GByteArray *all = g_byte_array_new ();
  guint8 data[4096];

  for (;;) {
    g_autoptr (GError) error = NULL;
    gssize n;

    g_socket_condition_timed_wait (socket, G_IO_IN, 10 * G_USEC_PER_SEC, NULL, &error);
    g_assert_no_error (error);
    n = recv (g_socket_get_fd (socket), data, sizeof data, 0);
    if (n <= 0)
      return all;
    g_byte_array_append (all, data, n);
  }
}
