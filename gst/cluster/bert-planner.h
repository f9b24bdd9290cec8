/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bert-chain.h"

G_BEGIN_DECLS

/* Which devices there are, and which of them is to run which layers. In the thread of the worker,
 * whose context is the thread's default. */
typedef struct _BertPlanner BertPlanner;

/* Devices came, went, or became usable again. */
typedef void (*BertPlannerFunc) (gpointer user_data);

BertPlanner *bert_planner_new (GstBertBin *bin, BertPlannerFunc changed, gpointer user_data,
                               GError **error);
void bert_planner_free (BertPlanner *self);

/* Whether there is nobody of whom it is not known yet what he can do. */
gboolean bert_planner_is_settled (BertPlanner *self);

/* The best route that there is now for micro-batches of at most this shape; NULL: none, error says
 * why. */
BertRoute *bert_planner_choose (BertPlanner *self, const TandemBatchShape *shape,
                                GError **error);

/* Whether the file of the property "placement" is one of bin's model, whoever is there: devices that
 * it names may come. Any thread may ask. */
gboolean bert_planner_check_placement (GstBertBin *bin, GError **error);

/* Whether this device alone may run all layers. */
gboolean bert_planner_fits_here (BertPlanner *self, const TandemBatchShape *shape,
                                 GError **error);

/* What a route would do, as far as it is known now: sequences a second, or the inverse of the
 * latency; 0: it cannot be used or nothing is known. */
double bert_planner_evaluate (BertPlanner *self, const BertRoute *route);

/* Sequences a second that the measurements of devices and links promise for a route, with
 * micro-batches as they have been so far, whatever was learned since; 0: nothing is known. */
double bert_planner_predict (BertPlanner *self, const BertRoute *route);

/* Learns from how long the stages of a chain take. */
void bert_planner_measure (BertPlanner *self, BertChain *chain);

/* A node failed: it is not asked for a while, longer each time. */
void bert_planner_blame (BertPlanner *self, TandemNodeClient *client, const GError *error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BertPlanner, bert_planner_free)

G_END_DECLS
