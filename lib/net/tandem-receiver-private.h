/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to tandem-receiver*.c: the receiver's state.
 *
 * The streaming thread reads the connection that is served until the stream's EOS, the service
 * thread before its HELLO and after its EOS. Writes happen with the lock held and never block;
 * what is left over is written by the service thread. A gradient that was begun is written to its
 * end first, then what is in `out`, then the next gradient. No receipt is dropped and no callback
 * called while the lock is held. */

#include "net/tandem-handshakes.h"
#include "net/tandem-link.h"
#include "net/tandem-receiver.h"
#include "net/tandem-sender-item.h"
#include "stream/tandem-receipt.h"

G_BEGIN_DECLS

#define TANDEM_RECEIVER_KEEPALIVE_MS 400

typedef struct
{
  gatomicrefcount ref_count;
  TandemReceiver *receiver;     /* owned: receipts may outlive the element */
  guint8 id[TANDEM_FRAME_STREAM_ID_SIZE];
  /* receiver's lock */
  guint64 received;             /* the last sequence number that came */
  GHashTable *unsettled;        /* guint64 -> payload bytes, in the consumers' hands */
  GHashTable *dropped;          /* guint64: what consumers dropped */
  guint64 unsettled_bytes;
  gboolean trains;              /* an event of training came: it ends with its connection */
  gboolean flushed;             /* gradients may come for what is forgotten */
  guint64 n_micro_batches;      /* since its begin or a flush */
  GHashTable *owed;             /* of these, in training: number -> TandemOwed */
  gboolean delivered;           /* something of it was passed on */
  gboolean eos;
  gboolean done;                /* the sender knows that everything was consumed */
} TandemReceiverStream;

/* A micro-batch whose gradient the sender awaits. */
typedef struct
{
  guint64 micro_batch;
  guint64 sequence;
  guint64 bytes;
} TandemOwed;

struct _TandemReceiver
{
  GObject parent;

  /* set before the service thread starts */
  TandemReceiverOptions options;
  char *address;
  GstCaps *accepted;
  guint last_layer;
  TandemClusterKey *key;        /* (nullable): without it, in clear */
  TandemReceiverRefusedFunc refused;
  gpointer refused_data;
  GSocket *listener;
  guint16 port;
  GMainContext *context;
  GMainLoop *loop;
  GThread *thread;

  /* service thread only */
  GPtrArray *pending;           /* TandemReceiverClient, the oldest first */
  TandemHandshakes *handshakes;
  gint64 told;                  /* monotonic: when `refused` was called last */

  /* streaming thread only */
  TandemReceiverStream *reading;        /* whose frames are read */
  gboolean has_next_info, has_next_segment;
  TandemStreamInfo next_info;           /* of the frames that are read */
  GstSegment next_segment;
  TandemReceived held;                  /* comes after STREAM, CAPS and SEGMENT; ERROR: nothing */
  GstBuffer *held_buffer;
  GstEvent *held_event;
  TandemReceiverStream *known;          /* the stream that was announced */
  gboolean has_info, has_segment;
  TandemStreamInfo info;                /* announced */
  GstSegment segment;                   /* announced */

  GMutex lock;
  GCond cond;
  /* lock */
  gboolean closing;
  gboolean served;              /* the one stream is over; no other is taken */
  GError *refusal;              /* a stream was refused at its HELLO */
  GError *lost;                 /* why the stream that trained ended */
  TandemReceiverStream *stream;
  gint64 away_since;            /* monotonic; the stream has no connection since then */
  /* lock: the connection that is served */
  TandemLink *link;
  GByteArray *out;
  GSource *out_source;
  GQueue gradients;             /* TandemSenderItem, the first perhaps begun */
  gsize gradient_offset;        /* bytes of it that are gone */
  gsize gradient_bytes;         /* of all */
  gint64 wrote;                 /* monotonic */
  guint64 got_frames, got_bytes;
  guint64 granted_frames, granted_bytes;
};

/* tandem-receiver-stream.c */
TandemReceiverStream *tandem_receiver_stream_new (TandemReceiver *receiver, const guint8 *id);
TandemReceiverStream *tandem_receiver_stream_ref (TandemReceiverStream *stream);
void tandem_receiver_stream_unref (TandemReceiverStream *stream);
TandemReceipt *tandem_receiver_stream_promise (TandemReceiverStream *stream, guint64 sequence);
void tandem_receiver_stream_repeat_acks (TandemReceiverStream *stream, guint64 first,
                                         GByteArray *out);
gboolean tandem_receiver_stream_is_over (TandemReceiverStream *stream);

/* tandem-receiver-connection.c */
void tandem_receiver_flush_out_locked (TandemReceiver *self);
void tandem_receiver_ack_locked (TandemReceiver *self, guint64 sequence, TandemAckStatus status);
void tandem_receiver_grant_locked (TandemReceiver *self, guint64 bytes);
void tandem_receiver_adopt_locked (TandemReceiver *self, TandemLink *link,
                                   const TandemHello *hello);
TandemLink *tandem_receiver_steal_link_locked (TandemReceiver *self);
gboolean tandem_receiver_lose_link (TandemReceiver *self, TandemLink *link, const GError *reason,
                                    GError **end);
void tandem_receiver_drop_stream (TandemReceiver *self, TandemLink *link, const GError *reason);

/* tandem-receiver-receive.c */
void tandem_receiver_hold (TandemReceiver *self, TandemReceived what, GstBuffer *buffer,
                           GstEvent *event);

/* tandem-receiver-training.c */
void tandem_receiver_begin_training_locked (TandemReceiver *receiver, guint64 sequence,
                                            GstEvent *event);

void tandem_receiver_owe_locked (TandemReceiver *self, guint64 sequence, GstBuffer *buffer);
void tandem_receiver_forget_gradients_locked (TandemReceiver *self);
gboolean tandem_receiver_lose_training_locked (TandemReceiver *self, const char *peer,
                                               const GError *reason, gboolean told);

/* tandem-receiver-client.c */
typedef struct _TandemReceiverClient TandemReceiverClient;
void tandem_receiver_client_unref (TandemReceiverClient *client);
void tandem_receiver_greet (TandemReceiver *self, GSocket *socket);
void tandem_receiver_forget_clients (TandemReceiver *self);

/* tandem-receiver-hello.c */
gboolean tandem_receiver_check_hello (TandemReceiver *self, const TandemHello *hello,
                                      GError **error);
gboolean tandem_receiver_choose_stream_locked (TandemReceiver *self, const TandemHello *hello,
                                               TandemReceiverStream **old, GError **error);

/* tandem-receiver-service.c */
void tandem_receiver_service_start (TandemReceiver *self);
void tandem_receiver_service_stop (TandemReceiver *self);
void tandem_receiver_service_watch_locked (TandemReceiver *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemReceiverStream, tandem_receiver_stream_unref)

G_END_DECLS
