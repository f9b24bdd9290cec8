/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ranks of outcomes with several objectives. Not a part of the public API. */
#pragma once

#include "evolve/tandem-optimizer.h"

G_BEGIN_DECLS

/* How a candidate stands among others (Deb et al. 2002). */
typedef struct
{
  guint rank;                   /* 0: no other one beats it */
  double crowding;              /* how far its neighbours of this rank are; infinite at the ends */
} TandemStanding;

/* Fast non-dominated sort and crowding distance, sections III A and B of NSGA-II. */
void tandem_nondominated_sort (const TandemOutcome *outcomes, guint n, guint n_objectives,
                               TandemStanding *standings);

/* The crowded comparison operator: below 0 when a is to be preferred. */
int tandem_standing_compare (const TandemStanding *a, const TandemStanding *b);

G_END_DECLS
