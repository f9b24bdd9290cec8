/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to tandem-sender*.c: the sender's state.
 *
 * The streaming thread calls send(), finish() and writes to the connection directly when it can;
 * the sender's own thread connects, says HELLO, reads, and writes when the streaming thread could
 * not finish or is not there. All writes happen with the lock held and never block, so that
 * whoever holds it continues the frame where the other one stopped.
 *
 * Gradients that come back are handed over in a third thread: whatever their taker does, the
 * sender's own thread goes on reading acknowledgements and writing micro-batches.
 *
 * There is one lock, `lock`; no receipt is settled and no callback called while it is held. */

#include "net/tandem-link.h"
#include "net/tandem-peer-search.h"
#include "net/tandem-sender.h"
#include "net/tandem-sender-item.h"

G_BEGIN_DECLS

/* So many devices may drop the same micro-batch until it counts as one that nobody can do. */
#define TANDEM_SENDER_MAX_DROPS 3

struct _TandemSender
{
  GObject parent;

  /* set before start; with a discovery, host and port belong to the sender's own thread */
  char *host;
  guint16 port;
  guint window;
  guint64 window_bytes;
  guint reconnect_timeout;
  guint max_payload;
  gboolean insecure;            /* in clear beyond loopback */
  TandemSenderFunc failed;
  TandemSenderGradientFunc gradient;
  gpointer user_data;
  guint8 stream_id[TANDEM_FRAME_STREAM_ID_SIZE];
  TandemDiscovery *discovery;   /* (nullable): host and port come from it */
  TandemSenderSearchFunc search_func;
  gulong changed_handler;
  GThread *thread;
  TandemClusterKey *key;        /* (nullable): the thread may find one when it needs it */
  GCancellable *cancellable;    /* ends a connection attempt */
  GCancellable *wake;           /* interrupts the thread's wait on the connection */

  /* own thread only, with a discovery */
  TandemPeerSearch *search;
  TandemCandidate *candidate;   /* who is tried, or worked with */
  guint n_candidates;
  gint64 entered;               /* monotonic: when it took the stream; 0: it did not */

  GMutex lock;
  GCond cond;
  /* lock */
  gboolean stopping;
  gboolean candidates_changed;
  gboolean eos_queued;
  GError *error;                /* why the stream cannot be completed; stays */
  TandemStreamInfo info;
  GBytes *caps, *segment;       /* as frames, for the buffers to come */
  guint64 next_sequence;
  GQueue items;                 /* TandemSenderItem not acknowledged, in order */
  guint n_buffers;              /* how many of them are buffers */
  guint64 buffer_bytes;         /* of these */
  guint64 n_settled;            /* items that were acknowledged so far */
  guint n_completing;           /* acknowledged, receipts not told yet */
  gint64 lost_since;            /* monotonic: without progress since then; 0: all is well */
  /* lock: training */
  gboolean trains;              /* an event of training was queued */
  gboolean training_begun;      /* and went to some connection: there is no other one after it */
  GstEvent *training;           /* (nullable): what stages agree on; a flush does not take it */
  guint64 n_micro_batches;      /* since the begin of the stream or a flush */
  guint64 flushed_before;       /* gradients of lower sequence numbers are of no use */
  GHashTable *awaited;          /* sequence number -> TandemAwaited */
  GQueue gradients;             /* TandemGradient, for the thread that hands them over */
  GThread *gradient_thread;
  /* lock: the connection, after its HELLO */
  TandemLink *link;
  GList *unsent;                /* in items: the first not completely sent */
  GByteArray *control;          /* CAPS and SEGMENT that go before it */
  gsize offset;                 /* bytes of control and item that are gone */
  gboolean blocked;             /* the connection takes no more bytes for now */
  GBytes *caps_sent, *segment_sent;
  guint64 frames_sent, bytes_sent;
  guint64 credit_frames, credit_bytes;
  guint32 link_max_payload, link_max_sequences;
  guint32 link_features;
};

/* What is known of a micro-batch whose gradient did not come yet. */
typedef struct
{
  guint64 sequence;
  guint64 micro_batch;
  guint64 bytes;
} TandemAwaited;

/* tandem-sender.c */
void tandem_sender_fail_locked (TandemSender *self, GError *error);

void tandem_sender_count_locked (TandemSender *self, const TandemSenderItem *item, int change);

/* tandem-sender-write.c */
void tandem_sender_pump_locked (TandemSender *self);

/* tandem-sender-connect.c */
TandemLink *tandem_sender_open_link (TandemSender *self, guint *keepalive, GError **error);

/* tandem-sender-search.c */
gboolean tandem_sender_find_peer (TandemSender *self);
void tandem_sender_enter_peer (TandemSender *self);
gboolean tandem_sender_leave_peer (TandemSender *self, gboolean worked, const GError *reason);
gboolean tandem_sender_may_move_locked (TandemSender *self, TandemSenderItem *item);
void tandem_sender_stop_search (TandemSender *self);
void tandem_sender_clear_search (TandemSender *self);

/* tandem-sender-training.c */
void tandem_sender_init_training (TandemSender *self);
void tandem_sender_clear_training (TandemSender *self);
void tandem_sender_stop_training (TandemSender *self);
void tandem_sender_await_announcement_locked (TandemSender *self, guint64 sequence);

void tandem_sender_await_gradient_locked (TandemSender *self, const TandemSenderItem *item);
GQueue tandem_sender_flush_training_locked (TandemSender *self, guint64 sequence);
void tandem_sender_free_gradients (GQueue *gradients);
gboolean tandem_sender_check_gradient (const TandemFrame *frame, gpointer sender, GError **error);
gboolean tandem_sender_take_gradient (TandemSender *self, TandemLink *link,
                                      const TandemFrame *frame, GError **error);
void tandem_sender_fail_training_locked (TandemSender *self, const GError *reason);

/* tandem-sender.c */
void tandem_sender_append_locked (TandemSender *self, TandemSenderItem *item);

/* tandem-sender-service.c */
gpointer tandem_sender_service (gpointer sender);

G_END_DECLS
