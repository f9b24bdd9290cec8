/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gstbertbin-private.h"

G_BEGIN_DECLS

/* Decides who runs which layers, in a thread of its own, in which chains are made and unmade. */
BertWorker *bert_worker_new (GstBertBin *bin);
/* Ends all chains, and then itself. */
void bert_worker_free (BertWorker *self);

/* From any thread: all that was asked has been answered. */
void bert_worker_drained (BertWorker *self);
/* From any thread: the first micro-batch, or one that is larger than any before. */
void bert_worker_grown (BertWorker *self);

G_END_DECLS
