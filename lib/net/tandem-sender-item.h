/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: one numbered frame that waits for its acknowledgement; or, in a receiver, a gradient
 * that waits to be written. */

#include "net/tandem-frame.h"

G_BEGIN_DECLS

typedef struct
{
  guint64 sequence;
  TandemFrameType type;
  gboolean begun;               /* its first byte went to some connection */
  gboolean flushed;             /* nobody wants it any more */
  gboolean training;            /* an event of training */
  gboolean agreement;           /* namely what all stages agree on */
  GBytes *caps, *segment;       /* the frames that must be in force before it */
  GstBuffer *buffer;
  GByteArray *prefix;           /* everything but the payload */
  GOutputVector *vectors;       /* prefix, then the memory of the buffer */
  guint n_vectors;
  GstMapInfo *maps;             /* one a vector but the first */
  gsize size;                   /* bytes on the wire */
  gsize payload;
  guint n_sequences;
  guint n_drops;                /* devices that dropped it */
} TandemSenderItem;

TandemSenderItem *tandem_sender_item_new_buffer (guint64 sequence, const TandemStreamInfo *info,
                                                 GstBuffer *buffer, GError **error);
TandemSenderItem *tandem_sender_item_new_event (guint64 sequence, TandemFrameEvent event);
TandemSenderItem *tandem_sender_item_new_training (guint64 sequence, GstEvent *event);
TandemSenderItem *tandem_sender_item_new_gradient (guint64 sequence,
                                                   const TandemGradientInfo *info,
                                                   GstBuffer *rows, GError **error);
TandemSenderItem *tandem_sender_item_new_eos (guint64 sequence);
void tandem_sender_item_free (TandemSenderItem *item);
void tandem_sender_item_complete (TandemSenderItem *item);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemSenderItem, tandem_sender_item_free)

G_END_DECLS
