/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* This device's side: interfaces, multicast, the Avahi daemon. */

#include "config.h"

#include "tandem-doctor-report.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* As mDNS, but of its own: administratively scoped (RFC 2365), a port of nobody. */
#define GROUP "239.255.77.77"
#define ECHO_MS 1000
#define DAEMON_MS 2000

typedef struct
{
  char *name;
  guint flags;
  GString *addresses;
  gboolean has_ipv4;
} Interface;

static void
interface_free (gpointer data)
{
  Interface *interface = data;

  g_free (interface->name);
  g_string_free (interface->addresses, TRUE);
  g_free (interface);
}

static Interface *
ensure_interface (GPtrArray *interfaces, const struct ifaddrs *from)
{
  Interface *interface;
  guint i;

  for (i = 0; i < interfaces->len; i++) {
    interface = interfaces->pdata[i];
    if (g_str_equal (interface->name, from->ifa_name))
      return interface;
  }
  interface = g_new0 (Interface, 1);
  interface->name = g_strdup (from->ifa_name);
  interface->flags = from->ifa_flags;
  interface->addresses = g_string_new (NULL);
  g_ptr_array_add (interfaces, interface);
  return interface;
}

static GPtrArray *
list_interfaces (void)
{
  GPtrArray *interfaces = g_ptr_array_new_with_free_func (interface_free);
  struct ifaddrs *first, *next;

  if (getifaddrs (&first) != 0)
    return interfaces;
  for (next = first; next != NULL; next = next->ifa_next) {
    Interface *interface = ensure_interface (interfaces, next);
    g_autoptr (GInetAddress) address = NULL;
    g_autofree char *text = NULL;

    if (next->ifa_addr == NULL)
      continue;
    if (next->ifa_addr->sa_family == AF_INET)
      address = g_inet_address_new_from_bytes (
          (const guint8 *) &((struct sockaddr_in *) (gpointer) next->ifa_addr)->sin_addr,
          G_SOCKET_FAMILY_IPV4);
    else if (next->ifa_addr->sa_family == AF_INET6)
      address = g_inet_address_new_from_bytes (
          (const guint8 *) &((struct sockaddr_in6 *) (gpointer) next->ifa_addr)->sin6_addr,
          G_SOCKET_FAMILY_IPV6);
    if (address == NULL)
      continue;
    interface->has_ipv4 |= next->ifa_addr->sa_family == AF_INET;
    text = g_inet_address_to_string (address);
    g_string_append_printf (interface->addresses, "%s%s", interface->addresses->len > 0 ? ", " : "",
                            text);
  }
  freeifaddrs (first);
  return interfaces;
}

/* --- the echo --- */

/* A datagram to the group, out of the interface, that this device hears itself. */
static gboolean
echo (const Interface *interface, GCancellable *cancellable, GError **error)
{
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_DATAGRAM,
                                             G_SOCKET_PROTOCOL_UDP, error);
  g_autoptr (GInetAddress) any = g_inet_address_new_any (G_SOCKET_FAMILY_IPV4);
  g_autoptr (GInetAddress) group = g_inet_address_new_from_string (GROUP);
  g_autoptr (GSocketAddress) bound = g_inet_socket_address_new (any, 0);
  g_autoptr (GSocketAddress) local = NULL, to = NULL;
  struct ip_mreqn request = { .imr_ifindex = (int) if_nametoindex (interface->name) };
  gint64 end = g_get_monotonic_time () + ECHO_MS * G_TIME_SPAN_MILLISECOND;
  guint64 sent = (guint64) g_random_int () << 32 | g_random_int (), got = 0;

  if (socket == NULL || !g_socket_bind (socket, bound, FALSE, error) ||
      (local = g_socket_get_local_address (socket, error)) == NULL ||
      !g_socket_join_multicast_group (socket, group, FALSE, interface->name, error))
    return FALSE;
  if (setsockopt (g_socket_get_fd (socket), IPPROTO_IP, IP_MULTICAST_IF, &request,
                  sizeof request) != 0) {
    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (errno), g_strerror (errno));
    return FALSE;
  }
  g_socket_set_multicast_loopback (socket, TRUE);
  g_socket_set_multicast_ttl (socket, 1);
  to = g_inet_socket_address_new (
      group, g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (local)));
  if (g_socket_send_to (socket, to, (const char *) &sent, sizeof sent, cancellable, error) < 0)
    return FALSE;
  while (got != sent) {
    if (!g_socket_condition_timed_wait (socket, G_IO_IN, MAX (end - g_get_monotonic_time (), 0),
                                        cancellable, error) ||
        g_socket_receive (socket, (char *) &got, sizeof got, cancellable, error) < 0)
      return FALSE;
  }
  return TRUE;
}

static void
examine_interface (TandemDoctor *doctor, const Interface *interface)
{
  gboolean is_up = (interface->flags & IFF_UP) != 0 && (interface->flags & IFF_RUNNING) != 0;
  gboolean is_multicast = (interface->flags & IFF_MULTICAST) != 0, came_back = FALSE;
  const char *addresses = interface->addresses->str;
  TandemDoctorFinding *finding;
  g_autoptr (GError) error = NULL;

  if (interface->flags & IFF_LOOPBACK) {
    finding = tandem_doctor_add (doctor, TANDEM_DOCTOR_OK, "network", interface->name,
                                 g_strdup_printf (_("this device itself, %s"), addresses), NULL);
  } else if (!is_up) {
    finding = tandem_doctor_add (doctor, TANDEM_DOCTOR_NOTE, "network", interface->name,
                                 g_strdup (_("is down, or has no cable or radio link")), NULL);
  } else if (addresses[0] == '\0') {
    finding = tandem_doctor_add (doctor, TANDEM_DOCTOR_NOTE, "network", interface->name,
                                 g_strdup (_("is up and has no address")), NULL);
  } else if (!is_multicast) {
    finding = tandem_doctor_add (doctor, TANDEM_DOCTOR_NOTE, "network", interface->name,
        g_strdup_printf (_("is up, %s, without multicast: nobody is found over it"), addresses),
        _("List the devices behind it in TANDEM_NODES or with --nodes."));
  } else if (!interface->has_ipv4) {
    finding = tandem_doctor_add (doctor, TANDEM_DOCTOR_OK, "network", interface->name,
        g_strdup_printf (_("is up, %s; multicast was not tried without IPv4"), addresses), NULL);
  } else {
    came_back = echo (interface, doctor->cancellable, &error);
    if (came_back)
      finding = tandem_doctor_add (doctor, TANDEM_DOCTOR_OK, "network", interface->name,
          g_strdup_printf (_("is up, %s; a multicast datagram came back"), addresses), NULL);
    else
      finding = tandem_doctor_add (doctor, TANDEM_DOCTOR_PROBLEM, "network", interface->name,
          g_strdup_printf (_("is up, %s; a multicast datagram to %s did not come back (%s), so "
                             "that mDNS cannot work over it either"), addresses, GROUP,
                           error->message),
          _("Let the firewall pass UDP to 224.0.0.0/4, or list devices in TANDEM_NODES."));
  }
  finding->details = json_object_new ();
  json_object_set_string_member (finding->details, "addresses", addresses);
  json_object_set_boolean_member (finding->details, "up", is_up);
  json_object_set_boolean_member (finding->details, "multicast", is_multicast);
  json_object_set_boolean_member (finding->details, "echo", came_back);
}

void
tandem_doctor_examine_network (TandemDoctor *doctor)
{
  g_autoptr (GPtrArray) interfaces = list_interfaces ();
  gboolean is_connected = FALSE;
  guint i;

  for (i = 0; i < interfaces->len && !g_cancellable_is_cancelled (doctor->cancellable); i++) {
    const Interface *interface = interfaces->pdata[i];

    is_connected |= (interface->flags & IFF_LOOPBACK) == 0 && (interface->flags & IFF_UP) != 0 &&
        (interface->flags & IFF_RUNNING) != 0 && interface->addresses->len > 0;
    examine_interface (doctor, interface);
  }
  if (!is_connected)
    tandem_doctor_add (doctor, TANDEM_DOCTOR_PROBLEM, "network", _("network"),
                       g_strdup (_("this device is on no network")),
                       _("Plug in a cable or join a wireless network, and get an address."));
}

/* --- the daemon --- */

static GVariant *
ask_daemon (TandemDoctor *doctor, GError **error)
{
  g_autoptr (GDBusConnection) bus = g_bus_get_sync (G_BUS_TYPE_SYSTEM, doctor->cancellable, error);

  if (bus == NULL)
    return NULL;
  return g_dbus_connection_call_sync (bus, "org.freedesktop.Avahi", "/",
                                      "org.freedesktop.Avahi.Server", "GetVersionString", NULL,
                                      G_VARIANT_TYPE ("(s)"), G_DBUS_CALL_FLAGS_NO_AUTO_START,
                                      DAEMON_MS, doctor->cancellable, error);
}

void
tandem_doctor_examine_daemon (TandemDoctor *doctor)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = ask_daemon (doctor, &error);
  const char *version;

  if (answer != NULL) {
    g_variant_get (answer, "(&s)", &version);
    tandem_doctor_add (doctor, TANDEM_DOCTOR_OK, "discovery", "Avahi",
                       g_strdup_printf (_("the daemon runs, %s"), version), NULL);
    return;
  }
  g_dbus_error_strip_remote_error (error);
  /* Who gave a list does without it. */
  tandem_doctor_add (doctor, doctor->nodes != NULL ? TANDEM_DOCTOR_NOTE : TANDEM_DOCTOR_PROBLEM,
                     "discovery", "Avahi",
                     g_strdup_printf (_("there is no daemon: devices are neither found nor "
                                        "announced by mDNS (%s)"), error->message),
                     _("Install avahi-daemon and start it (systemctl enable --now avahi-daemon), "
                       "or list devices in TANDEM_NODES."));
}
