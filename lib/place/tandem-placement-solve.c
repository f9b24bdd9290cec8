/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a problem is asked: what a placement would do, and which one is best. */

#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "place/tandem-place-error.h"
#include "place/tandem-placement-private.h"

static const char *
get_name (TandemPlacementProblem *self, guint device)
{
  return tandem_placement_problem_get_device (self, device)->name;
}

static gboolean G_GNUC_PRINTF (2, 3)
fail (GError **error, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_PLACEMENT, "%s", text);
  return FALSE;
}

static gboolean
check_stages (TandemPlacementProblem *self, const TandemPlacementStage *stages, guint n_stages,
              GError **error)
{
  guint next = 0, i, k;

  if (n_stages == 0 || n_stages > self->n_layers)
    return fail (error, "%u stages of %u layers", n_stages, self->n_layers);
  for (i = 0; i < n_stages; i++) {
    const TandemPlacementStage *stage = &stages[i];
    guint64 memory, limit;

    if (stage->device >= self->devices->len)
      return fail (error, "stage %u is on device %u of %u", i, stage->device, self->devices->len);
    for (k = 0; k < i; k++)
      if (stages[k].device == stage->device)
        return fail (error, "stages %u and %u are both on \"%s\"; one device has one stage", k, i,
                     get_name (self, stage->device));
    if (stage->first_layer != next || stage->last_layer < stage->first_layer ||
        stage->last_layer >= self->n_layers)
      return fail (error, "stage %u on \"%s\" has layers %u-%u; it is to begin with layer %u, and "
                   "the model has layers 0-%u", i, get_name (self, stage->device),
                   stage->first_layer, stage->last_layer, next, self->n_layers - 1);
    memory = tandem_placement_problem_get_memory (self, stage->device, stage->first_layer,
                                                  stage->last_layer);
    limit = tandem_placement_problem_get_device (self, stage->device)->memory;
    if (limit != 0 && memory > limit)
      return fail (error, "layers %u-%u take %" G_GUINT64_FORMAT " bytes on \"%s\", whose limit is "
                   "%" G_GUINT64_FORMAT, stage->first_layer, stage->last_layer, memory,
                   get_name (self, stage->device), limit);
    next = stage->last_layer + 1;
  }
  if (next != self->n_layers)
    return fail (error, "layers %u-%u are on no device", next, self->n_layers - 1);
  return TRUE;
}

/* Devices that are to be planned with, by their numbers. */
static guint
list_all (TandemPlacementProblem *self, guint *devices)
{
  guint i;

  for (i = 0; i < self->devices->len; i++)
    devices[i] = i;
  return self->devices->len;
}

static guint
find_rank (const TandemPlacementTables *tables, guint device)
{
  guint i;

  for (i = 0; i + 1 < tables->n_devices; i++)
    if (tables->devices[i] == device)
      break;
  return i;
}

static gboolean
find_formats (const TandemPlacementTables *tables, const TandemWireFormats *formats,
              guint n_hops, guint *allowed, GError **error)
{
  guint i, k;

  for (i = 0; i < n_hops; i++) {
    for (k = 0; k < tables->n_formats; k++)
      if (1u << tables->formats[k] == (guint) formats[i])
        break;
    if (k == tables->n_formats)
      return fail (error, "stage %u sends in the format \"%s\", which is not among those allowed",
                   i, tandem_wire_format_to_string (formats[i]));
    allowed[i] = k;
  }
  return TRUE;
}

/**
 * tandem_placement_problem_evaluate:
 * @self: a problem
 * @stages: (array length=n_stages): device and layers of each stage, in order; other fields are
 *   not looked at
 * @n_stages: how many stages
 * @formats: (nullable): the format in which each stage but the last sends on, @n_stages - 1 of
 *   them, or %NULL for the best ones among those allowed
 * @objective: what they are the best for
 * @error: return location for a #TandemPlaceError
 *
 * Predicts what a given placement would do, with the same numbers as the planner.
 *
 * Returns: (transfer full): the placement, or %NULL with @error set: layers are left out or
 *   overlap, a device has two stages or lacks memory, or cannot be reached
 */
TandemPlacement *
tandem_placement_problem_evaluate (TandemPlacementProblem *self,
                                   const TandemPlacementStage *stages, guint n_stages,
                                   const TandemWireFormats *formats,
                                   TandemPlacementObjective objective, GError **error)
{
  guint devices[TANDEM_PLACEMENT_MAX_DEVICES], allowed[TANDEM_PLACEMENT_MAX_LAYERS], n, i;
  g_autoptr (TandemPlacementTables) tables = NULL;
  TandemPlacement *placement;
  TandemSplit split = { 0 };

  g_return_val_if_fail (self->devices->len > 0, NULL);

  if (!check_stages (self, stages, n_stages, error))
    return NULL;
  n = list_all (self, devices);
  tables = tandem_placement_tables_new (self, devices, n, formats != NULL);
  if (formats != NULL && !find_formats (tables, formats, n_stages - 1, allowed, error))
    return NULL;
  split.n_stages = n_stages;
  for (i = 0; i < n_stages; i++) {
    split.device[i] = find_rank (tables, stages[i].device);
    split.first[i] = stages[i].first_layer;
  }
  placement = tandem_placement_tables_describe (tables, &split, objective,
                                                formats != NULL ? allowed : NULL);
  if (placement == NULL)
    fail (error, "a stage cannot be reached from the one before it, or from \"%s\", which asks",
          get_name (self, self->asking));
  return placement;
}

/* A placement and the numbers that it is compared by. */
typedef struct
{
  TandemPlacement *placement;
  guint64 period;
  guint64 latency;
} Candidate;

static void
candidate_clear (Candidate *candidate)
{
  g_clear_pointer (&candidate->placement, tandem_placement_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Candidate, candidate_clear)

static gboolean
candidate_init (Candidate *candidate, const TandemPlacementTables *tables,
                const TandemSplit *split, TandemPlacementObjective objective)
{
  guint formats[TANDEM_PLACEMENT_MAX_LAYERS];

  if (!tandem_placement_tables_measure (tables, split, objective, NULL, formats,
                                        &candidate->period, &candidate->latency))
    return FALSE;
  candidate->placement = tandem_placement_tables_describe (tables, split, objective, NULL);
  return TRUE;
}

static int
compare (guint64 a, guint64 b)
{
  return (a > b) - (a < b);
}

/* As the search orders splits, for those whose devices are not the same. */
static int
compare_candidates (TandemPlacementProblem *self, TandemPlacementObjective objective,
                    const Candidate *a, const Candidate *b)
{
  const TandemPlacement *left = a->placement, *right = b->placement;
  gboolean throughput = objective == TANDEM_PLACEMENT_THROUGHPUT;
  int order;
  guint i;

  if (left == NULL || right == NULL)
    return (left == NULL) - (right == NULL);
  order = throughput ? compare (a->period, b->period) : compare (a->latency, b->latency);
  if (order == 0)
    order = compare (left->n_stages, right->n_stages);
  if (order == 0 && throughput)
    order = compare (a->latency, b->latency);
  for (i = 0; order == 0 && i < left->n_stages; i++)
    order = strcmp (get_name (self, left->stages[i].device),
                    get_name (self, right->stages[i].device));
  for (i = 0; order == 0 && i < left->n_stages; i++)
    order = compare (left->stages[i].first_layer, right->stages[i].first_layer);
  return order;
}

/* Keeps the better one in @best; the other one goes. */
static void
keep_better (TandemPlacementProblem *self, TandemPlacementObjective objective, Candidate *best,
             Candidate *other)
{
  if (compare_candidates (self, objective, other, best) < 0) {
    candidate_clear (best);
    *best = *other;
    other->placement = NULL;
  }
  candidate_clear (other);
}

static TandemPlacement *
find_single (TandemPlacementProblem *self, const TandemPlacementTables *tables,
             TandemPlacementObjective objective)
{
  g_auto (Candidate) best = { NULL };
  guint rank;

  for (rank = 0; rank < tables->n_devices; rank++) {
    TandemSplit split = { .n_stages = 1, .device = { rank } };
    Candidate candidate = { NULL };

    if (tandem_placement_tables_fits (tables, rank, 0, self->n_layers - 1) &&
        candidate_init (&candidate, tables, &split, objective))
      keep_better (self, objective, &best, &candidate);
  }
  return g_steal_pointer (&best.placement);
}

/* Seconds that no placement goes below, whatever links, memory and stages it has: for latency
 * each layer where it is fastest; for throughput all devices at work all the time, each as
 * fast as it is with the layer that suits it best, and as many of them as there are layers. */
static double
get_bound (const TandemPlacementTables *tables, TandemPlacementObjective objective)
{
  double speeds[TANDEM_PLACEMENT_MAX_DEVICES] = { 0 }, all = 0, speed = 0, period;
  guint layer, rank, n, i;

  for (layer = 0; layer < tables->n_layers; layer++) {
    double times[TANDEM_PLACEMENT_MAX_DEVICES], least = G_MAXDOUBLE;

    for (rank = 0; rank < tables->n_devices; rank++) {
      const guint64 *sums = tables->layers + rank * (tables->n_layers + 1);

      times[rank] = (double) (sums[layer + 1] - sums[layer]);
      if (layer == 0)
        times[rank] += (double) tables->embeddings[rank];
      least = MIN (least, times[rank]);
    }
    all += least;
    for (rank = 0; least > 0 && rank < tables->n_devices; rank++)
      speeds[rank] = MAX (speeds[rank], least / times[rank]);
  }
  if (objective == TANDEM_PLACEMENT_LATENCY)
    return (all + (double) tables->tokenize) / TANDEM_TICKS_PER_SECOND;
  for (n = 0; n < MIN (tables->n_layers, tables->n_devices); n++) {
    guint fastest = 0;

    for (i = 1; i < tables->n_devices; i++)
      if (speeds[i] > speeds[fastest])
        fastest = i;
    speed += speeds[fastest];
    speeds[fastest] = 0;
  }
  period = speed > 0 ? all / speed : 0;
  return MAX (period, (double) tables->tokenize) / TANDEM_TICKS_PER_SECOND;
}

/* Searches some of the devices. Returns how many splits there are, or -1. */
static int
search (TandemPlacementProblem *self, const guint *devices, guint n_devices,
        TandemPlacementObjective objective, Candidate found[2], GCancellable *cancellable,
        GError **error)
{
  g_autoptr (TandemPlacementTables) tables =
      tandem_placement_tables_new (self, devices, n_devices, FALSE);
  TandemSplit splits[2] = { { 0 }, { 0 } };
  int n = tandem_placement_tables_search (tables, objective, splits, cancellable, error), i;

  for (i = 0; i < n; i++)
    candidate_init (&found[i], tables, &splits[i], objective);
  return n;
}

typedef struct
{
  guint device;
  double weight;
} Choice;

static int
compare_choices (gconstpointer a, gconstpointer b)
{
  const Choice *left = a, *right = b;

  if (left->weight != right->weight)
    return left->weight < right->weight ? 1 : -1;
  return (left->device > right->device) - (left->device < right->device);
}

/* Devices in the order in which they are tried: the one that asks, then by how much of the model
 * they hold and how fast they are. */
static void
order_devices (TandemPlacementProblem *self, const TandemPlacementTables *tables, guint *order)
{
  Choice choices[TANDEM_PLACEMENT_MAX_DEVICES];
  guint64 whole = self->memory[self->n_layers - 1];
  guint n = self->devices->len, i;

  for (i = 0; i < n; i++) {
    const TandemDevice *device = tandem_placement_problem_get_device (self, tables->devices[i]);
    double seconds = (double) tandem_placement_tables_compute (tables, i, 0, self->n_layers - 1);
    double share = device->memory != 0 && device->memory < whole
                     ? (double) device->memory / whole : 1.0;

    choices[i].device = tables->devices[i];
    choices[i].weight = i == tables->asking ? G_MAXDOUBLE : share / MAX (seconds, 1.0);
  }
  qsort (choices, n, sizeof *choices, compare_choices);
  for (i = 0; i < n; i++)
    order[i] = choices[i].device;
}

static gboolean
is_used (const TandemPlacement *placement, guint device)
{
  guint i;

  for (i = 0; placement != NULL && i < placement->n_stages; i++)
    if (placement->stages[i].device == device)
      return TRUE;
  return FALSE;
}

static void
exchange (guint *a, guint *b)
{
  guint other = *a;

  *a = *b;
  *b = other;
}

/* With more devices than can be searched at once: those of the best placement so far stay, the
 * others make room for as many that were not tried yet, until each was tried. */
static gboolean
search_in_turns (TandemPlacementProblem *self, const guint *order,
                 TandemPlacementObjective objective, Candidate found[2],
                 GCancellable *cancellable, GError **error)
{
  guint devices[TANDEM_PLACEMENT_MAX_DEVICES], next, n = self->devices->len;

  memcpy (devices, order, n * sizeof *devices);
  for (next = TANDEM_PLACEMENT_EXACT_DEVICES;;) {
    Candidate round[2] = { { NULL }, { NULL } };
    guint before = next, n_kept = 1, i;

    if (search (self, devices, TANDEM_PLACEMENT_EXACT_DEVICES, objective, round, cancellable,
                error) < 0)
      return FALSE;
    /* What was best is found again, or something better is; what was second may be lost. */
    keep_better (self, objective, &found[1], &round[1]);
    if (compare_candidates (self, objective, &round[0], &found[0]) < 0) {
      keep_better (self, objective, &found[1], &found[0]);
      found[0] = round[0];
      round[0].placement = NULL;
    }
    candidate_clear (&round[0]);
    /* The one that asks stays; as long as nothing fits, so do some that hold much. */
    if (found[0].placement == NULL)
      n_kept = TANDEM_PLACEMENT_EXACT_DEVICES / 2;
    for (i = TANDEM_PLACEMENT_EXACT_DEVICES - 1; i >= n_kept && next < n; i--)
      if (!is_used (found[0].placement, devices[i]))
        exchange (&devices[i], &devices[next++]);
    if (next == before && next < n)
      exchange (&devices[TANDEM_PLACEMENT_EXACT_DEVICES - 1], &devices[next++]);
    if (next == before)
      return TRUE;
  }
}

static void
set_impossible (TandemPlacementProblem *self, GError **error)
{
  guint64 least = G_MAXUINT64, most = 0;
  gboolean limited = TRUE;
  guint i;

  for (i = 0; i < self->n_layers; i++)
    least = MIN (least, self->memory[i * self->n_layers + i]);
  for (i = 0; i < self->devices->len; i++) {
    const TandemDevice *device = tandem_placement_problem_get_device (self, i);

    limited = limited && device->memory != 0;
    most = MAX (most, device->memory);
  }
  if (self->devices->len > TANDEM_PLACEMENT_EXACT_DEVICES)
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_IMPOSSIBLE,
                 "found no row of devices that the %u layers fit on; of %u devices not all rows "
                 "were tried", self->n_layers, self->devices->len);
  else if (limited)
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_IMPOSSIBLE,
                 "the %u layers fit on no row of devices that reach each other: together their "
                 "weights take %" G_GUINT64_FORMAT " bytes, a single layer %" G_GUINT64_FORMAT
                 " at the least, and the largest device has %" G_GUINT64_FORMAT, self->n_layers,
                 self->memory[self->n_layers - 1], least, most);
  else
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_IMPOSSIBLE,
                 "the %u layers fit on no row of devices that \"%s\", which asks, can reach and "
                 "that reach each other and it", self->n_layers, get_name (self, self->asking));
}

/**
 * tandem_placement_problem_solve:
 * @self: a problem with a device at the least
 * @objective: what is wanted
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #TandemPlaceError or a #GIOErrorEnum
 *
 * Finds the best placement. With up to %TANDEM_PLACEMENT_EXACT_DEVICES devices it is the best of
 * all, by dynamic programming over ordered subsets of devices (after Held and Karp 1962) and
 * layers. Of equal ones it is that with fewer devices; then, for throughput, that with the lower
 * latency; then the first one in the order of the names of its devices; then that whose later
 * stages begin at earlier layers.
 *
 * With more devices they are searched in turns of as many, each with those of the best
 * placement so far: the answer need not be the best one, and says so, with a bound.
 *
 * It is never worse than a single device.
 *
 * Returns: (transfer full): a plan, or %NULL with @error set, %TANDEM_PLACE_ERROR_IMPOSSIBLE when
 *   there is no placement
 */
TandemPlan *
tandem_placement_problem_solve (TandemPlacementProblem *self, TandemPlacementObjective objective,
                                GCancellable *cancellable, GError **error)
{
  guint devices[TANDEM_PLACEMENT_MAX_DEVICES], n;
  g_autoptr (TandemPlacementTables) tables = NULL;
  g_auto (Candidate) best = { NULL };
  g_auto (Candidate) second = { NULL };
  Candidate found[2] = { { NULL }, { NULL } };
  g_autoptr (TandemPlan) plan = g_new0 (TandemPlan, 1);
  gboolean ok;

  g_return_val_if_fail (TANDEM_IS_PLACEMENT_PROBLEM (self) && self->devices->len > 0, NULL);

  n = list_all (self, devices);
  tables = tandem_placement_tables_new (self, devices, n, FALSE);
  plan->objective = objective;
  plan->is_exact = n <= TANDEM_PLACEMENT_EXACT_DEVICES;
  if (plan->is_exact) {
    ok = search (self, devices, n, objective, found, cancellable, error) >= 0;
  } else {
    order_devices (self, tables, devices);
    ok = search_in_turns (self, devices, objective, found, cancellable, error);
  }
  best = found[0];
  second = found[1];
  if (!ok)
    return NULL;
  plan->single = find_single (self, tables, objective);
  if (best.placement == NULL) {
    set_impossible (self, error);
    return NULL;
  }
  plan->best = g_steal_pointer (&best.placement);
  plan->runner_up = g_steal_pointer (&second.placement);
  if (!plan->is_exact)
    plan->bound = get_bound (tables, objective);
  else
    plan->bound = objective == TANDEM_PLACEMENT_THROUGHPUT ? plan->best->period
        : plan->best->latency;
  return g_steal_pointer (&plan);
}
