/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: the TLS handshakes of those who connect, few at a time. A handshake has a thread of
 * GIO's pool, which the whole process shares: with that pool full of strangers who say nothing more,
 * nobody else would be let in. Belongs to one thread, in whose default context callbacks come. */

#include "net/tandem-link.h"

G_BEGIN_DECLS

typedef struct _TandemHandshakes TandemHandshakes;

TandemHandshakes *tandem_handshakes_new (void);
void tandem_handshakes_free (TandemHandshakes *handshakes);
void tandem_handshakes_begin (TandemHandshakes *handshakes, TandemLink *link, const char *origin,
                              gint64 timeout_us, GAsyncReadyCallback callback,
                              gpointer user_data);
gboolean tandem_handshakes_end (TandemHandshakes *handshakes, TandemLink *link);
guint tandem_handshakes_get_n_running (TandemHandshakes *handshakes);

char *tandem_net_describe_origin (GSocket *socket);

G_END_DECLS
