/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to tandem-node*.c. Everything here belongs to the thread of the node; what others do,
 * they do between tandem_node_run() and its callback. */

#include <gst/gst.h>
#include <json-glib/json-glib.h>

#include "model/tandem-bert-stage.h"
#include "net/tandem-advertiser.h"
#include "net/tandem-handshakes.h"
#include "net/tandem-link.h"
#include "node/tandem-available-memory.h"
#include "node/tandem-control-channel.h"
#include "node/tandem-node.h"
#include "node/tandem-stage-cache.h"
#include "place/tandem-place-json.h"
#include "place/tandem-profile.h"

G_BEGIN_DECLS

typedef struct _TandemNodeConnection TandemNodeConnection;
typedef struct _TandemNodeRequest TandemNodeRequest;
typedef struct _TandemNodePipeline TandemNodePipeline;
typedef struct _TandemNodeTransfer TandemNodeTransfer;

/* How far a connection is. When there are too many, the first kind is put out first. */
typedef enum
{
  TANDEM_NODE_REFUSED,          /* reads why */
  TANDEM_NODE_LOOK,             /* its first record comes, with TLS */
  TANDEM_NODE_HANDSHAKE,        /* GIO does it in a thread of its own */
  TANDEM_NODE_GREETED,          /* has the key, or there is none, and has asked for nothing yet */
  TANDEM_NODE_SERVED,
} TandemNodeStage;

struct _TandemNode
{
  GObject parent;

  /* set before it starts */
  char *name;
  char *address;
  guint port;
  TandemClusterKey *key;        /* (nullable) */
  gboolean insecure;
  guint64 memory_limit;         /* bytes; 0: what is available */
  guint n_threads;              /* the most of a stage */
  char *cache_folder;           /* (nullable) */
  guint64 cache_limit;
  guint report_interval;        /* milliseconds */
  guint handshake_timeout;      /* milliseconds */
  guint silence_timeout;        /* milliseconds */
  guint max_pending, max_connections;
  gboolean advertise;

  /* from start to stop */
  GMainContext *context;
  GSocket *listener;
  GSource *accept_source;
  guint16 current_port;
  TandemStageCache *cache;
  GPtrArray *connections;       /* of TandemNodeConnection */
  TandemAdvertiser *advertiser; /* (nullable) */
  GBytes *announced;            /* (nullable): its TXT record */
  GTask *stopping;              /* (nullable) */

  guint64 memory_used;          /* of the pipelines */
  guint n_pipelines;
  guint next_pipeline;
  guint n_tasks;                /* that other threads do */
  TandemHandshakes *handshakes;
  gboolean is_measuring;        /* two profiles would disturb each other */
  gboolean is_timing;           /* so would two measurements of links */
  guint n_outgoing;             /* others that it connects to for somebody */
  double speed;                 /* operations a second, of the last profile; 0: none */
  gint64 told;                  /* when strangers were told of last, monotonic */
};

struct _TandemNodeConnection
{
  guint ref_count;
  TandemNode *node;             /* borrowed: it waits for all that we began */
  TandemLink *link;
  TandemControlChannel *channel;        /* (nullable): from GREETED on */
  char *origin;                 /* who shares an address, or an IPv6 network, shares this */
  TandemNodeStage stage;
  GSource *readable, *timeout;  /* (nullable) */
  gboolean gone;

  GCancellable *cancellable;    /* of all that it asked for */
  GHashTable *requests;         /* id -> TandemNodeRequest, borrowed */

  /* the file that comes in */
  TandemNodeRequest *put;       /* (nullable) */
  TandemStageUpload *upload;    /* (nullable) */
  gboolean is_writing;          /* another thread has the upload */
  TandemNodeTransfer *transfer; /* (nullable): data that is only timed */

  GPtrArray *pipelines;         /* of TandemNodePipeline, borrowed: a pipeline frees itself */
  GSource *report;              /* (nullable) */
};

/* Something that was asked for and is not answered yet. */
struct _TandemNodeRequest
{
  TandemNodeConnection *connection;
  gint64 id;
  GCancellable *cancellable;
  gulong handler;
};

/* tandem-node.c */

/* Tells the application what happens; peer: NULL for the node itself. */
void tandem_node_tell (TandemNode *self, const char *what, const char *peer, const char *format,
                       ...) G_GNUC_PRINTF (4, 5);
/* Has func run in another thread; done, which frees what it needs itself, comes in ours and is the
 * end of it. The node is there until then. */
void tandem_node_run (TandemNode *self, GCancellable *cancellable, GTaskThreadFunc func,
                      GAsyncReadyCallback done, gpointer data);
void tandem_node_ran (TandemNode *self);
void tandem_node_check_stopped (TandemNode *self);
void tandem_node_changed (TandemNode *self);

/* tandem-node-announce.c */
void tandem_node_announce (TandemNode *self);
void tandem_node_announce_again (TandemNode *self);
void tandem_node_announce_no_more (TandemNode *self);

/* tandem-node-door.c */
void tandem_node_greet (TandemNode *self, GSocket *socket);

/* tandem-node-connection.c */
TandemNodeConnection *tandem_node_connection_ref (TandemNodeConnection *self);
void tandem_node_connection_unref (TandemNodeConnection *self);
void tandem_node_connection_stop_sources (TandemNodeConnection *self);
void tandem_node_connection_begin (TandemNodeConnection *self);
void tandem_node_connection_refuse (TandemNodeConnection *self, const char *code,
                                    const char *message);
void tandem_node_connection_leave (TandemNodeConnection *self, const char *why);
JsonBuilder *tandem_node_connection_begin_event (const char *name);
void tandem_node_connection_send (TandemNodeConnection *self, JsonBuilder *json);
/* (nullable) (transfer full): the address of whoever asks, as this device sees it */
char *tandem_node_connection_get_peer_host (TandemNodeConnection *self);
/* (transfer full): a host that was named by whoever asks, as this device is to use it */
char *tandem_node_connection_use_host (TandemNodeConnection *self, const char *host);

/* tandem-node-request.c */
const char *tandem_node_error_to_string (const GError *error);
void tandem_node_add_error (JsonBuilder *json, const GError *error);
void tandem_node_add_number (JsonBuilder *json, const char *name, guint64 value);
void tandem_node_add_double (JsonBuilder *json, const char *name, double value);
void tandem_node_add_text (JsonBuilder *json, const char *name, const char *value);

TandemNodeRequest *tandem_node_request_new (TandemNodeConnection *connection, gint64 id);
JsonBuilder *tandem_node_request_begin (TandemNodeRequest *self);
void tandem_node_request_finish (TandemNodeRequest *self, JsonBuilder *json);
void tandem_node_request_fail (TandemNodeRequest *self, const GError *error);

/* Read what a request may say and need not; FALSE when it says it wrongly. */
gboolean tandem_node_get_whole (const TandemPlaceObject *in, const char *member, guint64 least,
                                guint64 most, guint64 otherwise, guint64 *value);
gboolean tandem_node_get_precision (const TandemPlaceObject *in, TandemPrecision *precision);
const char *tandem_node_get_digest (const TandemPlaceObject *in);

/* What each request is: they take the request, and answer it at once or later. */

/* tandem-node-describe.c */
void tandem_node_describe (TandemNodeRequest *request, const TandemPlaceObject *in);
char **tandem_node_make_facts (TandemNode *self);

/* tandem-node-put.c */
void tandem_node_have (TandemNodeRequest *request, const TandemPlaceObject *in);
void tandem_node_put (TandemNodeRequest *request, const TandemPlaceObject *in);
void tandem_node_put_data (TandemNodeConnection *connection, GBytes *bytes);
void tandem_node_put_abandon (TandemNodeConnection *connection);
void tandem_node_put_cancelled (TandemNodeConnection *connection, TandemNodeRequest *request);

/* tandem-node-transfer.c */
void tandem_node_receive (TandemNodeRequest *request, const TandemPlaceObject *in);
void tandem_node_send (TandemNodeRequest *request, const TandemPlaceObject *in);
gboolean tandem_node_transfer_data (TandemNodeConnection *connection, GBytes *bytes);
void tandem_node_transfer_drained (TandemNodeConnection *connection);
/* request: NULL for whatever there is */
void tandem_node_transfer_cancelled (TandemNodeConnection *connection, TandemNodeRequest *request);

/* tandem-node-measure.c */
void tandem_node_measure (TandemNodeRequest *request, const TandemPlaceObject *in);
void tandem_node_reach (TandemNodeRequest *request, const TandemPlaceObject *in);

/* tandem-node-profile.c */
void tandem_node_profile (TandemNodeRequest *request, const TandemPlaceObject *in);

/* tandem-node-build.c */
void tandem_node_build (TandemNodeRequest *request, const TandemPlaceObject *in);

/* tandem-node-pipeline.c */
struct _TandemNodePipeline
{
  TandemNodeConnection *connection;
  guint id;
  char digest[TANDEM_STAGE_CACHE_DIGITS + 1];   /* pinned */
  char *model_path;
  guint first_layer, last_layer, n_threads;
  TandemPrecision precision;
  TandemWireFormats format;     /* of activations that it sends */
  char *host;                   /* where results go */
  guint16 next_port;
  guint64 max_payload;          /* bytes; 0: as many as tcpactsrc takes */
  guint64 memory;               /* reserved; 0: not yet */
  guint16 port;

  GstElement *pipeline, *source;        /* (nullable); the source is borrowed from the pipeline */
  GSource *bus;                 /* (nullable) */
  GError *error;                /* (nullable): why it does not start */
  GList *stoppers;              /* of TandemNodeRequest, answered when it has stopped */
  gboolean is_stopping;
  gboolean is_busy;             /* another thread starts or stops it */

  /* atomic: the streaming thread counts */
  guint64 n_sequences, n_rows;
  gint64 began;                 /* when the micro-batch that is being computed came; 0: none is */
  gint64 busy;                  /* microseconds spent on all before */
  GMutex lock;

  guint64 reported_sequences, reported_rows;
  gint64 reported;              /* monotonic */
};

TandemNodePipeline *tandem_node_pipeline_new (TandemNodeConnection *connection);
void tandem_node_pipeline_free (TandemNodePipeline *self);
gboolean tandem_node_pipeline_start (TandemNodePipeline *self, GError **error);
void tandem_node_pipeline_watch (TandemNodePipeline *self);
void tandem_node_pipeline_stop (TandemNodePipeline *self);
void tandem_node_stop_pipeline (TandemNodeRequest *request, const TandemPlaceObject *in);
void tandem_node_add_pipelines (TandemNodeConnection *connection, JsonBuilder *json);

G_END_DECLS
