/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "evolve/tandem-nondominated-private.h"

#include <math.h>

#include "evolve/tandem-optimizer-private.h"

typedef struct
{
  const TandemOutcome *outcomes;
  guint objective;
} Order;

static int
compare_values (gconstpointer a, gconstpointer b, gpointer data)
{
  const Order *order = data;
  guint left = *(const guint *) a, right = *(const guint *) b;
  double x = order->outcomes[left].values[order->objective];
  double y = order->outcomes[right].values[order->objective];

  /* By number where values are equal, so that there is one order. */
  return x != y ? (x > y) - (x < y) : (left > right) - (left < right);
}

static void
add_crowding (const TandemOutcome *outcomes, guint *members, guint n, guint objective,
              TandemStanding *standings)
{
  Order order = { outcomes, objective };
  double range;
  guint i;

  g_qsort_with_data (members, n, sizeof *members, compare_values, &order);
  range = outcomes[members[n - 1]].values[objective] - outcomes[members[0]].values[objective];
  standings[members[0]].crowding = INFINITY;
  standings[members[n - 1]].crowding = INFINITY;
  for (i = 1; i + 1 < n && range > 0; i++)
    standings[members[i]].crowding += (outcomes[members[i + 1]].values[objective] -
                                       outcomes[members[i - 1]].values[objective]) / range;
}

void
tandem_nondominated_sort (const TandemOutcome *outcomes, guint n, guint n_objectives,
                          TandemStanding *standings)
{
  g_autofree guint *n_better = g_new0 (guint, n);
  g_autofree guint *members = g_new (guint, n);
  guint n_ranked = 0, first, rank, i, k, m;

  for (i = 0; i < n; i++)
    for (k = 0; k < n; k++)
      n_better[i] += tandem_outcome_dominates (&outcomes[k], &outcomes[i], n_objectives);
  for (rank = 0; n_ranked < n; rank++) {
    first = n_ranked;
    for (i = 0; i < n; i++) {
      if (n_better[i] != 0)
        continue;
      /* It has its rank: it never counts as free again. */
      n_better[i] = G_MAXUINT;
      standings[i].rank = rank;
      standings[i].crowding = 0.0;
      members[n_ranked++] = i;
    }
    for (k = first; k < n_ranked; k++)
      for (i = 0; i < n; i++)
        if (n_better[i] != G_MAXUINT)
          n_better[i] -= tandem_outcome_dominates (&outcomes[members[k]], &outcomes[i],
                                                   n_objectives);
    for (m = 0; m < n_objectives; m++)
      add_crowding (outcomes, members + first, n_ranked - first, m, standings);
  }
}

int
tandem_standing_compare (const TandemStanding *a, const TandemStanding *b)
{
  if (a->rank != b->rank)
    return a->rank < b->rank ? -1 : 1;
  return (a->crowding < b->crowding) - (a->crowding > b->crowding);
}
