/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: a thread that talks to the system's Avahi daemon, and goes on when the daemon, or D-Bus
 * itself, goes away and comes back. */

#include <avahi-client/client.h>
#include <glib.h>

G_BEGIN_DECLS

typedef struct _TandemAvahi TandemAvahi;

/* In the thread of `avahi`. In the states S_REGISTERING, S_COLLISION and S_RUNNING the daemon can
 * be used; in all others what was made from `client` is of no use and is to be freed before the
 * function returns. `error` is what avahi_strerror() takes. The last call has the state FAILURE. */
typedef void (*TandemAvahiFunc) (TandemAvahi *avahi, AvahiClient *client, AvahiClientState state,
                                 int error, gpointer user_data);

TandemAvahi *tandem_avahi_new (TandemAvahiFunc func, gpointer user_data, GDestroyNotify notify);
void tandem_avahi_stop (TandemAvahi *avahi);
GSource *tandem_avahi_add_timeout (TandemAvahi *avahi, guint ms, GSourceFunc func, gpointer data);
gboolean tandem_avahi_is_stopping (TandemAvahi *avahi);
GError *tandem_avahi_describe (int error);
GError *tandem_avahi_describe_nodes (int error);

G_END_DECLS
