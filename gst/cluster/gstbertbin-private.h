/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <tandem.h>

#include "cluster/tandem-answer-book.h"
#include "gstbertbin.h"

G_BEGIN_DECLS

typedef struct _BertChain BertChain;
typedef struct _BertWorker BertWorker;

/* What bertbin was told, as it is used from start to stop. */
typedef struct
{
  char *model;
  char *nodes;
  char *key;
  gboolean insecure;
  TandemPrecision precision;
  guint n_threads;
  char *formats;
  TandemPlacementObjective objective;
  char *placement;
  guint discovery_timeout;      /* milliseconds */
  guint timeout;                /* milliseconds */
  guint64 memory;
  gboolean local;
  guint max_unanswered;
  guint64 max_unanswered_bytes;
  guint64 cache_limit;          /* bytes */
} BertSettings;

struct _GstBertBin
{
  GstBin parent;

  GstPad *sinkpad, *srcpad;

  BertSettings settings;        /* object lock */
  char *current_placement;      /* object lock, (nullable) */

  /* set before the pads are active, gone after them */
  BertSettings used;
  TandemModel *model;
  TandemStreamInfo input, output;
  BertWorker *worker;
  gint was_told;                /* atomic: the error was posted */

  GMutex lock;                  /* innermost but for the object lock */
  GCond changed;                /* of anything under the lock */
  /* lock */
  TandemAnswerBook *book;
  BertChain *fed;               /* (nullable) borrowed: who is asked */
  TandemBatchShape largest;     /* of the micro-batches so far */
  TandemBatchShape sum;         /* of all of them */
  guint64 n_batches;
  gboolean drains;              /* the worker waits until all that was asked is answered */
  gboolean takes;               /* the sink pad is active and not flushing */
  gboolean gives;               /* so is the source pad */
  gboolean has_failed;          /* nothing is taken any more */
  GstFlowReturn flow;           /* what downstream said last */
};

/* --- gstbertbin.c --- */

/* Posts the error that ends everything, once; from any thread, without the lock. */
void gst_bert_bin_fail (GstBertBin *self, const GError *error, const char *debug);

/* --- gstbertbin-properties.c --- */

void gst_bert_bin_install_properties (GObjectClass *object_class);
void gst_bert_bin_set_current_placement (GstBertBin *self, const char *text);

/* --- gstbertbin-pads.c --- */

void gst_bert_bin_add_pads (GstBertBin *self, GstElementClass *klass);

/* For the ends of a chain, in its streaming threads. */

/* Waits until the chain is to be asked; (nullable): no longer, *flushing is set. */
GstBuffer *gst_bert_bin_wait_question (GstBertBin *self, BertChain *chain,
                                       const gboolean *flushing);
TandemAnswerResult gst_bert_bin_take_answer (GstBertBin *self, BertChain *chain,
                                             GstBuffer *logits, GError **error);

/* Whom to ask; anybody who was asked before is asked no more, and what is unanswered is asked
 * for again. */
void gst_bert_bin_feed (GstBertBin *self, BertChain *chain);

/* Nobody is asked any more; returns whether all that was asked is answered. If not,
 * bert_worker_drained() tells. */
gboolean gst_bert_bin_drain (GstBertBin *self);

G_END_DECLS
