/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: a connection of the control protocol, on either side. It is used in one thread, whose
 * context it was made with; nothing here blocks. */

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include "net/tandem-link.h"
#include "node/tandem-control.h"

G_BEGIN_DECLS

typedef struct _TandemControlChannel TandemControlChannel;

typedef struct
{
  void (*ready) (TandemControlChannel *channel, gpointer user_data);    /* the preamble came */
  void (*message) (TandemControlChannel *channel, JsonObject *object, gpointer user_data);
  /* (nullable) */
  void (*data) (TandemControlChannel *channel, GBytes *bytes, gpointer user_data);
  /* (nullable): all that was sent has left this process */
  void (*drained) (TandemControlChannel *channel, gpointer user_data);
  /* Once, never from within a call of ours; error: NULL when the peer ended between two frames. */
  void (*closed) (TandemControlChannel *channel, const GError *error, gpointer user_data);
} TandemControlFuncs;

TandemControlChannel *tandem_control_channel_new (TandemLink *link, GMainContext *context,
                                                  const TandemControlFuncs *funcs,
                                                  gpointer user_data);
TandemControlChannel *tandem_control_channel_ref (TandemControlChannel *self);
void tandem_control_channel_unref (TandemControlChannel *self);

void tandem_control_channel_start (TandemControlChannel *self);
void tandem_control_channel_close (TandemControlChannel *self);

TandemLink *tandem_control_channel_get_link (TandemControlChannel *self);
gint64 tandem_control_channel_get_last_read (TandemControlChannel *self);

void tandem_control_channel_set_paused (TandemControlChannel *self, gboolean paused);
void tandem_control_channel_set_max_data (TandemControlChannel *self, gsize max_data);

void tandem_control_channel_send (TandemControlChannel *self, JsonBuilder *json);
void tandem_control_channel_send_data (TandemControlChannel *self, GBytes *bytes);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemControlChannel, tandem_control_channel_unref)

G_END_DECLS
