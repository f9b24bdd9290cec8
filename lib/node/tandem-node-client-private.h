/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to tandem-node-client*.c and tandem-node-info.c. */

#include "node/tandem-control-channel.h"
#include "node/tandem-node-client.h"
#include "place/tandem-place-json.h"

G_BEGIN_DECLS

typedef struct _TandemNodePending TandemNodePending;
typedef struct _TandemNodeTiming TandemNodeTiming;

/* A request whose answer has not come. */
struct _TandemNodePending
{
  TandemNodeClient *client;     /* borrowed */
  gint64 id;
  GTask *task;                  /* (nullable): nobody waits any more */
  GSource *cancel_source;       /* (nullable) */
  /* Takes the answer to the task; with no task, too. */
  void (*answer) (TandemNodePending *pending, const TandemPlaceObject *in);
};

/* A file that is sent. */
typedef struct
{
  gint64 id;                    /* of the request */
  GInputStream *stream;
  guint64 size, sent;
  gboolean is_wanted;           /* the node has said from where on */
  gboolean is_reading;
  GFileProgressCallback progress;
  gpointer progress_data;
} TandemNodeSending;

struct _TandemNodeClient
{
  GObject parent;

  GMainContext *context;
  char *host;                   /* as it was given, for messages */
  char *address;                /* (nullable): of the connection */
  guint16 port;
  TandemLink *link;             /* (nullable) */
  TandemControlChannel *channel;        /* (nullable): NULL when it has ended */
  gint64 next_id;
  GHashTable *pending;          /* id -> TandemNodePending */
  GSource *keepalive;           /* (nullable) */
  GTask *connecting;            /* (nullable) */
  GSource *connect_timeout;     /* (nullable) */
  TandemNodeSending *sending;   /* (nullable) */
  TandemNodeTiming *timing;     /* (nullable): the link is measured */
  guint64 data_left;            /* bytes that the node was asked for and that did not come yet */
  GError *refusal;              /* (nullable): what the node said before it ended */
};

/* tandem-node-client.c */
JsonBuilder *tandem_node_client_begin (TandemNodeClient *self, const char *request, gint64 *id);
/* json: (transfer full): complete but for its end; task: (transfer full) (nullable) */
void tandem_node_client_send (TandemNodeClient *self, gint64 id, JsonBuilder *json, GTask *task,
                              void (*answer) (TandemNodePending *, const TandemPlaceObject *));
void tandem_node_client_cancel (TandemNodeClient *self, gint64 id);

/* tandem-node-client-put.c */
void tandem_node_client_put_continue (TandemNodeClient *self, gint64 id, guint64 offset);
void tandem_node_client_put_drained (TandemNodeClient *self);
void tandem_node_client_put_end (TandemNodeClient *self, gint64 id);

/* tandem-node-client-link.c */
void tandem_node_client_timing_continue (TandemNodeClient *self, gint64 id);
void tandem_node_client_timing_drained (TandemNodeClient *self);
void tandem_node_client_timing_data (TandemNodeClient *self, gsize size);

/* tandem-node-client-events.c */
void tandem_node_client_install_signals (GObjectClass *klass);
void tandem_node_client_emit_closed (TandemNodeClient *self, const GError *error);
GError *tandem_node_client_read_error (const TandemPlaceObject *in);
void tandem_node_client_event (TandemNodeClient *self, const char *name,
                               const TandemPlaceObject *in);

/* tandem-node-info.c */
TandemNodeInfo *tandem_node_info_parse (const TandemPlaceObject *in);

G_END_DECLS
