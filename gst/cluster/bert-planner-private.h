/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to bert-planner*.c. */

#include "bert-planner.h"
#include "cluster/tandem-mover.h"

G_BEGIN_DECLS

/* What is remembered of a device. */
typedef struct
{
  gint64 pause, until;          /* it is not used before */
  TandemSlowness slowness;
} BertRecord;

struct _BertPlanner
{
  GstBertBin *bin;              /* borrowed */
  BertPlannerFunc changed;
  gpointer user_data;
  TandemCluster *cluster;
  TandemWireFormats formats;
  GHashTable *records;          /* key of a member, "" for this device -> BertRecord */
  GCancellable *preparing;      /* (nullable) */
  gboolean is_prepared, is_freed, was_warned;
  gint64 next_prepare;

  /* The last problem, and what it was made of; gone when something changed. */
  TandemPlacementProblem *problem;      /* (nullable) */
  TandemPlacementProblem *plain;        /* (nullable): as the profiles say */
  GPtrArray *members;           /* (nullable): of TandemClusterMember, by device */
  TandemBatchShape mean;
};

/* bert-planner.c */
/* key: of a member; NULL is this device */
BertRecord *bert_planner_get_record (BertPlanner *self, const char *key);
gboolean bert_planner_may_use (BertPlanner *self, const TandemClusterMember *member);
void bert_planner_forget (BertPlanner *self);

/* bert-planner-problem.c */
gboolean bert_planner_make_problem (BertPlanner *self, const TandemBatchShape *largest,
                                    GError **error);
/* Who is there by name, for a placement that is given: nobody has to be measured for it. */
gboolean bert_planner_make_named_problem (BertPlanner *self, const TandemBatchShape *shape,
                                          GError **error);

G_END_DECLS
