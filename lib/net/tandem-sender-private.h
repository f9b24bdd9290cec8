/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to tandem-sender*.c: the sender's state.
 *
 * The streaming thread calls send(), finish() and writes to the connection directly when it can;
 * the sender's own thread connects, says HELLO, reads, and writes when the streaming thread could
 * not finish or is not there. All writes happen with the lock held and never block, so that
 * whoever holds it continues the frame where the other one stopped.
 *
 * There is one lock, `lock`; no receipt is settled and no callback called while it is held. */

#include "net/tandem-link.h"
#include "net/tandem-sender.h"
#include "net/tandem-sender-item.h"

G_BEGIN_DECLS

struct _TandemSender
{
  GObject parent;

  /* set before start */
  char *host;
  guint16 port;
  guint window;
  guint64 window_bytes;
  guint reconnect_timeout;
  guint max_payload;
  TandemSenderFunc failed;
  gpointer user_data;
  guint8 stream_id[TANDEM_FRAME_STREAM_ID_SIZE];
  GThread *thread;
  GCancellable *cancellable;    /* ends a connection attempt */
  GCancellable *wake;           /* interrupts the thread's wait on the connection */

  GMutex lock;
  GCond cond;
  /* lock */
  gboolean stopping;
  gboolean eos_queued;
  GError *error;                /* why the stream cannot be completed; stays */
  TandemStreamInfo info;
  GBytes *caps, *segment;       /* as frames, for the buffers to come */
  guint64 next_sequence;
  GQueue items;                 /* TandemSenderItem not acknowledged, in order */
  guint n_buffers;              /* how many of them are buffers */
  guint64 buffer_bytes;         /* of these */
  guint n_completing;           /* acknowledged, receipts not told yet */
  gint64 lost_since;            /* monotonic: without progress since then; 0: all is well */
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
};

/* tandem-sender.c */
void tandem_sender_fail_locked (TandemSender *self, GError *error);

void tandem_sender_count_locked (TandemSender *self, const TandemSenderItem *item, int change);

/* tandem-sender-write.c */
void tandem_sender_pump_locked (TandemSender *self);

/* tandem-sender-connect.c */
TandemLink *tandem_sender_open_link (TandemSender *self, guint *keepalive, GError **error);

/* tandem-sender-service.c */
gpointer tandem_sender_service (gpointer sender);

G_END_DECLS
