/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What becomes of a given split. */

#include "config.h"

#include "place/tandem-placement-private.h"

static guint
get_last (const TandemPlacementTables *self, const TandemSplit *split, guint stage)
{
  return stage + 1 < split->n_stages ? split->first[stage + 1] - 1 : self->n_layers - 1;
}

/* The time of a device with a stage; formats are not looked at where there is no hop. */
static guint64
get_work (const TandemPlacementTables *self, const TandemSplit *split, guint stage, guint in,
          guint out)
{
  guint device = split->device[stage];
  guint64 time = tandem_placement_tables_compute (self, device, split->first[stage],
                                                  get_last (self, split, stage));

  if (stage > 0)
    time += self->receive[device * self->n_formats + in];
  if (stage + 1 < split->n_stages)
    time += self->send[device * self->n_formats + out];
  return time;
}

static gboolean
has_asking (const TandemPlacementTables *self, const TandemSplit *split)
{
  guint i;

  for (i = 0; i < split->n_stages; i++)
    if (split->device[i] == self->asking)
      return TRUE;
  return FALSE;
}

/* What does not depend on formats: the way of tokens, the way back, and a tokenizer on a device of
 * its own. */
static gboolean
get_ends (const TandemPlacementTables *self, const TandemSplit *split, guint64 *longest,
          guint64 *sum)
{
  guint first = split->device[0], last = split->device[split->n_stages - 1];
  guint64 there = tandem_placement_tables_delay (self, self->asking, first);
  guint64 back = tandem_placement_tables_delay (self, last, self->asking);

  if (self->tokens[first] == TANDEM_TICKS_NEVER || self->logits[last] == TANDEM_TICKS_NEVER)
    return FALSE;
  *longest = MAX (self->tokens[first], self->logits[last]);
  *sum = self->tokens[first] + there + self->logits[last] + back;
  if (!has_asking (self, split)) {
    *longest = MAX (*longest, self->tokenize);
    *sum += self->tokenize;
  }
  return TRUE;
}

/* The best way through the formats of the hops between stages, in the order of the hops: the
 * least sum where nothing is longer than @cap, or, with by_longest, the shortest longest part. */
static guint64
choose (const TandemPlacementTables *self, const TandemSplit *split, const guint *allowed,
        guint64 cap, gboolean by_longest, guint *formats)
{
  /* A format of no hop stands for the ends of the pipeline. */
  guint64 value[TANDEM_PLACEMENT_MAX_LAYERS][TANDEM_N_WIRE_FORMATS];
  guint next[TANDEM_PLACEMENT_MAX_LAYERS][TANDEM_N_WIRE_FORMATS];
  guint stage, in, out;

  /* From the last stage backwards, so that of equal ways the one with the first format at the
   * first hop is found. value[k][in]: of stage k and all behind it. */
  for (stage = split->n_stages; stage-- > 0;) {
    guint n_in = stage > 0 ? self->n_formats : 1;
    guint n_out = stage + 1 < split->n_stages ? self->n_formats : 1;

    for (in = 0; in < n_in; in++) {
      value[stage][in] = TANDEM_TICKS_NEVER;
      next[stage][in] = 0;
      for (out = 0; out < n_out; out++) {
        guint64 work = get_work (self, split, stage, in, out), total = work;

        if (work > cap)
          continue;
        if (stage + 1 < split->n_stages) {
          guint from = split->device[stage], to = split->device[stage + 1];
          guint64 hop = tandem_placement_tables_transfer (self, from, to, out);
          guint64 rest = value[stage + 1][out];

          if ((allowed != NULL && allowed[stage] != out) || hop == TANDEM_TICKS_NEVER ||
              hop > cap || rest == TANDEM_TICKS_NEVER)
            continue;
          total = by_longest ? MAX (MAX (work, hop), rest)
              : work + hop + tandem_placement_tables_delay (self, from, to) + rest;
        }
        if (total < value[stage][in]) {
          value[stage][in] = total;
          next[stage][in] = out;
        }
      }
    }
  }
  for (stage = 0, in = 0; stage + 1 < split->n_stages; stage++) {
    in = next[stage][in];
    formats[stage] = in;
  }
  return value[0][0];
}

/* The longest part with given formats. */
static guint64
get_longest (const TandemPlacementTables *self, const TandemSplit *split, const guint *formats)
{
  guint64 longest = 0;
  guint i;

  for (i = 0; i < split->n_stages; i++) {
    longest = MAX (longest, get_work (self, split, i, i > 0 ? formats[i - 1] : 0,
                                      i + 1 < split->n_stages ? formats[i] : 0));
    if (i + 1 < split->n_stages)
      longest = MAX (longest, tandem_placement_tables_transfer (self, split->device[i],
                                                                split->device[i + 1],
                                                                formats[i]));
  }
  return longest;
}

gboolean
tandem_placement_tables_measure (const TandemPlacementTables *self, const TandemSplit *split,
                                 TandemPlacementObjective objective, const guint *allowed,
                                 guint *formats, guint64 *period, guint64 *latency)
{
  guint64 cap = TANDEM_TICKS_NEVER - 1, ends, sum, middle;

  if (!get_ends (self, split, &ends, &sum))
    return FALSE;
  if (objective == TANDEM_PLACEMENT_THROUGHPUT) {
    cap = choose (self, split, allowed, cap, TRUE, formats);
    if (cap == TANDEM_TICKS_NEVER)
      return FALSE;
    cap = MAX (cap, ends);
  }
  middle = choose (self, split, allowed, cap, FALSE, formats);
  if (middle == TANDEM_TICKS_NEVER)
    return FALSE;
  *period = MAX (ends, get_longest (self, split, formats));
  *latency = sum + middle;
  return TRUE;
}

static double
to_seconds (guint64 ticks)
{
  return (double) ticks / TANDEM_TICKS_PER_SECOND;
}

static void
add_hop (const TandemPlacementTables *self, TandemPlacement *placement, guint from, guint to,
         TandemWireFormats format, guint64 payload, guint64 ticks)
{
  TandemPlacementHop *hop = &placement->hops[placement->n_hops++];
  const TandemBatchShape *shape = &self->problem->shape;

  hop->from = self->devices[from];
  hop->to = self->devices[to];
  hop->format = format;
  hop->bytes = TANDEM_PLACE_FRAME_BYTES + payload +
               (guint64) TANDEM_PLACE_SEQUENCE_BYTES * shape->n_sequences;
  hop->seconds = to_seconds (ticks);
  hop->delay = to_seconds (tandem_placement_tables_delay (self, from, to));
}

static void
add_hops (const TandemPlacementTables *self, TandemPlacement *placement, const TandemSplit *split,
          const guint *formats)
{
  const TandemPlacementProblem *problem = self->problem;
  const TandemBatchShape *shape = &problem->shape;
  guint first = split->device[0], last = split->device[split->n_stages - 1], i;

  placement->hops = g_new0 (TandemPlacementHop, split->n_stages + 1);
  if (first != self->asking)
    add_hop (self, placement, self->asking, first, TANDEM_WIRE_FORMAT_NONE, 4 * shape->n_tokens,
             self->tokens[first]);
  for (i = 0; i + 1 < split->n_stages; i++) {
    TandemWireFormats format = 1u << self->formats[formats[i]];
    guint from = split->device[i], to = split->device[i + 1];

    add_hop (self, placement, from, to, format,
             shape->n_tokens * tandem_wire_format_get_row_size (format, problem->width),
             tandem_placement_tables_transfer (self, from, to, formats[i]));
  }
  if (last != self->asking)
    add_hop (self, placement, last, self->asking, TANDEM_WIRE_FORMAT_NONE,
             (guint64) 4 * problem->n_classes * shape->n_sequences, self->logits[last]);
}

/* Of several that take equally long the first stage, then the first hop. */
static void
find_bottleneck (TandemPlacement *placement)
{
  guint i;

  for (i = 0; i < placement->n_stages; i++) {
    if (placement->stages[i].seconds < placement->period)
      continue;
    placement->bottleneck = TANDEM_BOTTLENECK_STAGE;
    placement->bottleneck_index = i;
    return;
  }
  for (i = 0; i < placement->n_hops; i++) {
    if (placement->hops[i].seconds < placement->period)
      continue;
    placement->bottleneck = TANDEM_BOTTLENECK_HOP;
    placement->bottleneck_index = i;
    return;
  }
  placement->bottleneck = TANDEM_BOTTLENECK_TOKENIZER;
}

TandemPlacement *
tandem_placement_tables_describe (const TandemPlacementTables *self, const TandemSplit *split,
                                  TandemPlacementObjective objective, const guint *allowed)
{
  guint formats[TANDEM_PLACEMENT_MAX_LAYERS] = { 0 };
  const TandemBatchShape *shape = &self->problem->shape;
  TandemPlacement *placement;
  guint64 period, latency;
  guint i;

  if (!tandem_placement_tables_measure (self, split, objective, allowed, formats, &period,
                                        &latency))
    return NULL;
  placement = g_new0 (TandemPlacement, 1);
  placement->n_stages = split->n_stages;
  placement->stages = g_new0 (TandemPlacementStage, split->n_stages);
  for (i = 0; i < split->n_stages; i++) {
    TandemPlacementStage *stage = &placement->stages[i];

    stage->device = self->devices[split->device[i]];
    stage->first_layer = split->first[i];
    stage->last_layer = get_last (self, split, i);
    stage->seconds = to_seconds (get_work (self, split, i, i > 0 ? formats[i - 1] : 0,
                                           formats[i]));
    stage->memory = tandem_placement_problem_get_memory (self->problem, stage->device,
                                                         stage->first_layer, stage->last_layer);
  }
  add_hops (self, placement, split, formats);
  placement->tokenize_seconds = to_seconds (self->tokenize);
  placement->period = to_seconds (period);
  placement->latency = to_seconds (latency);
  if (period > 0) {
    placement->sequences_per_second = shape->n_sequences / placement->period;
    placement->tokens_per_second = (double) shape->n_tokens / placement->period;
  }
  find_bottleneck (placement);
  return placement;
}
