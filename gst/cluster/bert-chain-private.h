/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to bert-chain*.c. */

#include "bert-chain.h"
#include "cluster/tandem-stage-files.h"

G_BEGIN_DECLS

/* What a chain has of a stop of its route. */
typedef struct
{
  TandemStageFile *file;        /* (nullable): that of its layers */
  char *digest;                 /* (nullable): as the node has it */
  gboolean is_waiting;          /* for an answer, while the chain is built */
  guint stage;                  /* its number at the node; 0: none */
  guint16 port;
  guint n_silent;               /* looks since the node said something last */
  guint n_pings;                /* that it has not answered */
  gboolean is_silent;
  /* The bin's lock: how long it computed, and for how much; what of it was looked at. */
  double busy, old_busy;
  guint64 n_sequences, old_sequences;
  gint64 began;                 /* here: when the micro-batch came that is computed */
  gint64 looked_at;             /* the worker's thread: when old_busy was */
  gulong signals[4];
} BertLeg;

struct _BertChain
{
  GstBertBin *bin;
  GMainContext *context;        /* of the worker; all below is used in its thread */
  BertRoute *route;
  BertChainFuncs funcs;
  gpointer user_data;
  GCancellable *cancellable;
  GstElement *element;          /* (nullable): the bin with what runs here */
  BertLeg *legs;                /* one for each stop */
  guint n_files;                /* stage files that are awaited */
  guint64 n_sent;
  guint next;                   /* stops from here on are built */
  guint16 next_port;
  gboolean has_tail, has_entry;
  GSource *stall, *watch;       /* (nullable) */
  guint n_looks;
  guint n_pending;              /* operations in the background */
  gboolean is_built, has_failed, is_ending, is_unmade;
  GError *error;                /* (nullable): the first of an element */

  /* the bin's lock */
  guint64 n_answered;
  gint64 progress;
};

GQuark bert_chain_quark (void);

/* bert-chain.c */
void bert_chain_unmake (BertChain *self);
void bert_chain_fail (BertChain *self, TandemNodeClient *blamed, const GError *error);
/* An operation in the background begins, and is over. */
void bert_chain_enter (BertChain *self);
void bert_chain_leave (BertChain *self);
/* It got on with being built. */
void bert_chain_touch (BertChain *self);
void bert_chain_build_failed (BertChain *self, TandemNodeClient *blamed, const GError *error);
gboolean bert_chain_is_over (BertChain *self);
void bert_chain_build_next (BertChain *self);
gboolean bert_chain_is_loopback (const char *host);

/* bert-chain-segment.c */
/* stop: whose layers are in the segment, or -1; next: the stop behind it, n_stops for the exit. */
void bert_chain_build_segment (BertChain *self, int stop, guint next);

/* bert-chain-watch.c */
void bert_chain_watch_start (BertChain *self);
void bert_chain_watch_node (BertChain *self, guint stop);
void bert_chain_watch_stop (BertChain *self);
/* Counts how long a stage on this device computes. */
void bert_chain_watch_stage (BertChain *self, guint stop, GstElement *stage);

G_END_DECLS
