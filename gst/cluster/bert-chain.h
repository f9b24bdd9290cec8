/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gstbertbin-private.h"

G_BEGIN_DECLS

/* Some layers on some device. */
typedef struct
{
  char *name;                   /* of the device, for people */
  char *key;                    /* (nullable): of the member of the cluster */
  TandemNodeClient *client;     /* (nullable): NULL is this device */
  char *host;                   /* (nullable): where this device reaches it */
  guint first, last;
  TandemWireFormats format;     /* of the rows that it sends on; NONE is f32 */
  guint n_threads;
} BertStop;

/* Which device runs which layers: consecutive, and all of them. */
typedef struct
{
  guint n_stops;
  BertStop *stops;
  double predicted;             /* sequences a second; 0: not known */
  double cost;                  /* seconds that moving to it takes */
  TandemBatchShape shape;       /* the largest micro-batch that it is made for */
} BertRoute;

BertRoute *bert_route_new (guint n_stops);
BertRoute *bert_route_new_local (GstBertBin *bin);
void bert_route_free (BertRoute *self);
gboolean bert_route_is_local (const BertRoute *self);
gboolean bert_route_is_equal (const BertRoute *a, const BertRoute *b);
gboolean bert_route_uses (const BertRoute *self, TandemNodeClient *client);
/* "layers 0-3 kitchen, layers 4-11 here" */
char *bert_route_describe (const BertRoute *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BertRoute, bert_route_free)

/* One way to run all layers: an entry, stages here and on other devices, and an exit. It is made,
 * and unmade, without blocking the thread of the worker that owns it. */

/* blamed: (nullable): the node that was at fault. In the worker's thread. */
typedef void (*BertChainFunc) (BertChain *chain, TandemNodeClient *blamed, const GError *error,
                               gpointer user_data);

/* built: it can be fed, or why not; failed: it does not answer any more (once); ended: nothing of
 * it is left. A chain that cannot be built fails only to be built. */
typedef struct
{
  BertChainFunc built, failed, ended;
} BertChainFuncs;

/* route: (transfer full) */
BertChain *bert_chain_new (GstBertBin *bin, BertRoute *route, GMainContext *context,
                           const BertChainFuncs *funcs, gpointer user_data);
BertChain *bert_chain_ref (BertChain *self);
void bert_chain_unref (BertChain *self);

void bert_chain_build (BertChain *self);
/* Begins to unmake it, whether it is built or not; `ended` comes, and nothing else any more. */
void bert_chain_end (BertChain *self);

const BertRoute *bert_chain_get_route (BertChain *self);
/* Bytes of stage files that had to be sent for it. */
guint64 bert_chain_get_sent (BertChain *self);

/* With the bin's lock. */
void bert_chain_asked (BertChain *self);
void bert_chain_answered (BertChain *self, guint n_sequences);
guint64 bert_chain_get_n_answered (BertChain *self);
/* Whether micro-batches of this shape may be asked of it. */
gboolean bert_chain_fits (BertChain *self, const TandemBatchShape *shape);
/* When it answered, or was fed again after it had answered all; 0: it was never asked. */
gint64 bert_chain_get_progress (BertChain *self);

/* In the worker's thread: seconds that a stop computed for a sequence lately, and in what part of
 * the time it computed; FALSE: not known, or not since it was asked for last. */
gboolean bert_chain_take_seconds (BertChain *self, guint stop, double *seconds, double *share);

/* From handle_message(), in any thread: an element of the chain had this error. */
void bert_chain_element_failed (BertChain *self, const GError *error);
/* (nullable): whose element this is */
BertChain *bert_chain_of (GstBertBin *bin, GstObject *object);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BertChain, bert_chain_unref)

G_END_DECLS
