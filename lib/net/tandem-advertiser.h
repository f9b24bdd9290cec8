/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "net/tandem-service-info.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_ADVERTISER (tandem_advertiser_get_type ())

/**
 * TandemAdvertiser:
 *
 * Announces one stage that listens as %TANDEM_SERVICE_TYPE by mDNS, through the system's Avahi
 * daemon. It is announced again when the daemon comes back or the host gets another name, and
 * under a name with a number when another stage has the name.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemAdvertiser, tandem_advertiser, TANDEM, ADVERTISER, GObject)

/**
 * TandemAdvertiserFunc:
 * @advertiser: the advertiser
 * @name: (nullable): the name under which the stage is announced now; %NULL: it is not
 * @problem: (nullable): %TANDEM_NET_ERROR_NO_DISCOVERY, when it is not
 * @user_data: what was given to tandem_advertiser_start()
 *
 * Called when the stage is announced, or can no longer be, in the thread of @advertiser with no
 * lock held.
 */
typedef void (*TandemAdvertiserFunc) (TandemAdvertiser *advertiser, const char *name,
                                      const GError *problem, gpointer user_data);

TANDEM_API
TandemAdvertiser *tandem_advertiser_new (const TandemServiceInfo *service, GInetAddress *address,
                                         guint16 port);

TandemAdvertiser *tandem_advertiser_new_for_type (const char *type, const char *name, GBytes *txt,
                                                  GInetAddress *address, guint16 port);

void tandem_advertiser_set_txt (TandemAdvertiser *advertiser, GBytes *txt);

TANDEM_API
void tandem_advertiser_start (TandemAdvertiser *advertiser, TandemAdvertiserFunc func,
                              gpointer user_data, GDestroyNotify notify);

TANDEM_API
void tandem_advertiser_stop (TandemAdvertiser *advertiser);

G_END_DECLS
