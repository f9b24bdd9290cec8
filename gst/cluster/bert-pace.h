/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cluster/tandem-mover.h"

G_BEGIN_DECLS

/* How fast the work goes since it moved last, and whether it is to move again. Pure logic: time and
 * counts are given. */
typedef struct
{
  TandemMover mover;
  double expected;              /* of the placement when it was chosen; 0: not known */
  guint64 counted;              /* sequences that were answered when it was looked at */
  gint64 counted_at;            /* 0: its rate is not known yet */
  double rate;                  /* sequences a second; 0: not known */
} BertPace;

/* The work begins at another placement. */
void bert_pace_begin (BertPace *self);

/* n: sequences that were answered since then. Returns whether the rate is known now, and was not
 * before. */
gboolean bert_pace_look (BertPace *self, guint64 n, gint64 now);

/* What the placement does, what another would do, as sequences a second, and what moving costs, in
 * seconds. Returns (transfer none) (nullable) why to move, for people; NULL: it stays. */
const char *bert_pace_decide (BertPace *self, double current, double candidate, double cost,
                              gint64 now);

G_END_DECLS
