/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the files of the optimizer share. Not a part of the public API. */
#pragma once

#include "evolve/tandem-optimizer.h"
#include "evolve/tandem-search-space-private.h"

G_BEGIN_DECLS

#define TANDEM_OPTIMIZER_MAX_RUNGS 16
#define TANDEM_OPTIMIZER_USUAL_BUDGET 1000

struct _TandemTrial
{
  grefcount n_refs;
  TandemParameterSet *candidate;
  guint64 number;
  guint rung;
  double fidelity;
  guint64 seed;
};

/* Takes the candidate. */
TandemTrial *tandem_trial_new (TandemParameterSet *candidate, guint64 number, guint rung,
                               double fidelity, guint64 seed);

typedef enum
{
  TANDEM_RECORD_READY,          /* waits to be asked for */
  TANDEM_RECORD_RUNNING,        /* was asked for */
  TANDEM_RECORD_TOLD,           /* waits for its turn */
  TANDEM_RECORD_FINAL,          /* failed, stopped, or at the last rung */
} TandemRecordState;

/* A proposed candidate; its point is in the array of points. */
typedef struct
{
  TandemRecordState state;
  TandemOutcome outcome;        /* of the highest rung told; owns the gradient */
  guint64 original;             /* number of the one that it equals; else its own */
  char *reason;                 /* why it failed */
  GArray *lower;                /* TandemOutcome of lower rungs, by rung; NULL: none */
} TandemRecord;

typedef struct
{
  TandemSearchSpace *space;
  guint64 seed, budget;
  guint population, window, n_objectives, n_rungs;
  double target, time_limit, reduction;
  gboolean started;

  GArray *records;              /* TandemRecord by number */
  GArray *points;               /* double: n_dimensions for each */
  GArray *values;               /* double: scratch of one candidate */
  GArray *other_values;
  GHashTable *known;            /* hash of values (guint64, owned) -> number + 1 */
  GQueue ready;                 /* numbers + 1 whose trial is to be asked for, first those first */
  guint n_running;
  guint64 n_duplicates, n_failures;
  guint n_duplicates_in_row;

  /* In the order of numbers. */
  guint64 decided[TANDEM_OPTIMIZER_MAX_RUNGS];  /* how many are, at each rung */
  GArray *sorted[TANDEM_OPTIMIZER_MAX_RUNGS];   /* TandemOutcome of a rung, best first */
  guint64 n_received;
  TandemStopReason stop;
  gint64 best;                  /* number, or -1 */
  GArray *history;              /* double */
  GArray *front;                /* guint64: numbers, by their first value */

  /* Over what was received: what scalarised comparison is relative to. */
  TandemOutcome least[TANDEM_OPTIMIZER_MAX_OBJECTIVES];
  gboolean has_least;

  guint64 random_key, random_index;
  gint64 started_at;            /* monotonic, microseconds */
  double seconds_before;        /* of the runs before this one */
} TandemOptimizerPrivate;

TandemOptimizerPrivate *tandem_optimizer_get_private (TandemOptimizer *self);

static inline TandemRecord *
tandem_optimizer_get_record (TandemOptimizerPrivate *priv, guint64 number)
{
  return &g_array_index (priv->records, TandemRecord, number);
}

static inline double *
tandem_optimizer_get_point (TandemOptimizerPrivate *priv, guint64 number)
{
  return &g_array_index (priv->points, double, number * priv->space->parameters->len);
}

/* Those that nothing more will happen to. */
static inline guint64
tandem_optimizer_get_n_settled (TandemOptimizerPrivate *priv)
{
  return priv->decided[priv->n_rungs - 1];
}

/* Budget and time. */
void tandem_optimizer_check_bounds (TandemOptimizer *self);

/* Decides in the order of numbers which candidates go on, which are best. */
void tandem_optimizer_settle (TandemOptimizer *self);

/* Feasible before infeasible, higher rung before lower, failed last; -1, 0 or 1, or 2 when
 * the values are to decide. */
int tandem_outcome_compare_status (const TandemOutcome *a, const TandemOutcome *b);
/* Whether a is no worse in all objectives and better in one (Deb's constrained domination). */
gboolean tandem_outcome_dominates (const TandemOutcome *a, const TandemOutcome *b,
                                   guint n_objectives);

/* By an algorithm's name, or by its type's, which may be of another library. */
GType tandem_optimizer_find_type (const char *algorithm);
GType tandem_optimizer_find_type_by_name (const char *name);

G_END_DECLS
